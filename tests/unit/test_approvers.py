"""Votes: by distinct full members of the group, never by requester, editor, bot, guest or stranger, then and at execution."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, strategies as st

from domain.actions import digest
from domain.authority import Authority
from domain.decisions import Approval, ApprovalRequest, ApprovalState, ApprovalTerms, Decision, Outcome, Verdict, Vote
from domain.errors import NotAllowed
from domain.ports import Person
from policies.approvers import (
    brings_about,
    check_vote,
    check_withdrawal,
    due,
    render_groups,
    still_entitled,
    tally,
)
from tests.unit.policy_samples import NOW, action

MEMBERS = Authority({"approvers": frozenset({"UANA", "UBOB", "UREQ", "UEDIT"}), "leads": frozenset({"ULEE"})})
TERMS = ApprovalTerms(groups=("approvers",))


def approval(state: ApprovalState = ApprovalState.PENDING, votes: tuple[Vote, ...] = (), **terms: Any) -> Approval:
    wanted = replace(TERMS, **terms)
    request = ApprovalRequest(
        id="apr-1",
        run_id="run-1",
        incident_id="inc-1",
        call_id="c1",
        action=action(),
        digest=digest(action(), "hash"),
        decision=Decision(Outcome.ASK, "r", "because", "hash", wanted),
        terms=wanted,
        requested_at=NOW,
        expires_at=NOW + timedelta(minutes=30),
        requester="UREQ",
        editor="UEDIT",
    )
    return Approval(request, state, votes, closed_by="Bob" if state is not ApprovalState.PENDING else "")


def vote(user: str = "UANA", verdict: Verdict = Verdict.APPROVE, **changes: Any) -> Vote:
    values: dict[str, Any] = {"digest": digest(action(), "hash"), "name": user.title()}
    return Vote(user, verdict, NOW, **(values | changes))


def person(user: str = "UANA", *, full_member: bool = True, why_not: str = "") -> Person:
    return Person(user, user.title(), full_member, why_not)


def refusal(on: Approval, cast: Vote, who: Person | None = None, *, minutes: int = 1) -> str:
    with pytest.raises(NotAllowed) as caught:
        check_vote(on, cast, who or person(cast.user), MEMBERS, NOW + timedelta(minutes=minutes))
    return str(caught.value)


def test_a_full_member_of_the_group_may_vote() -> None:
    check_vote(approval(), vote(), person(), MEMBERS, NOW)


def test_the_requester_never_votes_even_as_an_approver() -> None:
    assert refusal(approval(exclude=()), vote("UREQ")) == "You asked for this, so somebody else has to decide."


def test_the_editor_never_votes() -> None:
    assert refusal(approval(), vote("UEDIT")) == "You edited this, so somebody else has to decide."


@pytest.mark.parametrize("why", ["Guests cannot decide.", "Bots cannot decide.", ""])
def test_a_guest_a_bot_and_a_stranger_never_vote(why: str) -> None:
    said = refusal(approval(), vote(), person(full_member=False, why_not=why))
    assert said == (
        why or "Only full members of this workspace can decide on this; guests, bots and outside users cannot."
    )


def test_an_outsider_of_the_group_is_told_which_group_decides() -> None:
    said = refusal(approval(groups=("approvers", "leads")), vote("UZED"))
    assert said == "Only members of approvers or leads can decide on this, and you are not one of them."


def test_a_group_without_members_lets_nobody_vote() -> None:
    with pytest.raises(NotAllowed, match="Only members of approvers"):
        check_vote(approval(), vote(), person(), Authority({"approvers": frozenset()}), NOW)
    with pytest.raises(NotAllowed, match="Only members of approvers"):
        check_vote(approval(), vote(), person(), Authority({}), NOW)


def test_members_of_an_excluded_group_do_not_vote_nor_does_anybody_while_it_is_unknown() -> None:
    on = approval(groups=("approvers", "leads"), exclude=("requester", "leads"))
    assert refusal(on, vote("ULEE")) == "Members of leads are excluded from this decision."
    check_vote(on, vote(), person(), MEMBERS, NOW)
    with pytest.raises(NotAllowed, match="excluded"):
        check_vote(on, vote(), person(), Authority({"approvers": frozenset({"UANA"})}), NOW)


def test_a_vote_on_an_old_card_is_refused() -> None:
    assert "has changed since you looked at it" in refusal(approval(), vote(digest="0" * 64))
    assert "has changed since you looked at it" in refusal(approval(), vote(digest=""))


def test_after_expiry_no_vote_counts() -> None:
    check_vote(approval(), vote(), person(), MEMBERS, NOW + timedelta(minutes=29, seconds=59))
    assert "has expired" in refusal(approval(), vote(), minutes=30)


@pytest.mark.parametrize(
    ("state", "sentence"),
    [
        (ApprovalState.APPROVED, "This was already approved by Bob."),
        (ApprovalState.CONSUMED, "This was already approved and executed by Bob."),
        (ApprovalState.DENIED, "This was already denied by Bob."),
        (ApprovalState.EXPIRED, "This has expired by Bob."),
        (ApprovalState.CANCELLED, "This was cancelled by Bob."),
        (ApprovalState.SUPERSEDED, "This was replaced by a newer request by Bob."),
    ],
)
def test_a_decided_request_says_what_became_of_it_and_by_whom(state: ApprovalState, sentence: str) -> None:
    if state is ApprovalState.EXPIRED:
        sentence = "This has expired."
        assert refusal(replace(approval(state), closed_by=""), vote()) == sentence
    else:
        assert refusal(approval(state), vote()) == sentence


def test_an_approval_can_be_revoked_until_it_is_consumed() -> None:
    deny = vote("UBOB", Verdict.DENY, reason="not now")
    check_vote(approval(ApprovalState.APPROVED), deny, person("UBOB"), MEMBERS, NOW)
    assert "already approved and executed" in refusal(approval(ApprovalState.CONSUMED), deny)


def taken_back(on: Approval, by: str = "UANA", **changes: Any) -> None:
    check_withdrawal(on, vote(by, Verdict.WITHDRAW, **changes), NOW)


@pytest.mark.parametrize("state", [ApprovalState.PENDING, ApprovalState.APPROVED])
def test_who_approved_may_take_it_back_while_it_is_not_consumed(state: ApprovalState) -> None:
    taken_back(approval(state, (vote(),)))
    with pytest.raises(NotAllowed, match="nothing to take back"):
        taken_back(approval(state, (vote("UBOB"),)))
    with pytest.raises(NotAllowed, match="nothing to take back"):
        taken_back(approval(state, (vote(), vote(verdict=Verdict.WITHDRAW))))
    with pytest.raises(NotAllowed, match="has changed"):
        taken_back(approval(state, (vote(),)), digest="0" * 64)


def test_what_is_consumed_is_not_taken_back() -> None:
    with pytest.raises(NotAllowed, match="approved and executed"):
        taken_back(approval(ApprovalState.CONSUMED, (vote(),)))


def test_a_vote_brings_about_a_state_or_leaves_it() -> None:
    approved = approval(ApprovalState.APPROVED, (vote(),))
    assert brings_about(approval(), vote()) is ApprovalState.APPROVED
    assert brings_about(approval(quorum=2), vote()) is None
    assert brings_about(approved, vote(verdict=Verdict.WITHDRAW)) is ApprovalState.PENDING
    assert brings_about(approved, vote("UBOB", Verdict.DENY)) is ApprovalState.DENIED
    two = approval(ApprovalState.APPROVED, (vote(),), deny_quorum=2)
    assert brings_about(two, vote("UBOB", Verdict.DENY)) is None
    assert brings_about(two, vote(verdict=Verdict.DENY)) is ApprovalState.PENDING


@pytest.mark.parametrize(
    ("minutes", "called", "step"),
    [
        (14, {}, ""),
        (15, {}, "reminder"),
        (16, {"reminded_at": NOW}, ""),
        (20, {"reminded_at": NOW}, "escalation"),
        (21, {"reminded_at": NOW, "escalated_at": NOW}, ""),
        (29, {}, "escalation"),
        (30, {}, ""),
    ],
)
def test_a_request_that_waits_calls_people_once_each_way(minutes: int, called: dict[str, Any], step: str) -> None:
    waiting = replace(approval(escalate_to=("leads",), escalate_after_s=1200), **called)
    assert due(waiting, NOW + timedelta(minutes=minutes)) == step


def test_without_a_time_of_its_own_it_escalates_at_three_quarters_and_without_groups_never() -> None:
    reminded = replace(approval(escalate_to=("leads",)), reminded_at=NOW)
    assert due(reminded, NOW + timedelta(minutes=22)) == ""
    assert due(reminded, NOW + timedelta(minutes=23)) == "escalation"
    assert due(replace(approval(), reminded_at=NOW), NOW + timedelta(minutes=29)) == ""


@pytest.mark.parametrize("state", [state for state in ApprovalState if state is not ApprovalState.PENDING])
def test_what_is_decided_calls_nobody(state: ApprovalState) -> None:
    assert due(approval(state, escalate_to=("leads",)), NOW + timedelta(minutes=25)) == ""


def test_the_groups_that_it_turned_to_vote_once_it_has_and_not_before() -> None:
    on = approval(escalate_to=("leads",))
    assert "Only members of approvers can" in refusal(on, vote("ULEE"))
    escalated = replace(on, escalated_at=NOW)
    check_vote(escalated, vote("ULEE"), person("ULEE"), MEMBERS, NOW)
    assert "Only members of approvers or leads can" in refusal(escalated, vote("UZED"))
    approved = replace(escalated, state=ApprovalState.APPROVED, votes=(vote("ULEE"),))
    assert still_entitled(approved, MEMBERS, {"ULEE": person("ULEE")}) == []


def test_the_same_person_does_not_count_twice() -> None:
    once = approval(votes=(vote(),), quorum=2)
    assert refusal(once, vote()) == "You have already approved this; it needs somebody else now."
    assert tally(once, (vote(), vote())) is None
    assert tally(once, (vote(), vote("UBOB"))) is ApprovalState.APPROVED


@pytest.mark.parametrize(
    ("rule", "verdict", "needed"),
    [
        ("always", Verdict.APPROVE, True),
        ("always", Verdict.DENY, True),
        ("on_deny", Verdict.APPROVE, False),
        ("on_deny", Verdict.DENY, True),
        ("never", Verdict.DENY, False),
    ],
)
def test_a_reason_is_asked_for_where_the_terms_want_one(rule: str, verdict: Verdict, needed: bool) -> None:
    on = approval(reason=rule)
    check_vote(on, vote(verdict=verdict, reason="I looked at it"), person(), MEMBERS, NOW)
    if needed:
        assert "Please say why" in refusal(on, vote(verdict=verdict, reason="  "))
    else:
        check_vote(on, vote(verdict=verdict), person(), MEMBERS, NOW)


def test_one_deny_ends_it_unless_the_terms_want_more() -> None:
    deny, approve = vote("UBOB", Verdict.DENY), vote()
    assert tally(approval(), (deny,)) is ApprovalState.DENIED
    assert tally(approval(quorum=1), (approve, deny)) is ApprovalState.DENIED
    assert tally(approval(deny_quorum=2), (deny,)) is None


def test_a_persons_last_word_counts() -> None:
    changed = (vote(verdict=Verdict.DENY), vote())
    assert tally(approval(deny_quorum=2), changed) is ApprovalState.APPROVED


def test_no_votes_decide_nothing_whatever_the_quorum_says() -> None:
    assert tally(approval(quorum=0, deny_quorum=0), ()) is None


@given(st.lists(st.tuples(st.sampled_from("ABCD"), st.sampled_from(list(Verdict))), max_size=8), st.integers(1, 4))
def test_a_quorum_is_never_reached_with_fewer_people(cast: list[tuple[str, Verdict]], quorum: int) -> None:
    votes = [vote(user, verdict) for user, verdict in cast]
    if tally(approval(quorum=quorum), votes) is ApprovalState.APPROVED:
        assert len({user for user, verdict in cast if verdict is Verdict.APPROVE}) >= quorum
        assert len(dict(cast)) >= quorum


def test_at_execution_the_approvers_must_still_be_entitled() -> None:
    approved = approval(ApprovalState.APPROVED, (vote(), vote("UBOB")), quorum=2)
    people = {user: person(user) for user in ("UANA", "UBOB")}
    assert still_entitled(approved, MEMBERS, people) == []
    assert still_entitled(approved, Authority({"approvers": frozenset({"UANA"})}), people) == [
        "Ubob may no longer decide on this"
    ]
    gone = people | {"UBOB": person("UBOB", full_member=False)}
    assert still_entitled(approved, MEMBERS, gone) == ["Ubob is no longer a full member of the workspace"]
    assert still_entitled(approved, MEMBERS, {"UANA": person()}) == ["Ubob is no longer a full member of the workspace"]


def test_one_approver_too_many_may_leave() -> None:
    approved = approval(ApprovalState.APPROVED, (vote(), vote("UBOB")), quorum=1)
    people = {"UANA": person(), "UBOB": person("UBOB", full_member=False)}
    assert still_entitled(approved, MEMBERS, people) == []


def test_without_votes_nothing_is_carried() -> None:
    assert still_entitled(approval(ApprovalState.APPROVED), MEMBERS, {}) == ["0 of 1 approvals are there"]


def test_groups_are_shown_with_who_they_are() -> None:
    groups = {"approvers": ("@sre", "ana@example.com")}
    assert render_groups(TERMS, groups) == "approvers (@sre, ana@example.com)"
    assert render_groups(replace(TERMS, groups=("approvers", "leads")), groups).endswith(" or leads (nobody)")


# --- break-glass and delegated votes ------------------------------------------------------------------------------------


def lent(**more: Any) -> Authority:
    return replace(MEMBERS, **more)


def test_break_glass_lets_one_person_approve_alone_and_marks_the_vote() -> None:
    authority = lent(glass={"UZED": "glass-1", "UREQ": "glass-2", "UANA": "glass-3"})
    for user in ("UZED", "UREQ"):
        marked = check_vote(approval(quorum=3), vote(user), person(user), authority, NOW)
        assert marked.break_glass == authority.glass[user]
        assert tally(approval(quorum=3), (marked,)) is ApprovalState.APPROVED
    own = check_vote(approval(), vote(), person(), authority, NOW)
    assert own.break_glass == "", "it is used only where the person's own vote would not do"
    assert check_vote(approval(quorum=2), vote(), person(), authority, NOW).break_glass == "glass-3"


def test_break_glass_turns_an_own_approve_that_was_not_enough_into_one_that_is() -> None:
    once = approval(quorum=2, votes=(vote(),))
    marked = check_vote(once, vote(), person(), lent(glass={"UANA": "glass-3"}), NOW)
    assert brings_about(once, marked) is ApprovalState.APPROVED


@pytest.mark.parametrize(
    ("user", "changes", "sentence"),
    [
        ("UEDIT", {}, "You edited this"),
        ("ULEE", {"exclude": ("requester", "leads")}, "Members of leads are excluded"),
    ],
)
def test_break_glass_sets_aside_neither_the_editor_nor_an_excluded_group(
    user: str, changes: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(NotAllowed, match=sentence):
        check_vote(approval(**changes), vote(user), person(user), lent(glass={user: "glass-1"}), NOW)


def test_break_glass_makes_no_guest_a_voter_and_casts_no_deny() -> None:
    authority = lent(glass={"UZED": "glass-1"})
    with pytest.raises(NotAllowed, match="Guests"):
        check_vote(
            approval(), vote("UZED"), person("UZED", full_member=False, why_not="Guests cannot."), authority, NOW
        )
    with pytest.raises(NotAllowed, match="Only members of approvers"):
        check_vote(approval(), vote("UZED", Verdict.DENY, reason="no"), person("UZED"), authority, NOW)


def test_a_deny_stands_against_break_glass() -> None:
    assert tally(approval(), (vote("UBOB", Verdict.DENY), vote("UZED", break_glass="g"))) is ApprovalState.DENIED


def test_break_glass_that_closed_before_the_execution_carries_nothing() -> None:
    approved = approval(ApprovalState.APPROVED, (vote("UZED", break_glass="glass-1"),), quorum=2)
    people = {"UZED": person("UZED")}
    assert still_entitled(approved, lent(glass={"UZED": "glass-1"}), people) == []
    for glass in ({}, {"UZED": "glass-2"}, {"UANA": "glass-1"}):
        assert still_entitled(approved, lent(glass=glass), people) == ["Uzed may no longer decide on this"]


def test_a_claimed_mark_on_a_vote_is_not_believed() -> None:
    with pytest.raises(NotAllowed, match="Only members"):
        check_vote(approval(), vote("UZED", break_glass="glass-1", on_behalf_of="UANA"), person("UZED"), MEMBERS, NOW)


def test_a_delegate_votes_in_the_place_of_an_approver_and_the_two_count_once() -> None:
    authority = lent(delegated={"UZED": frozenset({"UANA"})})
    marked = check_vote(approval(quorum=2), vote("UZED"), person("UZED"), authority, NOW)
    assert marked.on_behalf_of == "UANA"
    assert tally(approval(quorum=2), (marked, vote("UANA"))) is None
    assert tally(approval(quorum=2), (marked, vote("UBOB"))) is ApprovalState.APPROVED
    approved = approval(ApprovalState.APPROVED, (marked, vote("UBOB")), quorum=2)
    people = {user: person(user) for user in ("UZED", "UBOB")}
    assert still_entitled(approved, authority, people) == []
    assert still_entitled(approved, MEMBERS, people) == ["Uzed may no longer decide on this"]


@pytest.mark.parametrize("lender", ["UREQ", "UEDIT", "UYAN"])
def test_no_vote_is_delegated_by_who_has_none_here(lender: str) -> None:
    """The requester, the editor, and somebody who is in no asked group."""
    with pytest.raises(NotAllowed):
        check_vote(approval(), vote("UZED"), person("UZED"), lent(delegated={"UZED": frozenset({lender})}), NOW)


@pytest.mark.parametrize(
    "delegate", [person("UREQ"), person("UEDIT"), person("UGUEST", full_member=False, why_not="Guests cannot.")]
)
def test_no_vote_is_delegated_to_requester_editor_or_guest(delegate: Person) -> None:
    authority = lent(delegated={delegate.id: frozenset({"UANA"})})
    with pytest.raises(NotAllowed):
        check_vote(approval(), vote(delegate.id), delegate, authority, NOW)


def test_a_delegate_of_two_votes_for_the_one_who_has_not_voted() -> None:
    authority = lent(delegated={"UZED": frozenset({"UANA", "UBOB"})})
    once = approval(quorum=2, votes=(vote("UANA"),))
    assert check_vote(once, vote("UZED"), person("UZED"), authority, NOW).on_behalf_of == "UBOB"


def test_an_approver_who_also_stands_in_for_another_votes_once_and_as_themselves() -> None:
    marked = check_vote(approval(), vote("UBOB"), person("UBOB"), lent(delegated={"UBOB": frozenset({"UANA"})}), NOW)
    assert marked.on_behalf_of == ""
