"""Probes that fail because of what they ask: a port that no container has, a path that is not served."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from bot.analyzers.fields import at, items, mapping, number, sentence, short, text
from bot.analyzers.findings import finding
from bot.analyzers.groups import Group, cite_events, groups_of, share, warning
from bot.analyzers.problems import Trouble
from bot.analyzers.reading import Reading, cite
from bot.analyzers.scene import Scene
from domain.diagnosis import Confidence, Finding

_FAILED = re.compile(r"^(?P<probe>Readiness|Liveness|Startup) probe (?:failed|errored)", re.IGNORECASE)
_STATUS = re.compile(r"statuscode: (?P<code>\d{3})")
_ON = frozenset({Trouble.NOT_READY, Trouble.CRASH})
Obj = Mapping[str, Any]


def analyze_probes(scene: Scene) -> tuple[Finding, ...]:
    """The failing probe that cannot hold, because it asks where nothing is."""
    return tuple(said for group in groups_of(scene.problems) if group.trouble in _ON if (said := _probe(scene, group)))


def _probe(scene: Scene, group: Group) -> Finding | None:
    message, events = warning(scene, group, "Unhealthy")
    match = _FAILED.match(message)
    container = _container(scene, group)
    if match is None or not container:
        return None
    field = f"{match['probe'].lower()}Probe"
    probe = mapping(container, field)
    asked = mapping(probe, "httpGet") or mapping(probe, "tcpSocket") or mapping(probe, "grpc")
    return _port(scene, group, field, asked, container, message, events) or _path(
        scene, group, field, asked, message, events
    )


def _container(scene: Scene, group: Group) -> Obj:
    pod = next((pod for pod in scene.own_pods if at(pod, "metadata", "name") == group.worst.pod), {})
    found = items(pod, "spec", "containers")
    return next((one for one in found if text(one, "name") == group.container), found[0] if len(found) == 1 else {})


def _port(
    scene: Scene, group: Group, field: str, asked: Obj, container: Obj, message: str, events: Reading | None
) -> Finding | None:
    port = asked.get("port")
    ports = items(container, "ports")
    numbers, names = {number(one, "containerPort") for one in ports}, {text(one, "name") for one in ports}
    wrong = (isinstance(port, str) and not port.isdigit() and port not in names) or (
        # a port need not be declared: only a refused connection makes an undeclared one suspicious
        isinstance(port, int) and bool(ports) and port not in numbers and "refused" in message
    )
    if not wrong:
        return None
    have = ", ".join(sorted(f"{number(one, 'containerPort')} {text(one, 'name')}".strip() for one in ports)) or "none"
    return finding(
        "probe.wrong_port",
        scene.target,
        f"{field} of {group.called} asks port {port}; the container has {have}",
        f"{sentence(share(scene, group))} failing: {field} port {port}, container ports {have}. "
        f"The kubelet says: {short(message, 300)}",
        [
            cite(scene.pods, f"pod {group.worst.pod}", f"{field} port {port}, ports {have}"),
            cite_events(events, group, message),
        ],
        confidence=Confidence.LIKELY,
        next_steps=[f"Correct {field}.port, or the port that the application listens on."],
        probe=field,
        port=str(port),
    )


def _path(scene: Scene, group: Group, field: str, asked: Obj, message: str, events: Reading | None) -> Finding | None:
    status, path = _STATUS.search(message), text(asked, "path")
    if status is None or status["code"] != "404" or not path:
        return None
    return finding(
        "probe.wrong_path",
        scene.target,
        f"{field} of {group.called} asks {path}, which answers 404",
        f"{sentence(share(scene, group))} failing: the application answers on port {asked.get('port')}, and does not know "
        f"{path}. The kubelet says: {short(message, 300)}",
        [cite(scene.pods, f"pod {group.worst.pod}", f"{field} {path}"), cite_events(events, group, message)],
        confidence=Confidence.LIKELY,
        next_steps=[f"Correct {field}.path, or serve it in the application."],
        probe=field,
        path=path,
    )
