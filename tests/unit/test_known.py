"""What is known stands beside a diagnosis, cited, and is never taken for its cause."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from bot.analyzers import Reading, analyze
from bot.models.rules import conclude
from domain.actions import Mode, Target
from domain.alerts import Alert, Severity
from domain.diagnosis import Confidence
from domain.runs import Origin, Run, RunSpec

AT = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
QUEUE = Target("", "production", "mail", "", "")
ALERT = Alert("f1", True, "SlowQueue", "alertmanager", AT, Severity.WARNING, summary="the queue is slow", target=QUEUE)
BOOK = {
    "path": "queue.md",
    "title": "The slow queue",
    "matched": ["alertname"],
    "digest": "d",
    "steps": ["Look.", "Drain it."],
}
BEFORE = {
    "run": "run-1", "incident": "inc-1", "at": "2026-02-01T03:00:00.000000Z", "summary": "The queue was full.", "cause": "x",
    "alike": "the same alert", "likeness": 100, "fix": "kubernetes_scale on mail/queue", "outcome": "verified",
    "doubted": False,
}  # fmt: skip
OFFERED = ("incident_history", "runbook_find")


async def known(books: list[Any], before: list[Any], offered: tuple[str, ...] = OFFERED) -> Run:
    asked: list[str] = []

    async def read(name: str, arguments: Mapping[str, Any]) -> Reading:
        asked.append(name)
        if name == "runbook_find":
            return Reading("E1", ok=True, data={"runbooks": books})
        if name == "incident_history":
            return Reading("E2", ok=True, data={"precedents": before})
        return Reading("", ok=False, error="no cluster")

    findings = await analyze(QUEUE, ALERT, read, offered)
    assert {name for name in asked if name in OFFERED} == set(offered)
    spec = RunSpec("run-2", "inc-2", Origin.ALERT, "rules", Mode.PROPOSE, QUEUE, alert=ALERT)
    return Run(spec, AT, findings=tuple(found for found in findings if found.code != "read.failed"))


async def test_a_runbook_and_what_happened_before_are_cited_and_prove_no_cause() -> None:
    diagnosis = conclude(await known([BOOK], [BEFORE]))
    assert diagnosis.confidence is Confidence.NOT_PROVEN
    assert {item.id for item in diagnosis.evidence} == {"E1", "E2"}
    assert "Like this once before, last on 2026-02-01" in diagnosis.cause
    assert "kubernetes_scale on mail/queue: verified" in diagnosis.cause
    assert "Runbook The slow queue: Look." in diagnosis.next_steps


async def test_what_people_called_wrong_is_told_so() -> None:
    diagnosis = conclude(await known([], [BEFORE | {"doubted": True, "fix": ""}]))
    assert "nothing was changed; people called that diagnosis wrong" in diagnosis.cause


async def test_a_runbook_that_only_sounds_alike_is_not_offered_as_the_one_for_this() -> None:
    assert [found.code for found in (await known([BOOK | {"matched": []}], [])).findings or ()] == []


async def test_where_nobody_can_be_asked_nothing_is_said() -> None:
    assert (await known([BOOK], [BEFORE], ())).findings == ()
