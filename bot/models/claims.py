"""What a model concluded, held against what was stored: sentence by sentence, by code and not by prompt.

A sentence is supported where it cites evidence of this run (E3), itself or through the conclusion as a whole, and every
name and value in it that can be looked up stands in something that was stored. What is not supported is shown as such.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any

from domain.canonical import canonical
from domain.diagnosis import Claim, Confidence
from domain.runs import Run

MAX_CLAIMS = 12
_ID = re.compile(r"\bE\d{1,3}\b")
_CITATION = re.compile(r"\s*[\[(]\s*E\d{1,3}(?:\s*[,;&]\s*(?:and\s+)?E\d{1,3}|\s+and\s+E\d{1,3})*\s*[\])]")
_SENTENCE = re.compile(r"(?<=[.!?])[\"'”)\]]?\s+(?=[A-Z\[(\"'“`])|\n+")
_QUOTED = re.compile(r"`([^`\n]{2,120})`|\"([^\"\n]{3,120})\"|“([^”\n]{3,120})”")
_VALUE = re.compile(r"(?<![\w.-])(?=[\w./:-]*\d)[A-Za-z0-9][\w./:-]+\w")
_EVERYDAY = re.compile(
    r"\d{1,2}(?::\d{2}){1,2}|\d{4}-\d{2}-\d{2}.*|\d{1,3}(?:st|nd|rd|th)|(?:one|two)-\d+|E\d+|24/7|p\d{2}|http[\w/.:]*"
)


class Shown:
    """Every stored result of a run by its evidence id, as text to look names and values up in."""

    def __init__(self, run: Run) -> None:
        self._run = run

    @cached_property
    def texts(self) -> Mapping[str, str]:
        """Evidence id -> what the call asked and what came back, lower-cased."""
        return {
            call.result.evidence_id: _folded(call.call.arguments, call.result.text, call.result.data)
            for call in self._run.calls.values()
            if call.result and call.result.evidence_id
        }

    @cached_property
    def known(self) -> str:
        """What the run was told before it looked: the alert, its target, the question, the findings, what became of changes."""
        spec = self._run.spec
        settled = [call.result.text for call in self._run.calls.values() if call.result and not call.result.evidence_id]
        findings = [f"{found.title} {found.detail}" for found in self._run.findings or ()]
        alert = spec.alert
        told = [alert.name, alert.summary, alert.description, dict(alert.labels)] if alert else []
        return _folded(str(spec.target), spec.question, spec.context, *told, *findings, *settled)


def claims_of(text: str, run: Run, cited: Iterable[str]) -> tuple[Claim, ...]:
    """The sentences of a conclusion with the evidence of each; `cited` is what the conclusion cites as a whole."""
    shown, whole = Shown(run), tuple(cited)
    sentences = [part.strip() for part in _SENTENCE.split(text) if part.strip(" .")]
    return tuple(_claim(sentence, shown, whole) for sentence in sentences[:MAX_CLAIMS])


def lowered(confidence: Confidence, claims: Iterable[Claim]) -> Confidence:
    """The confidence that the claims allow: never more than was claimed.

    Something that stands nowhere makes a proven cause likely; a cause of which less than half is supported is not proven.
    """
    found = tuple(claims)
    if not found:
        return confidence
    if 2 * sum(claim.supported for claim in found) < len(found):
        return Confidence.NOT_PROVEN
    invented = any(claim.missing for claim in found)
    return Confidence.LIKELY if invented and confidence is Confidence.PROVEN else confidence


def _claim(sentence: str, shown: Shown, whole: tuple[str, ...]) -> Claim:
    """Cited evidence that exists, and for what the cited does not show, other stored evidence that does."""
    own = _ID.findall(sentence)
    cited = dict.fromkeys(name for name in own or whole if name in shown.texts)
    text = _CITATION.sub("", sentence).strip()
    missing = []
    for term in _terms(text):
        wanted = term.lower()
        if any(wanted in shown.texts[name] for name in cited) or wanted in shown.known:
            continue
        elsewhere = next((name for name, stored in shown.texts.items() if wanted in stored), "")
        if elsewhere and cited:
            cited[elsewhere] = None
        elif not elsewhere:
            missing.append(term)
    return Claim(text[:1000], tuple(cited), tuple(missing))


def _terms(sentence: str) -> list[str]:
    """What a sentence names that can be looked up: quoted words, and words with digits such as versions, pods and sizes."""
    quoted = [next(filter(None, match.groups())) for match in _QUOTED.finditer(sentence)]
    rest = _QUOTED.sub(" ", sentence)
    values = [word.rstrip(".:/-") for word in _VALUE.findall(rest)]
    found = (*quoted, *(word for word in values if len(word) >= 3 and not _EVERYDAY.fullmatch(word)))
    return list(dict.fromkeys(term.strip() for term in found if term.strip()))


def _folded(*parts: Any) -> str:
    return "\n".join(part if isinstance(part, str) else canonical(part).decode() for part in parts).lower()
