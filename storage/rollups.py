"""A period's figures: whole days from their sums, the edges of the period from the units, times from their index."""

from __future__ import annotations

import itertools
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, time, timedelta
from typing import Any, NamedTuple

from domain import figures
from domain.codec import timestamp
from domain.errors import JournalError
from domain.estimates import OWN_DAYS, Worth, baseline, estimated
from domain.noise import Suppression
from domain.work import Baseline, Case, Counted, Day, Figure, Group, Measured, Rollup, WorkKind, WorkOutcome
from storage.views import times
from storage.views.units import OF_SERVICE, SUMS

Period = dict[str, Any]

_DAYS = "FROM {table} WHERE workspace = :workspace AND day >= :first_day AND day < :last_day"
_EDGES = (
    "FROM work_units WHERE workspace = :workspace AND finished_at >= :since AND finished_at < :head",
    "FROM work_units WHERE workspace = :workspace AND finished_at >= :tail AND finished_at < :until",
)


def _grouped(table: str, keys: str, sums: Mapping[str, str]) -> str:
    """The query that adds up a table of daily sums and the period's edges."""
    of_a_unit = ", ".join(f"{expression} AS {name}" for name, expression in sums.items())
    edges = "".join(f" UNION ALL SELECT {keys}, {of_a_unit} {edge}" for edge in _EDGES)
    days = f"SELECT {keys}, {', '.join(sums)} {_DAYS.format(table=table)}"
    totals = ", ".join(f"sum({name})" for name in sums)
    return f"SELECT {keys}, {totals} FROM ({days}{edges}) GROUP BY {keys}"  # noqa: S608


_GROUPS = _grouped("daily", "kind, outcome", SUMS)
_SERVICES = _grouped("daily_services", "service", OF_SERVICE)
_BY_DAY = f"""
  SELECT day, outcome, sum(n) FROM (
    SELECT day, outcome, n {_DAYS.format(table="daily")}
    {" ".join(f"UNION ALL SELECT substr(finished_at, 1, 10), outcome, {SUMS['n']} {edge}" for edge in _EDGES)}
  ) GROUP BY day, outcome HAVING sum(n) > 0 ORDER BY day, outcome
"""  # noqa: S608
_TIMES = f"SELECT {', '.join(times.OF_UNIT)} {_DAYS.format(table='daily_times')}"
_EDGE_TIMES = tuple(f"SELECT {', '.join(times.OF_UNIT.values())} {edge}" for edge in _EDGES)
_TALLIES = """
  SELECT what, sum(n) FROM tallies WHERE workspace = :workspace AND day >= :first_day AND day < :last_day GROUP BY what
"""
_EVENTS = "SELECT count(*) FROM events WHERE workspace = :workspace AND kind = :kind AND at >= :since AND at < :until"
_EXECUTIONS = """
  SELECT count(*), total(verified = 1), total(failed), total(reverted_seq IS NOT NULL), total(undoes = ''),
    total(undoes = '' AND verified = 1 AND reverted_seq IS NULL)
  FROM executions WHERE workspace = :workspace AND started_at >= :since AND started_at < :until
"""
CEASED = (Suppression.FLAPPING, Suppression.COOLDOWN, Suppression.MAINTENANCE)
NOISE = ("repeated", "grouped", *Suppression)
_NOISE = "SELECT count(*) FROM noise WHERE workspace = :workspace AND why = :kind AND at >= :since AND at < :until"
_WAITS = """
  SELECT waited_ms FROM approvals
  WHERE workspace = :workspace AND decided_at >= :since AND decided_at < :until AND decided = :decided
"""
_RESOLVED = """
  SELECT open_ms FROM incidents
  WHERE workspace = :workspace AND resolved_at >= :since AND resolved_at < :until AND changed = :changed
"""
_CASE = "SELECT seq, run_id, incident_id, kind, outcome, service FROM work_units WHERE workspace = ? AND seq = ?"
_TOOK = f"""
  SELECT seq FROM work_units WHERE workspace = :workspace AND finished_at >= :since AND finished_at < :until
    AND {times.OF_UNIT["to_verified"]} = :ms ORDER BY finished_at, seq LIMIT 1
"""  # noqa: S608
_VERIFIED = f"SELECT day, to_verified {_DAYS.format(table='daily_times')}"
_WORST = """
  SELECT seq, max(people_ms) FROM work_units INDEXED BY work_units_bad
  WHERE workspace = :workspace AND finished_at >= :since AND finished_at < :until AND outcome IN ('failed', 'reverted')
"""


class Sums(NamedTuple):
    """The columns of `daily` that are added up."""

    n: int = 0
    units: int = 0
    credited: int = 0
    charged: int = 0
    votes: int = 0
    people_ms: int = 0
    attention_s: int = 0
    machine_ms: int = 0
    computed: int = 0
    compute_micros: int = 0
    modelled: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    priced: int = 0
    unpriced_tokens: int = 0
    cost_micros: int = 0


def rollup(db: sqlite3.Connection, workspace: str, since: datetime, until: datetime) -> Rollup:
    """The work that ended, and the incidents, alerts and executions that began, from `since` up to before `until`."""
    period = period_of(workspace, since, until)
    groups = [(row[:2], Sums(*row[2:])) for row in db.execute(_GROUPS, period).fetchall()]
    by_kind, all_of_it = _by(groups, 0), _added(sums for _, sums in groups)
    took, standing = _times(db, period), baselines(db, workspace, until)
    waits = {word: _column(db, _WAITS, period | {"decided": word}) for word in ("approved", "denied")}
    return Rollup(
        since,
        until,
        _counted(db, period, all_of_it, waits),
        _measured(db, period, all_of_it, took, sorted(itertools.chain(*waits.values()))),
        estimated(
            [Worth(WorkKind(name), sums.credited, sums.charged) for name, sums in by_kind.items()],
            all_of_it.attention_s,
            all_of_it.votes,
            standing,
        ),
        by_kind=_groups(by_kind),
        by_outcome=_groups(_by(groups, 1)),
        by_service=_largest(Group(*row) for row in db.execute(_SERVICES, period).fetchall()),
        days=_days(db, period),
        baselines=standing,
        best=_best(db, period, took["to_verified"]),
        worst=_worst(db, period, took["to_verified"]),
    )


def period_of(workspace: str, since: datetime, until: datetime) -> Period:
    """The period as the queries name it: its instants, the whole days (UTC) in it, and where its edges end and begin."""
    ends = {"workspace": workspace, "since": timestamp(since), "until": timestamp(until)}
    first = since.astimezone(UTC)
    first_day = first.date() + timedelta(days=first.time() != time())
    last_day = until.astimezone(UTC).date()
    if first_day >= last_day:  # no whole day: one edge is the whole period
        return ends | {"first_day": "", "last_day": "", "head": ends["until"], "tail": ends["until"]}
    return ends | {
        "first_day": first_day.isoformat(),
        "last_day": last_day.isoformat(),
        "head": timestamp(datetime.combine(first_day, time(), UTC)),
        "tail": timestamp(datetime.combine(last_day, time(), UTC)),
    }


# --- parts ------------------------------------------------------------------------------------------------------------


def _times(db: sqlite3.Connection, period: Period) -> dict[str, list[int]]:
    """Every time of the period's units, ascending, by figure: whole days as they are packed, the edges from the units."""
    days = db.execute(_TIMES, period).fetchall()
    edges = [row for edge in _EDGE_TIMES for row in db.execute(edge, period).fetchall()]
    return {
        name: sorted(
            [*times.unpack(row[place] for row in days), *(row[place] for row in edges if row[place] is not None)]
        )
        for place, name in enumerate(times.OF_UNIT)
    }


def _counted(db: sqlite3.Connection, period: Period, sums: Sums, waits: Mapping[str, Sequence[int]]) -> Counted:
    done, verified, failed, reverted, own, held = map(int, db.execute(_EXECUTIONS, period).fetchone())
    there_were = _tallies(db, period)
    return Counted(
        alerts=figures.count("alerts", there_were["alert"]),
        incidents=figures.count("incidents", there_were["incident"]),
        repeated=figures.count("repeated", there_were["repeated"]),
        grouped=figures.count("grouped", there_were["grouped"] + there_were["storm"]),
        ceased=figures.count("ceased", sum(there_were[why] for why in CEASED)),
        work=figures.count("work", sums.n),
        executions=figures.count("executions", done),
        verified=figures.count("verified", verified),
        failed=figures.count("failed", failed),
        reverted=figures.count("reverted", reverted),
        approved_share=figures.share("approved_share", len(waits["approved"]), sum(map(len, waits.values()))),
        held_share=figures.share("held_share", held, own),
    )


def _measured(
    db: sqlite3.Connection, period: Period, sums: Sums, took: Mapping[str, Sequence[int]], waits: Sequence[int]
) -> Measured:
    with_change, without = (_column(db, _RESOLVED, period | {"changed": changed}) for changed in (1, 0))
    return Measured(
        to_first_finding=figures.quantile("to_first_finding", took["to_first_finding"]),
        to_diagnosis=figures.quantile("to_diagnosis", took["to_diagnosis"]),
        to_approval=figures.quantile("to_approval", took["to_approval"]),
        to_verified=figures.quantile("to_verified", took["to_verified"]),
        to_answer=figures.quantile("to_answer", took["to_answer"]),
        alert_age=figures.quantile("alert_age", took["alert_age"]),
        wait_p50=figures.quantile("wait_p50", waits),
        wait_p90=figures.quantile("wait_p90", waits, 900),
        resolved_with=figures.quantile("resolved_with", with_change),
        resolved_without=figures.quantile("resolved_without", without),
        people=figures.total("people", sums.people_ms, sums.votes),
        machine=figures.total("machine", sums.machine_ms, sums.units),
        input_tokens=figures.total("input_tokens", sums.input_tokens, sums.modelled),
        output_tokens=figures.total("output_tokens", sums.output_tokens, sums.modelled),
        model_cost=model_cost(sums),
        compute_cost=compute_cost(sums),
    )


def model_cost(sums: Sums) -> Figure:
    """The bill for the tokens whose price is known; where none is, there is no figure. Nothing is 0 for want of a price."""
    used = sums.input_tokens + sums.output_tokens
    note = "" if used else "no model was used"
    if sums.unpriced_tokens:
        note = f"not counted: {sums.unpriced_tokens:,} of {used:,} tokens, of models without a known price"
    known = not used or sums.unpriced_tokens < used
    return figures.total("model_cost", sums.cost_micros if known else None, sums.priced, note)


def compute_cost(sums: Sums) -> Figure:
    """The bill for machine time, for the units whose time had a price."""
    missing = sums.units - sums.computed
    note = f"not counted: {missing:,} of {sums.units:,} units, for want of AGENT_COMPUTE_PRICE" if missing else ""
    return figures.total(
        "compute_cost", sums.compute_micros if sums.computed or not sums.units else None, sums.computed, note
    )


def noise(db: sqlite3.Connection, workspace: str, since: datetime, until: datetime) -> dict[str, int]:
    """Alerts that opened no incident of their own, by what became of them; without what there was none of."""
    found = _tallies(db, period_of(workspace, since, until))
    return {str(why): found[why] for why in NOISE if found[why]}


def _tallies(db: sqlite3.Connection, period: Period) -> dict[str, int]:
    """How many of what there were: whole days from their tallies, the edges from the rows."""
    found = Counter({what: int(n) for what, n in db.execute(_TALLIES, period).fetchall()})
    for since, until in _edges(period):
        edge = period | {"since": since, "until": until}
        for what, kind in (("alert", "AlertReceived"), ("incident", "IncidentOpened")):
            found[what] += db.execute(_EVENTS, edge | {"kind": kind}).fetchone()[0]
        for why in NOISE:
            found[why] += db.execute(_NOISE, edge | {"kind": why}).fetchone()[0]
    return {what: found[what] for what in ("alert", "incident", *NOISE)}


def _edges(period: Period) -> tuple[tuple[str, str], tuple[str, str]]:
    """The parts of days that the period begins and ends with."""
    return (period["since"], period["head"]), (period["tail"], period["until"])


def baselines(db: sqlite3.Connection, workspace: str, until: datetime) -> tuple[Baseline, ...]:
    """What each kind of work is taken to cost by hand, for a period that ends then."""
    given = dict(db.execute("SELECT kind, seconds FROM baselines WHERE workspace = ?", (workspace,)).fetchall())
    past: dict[str, list[int]] = defaultdict(list)
    for kind, open_ms in db.execute(
        "SELECT kind, open_ms FROM history WHERE workspace = ? ORDER BY kind, open_ms", (workspace,)
    ):
        past[kind].append(open_ms)
    return tuple(
        baseline(
            kind,
            given.get(kind),
            past[kind],
            own_times(db, workspace, until) if kind is WorkKind.REMEDIATION and kind not in given else (),
        )
        for kind in WorkKind
    )


def own_times(db: sqlite3.Connection, workspace: str, until: datetime) -> list[int]:
    """How long incidents of the days before were open in which the agent executed nothing, ascending milliseconds."""
    since = timestamp(until - timedelta(days=OWN_DAYS))
    return _column(db, _RESOLVED, {"workspace": workspace, "since": since, "until": timestamp(until), "changed": 0})


def _days(db: sqlite3.Connection, period: Period) -> tuple[Day, ...]:
    outcomes: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for day, outcome, n in db.execute(_BY_DAY, period):
        outcomes[day].append((outcome, n))
    return tuple(Day(day, tuple(found)) for day, found in outcomes.items())


def _best(db: sqlite3.Connection, period: Period, verified: Sequence[int]) -> Case | None:
    return _that_took(db, period, verified[0], "the shortest from alert to verified") if verified else None


def _worst(db: sqlite3.Connection, period: Period, verified: Sequence[int]) -> Case | None:
    """What went wrong and took most of people's time; where nothing did, the longest from alert to verified."""
    seq, ms = db.execute(_WORST, period).fetchone()
    if seq is not None:
        return _case(db, period["workspace"], seq, "failed or taken back, with most of people's time", ms)
    return _that_took(db, period, verified[-1], "the longest from alert to verified") if len(verified) > 1 else None


def _that_took(db: sqlite3.Connection, period: Period, ms: int, why: str) -> Case:
    """The first unit that took this long; the days' packed times say on which day to look for it."""
    places = [*_edges(period)]
    for day, packed in db.execute(_VERIFIED, period):
        values = times.unpack([packed])
        if values and ms in (values[0], values[-1]):
            places.append((day, f"{day}T~"))  # every instant of that day sorts between the two
    for since, until in places:
        row = db.execute(_TOOK, period | {"since": since, "until": until, "ms": ms}).fetchone()
        if row is not None:
            return _case(db, period["workspace"], row[0], why, ms)
    raise JournalError(
        f"no unit took {ms} ms, which its day says: fold the projections again (personal-agent db migrate)"
    )


def _case(db: sqlite3.Connection, workspace: str, seq: int, why: str, ms: int) -> Case:
    seq, run_id, incident_id, kind, outcome, service = db.execute(_CASE, (workspace, seq)).fetchone()
    return Case(why, seq, run_id, incident_id, WorkKind(kind), WorkOutcome(outcome), service, ms)


# --- sums -------------------------------------------------------------------------------------------------------------


def _added(found: Iterable[Sums]) -> Sums:
    rows = list(found)
    return Sums(*map(sum, zip(*rows, strict=True))) if rows else Sums()


def _by(groups: Sequence[tuple[tuple[str, ...], Sums]], column: int) -> dict[str, Sums]:
    """The sums by kind (0) or outcome (1)."""
    found: dict[str, list[Sums]] = defaultdict(list)
    for names, sums in groups:
        found[names[column]].append(sums)
    return {name: _added(each) for name, each in found.items()}


def _groups(sums: Mapping[str, Sums]) -> tuple[Group, ...]:
    return _largest(
        Group(
            name, one.n, one.credited, one.charged, one.people_ms, one.cost_micros, one.input_tokens + one.output_tokens
        )
        for name, one in sums.items()
    )


def _largest(groups: Iterable[Group]) -> tuple[Group, ...]:
    """The largest first, without those that only took something back."""
    return tuple(sorted((group for group in groups if group.n), key=lambda group: (-group.n, group.name)))


def _column(db: sqlite3.Connection, sql: str, of: Period) -> list[int]:
    """The numbers that a query finds, ascending."""
    return sorted([number for (number,) in db.execute(sql, of)])
