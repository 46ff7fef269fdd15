"""A tool of an MCP server on the whole stage: proposed, asked for by policy, approved, executed, verified, journalled."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from bot.local.model import call
from domain.decisions import ExecutionOutcome, Outcome
from domain.events import DecisionMade, ExecutionFinished, ToolCallFinished, VerificationPassed
from tests.stories.telling import MARA
from tests.stories.test_incident import words
from tests.stories.test_model import DONE, script, with_model

ROOT = Path(__file__).parents[2]
SERVERS = f"""
servers:
  notes:
    command: [{sys.executable}, -m, tests.contracts.mcp_server]
    env: {{PYTHONPATH: {ROOT}, NOTES_TOKEN: $NOTES_TOKEN}}
    tools:
      find_note: {{effect: read}}
      secret: {{effect: read}}
      write_note:
        effect: write
        parameters:
          type: object
          title: write_noteArguments
          properties: {{name: {{title: Name, type: string}}, text: {{title: Text, type: string}}}}
          required: [name, text]
        probe: {{tool: find_note, arguments: {{name: "{{name}}"}}, contains: "{{text}}"}}
"""
POLICY = """
groups: {approvers: $AGENT_APPROVERS}
rules:
  - {id: look, decision: allow, match: {effects: [read]}}
  - id: notes
    decision: ask
    match: {tools: [mcp_notes_write_note]}
    when: args.name.startsWith("incident")
    approval: {groups: [approvers]}
    reason: A note is read by everybody.
"""


async def test_a_strangers_tool_passes_policy_a_person_and_its_probe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTES_TOKEN", "n0tes-t0ken-of-the-server")
    (tmp_path / "mcp.yaml").write_text(SERVERS)
    (tmp_path / "policy").mkdir()
    (tmp_path / "policy" / "policy.yaml").write_text(POLICY)
    answers = script(
        call(("mcp_notes_find_note", {"name": "runbook"}), ("mcp_notes_secret", {})),
        call(
            ("mcp_notes_drop_everything", {}), ("mcp_notes_write_note", {"name": "incident-1", "text": "rolled back"})
        ),
        call(("conclude", DONE)),
    )
    settings = {"AGENT_MCP": str(tmp_path / "mcp.yaml"), "AGENT_POLICY": str(tmp_path / "policy")}
    async with with_model(tmp_path, answers, **settings) as (story, server):
        await story.begin()
        approval = await story.approval()
        assert approval.request.action.tool == "mcp_notes_write_note"
        await story.press(MARA, approval)
        await story.finished()
        decided = {event.action.tool: event.decision for event in await story.recorded(DecisionMade)}
        assert decided["mcp_notes_drop_everything"].outcome is Outcome.DENY, "no rule speaks of it"
        [finished] = await story.recorded(ExecutionFinished)
        [verified] = await story.recorded(VerificationPassed)
        assert finished.outcome is ExecutionOutcome.SUCCEEDED
        assert verified.checks[0].detail == "'rolled back' is in its answer"
        read = {event.result.tool: event.result for event in await story.recorded(ToolCallFinished)}
        assert read["mcp_notes_find_note"].data["text"] == "restart the cart"
        assert "n0tes-t0ken-of-the-server" not in str(read["mcp_notes_secret"])
        assert "n0tes-t0ken-of-the-server" not in str(server.requests)
        assert "mcp_notes_write_note" in words(await story.thread())
