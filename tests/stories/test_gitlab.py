"""GitLab from its webhook to the end: a revert for what is broken, a retry for what is flaky, and releases by their risk."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bot.commands.stage import Ci, stage
from bot.local.gitlab import Job, Pipeline
from bot.local.scenarios_ci import CI_SCENARIOS, CiScenario
from domain.decisions import Approval, ApprovalState, Outcome
from domain.events import DecisionMade, FindingsReported, IncidentResolved, VerificationFailed, VerificationPassed
from domain.runs import RunOutcome
from tests.stories.telling import MARA, Story, Watch

SCENARIO = {each.name: each for each in CI_SCENARIOS}


@dataclass(frozen=True)
class Tale:
    """The whole service, a GitLab and a Prometheus, and somebody who plays the people of GitLab."""

    story: Story
    ci: Ci
    playing: asyncio.Task[None]

    async def approved(self, *, after: str = "") -> Approval:
        """The next request, with Mara's yes."""
        asked = await self.story.approval(after=after)
        await self.story.press(MARA, asked)
        return asked

    @property
    def newest(self) -> Pipeline:
        return max(self.ci.gitlab.delivered.pipelines.values(), key=lambda line: line.id)

    def job(self, name: str) -> Job:
        return next(each for each in self.newest.latest if each.name == name)


@asynccontextmanager
async def tale(folder: Path, name: str, **settings: str) -> AsyncIterator[Tale]:
    watch, scenario = Watch(), SCENARIO[name]
    async with stage(folder, speed=4.0, interval_s=3600, clock=watch.now, ci=True, **settings) as world:
        assert world.ci is not None
        playing = asyncio.create_task(scenario.play(world.ci.gitlab, world.ci.prometheus))
        try:
            yield Tale(Story(world, watch), world.ci, playing)
        finally:
            playing.cancel()
            await asyncio.gather(playing, return_exceptions=True)


def words(messages: list[Any]) -> str:
    return "\n".join(str(message) for message in messages)


async def test_a_broken_commit_is_reverted_by_a_merge_request_that_people_merge(tmp_path: Path) -> None:
    async with tale(tmp_path, "pipeline") as it:
        asked = await it.approved()
        assert asked.request.action.tool == "gitlab_open_merge_request"
        assert "-    return net + net * RATES.get(region, 0) // 1000" in asked.request.action.diff
        row = await it.story.finished()
        assert row.outcome is RunOutcome.REMEDIATED
        incident = await it.story.resolved()
        assert "of shop/checkout (main) failed" in incident.title
        thread = words(await it.story.thread())
        for said in ("test_total_with_regional_tax", "Unknown regions pay no tax", "Priya Nair"):
            assert said in thread, said
        assert it.ci.gitlab.projects["shop/checkout"].merge_requests[0].state == "merged"


async def test_a_flaky_pipeline_is_run_again_after_a_click(tmp_path: Path) -> None:
    async with tale(tmp_path, "flaky") as it:
        asked = await it.approved()
        assert asked.request.action.tool == "gitlab_retry_pipeline"
        assert (await it.story.finished()).outcome is RunOutcome.REMEDIATED
        await it.story.resolved()
        assert "at the same commit" in words(await it.story.thread())


async def test_the_risk_and_policy_send_a_release_by_a_canary_and_the_watch_promotes_it(tmp_path: Path) -> None:
    async with tale(tmp_path, "release") as it:
        canary = await it.approved()
        assert canary.request.action.arguments["environment"] == "production/canary"
        refused = [one for one in await it.story.recorded(DecisionMade) if one.decision.outcome is Outcome.DENY]
        assert [(one.action.arguments["environment"], one.decision.rule) for one in refused] == [
            ("production", "release-canary-first")
        ]
        assert it.job("deploy-production").status == "manual", "nothing was deployed whole"
        whole = await it.approved(after=canary.request.id)
        assert whole.request.action.arguments["environment"] == "production"
        assert (await it.story.finished()).outcome is RunOutcome.REMEDIATED
        await it.story.resolved()
        passed = await it.story.recorded(VerificationPassed)
        assert [one.checks[-1].name for one in passed] == ["the canary's errors", "errors after the release"]
        [found] = await it.story.recorded(FindingsReported)
        assert 30 <= found.findings[0].facts["risk"] < 60
        thread = words(await it.story.thread())
        for said in ("Released after a canary", "Migration 15 of 30", "Error budget 0 of 30", "a canary goes first"):
            assert said in thread, said


async def test_a_canary_that_does_not_do_well_is_taken_back_and_never_promoted(tmp_path: Path) -> None:
    async with tale(tmp_path, "bad-canary") as it:
        canary = await it.approved()
        back = await it.approved(after=canary.request.id)
        assert back.request.action.facts["deployed_before"] is True
        row = await it.story.finished()
        assert (row.outcome, row.reason) == (RunOutcome.NOT_REMEDIATED, "the change did not hold, and was taken back")
        [failed] = await it.story.recorded(VerificationFailed)
        assert "9 % against 0.2 %" in failed.checks[-1].detail
        await it.story.until(resolved_by_a_newer_one(it))
        old = min(
            (made for made in it.ci.gitlab.delivered.pipelines.values() if made.id >= 4127), key=lambda line: line.id
        )
        assert next(job for job in old.latest if job.name == "deploy-production").status == "manual"
        assert "Taken back" in words(await it.story.thread()) or len(await it.story.journal.incidents()) == 2


def resolved_by_a_newer_one(it: Tale):  # type: ignore[no-untyped-def]
    async def look() -> bool:
        reasons = [one.reason for one in await it.story.recorded(IncidentResolved)]
        return any("takes its place" in reason for reason in reasons)

    return look


async def test_a_release_of_much_risk_is_held_and_nothing_is_asked(tmp_path: Path) -> None:
    async with tale(tmp_path, "release") as it:
        it.playing.cancel()
        it.ci.prometheus.tell("orders", lambda at: [({}, 0.02)])  # the error budget is used up four times over
        it.ci.gitlab.release_with_migration()
        row = await it.story.finished()
        assert row.outcome is RunOutcome.DIAGNOSED
        assert not await it.story.journal.approvals()
        assert it.job("deploy-canary").status == "manual"
        thread = words(await it.story.thread())
        assert "Held: orders" in thread
        assert "Deploy the migration by itself" in thread


async def test_a_release_that_a_person_denies_is_left_alone(tmp_path: Path) -> None:
    async with tale(tmp_path, "release") as it:
        asked = await it.story.approval()
        await it.story.press(MARA, asked, "deny")
        room = it.story.stage.workspace
        view = await room.until(lambda: next(iter(room.views(MARA)), None))
        block = next(block for block in view["blocks"] if block["type"] == "input")
        await room.submit(MARA, view["id"], {block["block_id"]: {block["element"]["action_id"]: "not before Monday"}})
        denied = await it.story.approval(ApprovalState.DENIED)
        assert denied.request.id == asked.request.id
        await it.story.finished()
        assert it.job("deploy-canary").status == "manual"


def test_every_scenario_says_what_it_expects() -> None:
    names = [each.name for each in CI_SCENARIOS]
    assert len(set(names)) == len(names)
    assert all(isinstance(each, CiScenario) and each.expected_tools for each in CI_SCENARIOS)
