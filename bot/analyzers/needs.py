"""What the target's pods need, by their own words: claims, ConfigMaps and Secrets, hosts that did not answer. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from bot.analyzers.fields import items, text
from bot.analyzers.groups import Group, groups_of, telling
from bot.analyzers.problems import Trouble
from bot.analyzers.reading import NOTHING, Reading, objects
from bot.analyzers.scene import Scene

CONNECTS = frozenset({Trouble.CRASH, Trouble.EXITED, Trouble.NOT_READY, Trouble.STARTING})
"""Troubles that something which does not answer can cause."""

_NOT_FOUND = re.compile(r'\b(?P<kind>secret|configmap)s? "(?P<name>[a-z0-9.-]+)" not found', re.IGNORECASE)
_NO_KEY = re.compile(r"couldn't find key (?P<key>\S+) in (?P<kind>Secret|ConfigMap) [a-z0-9-]+/(?P<name>[a-z0-9.-]+)")
_PULL = re.compile(r"image pull secrets \((?P<name>[a-z0-9.-]+)[,)]")
_KINDS = {"secret": "Secret", "configmap": "ConfigMap", "config": "ConfigMap"}

_HOST = r"(?P<host>[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9-]{1,63}){0,5})\.?"
_UNKNOWN_HOST = (
    re.compile(rf"lookup {_HOST}(?: on \S+)?: no such host", re.IGNORECASE),
    re.compile(rf"getaddrinfo (?:ENOTFOUND|EAI_AGAIN) {_HOST}", re.IGNORECASE),
    re.compile(rf"could not translate host name \"{_HOST}\"", re.IGNORECASE),
    re.compile(rf"UnknownHostException: {_HOST}", re.IGNORECASE),
    re.compile(rf"could not resolve host:? {_HOST}", re.IGNORECASE),
)
_REFUSED = (
    re.compile(rf"\b{_HOST}:\d{{1,5}}\b[^\n]{{0,120}}?(?:connection refused|timed? ?out)", re.IGNORECASE),
    re.compile(rf"connection to server at \"{_HOST}\"[^\n]{{0,120}}?(?:refused|timed? ?out)", re.IGNORECASE),
    re.compile(rf"connect(?:ing|ion)? to {_HOST}(?::\d{{1,5}})?\b[^\n]{{0,60}}?(?:refused|timed? ?out)", re.IGNORECASE),
    re.compile(rf"(?:connection refused|timed? ?out)[^\n]{{0,60}}?\b{_HOST}:\d{{1,5}}", re.IGNORECASE),
)
_ORDINAL = re.compile(r"-\d+$")
_ADDRESS = re.compile(r"[\d.]+")
_TIMEOUT = re.compile(
    r"i/o timeout|timed? ?out|ETIMEDOUT|EAI_AGAIN|temporary failure in name resolution", re.IGNORECASE
)


@dataclass(frozen=True)
class Missing:
    """Something that a container's configuration names and that is not there. `key` is empty where the whole object is."""

    kind: str
    name: str
    key: str
    group: Group
    message: str
    reading: Reading


@dataclass(frozen=True)
class Host:
    """A Service's name that a log line names. `known` is False where the name itself could not be resolved."""

    name: str
    namespace: str
    known: bool
    line: str
    group: Group
    reading: Reading


def claims_of(scene: Scene) -> dict[str, str]:
    """The PersistentVolumeClaims of pods that wait, with the pod of each."""
    waiting = {p.pod for p in scene.problems if p.trouble in (Trouble.UNSCHEDULABLE, Trouble.STARTING)}
    found: dict[str, str] = {}
    for pod in scene.own_pods:
        if (name := text(pod, "metadata", "name")) in waiting:
            for volume in items(pod, "spec", "volumes"):
                if claim := text(volume, "persistentVolumeClaim", "claimName"):
                    found.setdefault(claim, name)
    return found


def missing_in(scene: Scene) -> list[Missing]:
    """The Secrets, ConfigMaps and keys that statuses and events say are missing."""
    found: dict[tuple[str, str, str], Missing] = {}
    for group in groups_of(scene.problems):
        for message, reading in _told(scene, group):
            for kind, name, key in _named(message):
                found.setdefault((kind, name, key), Missing(kind, name, key, group, message, reading))
    return list(found.values())


def _told(scene: Scene, group: Group) -> Iterator[tuple[str, Reading]]:
    if group.trouble is Trouble.CONFIG:
        yield group.worst.message, scene.pods
    if group.trouble in (Trouble.CONFIG, Trouble.STARTING, Trouble.IMAGE):
        reasons = ("FailedMount", "Failed", "FailedToRetrieveImagePullSecret")
        for problem in group.problems:
            reading = scene.events.get(problem.pod, NOTHING)
            yield from ((text(e, "message"), reading) for e in objects(reading) if text(e, "reason") in reasons)


def _named(message: str) -> Iterator[tuple[str, str, str]]:
    for match in _NO_KEY.finditer(message):
        yield match["kind"], match["name"], match["key"]
    for match in _NOT_FOUND.finditer(message):
        yield _KINDS[match["kind"].lower()], match["name"], ""
    for match in _PULL.finditer(message):
        yield "Secret", match["name"], ""


def hosts_in(scene: Scene) -> list[Host]:
    """The Services that the last log lines of pods in trouble say do not answer or do not exist."""
    found: dict[tuple[str, str], Host] = {}
    for group in groups_of(scene.problems):
        if group.trouble in CONNECTS:
            for line, reading in _lines(scene, group):
                for name, known in _hosts(line):
                    service, namespace = _service(name, scene.target.namespace)
                    if service:
                        found.setdefault((service, namespace), Host(service, namespace, known, line, group, reading))
    return list(found.values())


def symptoms_in(scene: Scene) -> list[tuple[str, Group, Reading]]:
    """The log lines that tell of timeouts: what a network policy looks like from within."""
    return [
        (line, group, reading)
        for group in groups_of(scene.problems)
        if group.trouble in CONNECTS
        for line, reading in _lines(scene, group)
        if _TIMEOUT.search(line)
    ]


def _lines(scene: Scene, group: Group) -> Iterator[tuple[str, Reading]]:
    for problem in group.problems:
        reading = scene.logs.get((problem.pod, problem.container), NOTHING)
        yield from ((line, reading) for line in reversed(telling(reading)))


def _hosts(line: str) -> Iterator[tuple[str, bool]]:
    for patterns, known in ((_UNKNOWN_HOST, False), (_REFUSED, True)):
        for pattern in patterns:
            yield from ((match["host"].lower(), known) for match in pattern.finditer(line[:2000]))


def _service(host: str, namespace: str) -> tuple[str, str]:
    """`redis`, `redis.shop` or `redis.shop.svc.cluster.local` as Service and namespace; empty for anything outside."""
    if _ADDRESS.fullmatch(host) or host == "localhost":
        return "", ""
    match host.split("."):
        case [name]:
            return name, namespace
        case [name, place] if place == namespace:
            return name, place
        case [pod, name] if _ORDINAL.search(pod):
            return name, namespace  # a pod of a StatefulSet behind its governing Service
        case [pod, name, place, "svc", *_] if _ORDINAL.search(pod):
            return name, place
        case [name, place, "svc", *_]:
            return name, place
    return "", ""


def reference(template: Any, kind: str, name: str, key: str) -> str:
    """Where a pod template names a Secret or ConfigMap: `container app, env DATABASE_URL`; empty where it does not."""
    spec = template
    for container in (*items(spec, "initContainers"), *items(spec, "containers")):
        for where, ref in _references(container, kind):
            if text(ref, "name") == name and (not key or text(ref, "key") in (key, "")):
                return f"container {text(container, 'name')}, {where}"
    for volume in items(spec, "volumes"):
        if name in _volume_names(volume, kind):
            return f"volume {text(volume, 'name')}"
    return ""


def _references(container: Mapping[str, Any], kind: str) -> Iterable[tuple[str, Any]]:
    of_key, whole = ("secretKeyRef", "secretRef") if kind == "Secret" else ("configMapKeyRef", "configMapRef")
    for variable in items(container, "env"):
        source = variable.get("valueFrom")
        if isinstance(source, Mapping) and of_key in source:
            yield f"env {text(variable, 'name')}", source[of_key]
    for bundle in items(container, "envFrom"):
        if whole in bundle:
            yield "envFrom", bundle[whole]


def _volume_names(volume: Mapping[str, Any], kind: str) -> set[str]:
    part, key = ("secret", "secretName") if kind == "Secret" else ("configMap", "name")
    sources = [volume, *items(volume, "projected", "sources")]
    return {text(source, part, key) for source in sources} | {text(source, part, "name") for source in sources}
