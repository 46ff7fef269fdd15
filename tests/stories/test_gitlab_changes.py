"""Changes in GitLab from a proposal to their end: the card shows the diff, a click sends it once, a lost answer is found."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bot.local.gitlab import GitLab
from bot.local.model import call
from domain.decisions import ExecutionOutcome
from domain.events import ExecutionFinished, ExecutionStarted, VerificationPassed
from domain.runs import RunOutcome
from tests.stories.telling import MARA, Story
from tests.stories.test_incident import words
from tests.stories.test_model import DONE, script, with_model

CHECKOUT = "shop/checkout"
WAIT: dict[str, Any] = {
    "project": CHECKOUT,
    "target_branch": "main",
    "title": "Wait 4 s for payments",
    "edits": [{"path": "checkout/config.yaml", "old": "timeout_ms: 2500", "new": "timeout_ms: 4000"}],
}


@dataclass(frozen=True)
class Shop:
    """The whole service with a model that proposes one change, and a GitLab."""

    gitlab: GitLab
    story: Story

    @property
    def sent(self) -> list[str]:
        """Every change that GitLab was asked for by the agent."""
        asked = [each for each in self.gitlab.asked if each.method != "GET" and "graphql" not in each.path]
        return [each.path.rpartition("/projects/shop%2Fcheckout/")[2] for each in asked]


@asynccontextmanager
async def proposing(folder: Path, gitlab: GitLab, tool: str, arguments: dict[str, Any]) -> AsyncIterator[Shop]:
    login = {"GITLAB_URL": gitlab.url, "GITLAB_TOKEN": gitlab.token}
    answers = script(call((tool, arguments)), call(("conclude", DONE | {"confidence": "likely", "evidence": []})))
    async with with_model(folder, answers, **login) as (story, _):
        await story.begin()
        yield Shop(gitlab, story)


async def test_a_merge_request_is_opened_after_a_click_with_the_diff_that_the_card_showed(tmp_path: Path) -> None:
    async with GitLab(speed=20) as gitlab, proposing(tmp_path, gitlab, "gitlab_open_merge_request", WAIT) as shop:
        approval = await shop.story.approval()
        card = words(await shop.story.thread())
        for shown in (
            "open a merge request in shop/checkout",
            "-timeout_ms: 2500\\n+timeout_ms: 4000\\n",
            "1 file",
            "no undo: close the merge request and delete its branch",
        ):
            assert shown in card, shown
        assert shop.sent == []
        await shop.story.press(MARA, approval)
        row = await shop.story.finished()
        assert row.outcome is RunOutcome.REMEDIATED
        assert shop.sent == ["repository/commits", "merge_requests"]
        [made] = gitlab.projects[CHECKOUT].merge_requests
        [started] = await shop.story.recorded(ExecutionStarted)
        assert made.source == f"personal-agent/{started.key}"
        [verified] = await shop.story.recorded(VerificationPassed)
        assert [check.name for check in verified.checks] == ["merge request is there", "its diff is what was approved"]
        assert f"Opened merge request !{made.iid} in shop/checkout" in words(await shop.story.thread())


async def test_a_merge_request_whose_answer_is_lost_is_found_by_its_branch(tmp_path: Path) -> None:
    async with GitLab(speed=20) as gitlab, proposing(tmp_path, gitlab, "gitlab_open_merge_request", WAIT) as shop:
        approval = await shop.story.approval()
        gitlab.fail("POST", "/merge_requests", "drop")
        await shop.story.press(MARA, approval)
        assert (await shop.story.finished()).outcome is RunOutcome.REMEDIATED
        [ended] = await shop.story.recorded(ExecutionFinished)
        assert ended.outcome is ExecutionOutcome.SUCCEEDED
        assert "the answer was lost, and the target shows" in ended.detail
        assert len(gitlab.projects[CHECKOUT].merge_requests) == 1


async def test_a_pipeline_runs_again_after_a_click_and_is_followed_until_it_is_green(tmp_path: Path) -> None:
    async with GitLab(speed=20) as gitlab:
        line = await gitlab.finished(gitlab.flake())
        arguments = {"project": CHECKOUT, "pipeline": line.id}
        async with proposing(tmp_path, gitlab, "gitlab_retry_pipeline", arguments) as shop:
            approval = await shop.story.approval()
            assert "retry pipeline of shop/checkout" in words(await shop.story.thread())
            await shop.story.press(MARA, approval)
            assert (await shop.story.finished()).outcome is RunOutcome.REMEDIATED
            assert shop.sent == [f"pipelines/{line.id}/retry"]
            assert line.status in ("success", "manual")


async def test_a_branch_that_moved_since_the_card_is_asked_about_again(tmp_path: Path) -> None:
    async with GitLab(speed=20) as gitlab, proposing(tmp_path, gitlab, "gitlab_open_merge_request", WAIT) as shop:
        approval = await shop.story.approval()
        gitlab.push(CHECKOUT, {"README.md": b"# other\n"}, "Other")
        await shop.story.press(MARA, approval)
        again = await shop.story.approval(after=approval.request.id)
        assert again.request.supersedes == approval.request.id
        assert shop.sent == []
