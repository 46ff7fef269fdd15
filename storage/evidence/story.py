"""What a run comes to: who, what, when, and how it ended. Pure: envelopes in, nouns out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import reduce
from typing import TypeVar

from domain.alerts import Incident
from domain.decisions import ExecutionOutcome
from domain.diagnosis import Diagnosis
from domain.events import (
    BreakGlassOpened,
    BreakGlassReviewed,
    DiagnosisConcluded,
    Envelope,
    Event,
    ExecutionFinished,
    ExecutionStarted,
    FindingsReported,
    IncidentOpened,
    IncidentResolved,
    ModelFailed,
    PayloadReceived,
    RunFinished,
    RunStarted,
    SecondLookTaken,
    StepPlanned,
    VoteCast,
    VoteDelegated,
    WorkUnitRecorded,
)
from domain.fold import added, doubted
from domain.runs import RunSpec, Usage
from domain.work import WorkUnit
from storage.evidence.changes import Change, Fact, changes_of

E = TypeVar("E")
_NEVER = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Story:
    """One run as its events tell it. What was not recorded (yet) is None or empty.

    `names` are the people's names by Slack id; `undone` the executions that were taken back later, by id.
    """

    run_id: str
    incident_id: str
    began: datetime
    ended: datetime
    spec: RunSpec | None = None
    incident: Incident | None = None
    opened: Fact[IncidentOpened] | None = None
    findings: Fact[FindingsReported] | None = None
    diagnosed: Fact[DiagnosisConcluded] | None = None
    looked_again: Fact[SecondLookTaken] | None = None
    finished: Fact[RunFinished] | None = None
    resolved: Fact[IncidentResolved] | None = None
    worked: Fact[WorkUnitRecorded] | None = None
    changes: tuple[Change, ...] = ()
    glasses: tuple[Fact[BreakGlassOpened], ...] = ()
    reviews: tuple[Fact[BreakGlassReviewed], ...] = ()
    usage: Usage = Usage()
    names: Mapping[str, str] = field(default_factory=dict)
    undone: frozenset[str] = frozenset()

    @property
    def title(self) -> str:
        """The incident's title, else what was asked, else the run's name."""
        if self.incident is not None:
            return self.incident.title
        return (self.spec.question if self.spec else "") or f"Run {self.run_id}"

    @property
    def diagnosis(self) -> Diagnosis | None:
        """The run's conclusion, as it stands after a second look."""
        if self.diagnosed is None or self.looked_again is None:
            return self.diagnosed.event.diagnosis if self.diagnosed else None
        return doubted(self.diagnosed.event.diagnosis, self.looked_again.event.model, self.looked_again.event.look)

    @property
    def unit(self) -> WorkUnit | None:
        """What the run cost, as it was recorded at its end."""
        return self.worked.event.unit if self.worked else None

    @property
    def headline(self) -> Change | None:
        """The change that the run is about: the last that was executed, else the last that was proposed."""
        executed = [change for change in self.changes if change.started is not None]
        return next(reversed(executed or list(self.changes)), None)

    def name(self, user: str) -> str:
        """A person's name, as it was recorded; the id where none was."""
        return self.names.get(user) or user

    def taken_back(self, change: Change) -> bool:
        """Whether this change was undone later."""
        return change.started is not None and change.started.event.execution_id in self.undone


def story_of(envelopes: Sequence[Envelope], run_id: str = "") -> Story:
    """The story of one run, of `run_id` or of the first that begins here. `envelopes` may hold others' events too."""
    run_id = run_id or next((each.run_id for each in envelopes if each.run_id), "")
    own = [each for each in envelopes if each.run_id == run_id or (each.incident_id and not each.run_id)]
    started, opened = _first(own, RunStarted), _first(own, IncidentOpened)
    return Story(
        run_id=run_id,
        incident_id=next((each.incident_id for each in own if each.incident_id), ""),
        began=own[0].at if own else _NEVER,
        ended=own[-1].at if own else _NEVER,
        spec=started.event.spec if started else None,
        incident=opened.event.incident if opened else None,
        opened=opened,
        findings=_first(own, FindingsReported),
        diagnosed=_last(own, DiagnosisConcluded),
        looked_again=_last(own, SecondLookTaken),
        finished=_last(own, RunFinished),
        resolved=_last(own, IncidentResolved),
        worked=_last(own, WorkUnitRecorded),
        changes=tuple(change for change in changes_of(envelopes) if change.run_id == run_id),
        glasses=tuple(_all(own, BreakGlassOpened)),
        reviews=tuple(_all(own, BreakGlassReviewed)),
        usage=reduce(added, (_used_by(each.event) for each in own), Usage()),
        names=names_in(envelopes),
        undone=_undone(envelopes),
    )


def names_in(envelopes: Iterable[Envelope]) -> dict[str, str]:
    """People's names by their Slack ids, as far as some event recorded both."""
    named = (pair for each in envelopes for pair in _named(each))
    return {user: name for user, name in named if user and name and name != user}


def _named(each: Envelope) -> Iterator[tuple[str, str]]:
    match each.event:
        case VoteCast(_, vote):
            yield vote.user, vote.name
        case BreakGlassOpened(glass):
            yield glass.user, glass.name
        case BreakGlassReviewed(_, user, name):
            yield user, name
        case VoteDelegated(delegation):
            yield delegation.user, delegation.name
            yield delegation.to, delegation.to_name
        case PayloadReceived(payload=payload):
            person = payload.get("user")
            if isinstance(person, Mapping):
                yield str(person.get("id") or ""), str(person.get("name") or person.get("username") or "")


def _undone(envelopes: Iterable[Envelope]) -> frozenset[str]:
    """The executions that a later one took back, and did so as far as anybody knows."""
    undoing: dict[str, str] = {}
    done: set[str] = set()
    for each in envelopes:
        match each.event:
            case ExecutionStarted(execution_id, undoes=undoes) if undoes:
                undoing[execution_id] = undoes
            case ExecutionFinished(execution_id, outcome) if outcome is ExecutionOutcome.SUCCEEDED:
                done.add(execution_id)
    return frozenset(taken for by, taken in undoing.items() if by in done)


def _used_by(event: Event) -> Usage:
    """What an event's answer of a model cost: a failed one too, as the fold counts it."""
    match event:
        case StepPlanned():
            return event.answer.usage
        case ModelFailed() | SecondLookTaken():
            return event.usage
        case _:
            return Usage()


def _all(envelopes: Iterable[Envelope], kind: type[E]) -> list[Fact[E]]:
    return [
        Fact(each.event, each.seq, each.at, each.hash, each.actor) for each in envelopes if isinstance(each.event, kind)
    ]


def _first(envelopes: Iterable[Envelope], kind: type[E]) -> Fact[E] | None:
    return next(iter(_all(envelopes, kind)), None)


def _last(envelopes: Iterable[Envelope], kind: type[E]) -> Fact[E] | None:
    return next(reversed(_all(envelopes, kind)), None)
