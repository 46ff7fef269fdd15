"""What the policy tests share: a table of tools, the shipped policy, and short ways to say a policy and a situation."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from domain.actions import Action, Effect, Mode, Target
from domain.runs import Origin, RunSpec
from policies.policy import Policy, ToolSchema, base_situation, load

DEFAULT = Path(__file__).parents[2] / "policies" / "default"
NOW = datetime(2026, 11, 25, 10, 30, tzinfo=UTC)  # a Wednesday

_STRING, _INTEGER, _BOOLEAN = {"type": "string"}, {"type": "integer"}, {"type": "boolean"}


def schema(**properties: Any) -> dict[str, Any]:
    """A JSON Schema as pydantic writes it for a tool's arguments."""
    return {"type": "object", "properties": properties, "additionalProperties": False}


_AMOUNTS = {"$ref": "#/$defs/Amounts"}
_RESOURCES = {
    **schema(namespace=_STRING, kind=_STRING, name=_STRING, container=_STRING, requests=_AMOUNTS, limits=_AMOUNTS),
    "$defs": {"Amounts": schema(cpu=_STRING, memory=_STRING)},
}
_MATCHERS = {
    "type": "array",
    "items": schema(name=_STRING, value=_STRING, is_regex=_BOOLEAN, is_equal=_BOOLEAN),
}
_THING = {"namespace": _STRING, "kind": _STRING, "name": _STRING}

TOOLS = (
    ToolSchema("kubernetes_get", Effect.READ, schema(**_THING)),
    ToolSchema("kubernetes_list", Effect.READ, schema(kind=_STRING, namespace=_STRING, label_selector=_STRING)),
    ToolSchema("kubernetes_events", Effect.READ, schema(**_THING)),
    ToolSchema("kubernetes_logs", Effect.READ, schema(namespace=_STRING, pod=_STRING, tail_lines=_INTEGER)),
    ToolSchema("kubernetes_rollout_history", Effect.READ, schema(namespace=_STRING, name=_STRING, revision=_INTEGER)),
    ToolSchema("kubernetes_rollback", Effect.WRITE, schema(namespace=_STRING, name=_STRING, to_revision=_INTEGER)),
    ToolSchema("kubernetes_restart", Effect.WRITE, schema(**_THING)),
    ToolSchema("kubernetes_scale", Effect.WRITE, schema(**_THING, replicas=_INTEGER)),
    ToolSchema("kubernetes_set_resources", Effect.WRITE, _RESOURCES),
    ToolSchema("kubernetes_cordon", Effect.WRITE, schema(name=_STRING, unschedulable=_BOOLEAN)),
    ToolSchema("kubernetes_delete_pod", Effect.DESTRUCTIVE, schema(namespace=_STRING, name=_STRING)),
    ToolSchema("kubernetes_patch", Effect.DESTRUCTIVE, schema(**_THING, patch={"type": "object"})),
    ToolSchema("jenkins_trigger", Effect.WRITE, schema(job=_STRING, parameters={"type": "object"}, rebuild=_INTEGER)),
    ToolSchema("jenkins_abort", Effect.WRITE, schema(job=_STRING, build=_INTEGER, after=_INTEGER)),
    ToolSchema("gitlab_retry_pipeline", Effect.WRITE, schema(project=_STRING, pipeline=_INTEGER)),
    ToolSchema("gitlab_cancel_pipeline", Effect.WRITE, schema(project=_STRING, pipeline=_INTEGER)),
    ToolSchema(
        "gitlab_play_job",
        Effect.WRITE,
        schema(project=_STRING, job=_INTEGER, environment=_STRING, variables={"type": "object"}),
    ),
    ToolSchema(
        "gitlab_open_merge_request",
        Effect.WRITE,
        schema(
            project=_STRING,
            target_branch=_STRING,
            title=_STRING,
            description=_STRING,
            revert=_STRING,
            edits={"type": "array", "items": schema(path=_STRING, old=_STRING, new=_STRING)},
        ),
    ),
    ToolSchema("prometheus_query", Effect.READ, schema(query=_STRING, at=_STRING)),
    ToolSchema(
        "alertmanager_silence",
        Effect.WRITE,
        schema(matchers=_MATCHERS, minutes=_INTEGER, comment=_STRING, expire=_BOOLEAN),
    ),
)
EFFECTS = {tool.name: tool.effect for tool in TOOLS}


@cache
def shipped(approvers: tuple[str, ...] = ("@sre",)) -> Policy:
    """The default policy."""
    files = {path.name: path.read_text() for path in sorted(DEFAULT.glob("*.yaml"))}
    return load(files, TOOLS, {"AGENT_APPROVERS": approvers})


def policy(rules: str, extra: str = "", approvers: tuple[str, ...] = ("@sre",)) -> Policy:
    """A policy of these rules (YAML list items), with the groups *approvers* and *leads*."""
    return load({"p.yaml": text(rules, extra)}, TOOLS, {"AGENT_APPROVERS": approvers})


def text(rules: str, extra: str = "") -> str:
    """The file behind `policy`: line 1 names the groups, the rules begin on line 3."""
    return 'groups: {approvers: $AGENT_APPROVERS, leads: ["@leads"]}\nrules:\n' + rules + "\n" + extra


def facts(
    tool: str, args: dict[str, Any] | None = None, *, of: Policy | None = None, **roots: dict[str, Any]
) -> dict[str, Any]:
    """A situation for a call of `tool`, with what is given laid over the base."""
    situation = base_situation(of or shipped(), tool)
    situation["args"] = args or {}
    situation["target"] |= {"system": "kubernetes", "namespace": "shop", "kind": "Deployment", "name": "checkout"}
    for root, values in roots.items():
        situation[root] |= values
    return situation


def action(tool: str = "kubernetes_rollback", **changes: Any) -> Action:
    """An action on shop/checkout in production."""
    values: dict[str, Any] = {
        "tool": tool,
        "arguments": {"namespace": "shop", "name": "checkout", "to_revision": 3},
        "effect": EFFECTS[tool],
        "target": Target("kubernetes", "production", "shop", "Deployment", "checkout"),
        "facts": {"replicas": 3, "age_s": 86_400, "owner": "payments"},
        "touches": 3,
    }
    return Action(**(values | changes))


def spec(**changes: Any) -> RunSpec:
    """A run that an alert started."""
    values: dict[str, Any] = {
        "id": "run-1",
        "incident_id": "inc-1",
        "origin": Origin.ALERT,
        "model": "rules",
        "mode": Mode.ACT,
        "target": Target("kubernetes", "production", "shop", "Deployment", "checkout"),
    }
    return RunSpec(**(values | changes))
