"""A week of a small team, told event by event at fixed times: what docs/roi.md works its figures out from.

The runs are made of recorded events and measured by the product's own code; only the events' times and words are made up.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bot.agent.worth import Bill, work_unit
from bot.baselines import import_history, tell
from domain.actions import Action, Effect, Mode, Target
from domain.alerts import Alert, Incident, Severity
from domain.decisions import (
    Actor,
    ApprovalRequest,
    ApprovalState,
    ApprovalTerms,
    Decision,
    ExecutionOutcome,
    Outcome,
    Verdict,
    Vote,
)
from domain.diagnosis import Confidence, Diagnosis, Finding
from domain.events import (
    AlertJoined,
    AlertReceived,
    ApprovalRequested,
    DiagnosisConcluded,
    Draft,
    Event,
    ExecutionFinished,
    ExecutionStarted,
    FeedbackGiven,
    FindingsReported,
    IncidentOpened,
    IncidentResolved,
    MessageSent,
    MessageWanted,
    RunFinished,
    RunStarted,
    StepPlanned,
    VerificationFailed,
    VerificationPassed,
    VoteCast,
    WorkUnitRecorded,
)
from domain.feedback import FeedbackCategory, FeedbackVerdict
from domain.fold import fold
from domain.runs import Answer, Origin, RunOutcome, RunSpec, ToolCall, Usage
from policies.redaction import Redactor
from storage.journal import SqliteJournal, open_journal
from tests.contracts.journal_samples import Clock

SINCE, UNTIL = datetime(2026, 3, 2, tzinfo=UTC), datetime(2026, 3, 9, tzinfo=UTC)
HOUR_MICROS = 40_000  # AGENT_COMPUTE_PRICE=0.04
SET = "diagnosis=20m"  # AGENT_BASELINES
BEFORE_MINUTES = (12, 19, 24, 28, 31, 38, 47, 66, 140)
"""How long the team's incidents were open in the months before the agent."""

TERMS = ApprovalTerms(("approvers",))
DECISION = Decision(Outcome.ASK, "prod-writes", "A change in production needs a person.", "policy", TERMS)
CALL = ToolCall("c1", "kubernetes_rollback", "{}")
NO_MODEL = Usage()
PRICED = Usage(21_000, 800, 0, 6_850)
UNPRICED = Usage(18_000, 900, 0, 0, priced=False)
HELD = (("cart", 95, 38), ("checkout", 48, 55), ("search", 210, 41), ("ads", 8 * 3600, 62))
"""Changes that held: seconds from card to vote (the last card came at night), and from change to probe."""
DIAGNOSED = (("mail", Confidence.PROVEN, 600), ("queue", Confidence.PROVEN, 1500), ("cron", Confidence.NOT_PROVEN, 240))
"""Diagnoses without a change, and how many seconds later the alert ceased by itself."""


@dataclass
class Week:
    """The journal and its clock; each method tells a piece of one run, by its name, in order."""

    journal: SqliteJournal
    clock: Clock
    incidents: dict[str, str] = field(default_factory=dict)

    async def say(self, name: str, after: float, *events: Event, by: Actor | None = None) -> None:
        """Record a run's events that many seconds later."""
        self.clock.forward(seconds=after)
        run, incident, actor = f"run-{name}", self.incidents.get(name, ""), by or Actor("agent")
        await self.journal.append(*(Draft(event, actor, incident, run) for event in events))

    async def alert(self, name: str, start: datetime, *, age: float, repeats: int = 0, usage: Usage = NO_MODEL) -> None:
        """An incident opens, repeats come in, findings stand after two seconds, and a plan four seconds later."""
        self.clock.now = start
        self.incidents[name] = incident = f"inc-{name}"
        target = deployment(name)
        alert = Alert(name, True, "CrashLooping", "alertmanager", start - timedelta(seconds=age), target=target)
        opened = Incident(
            incident, "local", name, Severity.CRITICAL, target, "", start, fingerprints=(name,), firing=(name,)
        )
        monitor = Actor("monitor", "alertmanager")
        taken = [AlertReceived(alert), IncidentOpened(opened)]
        for _ in range(repeats):
            taken += [AlertReceived(alert), AlertJoined(name, firing=True)]
        await self.journal.append(*(Draft(event, monitor, incident) for event in taken))
        spec = RunSpec(f"run-{name}", incident, Origin.ALERT, "rules", Mode.PROPOSE, target, alert=alert)
        await self.say(name, 0, RunStarted(spec))
        await self.say(name, 2, FindingsReported((Finding("pod.crash_loop", "It crashes", "", target),), 40))
        await self.say(name, 4, StepPlanned(1, "model", Answer("", (CALL,), usage=usage), 4000))

    async def asks(self, name: str) -> None:
        """A card is wanted, and Slack has it half a second later."""
        target, now = deployment(name), self.clock.now
        action = Action("kubernetes_rollback", {"name": target.name}, Effect.WRITE, target)
        incident, card = self.incidents[name], f"approval:apr-{name}"
        request = ApprovalRequest(
            f"apr-{name}", f"run-{name}", incident, CALL.id, action, f"digest {name}", DECISION, TERMS, now,
            now + timedelta(hours=12),
        )  # fmt: skip
        await self.say(name, 0, ApprovalRequested(request))
        await self.say(name, 0, MessageWanted(card, 1, "C1", "", "card", ()))
        await self.say(name, 0.5, MessageSent(card, 1, "C1", f"{name}.1"))

    async def answered(self, name: str, after: float, user: str, verdict: Verdict = Verdict.APPROVE) -> None:
        """A person's vote settles it."""
        state = {Verdict.APPROVE: ApprovalState.APPROVED, Verdict.DENY: ApprovalState.DENIED}[verdict]
        vote = Vote(user, verdict, self.clock.now, name=user)
        await self.say(name, after, VoteCast(f"apr-{name}", vote, state), by=Actor("person", user))

    async def changes(self, name: str, probe: float, *, holds: bool = True, undoes: str = "") -> None:
        """The change is made, and its probe holds after that many seconds, or never does."""
        approval = await self.journal.approval(f"apr-{name}")
        assert approval is not None
        done, asked = f"exe-{name}", approval.request
        await self.say(
            name, 0, ExecutionStarted(done, CALL.id, asked.action, done, asked.digest, asked.id, undoes=undoes)
        )
        await self.say(name, 2, ExecutionFinished(done, ExecutionOutcome.SUCCEEDED, "done"))
        kind = VerificationPassed if holds else VerificationFailed
        await self.say(name, probe, kind(done, (), round(probe * 1000)))

    async def concludes(self, name: str, outcome: RunOutcome, confidence: Confidence = Confidence.PROVEN) -> None:
        """Three seconds later the run ends; what it was is measured by the product's own code."""
        said = DiagnosisConcluded(Diagnosis(f"{name} was broken.", "A bad release.", confidence, "rules"))
        await self.say(name, 3, said)
        folded = fold(await self.journal.of_run(f"run-{name}"))
        bill = Bill(await self.journal.waits(f"run-{name}"), HOUR_MICROS)
        unit = work_unit(folded, outcome, self.clock.now, bill)
        await self.say(name, 0, RunFinished(outcome, "", unit.machine_ms), WorkUnitRecorded(unit))

    async def clear(self, name: str, after: float) -> None:
        """The monitor gives the all-clear."""
        await self.say(name, after, IncidentResolved("ceased"), by=Actor("monitor", "alertmanager"))

    async def question(self, name: str, start: datetime) -> None:
        """Somebody asks, and has a proven answer nine seconds later."""
        self.clock.now = start
        spec = RunSpec(f"run-{name}", "", Origin.MENTION, "rules", Mode.PROPOSE, deployment(name), "why?", "U-priya")
        await self.say(name, 0, RunStarted(spec))
        await self.say(name, 2, FindingsReported((), 30))
        await self.say(name, 4, StepPlanned(1, "model", Answer("", usage=PRICED), 4000))
        await self.concludes(name, RunOutcome.DIAGNOSED)

    async def taken_back(self, name: str, after: float) -> None:
        """A person asks for the undo of a run's change, another approves it, and it holds."""
        undo = f"undo-{name}"
        self.incidents[undo] = self.incidents[name]
        spec = RunSpec(
            f"run-{undo}", self.incidents[name], Origin.THREAD, "rules", Mode.PROPOSE, deployment(name), "undo", "U-priya",
            undoes=f"exe-{name}",
        )  # fmt: skip
        await self.say(undo, after, RunStarted(spec))
        await self.say(undo, 0, FindingsReported((), 0), StepPlanned(1, "person", Answer("", (CALL,)), 0))
        await self.asks(undo)
        await self.answered(undo, 30, "U-jonas")
        await self.changes(undo, 40, undoes=f"exe-{name}")
        await self.concludes(undo, RunOutcome.REMEDIATED)


def deployment(name: str) -> Target:
    return Target("kubernetes", "production", "shop", "Deployment", name.removeprefix("undo-").removeprefix("why-"))


async def tell_the_week(week: Week) -> None:
    """Of seven proposals four hold, one is turned down, one fails, one is taken back. Three diagnoses, two questions."""
    await tell(week.journal, SET)
    await import_history(week.journal, "2025.csv", history(), Redactor(key=b"k" * 32), Actor("person", "mara"))
    for place, (name, wait, probe) in enumerate(HELD):
        await week.alert(
            name,
            SINCE + timedelta(days=place, hours=9, minutes=7 * place),
            age=30 + 5 * place,
            repeats=4 - place,
            usage=PRICED,
        )
        await week.asks(name)
        await week.answered(name, wait, "U-mara")
        await week.changes(name, probe)
        await week.concludes(name, RunOutcome.REMEDIATED)
        await week.clear(name, 45)
    await _what_went_wrong(week)
    for place, (name, confidence, lasted) in enumerate(DIAGNOSED):
        await week.alert(name, SINCE + timedelta(days=5, hours=2 + 3 * place), age=20)
        await week.concludes(name, RunOutcome.DIAGNOSED, confidence)
        await week.clear(name, lasted)
    await week.question("why-cart", SINCE + timedelta(days=6, hours=8))
    await week.question("why-export", SINCE + timedelta(days=6, hours=9))
    wrong = FeedbackGiven("run-why-export", "U-jonas", FeedbackVerdict.BAD, FeedbackCategory.WRONG_CAUSE, "the proxy")
    await week.say("why-export", 60, wrong, by=Actor("person", "U-jonas"))


async def _what_went_wrong(week: Week) -> None:
    friday = SINCE + timedelta(days=4)
    await week.alert("stock", friday + timedelta(hours=10), age=25, usage=UNPRICED)
    await week.asks("stock")
    await week.answered("stock", 75, "U-jonas", Verdict.DENY)
    await week.concludes("stock", RunOutcome.NOT_REMEDIATED)
    await week.clear("stock", 1800)
    await week.alert("price", friday + timedelta(hours=14), age=35, usage=PRICED)
    await week.asks("price")
    await week.answered("price", 66, "U-mara")
    await week.changes("price", 120, holds=False)
    await week.concludes("price", RunOutcome.NOT_REMEDIATED)
    await week.clear("price", 2400)
    await week.alert("login", friday + timedelta(hours=18), age=40, usage=PRICED)
    await week.asks("login")
    await week.answered("login", 120, "U-mara")
    await week.changes("login", 44)
    await week.concludes("login", RunOutcome.REMEDIATED)
    await week.taken_back("login", 3600)
    await week.clear("login", 1200)


def history() -> bytes:
    """The team's incidents of the months before, as a CSV."""
    start = datetime(2025, 11, 1, 10, tzinfo=UTC)
    rows = [
        f"{start + timedelta(days=n):%Y-%m-%dT%H:%MZ},{start + timedelta(days=n, minutes=lasted):%Y-%m-%dT%H:%MZ}"
        for n, lasted in enumerate(BEFORE_MINUTES)
    ]
    return "\n".join(["opened,resolved", *rows]).encode()


@asynccontextmanager
async def example_week(folder: Path) -> AsyncIterator[SqliteJournal]:
    """The journal after the week."""
    clock = Clock(SINCE - timedelta(days=1))
    async with open_journal(folder / "week.db", "local", clock=clock) as journal:
        await tell_the_week(Week(journal, clock))
        yield journal
