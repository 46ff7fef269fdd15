"""What the journal port promises: order, durability, refusals that leave nothing behind, and the views of each noun."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from domain.actions import Mode
from domain.authority import BreakGlass, Delegation
from domain.canonical import digest_of
from domain.codec import encode
from domain.decisions import Actor, ApprovalState, Check, ExecutionOutcome, Verdict
from domain.errors import BadInput, Conflict, Duplicate, JournalError
from domain.events import (
    AgentPaused,
    AgentResumed,
    AlertJoined,
    ApprovalClosed,
    ApprovalEscalated,
    ApprovalReminded,
    BreakGlassOpened,
    BreakGlassReviewed,
    DelegationEnded,
    Draft,
    ExecutionProbed,
    IncidentResolved,
    MessageFailed,
    MessageSent,
    ModeChanged,
    RunFinished,
    VerificationFailed,
    VerificationPassed,
    VoteDelegated,
)
from domain.fold import fold
from domain.runs import RunOutcome, RunStatus
from storage.journal import SqliteJournal, open_journal
from storage.reader import read_journal
from tests.contracts import forger
from tests.contracts.journal_samples import (
    CART,
    NOON,
    Clock,
    action,
    alert,
    denied,
    ended,
    execution,
    message,
    opened,
    payload,
    request,
    requested,
    run_started,
    step,
    vote,
    worked,
)


async def refused(journal: SqliteJournal, *drafts: Draft, as_: type[Exception] = Conflict) -> str:
    """The sentence of a refusal that left nothing behind."""
    before = await journal.since(0)
    with pytest.raises(as_) as caught:
        await journal.append(*drafts)
    assert await journal.since(0) == before
    return str(caught.value)


# --- the log ----------------------------------------------------------------------------------------------------------


async def test_what_was_appended_is_read_back_as_it_was(journal: SqliteJournal) -> None:
    written = await journal.append(opened("i1", "f1"), run_started(), step())
    assert [envelope.seq for envelope in written] == [1, 2, 3]
    assert await journal.since(0) == written
    assert await journal.of_run("r1") == written[1:]
    assert written[1].at == NOON
    assert written[1].actor == "agent"


async def test_an_event_says_who(journal: SqliteJournal) -> None:
    (envelope,) = await journal.append(Draft(AgentPaused("lunch"), Actor("person", "U1", "Ann")))
    assert envelope.actor == "person:U1"


async def test_since_pages_oldest_first(journal: SqliteJournal) -> None:
    await journal.append(*(payload(f"k{number}") for number in range(5)))
    assert [envelope.seq for envelope in await journal.since(1, limit=2)] == [2, 3]


async def test_one_refusal_undoes_its_whole_append(journal: SqliteJournal) -> None:
    await journal.append(payload("k1"))
    await refused(journal, opened("i1", "f1"), payload("k1"), as_=Duplicate)
    assert await journal.incident("i1") is None


async def test_a_body_that_is_not_canonical_json_is_refused_alone(journal: SqliteJournal) -> None:
    assert "float" in await refused(journal, payload("k1", number=1.5), as_=BadInput)
    deep: list[object] = []
    for _ in range(101):
        deep = [deep]
    assert "deep" in await refused(journal, payload("k2", deep=deep), as_=BadInput)
    await journal.append(payload("k1", number="1.5", odd="\u0000\u202e"))
    assert (await journal.since(0))[0].event.payload == {"number": "1.5", "odd": "\u0000\u202e"}


async def test_a_clock_that_jumps_back_changes_no_order(journal: SqliteJournal, clock: Clock) -> None:
    await journal.append(payload("k1"))
    clock.forward(hours=-2)
    await journal.append(payload("k2"))
    first, second = await journal.since(0)
    assert (first.seq, second.seq) == (1, 2)
    assert second.at == first.at - timedelta(hours=2)


async def test_a_closed_journal_says_so(tmp_path: Path) -> None:
    async with open_journal(tmp_path / "agent.db", "local") as journal:
        pass
    with pytest.raises(JournalError, match="closed"):
        await journal.append(payload("k1"))
    with pytest.raises(JournalError, match="closed"):
        await journal.since(0)


async def test_two_workspaces_in_one_file_know_nothing_of_each_other(tmp_path: Path) -> None:
    for workspace in ("T1", "T2"):
        async with open_journal(tmp_path / "a.db", workspace) as journal:
            (first, *_) = await journal.append(
                payload("k1", "also"), opened("i1", "f1"), run_started(), requested(), message(), worked(),
                Draft(AgentPaused(workspace)),
            )  # fmt: skip
            assert first.seq == 1
    async with read_journal(tmp_path / "a.db", "T1") as one:
        assert len(await one.since(0)) == 7
        assert len(await one.runs()) == len(await one.incidents()) == len(await one.unsent()) == 1
        assert await one.control() == (None, "T1")
        assert (await one.rollup(NOON, NOON + timedelta(days=1))).n == 1
        assert (await one.trust("kubernetes_rollback", "production"))["proposed"] == 1


# --- inbox ------------------------------------------------------------------------------------------------------------


async def test_a_payload_is_taken_in_once_by_either_of_its_names(journal: SqliteJournal) -> None:
    await journal.append(payload("Ev1", "C1/1.1"))
    assert "before" in await refused(journal, payload("Ev1", "C1/2.2"), as_=Duplicate)
    await refused(journal, payload("Ev2", "C1/1.1"), as_=Duplicate)
    await journal.append(payload("Ev3"), payload("Ev4"))  # no second name is not a name


# --- incidents --------------------------------------------------------------------------------------------------------


async def test_an_incident_counts_its_alerts_and_knows_which_still_fire(journal: SqliteJournal) -> None:
    await journal.append(opened("i1", "f1"))
    for fingerprint, firing in (("f2", True), ("f1", True), ("f1", False)):
        await journal.append(Draft(AlertJoined(fingerprint, firing), incident_id="i1"))
    incident = await journal.incident("i1")
    assert incident is not None
    assert (incident.alerts, incident.fingerprints, incident.firing) == (4, ("f1", "f2"), ("f2",))
    assert incident.open
    assert incident.title == "Cart is down"
    assert incident.target == CART


async def test_an_alert_belongs_to_one_open_incident(journal: SqliteJournal) -> None:
    await journal.append(opened("i1", "f1"), opened("i2", "f2"))
    await refused(journal, opened("i3", "f1"))
    await refused(journal, Draft(AlertJoined("f1", firing=True), incident_id="i2"))
    await journal.append(Draft(IncidentResolved("ceased"), incident_id="i1"))
    await journal.append(opened("i3", "f1"))


async def test_only_an_open_incident_is_joined_or_resolved(journal: SqliteJournal, clock: Clock) -> None:
    await refused(journal, Draft(IncidentResolved("ceased"), incident_id="i1"))
    await journal.append(opened("i1", "f1"))
    await refused(journal, opened("i1", "f9"))
    clock.forward(minutes=5)
    await journal.append(Draft(IncidentResolved("ceased"), incident_id="i1"))
    await refused(journal, Draft(IncidentResolved("ceased"), incident_id="i1"))
    await refused(journal, Draft(AlertJoined("f1", firing=True), incident_id="i1"))
    incident = await journal.incident("i1")
    assert incident is not None
    assert incident.resolved_at == NOON + timedelta(minutes=5)
    assert incident.firing == ()
    assert await journal.incidents(open_only=True) == []
    assert await journal.incidents() == [incident]


async def test_the_incidents_own_message_is_its_thread(journal: SqliteJournal) -> None:
    await journal.append(opened("i1", "f1"), message("incident:i1"), message("reply", thread_key="incident:i1"))
    await journal.append(Draft(MessageSent("reply", 1, "C1", "222.2")))  # what belongs into a thread is not the thread
    await journal.append(Draft(MessageSent("incident:i1", 1, "C1", "111.1")))
    await journal.append(message("incident:i1", 2), Draft(MessageSent("incident:i1", 2, "C1", "333.3")))  # nor moves it
    incident = await journal.incident_at("C1", "111.1")
    assert incident is not None
    assert (incident.channel, incident.thread_ts) == ("C1", "111.1")
    assert await journal.incident_at("C1", "222.2") is None
    assert await journal.incident_at("C1", "") is None


# --- runs -------------------------------------------------------------------------------------------------------------


async def test_a_run_starts_once_and_ends_once(journal: SqliteJournal, clock: Clock) -> None:
    finished = Draft(RunFinished(RunOutcome.DIAGNOSED, "proven", 900), run_id="r1")
    await refused(journal, step())
    await refused(journal, finished)
    await journal.append(run_started(), step(1), step(2))
    await refused(journal, run_started())
    assert [row.spec.id for row in await journal.runs(unfinished=True)] == ["r1"]
    clock.forward(minutes=1)
    await journal.append(finished)
    await refused(journal, finished)
    await refused(journal, step(3))
    row = await journal.run("r1")
    assert row is not None
    assert (row.steps, row.status, row.outcome, row.reason) == (2, RunStatus.FINISHED, RunOutcome.DIAGNOSED, "proven")
    assert row.finished_at == NOON + timedelta(minutes=1)
    assert await journal.runs(unfinished=True) == []
    assert await journal.runs(incident_id="i1") == [row]
    assert await journal.runs(incident_id="i2") == []


async def test_a_run_that_ended_asks_nobody_takes_no_vote_and_executes_nothing(journal: SqliteJournal) -> None:
    finished = Draft(RunFinished(RunOutcome.FAILED, "an unexpected error"), run_id="r1")
    asked = (requested("a1"), requested("a2", call_id="c2"), vote("a1"))
    await journal.append(
        run_started(), *asked, finished
    )  # as nothing leaves it any more, but an old process might have
    await refused(journal, vote("a2"))
    await refused(journal, denied("a2"))
    await refused(journal, vote("a1", verdict=Verdict.WITHDRAW, closes=ApprovalState.PENDING))
    await refused(journal, execution(approval_id="a1"))
    await refused(journal, execution(approval_id="", call_id="c3"))
    await refused(journal, requested("a3", call_id="c3"))
    await journal.append(*(Draft(ApprovalClosed(each, ApprovalState.CANCELLED, "it ended")) for each in ("a1", "a2")))
    row = await journal.run("r1")
    assert row is not None
    assert row.status is RunStatus.FINISHED


async def test_a_journal_in_which_an_earlier_version_took_a_late_vote_still_opens(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "agent.db"
    async with open_journal(str(path), "late", clock=clock) as journal:
        finished = Draft(RunFinished(RunOutcome.FAILED, "an unexpected error"), run_id="r1")
        await journal.append(run_started(), requested("a1"), vote("a1"), finished)
    start, asked, voted, ended = forger.read(path)
    forger.write(path, forger.chained([start, asked, ended, voted]))
    async with open_journal(str(path), "late", clock=clock) as journal:
        assert await journal.rebuild() == 4
        row = await journal.run("r1")
        assert row is not None
        assert row.status is RunStatus.FINISHED


async def test_a_run_waits_while_people_are_asked(journal: SqliteJournal) -> None:
    async def status() -> RunStatus:
        row = await journal.run("r1")
        assert row is not None
        return row.status

    await journal.append(run_started(), requested("a1"))
    assert await status() is RunStatus.WAITING
    await journal.append(vote("a1"))
    assert await status() is RunStatus.RUNNING
    await journal.append(requested("a2", call_id="c2"))
    await journal.append(Draft(ApprovalClosed("a2", ApprovalState.EXPIRED, "late"), run_id="r1"))
    assert await status() is RunStatus.RUNNING
    await journal.append(requested("a3", call_id="c3", observe_only=True))
    assert await status() is RunStatus.RUNNING


# --- approvals --------------------------------------------------------------------------------------------------------


async def test_an_approval_shows_its_votes_and_its_execution(journal: SqliteJournal) -> None:
    await journal.append(run_started(), step(), requested())
    await journal.append(vote(user="U1", closes=None), vote(user="U2"))
    approval = await journal.approval("a1")
    assert approval is not None
    assert (approval.state, [cast.user for cast in approval.approvers]) == (ApprovalState.APPROVED, ["U1", "U2"])
    assert approval.closed_by == "name of U2"
    await journal.append(execution(), ended())
    await journal.append(Draft(VerificationPassed("x1", (Check("ready", passed=True),), 5), run_id="r1"))
    approval = await journal.approval("a1")
    assert approval is not None
    assert approval.state is ApprovalState.CONSUMED
    assert approval.execution is not None
    assert approval.execution.verified
    assert approval.execution.undo == action().undo
    run = fold(await journal.of_run("r1"))
    assert run.calls["c1"].approval == approval  # the row says what the events say


async def test_a_request_is_opened_once(journal: SqliteJournal) -> None:
    await journal.append(requested("a1"))
    await refused(journal, requested("a1"))


async def test_a_person_votes_once_and_only_while_it_is_pending(journal: SqliteJournal) -> None:
    await refused(journal, vote("a1"))
    await journal.append(requested("a1"), vote("a1", "U1", closes=None))
    assert "already" in await refused(journal, vote("a1", "U1", closes=None))
    await journal.append(vote("a1", "U2"))
    assert "approved" in await refused(journal, vote("a1", "U3", closes=None))


def withdrawn(user: str = "U1", closes: ApprovalState | None = None) -> Draft:
    return vote("a1", user, Verdict.WITHDRAW, closes)


async def test_an_approve_is_taken_back_until_it_is_consumed(journal: SqliteJournal) -> None:
    await journal.append(run_started(), step(), requested("a1"))
    assert "no approval to take back" in await refused(journal, withdrawn())
    await journal.append(vote("a1", "U1"))
    assert "no approval to take back" in await refused(journal, withdrawn("U2", ApprovalState.PENDING))
    await journal.append(withdrawn(closes=ApprovalState.PENDING))
    approval, row = await journal.approval("a1"), await journal.run("r1")
    assert approval is not None
    assert row is not None
    assert (approval.state, approval.approvers, approval.closed_at) == (ApprovalState.PENDING, (), None)
    assert row.status is RunStatus.WAITING
    assert (await journal.trust(action().tool, "production"))["approved"] == 0
    assert "pending" in await refused(journal, execution())
    assert "no approval to take back" in await refused(journal, withdrawn())
    await journal.append(vote("a1", "U1"), execution())
    assert "consumed" in await refused(journal, withdrawn(closes=ApprovalState.PENDING))
    assert "consumed" in await refused(journal, denied("a1", "U2"))
    approval = await journal.approval("a1")
    assert fold(await journal.of_run("r1")).calls["c1"].approval == approval


async def test_a_deny_after_the_approval_vetoes_it(journal: SqliteJournal) -> None:
    await journal.append(run_started(), step(), requested("a1"), vote("a1", "U1"), denied("a1", "U1"))
    approval = await journal.approval("a1")
    assert approval is not None
    assert approval.state is ApprovalState.DENIED
    assert "denied" in await refused(journal, execution())
    counted = await journal.trust(action().tool, "production")
    assert (counted["approved"], counted["denied"]) == (0, 1)
    assert fold(await journal.of_run("r1")).calls["c1"].approval == approval


async def test_people_are_called_once_each_way_while_it_waits(journal: SqliteJournal) -> None:
    for event in (ApprovalReminded("a1"), ApprovalEscalated("a1", ("leads",))):
        await refused(journal, Draft(event))
    await journal.append(run_started(), step(), requested("a1"))
    for event in (ApprovalReminded("a1"), ApprovalEscalated("a1", ("leads",))):
        await journal.append(Draft(event, run_id="r1"))
        await refused(journal, Draft(event, run_id="r1"))
    approval = await journal.approval("a1")
    assert approval is not None
    assert approval.state is ApprovalState.PENDING
    assert approval.reminded_at is not None
    assert approval.escalated_at is not None
    assert fold(await journal.of_run("r1")).calls["c1"].approval == approval
    await journal.append(requested("a2", call_id="c2"), vote("a2"))
    await refused(journal, Draft(ApprovalReminded("a2"), run_id="r1"))


async def test_a_vote_brings_about_approved_or_denied_and_nothing_else(journal: SqliteJournal) -> None:
    await journal.append(requested("a1"))
    for state in (ApprovalState.CONSUMED, ApprovalState.EXPIRED, ApprovalState.PENDING):
        await refused(journal, vote("a1", closes=state))


async def test_pending_and_approved_requests_close_and_others_stay(journal: SqliteJournal) -> None:
    await journal.append(run_started())
    for number, before in enumerate(([], [vote("a1")])):
        asked = requested(f"a{number}", call_id=f"c{number}")
        await journal.append(asked, *before)
        closing = Draft(ApprovalClosed(f"a{number}", ApprovalState.CANCELLED, "paused", "Ann"), run_id="r1")
        await journal.append(closing)
        await refused(journal, closing)
        approval = await journal.approval(f"a{number}")
        assert approval is not None
        assert (approval.state, approval.closed_by, approval.closed_reason) == ("cancelled", "Ann", "paused")
    await refused(journal, Draft(ApprovalClosed("a9", ApprovalState.EXPIRED, "late")))
    await journal.append(requested("a5", call_id="c5"))
    await refused(journal, Draft(ApprovalClosed("a5", ApprovalState.APPROVED, "by nobody")))


async def test_an_approval_is_consumed_once_by_what_it_approved(journal: SqliteJournal) -> None:
    await journal.append(run_started(), requested("a1"))
    assert "pending" in await refused(journal, execution())
    await journal.append(vote("a1"))
    assert "something else" in await refused(journal, execution(digest="another"))
    await journal.append(execution())
    assert "consumed" in await refused(journal, execution("x2", call_id="c2"))
    assert "unknown" in await refused(journal, execution("x3", approval_id="a7", call_id="c3"))


async def test_a_run_waits_while_a_request_of_its_is_open_and_nothing_that_was_approved_is_left(
    journal: SqliteJournal,
) -> None:
    async def status() -> str:
        row = await journal.run("r1")
        return row.status if row else ""

    await journal.append(run_started(), requested("a1"), requested("a2", call_id="c2"), requested("a3", call_id="c3"))
    await journal.append(denied("a1"))
    assert await status() == "waiting"
    await journal.append(vote("a2"))
    assert await status() == "running"  # what was approved is to be executed, whatever else waits
    await journal.append(execution("x2", "a2", "c2"))
    assert await status() == "waiting"
    await journal.append(Draft(ApprovalClosed("a3", ApprovalState.EXPIRED, "nobody decided"), run_id="r1"))
    assert await status() == "running"


async def test_what_was_only_observed_is_never_voted_on_or_executed(journal: SqliteJournal) -> None:
    await journal.append(requested("a1", observe_only=True))
    await refused(journal, vote("a1"))
    await refused(journal, execution())
    assert await journal.approvals(pending=True) == []


async def test_a_call_is_executed_once_without_an_approval_too(journal: SqliteJournal) -> None:
    await journal.append(execution("x1", approval_id=""))
    await refused(journal, execution("x2", approval_id=""))
    await journal.append(execution("x2", approval_id="", run_id="r2"), execution("x3", approval_id="", call_id="c2"))


async def test_an_execution_is_started_then_finished_then_verified(journal: SqliteJournal) -> None:
    passed = Draft(VerificationPassed("x1", (Check("ready", passed=True),), 5))
    await refused(journal, ended())
    await refused(journal, Draft(ExecutionProbed("x1", True, "seen")))
    await journal.append(execution(approval_id=""))
    await refused(journal, passed)
    await journal.append(ended(outcome=ExecutionOutcome.UNKNOWN))
    await journal.append(Draft(ExecutionProbed("x1", True, "seen")), ended())
    await refused(journal, ended())
    await journal.append(passed)
    await refused(journal, passed)


async def test_requests_are_listed_newest_first_by_what_they_are_of(journal: SqliteJournal) -> None:
    await journal.append(requested("a1"), requested("a2", run_id="r2"), requested("a3", incident_id="i2"), denied("a1"))

    async def ids(**of: object) -> list[str]:
        return [approval.request.id for approval in await journal.approvals(**of)]  # type: ignore[arg-type]

    assert await ids() == ["a3", "a2", "a1"]
    assert await ids(pending=True) == ["a3", "a2"]
    assert await ids(run_id="r2") == ["a2"]
    assert await ids(incident_id="i1", pending=True) == ["a2"]
    assert await ids(limit=1) == ["a3"]


async def test_what_waits_or_was_approved_expires(journal: SqliteJournal) -> None:
    await journal.append(requested("a1"), requested("a2"), requested("a3"), vote("a2"), denied("a3"))
    assert await journal.expired(NOON + timedelta(minutes=29)) == []
    due = await journal.expired(NOON + timedelta(minutes=30))
    assert sorted(approval.request.id for approval in due) == ["a1", "a2"]


# --- what policy asks -------------------------------------------------------------------------------------------------


async def test_rates_count_executions_of_the_window(journal: SqliteJournal, clock: Clock) -> None:
    await journal.append(execution("x0", "", "c0"))
    clock.forward(hours=1)
    await journal.append(execution("x1", "", "c1"), ended("x1"))
    await journal.append(execution("x2", "", "c2", action=action(name="web")), ended("x2", ExecutionOutcome.FAILED))
    await journal.append(execution("x3", "", "c3"), ended("x3"), Draft(VerificationFailed("x3", (), 5)))
    assert await journal.rates(CART.key, clock.now) == {"target": 2, "agent": 3, "failed": 2, "touches": 0}
    assert await journal.rates("nobody", NOON) == {"target": 0, "agent": 4, "failed": 2, "touches": 0}


async def test_trust_is_counted_per_tool_and_environment(journal: SqliteJournal) -> None:
    await journal.append(requested("a1"), requested("a2"), requested("a3"), vote("a1"), vote("a2"), denied("a3"))
    await journal.append(execution("x1", "a1", "c1"), ended("x1", ExecutionOutcome.UNKNOWN))
    assert (await journal.trust("kubernetes_rollback", "production"))["failed"] == 1
    await journal.append(Draft(VerificationPassed("x1", (), 5)))  # unknown, until the probe showed that it held
    await journal.append(execution("x2", "a2", "c2"), ended("x2"), Draft(VerificationFailed("x2", (), 5)))
    assert await journal.trust("kubernetes_rollback", "production") == {
        "proposed": 3, "approved": 2, "edited": 0, "denied": 1, "executed": 2, "verified": 1, "failed": 1, "reverted": 0,
    }  # fmt: skip
    assert set((await journal.trust("kubernetes_rollback", "staging")).values()) == {0}


async def test_a_no_stands_while_its_incident_is_open(journal: SqliteJournal) -> None:
    asked = request("a1").action
    same = (asked.tool, asked.target.key, digest_of(encode(asked.arguments)))
    await journal.append(opened("i1", "f1"), requested("a1"))
    assert await journal.refused(*same) is None
    await journal.append(denied("a1", "U7"))
    refusal = await journal.refused(*same)
    assert refusal is not None
    assert (refusal.request.id, refusal.votes[-1].user, refusal.votes[-1].verdict) == ("a1", "U7", Verdict.DENY)
    assert await journal.refused(asked.tool, asked.target.key, digest_of({})) is None
    await journal.append(Draft(IncidentResolved("ceased"), incident_id="i1"))
    assert await journal.refused(*same) is None


# --- lent authority -----------------------------------------------------------------------------------------------------


async def test_a_break_glass_is_opened_once_and_reviewed_once_by_somebody_else(journal: SqliteJournal) -> None:
    glass = BreakGlass("g1", "i1", "U7", "Lee", "nobody answers", NOON, NOON + timedelta(minutes=30))
    assert await journal.break_glass("g1") is None
    await journal.append(Draft(BreakGlassOpened(glass), incident_id="i1"))
    await refused(journal, Draft(BreakGlassOpened(glass)))
    assert await journal.unreviewed() == [glass]
    await refused(journal, Draft(BreakGlassReviewed("g1", "U7", "Lee", "all fine")))
    await refused(journal, Draft(BreakGlassReviewed("g2", "U8", "Ada", "all fine")))
    await journal.append(Draft(BreakGlassReviewed("g1", "U8", "Ada", "needed")))
    await refused(journal, Draft(BreakGlassReviewed("g1", "U9", "Ann", "me too")))
    found = await journal.break_glass("g1")
    assert found is not None
    assert (found.reviewed_by, found.review, found.is_open(NOON)) == ("Ada", "needed", False)
    assert await journal.unreviewed() == []


async def test_the_last_delegation_of_a_person_stands_until_its_time_is_up(journal: SqliteJournal) -> None:
    first = Delegation("U1", "Ana", "U5", "Eve", NOON + timedelta(hours=8))
    await journal.append(Draft(VoteDelegated(first)), Draft(VoteDelegated(replace(first, user="U2"))))
    await journal.append(Draft(VoteDelegated(replace(first, to="U6"))))
    assert {(each.user, each.to) for each in await journal.delegations(NOON)} == {("U1", "U6"), ("U2", "U5")}
    assert await journal.delegations(first.until) == []
    await journal.append(Draft(DelegationEnded("U1")))
    assert [each.user for each in await journal.delegations(NOON)] == ["U2"]
    await refused(journal, Draft(DelegationEnded("U1")))


# --- control ----------------------------------------------------------------------------------------------------------


async def test_the_last_word_on_pause_and_mode_counts(journal: SqliteJournal) -> None:
    assert await journal.control() == (None, "")
    await journal.append(Draft(AgentPaused("deploy freeze")), Draft(ModeChanged(Mode.OBSERVE)))
    assert await journal.control() == (Mode.OBSERVE, "deploy freeze")
    await journal.append(Draft(AgentResumed()), Draft(ModeChanged(Mode.ACT)))
    assert await journal.control() == (Mode.ACT, "")
    await journal.append(Draft(AgentPaused("")))
    assert (await journal.control())[1]  # a pause without a reason is a pause


# --- outbox -----------------------------------------------------------------------------------------------------------


async def test_a_message_is_unsent_until_slack_has_its_latest_revision(journal: SqliteJournal) -> None:
    async def unsent() -> list[tuple[str, int]]:
        return [(row.key, row.revision) for row in await journal.unsent()]

    await journal.append(message("m1"))
    await refused(journal, message("m1"))
    await journal.append(Draft(MessageSent("m1", 1, "C1", "1.1")))
    assert await unsent() == []
    await journal.append(message("m1", 2), message("m2", priority=1))
    assert await unsent() == [("m2", 1), ("m1", 2)]
    await journal.append(message("m3", 1), message("m3", 2))
    await journal.append(Draft(MessageSent("m3", 2, "C1", "3.3")), Draft(MessageSent("m3", 1, "C1", "3.3")))  # late
    assert await unsent() == [("m2", 1), ("m1", 2)]
    row = await journal.message_at("C1", "1.1")
    assert row is not None
    assert (row.key, row.channel, row.ts, row.sent_revision, row.text) == ("m1", "C1", "1.1", 1, "revision 2")
    assert row == await journal.message("m1")
    assert await journal.message_at("C1", "") is None


async def test_only_what_was_wanted_is_sent_or_fails(journal: SqliteJournal) -> None:
    await refused(journal, Draft(MessageSent("m1", 1, "C1", "1.1")))
    await refused(journal, Draft(MessageFailed("m1", 1, "not_in_channel", final=True)))
    await journal.append(message("m1"))
    await refused(journal, Draft(MessageSent("m1", 2, "C1", "1.1")))


async def test_a_failure_for_good_ends_the_revision_that_failed(journal: SqliteJournal) -> None:
    await journal.append(message("m1"), Draft(MessageFailed("m1", 1, "ratelimited", final=False)))
    (row,) = await journal.unsent()
    assert (row.attempts, row.failed) == (1, "")
    await journal.append(Draft(MessageFailed("m1", 1, "invalid_blocks", final=True)))
    assert await journal.unsent() == []
    row = await journal.message("m1")
    assert row is not None
    assert (row.attempts, row.failed) == (2, "invalid_blocks")
    await journal.append(message("m1", 2))
    await journal.append(Draft(MessageFailed("m1", 1, "late answer about revision 1", final=True)))
    assert [(row.revision, row.failed) for row in await journal.unsent()] == [(2, "")]


# --- subscribers ------------------------------------------------------------------------------------------------------


async def test_a_subscriber_sees_what_was_committed_from_then_on(journal: SqliteJournal) -> None:
    await journal.append(payload("k1"))
    with journal.subscribe() as events:
        await refused(journal, payload("k1"), as_=Duplicate)
        written = await journal.append(payload("k2"), alert())
        assert [await anext(events), await anext(events)] == written
        await journal.close()
        with pytest.raises(StopAsyncIteration):
            await anext(events)


async def test_a_subscriber_that_sleeps_costs_the_writer_nothing(journal: SqliteJournal) -> None:
    with journal.subscribe() as events:
        for start in range(0, 1100, 100):
            await journal.append(*(payload(f"k{number}") for number in range(start, start + 100)))
        first = await anext(events)
    assert first.seq == 1100 - 1024 + 1  # the gap is visible
