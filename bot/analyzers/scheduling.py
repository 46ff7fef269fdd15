"""Pods without a node: the selector, affinity, request or taint that no node satisfies, held against the nodes there are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from bot.analyzers.fields import at, items, labels, mapping, name_of, plural, text
from bot.analyzers.findings import finding
from bot.analyzers.groups import Group, cite_pod, groups_of, share
from bot.analyzers.problems import Trouble
from bot.analyzers.quantities import parse_amount
from bot.analyzers.reading import cite, objects, whole
from bot.analyzers.scene import Scene
from bot.analyzers.workloads import counts_of
from domain.diagnosis import Confidence, Evidence, Finding

_BLOCKING = frozenset({"NoSchedule", "NoExecute"})
Node = Mapping[str, Any]


def analyze_scheduling(scene: Scene) -> tuple[Finding, ...]:
    """The one thing that keeps the pods from every node, where a single thing does."""
    if not whole(scene.near("Node")):
        return ()
    nodes, spec = objects(scene.near("Node")), pod_spec(scene)
    if not nodes or not spec:
        return ()
    waiting = next((group for group in groups_of(scene.problems) if group.trouble is Trouble.UNSCHEDULABLE), None)
    if waiting is not None:
        found = _placed(scene, waiting, spec, nodes) or _too_big(scene, waiting, spec, nodes)
        return (found or _tainted(scene, waiting, spec, nodes) or _full(scene, waiting, spec, nodes),)
    if scene.target.kind == "DaemonSet" and scene.workload.ok and counts_of(scene.workload.data).desired == 0:
        return _daemon(scene, spec, nodes)
    return ()


def pod_spec(scene: Scene) -> Mapping[str, Any]:
    """The spec of the target's pods: the workload's template, a Job's, or the pod's own."""
    made = mapping(scene.workload.data, "spec", "template", "spec") if scene.workload.ok else {}
    job = next(iter(objects(scene.jobs)), None)
    return made or mapping(job, "spec", "template", "spec") or mapping(next(iter(scene.own_pods), {}), "spec")


def _cited(scene: Scene, excerpt: str) -> tuple[Evidence, ...]:
    return cite(scene.near("Node"), "the nodes", excerpt)


def _unmet(spec: Mapping[str, Any], nodes: list[Node]) -> tuple[str, str]:
    """The label that is asked for and that no node has, and what the nodes have instead."""
    for key, value in sorted(labels(spec, "nodeSelector").items()):
        if not any(labels(node, "metadata", "labels").get(key) == value for node in nodes):
            return f"nodeSelector {key}={value}", _instead(nodes, key)
    required = mapping(spec, "affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution")
    terms = items(required, "nodeSelectorTerms")
    if terms and not any(_matches(term, node) for term in terms for node in nodes):
        asked = next((_words(one) for term in terms for one in items(term, "matchExpressions")), "its terms")
        key = next((text(one, "key") for term in terms for one in items(term, "matchExpressions")), "")
        return f"node affinity {asked}", _instead(nodes, key)
    return "", ""


def _instead(nodes: list[Node], key: str) -> str:
    have = Counter(labels(node, "metadata", "labels").get(key, "") for node in nodes)
    return ", ".join(f"{key}={value} on {n}" if value else f"no {key} on {n}" for value, n in have.most_common(4))


def _matches(term: Mapping[str, Any], node: Node) -> bool:
    have = labels(node, "metadata", "labels")
    return all(_holds(one, have) for one in items(term, "matchExpressions"))


def _holds(one: Mapping[str, Any], have: Mapping[str, str]) -> bool:
    key, operator = text(one, "key"), text(one, "operator")
    values = at(one, "values") if isinstance(at(one, "values"), list) else []
    match operator:
        case "In":
            return have.get(key) in values
        case "NotIn":
            return have.get(key) not in values
        case "Exists":
            return key in have
        case "DoesNotExist":
            return key not in have
    return True  # Gt, Lt and what is not known here: not held against any node


def _words(one: Mapping[str, Any]) -> str:
    values = at(one, "values") if isinstance(at(one, "values"), list) else []
    return " ".join(filter(None, (text(one, "key"), text(one, "operator"), ", ".join(map(str, values)))))


def _placed(scene: Scene, group: Group, spec: Mapping[str, Any], nodes: list[Node]) -> Finding | None:
    asked, instead = _unmet(spec, nodes)
    if not asked:
        return None
    return finding(
        "schedule.no_such_node",
        scene.target,
        f"No node satisfies {asked}, so {share(scene, group)} cannot be scheduled",
        f"The pod template asks for {asked}. The {plural(len(nodes), 'node')} have: {instead or 'nothing of that kind'}.",
        [_cited(scene, instead), cite_pod(scene, group, group.worst.message)],
        next_steps=["Correct the selector in the pod template, or label or add a node."],
        asked=asked,
    )


def requests(spec: Mapping[str, Any]) -> dict[str, float]:
    """What the containers of a pod ask for together, by resource; what cannot be read is left out."""
    total: dict[str, float] = {}
    for container in items(spec, "containers"):
        asked = {**mapping(container, "resources", "limits"), **mapping(container, "resources", "requests")}
        for name, amount in asked.items():
            if (value := parse_amount(str(amount))) is not None:
                total[str(name)] = total.get(str(name), 0.0) + value
    return total


def asked_for(spec: Mapping[str, Any], name: str) -> str:
    """The request as it is written."""
    amounts = [
        str(mapping(one, "resources", "requests").get(name) or mapping(one, "resources", "limits").get(name) or "")
        for one in items(spec, "containers")
    ]
    return " + ".join(filter(None, amounts))


def _too_big(scene: Scene, group: Group, spec: Mapping[str, Any], nodes: list[Node]) -> Finding | None:
    for name, wanted in sorted(requests(spec).items()):
        have = [(parse_amount(str(mapping(n, "status", "allocatable").get(name, "0"))) or 0.0, n) for n in nodes]
        most, largest = max(have, key=lambda pair: pair[0])
        if wanted > most and any(mapping(node, "status", "allocatable") for node in nodes):
            offered = str(mapping(largest, "status", "allocatable").get(name, "none"))
            best = f"the largest, {name_of(largest)}, has {offered}" if most else "no node has any"
            return finding(
                "schedule.too_big",
                scene.target,
                f"No node is large enough: requests.{name} is {asked_for(spec, name)}, {best}",
                f"The pod asks for {name} {asked_for(spec, name)}; of {plural(len(nodes), 'node')} {best}. It can never be "
                "scheduled here as it is.",
                [_cited(scene, f"allocatable {name}: {offered} at most"), cite_pod(scene, group, group.worst.message)],
                next_steps=[f"Lower the request for {name}, or add a node that has as much."],
                resource=name,
            )
    return None


def _tolerated(taint: Mapping[str, Any], spec: Mapping[str, Any]) -> bool:
    for one in items(spec, "tolerations"):
        key, effect = text(one, "key"), text(one, "effect")
        same = not key or key == text(taint, "key")
        value = text(one, "operator") == "Exists" or text(one, "value") == text(taint, "value")
        if same and value and effect in ("", text(taint, "effect")):
            return True
    return False


def _taints(node: Node, spec: Mapping[str, Any]) -> list[str]:
    return [
        "=".join(filter(None, (text(taint, "key"), text(taint, "value")))) + f":{text(taint, 'effect')}"
        for taint in items(node, "spec", "taints")
        if text(taint, "effect") in _BLOCKING and not _tolerated(taint, spec)
    ]


def _tainted(scene: Scene, group: Group, spec: Mapping[str, Any], nodes: list[Node]) -> Finding | None:
    fitting = [node for node in nodes if _unmet(spec, [node])[0] == ""]
    barred = {name_of(node): taints for node in fitting if (taints := _taints(node, spec))}
    if not fitting or len(barred) < len(fitting):
        return None
    first = Counter(taint for taints in barred.values() for taint in taints).most_common(1)[0][0]
    told = "; ".join(f"{name}: {', '.join(taints)}" for name, taints in list(barred.items())[:5])
    return finding(
        "schedule.taints",
        scene.target,
        f"Every node that fits has a taint that the pods do not tolerate: {first}",
        f"Nodes that would fit: {told}. The pods tolerate none of it.",
        [_cited(scene, told), cite_pod(scene, group, group.worst.message)],
        next_steps=["Find out who set the taint and why; tolerate it in the pod template only where that is meant."],
        taint=first,
    )


def _full(scene: Scene, group: Group, spec: Mapping[str, Any], nodes: list[Node]) -> Finding:
    asked = ", ".join(f"{name} {asked_for(spec, name)}" for name in sorted(requests(spec))) or "no resources"
    cordoned = [name_of(node) for node in nodes if at(node, "spec", "unschedulable") is True]
    more = f" Cordoned: {', '.join(cordoned[:5])}." if cordoned else ""
    return finding(
        "schedule.full",
        scene.target,
        f"No node has room for {share(scene, group)}, which asks for {asked}",
        f"Each pod asks for {asked}, and no single setting rules the nodes out.{more} "
        f"The scheduler says: {group.worst.message}",
        [_cited(scene, plural(len(nodes), "node")), cite_pod(scene, group, group.worst.message)],
        confidence=Confidence.LIKELY,
        next_steps=["Make room: add or uncordon nodes, remove other load, or lower what the pods ask for."],
        cordoned=cordoned[:10],
    )


def _daemon(scene: Scene, spec: Mapping[str, Any], nodes: Iterable[Node]) -> tuple[Finding, ...]:
    asked, instead = _unmet(spec, list(nodes))
    if not asked:
        return ()
    return (
        finding(
            "schedule.no_such_node",
            scene.target,
            f"No node satisfies {asked}, so DaemonSet {scene.target.name} runs nowhere",
            f"The pod template asks for {asked}. The nodes have: {instead or 'nothing of that kind'}.",
            [_cited(scene, instead), cite(scene.workload, f"DaemonSet {scene.target.name}", asked)],
            next_steps=["Correct the selector in the pod template, or label a node."],
            asked=asked,
        ),
    )
