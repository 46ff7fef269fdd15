"""The approval card in every state: one word, what a person needs, and never a button that does nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from domain.actions import Effect, Mode, Target
from domain.decisions import (
    Approval,
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
from domain.plane import Status
from domain.ports import RunRow
from domain.runs import Origin, RunSpec, RunStatus
from handlers import cards_home, cards_info, dialogs
from handlers.blocks import problems, view_problems
from handlers.cards_approval import approval as card, call_to, title_of, value_of, word_of
from handlers.cards_batch import batch
from tests.slack_harness import CHECKOUT, action_of, incident_of, request_of
from tests.unit.test_cards import NASTY, accepted, tame

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
MARA = Vote("U07MARA0001", Verdict.APPROVE, NOON, name="Mara")


def execution_of(outcome: ExecutionOutcome | None = ExecutionOutcome.SUCCEEDED, **more: Any) -> Execution:
    action = action_of()
    return Execution("x1", "c1", action, "key", NOON, "a1", outcome, more.pop("detail", ""), action.undo, **more)


def buttons(approval: Approval) -> list[str]:
    rows = [block["elements"] for block in card(approval).blocks if block["type"] == "actions"]
    return [button["text"]["text"] for row in rows for button in row]


STATES = [
    (Approval(request_of()), "Approval needed", ["Approve", "Deny", "Edit…", "Why?"]),
    (Approval(request_of(observe_only=True)), "Would ask", ["Why?"]),
    (Approval(request_of(), votes=(MARA,)), "Approval needed", ["Approve", "Deny", "Take back", "Edit…", "Why?"]),
    (Approval(request_of(), ApprovalState.APPROVED, (MARA,)), "Approved", ["Take back", "Deny", "Why?"]),
    (Approval(request_of(), ApprovalState.DENIED, closed_by="U07MARA0001", closed_reason="no"), "Denied", []),
    (Approval(request_of(), ApprovalState.EXPIRED, closed_at=NOON), "Expired", []),
    (Approval(request_of(), ApprovalState.CANCELLED, closed_reason="the alert resolved"), "Cancelled", []),
    (Approval(request_of(), ApprovalState.SUPERSEDED, closed_reason="edited by Jonas"), "Superseded", []),
    (Approval(request_of(), ApprovalState.CONSUMED, (MARA,), execution=execution_of(None)), "Executing", []),
    (Approval(request_of(), ApprovalState.CONSUMED, (MARA,), execution=execution_of()), "Executed", []),
    (
        Approval(
            request_of(),
            ApprovalState.CONSUMED,
            (MARA,),
            execution=execution_of(verified=True, checks=(Check("pods ready", True, "3 of 3"),)),
        ),
        "Verified",
        [],
    ),
    (
        Approval(
            request_of(),
            ApprovalState.CONSUMED,
            (MARA,),
            execution=execution_of(verified=False, checks=(Check("pods ready", False, "1 of 3"),)),
        ),
        "Failed",
        ["Propose undo", "Why?"],
    ),
    (
        Approval(
            request_of(),
            ApprovalState.CONSUMED,
            (MARA,),
            execution=execution_of(ExecutionOutcome.FAILED, detail="403 forbidden"),
        ),
        "Failed",
        ["Propose undo", "Why?"],
    ),
    (
        Approval(request_of(), ApprovalState.CONSUMED, (MARA,), execution=execution_of(ExecutionOutcome.UNKNOWN)),
        "Unknown",
        ["Propose undo", "Why?"],
    ),
]


@pytest.mark.parametrize(
    ("approval", "word", "offered"), STATES, ids=[f"{w}-{n}" for n, (_, w, _) in enumerate(STATES)]
)
def test_each_state_has_its_word_and_only_the_buttons_that_work(
    approval: Approval, word: str, offered: list[str]
) -> None:
    body = card(approval)
    assert body.blocks[0]["text"]["text"] == f"{word}: roll back checkout"
    assert body.text.startswith(f"{word}: roll back checkout (shop/deployment/checkout, production)")
    assert buttons(approval) == offered
    accepted(body)
    tame(body)


def test_a_pending_card_shows_the_exact_call_and_the_dry_run_literally() -> None:
    body = card(Approval(request_of()))
    literal = [b["elements"][0] for b in body.blocks if b["type"] == "rich_text"]
    shown = [part["elements"][0]["text"] for part in literal if part["type"] == "rich_text_preformatted"]
    assert shown[0] == 'kubernetes_rollback\nname = "checkout"\nnamespace = "shop"\nrevision = 3'
    assert "+  image: shop/checkout:1.8.4" in shown[1]


def test_a_pending_card_says_effect_reach_expiry_rule_and_who_may_answer() -> None:
    request = request_of(requester="U07PRIYA001")
    said = str(card(Approval(request)).blocks)
    expiry = f"<!date^{int(request.expires_at.timestamp())}^{{time}}|"
    for part in (
        "🟡 Change",
        "3 pods",
        expiry,
        "`prod-writes`",
        "<@U07PRIYA001>",
        "Needs 1 of approvers",
        "`d1ge57d1ge57`",
    ):
        assert part in said


def test_approving_asks_again_and_in_red_for_what_destroys() -> None:
    def style(effect: Effect) -> str:
        row = next(
            b for b in card(Approval(request_of(action=action_of(effect=effect)))).blocks if b["type"] == "actions"
        )
        return str(row["elements"][0]["confirm"]["style"])

    assert style(Effect.WRITE) == "primary"
    assert style(Effect.DESTRUCTIVE) == "danger"


def test_a_button_carries_the_request_and_the_digest_and_never_the_command() -> None:
    request = request_of()
    row = next(block for block in card(Approval(request)).blocks if block["type"] == "actions")
    assert {button["value"] for button in row["elements"]} == {value_of(request)} == {f"a1 {request.digest}"}


def test_an_observe_only_card_says_that_it_cannot_execute() -> None:
    assert "It cannot execute." in str(card(Approval(request_of(observe_only=True))).blocks)


def test_a_partly_voted_card_says_who_is_still_needed() -> None:
    terms = ApprovalTerms(("approvers",), quorum=2)
    said = str(card(Approval(request_of(terms=terms), votes=(MARA,))).blocks)
    assert "Needs 2 of approvers (1 so far: <@U07MARA0001>)" in said


def test_a_card_says_whom_it_called_and_who_may_decide_since() -> None:
    terms = ApprovalTerms(("approvers",), escalate_to=("leads",))
    asked = Approval(request_of(terms=terms), reminded_at=NOON)
    assert "Needs 1 of approvers" in str(card(asked).blocks)
    assert "Reminded" in str(card(asked).blocks)
    escalated = str(card(replace(asked, escalated_at=NOON)).blocks)
    assert "Needs 1 of approvers, leads" in escalated
    assert "*Escalated*" in escalated
    assert "leads may decide as well" in escalated


def test_a_call_to_people_mentions_them_and_says_what_happens_without_them() -> None:
    body = call_to(Approval(request_of()), ("<!subteam^S1>", "<@U1>"), escalated=False)
    accepted(body)
    assert "<!subteam^S1> <@U1>" in str(body.blocks)
    assert "expires" in str(body.blocks)
    assert "nothing is executed" in str(body.blocks)
    assert "Nobody is in the group" in str(call_to(Approval(request_of()), (), escalated=True).blocks)


def test_nobody_to_ask_is_said_on_the_card() -> None:
    assert "nobody: the policy names no group" in str(card(Approval(request_of(terms=ApprovalTerms(())))).blocks)


def test_arguments_that_do_not_fit_are_announced_before_anybody_approves() -> None:
    request = request_of(action=action_of(arguments={"patch": "x" * 10_000}))
    body = card(Approval(request))
    accepted(body)
    assert "Not all of the arguments fit here." in str(body.blocks)


def test_a_failure_offers_the_stored_undo_and_lists_the_checks() -> None:
    said = str(card(STATES[11][0]).blocks)
    assert "✗ pods ready: 1 of 3" in said
    assert "*The stored undo*" in said
    assert "revision = 4" in said


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(text=NASTY, state=st.sampled_from(ApprovalState), outcome=st.sampled_from([None, *ExecutionOutcome]))
def test_a_card_of_any_text_in_any_state_is_sendable_and_tame(
    text: str, state: ApprovalState, outcome: ExecutionOutcome | None
) -> None:
    target = Target(text, text, text, text, text)
    action = action_of(tool=text or "t", target=target, diff=text * 3, why=text, arguments={text: text, "n": [text]})
    terms = ApprovalTerms((text, text), reason="always")
    decision = Decision(Outcome.ASK, text, text, text, terms, warnings=(text,) * 5)
    request = request_of(
        text, action=action, terms=terms, decision=decision, requester=text, editor=text, note=text, digest=text
    )
    checks = tuple(Check(text, passed, text) for passed in (True, False))
    execution = Execution("x", "c", action, "k", NOON, "", outcome, text, action.undo, outcome is None, checks)
    vote = Vote(text, Verdict.APPROVE, NOON, text, name=text)
    for done in (None, execution):
        body = card(Approval(request, state, (vote,), text, text, NOON, done))
        accepted(body)
        tame(body)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(text=NASTY)
def test_dialogs_and_home_of_any_text_are_valid_views(text: str) -> None:
    request = request_of(action=action_of(arguments={"name": text, "many": {"x": text}}, target=Target(name=text)))
    assert view_problems(dialogs.reason(request, Verdict.DENY, "d" * 64, "C1", "1.2")) == []
    assert view_problems(dialogs.edit(request, "C1", "1.2")) == []
    status = status_of(paused=text, model=text, policy_problems=(text,) * 3)
    incidents = tuple(incident_of(title=text, channel="C07ALERTS01") for _ in range(40))
    pending = (Approval(request),) * 30
    assert (
        view_problems(
            cards_home.home(
                replace(status, open_incidents=incidents, pending=pending),
                {one.id: "https://acme.slack.com/x" for one in incidents},
            )
        )
        == []
    )
    body = cards_info.status(replace(status, open_incidents=incidents, pending=pending))
    assert problems(list(body.blocks)) == []
    tame(body)


def status_of(**more: Any) -> Status:
    fields: dict[str, Any] = {"paused": "", "model": "rules", "policy_hash": "f" * 64, "policy_problems": ()} | more
    return Status(Mode.PROPOSE, open_incidents=(), pending=(), running=(), **fields)


def test_an_edit_changes_only_what_was_typed_and_keeps_types() -> None:
    arguments = {"name": "checkout", "revision": 3, "deep": {"a": 1}}
    typed = {
        "argument.name": {"value": {"value": "checkout"}},
        "argument.revision": {"value": {"value": "2"}},
        "argument.deep": {"value": {"value": '{"a": 2}'}},
    }
    assert dialogs.edited(arguments, typed) == {"name": "checkout", "revision": 2, "deep": {"a": 2}}


def test_titles_are_short_sentences() -> None:
    assert title_of(action_of()) == "roll back checkout"
    assert title_of(action_of(tool="kubernetes_scale")) == "scale checkout"
    assert title_of(action_of(tool="unheard_of_tool")) == "unheard of tool checkout"
    assert word_of(Approval(request_of())) == "Approval needed"


def test_help_names_every_command_and_a_run_list_is_one_line_each() -> None:
    said = str(cards_info.help_text())
    for name, _, _ in cards_info.COMMANDS:
        assert f"/agent {name}" in said
    spec = RunSpec("r1", "i1", Origin.ALERT, "rules", Mode.PROPOSE, CHECKOUT)
    rows = [RunRow(spec, RunStatus.FINISHED, NOON)] * 3
    accepted(cards_info.runs(rows))
    accepted(cards_info.runs([]))
    accepted(cards_info.incidents([]))
    accepted(cards_info.incidents([incident_of(channel="C07ALERTS01")] * 30))


@pytest.mark.parametrize("state", [ApprovalState.DENIED, ApprovalState.SUPERSEDED])
def test_a_display_name_that_looks_like_a_user_id_mentions_nobody(state: ApprovalState) -> None:
    """Anybody may call themselves U024BE7LH: the person of that id must not be blamed."""
    assert "<@U024BE7LH>" not in str(card(Approval(request_of(), state, closed_by="U024BE7LH")).blocks)


def test_who_denied_is_mentioned_by_the_id_in_the_vote() -> None:
    denied = Vote("U07MARA0001", Verdict.DENY, NOON, "no", name="U024BE7LH")
    shown = str(card(Approval(request_of(), ApprovalState.DENIED, (denied,), closed_by="U024BE7LH")).blocks)
    assert "*Denied* by <@U07MARA0001>" in shown
    assert "U024BE7LH" not in shown


@pytest.mark.parametrize("ended", range(0, 21, 4))
def test_a_card_of_twenty_long_changes_keeps_its_buttons(ended: int) -> None:
    action = action_of(arguments={"name": "n" * 440}, diff="", target=replace(CHECKOUT, name="t" * 200))
    items = [
        Approval(
            request_of(f"a{number}", action=action, batch="b1", note="w" * 200),
            ApprovalState.SUPERSEDED if number < ended else ApprovalState.PENDING,
            closed_reason="r" * 200 if number < ended else "",
        )
        for number in range(20)
    ]
    body = batch(items)
    accepted(body)
    assert body.blocks[-1]["type"] == "actions"
    assert sum(block["type"] == "rich_text" for block in body.blocks) == 20
    assert ("Not all of each change" in str(body.blocks)) is (ended <= 8)
    assert ("`a19`" in str(body.blocks)) is (ended <= 8), "what does not fit can be asked for by its id"
