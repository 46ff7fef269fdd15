"""What of a body is people's words, and may be erased; and what then remains of it.

Erasable are the kinds that carry what people, monitors, clusters and models said. What was decided, by whom, and what was
executed is what the log is for, and stays: those kinds are refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from domain.errors import BadInput

ERASED = "[erased]"
"""What stands where words were."""

_ALERT = ("summary", "description", "labels", "group", "url", "runbook_url")
_EVIDENCE = ("evidence.*.title", "evidence.*.excerpt")
_DIAGNOSIS = (
    "summary",
    "cause",
    *_EVIDENCE,
    "hypotheses.*.text",
    "hypotheses.*.next_check",
    "next_steps.*",
    "note",
    "claims.*.text",
    "claims.*.missing.*",
)
_FINDING = ("title", "detail", *_EVIDENCE, "facts", "proposal.arguments", "proposal.why")


def _in(place: str, paths: Iterable[str]) -> tuple[str, ...]:
    return tuple(f"{place}.{path}" for path in paths)


ERASABLE: Mapping[str, tuple[str, ...]] = {
    "PayloadReceived": ("payload",),
    "AlertReceived": _in("alert", _ALERT),
    "AlertHeld": _in("alert", _ALERT),
    "IncidentOpened": ("incident.title", "incident.summary", "incident.group", "incident.url"),
    "RunStarted": ("spec.question", "spec.context", *_in("spec.alert", _ALERT)),
    "AnalysisPlanned": ("calls.*.arguments",),
    "FindingsReported": _in("findings.*", _FINDING),
    "ModelAsked": ("messages",),
    "StepPlanned": ("answer.text", "answer.calls.*.arguments", *_in("answer.diagnosis", _DIAGNOSIS)),
    "ToolCallFinished": ("result.text", "result.data", "result.arguments"),
    "DiagnosisConcluded": _in("diagnosis", _DIAGNOSIS),
    "SecondLookTaken": ("look.reason",),
    "FeedbackGiven": ("reason",),
    "MessageWanted": ("text", "blocks", "attachments"),
    "SurfaceShown": ("body",),
}
"""By kind, the places of words in its body: `*` is every member of a list."""


def remains_of(kind: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """The body without people's words; it still is one of its kind. Raises BadInput for a kind that is not erasable."""
    if kind not in ERASABLE:
        raise BadInput(
            f"a {kind} is not erased: it is part of what was decided or done. Erasable are {', '.join(sorted(ERASABLE))}"
        )
    remains: Any = dict(body)
    for place in ERASABLE[kind]:
        remains = _without(remains, place.split("."))
    return dict(remains)


def _without(value: Any, place: list[str]) -> Any:
    if not place:
        return _blank(value)
    if isinstance(value, list) and place[0] == "*":
        return [_without(member, place[1:]) for member in value]
    if isinstance(value, dict) and place[0] in value:
        return {**value, place[0]: _without(value[place[0]], place[1:])}
    return value


def _blank(value: Any) -> Any:
    """Nothing of the same type; that there were words is not hidden."""
    if isinstance(value, str):
        return ERASED if value else ""
    if isinstance(value, dict):
        return {}
    return [] if isinstance(value, list) else None
