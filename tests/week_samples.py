"""A busy week in a journal, event by event: what the weekly message, App Home and the figures are looked at with."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from domain.actions import Action, Effect, Mode, Target
from domain.alerts import Alert, Incident, Severity
from domain.decisions import (
    ApprovalRequest,
    ApprovalState,
    ApprovalTerms,
    Check,
    Decision,
    ExecutionOutcome,
    Outcome,
    Verdict,
    Vote,
)
from domain.diagnosis import Confidence, Diagnosis
from domain.events import (
    AlertJoined,
    AlertReceived,
    ApprovalRequested,
    DiagnosisConcluded,
    Draft,
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
    VerificationFailed,
    VerificationPassed,
    VoteCast,
    WorkUnitRecorded,
)
from domain.feedback import FeedbackCategory, FeedbackVerdict
from domain.runs import Origin, RunOutcome, RunSpec
from domain.work import WorkKind, WorkOutcome, WorkUnit
from storage.journal import SqliteJournal
from tests.contracts.journal_samples import Clock

MONDAY = datetime(2026, 11, 23, 9, tzinfo=UTC)
"""When the week before is due."""


@dataclass(frozen=True)
class Story:
    """What became of one alert. `hours` is when, after the week began; times are seconds after its receipt."""

    hours: float
    title: str
    service: str
    repeats: int = 0
    changed: bool = False
    verified: bool | None = True
    unknown: bool = False
    taken_back: bool = False
    waited_s: int = 90
    fixed_s: int = 260
    diagnosed_s: float = 4.0
    model: str = "gpt-5-mini"
    feedback: str = ""
    reason: str = ""


WEEK = (
    Story(9.2, "KubePodCrashLooping", "checkout", 12, True, fixed_s=142, waited_s=48, feedback="good"),
    Story(12.0, "KubeDeploymentReplicasMismatch", "cart", 3, feedback="good", diagnosed_s=3.1),
    Story(15.5, "HighErrorRate", "payments", 31, True, waited_s=610, fixed_s=790, feedback="good"),
    Story(30.0, "KubePodNotReady", "search", 2, model="rules", diagnosed_s=1.2, feedback="bad wrong_cause",
          reason="It was the certificate of the index, not the readiness probe."),
    Story(33.1, "KubeContainerOOMKilled", "recommendations", 7, True, waited_s=125, fixed_s=231, feedback="good"),
    Story(38.0, "HighLatency", "checkout", 18, True, verified=False, waited_s=300, feedback="bad missed_evidence",
          reason="The slow query was in the log it had read."),
    Story(54.4, "KubePodCrashLooping", "cart", 5, True, waited_s=61, fixed_s=176, feedback="good"),
    Story(57.0, "KubeJobFailed", "billing-export", 1, diagnosed_s=2.2, model="rules"),
    Story(61.5, "KubePodCrashLooping", "checkout", 44, True, taken_back=True, waited_s=200, fixed_s=420),
    Story(78.9, "KubeHpaMaxedOut", "search", 9, True, waited_s=1900, fixed_s=2100, feedback="good"),
    Story(80.0, "KubePersistentVolumeFillingUp", "billing-export", 2, diagnosed_s=5.0),
    Story(83.2, "HighErrorRate", "payments", 96, True, unknown=True, verified=None, waited_s=75),
    Story(101.0, "KubePodCrashLooping", "recommendations", 6, True, waited_s=83, fixed_s=190, feedback="good"),
    Story(104.0, "KubeDeploymentReplicasMismatch", "cart", 1, feedback="bad too_noisy"),
    Story(107.7, "KubeContainerOOMKilled", "checkout", 4, True, waited_s=40, fixed_s=166, feedback="good"),
    Story(128.0, "KubePodNotReady", "search", 2, diagnosed_s=1.9, model="rules", feedback="good"),
    Story(150.0, "HighLatency", "payments", 11, True, waited_s=700, fixed_s=930, feedback="good"),
)  # fmt: skip


async def lived(journal: SqliteJournal, clock: Clock, monday: datetime = MONDAY, channel: str = "C07INCIDNT1") -> None:
    """The week before that Monday; every incident has a thread in `channel`, and ends resolved."""
    begins = monday - timedelta(days=7, hours=9)
    for number, story in enumerate(WEEK, 1):
        await _Telling(journal, clock, story, f"inc-{number:04}", f"run-{number:04}", channel).tell(begins)


@dataclass(frozen=True)
class _Telling:
    journal: SqliteJournal
    clock: Clock
    story: Story
    incident: str
    run: str
    channel: str

    @property
    def target(self) -> Target:
        return Target("kubernetes", "production", "shop", "Deployment", self.story.service)

    async def tell(self, begins: datetime) -> None:
        at = begins + timedelta(hours=self.story.hours)
        await self._opens(at)
        await self._diagnoses(at)
        finished = await self._changes(at) if self.story.changed else at + timedelta(seconds=20)
        await self._ends(at, finished)

    async def say(self, at: datetime, *events: object) -> None:
        self.clock.now = at
        await self.journal.append(*(Draft(event, incident_id=self.incident, run_id=self.run) for event in events))  # type: ignore[arg-type]

    async def _opens(self, at: datetime) -> None:
        story, print_ = self.story, f"print-{self.incident}"
        alert = Alert(print_, True, story.title, "alertmanager", at, severity=Severity.CRITICAL, target=self.target)
        incident = Incident(
            self.incident, self.journal.workspace, story.title, Severity.CRITICAL, self.target, "", at, self.channel,
            firing=(print_,), fingerprints=(print_,), source="alertmanager", summary=f"{story.service} is not well",
        )  # fmt: skip
        spec = RunSpec(self.run, self.incident, Origin.ALERT, story.model, Mode.PROPOSE, self.target, alert=alert)
        root, ts = f"incident:{self.incident}", f"{int(at.timestamp())}.{self.incident[-4:]}00"
        await self.say(at, AlertReceived(alert), IncidentOpened(incident))
        await self.say(
            at, MessageWanted(root, 1, self.channel, "", story.title, ()), MessageSent(root, 1, self.channel, ts)
        )
        await self.say(at, RunStarted(spec))
        for _ in range(story.repeats):
            await self.say(at, AlertReceived(alert), AlertJoined(print_, firing=True))

    async def _diagnoses(self, at: datetime) -> None:
        story = self.story
        found = Diagnosis(f"{story.service}: {story.title}", "A bad release.", Confidence.LIKELY, story.model)
        await self.say(at + timedelta(seconds=1.4), FindingsReported((), 1400))
        await self.say(at + timedelta(seconds=story.diagnosed_s), DiagnosisConcluded(found))

    async def _changes(self, at: datetime) -> datetime:
        story, asked, card = self.story, at + timedelta(seconds=6), f"approval:ap-{self.run}"
        action = Action(
            "kubernetes_rollback", {"name": story.service, "namespace": "shop"}, Effect.WRITE, self.target, touches=3
        )
        terms = ApprovalTerms(("approvers",))
        decision = Decision(Outcome.ASK, "prod-writes", "A change in production needs a person.", "policy", terms)
        request = ApprovalRequest(
            f"ap-{self.run}", self.run, self.incident, "c1", action, "digest", decision, terms, asked,
            asked + timedelta(minutes=60),
        )  # fmt: skip
        await self.say(asked, ApprovalRequested(request), MessageWanted(card, 1, self.channel, "", "card", ()))
        await self.say(asked, MessageSent(card, 1, self.channel, f"{int(asked.timestamp())}.{self.incident[-4:]}11"))
        voted = asked + timedelta(seconds=story.waited_s)
        vote = Vote("U07MARA0001", Verdict.APPROVE, voted, digest="digest", name="Mara Lindqvist")
        await self.say(voted, VoteCast(request.id, vote, ApprovalState.APPROVED))
        execution = f"x-{self.run}"
        await self.say(voted, ExecutionStarted(execution, "c1", action, f"key-{execution}", "digest", request.id))
        return await self._settles(voted, at + timedelta(seconds=max(story.fixed_s, story.waited_s + 60)), execution)

    async def _settles(self, voted: datetime, done: datetime, execution: str) -> datetime:
        story = self.story
        if story.unknown:
            await self.say(done, ExecutionFinished(execution, ExecutionOutcome.UNKNOWN, "sent, and no answer came"))
            return done
        await self.say(voted, ExecutionFinished(execution, ExecutionOutcome.SUCCEEDED, "rolled back to revision 3"))
        ready = "3 of 3" if story.verified else "1 of 3 after 2 min"
        checks = (Check("ready", passed=bool(story.verified), detail=ready),)
        settled = VerificationPassed if story.verified else VerificationFailed
        await self.say(done, settled(execution, checks, 1000))
        if story.taken_back:
            action = Action("kubernetes_rollback", {"name": story.service}, Effect.WRITE, self.target)
            undo, later = f"undo-{self.run}", done + timedelta(minutes=20)
            await self.say(later, ExecutionStarted(undo, "c2", action, f"key-{undo}", "d", undoes=execution))
            await self.say(later, ExecutionFinished(undo, ExecutionOutcome.SUCCEEDED, "taken back"))
            await self.say(later, VerificationPassed(undo, checks, 900))
        return done

    async def _ends(self, at: datetime, finished: datetime) -> None:
        story = self.story
        good = story.changed and story.verified and not story.unknown
        outcome = WorkOutcome.ACCEPTED if good else WorkOutcome.FAILED if story.changed else WorkOutcome.NO_ACTION
        outcome = WorkOutcome.REVERTED if story.taken_back else outcome
        ms, tokens = round((finished - at).total_seconds() * 1000), 0 if story.model == "rules" else 21_000
        unit = WorkUnit(
            WorkKind.REMEDIATION if story.changed else WorkKind.DIAGNOSIS, outcome, at, finished,
            service=self.target.key, environment="production", worth=bool(good or not story.changed),
            to_first_finding_ms=1400, to_diagnosis_ms=round(story.diagnosed_s * 1000),
            to_approval_ms=(6 + story.waited_s) * 1000 if story.changed else None, to_verified_ms=ms if good else None,
            votes=int(story.changed), people_ms=story.waited_s * 1000 if story.changed else 0,
            attention_s=min(story.waited_s, 900) if story.changed else 0, machine_ms=9000,
            input_tokens=tokens, output_tokens=tokens // 20, cost_micros=tokens * 3,
        )  # fmt: skip
        ended = RunFinished(RunOutcome.REMEDIATED if good else RunOutcome.DIAGNOSED, "done", 9000)
        await self.say(finished, ended, WorkUnitRecorded(unit))
        if story.feedback:
            word, _, category = story.feedback.partition(" ")
            about = FeedbackCategory(category) if category else None
            given = FeedbackGiven(self.run, "U07PRIYA001", FeedbackVerdict(word), about, story.reason)
            await self.say(finished + timedelta(minutes=3), given)
        await self.say(finished + timedelta(minutes=5), IncidentResolved("the alert ceased"))
