"""What is known of a problem like this: earlier incidents and the team's runbooks. Never a cause, always cited."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from bot.analyzers.fields import items, short
from bot.analyzers.findings import finding
from bot.analyzers.reading import NOTHING, Read, Reading, cite
from domain.actions import Target
from domain.alerts import Alert
from domain.diagnosis import Confidence, Finding

HISTORY, RUNBOOKS = "incident_history", "runbook_find"
MOST = 3
STEPS = 3


@dataclass(frozen=True)
class Known:
    """The two reads; NOTHING where there is no journal to ask, or no runbooks."""

    history: Reading = NOTHING
    runbooks: Reading = NOTHING


async def recall(target: Target, alert: Alert | None, read: Read, offered: Collection[str]) -> Known:
    """Ask what is known, where somebody can be asked; both at once."""
    if alert is None and not target.name:
        return Known()
    text = " ".join(filter(None, (alert.name, alert.summary))) if alert else str(target)
    place = {"namespace": target.namespace, "kind": target.kind, "name": target.name}
    history: dict[str, Any] = {"text": text[:2000], "fingerprint": alert.fingerprint if alert else "", **place}
    books: dict[str, Any] = {"text": text[:2000], **place}
    if alert is not None:
        books |= {"alertname": alert.name[:253], "severity": alert.severity.value}
    found, said = await asyncio.gather(
        read(HISTORY, _given(history)) if HISTORY in offered else _nothing(),
        read(RUNBOOKS, _given(books)) if RUNBOOKS in offered else _nothing(),
    )
    return Known(found, said)


def analyze_known(known: Known, target: Target) -> tuple[Finding, ...]:
    """A finding for each runbook that says it is for this, and one for what happened before."""
    books = [book for book in items(known.runbooks.data, "runbooks") if known.runbooks.ok][:MOST]
    before = [one for one in items(known.history.data, "precedents") if known.history.ok][:MOST]
    found = [_runbook(known.runbooks, book, target) for book in books if book.get("matched")]
    return (*found, *([_before(known.history, before, target)] if before else []))


def _runbook(reading: Reading, book: Mapping[str, Any], target: Target) -> Finding:
    title, path = str(book.get("title")), str(book.get("path"))
    steps = [str(step) for step in book.get("steps") or ()][:STEPS]
    matched = ", ".join(map(str, book.get("matched") or ()))
    return finding(
        "known.runbook",
        target,
        f"Runbook: {title}",
        f"{path} is for this (by {matched}).",
        [cite(reading, f"runbook {path}", "\n".join(steps))],
        confidence=Confidence.PROVEN,
        next_steps=[f"Runbook {title}: {short(step, 200)}" for step in steps],
        path=path,
        digest=str(book.get("digest")),
    )


def _before(reading: Reading, before: list[Mapping[str, Any]], target: Target) -> Finding:
    told = [_precedent(one) for one in before]
    times = "once" if len(before) == 1 else f"{len(before)} times"
    return finding(
        "known.seen_before",
        target,
        f"Like this {times} before, last on {str(before[0].get('at'))[:10]}",
        " ".join(told),
        [cite(reading, "this agent's journal", "\n".join(told))],
        confidence=Confidence.PROVEN,
        incidents=[str(one.get("incident") or "") for one in before],
    )


def _precedent(one: Mapping[str, Any]) -> str:
    name = str(one.get("incident") or one.get("run"))
    fix, outcome = str(one.get("fix") or ""), str(one.get("outcome") or "")
    ended = f"{fix}: {outcome}" if fix else "nothing was changed"
    doubt = "; people called that diagnosis wrong" if one.get("doubted") else ""
    summary = short(str(one.get("summary")), 140).rstrip(".")
    return f"{str(one.get('at'))[:10]} ({name}, {one.get('alike')}): {summary}; {ended}{doubt}."


def _given(arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in arguments.items() if value}


async def _nothing() -> Reading:
    return NOTHING
