"""Pictures: what they say is what the rows say, light and dark show them, and the event loop does not draw."""

from __future__ import annotations

import io
import threading
from dataclasses import replace
from datetime import timedelta
from itertools import combinations

import pytest
from PIL import Image

from bot import charts
from bot.charts import (
    BAD,
    BANDS,
    CARD,
    INK,
    LONG,
    REFERENCE,
    SOFT,
    columns,
    drawn,
    headline,
    hours,
    lasting,
    spans,
    weekly_png,
)
from domain.estimates import baseline
from domain.work import Day, Rollup, WorkKind, WorkOutcome
from tests.unit.worth_samples import NOON, group, rollup_of

LIGHT, DARK = (255, 255, 255), (26, 29, 33)


def week(**more: int | None) -> Rollup:
    made = rollup_of(
        by_kind=(group("remediation", 4, credited=3, charged=1),),
        by_outcome=(group("accepted", 3), group("failed", 1)),
        attention_s=300,
        **({"work": 4, "to_diagnosis": 7_600, "to_verified": 300_000} | more),
    )
    days = (Day("2026-03-02", (("accepted", 2), ("failed", 1))), Day("2026-03-07", (("accepted", 1),)))
    return replace(made, days=days)


def shown(png: bytes, background: tuple[int, int, int]) -> Image.Image:
    """The picture as Slack composes it."""
    picture = Image.open(io.BytesIO(png)).convert("RGBA")
    under = Image.new("RGBA", picture.size, (*background, 255))
    under.alpha_composite(picture)
    return under.convert("RGB")


def contrast(one: str, other: str) -> float:
    """As WCAG 2 defines it."""

    def light(colour: str) -> float:
        parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2] + 0.05

    high, low = sorted((light(one), light(other)), reverse=True)
    return high / low


def test_a_picture_is_a_card_with_its_own_ground_so_light_and_dark_show_the_same() -> None:
    png = weekly_png(week())
    light, dark = shown(png, LIGHT), shown(png, DARK)
    assert light.size == (1200, 620)
    assert dark.getpixel((0, 0)) == DARK, "outside of the card is what is behind it"
    inside = (20, 20, 1180, 600)
    assert light.crop(inside).tobytes() == dark.crop(inside).tobytes()
    assert len(png) < 300_000


def test_words_and_marks_can_be_told_from_the_card_and_bands_from_each_other() -> None:
    assert all(contrast(colour, CARD) >= 4.5 for colour in (INK, SOFT))
    assert all(contrast(colour, CARD) >= 3 for colour in (REFERENCE, *(band.colour for band in BANDS)))
    for one, other in combinations(BANDS, 2):
        assert contrast(one.colour, other.colour) > 1.02 or one.hatch != other.hatch
    assert [band.hatch != "" for band in BANDS] == [band.colour == BAD for band in BANDS]


def test_every_outcome_has_its_place_in_a_bar_once() -> None:
    assert sorted(outcome for band in BANDS for outcome in band.outcomes) == sorted(WorkOutcome)


def test_the_same_figures_are_the_same_picture_and_other_figures_another() -> None:
    assert weekly_png(week()) == weekly_png(week())
    assert weekly_png(week()) != weekly_png(replace(week(), days=()))


@pytest.mark.parametrize("made", [rollup_of(), rollup_of(to_answer=90_000), week(to_diagnosis=0, to_verified=10**9)])
def test_whatever_is_missing_or_huge_there_is_a_picture(made: Rollup) -> None:
    assert shown(weekly_png(made), DARK).size == (1200, 620)


async def test_a_picture_is_drawn_in_a_thread() -> None:
    drew: list[threading.Thread] = []

    def draw() -> bytes:
        drew.append(threading.current_thread())
        return weekly_png(week())

    assert (await drawn(draw))[:4] == b"\x89PNG"
    assert drew[0] is not threading.current_thread()


def test_bars_stand_for_each_day_of_the_period_also_those_without_work_and_for_weeks_in_a_long_one() -> None:
    labels, counts = columns(week())
    assert (len(labels), labels[0], labels[-1]) == (8, "Sun\n1", "Sun\n8")
    assert counts[0] == [0, 2, 0, 0, 0, 0, 1, 0]
    assert counts[3] == [0, 1, 0, 0, 0, 0, 0, 0]
    long = replace(week(), since=NOON - LONG - timedelta(days=10))
    labels, counts = columns(long)
    assert (len(labels), labels[0]) == (7, "25 Jan")
    assert (sum(counts[0]), sum(map(sum, counts))) == (3, 4)


def test_the_headline_says_what_was_counted_and_the_estimate_with_its_range() -> None:
    title, estimate = headline(week())
    assert title == "4 pieces of work, 3 changes that held, 1 failed or taken back"
    assert estimate == "Estimated net saving 1 h (30 min to 1.6 h) of work by hand, from 4 pieces"
    assert headline(rollup_of())[0] == "No work ended in this period"
    assert hours(-90 * 60) == "−1.5 h"


def test_times_stand_beside_what_the_same_takes_by_hand_and_where_that_comes_from() -> None:
    found = spans(week())
    assert [(one.label, one.note) for one in found] == [
        ("Alert to diagnosis", "median, n = 10"),
        ("Diagnosis by hand", "assumed"),
        ("Alert to verified", "median, n = 10"),
        ("Fix by hand", "assumed"),
    ]
    measured = baseline(WorkKind.REMEDIATION, None, [60_000 * n for n in range(1, 21)], ())
    fixed = [one for one in spans(replace(week(), baselines=(measured,))) if one.reference]
    assert [(one.note, one.seconds, one.low, one.high) for one in fixed] == [("measured, n = 20", 630, 360, 900)]
    assert [one.label for one in spans(rollup_of(to_answer=90_000))] == ["Question to answer"]
    assert [lasting(value) for value in (0.4, 45, 90, 5400)] == ["0.4 s", "45 s", "1.5 min", "1.5 h"]


def test_matplotlib_is_not_imported_before_something_is_drawn() -> None:
    assert not any(name.startswith("matplotlib") for name in vars(charts))
