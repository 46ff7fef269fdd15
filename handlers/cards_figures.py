"""A period's figures as blocks: measured apart from estimated, each with its n; the table; the rows behind one. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta

from domain.errors import BadInput
from domain.feedback import Quality
from domain.figures import SHAPES
from domain.work import Basis, Drill, Figure, Group, Rollup, Row
from handlers import kit
from handlers.cards_feedback import rated
from handlers.kit import Block, Body

ROWS = "figures.rows"
SHOWN = frozenset(
    {
        *("alerts", "incidents", "repeated", "grouped", "executions", "verified", "failed", "reverted", "held_share"),
        *("to_first_finding", "to_diagnosis", "to_verified", "wait_p50", "people", "model_cost"),
        *("attention", "replaced", "charged", "net"),
    }
)
"""The figures that the weekly message rests on; its menu has no room for all of them."""

_EPOCH, _MICROSECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)
_ENOUGH = 5  # waits from which on a ninetieth percentile is worth saying
_SERVICES = 6  # of them in the table
MOST_ROWS = 20
_KINDS = {
    "diagnosis": "Diagnosis",
    "remediation": "Remediation",
    "pipeline_triage": "Pipeline triage",
    "configuration_finding": "Configuration",
    "question": "Question",
}


def amount(value: int | None, unit: str) -> str:
    """A value as people say it: 12, 38 s, 75 %, $3.12; a dash where there is none."""
    if value is None:
        return "–"
    match unit:
        case "ms" if abs(value) < 1000:
            return f"{value} ms"
        case "ms" if abs(value) < 10_000:
            return f"{value / 1000:.1f} s".replace(".0 s", " s")
        case "ms":
            return _lasting(value / 1000)
        case "s":
            return _lasting(value)
        case "micros":
            return f"${value / 1e6:,.2f}" if value == 0 or value >= 10_000 else "less than 1 ct"
        case "permille":
            return f"{value / 10:.0f} %"
        case _:
            return f"{value:,}"


def _lasting(seconds: float) -> str:
    return f"{'−' if seconds < 0 else ''}{kit.duration(abs(seconds))}"


def said(figure: Figure) -> str:
    """A figure with what it rests on: `38 s · n 38`, `75 % (46 to 92 %) · n 12`."""
    words = amount(figure.value, figure.unit)
    if figure.unit == "permille" and figure.low is not None and figure.high is not None:
        words += f" ({figure.low / 10:.0f} to {figure.high / 10:.0f} %)"
    return f"{words} · n {figure.n:,}"


# --- the parts of a report ----------------------------------------------------------------------------------------------


def measured(rollup: Rollup, waiting: int) -> Block:
    """What was counted and what clocks and bills say, and how many requests wait now."""
    counted, clocks = rollup.counted, rollup.measured
    return kit.fields(
        [
            ("Incidents", f"{counted.incidents.n:,} from {kit.plural(counted.alerts.n, 'alert')}"),
            ("Changes", _changes(rollup)),
            ("Alert to first finding", said(clocks.to_first_finding)),
            ("Alert to diagnosis", said(clocks.to_diagnosis)),
            ("Alert to verified fix", said(clocks.to_verified)),
            ("Changes that held", said(counted.held_share)),
            ("Wait for a decision", _waits(rollup, waiting)),
            ("Bill", _bill(rollup)),
        ]
    )


def _changes(rollup: Rollup) -> str:
    counted = rollup.counted
    if not counted.executions.n:
        return "none"
    later = f" ({counted.reverted.value:,} taken back later)" if counted.reverted.value else ""
    return f"{counted.executions.n:,}: {counted.verified.n:,} verified{later}, {counted.failed.n:,} went wrong"


def _waits(rollup: Rollup, waiting: int) -> str:
    half, most = rollup.measured.wait_p50, rollup.measured.wait_p90
    now = f", {waiting} open now" if waiting else ""
    if not half.n:
        return f"nobody was asked{now}" if not waiting else f"{waiting} open now"
    within = f", nine of ten within {amount(most.value, 'ms')}" if half.n >= _ENOUGH else ""
    return f"{amount(half.value, 'ms')}{within} · n {half.n:,}{now}"


def _bill(rollup: Rollup) -> str:
    model, computing = rollup.measured.model_cost, rollup.measured.compute_cost
    priced = f"{amount(model.value, 'micros')} model" if model.value is not None else "model without a known price"
    parts = [priced if model.n else "no model used"]
    if computing.n:
        parts.append(f"{amount(computing.value, 'micros')} computing")
    return ", ".join(parts)


def estimated(rollup: Rollup) -> Iterator[Block]:
    """What rests on a baseline, and which baselines those are."""
    guess = rollup.estimated
    between = ""
    if guess.net.low is not None and guess.net.high is not None:
        between = f" ({amount(guess.net.low, 's')} to {amount(guess.net.high, 's')})"
    yield kit.section(
        f"*{amount(guess.net.value, 's')} of work by hand saved, net*{between} · n {guess.net.n:,}\n"
        f"{amount(guess.replaced.value, 's')} replaced, less {amount(guess.charged.value, 's')} spoiled, "
        f"less {amount(guess.attention.value, 's')} of attention"
    )
    kinds = {group.name for group in rollup.by_kind}
    rests = [
        f"{_KINDS[base.kind].lower()} {amount(base.seconds, 's')} ({base.source}{f', n {base.n}' if base.n else ''})"
        for base in rollup.baselines
        if base.kind in kinds
    ]
    if rests:
        yield kit.context("By hand it is taken to be: " + ", ".join(rests))


def table(rollup: Rollup) -> Block:
    """By kind of work, then by service: how many, how many replaced work, how many count against it, what they cost."""
    heads = ("By kind", "Count", "Replaced work", "Went wrong", "Model cost")
    rows = [[*map(_cell, heads)], *(_row(_KINDS.get(group.name, group.name), group) for group in rollup.by_kind)]
    services = [group for group in rollup.by_service if group.name]
    if services:
        rows.append([_bold("By service"), *[_cell(" ")] * 4])
        rows += [_row(service(group.name), group) for group in services[:_SERVICES]]
    if len(services) > _SERVICES:
        rows.append([_cell(f"and {len(services) - _SERVICES} more"), *[_cell(" ")] * 4])
    columns: list[Block] = [{"align": "left"}, *[{"align": "right"}] * 4]
    return {"type": "table", "rows": rows, "column_settings": columns}


def _row(name: str, group: Group) -> list[Block]:
    cells = (f"{group.n:,}", f"{group.credited:,}", f"{group.charged:,}", amount(group.cost_micros, "micros"))
    return [_cell(name), *map(_cell, cells)]


def service(key: str) -> str:
    """`shop/checkout` of a target's key (kubernetes/shop/Deployment/checkout): where, and what it is called."""
    parts = key.split("/")
    return f"{parts[-3]}/{parts[-1]}" if len(parts) > 3 else "/".join(parts[1:]) or key


def _cell(text: str) -> Block:
    return {"type": "raw_text", "text": text if text == " " else kit.line(text, 48)}


def _bold(text: str) -> Block:
    words = {"type": "text", "text": kit.line(text, 80), "style": {"bold": True}}
    return {"type": "rich_text", "elements": [{"type": "rich_text_section", "elements": [words]}]}


def picture(file_id: str, alt_text: str, title: str = "") -> Block:
    """An uploaded picture."""
    block: Block = {"type": "image", "slack_file": {"id": file_id}, "alt_text": kit.line(alt_text, 1000)}
    return block | {"title": kit.plain(title, 200)} if title else block


def asking(rollup: Rollup, names: frozenset[str] = SHOWN) -> Block:
    """A menu of figures; the rows behind the one that is chosen are shown to that person alone."""
    period = " ".join(str((moment - _EPOCH) // _MICROSECOND) for moment in (rollup.since, rollup.until))
    groups = [
        {
            "label": kit.plain(basis.value.capitalize(), 75),
            "options": [
                {"text": kit.plain(figure.title, 75), "value": f"{figure.name} {period}"}
                for figure in rollup.figures
                if figure.basis is basis and figure.name in names
            ],
        }
        for basis in Basis
    ]
    menu = {"type": "static_select", "action_id": ROWS, "placeholder": kit.plain("Show the rows behind…", 75)}
    return kit.actions(menu | {"option_groups": groups})


def asked(value: str) -> tuple[str, datetime, datetime]:
    """The figure and the period that an option of `asking` names. Raises BadInput."""
    name, _, period = value.partition(" ")
    try:
        since, until = (_EPOCH + int(part) * _MICROSECOND for part in period.split(" "))
    except (ValueError, OverflowError) as error:
        raise BadInput("This figure is not known here any more. Ask again with /agent roi.") from error
    return name, since, until


# --- whole answers ----------------------------------------------------------------------------------------------------


def summary(rollup: Rollup) -> str:
    """The period in one line."""
    counted = rollup.counted
    changes = (
        f"{kit.plural(counted.executions.n, 'change')}, {counted.verified.n} verified, {counted.failed.n} went wrong"
    )
    return f"{kit.plural(counted.incidents.n, 'incident')} from {kit.plural(counted.alerts.n, 'alert')}; {changes}"


def roi(rollup: Rollup, waiting: int, quality: Quality, links: Mapping[str, str], chart: str = "") -> Body:
    """The figures of a period, for one person; `links` are the threads of what people complained about."""
    since, until, text = kit.when(rollup.since, "{date_short}"), kit.when(rollup.until, "{date_short}"), summary(rollup)
    blocks = [
        kit.header("What the agent's work was worth"),
        kit.context(f"{since} to {until}, {kit.plural(rollup.n, 'piece')} of work"),
        *([picture(chart, text)] if chart else []),
        kit.context("*Measured*. Times are medians; n is how many each rests on"),
        measured(rollup, waiting),
        kit.context("*Estimated*, from baselines"),
        *estimated(rollup),
        *([table(rollup)] if rollup.n else []),
        rated(quality, links),
        asking(rollup, frozenset(SHAPES)),
    ]
    return Body(text, kit.within(blocks))


def rows(drill: Drill, links: Mapping[str, str]) -> Body:
    """The events behind a figure, with the threads that they belong to; `links` by incident or run."""
    figure, found = drill.figure, drill.rows
    title = f"{figure.title}: {said(figure)}"
    blocks: list[Block] = [
        kit.section(f"*{kit.safe(figure.title, 100)}*  {kit.safe(said(figure), 100)}"),
        kit.context(f"{figure.basis.value.capitalize()}: {kit.safe(figure.method, 300)}"),
    ]
    shown = found[-MOST_ROWS:][::-1]
    lines = [_line(row, figure.unit, links) for row in shown]
    blocks += [kit.section("\n".join(lines[start : start + 10])) for start in range(0, len(lines), 10)]
    if not found:
        blocks.append(kit.context("No rows: nothing of the kind happened in this period."))
    if len(found) > len(shown):
        blocks.append(
            kit.context(
                f"The newest {len(shown)} of {len(found):,}. `personal-agent roi --figure {figure.name}` lists all."
            )
        )
    return Body(kit.safe(title, 200), kit.within(blocks))


def _line(row: Row, unit: str, links: Mapping[str, str]) -> str:
    place = kit.thread(links, row.incident_id, row.run_id)
    worth = "" if unit == "count" else f"{amount(row.value, unit)}, "
    return f"• {worth}{kit.safe(row.about, 140)}, {kit.when(row.at)}, event {row.seq:,}{place}"
