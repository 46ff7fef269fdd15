"""A red build from Jenkins' webhook to its end: findings that name commit, stage, step and test; a rebuild only where flaky."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bot.local.jenkins import REFUND, TAX, Jenkins, commit
from bot.local.jenkins.world import JONAS, MARA as MARA_IN_GIT
from domain.decisions import ExecutionOutcome
from domain.events import (
    AlertReceived,
    ApprovalRequested,
    DiagnosisConcluded,
    ExecutionFinished,
    ExecutionStarted,
    FindingsReported,
    IncidentOpened,
    IncidentResolved,
    RunStarted,
    VerificationPassed,
)
from domain.runs import RunOutcome
from tests.stories.telling import MARA, Story, telling

TOKEN = "the-webhooks-token-0123456789"
PAYMENTS, CHECKOUT = "shop/payments/main", "shop/checkout/main"


@dataclass(frozen=True)
class Ci:
    """The whole service, and a Jenkins whose jobs tell it of their builds."""

    jenkins: Jenkins
    story: Story

    @property
    def asked_for(self) -> list[str]:
        """Every change that the agent asked Jenkins for."""
        return [asked.path for asked in self.jenkins.asked if asked.method == "POST"]


@asynccontextmanager
async def telling_ci(folder: Path, **settings: str) -> AsyncIterator[Ci]:
    """A story on a quick stage with a quick Jenkins."""
    async with Jenkins(speed=10) as jenkins:
        login = {"JENKINS_URL": jenkins.url, "JENKINS_USER": jenkins.agent.id, "JENKINS_TOKEN": jenkins.agent.token}
        async with telling(folder, AGENT_ALERT_TOKEN=TOKEN, **login, **settings) as story:
            hook = story.stage.app.url.replace("http://", f"http://jenkins:{TOKEN}@") + "/hooks/jenkins"
            for path in (PAYMENTS, CHECKOUT, "shop/cart"):
                jenkins.job(path).hooks.append(hook)
            yield Ci(jenkins, story)


def words(messages: list[Any]) -> str:
    return "\n".join(str(message) for message in messages)


async def test_a_flaky_build_is_rebuilt_after_a_click_and_its_green_end_resolves_the_incident(tmp_path: Path) -> None:
    async with telling_ci(tmp_path) as ci:
        ci.jenkins.push(PAYMENTS, commit(JONAS, "Round the fee", "payments/fee.py"))
        approval = await ci.story.approval()
        action = approval.request.action
        assert (action.tool, action.target.place) == ("jenkins_trigger", f"jenkins:{PAYMENTS}")
        assert action.arguments == {"job": PAYMENTS, "parameters": {}, "rebuild": 92}
        assert ci.asked_for == []
        card = words(await ci.story.thread())
        assert "Approval needed: start build of shop/payments/main" in card
        assert "1 build" in card
        await ci.story.press(MARA, approval)
        incident = await ci.story.resolved()
        row = await ci.story.finished()
        assert row.outcome is RunOutcome.REMEDIATED
        assert incident.title == f"Build {PAYMENTS} #92 failed"
        assert ci.asked_for == ["/job/shop/job/payments/job/main/buildWithParameters"]
        [started] = await ci.story.recorded(ExecutionStarted)
        again = ci.jenkins.job(PAYMENTS).builds[-1]
        assert (again.number, again.result) == (93, "SUCCESS")
        assert again.parameters == {"PERSONAL_AGENT_KEY": started.key}
        order = (
            AlertReceived, IncidentOpened, RunStarted, FindingsReported, ApprovalRequested, ExecutionStarted,
            VerificationPassed, DiagnosisConcluded,
        )  # fmt: skip
        assert list(dict.fromkeys(type(event) for event in await ci.story.recorded(*order))) == list(order)
        [resolved] = await ci.story.recorded(IncidentResolved)
        assert "jenkins" in resolved.reason
        thread = words(await ci.story.thread())
        for said in (
            REFUND,
            "failed in #88 and passed in #89 at the same commit",
            "Test / Shell Script",
            "#93 ended SUCCESS",
        ):
            assert said in thread, said


async def test_a_broken_build_names_commit_stage_step_and_test_and_proposes_no_second_try(tmp_path: Path) -> None:
    async with telling_ci(tmp_path) as ci:
        rounding = commit(MARA_IN_GIT, "Round regional taxes half up", "Tax.java", breaks=[TAX])
        ci.jenkins.push(CHECKOUT, rounding)
        await ci.jenkins.built(CHECKOUT, 234)
        row = await ci.story.finished()
        assert row.outcome is RunOutcome.DIAGNOSED
        [findings] = await ci.story.recorded(FindingsReported)
        assert findings.findings[0].code == "build.broken_test"
        assert findings.took_ms < 2000
        assert await ci.story.recorded(ApprovalRequested) == []
        assert ci.asked_for == []
        thread = words(await ci.story.thread())
        for said in (
            TAX,
            "fails in Test",
            "./gradlew --console=plain test",
            rounding.id[:12],
            MARA_IN_GIT,
            "expected: <10.70>",
        ):
            assert said in thread, said
        ci.jenkins.push(CHECKOUT, commit(MARA_IN_GIT, "Revert the rounding", "Tax.java", fixes=[TAX]))
        assert not (await ci.story.resolved()).open


async def test_a_lost_answer_ends_in_one_build_that_is_found_by_its_key(tmp_path: Path) -> None:
    async with telling_ci(tmp_path) as ci:
        ci.jenkins.push(PAYMENTS, commit(JONAS, "Round the fee", "payments/fee.py"))
        approval = await ci.story.approval()
        ci.jenkins.faults.add("POST", "buildWithParameters", "lose")
        await ci.story.press(MARA, approval)
        await ci.story.resolved()
        assert (await ci.story.finished()).outcome is RunOutcome.REMEDIATED
        [ended] = await ci.story.recorded(ExecutionFinished)
        assert ended.outcome is ExecutionOutcome.SUCCEEDED
        assert "the answer was lost, and the target shows" in ended.detail
        assert [build.number for build in ci.jenkins.job(PAYMENTS).builds if build.number > 91] == [92, 93]


async def test_after_somebody_elses_build_the_click_builds_nothing_and_the_card_asks_again(tmp_path: Path) -> None:
    async with telling_ci(tmp_path) as ci:
        ci.jenkins.push(PAYMENTS, commit(JONAS, "Round the fee", "payments/fee.py"))
        approval = await ci.story.approval()
        ci.jenkins.job(PAYMENTS).hooks.clear()
        ci.jenkins.started_by(PAYMENTS, JONAS)
        await ci.jenkins.built(PAYMENTS, 93)
        await ci.story.press(MARA, approval)
        again = await ci.story.approval(after=approval.request.id)
        assert again.request.supersedes == approval.request.id
        assert ci.asked_for == []


async def test_a_build_that_was_stopped_opens_nothing(tmp_path: Path) -> None:
    async with telling_ci(tmp_path) as ci:
        ci.jenkins.engine.hold()
        ci.jenkins.push("shop/cart", commit(JONAS, "Slow", "a.java"))
        await ci.jenkins.until(lambda: ci.jenkins.job("shop/cart").builds[-1].building)
        ci.jenkins.engine.stop(ci.jenkins.job("shop/cart").builds[-1], JONAS)
        await ci.jenkins.built("shop/cart", 79)
        await ci.jenkins.until_notified(3)
        assert await ci.story.journal.incidents() == []


async def test_a_question_about_a_job_by_its_link_is_answered_from_jenkins(tmp_path: Path) -> None:
    async with telling_ci(tmp_path) as ci:
        link = f"{ci.jenkins.url}/job/shop/job/checkout/job/feature%252Fregional-taxes/4/"
        await ci.story.stage.workspace.command(MARA, "incidents", f"diagnose {link}")
        await ci.story.finished()
        [concluded] = await ci.story.recorded(DiagnosisConcluded)
        assert "fails since #3" in concluded.diagnosis.cause
        assert "Round regional taxes half up" in concluded.diagnosis.cause


async def test_a_build_that_takes_its_time_keeps_no_other_incident_waiting_and_can_be_taken_back(
    tmp_path: Path,
) -> None:
    async with telling_ci(tmp_path, AGENT_WORKERS="1") as ci:
        ci.jenkins.push(PAYMENTS, commit(JONAS, "Round the fee", "payments/fee.py"))
        rebuild = await ci.story.approval()
        ci.jenkins.engine.hold()
        await ci.story.press(MARA, rebuild)
        await ci.jenkins.until(lambda: ci.jenkins.job(PAYMENTS).builds[-1].number == 93)
        await ci.story.begin()
        rollback = await ci.story.approval(after=rebuild.request.id)
        assert rollback.request.action.tool == "kubernetes_rollback"
        room = ci.story.stage.workspace
        await room.command(MARA, "incidents", f"undo {rebuild.request.run_id}")
        undo = await ci.story.approval(after=rollback.request.id)
        assert (undo.request.action.tool, undo.request.action.observed["build"]) == ("jenkins_abort", 93)
        await ci.story.press("Jonas Weber", undo)
        assert (await ci.jenkins.built(PAYMENTS, 93)).result == "ABORTED"
        assert [path.rpartition("/")[2] for path in ci.asked_for] == ["buildWithParameters", "stop"]
