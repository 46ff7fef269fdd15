"""Alerts that wait before they may open an incident. A mirror of the journal's rows, so that intake reads no disk."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from domain.alerts import Alert
from domain.noise import AlertHeld, Held, Suppression


@dataclass
class Pool:
    """Alerts that wait for the same moment, by fingerprint. `previous` is the resolved incident that they repeat."""

    key: str
    why: Suppression
    reason: str
    previous: str
    since: datetime
    due: datetime
    alerts: dict[str, Alert] = field(default_factory=dict)


class WaitingAlerts:
    """Pools by key. Not durable: rebuilt from the journal on start."""

    def __init__(self, held: Iterable[Held] = ()) -> None:
        self._pools: dict[str, Pool] = {}
        self._pool_of: dict[str, Pool] = {}
        for each in held:
            self.put(each.event, each.repeats, each.since)

    def __len__(self) -> int:
        return len(self._pool_of)

    def pool(self, key: str) -> Pool | None:
        """The alerts that wait under this key."""
        return self._pools.get(key)

    def find(self, fingerprint: str) -> Pool | None:
        """Where an alert waits."""
        return self._pool_of.get(fingerprint)

    def put(self, event: AlertHeld, previous: str, now: datetime) -> Pool:
        """Let an alert wait, or wait longer."""
        pool = self._pools.get(event.pool)
        if pool is None:
            pool = Pool(event.pool, event.why, event.reason, previous, now, event.due)
            self._pools[event.pool] = pool
        pool.due = event.due
        pool.since = min(pool.since, now)
        pool.alerts[event.alert.fingerprint] = event.alert
        self._pool_of[event.alert.fingerprint] = pool
        return pool

    def remove(self, fingerprint: str) -> None:
        """An alert waits no longer."""
        pool = self._pool_of.pop(fingerprint, None)
        if pool is not None:
            pool.alerts.pop(fingerprint, None)
            if not pool.alerts:
                self._pools.pop(pool.key, None)

    def due(self, now: datetime) -> list[Pool]:
        """The pools whose time is up."""
        return [pool for pool in self._pools.values() if pool.due <= now]

    def hasten(self, prefix: str, now: datetime) -> None:
        """The reason to wait is gone: the pools whose key begins so are due now."""
        for pool in self._pools.values():
            if pool.key.startswith(prefix):
                pool.due = min(pool.due, now)
