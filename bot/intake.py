"""Alerts in: correlate, open or join, start a run, resolve. One append per delivery, durable before it is answered."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

from bot import metrics
from bot.incidents import OpenIncident, OpenIncidents
from domain.actions import Mode
from domain.alerts import Alert, Incident, Severity, target_of
from domain.canonical import digest_of
from domain.codec import timestamp
from domain.decisions import Actor
from domain.events import AlertJoined, AlertReceived, Draft, IncidentOpened, IncidentResolved, RunStarted
from domain.plane import Receipt
from domain.ports import Journal
from domain.runs import Origin, RunSpec


class Intake:
    """Where alerts become incidents. The index is updated before the append, so that concurrent deliveries agree."""

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
    ) -> None:
        self._journal = journal
        self._open = open_incidents
        self._channel = channel
        self._environment = environment
        self._model = model
        self._mode = mode
        self._clock = clock

    async def receive(self, alerts: Sequence[Alert]) -> list[Receipt]:
        """Record a delivery. Raises JournalError where it could not be made durable; nothing is kept then."""
        drafts: list[Draft] = []
        opened: list[str] = []
        closed: list[OpenIncident] = []
        receipts = [self._take(self._placed(alert), drafts, opened, closed) for alert in alerts]
        try:
            await self._journal.append(*drafts)
        except BaseException:
            self._undo(opened, closed)
            raise
        return receipts

    def _placed(self, alert: Alert) -> Alert:
        if alert.target.system not in ("", "kubernetes"):
            return alert  # its source knows what it is about; a build's parameter `namespace` is no label of a workload
        target = target_of(alert.labels, self._environment(str(alert.labels.get("namespace") or "")))
        return replace(alert, target=target) if target.key else alert

    def _take(self, alert: Alert, drafts: list[Draft], opened: list[str], closed: list[OpenIncident]) -> Receipt:
        actor = Actor("monitor", alert.source)
        metrics.alerts_received.labels(alert.source, "firing" if alert.firing else "resolved").inc()
        entry = self._open.find(alert)
        if entry is None:
            return self._first(alert, actor, drafts, opened)
        incident_id = entry.incident.id
        self._open.join(entry, alert)
        drafts.append(Draft(AlertReceived(alert), actor, incident_id))
        drafts.append(Draft(AlertJoined(alert.fingerprint, alert.firing), actor, incident_id))
        if not entry.firing:
            drafts.append(
                Draft(IncidentResolved(f"{alert.source} says that every alert has ceased"), actor, incident_id)
            )
            self._open.close(incident_id)
            closed.append(entry)
            metrics.incidents_resolved.inc()
        return Receipt(incident_id)

    def _first(self, alert: Alert, actor: Actor, drafts: list[Draft], opened: list[str]) -> Receipt:
        if not alert.firing:
            # it ceased before we knew of it: recorded, and nothing to do
            drafts.append(Draft(AlertReceived(alert), actor))
            return Receipt("")
        incident = self._incident(alert)
        run = run_for(incident, alert, self._model, self._mode())
        drafts += [
            Draft(AlertReceived(alert), actor, incident.id),
            Draft(IncidentOpened(incident), actor, incident.id),
            Draft(RunStarted(run), actor, incident.id, run.id),
        ]
        self._open.open(incident)
        opened.append(incident.id)
        metrics.incidents_opened.labels(alert.severity.value).inc()
        metrics.runs_started.labels(Origin.ALERT.value).inc()
        return Receipt(incident.id, run.id, opened=True)

    def _incident(self, alert: Alert) -> Incident:
        now = self._clock()
        name = digest_of([self._journal.workspace, alert.fingerprint, alert.source, timestamp(now)])[:10]
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
            firing=(alert.fingerprint,),
            fingerprints=(alert.fingerprint,),
        )

    def _undo(self, opened: list[str], closed: list[OpenIncident]) -> None:
        for incident_id in opened:
            self._open.close(incident_id)
        for entry in closed:
            if entry.incident.id in opened:
                continue  # opened and closed within the delivery that was refused: it never was
            self._open.open(
                replace(
                    entry.incident,
                    fingerprints=tuple(entry.fingerprints),
                    firing=tuple(entry.firing),
                    alerts=entry.alerts,
                )
            )


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
    )
