"""docs/roi.md is held to the product: its figures, its settings, and every number of its worked week."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from bot.worth_text import amount, recomputed, words
from domain.estimates import ASSUMED_S, LEAST, OWN_DAYS
from domain.figures import ATTENTION_CAP_MS, EXACT_RANKS, SHAPES, ranks
from domain.work import Drill, Rollup, WorkKind
from storage.journal import SqliteJournal
from tests.example_week import BEFORE_MINUTES, SINCE, UNTIL, example_week

PAGE = (Path(__file__).parents[2] / "docs" / "roi.md").read_text()


def block(name: str) -> str:
    """The code block after a mark."""
    found = re.search(rf"<!-- example: {name} -->\n```text\n(.*?)```", PAGE, re.DOTALL)
    assert found
    return found[1]


def minutes(seconds: float) -> str:
    return f"{seconds / 60:.1f}".removesuffix(".0")


def sum_of(drill: Drill, rollup: Rollup) -> str:
    """`4 remediations × 31 min + 2 diagnoses × 20 min`."""
    of_kind = {one.kind: one.seconds for one in rollup.baselines}
    parts = []
    for kind in WorkKind:
        n = sum(row.about.startswith(f"{kind.replace('_', ' ')},") for row in drill.rows)
        if n:
            parts.append(f"{n} {kind.replace('_', ' ')} × {minutes(of_kind[kind])} min")
    return " + ".join(parts)


async def worked(journal: SqliteJournal, rollup: Rollup) -> Sequence[str]:
    """The estimates told as sums, from the rows behind them."""
    named = ("replaced", "charged", "attention", "held_share")
    good, bad, attention, held = [await journal.drill(name, SINCE, UNTIL) for name in named]
    value = {figure.name: figure.value or 0 for figure in rollup.figures}
    replaced, charged, spent, net, even = (
        minutes(value[name]) for name in ("replaced", "charged", "attention", "net", "break_even")
    )
    [remedy] = [one for one in rollup.baselines if one.kind is WorkKind.REMEDIATION]
    n, (low, high) = len(BEFORE_MINUTES), ranks(len(BEFORE_MINUTES), 500)
    ends = [minutes(end or 0) for end in (rollup.estimated.net.low, rollup.estimated.net.high)]
    share, least, most = (amount(part, "permille") for part in (value["held_share"], held.figure.low, held.figure.high))
    parts = [
        ("remedy", f"median of {' '.join(map(str, BEFORE_MINUTES))} = {minutes(remedy.seconds)} min"),
        ("", f"its interval: places {low} and {high} of {n} = {minutes(remedy.low)} to {minutes(remedy.high)} min"),
        ("replaced", f"{sum_of(good, rollup)} = {replaced} min"),
        ("spoiled", f"{sum_of(bad, rollup)} = {charged} min"),
        ("attention", f"{' + '.join(str(row.value) for row in attention.rows)} s = {spent} min"),
        ("net", f"{replaced} − {charged} − {spent} = {net} min, from {ends[0]} to {ends[1]}"),
        ("break-even", f"{spent} min ÷ ({len(good.rows)} − {len(bad.rows)}) = {even} min a piece"),
        ("held", f"{sum(row.value for row in held.rows)} of {len(held.rows)} = {share}, from {least} to {most}"),
    ]
    return [f"{name:<11} {words}" for name, words in parts]


async def test_the_worked_week_is_what_the_product_makes_of_its_events(tmp_path: Path) -> None:
    async with example_week(tmp_path) as journal:
        rollup = await journal.rollup(SINCE, UNTIL)
        assert block("figures") == words(rollup, brief=True) + "\n"
        assert block("worked").splitlines() == list(await worked(journal, rollup))
        for figure in rollup.figures:
            drill = await journal.drill(figure.name, SINCE, UNTIL)
            assert recomputed(drill) in (figure.value, None)


async def test_the_same_week_told_again_gives_the_same_figures_and_rows(tmp_path: Path) -> None:
    told = []
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        async with example_week(tmp_path / name) as journal:
            rollup = await journal.rollup(SINCE, UNTIL)
            await journal.rebuild()
            assert await journal.rollup(SINCE, UNTIL) == rollup
            told.append(rollup)
    assert told[0] == told[1]


def test_every_figure_has_its_row_with_its_title_and_no_other_has() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` ([^|]+?) \|", PAGE, re.MULTILINE))
    assert rows == {name: shape.title for name, shape in SHAPES.items()}


def test_the_numbers_in_the_page_are_the_product_s() -> None:
    assumed = [(kind.replace("_", " "), seconds // 60) for kind, seconds in ASSUMED_S.items()]
    assert ", ".join(f"{kind} {minutes}" for kind, minutes in assumed) + " minutes" in PAGE
    text = " ".join(PAGE.split())
    for said in (
        f"cuts each person's share of a card at {ATTENTION_CAP_MS // 60_000} minutes",
        f"at least {LEAST} incidents of the last {OWN_DAYS} days",
        f"exact up to n = {EXACT_RANKS:,}",
        f"at least {LEAST} incidents from before",
    ):
        assert said in text
    assert (ranks(5, 500), ranks(6, 500)) == ((None, None), (1, 6))
    assert "The median needs n ≥ 6, an upper end for the 90th percentile n ≥ 36" in text
    assert (ranks(35, 900)[1], ranks(36, 900)[1]) == (None, 36)
