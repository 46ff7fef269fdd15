"""`personal-agent runs [RUN]`: recent runs, or one run step by step."""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Sequence

from bot.config import load
from domain import events
from domain.codec import encode, timestamp
from domain.errors import AgentError
from domain.events import Envelope, body_of
from domain.ports import RunRow
from storage.reader import read_journal, workspaces_in


def run(options: argparse.Namespace) -> int:
    """Print rows, or a run's events."""
    path = load().agent_database
    for workspace in workspaces_in(path):
        if asyncio.run(_print(path, workspace, options)):
            return 0
    if options.run:
        raise AgentError(f"there is no run {options.run} in {path}; `personal-agent runs` lists them")
    return 0


async def _print(path: str, workspace: str, options: argparse.Namespace) -> bool:
    """Whether the wanted run was in this workspace."""
    async with read_journal(path, workspace) as journal:
        if not options.run:
            _print_rows(await journal.runs(), as_json=options.json)
            return False
        found = await journal.of_run(options.run)
    if found:
        print("\n".join(_as_json(envelope) if options.json else line(envelope) for envelope in found))
    return bool(found)


def _print_rows(rows: Sequence[RunRow], *, as_json: bool) -> None:
    for row in rows:
        if as_json:
            print(json.dumps(encode(row), ensure_ascii=False))
        else:
            ended = row.outcome.value if row.outcome else row.status.value
            print(
                f"{row.spec.id}  {row.started_at:%Y-%m-%d %H:%M:%S}  {ended:<14} {row.steps:>2} steps  {row.spec.target}"
            )


def _as_json(envelope: Envelope) -> str:
    body = {
        "seq": envelope.seq,
        "at": timestamp(envelope.at),
        "actor": envelope.actor,
        "kind": type(envelope.event).__name__,
    }
    return json.dumps({**body, "body": body_of(envelope.event)}, ensure_ascii=False)


def line(envelope: Envelope) -> str:
    """One event in a line."""
    words = _words(envelope.event).replace("\n", " ")
    kind = type(envelope.event).__name__
    return f"{envelope.seq:>6} {envelope.at:%H:%M:%S.%f} {envelope.actor:<18.18} {kind:<20} {words[:160]}"


def _words(event: events.Event) -> str:
    match event:
        case events.RunStarted(spec):
            return f"{spec.origin.value} on {spec.target}, model {spec.model}, mode {spec.mode.value}"
        case events.FindingsReported(findings, took_ms):
            return f"{took_ms} ms: " + ("; ".join(finding.title for finding in findings) or "nothing wrong")
        case events.StepPlanned(step, _, answer):
            return f"step {step}: {answer.text or ', '.join(call.tool for call in answer.calls) or 'concluded'}"
        case events.DecisionMade(_, action, decision):
            return f"{action.tool} on {action.target}: {decision.outcome.value} by {decision.rule or 'no rule'}"
        case events.ToolCallFinished(result):
            outcome = "ok" if result.ok else "failed"
            return f"{result.evidence_id or '–'} {result.tool} {outcome}, {result.took_ms} ms: {result.text}"
    return _words_of_change(event)


def _words_of_change(event: events.Event) -> str:
    match event:
        case events.ApprovalRequested(request):
            return f"{request.id} {request.action.tool} on {request.action.target}, digest {request.digest[:12]}"
        case events.VoteCast(approval_id, vote):
            return f"{approval_id} {vote.verdict.value} by {vote.name or vote.user} {vote.reason}"
        case events.ExecutionStarted(execution_id, _, action):
            return f"{execution_id} {action.tool} on {action.target}"
        case events.ExecutionFinished(_, outcome, detail):
            return f"{outcome.value}: {detail}"
        case events.VerificationPassed(_, checks) | events.VerificationFailed(_, checks):
            return "; ".join(f"{check.name}: {check.detail}" for check in checks)
        case events.DiagnosisConcluded(diagnosis):
            return f"{diagnosis.confidence.value} by {diagnosis.by}: {diagnosis.summary}"
        case events.SecondLookTaken(model, look):
            return f"{model}: {look.verdict} {look.reason}"
        case events.RunFinished(outcome, reason):
            return f"{outcome.value}: {reason}"
    return ""
