"""A served model's conclusion read: what it may claim is what stored evidence carries, whatever it says of its confidence."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from bot.models.claims import claims_of, lowered
from domain.canonical import plain
from domain.diagnosis import Confidence, Diagnosis, Evidence, Hypothesis
from domain.errors import BadInput, ModelError
from domain.runs import Run


def concluded(arguments: str, text: str, model: str, run: Run) -> Diagnosis:
    """A diagnosis from the arguments of `conclude`. Raises ModelError where they are no object."""
    try:
        said = plain(json.loads(arguments))
    except (ValueError, RecursionError, BadInput) as error:
        raise ModelError("concluded with unusable JSON") from error
    if not isinstance(said, Mapping):
        raise ModelError("concluded with something that is not an object")
    evidence = cited(run, said.get("evidence"))
    hypotheses = [_hypothesis(item, run) for item in _listed(said.get("hypotheses")) if isinstance(item, Mapping)]
    steps = tuple(str(item)[:500] for item in _listed(said.get("next_steps")))
    summary = str(said.get("summary") or text or "No summary given.")[:1000]
    cause = str(said.get("cause") or "")[:4000]
    return _held(
        Diagnosis(
            summary,
            cause,
            _confidence(said.get("confidence"), evidence),
            model,
            evidence,
            tuple(sorted(hypotheses[:5], key=_rank)),
            steps[:8],
        ),
        run,
    )


def from_words(text: str, model: str, run: Run) -> Diagnosis:
    """A diagnosis from running text: the first line says what, the rest why."""
    ids = [word.strip("[]().,;:") for word in text.replace(",", " ").split()]
    evidence = cited(run, ids)
    first, _, rest = text.strip().partition("\n")
    cause = rest.strip()[:4000] or first[:1000]
    return _held(Diagnosis(first[:1000], cause, _confidence("likely", evidence), model, evidence), run)


def _held(diagnosis: Diagnosis, run: Run) -> Diagnosis:
    """The diagnosis held against what was stored: its sentences one by one, and no more confidence than they carry."""
    claims = claims_of(diagnosis.cause or diagnosis.summary, run, (item.id for item in diagnosis.evidence))
    named = dict.fromkeys(name for claim in claims for name in claim.evidence)
    evidence = (*diagnosis.evidence, *cited(run, [name for name in named if not _has(diagnosis.evidence, name)]))
    confidence = lowered(diagnosis.confidence, claims)
    return replace(diagnosis, claims=claims, evidence=evidence, confidence=confidence)


def _has(evidence: tuple[Evidence, ...], name: str) -> bool:
    return any(item.id == name for item in evidence)


def _hypothesis(item: Mapping[str, Any], run: Run) -> Hypothesis:
    return Hypothesis(
        str(item.get("text", ""))[:1000],
        str(item.get("next_check", ""))[:500],
        tuple(piece.id for piece in cited(run, item.get("supporting"))),
        tuple(piece.id for piece in cited(run, item.get("contradicting"))),
    )


def _rank(hypothesis: Hypothesis) -> tuple[int, int]:
    """The likeliest first: what most stored evidence speaks for, less what speaks against it; else as the model gave them."""
    return (len(hypothesis.contradicting) - len(hypothesis.supporting), -len(hypothesis.supporting))


def cited(run: Run, ids: Any) -> tuple[Evidence, ...]:
    """The evidence of this run behind the ids a model gave; ids that were never shown are dropped."""
    shown = ((call, call.result) for call in run.calls.values() if call.result)
    known = {result.evidence_id: (call.call, result.text) for call, result in shown if result.evidence_id}
    wanted = dict.fromkeys(str(item) for item in _listed(ids))
    return tuple(
        Evidence(name, f"{call.tool} {call.arguments}"[:300], _excerpt(text))
        for name, (call, text) in ((name, known[name]) for name in wanted if name in known)
    )


def _excerpt(text: str) -> str:
    return "\n".join(text.splitlines()[-6:])[:600]


def _confidence(claimed: Any, evidence: tuple[Evidence, ...]) -> Confidence:
    """A cause that cites nothing is not proven, whatever the model says of it."""
    if not evidence or claimed not in ("proven", "likely"):
        return Confidence.NOT_PROVEN
    return Confidence(claimed)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
