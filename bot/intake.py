"""Alerts in: correlate, open or join, wait, start a run, resolve. One append per delivery, durable before it is answered."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial

from bot import metrics
from bot.incidents import OpenIncident, OpenIncidents, ResolvedIncidents
from bot.models.rules import NAME as RULES
from bot.waiting import Pool, WaitingAlerts
from domain.actions import CI_SYSTEMS, Mode, Target
from domain.alerts import Alert, Incident, Severity, target_of
from domain.canonical import digest_of
from domain.codec import timestamp
from domain.decisions import SYSTEM, Actor
from domain.events import (
    AlertHeld,
    AlertJoined,
    AlertReceived,
    AlertSuppressed,
    Draft,
    IncidentOpened,
    IncidentResolved,
    RunStarted,
)
from domain.noise import MaintenanceWindow, Suppression
from domain.plane import Receipt
from domain.ports import Journal
from domain.runs import Origin, RunSpec
from domain.work import WorkKind
from policies.noise import MEMORY, Noise, Place, Placement, place, still_due, words

STORM = "storm-"
"""What the ids of storms begin with."""

GATHERS = timedelta(seconds=30)
"""How long a storm's alerts are counted before its run starts, so that it starts where most of them point."""


@dataclass
class _Delivery:
    """What one delivery leads to: events, and how to take back what was placed in memory should the journal refuse them."""

    now: datetime
    drafts: list[Draft] = field(default_factory=list)
    undo: list[Callable[[], object]] = field(default_factory=list)


class Intake:
    """Where alerts become incidents. The indexes are updated before the append, so that concurrent deliveries agree."""

    def __init__(
        self,
        journal: Journal,
        open_incidents: OpenIncidents,
        *,
        channel: Callable[[], str],
        environment: Callable[[str], str],
        model: str,
        mode: Callable[[], Mode],
        clock: Callable[[], datetime],
        noise: Noise = Noise(),
        resolved: ResolvedIncidents | None = None,
        waiting: WaitingAlerts | None = None,
        windows: Callable[[], Sequence[MaintenanceWindow]] = lambda: (),
    ) -> None:
        self._journal = journal
        self._open = open_incidents
        self._channel = channel
        self._environment = environment
        self._model = model
        self._mode = mode
        self._clock = clock
        self._noise = noise
        self._resolved = resolved or ResolvedIncidents()
        self._waiting = waiting or WaitingAlerts()
        self._windows = windows
        self._wanted: deque[datetime] = deque()
        self._storm: dict[str, Counter[Target]] = {}

    async def receive(self, alerts: Sequence[Alert]) -> list[Receipt]:
        """Record a delivery. Raises JournalError where it could not be made durable; nothing is kept then."""
        delivery = _Delivery(self._clock())
        with metrics.correlate_seconds.time():
            receipts = [self._take(self._placed(alert), delivery) for alert in alerts]
        await self._record(delivery)
        return receipts

    async def release(self) -> list[Receipt]:
        """What has waited long enough and still fires opens incidents; storms that have gathered start their run."""
        now = self._clock()
        delivery = _Delivery(now)
        self._resolved.forget(now - MEMORY)
        receipts = [self._release(pool, delivery) for pool in self._waiting.due(now)]
        receipts += [self._look_into(storm, delivery) for storm in self._gathered(now)]
        if delivery.drafts:
            await self._record(delivery)
        return receipts

    @property
    def held(self) -> int:
        """How many alerts wait."""
        return len(self._waiting)

    def hasten(self, window_id: str) -> None:
        """A maintenance window ended: what waited for its end is due."""
        self._waiting.hasten(f"{window_id}:", self._clock())

    async def _record(self, delivery: _Delivery) -> None:
        try:
            await self._journal.append(*delivery.drafts)
        except BaseException:
            for step in reversed(delivery.undo):
                step()
            raise
        metrics.alerts_held.set(len(self._waiting))

    # --- one alert ------------------------------------------------------------------------------------------------------

    def _placed(self, alert: Alert) -> Alert:
        if alert.target.system not in ("", "kubernetes"):
            return alert  # its source knows what it is about; a build's parameter `namespace` is no label of a workload
        target = target_of(alert.labels, self._environment(str(alert.labels.get("namespace") or "")))
        return replace(alert, target=target) if target.key else alert

    def _take(self, alert: Alert, delivery: _Delivery) -> Receipt:
        replaced = self._open.replaced_by(alert)
        for entry in replaced:
            said = f"{alert.source} says that {alert.summary or alert.name} takes its place"
            delivery.drafts.append(Draft(IncidentResolved(said), Actor("monitor", alert.source), entry.incident.id))
            self._open.close(entry.incident.id)
            delivery.undo.append(partial(self._open.reopen, entry))
        return replace(self._put(alert, delivery), replaced=tuple(entry.incident.id for entry in replaced))

    def _put(self, alert: Alert, delivery: _Delivery) -> Receipt:
        entry = self._open.find(alert)
        if entry is not None:
            self._unwait(alert.fingerprint, delivery)
            return self._join(entry, alert, delivery)
        if not alert.firing:
            return self._ceased(alert, delivery)
        placement = self._placement(alert, delivery)
        if placement.place is Place.HOLD:
            return self._hold(alert, placement, delivery)
        self._unwait(alert.fingerprint, delivery)
        return self._opened_or_stormed([alert], placement, delivery)

    def _placement(self, alert: Alert, delivery: _Delivery) -> Placement:
        while self._wanted and self._wanted[0] <= delivery.now - self._noise.window:
            self._wanted.popleft()
        return place(
            alert,
            delivery.now,
            self._noise,
            previous=self._resolved.find(alert),
            wanted=len(self._wanted),
            windows=self._windows(),
        )

    def _join(
        self, entry: OpenIncident, alert: Alert, delivery: _Delivery, *, storm: bool = False, known: bool = False
    ) -> Receipt:
        incident_id, actor = entry.incident.id, Actor("monitor", alert.source)
        delivery.undo.append(self._open.join(entry, alert))
        if not known:
            delivery.drafts.append(Draft(AlertReceived(alert), actor, incident_id))
        delivery.drafts.append(Draft(AlertJoined(alert.fingerprint, alert.firing, storm), actor, incident_id))
        if not entry.firing:
            reason = f"{alert.source} says that every alert has ceased"
            delivery.drafts.append(Draft(IncidentResolved(reason), actor, incident_id))
            self._open.close(incident_id)
            delivery.undo.append(lambda: self._open.reopen(entry))
            self._resolved.add(entry.as_incident(resolved_at=delivery.now))
        return Receipt(incident_id)

    def _ceased(self, alert: Alert, delivery: _Delivery) -> Receipt:
        """It ceased before it opened anything: recorded, and nothing to do."""
        pool = self._waiting.find(alert.fingerprint)
        actor = Actor("monitor", alert.source)
        delivery.drafts.append(Draft(AlertReceived(alert), actor, pool.previous if pool else ""))
        if pool is not None:
            self._unwait(alert.fingerprint, delivery)
            event = AlertSuppressed(alert.fingerprint, pool.why, f"it ceased by itself; {pool.reason}")
            delivery.drafts.append(Draft(event, actor, pool.previous))
        return Receipt("")

    # --- waiting --------------------------------------------------------------------------------------------------------

    def _hold(self, alert: Alert, placement: Placement, delivery: _Delivery) -> Receipt:
        now, due = delivery.now, placement.due or delivery.now
        waits = self._waiting.pool(placement.pool)
        if waits is not None and placement.why is Suppression.FLAPPING:
            due = still_due(waits.due, waits.since, due, self._noise)
        previous = self._resolved.find(alert)
        named = previous.id if previous is not None else ""
        event = AlertHeld(alert, placement.pool, placement.why or Suppression.FLAPPING, due, placement.reason)
        actor = Actor("monitor", alert.source)
        delivery.drafts.append(Draft(AlertReceived(alert), actor, named))
        delivery.drafts.append(Draft(event, actor, named))
        first = self._waiting.find(alert.fingerprint) is None
        self._waiting.put(event, named, now)
        if first:
            delivery.undo.append(lambda: self._waiting.remove(alert.fingerprint))
        return Receipt("", held_until=due, repeats=named, why=placement.reason)

    def _unwait(self, fingerprint: str, delivery: _Delivery) -> None:
        pool = self._waiting.find(fingerprint)
        if pool is not None:
            event = AlertHeld(pool.alerts[fingerprint], pool.key, pool.why, pool.due, pool.reason)
            self._waiting.remove(fingerprint)
            delivery.undo.append(lambda: _put_back(self._waiting, event, pool))

    def _release(self, pool: Pool, delivery: _Delivery) -> Receipt:
        """What waited opens one incident, but for what meanwhile belongs to an open one."""
        alerts = sorted(pool.alerts.values(), key=lambda alert: list(Severity).index(alert.severity))
        left, receipt = list[Alert](), Receipt("")
        for alert in alerts:
            self._unwait(alert.fingerprint, delivery)
            entry = self._open.find(alert)
            if entry is None:
                left.append(alert)
            else:
                receipt = self._join(entry, alert, delivery, known=True)
        if not left:
            return receipt
        placement = self._placement(left[0], delivery)
        storm = placement.place is Place.STORM
        return self._opened_or_stormed(left, placement if storm else Placement(Place.OPEN), delivery, known=True)

    # --- incidents ------------------------------------------------------------------------------------------------------

    def _opened_or_stormed(
        self, alerts: Sequence[Alert], placement: Placement, delivery: _Delivery, *, known: bool = False
    ) -> Receipt:
        """`known`: the alerts were recorded when they came."""
        self._wanted.append(delivery.now)
        delivery.undo.append(self._wanted.pop)
        if placement.place is Place.STORM:
            return self._join_storm(alerts, placement, delivery, known=known)
        incident = self._incident(alerts[0], alerts)
        model = RULES if placement.briefly else self._model
        run = run_for(incident, alerts[0], model, self._mode())
        actor = Actor("monitor", alerts[0].source)
        if not known:
            delivery.drafts += [Draft(AlertReceived(alert), actor, incident.id) for alert in alerts]
        delivery.drafts.append(Draft(IncidentOpened(incident), actor, incident.id))
        delivery.drafts.append(Draft(RunStarted(run), actor, incident.id, run.id))
        self._open_in_memory(incident, delivery)
        return Receipt(incident.id, run.id, opened=True)

    def _incident(self, alert: Alert, alerts: Iterable[Alert]) -> Incident:
        now = self._clock()
        name = digest_of([self._journal.workspace, alert.fingerprint, alert.source, timestamp(now)])[:10]
        fingerprints = tuple(dict.fromkeys(each.fingerprint for each in alerts))
        return Incident(
            id=f"inc-{name}",
            workspace=self._journal.workspace,
            title=_title(alert),
            severity=alert.severity if isinstance(alert.severity, Severity) else Severity.WARNING,
            target=alert.target,
            group=alert.group,
            opened_at=now,
            channel=self._channel(),
            summary=alert.description,
            source=alert.source,
            url=alert.url,
            firing=fingerprints,
            fingerprints=fingerprints,
            alerts=len(fingerprints),
        )

    def _open_in_memory(self, incident: Incident, delivery: _Delivery) -> OpenIncident:
        entry = self._open.open(incident)
        delivery.undo.append(lambda: self._open.close(incident.id))
        return entry

    # --- storms ---------------------------------------------------------------------------------------------------------

    def _join_storm(
        self, alerts: Sequence[Alert], placement: Placement, delivery: _Delivery, *, known: bool
    ) -> Receipt:
        """All of a storm's alerts are one incident. What they point at is counted, for the one run that it gets."""
        entry, rest = self._open.named(STORM), list(alerts)
        if entry is None:
            first = rest.pop(0)
            incident = replace(
                self._incident(first, [first]),
                id=STORM + digest_of([self._journal.workspace, timestamp(delivery.now)])[:10],
                title=f"Alert storm: {placement.reason}",
                summary="There are too many problems at once to look into each. What comes now is gathered here.",
                severity=Severity.CRITICAL,
                target=Target(environment=first.target.environment),
                group="",
            )
            if not known:
                delivery.drafts.append(Draft(AlertReceived(first), Actor("monitor", first.source), incident.id))
            delivery.drafts.append(Draft(IncidentOpened(incident), SYSTEM, incident.id))
            entry = self._open_in_memory(incident, delivery)
            self._storm[incident.id] = Counter(_pointed_at(first))
        for alert in rest:
            self._join(entry, alert, delivery, storm=True, known=known)
            self._storm.setdefault(entry.incident.id, Counter()).update(_pointed_at(alert))
        return Receipt(entry.incident.id, opened=bool(len(rest) < len(alerts)))

    def gather(self, incident_id: str) -> None:
        """A storm that an earlier process left before it was looked into."""
        self._storm.setdefault(incident_id, Counter())

    def _gathered(self, now: datetime) -> list[OpenIncident]:
        """Storms that have been counted long enough, and were not looked into yet."""
        entry = self._open.named(STORM)
        ready = entry is not None and entry.incident.id in self._storm and entry.incident.opened_at <= now - GATHERS
        return [entry] if entry is not None and ready else []

    def _look_into(self, entry: OpenIncident, delivery: _Delivery) -> Receipt:
        """The storm's one run, on what most of its alerts point at: a node, else a namespace, else nothing."""
        counts = self._storm.pop(entry.incident.id)
        delivery.undo.append(lambda: self._storm.__setitem__(entry.incident.id, counts))
        [(target, n), *_] = counts.most_common(1) or [(entry.incident.target, 0)]
        said = (
            f"{entry.alerts} alerts within {words(GATHERS)}; {n} of them point at {target}."
            if target.key
            else f"{entry.alerts} alerts within {words(GATHERS)}, with nothing in common."
        )
        spec = RunSpec(
            id="run-" + digest_of([entry.incident.id, "storm"])[:12],
            incident_id=entry.incident.id,
            origin=Origin.ALERT,
            model=self._model,
            mode=self._mode(),
            target=replace(target, environment=self._environment(target.namespace)),
            channel=entry.incident.channel,
            context=said,
        )
        delivery.drafts.append(Draft(RunStarted(spec), SYSTEM, entry.incident.id, spec.id))
        return Receipt(entry.incident.id, spec.id, why=said)


def _pointed_at(alert: Alert) -> Iterable[Target]:
    """What a storm's alert may share with others: its node and its namespace."""
    node = str(alert.labels.get("node") or "")
    if node:
        yield Target("kubernetes", kind="Node", name=node)
    if alert.target.namespace:
        yield Target("kubernetes", namespace=alert.target.namespace)


def _put_back(waiting: WaitingAlerts, event: AlertHeld, pool: Pool) -> None:
    waiting.put(event, pool.previous, pool.since)


def _title(alert: Alert) -> str:
    """The alert's own summary, with the name of what it is about where the summary leaves it out."""
    summary, name = (alert.summary or alert.name).rstrip("."), alert.target.name
    return f"{name}: {summary}" if name and name not in summary else summary


def run_for(incident: Incident, alert: Alert, model: str, mode: Mode) -> RunSpec:
    """The run that an opened incident starts."""
    return RunSpec(
        id="run-" + digest_of([incident.id, "alert"])[:12],
        incident_id=incident.id,
        origin=Origin.ALERT,
        model=model,
        mode=mode,
        target=incident.target,
        alert=alert,
        channel=incident.channel,
        work=WorkKind.PIPELINE_TRIAGE if incident.target.system in CI_SYSTEMS else None,
    )
