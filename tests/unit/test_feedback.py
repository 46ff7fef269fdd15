"""A word on a diagnosis: who may say it, which one stands, and what the figures make of all of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from bot import feedback
from domain.errors import BadInput, NotAllowed
from domain.events import FeedbackGiven
from domain.feedback import FeedbackCategory, FeedbackVerdict, Share
from tests.unit.journeys import SECRET, Place, concluded, place

GOOD, BAD = FeedbackVerdict.GOOD, FeedbackVerdict.BAD
WRONG = FeedbackCategory.WRONG_CAUSE


def word(user: str = "U1", reason: str = "", run_id: str = "run-1") -> FeedbackGiven:
    return FeedbackGiven(run_id, user, BAD if reason else GOOD, WRONG if reason else None, reason)


async def words(here: Place) -> list[FeedbackGiven]:
    return await here.events(FeedbackGiven)


# --- the share --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("share", "interval"),  # as published for Wilson's score at 95 %
    [(Share(8, 10), (0.490, 0.943)), (Share(0, 10), (0.0, 0.278)), (Share(1, 1), (0.207, 1.0)), (Share(0, 0), (0, 1))],
)
def test_the_interval_is_wilsons(share: Share, interval: tuple[float, float]) -> None:
    assert share.interval == pytest.approx(interval, abs=0.0006)


@given(st.integers(0, 400), st.integers(0, 400))
def test_an_interval_holds_its_share_and_shrinks_with_n(good: int, bad: int) -> None:
    share = Share(good, good + bad)
    low, high = share.interval
    assert 0.0 <= low <= high <= 1.0
    if share.n:
        assert low - 1e-9 <= share.good / share.n <= high + 1e-9
        wide, narrow = share.interval, Share(4 * good, 4 * share.n).interval
        assert narrow[1] - narrow[0] < wide[1] - wide[0]


# --- who may say it, and what is kept -----------------------------------------------------------------------------------


async def test_a_full_member_s_word_is_recorded_with_the_run(tmp_path: Path) -> None:
    async with place(tmp_path, concluded()) as here:
        await here.advance()
        await feedback.give(here.world, word("U7"))
        [envelope] = [each for each in await here.journal.of_run("run-1") if isinstance(each.event, FeedbackGiven)]
        assert (envelope.actor, envelope.event) == ("person:U7", word("U7"))
        assert (await here.run()).diagnosis is not None, "the run folds as before"


async def test_guests_bots_and_strangers_are_refused_and_nothing_is_recorded(tmp_path: Path) -> None:
    async with place(tmp_path, concluded()) as here:
        await here.advance()
        here.club.guests.add("U5")
        with pytest.raises(NotAllowed, match="Only full members"):
            await feedback.give(here.world, word("U5"))
        assert await words(here) == []


async def test_while_slack_cannot_say_who_it_is_nothing_is_recorded(tmp_path: Path) -> None:
    async with place(tmp_path, concluded()) as here:
        await here.advance()
        here.club.silent = True
        with pytest.raises(NotAllowed, match="try again"):
            await feedback.give(here.world, word())
        assert await words(here) == []


async def test_the_same_word_again_is_not_recorded_again_and_another_one_is(tmp_path: Path) -> None:
    async with place(tmp_path, concluded()) as here:
        await here.advance()
        for said in (word(), word(), word(reason="it was the database"), word(reason="it was the database")):
            await feedback.give(here.world, said)
        assert [each.verdict for each in await words(here)] == [GOOD, BAD]
        assert await here.journal.feedback("run-1", "U1") == word(reason="it was the database")


async def test_what_was_not_diagnosed_cannot_be_rated(tmp_path: Path) -> None:
    async with place(tmp_path, concluded()) as here:
        for run_id in ("run-1", "run-unknown"):
            with pytest.raises(BadInput, match="not known here"):
                await feedback.give(here.world, word(run_id=run_id))


async def test_secrets_in_a_reason_are_redacted_and_a_long_one_is_cut(tmp_path: Path) -> None:
    async with place(tmp_path, concluded()) as here:
        await here.advance()
        await feedback.give(here.world, word(reason=f"the password {SECRET} was wrong " + "x" * 5000))
        [kept] = await words(here)
        assert SECRET not in kept.reason
        assert len(kept.reason) <= feedback.LONGEST
