"""What the team knows already, as reads: the journal's earlier incidents, and the team's runbooks."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Any

from pydantic import Field

from bot.tools.runbooks import MOST_TEXT, Found, Runbooks
from bot.tools.spec import Arguments, Model, ReadTool
from domain.actions import Target
from domain.alerts import Incident
from domain.codec import timestamp
from domain.memory import Precedent

Recall = Callable[..., Awaitable[Sequence[Precedent]]]
"""Journal.precedents."""

Open = Callable[[], Awaitable[Sequence[Incident]]]
"""The incidents that are open."""

HISTORY, RUNBOOKS, OPEN = "incident_history", "runbook_find", "incident_list"

Text = Annotated[str, Field(min_length=1, max_length=2000)]
Name = Annotated[str, Field(max_length=253)]


class History(Model):
    """What an earlier incident should be like."""

    text: Text = Field(description="The problem in words: alert, symptom, message")
    fingerprint: Name = Field("", description="The alert's fingerprint")
    namespace: Name = ""
    kind: Name = ""
    name: Name = ""


class Find(Model):
    """What a runbook should be for."""

    text: Text = Field(description="The problem in words")
    alertname: Name = ""
    severity: Name = ""
    namespace: Name = ""
    kind: Name = ""
    name: Name = ""


class Nothing(Model):
    """No arguments."""


def knowledge_tools(recall: Recall | None, runbooks: Runbooks | None, opened: Open | None) -> tuple[ReadTool, ...]:
    """The reads of what there is: a journal, runbooks."""
    tools: tuple[ReadTool, ...] = ()
    if recall is not None:
        tools += (_history(recall),)
    if opened is not None:
        tools += (_open(opened),)
    if runbooks is not None:
        tools += (_runbooks(runbooks),)
    return tools


def _history(recall: Recall) -> ReadTool:
    async def read(arguments: Arguments) -> Any:
        target = Target("kubernetes", "", arguments["namespace"], arguments["kind"], arguments["name"])
        found = await recall(
            fingerprint=arguments["fingerprint"],
            target_key=target.key if target.name else "",
            text=arguments["text"],
        )
        return {"precedents": [_precedent(one) for one in found]}

    return ReadTool(
        HISTORY,
        "Earlier incidents about a problem alike, from this agent's journal: what was wrong, what fixed it, whether it held.",
        History,
        lambda arguments: Target("incident"),
        read,
        _show_history,
    )


def _open(opened: Open) -> ReadTool:
    async def read(arguments: Arguments) -> Any:
        return {"incidents": [_incident(one) for one in await opened()]}

    return ReadTool(
        OPEN,
        "The incidents that are open now, of everything this agent looks after.",
        Nothing,
        lambda arguments: Target("incident"),
        read,
        _show_open,
    )


def _runbooks(runbooks: Runbooks) -> ReadTool:
    async def read(arguments: Arguments) -> Any:
        about = {name: value for name, value in arguments.items() if name != "text" and value}
        found = await asyncio.to_thread(runbooks.find, about, arguments["text"])
        return {"runbooks": [_runbook(one) for one in found]}

    return ReadTool(
        RUNBOOKS,
        "The team's own runbooks for a problem: what they say to check and to do. Cite the one that you follow.",
        Find,
        lambda arguments: Target("runbook"),
        read,
        _show_runbooks,
    )


def _precedent(one: Precedent) -> dict[str, Any]:
    return {
        "run": one.run_id,
        "incident": one.incident_id,
        "at": timestamp(one.at),
        "summary": one.summary,
        "cause": one.cause,
        "alike": one.alike,
        "likeness": one.likeness,
        "fix": one.fix,
        "outcome": one.outcome,
        "doubted": one.doubted,
    }


def _incident(one: Incident) -> dict[str, Any]:
    return {
        "incident": one.id,
        "title": one.title,
        "since": timestamp(one.opened_at),
        "severity": one.severity.value,
        "environment": one.target.environment,
        "system": one.target.system,
        "namespace": one.target.namespace,
        "kind": one.target.kind,
        "name": one.target.name,
    }


def _runbook(one: Found) -> dict[str, Any]:
    book = one.runbook
    return {
        "path": book.path,
        "title": book.title,
        "matched": list(one.by),
        "digest": book.digest,
        "steps": list(book.steps[:12]),
        "text": book.text[:MOST_TEXT],
    }


def _show_history(data: Any) -> str:
    lines = []
    for one in data["precedents"]:
        fix = f"Changed: {one['fix']}, {one['outcome']}." if one["fix"] else "Nothing was changed."
        doubt = " People called this diagnosis wrong." if one["doubted"] else ""
        where = one["incident"] or one["run"]
        lines.append(f"{one['at'][:16]} {where} ({one['alike']}): {one['summary']} {one['cause']} {fix}{doubt}")
    return "\n".join(lines) or "No earlier incident is like this one."


def _show_open(data: Any) -> str:
    lines = [
        f"{one['since'][:16]} {one['incident']} ({one['severity']}, {one['environment']}): {one['title']}"
        for one in data["incidents"]
    ]
    return "\n".join(lines) or "No incident is open."


def _show_runbooks(data: Any) -> str:
    parts = [
        f"# {one['title']} ({one['path']}, by {', '.join(one['matched']) or 'its words'})\n{one['text']}"
        for one in data["runbooks"]
    ]
    return "\n\n".join(parts) or "No runbook is for this."
