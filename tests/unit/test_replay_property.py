"""Any course that a run can take: unchanged it is gone through again without a difference, and twice the same by the byte."""

from __future__ import annotations

import asyncio
import json
import tempfile
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

from hypothesis import given, settings, strategies as st

from bot import expiry
from bot.replay.compared import as_json, compare
from bot.voting import edit
from domain.actions import Mode
from domain.decisions import SYSTEM, Verdict
from domain.errors import BadInput, ModelError, NotAllowed, OutcomeUnknown, ToolError
from domain.events import AgentPaused, AgentResumed, Draft
from domain.runs import Budget, RunStatus
from tests.unit.journeys import ALLOWING, DENYING, RULES, Place, calling, concluded, place, policy_of
from tests.unit.replays import Silent, how, record, said

QUORUM = RULES.replace("groups: [approvers]", "groups: [approvers], quorum: 2")
CALLS = st.sampled_from(
    [
        ("look", '{"name":"a"}'), ("look", '{"name":"b"}'), ("look", '{"name":"a","lines":400}'), ("look", "{"),
        ("turn", '{"name":"a","to":1}'), ("turn", '{"name":"b","to":2}'), ("turn", '{"name":"a","to":3,"note":"x"}'),
        ("turn", '{"to":3}'), ("lock", "{}"),
    ]
)  # fmt: skip
TURNS = st.one_of(
    st.lists(CALLS, min_size=1, max_size=3).map(lambda calls: calling(*calls)),
    st.just(concluded()),
    st.just(ModelError("did not answer")),
)
PEOPLE = st.sampled_from(
    [
        "approve",
        "approve",
        "approve",
        "deny",
        "withdraw",
        "second",
        "edit",
        "expire",
        "move",
        "observe",
        "break",
        "lose",
        "mend",
    ]
)


async def lose(_: Any) -> None:
    raise OutcomeUnknown


async def fail(_: Any) -> None:
    raise ToolError("the valve is stuck")


async def act(spot: Place, what: str) -> None:
    """What somebody does while the run waits, or something happens to the plant."""
    waiting = await spot.journal.approvals(pending=True)
    match what:
        case "pause" | "resume" as word:
            spot.pause = "wait" if word == "pause" else ""
            await spot.journal.append(Draft(AgentPaused("wait") if word == "pause" else AgentResumed(), SYSTEM))
        case "late":
            spot.ahead += timedelta(minutes=31)
        case "expire":
            spot.ahead += timedelta(minutes=31)
            await expiry.expire(spot.world)
        case "move":
            spot.plant.version += 1
        case "observe":
            spot.mode = Mode.OBSERVE
        case "break":
            spot.plant.before = fail
        case "lose":
            spot.plant.after = lose
        case "mend":
            spot.plant.before = spot.plant.after = None
        case "edit" if waiting:
            await edit(spot.world, waiting[0].request.id, "U2", {"name": "a", "to": 9})
        case _ if what and len(waiting) == 1:
            verdict = {"deny": Verdict.DENY, "withdraw": Verdict.WITHDRAW}.get(what, Verdict.APPROVE)
            await spot.vote(verdict, "U2" if what == "second" else "U1", "because")


async def journey(spot: Place, people: list[tuple[str, bool]]) -> None:
    """The whole run: people do things until it has ended or they have had enough. The agent is not always there at once."""
    for what, is_there in [("", True), *people]:
        with suppress(NotAllowed, BadInput):
            await act(spot, what)
        if is_there and (await spot.advance()).status is RunStatus.FINISHED:
            return
    await spot.advance()


@settings(max_examples=60, deadline=None)
@given(
    turns=st.lists(TURNS, min_size=1, max_size=5),
    people=st.lists(st.tuples(PEOPLE, st.sampled_from([True, True, False])), max_size=6),
    policy=st.sampled_from([RULES, RULES, QUORUM, ALLOWING, DENYING]),
    mode=st.sampled_from([Mode.PROPOSE, Mode.ACT, Mode.OBSERVE]),
    steps=st.integers(2, 6),
)
def test_nothing_is_otherwise_and_two_replays_are_the_same_bytes(
    turns: list[Any], people: list[tuple[str, bool]], policy: str, mode: Mode, steps: int
) -> None:
    async def go(folder: Path) -> None:
        async with place(folder, *turns, policy=policy, mode=mode, budget=Budget(steps=steps)) as spot:
            spot.mode = mode
            await journey(spot, people)
            recorded, tried = await record(spot), how(policy_of(policy))
            first = await compare(recorded, tried)
            assert said(first) == []
            assert first.again.unanswerable == ()
            for other in (tried, how(policy_of(ALLOWING)), how(policy_of(DENYING), model=Silent("other"))):
                texts = [json.dumps(as_json(await compare(recorded, other), other), sort_keys=True) for _ in range(2)]
                assert texts[0] == texts[1]

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(go(Path(folder)))
