"""A silence from the model's proposal to the real Alertmanager: asked, approved, made once, seen to hold, and taken back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from bot.local.model import KEY, ModelServer, call
from domain.decisions import Outcome
from domain.events import DecisionMade, ExecutionFinished, ToolCallFinished, VerificationPassed
from domain.plane import Question
from domain.runs import Origin, RunOutcome
from tests.contracts.test_alertmanager_silence import CONFIG, fire, silences
from tests.real_monitors import alertmanager, needs_both
from tests.stories.telling import MARA, Story, telling
from tests.stories.test_incident import words
from tests.stories.test_model import script

pytestmark = needs_both

NOISY = {
    "matchers": [{"name": "alertname", "value": "Noisy"}, {"name": "namespace", "value": "shop"}],
    "comment": "known",
}
DONE = {"summary": "It is noise.", "cause": "A node is being replaced.", "confidence": "likely", "evidence": []}


@asynccontextmanager
async def quiet(folder: Path, **arguments: object) -> AsyncIterator[tuple[Story, str]]:
    """A stage whose model proposes a silence, beside a real Alertmanager in which three alerts fire."""
    answers = script(call(("alertmanager_silence", {**NOISY, **arguments})), call(("conclude", DONE)))
    async with ModelServer(answers) as server:
        with alertmanager(folder, CONFIG) as url:
            await fire(url, "Noisy", pods=3)
            settings = {"AGENT_MODEL": "openai", "OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": server.url}
            async with telling(folder, **settings, OPENAI_MODEL="stand-in", ALERTMANAGER_URL=url) as story:
                yield story, url


async def asked(story: Story) -> None:
    channel = story.stage.workspace.channel("incidents")
    await story.plane.ask(Question("Can you silence Noisy?", "U07PRIYA001", channel, Origin.MENTION, key="q1"))


async def test_an_approved_silence_holds_and_its_undo_ends_it(tmp_path: Path) -> None:
    async with quiet(tmp_path, minutes=30) as (story, url):
        await asked(story)
        approval = await story.approval()
        action = approval.request.action
        assert (action.tool, action.touches, action.target.environment) == ("alertmanager_silence", 3, "production")
        assert await silences(url, "Noisy") == []
        await story.press(MARA, approval)
        assert (await story.finished()).outcome is RunOutcome.REMEDIATED
        [done] = await story.recorded(ExecutionFinished)
        [made] = await silences(url, "Noisy")
        assert (made["createdBy"], made["status"]["state"]) == (f"personal-agent/{done.execution_id}", "active")
        [verified] = await story.recorded(VerificationPassed)
        assert [check.detail for check in verified.checks][1] == "3 of 3"

        await story.plane.propose_undo(approval.request.id, "U07JONAS001")
        undo = await story.approval(after=approval.request.id)
        assert undo.request.action.arguments["expire"] is True
        await story.press(MARA, undo)
        await story.finished()
        [made] = await silences(url, "Noisy")
        assert made["status"]["state"] == "expired"


async def test_a_silence_that_is_too_long_is_denied_and_nobody_is_asked(tmp_path: Path) -> None:
    async with quiet(tmp_path, minutes=600) as (story, url):
        await asked(story)
        await story.finished()
        decided = [event for event in await story.recorded(DecisionMade) if event.action.tool == "alertmanager_silence"]
        assert [event.decision.outcome for event in decided] == [Outcome.DENY]
        told = [event.result.text for event in await story.recorded(ToolCallFinished)]
        assert any("denied by policy (rule silence-briefly-and-little)" in text for text in told)
        assert await silences(url, "Noisy") == []
        assert await story.journal.approvals() == []


async def test_the_card_shows_what_would_be_hidden(tmp_path: Path) -> None:
    async with quiet(tmp_path, minutes=30) as (story, _):
        await asked(story)
        approval = await story.approval()
        message = await story.journal.message(f"approval:{approval.request.id}")
        shown = words([{"text": message.text, "blocks": list(message.blocks)}]).replace("\\n", "\n")
        assert "silence" in message.text
        for part in ("Noisy", "30 min", "hides 3 alerts now", "this agent included"):
            assert part in shown
