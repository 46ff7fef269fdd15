"""An incident that went badly, with words that mean harm: what evidence has to show as it was, whatever is in it.

One proposal is denied by policy, one expires after a guest was refused and others were called, one is denied by a person
who had first approved it, one is approved under break-glass and its answer is lost. A clean one stands beside it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from domain.actions import Action, Effect, Mode, Target, Undo, digest
from domain.alerts import Alert, Incident, Severity
from domain.authority import BreakGlass, Delegation
from domain.decisions import (
    Actor,
    ApprovalRequest,
    ApprovalState,
    ApprovalTerms,
    Check,
    Decision,
    ExecutionOutcome,
    Outcome,
    RuleVerdict,
    Verdict,
    Vote,
)
from domain.diagnosis import Confidence, Diagnosis, Evidence, Finding, Hypothesis, Proposal
from domain.events import (
    AlertJoined,
    AlertReceived,
    AnalysisPlanned,
    ApprovalClosed,
    ApprovalEscalated,
    ApprovalReminded,
    ApprovalRequested,
    BreakGlassOpened,
    BreakGlassReviewed,
    DecisionMade,
    DiagnosisConcluded,
    Draft,
    Envelope,
    Event,
    ExecutionFinished,
    ExecutionProbed,
    ExecutionStarted,
    FindingsReported,
    IncidentOpened,
    IncidentResolved,
    MessageFailed,
    MessageSent,
    MessageWanted,
    ModelAsked,
    ModelFailed,
    PayloadReceived,
    PolicyLoaded,
    RunFinished,
    RunStarted,
    StepPlanned,
    ToolCallFinished,
    ToolCallRefused,
    VerificationFailed,
    VerificationPassed,
    VoteCast,
    VoteDelegated,
    VoteRefused,
    WorkUnitRecorded,
)
from domain.runs import Answer, Origin, RunOutcome, RunSpec, ToolCall, ToolResult, Usage
from domain.work import WorkKind, WorkOutcome, WorkUnit
from storage.journal import open_journal

NIGHT = datetime(2026, 11, 28, 3, 2, 11, 400_000, tzinfo=UTC)
POLICY = "4bd7ddcf41bef0559772f9e683403e2e3ecb6ee19a542b90c09b4fa1be52d89a"
PAYMENTS = Target("kubernetes", "production", "shop", "Deployment", "payments")
HOSTILE = (
    "</pre></script><script>alert(1)</script><img src=x onerror=alert(2)> \u202edessap si siht\u202c a\u200bb \x1b[31m"
)
UGLY, CLEAN = "run-0badc0ffee00", "run-00c1ea000001"
UGLY_INCIDENT, CLEAN_INCIDENT = "inc-0badc0ffee", "inc-00c1ea0000"
MARA, JONAS, GITA, PRIYA = (
    ("U07MARA0001", "mara"),
    ("U07JONAS001", "jonas"),
    ("U07GITA0001", "gita"),
    ("U07PRIYA001", "priya"),
)
TERMS = ApprovalTerms(("approvers",), expires_s=900, escalate_to=("leads",), escalate_after_s=450)
AGENT = Actor("agent")
OF_THE_INCIDENT = (
    *(AlertReceived, IncidentOpened, AlertJoined, IncidentResolved, BreakGlassOpened, BreakGlassReviewed),
)


@dataclass
class Telling:
    """Events as they happen, `at` seconds after the night began."""

    incident_id: str
    run_id: str
    began: datetime = NIGHT
    told: list[tuple[datetime, Draft]] = field(default_factory=list)

    def at(self, seconds: float, *events: Event, by: Actor = AGENT, loose: bool = False) -> None:
        """`loose` events belong to no incident and no run."""
        for event in events:
            of = ("", "") if loose else (self.incident_id, self.run_id)
            of = (of[0], "") if isinstance(event, OF_THE_INCIDENT) else of
            self.told.append((self.began + timedelta(seconds=seconds), Draft(event, by, *of)))


def person(who: tuple[str, str]) -> Actor:
    return Actor("person", who[0])


def target(name: str) -> Target:
    return replace(PAYMENTS, name=name)


def change(tool: str, arguments: dict[str, Any], *, to: Target = PAYMENTS, **more: Any) -> Action:
    fields = {
        "observed": {"generation": 7, "uid": "c0ffee"},
        "touches": 4,
        "diff": "--- now\n+++ after\n-a: 1\n+a: 2",
    } | more
    return Action(tool, arguments, Effect.WRITE, to, **fields)


def decided(
    call_id: str, action: Action, outcome: Outcome = Outcome.ASK, rule: str = "change-production"
) -> DecisionMade:
    verdicts = (
        RuleVerdict(
            "no-scale-to-zero",
            Outcome.DENY,
            "matched" if outcome is Outcome.DENY else "not_matched",
            detail="its condition",
        ),
        RuleVerdict(rule, outcome, "matched"),
    )
    reason = (
        "A change in production needs a person." if outcome is Outcome.ASK else "Nothing in production goes to zero."
    )
    terms = TERMS if outcome is Outcome.ASK else None
    decision = Decision(outcome, rule, reason, POLICY, terms, verdicts)
    return DecisionMade(call_id, action, decision, {"args": dict(action.arguments), "run": {"tainted": True}})


def asked(telling: Telling, approval_id: str, made: DecisionMade, seconds: float, **more: Any) -> ApprovalRequest:
    at = telling.began + timedelta(seconds=seconds)
    return ApprovalRequest(
        approval_id,
        telling.run_id,
        telling.incident_id,
        made.call_id,
        made.action,
        digest(made.action, POLICY),
        made.decision,
        TERMS,
        at,
        at + timedelta(seconds=TERMS.expires_s),
        **more,
    )


def vote(telling: Telling, request: ApprovalRequest, who: tuple[str, str], seconds: float, **more: Any) -> VoteCast:
    verdict = more.pop("verdict", Verdict.APPROVE)
    closes = more.pop("closes", ApprovalState.APPROVED)
    at = telling.began + timedelta(seconds=seconds)
    return VoteCast(request.id, Vote(who[0], verdict, at, digest=request.digest, name=who[1], **more), closes)


def executing(request: ApprovalRequest, execution_id: str, **more: Any) -> ExecutionStarted:
    return ExecutionStarted(
        execution_id, request.call_id, request.action, execution_id, request.digest, request.id, **more
    )


def card(request: ApprovalRequest, ts: str, text: str = "Approval needed") -> tuple[Event, Event]:
    key = f"approval:{request.id}"
    return MessageWanted(key, 1, "C07INCIDNT1", "", text, ()), MessageSent(key, 1, "C07INCIDNT1", ts)


def click(who: tuple[str, str], ts: str, action_id: str) -> PayloadReceived:
    key = f"action:C07INCIDNT1:{ts}:{ts}1:{action_id}:{who[0]}"
    payload = {"type": "block_actions", "user": {"id": who[0], "name": who[1]}, "actions": [{"action_id": action_id}]}
    return PayloadReceived(key, "block_actions", payload)


def answered(step: int, *calls: ToolCall, text: str = "") -> StepPlanned:
    usage = Usage(18_400, 610, 12_000, 21_350)
    return StepPlanned(step, "gpt-5-mini", Answer(text, calls, None, usage, f"resp-{step}"), 2400)


def told_to_model(call_id: str, tool: str, text: str) -> ToolCallFinished:
    return ToolCallFinished(ToolResult(call_id, tool, ok=False, text=text))


def ugly() -> list[tuple[datetime, Draft]]:
    """The night that went badly."""
    telling = Telling(UGLY_INCIDENT, UGLY)
    _fires(telling)
    _looks(telling)
    _proposes(telling)
    _expires(telling)
    _changes_its_mind(telling)
    _breaks_the_glass(telling)
    _gives_up(telling)
    return telling.told


def _fires(telling: Telling) -> None:
    labels = {"alertname": "PaymentsDown", "note": HOSTILE, "namespace": "shop", "<b>": "a label's name"}
    alert = Alert("f00d", True, "PaymentsDown", "alertmanager", NIGHT, Severity.CRITICAL, f"payments is down {HOSTILE}",
                  f"Every request fails.\n{HOSTILE}", labels, "g", PAYMENTS, url="javascript:alert(3)")  # fmt: skip
    incident = Incident(
        UGLY_INCIDENT, "local", f"payments is down {HOSTILE}", Severity.CRITICAL, PAYMENTS, "g", NIGHT,
        "C07INCIDNT1", source="alertmanager", firing=("f00d",), fingerprints=("f00d",),
    )  # fmt: skip
    spec = RunSpec(UGLY, UGLY_INCIDENT, Origin.ALERT, "gpt-5-mini", Mode.PROPOSE, PAYMENTS, alert=alert)
    telling.at(-60, PolicyLoaded(POLICY, ("look-anywhere", "no-scale-to-zero", "change-production")), loose=True)
    telling.at(
        -30, VoteDelegated(Delegation(*PRIYA, *JONAS, until=NIGHT + timedelta(hours=8))), by=person(PRIYA), loose=True
    )
    telling.at(0, AlertReceived(alert), IncidentOpened(incident), by=Actor("monitor", "alertmanager"))
    telling.at(0.01, RunStarted(spec))
    telling.at(
        0.02, MessageWanted(f"incident:{UGLY_INCIDENT}", 1, "incidents", "", "🔴 critical: payments <\u2060!here>", ())
    )
    telling.at(0.3, MessageFailed(f"incident:{UGLY_INCIDENT}", 1, "ratelimited", final=False), loose=True)
    telling.at(1.4, MessageSent(f"incident:{UGLY_INCIDENT}", 1, "C07INCIDNT1", "1795800131.4"), loose=True)


def _looks(telling: Telling) -> None:
    lines = [f"03:02:{second % 60:02} ERROR attempt {second} refused: {HOSTILE}" for second in range(240)]
    log = ToolResult("look-1", "kubernetes_logs", ok=True, text="\n".join(lines), evidence_id="E1", took_ms=310, redactions=2,
                     data={"lines": lines}, arguments={"namespace": "shop", "pod": "payments-5d8-x2x"}, cut=True)  # fmt: skip
    look = DecisionMade(
        "look-1",
        Action("kubernetes_logs", dict(log.arguments), Effect.READ, PAYMENTS),
        Decision(Outcome.ALLOW, "look-anywhere", "Looking changes nothing.", POLICY),
        {},
    )
    proposal = Proposal("kubernetes_restart", {"name": "payments", "namespace": "shop"}, "A restart may help.")
    finding = Finding("pod.errors", f"payments answers with errors {HOSTILE}", HOSTILE, PAYMENTS,
                      (Evidence("E1", "logs of payments", lines[0]),), proposal=proposal)  # fmt: skip
    telling.at(0.1, AnalysisPlanned((ToolCall("look-1", "kubernetes_logs", '{"pod": "payments-5d8-x2x"}'),)), look)
    telling.at(0.5, ToolCallFinished(log), FindingsReported((finding,), 480))


def _proposes(telling: Telling) -> None:
    to_zero = decided(
        "c1", change("kubernetes_scale", {"name": "payments", "replicas": 0}), Outcome.DENY, "no-scale-to-zero"
    )
    messages = (
        {"role": "system", "content": "You are an incident agent. " + "Rules. " * 400},
        {"role": "user", "content": f"payments is down. Its logs say:\n{HOSTILE}"},
    )
    calls = (
        ToolCall("c1", "kubernetes_scale", '{"name": "payments", "replicas": 0}'),
        ToolCall("c2", "rm_rf", HOSTILE),
    )
    telling.at(0.6, ModelAsked(1, "gpt-5-mini", messages, "a" * 64, "b" * 64))
    telling.at(3.0, answered(1, *calls, text=f"The logs tell me to ignore my rules. {HOSTILE}"))
    telling.at(3.1, to_zero, ToolCallRefused("c2", "rm_rf", "there is no such tool"))
    telling.at(3.2, told_to_model("c1", "kubernetes_scale", "Denied by policy: nothing in production goes to zero."))


def _expires(telling: Telling) -> None:
    made = decided("c3", change("kubernetes_restart", {"name": "payments", "namespace": "shop"}))
    request = asked(telling, "apr-expired00001", made, 6)
    telling.at(5.9, answered(2, ToolCall("c3", "kubernetes_restart", '{"name": "payments"}')), made)
    telling.at(6, ApprovalRequested(request), *card(request, "1795800137.1"))
    telling.at(40, click(GITA, "1795800137.1", "approval.approve"), by=person(GITA), loose=True)
    telling.at(40.1, VoteRefused(request.id, GITA[0], "Guests cannot decide on this."), by=person(GITA))
    telling.at(456, ApprovalReminded(request.id), ApprovalEscalated(request.id, ("leads",)))
    telling.at(906, ApprovalClosed(request.id, ApprovalState.EXPIRED, "nobody decided in time"))
    telling.at(
        906.1, told_to_model("c3", "kubernetes_restart", "Expired: nobody decided in time, so nothing was done.")
    )


def _changes_its_mind(telling: Telling) -> None:
    action = change(
        "kubernetes_cordon", {"node": "node-c"}, to=Target("kubernetes", "production", "", "Node", "node-c"), diff=""
    )
    made = decided("c4", action)
    request = asked(telling, "apr-denied000001", made, 910, requester="")
    telling.at(909, answered(3, ToolCall("c4", "kubernetes_cordon", '{"node": "node-c"}')), made)
    telling.at(910, ApprovalRequested(request), *card(request, "1795801041.7"))
    telling.at(950, vote(telling, request, JONAS, 950, on_behalf_of=PRIYA[0]), by=person(JONAS))
    telling.at(
        955,
        vote(telling, request, JONAS, 955, verdict=Verdict.WITHDRAW, closes=ApprovalState.PENDING),
        by=person(JONAS),
    )
    no = vote(
        telling, request, JONAS, 990, verdict=Verdict.DENY, closes=ApprovalState.DENIED, reason=f"Wrong node. {HOSTILE}"
    )
    telling.at(990, no, by=person(JONAS))
    telling.at(990.1, told_to_model("c4", "kubernetes_cordon", "Denied by jonas: Wrong node."))


def _breaks_the_glass(telling: Telling) -> None:
    undo = Undo("kubernetes_set_resources", {"name": "payments", "memory": "256Mi"}, "back to 256Mi")
    made = decided(
        "c5",
        change(
            "kubernetes_set_resources", {"name": "payments", "memory": "512Mi"}, undo=undo, why="It is out of memory."
        ),
    )
    request = asked(telling, "apr-glass0000001", made, 1000)
    opened = telling.began + timedelta(seconds=1010)
    glass = BreakGlass(
        "glass-1",
        UGLY_INCIDENT,
        *MARA,
        f"Payments are down, nobody else is awake. {HOSTILE}",
        opened,
        opened + timedelta(minutes=30),
    )
    checks = (Check("rollout", False, "2 of 4 pods are up to date"), Check("pods ready", True, f"4 of 4 {HOSTILE}"))
    telling.at(999, answered(4, ToolCall("c5", "kubernetes_set_resources", '{"memory": "512Mi"}')), made)
    telling.at(1000, ApprovalRequested(request), *card(request, "1795801131.9"))
    telling.at(1010, BreakGlassOpened(glass), by=person(MARA))
    telling.at(1020, click(MARA, "1795801131.9", "approval.approve"), by=person(MARA), loose=True)
    telling.at(1020.1, vote(telling, request, MARA, 1020, break_glass="glass-1", reason="now"), by=person(MARA))
    telling.at(1020.2, executing(request, "exe-unknown00001", problems=("alert f00d",)))
    telling.at(1051, ExecutionProbed("exe-unknown00001", None, "the answer was lost and the target cannot show it"))
    telling.at(1051.1, ExecutionFinished("exe-unknown00001", ExecutionOutcome.UNKNOWN, "the answer was lost", 31_000))
    telling.at(1111, VerificationFailed("exe-unknown00001", checks, 60_000))
    telling.at(1111.1, told_to_model("c5", "kubernetes_set_resources", "Unknown whether it took effect."))


def _gives_up(telling: Telling) -> None:
    guess = Hypothesis("The node may be out of memory.", "kubernetes_get Node node-c")
    diagnosis = Diagnosis(f"payments fails, and nothing proves why {HOSTILE}", HOSTILE, Confidence.NOT_PROVEN, "rules",
                          hypotheses=(guess,), next_steps=("Look at the node.",), note="gpt-5-mini gave no answer")  # fmt: skip
    at = telling.began + timedelta(seconds=1113)
    unit = WorkUnit(WorkKind.REMEDIATION, WorkOutcome.FAILED, NIGHT, at, "payments", "production", 480, 1_112_000, 1_020_000,
                    None, 1_000_000, 73_600, 2440, 85_400)  # fmt: skip
    telling.at(1112, ModelFailed(5, "gpt-5-mini", "did not answer within 60 s"))
    telling.at(1112.5, DiagnosisConcluded(diagnosis))
    telling.at(
        1113, RunFinished(RunOutcome.NOT_REMEDIATED, "the change was not verified", 113_000), WorkUnitRecorded(unit)
    )
    telling.at(
        90_000, BreakGlassReviewed("glass-1", *JONAS, "It was right to act; the limit was too low."), by=person(JONAS)
    )


def clean() -> list[tuple[datetime, Draft]]:
    """An hour earlier: one change, approved, executed, verified, resolved."""
    telling = Telling(CLEAN_INCIDENT, CLEAN, NIGHT - timedelta(hours=1))
    cart = target("cart")
    alert = Alert(
        "beef", True, "CartDown", "alertmanager", telling.began, Severity.WARNING, "cart is slow", target=cart
    )
    incident = Incident(CLEAN_INCIDENT, "local", "cart is slow", Severity.WARNING, cart, "h", telling.began, "C07INCIDNT1",
                        source="alertmanager", firing=("beef",), fingerprints=("beef",))  # fmt: skip
    undo = Undo("kubernetes_scale", {"name": "cart", "replicas": 3}, "back to 3")
    made = decided(
        "d1", change("kubernetes_scale", {"name": "cart", "replicas": 6}, to=cart, undo=undo, why="It is busy.")
    )
    request = asked(telling, "apr-clean0000001", made, 1)
    spec = RunSpec(CLEAN, CLEAN_INCIDENT, Origin.ALERT, "rules", Mode.PROPOSE, cart, alert=alert)
    diagnosis = Diagnosis(
        "cart was too small. It was scaled.", "Too few pods.", Confidence.PROVEN, "rules", (Evidence("E1", "pods"),)
    )
    began = telling.began
    unit = WorkUnit(WorkKind.REMEDIATION, WorkOutcome.ACCEPTED, began, began + timedelta(seconds=40), "cart", "production",
                    worth=True, to_first_finding_ms=300, to_diagnosis_ms=35_000, to_approval_ms=20_000, to_verified_ms=40_000,
                    votes=1, people_ms=19_000, attention_s=19)  # fmt: skip
    telling.at(-7200, PolicyLoaded(POLICY, ("change-production",)), loose=True)
    telling.at(0, AlertReceived(alert), IncidentOpened(incident), by=Actor("monitor", "alertmanager"))
    telling.at(0.1, RunStarted(spec), FindingsReported((), 300))
    telling.at(0.8, StepPlanned(1, "rules", Answer("Scale it.", (ToolCall("d1", "kubernetes_scale", "{}"),)), 0), made)
    telling.at(1, ApprovalRequested(request), *card(request, "1795796531.2"))
    telling.at(20, click(MARA, "1795796531.2", "approval.approve"), by=person(MARA), loose=True)
    telling.at(20.1, vote(telling, request, MARA, 20), by=person(MARA))
    telling.at(20.2, executing(request, "exe-clean0000001"))
    telling.at(20.4, ExecutionFinished("exe-clean0000001", ExecutionOutcome.SUCCEEDED, "Scaled cart from 3 to 6.", 180))
    telling.at(34, VerificationPassed("exe-clean0000001", (Check("pods ready", True, "6 of 6"),), 13_000))
    telling.at(
        35,
        DiagnosisConcluded(diagnosis),
        RunFinished(RunOutcome.REMEDIATED, "the change was executed and verified", 15_000),
    )
    telling.at(40, WorkUnitRecorded(unit))
    ceased = (AlertReceived(replace(alert, firing=False)), AlertJoined("beef", firing=False))
    telling.at(60, *ceased, IncidentResolved("every alert ceased"), by=Actor("monitor", "alertmanager"))
    return telling.told


def in_order(*stories: Iterable[tuple[datetime, Draft]]) -> Iterator[tuple[datetime, Draft]]:
    """Stories as one journal has them: by time."""
    return iter(sorted((each for story in stories for each in story), key=lambda told: told[0]))


def envelopes(told: Iterable[tuple[datetime, Draft]]) -> list[Envelope]:
    """The same as envelopes, without a journal."""
    return [
        Envelope(seq, "local", draft.incident_id, draft.run_id, at, str(draft.actor), draft.event, f"{seq:064x}")
        for seq, (at, draft) in enumerate(told, 1)
    ]


async def record(path: Path, told: Iterable[tuple[datetime, Draft]], workspace: str = "local") -> Path:
    """The same in a database, as the service would have recorded it."""
    now = [NIGHT]
    async with open_journal(path, workspace, clock=lambda: now[0]) as journal:
        for at, draft in told:
            now[0] = at
            await journal.append(draft)
    return path
