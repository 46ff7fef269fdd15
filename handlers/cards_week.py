"""The weekly message: what a director reads in one line, what an engineer checks below it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from domain.report import Head, Report
from domain.weeks import Week
from domain.work import Case, Rollup
from handlers import cards_figures, kit
from handlers.cards_approval import title_of
from handlers.cards_feedback import rated
from handlers.cards_figures import amount
from handlers.kit import Block, Body

_MISHAPS, _SUGGESTIONS = 5, 5
_EXACT = 500  # up to so many changes, thousandths name their number exactly
Links = Mapping[str, str]


def weekly(report: Report, links: Links, chart: str = "") -> Body:
    """The message; `chart` is Slack's id of the picture, `links` the threads of incidents and runs by their ids."""
    line = headline(report.rollup)
    blocks = kit.within(_blocks(report, links, line, chart), 45)
    return Body(f"{period(report.week)}: {line}", (*blocks, *_foot(report)))


def headline(rollup: Rollup) -> str:
    """The week in one sentence. The estimate is called one, and what did not hold is not left out."""
    net, held = rollup.estimated.net.value or 0, rollup.counted.held_share
    saved = f"About {_roughly(net)} of manual work saved (an estimate)" if net > 0 else "No time saved, by the estimate"
    if not held.n or held.value is None:
        return f"{saved}; {kit.plural(rollup.n, 'case')} looked into, nothing changed"
    if held.n > _EXACT:
        return f"{saved}; {held.value / 10:.1f} % of {held.n:,} changes held"
    good = round(held.value * held.n / 1000)
    rest = f", {held.n - good} did not" if good < held.n else ""
    return f"{saved}; {good} of {kit.plural(held.n, 'change')} held{rest}"


def period(week: Week) -> str:
    """Week 48, 16 to 22 November 2026."""
    first, last = week.days
    begins = f"{first.day} {first:%B}" if first.month != last.month else str(first.day)
    return f"Week {int(week.key.partition('-W')[2])}, {begins} to {last.day} {last:%B} {last.year}"


def _roughly(seconds: int) -> str:
    return f"{round(seconds / 3600)} h" if seconds >= 3 * 3600 else kit.duration(seconds)


def _blocks(report: Report, links: Links, line: str, chart: str) -> Iterator[Block]:
    rollup = report.rollup
    yield kit.header(line)
    yield kit.context(
        f"{period(report.week)} ({kit.safe(report.week.zone, 40)}), {kit.plural(rollup.n, 'piece')} of work"
    )
    if chart:
        yield cards_figures.picture(chart, line)
    yield kit.context("*Measured*. Times are medians; n is how many each rests on")
    yield cards_figures.measured(rollup, report.waiting)
    yield kit.context("*Estimated*, from baselines")
    yield from cards_figures.estimated(rollup)
    yield cards_figures.table(rollup)
    yield {"type": "divider"}
    if cases := _cases(rollup, links):
        yield kit.section("\n".join(cases))
    yield kit.section("*What went wrong*\n" + "\n".join(_wrong(report, links)))
    yield kit.section(f"*Noise kept away*\n{_noise(rollup)}")
    yield rated(report.quality, links)
    yield from _suggestions(report.suggestions)


def _foot(report: Report) -> Iterator[Block]:
    """Never cut off, whatever is above."""
    yield {"type": "divider"}
    yield cards_figures.asking(report.rollup)
    if report.head:
        yield kit.context(_head(report.head))


# --- cases ------------------------------------------------------------------------------------------------------------


def _cases(rollup: Rollup, links: Links) -> list[str]:
    best, worst = rollup.best, rollup.worst
    return [
        f"*{word} case*  {_case(case, links)}"
        for word, case in (("Best", best), ("Worst", worst if worst != best else None))
        if case
    ]


def _case(case: Case, links: Links) -> str:
    name = kit.safe(cards_figures.service(case.service) or case.run_id, 100)
    return (
        f"{name}, {amount(case.ms, 'ms')}: {kit.safe(case.why, 100)}{kit.thread(links, case.incident_id, case.run_id)}"
    )


def _wrong(report: Report, links: Links) -> Iterator[str]:
    for each in report.mishaps[:_MISHAPS]:
        detail = f": {kit.safe(each.detail, 140)}" if each.detail else ""
        what = f"{each.wrong.value.capitalize()}: {kit.safe(title_of(each.action), 120)}"
        yield f"• {what}{detail}{kit.thread(links, each.incident_id, each.run_id)}"
    if len(report.mishaps) > _MISHAPS:
        yield f"and {len(report.mishaps) - _MISHAPS} more"
    if report.broken:
        yield f"• {kit.plural(report.broken, 'run')} ended with an error"
    if not report.mishaps and not report.broken:
        yield "Nothing failed, was taken back, or was left unverified."


def _noise(rollup: Rollup) -> str:
    counted = rollup.counted
    kept = [
        f"{figure.value:,} {words}"
        for figure, words in (
            (counted.repeated, "repeats of an open incident"),
            (counted.grouped, "of a group or a storm"),
            (counted.ceased, "held back until they ceased"),
        )
        if figure.value
    ]
    became = f"{kit.plural(counted.alerts.n, 'alert')} became {kit.plural(counted.incidents.n, 'incident')}"
    return f"{became}; {', '.join(kept)} opened nothing." if kept else f"{became}."


# --- people and policy ------------------------------------------------------------------------------------------------


def _suggestions(suggestions: tuple[str, ...]) -> Iterator[Block]:
    if not suggestions:
        return
    yield kit.section("*Suggested changes of policy*")
    yield kit.listed(suggestions[:_SUGGESTIONS], limit=400)
    if len(suggestions) > _SUGGESTIONS:
        yield kit.context(f"and {len(suggestions) - _SUGGESTIONS} more")


def _head(head: Head) -> str:
    said = f"Journal at event {head.seq:,}: {kit.code(head.hash, 64)}"
    if not head.signed or not head.signed_at:
        return f"{said}. Not signed yet"
    places = f", held by {', '.join(kit.safe(place, 60) for place in head.places)}" if head.places else ""
    return f"{said}. Signed up to event {head.signed:,} on {kit.when(head.signed_at)}{places}"
