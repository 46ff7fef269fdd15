"""The built-in model: it proposes once what the heaviest finding proposes, then says what became of it and what is known."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bot.models.rules import Rules
from domain.actions import Action, Effect, Mode, Target
from domain.canonical import canonical
from domain.codec import encode
from domain.decisions import (
    Approval,
    ApprovalRequest,
    ApprovalState,
    ApprovalTerms,
    Check,
    Decision,
    Execution,
    ExecutionOutcome,
    Outcome,
    Verdict,
    Vote,
)
from domain.diagnosis import Confidence, Diagnosis, Evidence, Finding, Proposal
from domain.ports import ToolOffer
from domain.runs import Answer, Call, Origin, Run, RunSpec, ToolCall, ToolResult

AT = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
CHECKOUT = Target("kubernetes", "production", "shop", "Deployment", "checkout")
ROLLBACK = Proposal(
    "kubernetes_rollback",
    {"namespace": "shop", "name": "checkout", "to_revision": 3},
    "Revision 3 (checkout:1.9) has 2 ready pods right now.",
)
OFFERS = tuple(
    ToolOffer(name, "", {}) for name in ("kubernetes_get", "kubernetes_rollback", "kubernetes_set_resources")
)


def finding(code: str = "deployment.bad_rollout", **more: Any) -> Finding:
    facts = {"confidence": "proven", "next_steps": ["Find what breaks it."]} | more.pop("facts", {})
    defaults: dict[str, Any] = {
        "title": "Revision 4 of checkout is bad",
        "detail": "3 of 3 pods crash.",
        "target": CHECKOUT,
        "evidence": (Evidence("E2", "rollout history", "image"),),
        "weight": 100,
    }
    return Finding(code, **(defaults | more), facts=facts)


BAD = finding(proposal=ROLLBACK)
CRASH = finding(
    "pod.crash_loop",
    title="Container app keeps crashing",
    evidence=(Evidence("E3", "pods"), Evidence("E4", "logs")),
    weight=80,
    facts={"confidence": "likely", "hypotheses": [["What its last line says", "Check it"]]},
)
HEALTHY = finding("deployment.healthy", title="checkout is healthy: 3 of 3 pods ready", healthy=True, weight=10)
UNREAD = finding(
    "read.failed",
    title="Could not look at the pods",
    detail="forbidden",
    evidence=(),
    weight=5,
    facts={"confidence": "not_proven", "next_steps": []},
)


def run(*findings: Finding, target: Target = CHECKOUT, question: str = "", **more: Any) -> Run:
    spec = RunSpec("run-1", "inc-1", Origin.ALERT, "rules", Mode.PROPOSE, target, question)
    return Run(spec, AT, findings=findings, **more)


def looked(tool: str = "kubernetes_get") -> Call:
    action = Action(tool, {}, Effect.READ, CHECKOUT)
    return Call(ToolCall("look-1", tool, "{}"), 0, action, result=ToolResult("look-1", tool, ok=True, text=""))


def settled(text: str, *, ok: bool = False, **more: Any) -> dict[str, Call]:
    """The rollback call of the first step, with a result that says what became of it."""
    action = Action("kubernetes_rollback", ROLLBACK.arguments, Effect.WRITE, CHECKOUT)
    call = Call(ToolCall("rules-1", "kubernetes_rollback", "{}"), 1, more.pop("action", action), **more)
    return {"rules-1": replace(call, result=ToolResult("rules-1", "kubernetes_rollback", ok=ok, text=text))}


async def answer(given: Run, offers: tuple[ToolOffer, ...] = OFFERS) -> Answer:
    return await Rules().request(given, offers).send()


async def concluded(given: Run) -> Diagnosis:
    said = await answer(given)
    assert said.calls == ()
    assert said.diagnosis is not None
    assert said.text == said.diagnosis.summary
    return said.diagnosis


# --- proposing --------------------------------------------------------------------------------------------------------


async def test_the_heaviest_findings_proposal_becomes_a_call() -> None:
    said = await answer(run(BAD, CRASH))
    assert said.diagnosis is None
    (call,) = said.calls
    assert call.tool == "kubernetes_rollback"
    assert json.loads(call.arguments) == ROLLBACK.arguments
    assert call.arguments.encode() == canonical(dict(ROLLBACK.arguments))
    assert ROLLBACK.why in said.text


async def test_the_same_run_gives_the_same_call_id_and_request_hash() -> None:
    one, other = Rules().request(run(BAD), OFFERS), Rules().request(run(BAD), OFFERS)
    assert one.request_hash == other.request_hash
    assert (await one.send()).calls == (await other.send()).calls


async def test_a_request_says_what_it_was_decided_from() -> None:
    before, after = Rules().request(run(BAD), OFFERS), Rules().request(run(BAD, calls=settled("Denied.")), OFFERS)
    assert before.request_hash != after.request_hash
    assert before.messages[0]["findings"] == [["deployment.bad_rollout", "kubernetes/shop/Deployment/checkout"]]
    assert after.messages[0]["settled"] == [["rules-1", "Denied."]]
    canonical(list(after.messages))


async def test_without_tools_it_concludes_and_says_how_to_do_it_by_hand() -> None:
    said = await answer(run(BAD, CRASH), ())
    assert said.calls == ()
    assert said.diagnosis is not None
    assert said.diagnosis.next_steps[0].endswith("rollout undo deployment/checkout --to-revision=3")


async def test_a_tool_that_is_not_offered_is_not_called() -> None:
    assert (await answer(run(BAD), OFFERS[:1])).calls == ()


async def test_only_the_heaviest_finding_may_propose() -> None:
    lesser = finding("pod.oom_killed", proposal=ROLLBACK, weight=50)
    assert (await answer(run(CRASH, lesser))).calls == ()


async def test_what_was_measured_stands_at_the_end_of_the_cause_however_much_was_found() -> None:
    measured = finding("measured.alert", title="TooManyErrors: 0.31 now, above 0.05 since 11:52", weight=31)
    many = [finding(f"pod.trouble_{number}", title=f"Trouble {number}") for number in range(5)]
    said = await concluded(run(*many, measured))
    assert said.summary.startswith("Trouble 0.")
    also = "Also: Trouble 1; Trouble 2; Trouble 3."
    assert said.cause.endswith(f"{also} Measured: TooManyErrors: 0.31 now, above 0.05 since 11:52.")


async def test_a_healthy_finding_never_proposes() -> None:
    assert (await answer(run(replace(HEALTHY, proposal=ROLLBACK)))).calls == ()


# --- what became of it ------------------------------------------------------------------------------------------------


def approval(state: ApprovalState, by: str = "", reason: str = "", votes: tuple[Vote, ...] = ()) -> Approval:
    action = Action("kubernetes_rollback", ROLLBACK.arguments, Effect.WRITE, CHECKOUT)
    decision, terms = Decision(Outcome.ASK, "r", "", "h"), ApprovalTerms(("approvers",))
    later = AT + timedelta(minutes=30)
    request = ApprovalRequest("a", "run-1", "inc-1", "rules-1", action, "d", decision, terms, AT, later)
    return Approval(request, state, votes, closed_by=by, closed_reason=reason)


DENIED = approval(ApprovalState.DENIED, "Ada", "not now")
EXPIRED = approval(ApprovalState.EXPIRED, reason="nobody decided in time")
OBSERVED = approval(ApprovalState.CANCELLED, reason="observe mode: this would have been asked")
POLICY = "kubernetes_rollback was denied by policy (rule freeze): no changes"


@pytest.mark.parametrize(
    ("told", "calls"),
    [
        ("The rollback was denied by Ada: not now.", settled("Denied by Ada: not now.", approval=DENIED)),
        ("The rollback expired: nobody decided in time.", settled("Expired", approval=EXPIRED)),
        ("The rollback was cancelled: observe mode: this would have been asked.", settled("", approval=OBSERVED)),
        (POLICY, settled(POLICY)),
        ("unusable arguments: no", settled("unusable arguments: no", action=None)),
        ("cannot be proposed: not found", settled("kubernetes_rollback cannot be proposed: not found", action=None)),
    ],
)
async def test_a_settled_proposal_is_not_repeated_and_its_end_is_told(told: str, calls: dict[str, Call]) -> None:
    diagnosis = await concluded(run(BAD, CRASH, calls=calls))
    assert told in diagnosis.summary
    assert diagnosis.next_steps[0].startswith("By hand: kubectl -n shop rollout undo")


def executed(outcome: ExecutionOutcome = ExecutionOutcome.SUCCEEDED, **more: Any) -> Execution:
    action = Action("kubernetes_rollback", ROLLBACK.arguments, Effect.WRITE, CHECKOUT)
    return Execution("x", "rules-1", action, "k", AT, outcome=outcome, **more)


PODS = Check("pods ready", passed=False, detail="0 of 3 ready")
DONE = Check("change in place", passed=True, detail="the object shows the change")


async def test_a_verified_execution_needs_no_hand() -> None:
    by_ada = approval(ApprovalState.CONSUMED, votes=(Vote("U1", Verdict.APPROVE, AT, name="Ada"),))
    calls = settled("done", ok=True, execution=executed(verified=True, checks=(DONE,)), approval=by_ada)
    diagnosis = await concluded(run(BAD, calls=calls))
    assert diagnosis.summary.endswith("The rollback was approved by Ada, executed and verified.")
    assert not any(step.startswith("By hand") for step in diagnosis.next_steps)


@pytest.mark.parametrize(
    ("execution", "told"),
    [
        (
            executed(verified=False, checks=(DONE, PODS)),
            "The rollback was executed, but its check does not hold: pods ready: 0 of 3 ready.",
        ),
        (
            executed(ExecutionOutcome.FAILED, detail="the API server refused it"),
            "The rollback was tried and failed, so nothing was changed: the API server refused it.",
        ),
        (
            executed(ExecutionOutcome.UNKNOWN, verified=False, checks=(PODS,)),
            "The rollback was sent, and whether it took effect is unknown: pods ready: 0 of 3 ready.",
        ),
    ],
)
async def test_an_execution_that_did_not_help_is_told_and_not_repeated(execution: Execution, told: str) -> None:
    diagnosis = await concluded(run(BAD, calls=settled("…", execution=execution)))
    assert diagnosis.summary.endswith(told)


async def test_why_no_rollback_is_proposed_stands_in_the_summary() -> None:
    not_blamed = finding("deployment.rollout_not_blamed", title="No rollback: revision 2 was complete", weight=25)
    diagnosis = await concluded(run(CRASH, not_blamed))
    assert diagnosis.summary == (
        "Container app keeps crashing. Nothing is proposed. No rollback: revision 2 was complete."
    )
    assert "Also" not in diagnosis.cause


async def test_a_proposal_that_another_model_made_is_not_made_again() -> None:
    calls = {
        key: replace(call, call=replace(call.call, id="call_abc")) for key, call in settled("Denied by Ada.").items()
    }
    assert (await answer(run(BAD, calls=calls))).calls == ()


# --- concluding -------------------------------------------------------------------------------------------------------


async def test_the_conclusion_cites_the_findings_evidence_in_their_order() -> None:
    diagnosis = await concluded(run(CRASH, finding("pod.exited", weight=70)))
    assert [item.id for item in diagnosis.evidence] == ["E3", "E4", "E2"]
    assert diagnosis.by == "rules"
    assert diagnosis.confidence is Confidence.LIKELY
    assert diagnosis.hypotheses[0].text == "What its last line says"


async def test_a_proven_cause_needs_no_hypothesis() -> None:
    diagnosis = await concluded(run(replace(BAD, proposal=None), CRASH))
    assert diagnosis.confidence is Confidence.PROVEN
    assert diagnosis.hypotheses == ()
    assert "Also: Container app keeps crashing" in diagnosis.cause


async def test_a_claim_without_evidence_is_never_proven() -> None:
    assert (await concluded(run(finding(evidence=())))).confidence is Confidence.NOT_PROVEN


async def test_an_unknown_confidence_is_not_proven() -> None:
    assert (await concluded(run(finding(facts={"confidence": "certain"})))).confidence is Confidence.NOT_PROVEN


async def test_a_healthy_workload_is_said_to_be_and_nothing_is_proposed() -> None:
    diagnosis = await concluded(run(HEALTHY))
    assert diagnosis.summary == "checkout is healthy: 3 of 3 pods ready. Nothing is proposed."


async def test_without_findings_it_is_not_proven_and_what_was_looked_at_is_listed() -> None:
    diagnosis = await concluded(run(calls={"look-1": looked()}))
    assert diagnosis.confidence is Confidence.NOT_PROVEN
    assert diagnosis.summary.startswith("Not proven")
    assert "kubernetes_get shop/deployment/checkout" in diagnosis.cause
    assert diagnosis.next_steps


async def test_what_could_not_be_looked_at_is_no_finding_of_health() -> None:
    diagnosis = await concluded(run(UNREAD, calls={"look-1": looked()}))
    assert "could not be looked at" in diagnosis.summary
    assert diagnosis.next_steps[0] == "Could not look at the pods: forbidden"
    assert diagnosis.confidence is Confidence.NOT_PROVEN


async def test_what_could_not_be_looked_at_is_said_beside_a_cause() -> None:
    diagnosis = await concluded(run(CRASH, UNREAD))
    assert "Could not look at the pods: forbidden" in diagnosis.next_steps


async def test_a_question_about_nothing_known_is_answered_with_what_can_be_asked() -> None:
    diagnosis = await concluded(run(target=Target(), question="what is the weather?"))
    assert "not clear which workload" in diagnosis.summary
    assert any("deployment/checkout in shop" in step for step in diagnosis.next_steps)


async def test_it_says_for_which_model_it_stands_in() -> None:
    diagnosis = await concluded(run(CRASH, model_failure="gpt-x: did not answer within 90 s"))
    assert diagnosis.note == "gpt-x: did not answer within 90 s: built-in rules only"
    assert (await concluded(run(CRASH))).note == ""


async def test_a_memory_limit_by_hand_is_a_command() -> None:
    arguments = {
        "namespace": "shop",
        "kind": "Deployment",
        "name": "checkout",
        "container": "app",
        "limits": {"memory": "384Mi"},
        "requests": {"memory": "384Mi"},
    }
    said = await answer(run(finding(proposal=Proposal("kubernetes_set_resources", arguments, "why"))), ())
    assert said.diagnosis is not None
    assert said.diagnosis.next_steps[0] == (
        "By hand: kubectl -n shop set resources deployment/checkout -c app --requests=memory=384Mi --limits=memory=384Mi"
    )


async def test_an_answer_is_canonical_json() -> None:
    for given in (run(BAD), run(CRASH, UNREAD), run(HEALTHY), run()):
        canonical(encode(await answer(given)))


async def test_nothing_is_kept_between_runs() -> None:
    model = Rules()
    model.forget("run-1")
    assert model.name == "rules"
    assert vars(model) == {}
