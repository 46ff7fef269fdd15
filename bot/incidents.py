"""The incidents that are open now, indexed for correlation. A mirror of the journal's rows, so that intake reads no disk."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime

from domain.alerts import Alert, Incident, correlate


@dataclass
class OpenIncident:
    """An open incident with its alerts as sets, so that the thousandth alert costs what the first did."""

    incident: Incident
    firing: set[str] = field(default_factory=set)
    fingerprints: set[str] = field(default_factory=set)
    alerts: int = 1

    def as_incident(self, resolved_at: datetime | None = None) -> Incident:
        """The incident with its alerts as they are now."""
        return replace(
            self.incident,
            fingerprints=tuple(self.fingerprints),
            firing=tuple(self.firing),
            alerts=self.alerts,
            resolved_at=resolved_at,
        )


class OpenIncidents:
    """Open incidents by fingerprint and by the monitor's group. Not durable: rebuilt from the journal on start."""

    def __init__(self, incidents: Iterable[Incident] = ()) -> None:
        self._by_id: dict[str, OpenIncident] = {}
        self._by_fingerprint: dict[str, OpenIncident] = {}
        self._by_group: dict[str, list[OpenIncident]] = defaultdict(list)
        for incident in incidents:
            self.open(incident)

    def __len__(self) -> int:
        return len(self._by_id)

    def get(self, incident_id: str) -> OpenIncident | None:
        """One open incident."""
        return self._by_id.get(incident_id)

    def find(self, alert: Alert) -> OpenIncident | None:
        """The open incident that an alert belongs to; only those that share its fingerprint or group are looked at."""
        if alert.fingerprint in self._by_fingerprint:
            return self._by_fingerprint[alert.fingerprint]
        candidates = self._by_group.get(alert.group, []) if alert.group else []
        found = correlate(alert, [entry.incident for entry in candidates])
        return self._by_id[found.id] if found else None

    def replaced_by(self, alert: Alert) -> list[OpenIncident]:
        """The open incidents whose matter is over once this alert fires: a newer pipeline waits in the place of an older."""
        if not (alert.replaces and alert.firing and alert.group):
            return []
        return [entry for entry in self._by_group.get(alert.group, ()) if alert.fingerprint not in entry.fingerprints]

    def named(self, prefix: str) -> OpenIncident | None:
        """An open incident whose id begins so."""
        return next((entry for name, entry in self._by_id.items() if name.startswith(prefix)), None)

    def open(self, incident: Incident) -> OpenIncident:
        """Take an incident in."""
        entry = OpenIncident(incident, set(incident.firing), set(incident.fingerprints), incident.alerts)
        self.reopen(entry)
        return entry

    def reopen(self, entry: OpenIncident) -> None:
        """Take one in that was let go."""
        self._by_id[entry.incident.id] = entry
        for fingerprint in entry.fingerprints:
            self._by_fingerprint[fingerprint] = entry
        if entry.incident.group:
            self._by_group[entry.incident.group].append(entry)

    def join(self, entry: OpenIncident, alert: Alert) -> Callable[[], None]:
        """Count one more alert, a ceased one leaves the firing set; what takes it back."""
        fingerprint = alert.fingerprint
        known, fired = fingerprint in entry.fingerprints, fingerprint in entry.firing
        entry.alerts += 1
        entry.fingerprints.add(fingerprint)
        self._by_fingerprint[fingerprint] = entry
        (entry.firing.add if alert.firing else entry.firing.discard)(fingerprint)

        def take_back() -> None:
            entry.alerts -= 1
            (entry.firing.add if fired else entry.firing.discard)(fingerprint)
            if not known:
                entry.fingerprints.discard(fingerprint)
                self._by_fingerprint.pop(fingerprint, None)

        return take_back

    def close(self, incident_id: str) -> None:
        """Let an incident go."""
        entry = self._by_id.pop(incident_id, None)
        if entry is None:
            return
        for fingerprint in entry.fingerprints:
            self._by_fingerprint.pop(fingerprint, None)
        group = self._by_group.get(entry.incident.group, [])
        if entry in group:
            group.remove(entry)
        if not group:
            self._by_group.pop(entry.incident.group, None)


class ResolvedIncidents:
    """Incidents that were resolved lately: an alert that one of them would have taken repeats it."""

    def __init__(self, incidents: Iterable[Incident] = ()) -> None:
        self._by_key: dict[str, Incident] = {}
        for incident in incidents:
            self.add(incident)

    def add(self, incident: Incident) -> None:
        """Remember one; it takes the place of an earlier one about the same."""
        for key in filter(None, (*incident.fingerprints, _of_group(incident.group, incident.target.key))):
            self._by_key.pop(key, None)  # the newest stand last
            self._by_key[key] = incident

    def find(self, alert: Alert) -> Incident | None:
        """The incident that an alert repeats."""
        group = "" if alert.replaces else alert.group
        return self._by_key.get(alert.fingerprint) or self._by_key.get(_of_group(group, alert.target.key))

    def forget(self, before: datetime) -> None:
        """Let go of what was resolved earlier."""
        for key, incident in list(self._by_key.items()):
            if incident.resolved_at is not None and incident.resolved_at >= before:
                break
            del self._by_key[key]


def _of_group(group: str, target: str) -> str:
    """What alerts of one group about one target share; alerts without a group share nothing but their fingerprint."""
    return f"group {group} {target}" if group else ""
