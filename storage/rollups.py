"""A period's figures: whole days from their sums, the edges of the period from the units, times from their index."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, time, timedelta
from typing import NamedTuple

from domain import figures
from domain.codec import timestamp
from domain.estimates import OWN_DAYS, Worth, baseline, estimated
from domain.noise import Suppression
from domain.work import Baseline, Case, Counted, Day, Figure, Group, Measured, Rollup, WorkKind, WorkOutcome
from storage.views.work import SUMS

Period = dict[str, str]

_DAYS = "FROM daily WHERE workspace = :workspace AND day >= :first_day AND day < :last_day"
_HEAD = "FROM work_units WHERE workspace = :workspace AND finished_at >= :since AND finished_at < :head"
_TAIL = "FROM work_units WHERE workspace = :workspace AND finished_at >= :tail AND finished_at < :until"
_UNIT = ", ".join(f"{expression} AS {name}" for name, expression in SUMS.items())
_GROUPS = f"""
  SELECT kind, outcome, service, {", ".join(f"sum({name})" for name in SUMS)} FROM (
    SELECT kind, outcome, service, {", ".join(SUMS)} {_DAYS}
    UNION ALL SELECT kind, outcome, service, {_UNIT} {_HEAD}
    UNION ALL SELECT kind, outcome, service, {_UNIT} {_TAIL}
  ) GROUP BY kind, outcome, service HAVING sum(n) > 0
"""  # noqa: S608 – columns of this package
_BY_DAY = f"""
  SELECT day, outcome, sum(n) FROM (
    SELECT day, outcome, n {_DAYS}
    UNION ALL SELECT substr(finished_at, 1, 10), outcome, 1 {_HEAD}
    UNION ALL SELECT substr(finished_at, 1, 10), outcome, 1 {_TAIL}
  ) GROUP BY day, outcome HAVING sum(n) > 0 ORDER BY day, outcome
"""  # noqa: S608
TIMES = """
  SELECT alert_age_ms, to_first_finding_ms, to_diagnosis_ms, to_approval_ms,
    CASE WHEN outcome NOT IN ('failed', 'reverted') THEN to_verified_ms END, seq
  FROM work_units WHERE workspace = :workspace AND finished_at >= :since AND finished_at < :until AND by_alert = :by_alert
"""
_EVENTS = "SELECT count(*) FROM events WHERE workspace = :workspace AND kind = :kind AND at >= :since AND at < :until"
_EXECUTIONS = """
  SELECT count(*), total(verified = 1), total(failed), total(reverted_seq IS NOT NULL), total(undoes = ''),
    total(undoes = '' AND verified = 1 AND reverted_seq IS NULL)
  FROM executions WHERE workspace = :workspace AND started_at >= :since AND started_at < :until
"""
CEASED = (Suppression.FLAPPING, Suppression.COOLDOWN, Suppression.MAINTENANCE)
NOISE = ("repeated", "grouped", *Suppression)
_NOISE = "SELECT count(*) FROM noise WHERE workspace = ? AND why = ? AND at >= ? AND at < ?"
_WAITS = """
  SELECT waited_ms, decided FROM approvals
  WHERE workspace = :workspace AND decided_at >= :since AND decided_at < :until
"""
_RESOLVED = """
  SELECT open_ms, changed FROM incidents WHERE workspace = :workspace AND resolved_at >= :since AND resolved_at < :until
"""
_CASE = "SELECT seq, run_id, incident_id, kind, outcome, service FROM work_units WHERE workspace = ? AND seq = ?"
_WORST = """
  SELECT seq, max(people_ms) FROM work_units WHERE workspace = :workspace AND finished_at >= :since AND finished_at < :until
    AND outcome IN ('failed', 'reverted')
"""


_NAMES = ("alert_age", "to_first_finding", "to_diagnosis", "to_approval", "to_verified")  # as TIMES selects them


class Sums(NamedTuple):
    """The columns of `daily` that are added up."""

    n: int = 0
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
    groups = [(row[:3], Sums(*row[3:])) for row in db.execute(_GROUPS, period).fetchall()]
    all_of_it = _added(sums for _, sums in groups)
    times = Times(db, period)
    standing = baselines(db, workspace, until)
    worths = [Worth(WorkKind(name), sums.credited, sums.charged) for name, sums in _by(groups, 0).items()]
    return Rollup(
        since,
        until,
        _counted(db, period, all_of_it),
        _measured(db, period, times, all_of_it),
        estimated(worths, all_of_it.attention_s, all_of_it.votes, standing),
        by_kind=_groups(_by(groups, 0)),
        by_outcome=_groups(_by(groups, 1)),
        by_service=_groups(_by(groups, 2)),
        days=_days(db, period),
        baselines=standing,
        best=_best(db, workspace, times),
        worst=_worst(db, period, times),
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


class Times:
    """Every time of the period's units, ascending: those of alerts by name, and how long questions took."""

    def __init__(self, db: sqlite3.Connection, period: Period) -> None:
        of_alerts = db.execute(TIMES, period | {"by_alert": 1}).fetchall()
        of_people = db.execute(TIMES, period | {"by_alert": 0}).fetchall()
        self.of = {name: _ascending(of_alerts, place) for place, name in enumerate(_NAMES)}
        self.of["to_answer"] = _ascending(of_people, _NAMES.index("to_diagnosis"))
        self.verified = [(row[4], row[5]) for row in of_alerts if row[4] is not None]

    def median(self, name: str) -> Figure:
        """The median of the times of that name."""
        return figures.quantile(name, self.of[name])


def _ascending(rows: Sequence[sqlite3.Row], place: int) -> list[int]:
    return sorted(row[place] for row in rows if row[place] is not None)


def _counted(db: sqlite3.Connection, period: Period, sums: Sums) -> Counted:
    done, verified, failed, reverted, own, held = map(int, db.execute(_EXECUTIONS, period).fetchone())
    quiet = noise(db, period["workspace"], period["since"], period["until"])
    decided = [word for _, word in db.execute(_WAITS, period)]
    return Counted(
        alerts=figures.count("alerts", _events(db, period, "AlertReceived")),
        incidents=figures.count("incidents", _events(db, period, "IncidentOpened")),
        repeated=figures.count("repeated", quiet.get("repeated", 0)),
        grouped=figures.count("grouped", quiet.get("grouped", 0) + quiet.get("storm", 0)),
        ceased=figures.count("ceased", sum(quiet.get(why, 0) for why in CEASED)),
        work=figures.count("work", sums.n),
        executions=figures.count("executions", done),
        verified=figures.count("verified", verified),
        failed=figures.count("failed", failed),
        reverted=figures.count("reverted", reverted),
        approved_share=figures.share("approved_share", decided.count("approved"), len(decided)),
        held_share=figures.share("held_share", held, own),
    )


def _measured(db: sqlite3.Connection, period: Period, times: Times, sums: Sums) -> Measured:
    waits = sorted(wait for wait, _ in db.execute(_WAITS, period))
    resolved: dict[int, list[int]] = {0: [], 1: []}
    for open_ms, changed in db.execute(_RESOLVED, period):
        resolved[changed].append(open_ms)
    return Measured(
        to_first_finding=times.median("to_first_finding"),
        to_diagnosis=times.median("to_diagnosis"),
        to_approval=times.median("to_approval"),
        to_verified=times.median("to_verified"),
        to_answer=times.median("to_answer"),
        alert_age=times.median("alert_age"),
        wait_p50=figures.quantile("wait_p50", waits),
        wait_p90=figures.quantile("wait_p90", waits, 900),
        resolved_with=figures.quantile("resolved_with", sorted(resolved[1])),
        resolved_without=figures.quantile("resolved_without", sorted(resolved[0])),
        people=figures.total("people", sums.people_ms, sums.votes),
        machine=figures.total("machine", sums.machine_ms, sums.n),
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
        note = f"not counted: {sums.unpriced_tokens} of {used} tokens, of models without a known price"
    known = not used or sums.unpriced_tokens < used
    return figures.total("model_cost", sums.cost_micros if known else None, sums.priced, note)


def compute_cost(sums: Sums) -> Figure:
    """The bill for machine time, for the units whose time had a price."""
    missing = sums.n - sums.computed
    note = f"not counted: {missing} of {sums.n} units, for want of AGENT_COMPUTE_PRICE" if missing else ""
    return figures.total(
        "compute_cost", sums.compute_micros if sums.computed or not sums.n else None, sums.computed, note
    )


def noise(db: sqlite3.Connection, workspace: str, since: str, until: str) -> dict[str, int]:
    """Alerts that opened no incident of their own, by what became of them; without what there was none of."""
    found = {why: db.execute(_NOISE, (workspace, why, since, until)).fetchone()[0] for why in NOISE}
    return {why: n for why, n in found.items() if n}


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
    before = {"workspace": workspace, "since": timestamp(until - timedelta(days=OWN_DAYS)), "until": timestamp(until)}
    return sorted(open_ms for (open_ms,) in db.execute(f"SELECT open_ms FROM ({_RESOLVED}) WHERE changed = 0", before))  # noqa: S608


def _days(db: sqlite3.Connection, period: Period) -> tuple[Day, ...]:
    outcomes: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for day, outcome, n in db.execute(_BY_DAY, period):
        outcomes[day].append((outcome, n))
    return tuple(Day(day, tuple(found)) for day, found in outcomes.items())


def _best(db: sqlite3.Connection, workspace: str, times: Times) -> Case | None:
    if not times.verified:
        return None
    ms, seq = min(times.verified)
    return _case(db, workspace, seq, "the shortest from alert to verified", ms)


def _worst(db: sqlite3.Connection, period: Period, times: Times) -> Case | None:
    """What went wrong and took most of people's time; where nothing did, the longest from alert to verified."""
    seq, ms = db.execute(_WORST, period).fetchone()
    if seq is not None:
        return _case(db, period["workspace"], seq, "failed or taken back, with most of people's time", ms)
    if len(times.verified) < 2:
        return None
    ms, seq = max(times.verified, key=lambda pair: (pair[0], -pair[1]))
    return _case(db, period["workspace"], seq, "the longest from alert to verified", ms)


def _case(db: sqlite3.Connection, workspace: str, seq: int, why: str, ms: int) -> Case:
    seq, run_id, incident_id, kind, outcome, service = db.execute(_CASE, (workspace, seq)).fetchone()
    return Case(why, seq, run_id, incident_id, WorkKind(kind), WorkOutcome(outcome), service, ms)


# --- sums -------------------------------------------------------------------------------------------------------------


def _added(found: Iterable[Sums]) -> Sums:
    rows = list(found)
    return Sums(*map(sum, zip(*rows, strict=True))) if rows else Sums()


def _by(groups: Sequence[tuple[tuple[str, ...], Sums]], column: int) -> dict[str, Sums]:
    """The sums by kind (0), outcome (1) or service (2)."""
    found: dict[str, list[Sums]] = defaultdict(list)
    for names, sums in groups:
        found[names[column]].append(sums)
    return {name: _added(each) for name, each in found.items()}


def _groups(sums: dict[str, Sums]) -> tuple[Group, ...]:
    """The largest first."""
    found = [
        Group(
            name, one.n, one.credited, one.charged, one.people_ms, one.input_tokens + one.output_tokens, one.cost_micros
        )
        for name, one in sums.items()
    ]
    return tuple(sorted(found, key=lambda group: (-group.n, group.name)))


def _events(db: sqlite3.Connection, period: Period, kind: str) -> int:
    (n,) = db.execute(_EVENTS, period | {"kind": kind}).fetchone()
    return int(n)
