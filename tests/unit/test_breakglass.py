"""Break-glass and delegation: who may, for how long, what it never lends, and the review that is asked for until it is done."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from bot import breakglass, delegation
from domain.actions import Target
from domain.alerts import Incident, Severity
from domain.authority import BreakGlass
from domain.decisions import ApprovalState
from domain.errors import BadInput, ChatError, NotAllowed, PolicyError
from domain.events import BreakGlassOpened, BreakGlassReviewed, Draft, IncidentOpened, VoteCast, VoteDelegated
from tests.unit.journeys import DENYING, RULES, Place, calling, concluded, place, policy_of

GLASS = RULES.replace("groups: {approvers", 'groups: {leads: ["@leads"], approvers').replace(
    "rules:", "break_glass: {group: leads, max_minutes: 30}\nrules:"
)
TURN = calling(("turn", '{"name": "a", "to": 1}'))


@asynccontextmanager
async def emergency(folder: Path, policy: str = GLASS) -> AsyncIterator[Place]:
    """An incident in which a change waits, and a lead (U7) who is no approver."""
    async with place(folder, TURN, concluded(), policy=policy, incident_id="inc-1") as spot:
        spot.club.groups["@leads"] = {"U7", "U8"}
        for number in (1, 2):
            incident = Incident(f"inc-{number}", "local", "Valve a leaks", Severity.WARNING, Target(), "", spot.now())
            await spot.journal.append(Draft(IncidentOpened(incident), incident_id=incident.id))
        await spot.advance()
        yield spot


async def broken(spot: Place, user: str = "U7", incident: str = "inc-1", minutes: int = 30) -> BreakGlass:
    return await breakglass.open_glass(spot.world, incident, user, minutes, "checkout is down, nobody answers")


async def test_a_lead_approves_alone_what_policy_asks_about_and_every_use_is_marked(tmp_path: Path) -> None:
    async with emergency(tmp_path) as spot:
        with pytest.raises(NotAllowed, match="Only members of approvers"):
            await spot.vote(user="U7")
        glass = await broken(spot)
        approval = await spot.vote(user="U7")
        assert approval.state is ApprovalState.APPROVED
        [cast] = await spot.events(VoteCast)
        assert cast.vote.break_glass == glass.id
        await spot.advance()
        assert spot.plant.executed == [("a", 1)]
        [used] = await breakglass.uses(spot.world, glass)
        assert used.request.id == approval.request.id
        assert [len(uses) for _, uses in spot.chat.glasses] == [0, 1], "the public notice names what was done under it"


async def test_it_lends_votes_on_its_incident_only(tmp_path: Path) -> None:
    async with emergency(tmp_path) as spot:
        await broken(spot, incident="inc-2")
        with pytest.raises(NotAllowed, match="Only members of approvers"):
            await spot.vote(user="U7")


async def test_what_policy_denies_by_now_stays_denied(tmp_path: Path) -> None:
    async with emergency(tmp_path) as spot:
        await broken(spot)
        approval = await spot.vote(user="U7")
        head = GLASS.partition("rules:")[0]
        spot.policy = policy_of(head + DENYING.strip())
        await spot.advance()
        assert await spot.state(approval) is ApprovalState.CANCELLED
        assert spot.plant.executed == []


async def test_it_is_over_after_its_time_for_votes_and_for_executions(tmp_path: Path) -> None:
    async with emergency(tmp_path) as spot:
        await broken(spot, minutes=10)
        spot.pause = "wait"
        approval = await spot.vote(user="U7")
        spot.ahead = timedelta(minutes=11)
        spot.pause = ""
        await spot.advance()
        assert await spot.state(approval) is ApprovalState.CANCELLED
        assert spot.plant.executed == []


async def test_who_left_the_group_lends_nothing_any_more(tmp_path: Path) -> None:
    async with emergency(tmp_path) as spot:
        await broken(spot)
        spot.club.groups["@leads"] = {"U8"}
        with pytest.raises(NotAllowed, match="Only members of approvers"):
            await spot.vote(user="U7")


@pytest.mark.parametrize(
    ("user", "incident", "minutes", "reason", "sentence"),
    [
        ("U1", "inc-1", 10, "why", "Only members of leads can break the glass"),
        ("U8", "inc", 10, "why", "Which incident"),
        ("U8", "", 10, "why", "Which incident"),
        ("U8", "inc-9", 10, "why", "Which incident"),
        ("U8", "inc-1", 31, "why", "1 to 30 minutes"),
        ("U8", "inc-1", 0, "why", "1 to 30 minutes"),
        ("U8", "inc-1", 10, "  ", "Say why"),
    ],
)
async def test_it_takes_the_group_an_open_incident_a_short_time_and_a_reason(
    tmp_path: Path, user: str, incident: str, minutes: int, reason: str, sentence: str
) -> None:
    async with emergency(tmp_path) as spot:
        with pytest.raises((NotAllowed, BadInput), match=sentence):
            await breakglass.open_glass(spot.world, incident, user, minutes, reason)
        assert await spot.events(BreakGlassOpened) == []


async def test_a_guest_in_the_group_a_silent_slack_and_a_second_one_are_refused(tmp_path: Path) -> None:
    async with emergency(tmp_path) as spot:
        spot.club.guests = {"U8"}
        with pytest.raises(NotAllowed, match="Guests"):
            await broken(spot, "U8")
        spot.club.silent = True
        with pytest.raises(NotAllowed, match="Slack does not answer"):
            await broken(spot)
        spot.club.silent = False
        await broken(spot)
        with pytest.raises(BadInput, match="already"):
            await broken(spot)


async def test_a_policy_without_the_section_has_no_break_glass(tmp_path: Path) -> None:
    async with emergency(tmp_path, policy=RULES) as spot:
        with pytest.raises(NotAllowed, match="no break_glass section"):
            await broken(spot)


@pytest.mark.parametrize(
    ("section", "sentence"),
    [
        ("{group: nobody}", "there is no group 'nobody'"),
        ("{group: leads, max_minutes: 61}", "a whole number from 1 to 60"),
        ("{group: leads, max_minutes: 0}", "a whole number from 1 to 60"),
        ("{group: leads, minutes: 9}", "minutes"),
    ],
)
def test_a_policy_cannot_say_more_than_an_hour_or_a_group_that_is_not_there(section: str, sentence: str) -> None:
    with pytest.raises(PolicyError, match=sentence):
        policy_of(GLASS.replace("{group: leads, max_minutes: 30}", section))
    assert policy_of(GLASS).hash != policy_of(GLASS.replace("30}", "31}")).hash


# --- the review ---------------------------------------------------------------------------------------------------------


async def test_a_review_is_asked_for_when_it_closes_and_every_day_until_somebody_else_has_done_it(
    tmp_path: Path,
) -> None:
    async with emergency(tmp_path) as spot:
        glass = await broken(spot)
        await breakglass.nag(spot.world, spot.now())
        assert spot.chat.reviews == []
        for hours in (1, 20, 25, 49):
            await breakglass.nag(spot.world, spot.now() + timedelta(hours=hours))
        assert [day for _, day in spot.chat.reviews] == [0, 1, 2]
        asked = spot.club.mentioned
        await breakglass.nag(spot.world, spot.now() + timedelta(hours=49))
        assert spot.club.mentioned == asked > 0  # Slack is asked who they are once a day, not on every sweep
        with pytest.raises(NotAllowed, match="somebody else"):
            await breakglass.review(spot.world, glass.id, "U7", "all fine")
        with pytest.raises(BadInput, match="what you found"):
            await breakglass.review(spot.world, glass.id, "U8", " ")
        with pytest.raises(NotAllowed, match="Only members of leads or approvers"):
            await breakglass.review(spot.world, glass.id, "U5", "all fine")
        done = await breakglass.review(spot.world, glass.id, "U1", "needed; the on-call plan had a hole")
        assert (done.reviewed_by, done.review) == ("Person U1", "needed; the on-call plan had a hole")
        await breakglass.nag(spot.world, spot.now() + timedelta(hours=80))
        assert len(spot.chat.reviews) == 3
        with pytest.raises(NotAllowed, match="already"):
            await breakglass.review(spot.world, glass.id, "U8", "me too")
        assert len(await spot.events(BreakGlassReviewed)) == 1


async def test_a_review_closes_what_is_still_open(tmp_path: Path) -> None:
    async with emergency(tmp_path) as spot:
        glass = await broken(spot)
        await breakglass.review(spot.world, glass.id, "U8", "not needed")
        with pytest.raises(NotAllowed, match="Only members of approvers"):
            await spot.vote(user="U7")


# --- delegated votes ------------------------------------------------------------------------------------------------------


async def test_a_delegate_votes_until_the_delegation_ends(tmp_path: Path) -> None:
    async with emergency(tmp_path) as spot:
        await delegation.delegate(spot.world, "U1", "U5", 8)
        approval = await spot.vote(user="U5")
        assert (approval.state, approval.approvers[0].on_behalf_of) == (ApprovalState.APPROVED, "U1")
        await spot.advance()
        assert spot.plant.executed == [("a", 1)]


async def test_a_delegation_is_over_after_its_time_and_when_it_is_taken_back(tmp_path: Path) -> None:
    async with emergency(tmp_path) as spot:
        await delegation.delegate(spot.world, "U1", "U5", 1)
        assert len(await spot.journal.delegations(spot.now())) == 1
        assert await spot.journal.delegations(spot.now() + timedelta(hours=1, seconds=1)) == []
        await delegation.delegate(spot.world, "U1", "U6", 1)
        [only] = await spot.journal.delegations(spot.now())
        assert only.to == "U6", "a new one takes the place of the last"
        with pytest.raises(NotAllowed, match="Only members of approvers"):
            await spot.vote(user="U5")
        await delegation.end(spot.world, "U1")
        with pytest.raises(NotAllowed, match="Only members of approvers"):
            await spot.vote(user="U6")
        with pytest.raises(BadInput, match="delegated nothing"):
            await delegation.end(spot.world, "U1")


@pytest.mark.parametrize(
    ("user", "to", "hours", "sentence"),
    [
        ("U1", "U1", 8, "somebody else"),
        ("U1", "U4", 8, "Guests cannot decide"),
        ("U5", "U2", 8, "no group of the policy"),
        ("U4", "U2", 8, "no group of the policy"),
        ("U1", "U5", 0, "1 to 168 hours"),
        ("U1", "U5", 169, "1 to 168 hours"),
    ],
)
async def test_only_who_has_a_vote_lends_it_and_never_to_a_guest(
    tmp_path: Path, user: str, to: str, hours: int, sentence: str
) -> None:
    async with emergency(tmp_path) as spot:
        spot.club.guests = {"U4"}
        spot.club.groups["@sre"].add("U4")
        with pytest.raises((NotAllowed, BadInput), match=sentence):
            await delegation.delegate(spot.world, user, to, hours)
        assert await spot.events(VoteDelegated) == []


async def test_a_silent_slack_delegates_nothing(tmp_path: Path) -> None:
    async with emergency(tmp_path) as spot:
        spot.club.silent = True
        with pytest.raises(NotAllowed, match="Slack does not answer"):
            await delegation.delegate(spot.world, "U1", "U5", 8)
        with pytest.raises(ChatError):
            await spot.world.directory.members("@sre")
