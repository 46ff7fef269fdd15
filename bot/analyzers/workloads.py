"""What a workload says of itself: how many pods it wants and has, which pods it selects, whether a Job is done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bot.analyzers.fields import at, condition, count, items, labels, mapping, number, text


@dataclass(frozen=True)
class Counts:
    """How many pods a workload wants and has."""

    desired: int
    ready: int
    updated: int
    total: int


def counts_of(workload: Any) -> Counts:
    """The counts of a Deployment, StatefulSet, ReplicaSet or DaemonSet."""
    if at(workload, "status", "desiredNumberScheduled") is not None:
        status = mapping(workload, "status")
        wanted, have = count(status, "desiredNumberScheduled"), count(status, "currentNumberScheduled")
        return Counts(wanted, count(status, "numberReady"), count(status, "updatedNumberScheduled"), have)
    replicas = number(workload, "spec", "replicas")
    return Counts(
        1 if replicas is None else replicas,
        count(workload, "status", "readyReplicas"),
        count(workload, "status", "updatedReplicas"),
        count(workload, "status", "replicas"),
    )


def selector_text(workload: Any) -> str:
    """A label selector as a query: a workload's matchLabels and matchExpressions, or a Service's plain map."""
    chosen = labels(workload, "spec", "selector", "matchLabels") or labels(workload, "spec", "selector")
    said = [f"{key}={value}" for key, value in sorted(chosen.items())]
    return ",".join([*said, *map(_expression, items(workload, "spec", "selector", "matchExpressions"))])


def _expression(rule: Any) -> str:
    """One of the matchExpressions in the words of a query."""
    key, listed = text(rule, "key"), at(rule, "values")
    values = ",".join(str(value) for value in listed) if isinstance(listed, list) else ""
    match text(rule, "operator"):
        case "Exists":
            return key
        case "DoesNotExist":
            return f"!{key}"
        case operator:
            return f"{key} {operator.lower()} ({values})"


def selects(selector: Mapping[str, str], workload: Any) -> bool:
    """Whether a plain selector matches the pods that a workload's template makes."""
    made = labels(workload, "spec", "template", "metadata", "labels")
    return bool(selector) and all(made.get(key) == value for key, value in selector.items())


def complete(job: Any) -> bool:
    """Whether a Job has done its work, however often it tried."""
    return any(text(condition(job, kind), "status") == "True" for kind in ("Complete", "SuccessCriteriaMet"))
