"""Figures as text: never without what they rest on, and never what a label makes of a terminal or a spreadsheet."""

from __future__ import annotations

import csv
from dataclasses import fields, replace

import pytest
from hypothesis import given, strategies as st

from bot.worth_text import COLUMNS, amount, drilled, rated, recomputed, row_table, table, words
from domain.feedback import Complaint, FeedbackCategory, Quality, Share
from domain.work import Case, Day, Drill, Row, WorkKind, WorkOutcome
from tests.unit.worth_samples import NOON, group, rollup_of

WEEK = rollup_of(
    by_kind=(group("remediation", 4, credited=3, charged=1),),
    by_outcome=(group("no_action", 4),),
    attention_s=300,
    work=4,
    to_diagnosis=7_600,
)
HOSTILE = "=cmd|' /C calc'!A0\x1b[2J"


def case(service: str) -> Case:
    return Case("the longest", 7, "run-1", "inc-1", WorkKind.REMEDIATION, WorkOutcome.FAILED, service, 90_000)


def test_every_figure_stands_there_with_its_n_and_method_and_estimates_come_last_under_their_name() -> None:
    shown = words(WEEK)
    for figure in WEEK.figures:
        assert f"  {figure.title:<32} {amount(figure.value, figure.unit):>10}  n = {figure.n:,}" in shown
        assert f"\n    {figure.method}\n" in shown
    lines = shown.splitlines()
    headings = [line for line in lines if not line.startswith(" ")]
    assert [heading.split(":")[0].split(",")[0] for heading in headings[1:]] == [
        "counted",
        "measured",
        "estimated",
        "baselines",
    ]
    net = next(line for line in lines if line.startswith("  Net saving"))
    assert "what if" in net
    assert "remediation 35 min (assumed)" in net


def test_in_brief_only_what_rests_on_something_is_shown() -> None:
    shown = words(WEEK, brief=True)
    assert "Alert to diagnosis" in shown
    assert "Question to answer" not in shown
    assert "median from" not in shown


def test_a_name_from_outside_steers_neither_a_terminal_nor_a_spreadsheet() -> None:
    week = replace(
        WEEK, by_service=(group(HOSTILE, 1),), worst=case(HOSTILE), days=(Day("2026-03-01", (("failed", 1),)),)
    )
    assert "\x1b" not in words(week)
    [service] = [row for row in csv.DictReader(table(week).splitlines()) if row["part"] == "service"]
    assert service["name"].startswith("'=")
    row = Row(3, "f" * 64, NOON, "run-1", "inc-1", HOSTILE, 7_600)
    drill = Drill(WEEK.measured.to_diagnosis, (row,))
    assert "\x1b" not in drilled(drill, recomputed(drill))
    assert next(csv.DictReader(row_table(drill).splitlines()))["about"].startswith("'=")


def test_the_table_has_every_figure_once_with_all_that_belongs_to_it() -> None:
    rows = list(csv.DictReader(table(WEEK).splitlines()))
    assert tuple(rows[0]) == COLUMNS
    names = [row["name"] for row in rows if row["part"] == "figure"]
    assert names == [field.name for part in (WEEK.counted, WEEK.measured, WEEK.estimated) for field in fields(part)]
    assert all(
        row["n"] and row["basis"] and row["interval"] and row["method"] for row in rows if row["part"] == "figure"
    )
    assert len([row for row in rows if row["part"] == "baseline"]) == len(WorkKind)


def test_a_share_s_rows_are_in_it_or_not_and_the_figure_is_computed_from_them_again() -> None:
    rows = tuple(Row(n, "f" * 64, NOON, "run-1", "", "", value) for n, value in enumerate((1, 0, 1)))
    drill = Drill(replace(WEEK.counted.held_share, value=667, n=3), rows)
    shown = drilled(drill, recomputed(drill))
    assert shown.count("  yes  run-1") == 2
    assert shown.endswith("3 rows; computed from them: 66.7 %")


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [
        (None, "ms", "–"), (950, "ms", "950 ms"), (-1500, "ms", "-1.5 s"), (60_000, "ms", "60 s"), (150_000, "ms", "2.5 min"),
        (36_000, "s", "10.0 h"), (4_200, "micros", "$0.0042"), (12_345_678_900, "micros", "$12,345.68"),
        (875, "permille", "87.5 %"), (12_345, "tokens", "12,345"),
    ],
)  # fmt: skip
def test_amounts_are_as_short_as_they_stay_true(value: int | None, unit: str, shown: str) -> None:
    assert amount(value, unit) == shown


@given(st.text())
def test_any_name_is_one_cell_of_one_row(name: str) -> None:
    rows = list(csv.reader(table(replace(WEEK, by_service=(group(name, 1),))).splitlines(keepends=True)))
    assert len({len(row) for row in rows}) == 1


def test_ratings_are_said_with_their_interval_and_every_complaint_with_its_words() -> None:
    complaint = Complaint("run-7", "i1", "U1", FeedbackCategory.WRONG_CAUSE, "=cmd\u202e it was the index", NOON)
    said = rated(Quality(Share(8, 10), (("diagnosis", Share(8, 10)),), (("gpt-5", Share(8, 10)),), (complaint,)))
    assert said.count("8 of 10; 49% to 94% (95 %, Wilson)") == 3
    assert "run-7 wrong cause" in said
    assert "\u202e" not in said
    assert rated(Quality()).endswith("nobody rated one")
