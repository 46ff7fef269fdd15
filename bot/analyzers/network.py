"""What the pods cannot reach: a Service that is not there or has no ready pods, or a network policy in between."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bot.analyzers.fields import at, items, labels, name_of, plural, short, text
from bot.analyzers.findings import finding
from bot.analyzers.groups import Group
from bot.analyzers.needs import Host, hosts_in, symptoms_in
from bot.analyzers.problems import ready
from bot.analyzers.reading import Reading, cite, objects, whole
from bot.analyzers.scene import Scene
from bot.analyzers.workloads import counts_of
from domain.diagnosis import Confidence, Finding

Obj = Mapping[str, Any]


def analyze_network(scene: Scene) -> tuple[Finding, ...]:
    """What the last words of pods in trouble name as not answering, where the cluster says why."""
    told = [said for host in hosts_in(scene) if (said := _host(scene, host))]
    blocked = _blocked(scene) if not told else ()
    return (*told[:2], *blocked[:1], *_governing(scene))


def _host(scene: Scene, host: Host) -> Finding | None:
    place = f" in {host.namespace}"
    services = scene.near("Service")
    single = scene.near(f"Service/{host.namespace}/{host.name}")
    own = host.namespace == scene.target.namespace
    absent = whole(services) and host.name not in map(name_of, objects(services)) if own else single.absent
    if absent and not host.known:
        have = ", ".join(sorted(map(name_of, objects(services)))[:12]) or "none"
        return finding(
            "needs.no_such_service",
            scene.target,
            f"Service {host.name} does not exist{place}, and {host.group.called} asks for it",
            f"The log of {host.group.worst.pod} says: “{short(host.line)}”. "
            + (f"Services there: {have}." if own else ""),
            [
                cite(host.reading, f"logs of {host.group.worst.pod}", host.line),
                cite(services, "the Services of the namespace", have) if own else (),
            ],
            confidence=Confidence.LIKELY,
            next_steps=["Create the Service, or correct the address in the configuration."],
            service=host.name,
        )
    pods = scene.near(f"pods behind Service/{host.namespace}/{host.name}")
    if not pods.ok or any(map(ready, objects(pods))):
        return None
    found = [pod for pod in objects(pods) if text(pod, "status", "phase") not in ("Succeeded", "Failed")]
    state = f"none of its {plural(len(found), 'pod')} is ready" if found else "it has no pods"
    return finding(
        "needs.not_ready",
        scene.target,
        f"Service {host.name}{place} does not answer {scene.target.name}: {state}",
        f"The log of {host.group.worst.pod} says: “{short(host.line)}”. Behind Service {host.name}, {state}.",
        [
            cite(host.reading, f"logs of {host.group.worst.pod}", host.line),
            cite(pods, f"pods behind Service {host.name}", state),
        ],
        confidence=Confidence.LIKELY,
        next_steps=[f"Look at what is behind Service {host.name}{place}."],
        service=host.name,
    )


def _blocked(scene: Scene) -> tuple[Finding, ...]:
    made = labels(scene.workload.data, "spec", "template", "metadata", "labels") if scene.workload.ok else {}
    made = made or labels(next(iter(scene.own_pods), {}), "metadata", "labels")
    applied = [policy for policy in objects(scene.near("NetworkPolicy")) if chosen(policy, made)]
    if any(_opens(policy, "Egress") for policy in applied):  # policies add up: what one allows no other takes away
        return ()
    return tuple(
        _policy(scene, policy, words, line, group, reading)
        for line, group, reading in symptoms_in(scene)[:1]
        for policy in applied
        if (words := restricts(policy, "Egress"))
    )


def _policy(scene: Scene, policy: Obj, words: str, line: str, group: Group, reading: Reading) -> Finding:
    name = name_of(policy)
    return finding(
        "network_policy.blocks",
        scene.target,
        f"NetworkPolicy {name} allows the pods {words}, and they time out",
        f"NetworkPolicy {name} selects {scene.target.name}'s pods: outgoing traffic, {words}. The log of {group.worst.pod} "
        f"says: “{short(line)}”.",
        [
            cite(scene.near("NetworkPolicy"), f"NetworkPolicy {name}", words),
            cite(reading, f"logs of {group.worst.pod}", line),
        ],
        confidence=Confidence.LIKELY,
        hypotheses=[
            (f"NetworkPolicy {name} drops what times out", "Compare the address in the log with the policy's rules"),
            ("What is at that address does not answer anybody", "Ask it from a pod that the policy does not select"),
        ],
        next_steps=["Allow the address and port in the policy, DNS on port 53 included."],
        policy=name,
    )


def chosen(policy: Obj, made: Mapping[str, str]) -> bool:
    """Whether a policy's podSelector selects pods with these labels."""
    wanted = labels(policy, "spec", "podSelector", "matchLabels")
    more = items(policy, "spec", "podSelector", "matchExpressions")
    return not more and bool(made) and all(made.get(key) == value for key, value in wanted.items())


def restricts(policy: Obj, direction: str) -> str:
    """What a policy leaves of a direction in words, empty where it leaves everything or does not speak of it."""
    types = at(policy, "spec", "policyTypes")
    rules = items(policy, "spec", direction.lower())
    if (isinstance(types, list) and direction not in types) or (not isinstance(types, list) and not rules):
        return ""
    if not rules:
        return f"no {direction.lower()} at all"
    if _opens(policy, direction):
        return ""
    ports = sorted({str(port.get("port")) for rule in rules for port in items(rule, "ports") if port.get("port")})
    dns = "53" in ports or any(not rule.get("ports") for rule in rules) or direction != "Egress"
    told = (
        f"{direction.lower()} to ports {', '.join(ports)} only" if ports else f"{direction.lower()} to some peers only"
    )
    return told if dns else f"{told}, not DNS (53)"


def _opens(policy: Obj, direction: str) -> bool:
    """Whether a policy allows everything of a direction, which it then does for the pods of every policy."""
    types, peer = at(policy, "spec", "policyTypes"), "to" if direction == "Egress" else "from"
    speaks = direction in types if isinstance(types, list) else True
    rules = items(policy, "spec", direction.lower())
    return speaks and any(not rule.get(peer) and not rule.get("ports") for rule in rules)


def _governing(scene: Scene) -> tuple[Finding, ...]:
    services = scene.near("Service")
    name = text(scene.workload.data, "spec", "serviceName") if scene.workload.ok else ""
    have = counts_of(scene.workload.data) if scene.workload.ok else None
    if (
        scene.target.kind != "StatefulSet"
        or not name
        or not whole(services)
        or have is None
        or have.ready >= have.desired
    ):
        return ()
    if name in map(name_of, objects(services)):
        return ()
    listed = ", ".join(sorted(map(name_of, objects(services)))[:12]) or "none"
    return (
        finding(
            "stateful_set.no_service",
            scene.target,
            f"Service {name} that governs StatefulSet {scene.target.name} does not exist",
            f"spec.serviceName is {name}; without that Service its pods have no names in DNS. Services there: {listed}.",
            [
                cite(scene.workload, f"StatefulSet {scene.target.name}", f"serviceName {name}"),
                cite(services, "the Services of the namespace", listed),
            ],
            confidence=Confidence.LIKELY,
            next_steps=[f"Create the headless Service {name} with the StatefulSet's selector."],
            service=name,
        ),
    )
