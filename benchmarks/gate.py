"""The gate's cost: 50 rules over every kind of call, against a plain Python matcher that finds the same rules, in the same run.

`python -m benchmarks.gate` prints the table; `--json` the figures. The floor is the least that a policy engine in Python
could do: the same globs, indexed by tool, each condition a Python function written by hand, and no record of verdicts.
"""

from __future__ import annotations

import argparse
import gc
import json
import random
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

from domain.actions import Effect
from policies.gate import decide
from policies.policy import Policy, ToolSchema, base_situation, load
from policies.redaction import Redactor

GROUPS = "groups: {leads: ['@leads']}\n"
RULES, SITUATIONS, ROUNDS = 50, 2_000, 5
_STRING, _INTEGER = {"type": "string"}, {"type": "integer"}
_PARAMETERS = {
    "type": "object",
    "properties": {"namespace": _STRING, "kind": _STRING, "name": _STRING, "replicas": _INTEGER},
}
_VERBS = ("get", "list", "logs", "events", "restart", "rollback", "scale", "cordon", "patch", "delete_pod")
_EFFECTS = dict.fromkeys(_VERBS[:4], Effect.READ) | dict.fromkeys(_VERBS[4:8], Effect.WRITE)
TOOLS = tuple(ToolSchema(f"kubernetes_{verb}", _EFFECTS.get(verb, Effect.DESTRUCTIVE), _PARAMETERS) for verb in _VERBS)
_ENVIRONMENTS = ("production", "staging", "development")

Condition = Callable[[Mapping[str, Any]], bool]
_CONDITIONS: tuple[tuple[str, Condition], ...] = (
    ("target.replicas <= 20 && !run.tainted", lambda s: s["target"]["replicas"] <= 20 and not s["run"]["tainted"]),
    ("calendar.business && rate.target_1h < 3", lambda s: s["calendar"]["business"] and s["rate"]["target_1h"] < 3),
    ("args.replicas > 50", lambda s: s["args"]["replicas"] > 50),
    ('target.namespace.startsWith("web")', lambda s: s["target"]["namespace"].startswith("web")),
    ('"leads" in requester.groups', lambda s: "leads" in s["requester"]["groups"]),
)


def rules() -> list[dict[str, Any]]:
    """50 rules as a platform team might have: half by tool, half by effect, most with a condition."""
    source = random.Random(1)
    made: list[dict[str, Any]] = [{"id": "reads", "decision": "allow", "match": {"effects": ["read"]}}]
    while len(made) < RULES:
        number = len(made)
        narrow = {"tools": [f"kubernetes_{source.choice(_VERBS[4:])}"]} if number % 2 else {"effects": ["write"]}
        match = {**narrow, "environments": source.sample(_ENVIRONMENTS, source.choice((1, 1, 2)))}
        if number % 3 == 0:
            match["namespaces"] = [f"team-{number}-*", "shop"]
        decision = source.choice(("deny", "ask", "ask", "allow"))
        made.append({"id": f"r{number}", "decision": decision, "match": match, "when": source.choice(_CONDITIONS)[0]})
    return made


def situations(policy: Policy) -> list[dict[str, Any]]:
    """Calls of every tool, in every environment, with facts of every size."""
    source = random.Random(2)
    made = []
    for _ in range(SITUATIONS):
        situation = base_situation(policy, source.choice(TOOLS).name)
        namespace = source.choice(("shop", "web-1", "team-9-a"))
        situation["args"] = {
            "namespace": namespace,
            "kind": "Deployment",
            "name": "checkout",
            "replicas": source.randint(0, 60),
        }
        situation["target"] |= {
            "system": "kubernetes",
            "environment": source.choice(_ENVIRONMENTS),
            "namespace": namespace,
            "replicas": source.randint(1, 30),
        }
        situation["run"]["tainted"] = source.random() < 0.5
        situation["rate"]["target_1h"] = source.randint(0, 4)
        made.append(situation)
    return made


def floor(specs: list[dict[str, Any]]) -> Callable[[Mapping[str, Any]], tuple[str, str]]:
    """The plain matcher: the deciding rule's outcome and id."""
    conditions = dict(_CONDITIONS)
    index: dict[str, list[tuple[str, str, frozenset[str], tuple[str, ...], Condition | None]]] = {}
    for tool in TOOLS:
        for spec in specs:
            match = spec["match"]
            if tool.name in match.get("tools", [tool.name]) and tool.effect.value in match.get(
                "effects", [tool.effect.value]
            ):
                where = frozenset(match.get("environments", _ENVIRONMENTS))
                names = tuple(name.rstrip("*") for name in match.get("namespaces", [""]))
                condition = conditions[spec["when"]] if "when" in spec else None
                index.setdefault(tool.name, []).append((spec["decision"], spec["id"], where, names, condition))

    def match_all(situation: Mapping[str, Any]) -> tuple[str, str]:
        found: dict[str, str] = {}
        target = situation["target"]
        for decision, rule, where, names, condition in index[situation["tool"]["name"]]:
            here = target["environment"] in where and target["namespace"].startswith(names)
            if here and (condition is None or condition(situation)):
                found.setdefault(decision, rule)
        return next(((word, found[word]) for word in ("deny", "ask", "allow") if word in found), ("deny", ""))

    return match_all


def each(call: Callable[[Any], Any], inputs: list[Any]) -> list[float]:
    """Microseconds of every call, the fastest of a few rounds for each input."""
    best = [float("inf")] * len(inputs)
    gc.disable()
    for _ in range(ROUNDS):
        for number, value in enumerate(inputs):
            began = time.perf_counter()
            call(value)
            best[number] = min(best[number], (time.perf_counter() - began) * 1e6)
    gc.enable()
    return best


def per_second(call: Callable[[Any], Any], inputs: list[Any]) -> float:
    """Calls per second of processor time over all inputs, the median of the rounds."""
    rates = []
    for _ in range(ROUNDS):
        began = time.process_time()
        for value in inputs:
            call(value)
        rates.append(len(inputs) / (time.process_time() - began))
    return statistics.median(rates)


def measure() -> dict[str, float]:
    """Every figure of this benchmark."""
    specs = rules()
    text = GROUPS + f"rules: {json.dumps(specs)}"
    began = time.perf_counter()
    policy = load({"bench.yaml": text}, TOOLS, {})
    load_ms = (time.perf_counter() - began) * 1e3
    inputs, plain = situations(policy), floor(specs)
    differences = sum(decide(policy, one).outcome.value != plain(one)[0] for one in inputs)
    if differences:
        raise SystemExit(f"the gate and the floor disagree on {differences} of {len(inputs)} situations")
    gate_us, floor_us = each(lambda one: decide(policy, one), inputs), each(plain, inputs)
    redactor, alert = Redactor(key=b"bench"), ALERT
    return {
        "gate_p50_us": statistics.median(gate_us),
        "gate_p99_us": statistics.quantiles(gate_us, n=100)[98],
        "gate_per_second": per_second(lambda one: decide(policy, one), inputs),
        "floor_p50_us": statistics.median(floor_us),
        "floor_per_second": per_second(plain, inputs),
        "load_50_rules_ms": load_ms,
        "redact_clean_1kb_us": statistics.median(each(redactor.text, [alert] * 200)),
    }


ALERT = json.dumps(
    {
        "status": "firing",
        "labels": {
            "alertname": "KubePodCrashLooping",
            "namespace": "shop",
            "pod": "checkout-7d9f8b6c5d-x2x4z",
            "container": "checkout",
            "severity": "critical",
            "uid": "0b7c2f1e-8f6b-4a57-9a55-2a3f0f8c1d2e",
        },
        "annotations": {
            "summary": "Pod shop/checkout-7d9f8b6c5d-x2x4z (checkout) is restarting 2.03 times / 5 minutes.",
            "description": "The container has been restarting for ten minutes; the last exit code was 1. " * 4,
            "runbook_url": "https://runbooks.prometheus-operator.dev/runbooks/kubernetes/kubepodcrashlooping",
        },
        "startsAt": "2026-11-23T03:20:00.123Z",
        "generatorURL": "http://prometheus:9090/graph?g0.expr=max_over_time%28kube_pod_container_status_waiting_reason",
        "fingerprint": "c2a5b5a5f5a5b5a5",
    }
)


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    arguments = parser.parse_args()
    figures = measure()
    if arguments.json:
        print(json.dumps({name: round(value, 2) for name, value in figures.items()}))
        return
    print(
        f"gate, {RULES} rules:   p50 {figures['gate_p50_us']:6.1f} µs   p99 {figures['gate_p99_us']:6.1f} µs   "
        f"{figures['gate_per_second']:9,.0f} decisions per CPU second   (target: p50 ≤ 60 µs)"
    )
    print(f"plain Python floor: p50 {figures['floor_p50_us']:6.1f} µs{'':23}{figures['floor_per_second']:9,.0f}")
    print(
        f"load and type-check {RULES} rules over {len(TOOLS)} tools: {figures['load_50_rules_ms']:.0f} ms   (target: ≤ 200 ms)"
    )
    print(
        f"redact a clean alert of {len(ALERT)} characters: {figures['redact_clean_1kb_us']:.1f} µs   (target: ≤ 40 µs)"
    )


if __name__ == "__main__":
    main()
