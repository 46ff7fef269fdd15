"""The incidents that are open now, indexed for correlation. A mirror of the journal's rows, so that intake reads no disk."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from domain.alerts import Alert, Incident, correlate


@dataclass
class OpenIncident:
    """An open incident with its alerts as sets, so that the thousandth alert costs what the first did."""

    incident: Incident
    firing: set[str] = field(default_factory=set)
    fingerprints: set[str] = field(default_factory=set)
    alerts: int = 1


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

    def open(self, incident: Incident) -> OpenIncident:
        """Take an incident in."""
        entry = OpenIncident(incident, set(incident.firing), set(incident.fingerprints), incident.alerts)
        self._by_id[incident.id] = entry
        for fingerprint in incident.fingerprints:
            self._by_fingerprint[fingerprint] = entry
        if incident.group:
            self._by_group[incident.group].append(entry)
        return entry

    def join(self, entry: OpenIncident, alert: Alert) -> None:
        """Count one more alert; a ceased one leaves the firing set."""
        entry.alerts += 1
        entry.fingerprints.add(alert.fingerprint)
        self._by_fingerprint[alert.fingerprint] = entry
        (entry.firing.add if alert.firing else entry.firing.discard)(alert.fingerprint)

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
