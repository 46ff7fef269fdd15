"""What the journal makes of feedback: one standing word per person and run, and a period's quality from those words."""

from __future__ import annotations

from datetime import timedelta

import pytest

from domain.diagnosis import Confidence, Diagnosis
from domain.errors import Conflict
from domain.events import DiagnosisConcluded, Draft, FeedbackGiven, WorkUnitRecorded
from domain.feedback import Complaint, FeedbackCategory, FeedbackVerdict, Share
from domain.work import WorkKind
from storage.journal import SqliteJournal
from tests.contracts.journal_samples import NOON, Clock, run_started, unit

WEEK = (NOON, NOON + timedelta(days=7))


def diagnosed(run_id: str, by: str = "rules") -> Draft:
    return Draft(DiagnosisConcluded(Diagnosis("A.", "B.", Confidence.LIKELY, by)), run_id=run_id)


def good(run_id: str, user: str = "U1") -> Draft:
    return Draft(FeedbackGiven(run_id, user, FeedbackVerdict.GOOD), run_id=run_id)


def bad(run_id: str, user: str = "U1", reason: str = "") -> Draft:
    return Draft(FeedbackGiven(run_id, user, FeedbackVerdict.BAD, FeedbackCategory.TOO_NOISY, reason), run_id=run_id)


async def test_a_person_s_last_word_stands_and_every_word_is_kept(journal: SqliteJournal) -> None:
    await journal.append(run_started(), diagnosed("r1"), good("r1"), bad("r1", reason="no"), good("r1", "U2"))
    assert await journal.feedback("r1", "U1") == bad("r1", reason="no").event
    assert await journal.feedback("r1", "U3") is None
    assert (await journal.quality(*WEEK)).share == Share(1, 2)
    assert sum(isinstance(each.event, FeedbackGiven) for each in await journal.since(0)) == 3


async def test_only_what_was_diagnosed_is_rated_and_only_a_bad_word_has_a_category(journal: SqliteJournal) -> None:
    await journal.append(run_started())
    for draft in (good("r1"), good("r2")):
        with pytest.raises(Conflict, match="no diagnosis"):
            await journal.append(draft)
    await journal.append(diagnosed("r1"))
    for event in (
        FeedbackGiven("r1", "U1", FeedbackVerdict.BAD),
        FeedbackGiven("r1", "U1", FeedbackVerdict.GOOD, FeedbackCategory.OTHER),
    ):
        with pytest.raises(Conflict, match="category"):
            await journal.append(Draft(event))


async def test_quality_is_told_by_kind_of_work_and_by_who_diagnosed(journal: SqliteJournal, clock: Clock) -> None:
    for run_id, by, kind in (
        ("r1", "rules", WorkKind.DIAGNOSIS),
        ("r2", "gpt-5", WorkKind.DIAGNOSIS),
        ("r3", "gpt-5", WorkKind.REMEDIATION),
    ):
        await journal.append(run_started(run_id), diagnosed(run_id, by))
        await journal.append(Draft(WorkUnitRecorded(unit(kind=kind)), run_id=run_id))
    await journal.append(run_started("r4"), diagnosed("r4"))  # not ended yet: of no kind
    await journal.append(good("r1"), bad("r2", reason="late"), good("r3"), good("r3", "U2"), good("r4"))
    found = await journal.quality(*WEEK)
    assert found.share == Share(4, 5)
    assert found.by_kind == (("diagnosis", Share(1, 2)), ("remediation", Share(2, 2)))
    assert found.by_model == (("gpt-5", Share(2, 3)), ("rules", Share(2, 2)))
    assert found.complaints == (Complaint("r2", "i1", "U1", FeedbackCategory.TOO_NOISY, "late", NOON),)


async def test_a_word_counts_in_the_period_in_which_it_was_given(journal: SqliteJournal, clock: Clock) -> None:
    await journal.append(run_started(), diagnosed("r1"), good("r1"))
    clock.forward(days=7)
    await journal.append(bad("r1", "U2"))
    assert (await journal.quality(*WEEK)).share == Share(1, 1)
    assert (await journal.quality(WEEK[1], WEEK[1] + timedelta(days=7))).share == Share(0, 1)


async def test_feedback_folds_to_the_same_rows_again(journal: SqliteJournal) -> None:
    await journal.append(run_started(), diagnosed("r1"), good("r1"), bad("r1", reason="no"), good("r1", "U2"))
    before = await journal.quality(*WEEK)
    await journal.rebuild()
    assert await journal.quality(*WEEK) == before
