"""Prometheus' alerts, with the rule behind each as expression, measure and threshold, and the targets that are down."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from pydantic import Field

from bot.tools.prometheus_api import Obj, a_list, a_map, ask, now_text
from bot.tools.prometheus_series import clean, labels_of, named, short
from bot.tools.promql import condition_of, unit_of
from bot.tools.rest import RestClient
from bot.tools.spec import Arguments, Model
from domain.errors import ToolError

MAX_RULES = 40
MAX_ALERTS = 20  # of one rule
MAX_DOWN = 30


class Alerts(Model):
    """Which alerts."""

    name: str = Field(
        "", max_length=200, description="an alertname; empty: all that fire, are pending or cannot be evaluated"
    )


async def alerts(client: RestClient, arguments: Arguments) -> Obj:
    """The rules with their alerts, those that fire first, and the targets that are down."""
    name = str(arguments["name"])
    narrowed = {"type": "alert", **({"rule_name[]": name} if name else {})}
    rules, (targets, unseen) = await asyncio.gather(
        ask(client, "/api/v1/rules", narrowed, "list its rules"), _targets(client)
    )
    found = [_rule(rule, group) for rule, group in _rules(rules) if _wanted(rule, name)]
    found.sort(key=lambda rule: (_STATES.get(rule["state"], 3), rule["name"]))
    scraped = [target for target in a_list(a_map(targets).get("data"), "activeTargets") if isinstance(target, Mapping)]
    down = [_down(target) for target in scraped if target.get("health") == "down"]
    return {
        "name": name,
        "rules": found[:MAX_RULES],
        "more": max(0, len(found) - MAX_RULES),
        "targets": len(scraped),
        "down": down[:MAX_DOWN],
        "down_count": len(down),
        "targets_error": unseen,
        "read_at": now_text(),
    }


async def _targets(client: RestClient) -> tuple[Any, str]:
    """The scrape targets, or why there are none: what only stores samples (Mimir, Thanos) scrapes nothing."""
    try:
        return await ask(client, "/api/v1/targets", {"state": "active"}, "list its targets"), ""
    except ToolError as error:
        return {}, str(error)


_STATES = {"firing": 0, "pending": 1, "inactive": 2}


def _rules(answer: Any) -> list[tuple[Mapping[str, Any], str]]:
    groups = a_list(a_map(answer).get("data"), "groups")
    return [
        (rule, clean(group.get("name", "")))
        for group in groups
        if isinstance(group, Mapping)
        for rule in a_list(group, "rules")
        if isinstance(rule, Mapping) and rule.get("type", "alerting") == "alerting"
    ]


def _wanted(rule: Mapping[str, Any], name: str) -> bool:
    """By name; else what fires or is pending, and what cannot be evaluated and so never will."""
    return (
        rule.get("name") == name if name else rule.get("state") in ("firing", "pending") or bool(rule.get("lastError"))
    )


def _rule(rule: Mapping[str, Any], group: str) -> Obj:
    """`measure`, `operator` and `threshold` are the expression taken apart, where it compares something with a number."""
    expression = str(rule.get("query") or "")[:4000]
    condition = condition_of(expression)
    active = [alert for alert in a_list(rule, "alerts") if isinstance(alert, Mapping)]
    parts = {name: getattr(condition, name) for name in ("measure", "operator", "threshold")} if condition else {}
    return {
        "name": clean(rule.get("name", ""), 200),
        "group": group,
        "state": str(rule.get("state") or ""),
        "expression": expression,
        **parts,
        "unit": unit_of(condition.measure) if condition else "",
        "for_s": str(rule.get("duration") or 0),
        "labels": labels_of(rule.get("labels")),
        "summary": clean(a_map(rule.get("annotations")).get("summary", ""), 300),
        "error": clean(rule.get("lastError") or "", 500),
        "alerts": [_alert(alert) for alert in active[:MAX_ALERTS]],
        "alert_count": len(active),
    }


def _alert(alert: Mapping[str, Any]) -> Obj:
    return {
        "labels": labels_of(alert.get("labels")),
        "state": str(alert.get("state") or ""),
        "since": clean(alert.get("activeAt", ""), 40),
        "value": clean(alert.get("value", ""), 40),
    }


def _down(target: Mapping[str, Any]) -> Obj:
    return {
        "labels": labels_of(target.get("labels")),
        "health": clean(target.get("health", ""), 20),
        "error": clean(target.get("lastError") or "no reason is given", 300),
        "last_scrape": clean(target.get("lastScrape", ""), 40),
    }


def show_alerts(data: Mapping[str, Any]) -> str:
    """Each rule with its expression and its alerts, then the targets that are down."""
    lines = [line for rule in data.get("rules") or () for line in _show_rule(rule)]
    if not lines:
        lines = [f"no alerting rule is called {data['name']}" if data.get("name") else "no alert fires or is pending"]
    if data.get("more"):
        lines.append(f"{data['more']} more rules are left out: ask for one by name")
    count = f"{data.get('down_count', 0)} of {data.get('targets', 0)} scrape targets are down"
    lines.append(f"scrape targets are not known: {data['targets_error']}" if data.get("targets_error") else count)
    lines += [f"  {named(target['labels'])} {target['health']}: {target['error']}" for target in data.get("down") or ()]
    return "\n".join(lines)


def _show_rule(rule: Mapping[str, Any]) -> list[str]:
    head = f"{rule['name']} ({rule['state']}): {' '.join(str(rule['expression']).split())}"
    lines = [head + (f"; {rule['summary']}" if rule.get("summary") else "")]
    if rule.get("error"):
        lines.append(f"  it cannot be evaluated: {rule['error']}")
    lines += [
        f"  {alert['state']} since {alert['since']}, value {short(alert['value'])}: {named(alert['labels'])}"
        for alert in rule.get("alerts") or ()
    ]
    left = rule.get("alert_count", 0) - len(rule.get("alerts") or ())
    return [*lines, f"  and {left} more alerts"] if left > 0 else lines
