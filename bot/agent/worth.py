"""A finished run as a measured piece of work: from the alert's receipt on, with what it took of people and machines."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from bot.agent.world import World
from domain.decisions import ApprovalState
from domain.diagnosis import Confidence
from domain.figures import ATTENTION_CAP_MS
from domain.runs import Origin, Run, RunOutcome
from domain.work import Wait, WorkKind, WorkOutcome, WorkUnit
from policies.budget import machine_time

_HOUR_MS = 3_600_000
_TAKEN = (ApprovalState.APPROVED, ApprovalState.CONSUMED)


@dataclass(frozen=True)
class Bill:
    """What a run cannot know of itself: who answered its cards and when, and the price of an hour of computing.

    The price is millionths of a US dollar; None means that computing is not counted.
    """

    waits: Sequence[Wait] = ()
    hour_micros: int | None = None


async def bill_of(world: World, run: Run) -> Bill:
    """The bill of one run, as the journal and the settings have it."""
    return Bill(await world.journal.waits(run.id), world.hour_micros)


def work_unit(run: Run, outcome: RunOutcome, now: datetime, bill: Bill) -> WorkUnit:
    """What the run did and took. Its clock starts at the alert's receipt, which opened it, or at the person's request."""
    kind, ended = _kind(run), _outcome(run, outcome)
    machine_ms = run.machine_ms or round(machine_time(run, now).total_seconds() * 1000)
    waits = _by_person(bill.waits)
    approved = [each.closed_at for each in run.approvals if each.state in _TAKEN and each.closed_at]
    verified = [each.verified_at for each in run.executions if each.verified and each.verified_at]
    alert = run.spec.alert if run.spec.origin is Origin.ALERT else None
    return WorkUnit(
        kind=kind,
        outcome=ended,
        started_at=run.started_at,
        finished_at=now,
        service=run.spec.target.key,
        environment=run.spec.target.environment,
        by_alert=run.spec.origin is Origin.ALERT,
        worth=_worth(run, kind, ended),
        undo=bool(run.spec.undoes),
        alert_age_ms=_ms(alert.starts_at, run.started_at) if alert else None,
        to_first_finding_ms=_since(run, run.first_finding_at if run.findings else None),
        to_diagnosis_ms=_since(run, _diagnosed(run)),
        to_approval_ms=_since(run, min(approved, default=None)),
        to_verified_ms=_since(run, max(verified, default=None)),
        votes=len(bill.waits),
        people_ms=sum(_union_ms(each) for each in waits.values()),
        attention_s=sum(math.ceil(_union_ms(_capped(each)) / 1000) for each in waits.values()),
        machine_ms=machine_ms,
        compute_micros=None if bill.hour_micros is None else machine_ms * bill.hour_micros // _HOUR_MS,
        input_tokens=run.usage.input_tokens,
        output_tokens=run.usage.output_tokens,
        unpriced_tokens=run.unpriced_tokens,
        cost_micros=run.usage.cost_micros,
    )


_CAP = timedelta(milliseconds=ATTENTION_CAP_MS)
Span = tuple[datetime, datetime]


def _kind(run: Run) -> WorkKind:
    """What the run says it is; else by what it did and what started it."""
    if run.spec.work is not None:
        return run.spec.work
    if run.executions or run.approvals:
        return WorkKind.REMEDIATION
    return WorkKind.DIAGNOSIS if run.spec.origin is Origin.ALERT else WorkKind.QUESTION


def _outcome(run: Run, outcome: RunOutcome) -> WorkOutcome:
    """What became of it. Rejected is what a person denied; what expired, or was only observed, is no action."""
    if outcome is RunOutcome.FAILED:
        return WorkOutcome.FAILED
    if run.taken_back:
        return WorkOutcome.REVERTED
    if run.executions:
        if not any(execution.verified for execution in run.executions):
            return WorkOutcome.FAILED
        done = [each for each in run.approvals if each.execution]
        return WorkOutcome.EDITED if any(each.request.editor for each in done) else WorkOutcome.ACCEPTED
    denied = any(each.state is ApprovalState.DENIED for each in run.approvals)
    return WorkOutcome.REJECTED if denied else WorkOutcome.NO_ACTION


def _worth(run: Run, kind: WorkKind, ended: WorkOutcome) -> bool:
    """Whether it replaced a person's work, told carefully: a verified change that is no undo, or a cause that is proven.

    A proposal that nobody took saves nothing, not even its diagnosis. A finding about configuration is worth something
    once it was acted on.
    """
    if run.spec.undoes:
        return False
    if ended in (WorkOutcome.ACCEPTED, WorkOutcome.EDITED):
        return True
    if ended is not WorkOutcome.NO_ACTION or run.approvals or kind is WorkKind.CONFIGURATION_FINDING:
        return False
    return run.diagnosis is not None and run.diagnosis.confidence is Confidence.PROVEN


def _diagnosed(run: Run) -> datetime | None:
    """When a cause was first stated: a change that is proposed says why, else the conclusion does."""
    stated = [each.request.requested_at for each in run.approvals]
    stated += [each.started_at for each in run.executions]
    if run.diagnosis is not None and run.diagnosed_at is not None:
        stated.append(run.diagnosed_at)
    return min(stated, default=None)


def _by_person(waits: Sequence[Wait]) -> dict[str, list[Span]]:
    found: dict[str, list[Span]] = {}
    for wait in waits:
        found.setdefault(wait.user, []).append((wait.since, wait.until))
    return found


def _capped(waits: list[Span]) -> list[Span]:
    return [(begin, min(end, begin + _CAP)) for begin, end in waits]


def _union_ms(waits: list[Span]) -> int:
    """How long they last together; where they overlap, once."""
    total, until = timedelta(), None
    for begin, end in sorted(waits):
        begin = begin if until is None else max(begin, until)
        if end > begin:
            total += end - begin
            until = end
    return round(total.total_seconds() * 1000)


def _since(run: Run, moment: datetime | None) -> int | None:
    return None if moment is None else _ms(run.started_at, moment)


def _ms(start: datetime, end: datetime) -> int:
    return round((end - start).total_seconds() * 1000)
