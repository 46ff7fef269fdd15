"""What policy may know of a deployment: the risk that was assessed in this run, and whether a canary of the commit did well."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bot.agent.world import World
from domain.actions import Action
from domain.releases import ASSESSED
from domain.runs import Run
from policies.calendars import calendar_facts


def moment_of(world: World, run: Run) -> dict[str, Any]:
    """Policy's calendar at the run's start: a replay is about the same moment."""
    policy = world.policy()
    return calendar_facts(policy.calendars, policy.freezes, run.started_at, run.spec.target.environment)


def release_facts(run: Run, action: Action) -> dict[str, Any]:
    """`release.*` of an action, empty where it deploys nothing. A risk counts for the commit and the environments that it was
    assessed of: elsewhere something else is deployed, and so the difference is another one.

    The analyzers alone make that finding, from what they read: no model can say that something is safe.
    """
    commit = action.facts.get("commit")
    if not commit or "canary" not in action.facts:
        return {}
    facts: dict[str, Any] = {
        "canary": action.facts["canary"] is True,
        "canary_passed": any(
            execution.verified is True
            and (execution.action.tool, execution.action.target.key) == (action.tool, action.target.key)
            and execution.action.facts.get("canary") is True
            and execution.action.facts.get("commit") == commit
            for execution in run.executions
        ),
        "deployed_before": action.facts.get("deployed_before") is True,
    }
    for found in run.findings or ():
        told = found.facts
        if found.code == ASSESSED and told.get("commit") == commit and isinstance(told.get("risk"), int):
            places = [
                call.get("environment") for call in (told.get("whole"), told.get("canary")) if isinstance(call, Mapping)
            ]
            if action.arguments.get("environment") in places:
                facts["risk"] = told["risk"]
    return facts
