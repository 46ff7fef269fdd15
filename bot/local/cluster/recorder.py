"""KubeEvents as the real components record them: repeats are counted, old ones are forgotten."""

from __future__ import annotations

from collections import OrderedDict

from bot.local.cluster.pace import timestamp
from bot.local.cluster.resources import EVENTS, Obj
from bot.local.cluster.store import Store, copied

MAX_EVENTS = 2000


class Recorder:
    """Writes v1 Events about objects."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._names: OrderedDict[tuple[str, ...], tuple[str, str]] = OrderedDict()

    def record(
        self, about: Obj, type_: str, reason: str, message: str, component: str, *, host: str = "", field: str = ""
    ) -> None:
        """One occurrence. type_: Normal or Warning; host: the node of a kubelet; field: the fieldPath."""
        meta = about["metadata"]
        identity = (meta["uid"], type_, reason, message, field)
        now = timestamp()
        at = self._names.get(identity)
        seen = self._store.get(EVENTS, *at) if at else None
        if seen is not None:
            again = copied(seen)
            again |= {"count": seen["count"] + 1, "lastTimestamp": now}
            self._store.update(EVENTS, again)
            return
        namespace = meta.get("namespace", "default")
        name = f"{meta['name']}.{self._store.revision:016x}"
        source = {"component": component} | ({"host": host} if host else {})
        event = {
            "metadata": {"name": name, "namespace": namespace},
            "involvedObject": involved(about, field),
            "reason": reason,
            "message": message,
            "source": source,
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
            "type": type_,
            "eventTime": None,
            "reportingComponent": component,
            "reportingInstance": host,
        }
        self._store.create(EVENTS, event)
        self._remember(identity, (namespace, name))

    def _remember(self, identity: tuple[str, ...], at: tuple[str, str]) -> None:
        self._names[identity] = at
        while len(self._names) > MAX_EVENTS:
            _, oldest = self._names.popitem(last=False)
            if self._store.get(EVENTS, *oldest):
                self._store.delete(EVENTS, *oldest)


def involved(about: Obj, field: str = "") -> Obj:
    """An ObjectReference to an object."""
    meta = about["metadata"]
    reference = {
        "kind": about["kind"],
        "namespace": meta.get("namespace", ""),
        "name": meta["name"],
        "uid": meta["uid"],
        "apiVersion": about["apiVersion"],
        "resourceVersion": meta.get("resourceVersion", ""),
        "fieldPath": field,
    }
    return {name: value for name, value in reference.items() if value}
