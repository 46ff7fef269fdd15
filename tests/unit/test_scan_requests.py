"""What people ask of scans and findings: who may, what is begun once, what a proposal's run is, and a look that is too late."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from bot import scans
from bot.agent.loop import advance
from bot.agent.telling import tell
from bot.tools import unconnected
from bot.tools.spec import Model, ReadTool
from domain.actions import Mode, Target
from domain.decisions import Actor, ApprovalState, Verdict
from domain.diagnosis import Confidence, Finding, Proposal
from domain.errors import BadInput, NotAllowed
from domain.events import Draft, FindingSnoozed, FindingsReported, RunStarted
from domain.fold import fold
from domain.runs import Origin, RunOutcome
from domain.scans import CONFIGURATION, key_of
from domain.work import WorkKind
from policies.policy import load
from policies.schema import ToolSchema
from tests.unit.journeys import RULES, SECRET, Place, forever, place
from tests.unit.test_scan_findings import found

CHANGE = Proposal("turn", {"name": "a", "to": 1}, "Nobody needs more.")
WASTE = replace(found(why="Uses little."), proposal=CHANGE)
LEFT = found("config.unused")


@dataclass
class Desk:
    """A place after a scan that found something."""

    place: Place
    scan: str

    async def propose(self, finding: Finding = WASTE, user: str = "U9") -> str:
        return await scans.propose(self.place.world, Mode.PROPOSE, key_of(finding), user, self.place.now())

    async def snooze(self, finding: Finding = WASTE, user: str = "U9", owner: str = "U2", days: int = 7) -> None:
        until, now = self.place.now().date() + timedelta(days=days), self.place.now()
        await scans.snooze(self.place.world, key_of(finding), user, owner, until, f"it is {SECRET}", now)

    async def later(self, *findings: Finding) -> None:
        run_id = await begin(self.place, key="later")
        assert run_id
        await self.place.record(FindingsReported(findings, 1), run_id=run_id)


async def begin(at: Place, *, key: str = "first", user: str = "U9", namespace: str = "") -> str:
    return await scans.begin(at.world, Mode.PROPOSE, user=user, channel="C1", namespace=namespace, key=key)


@asynccontextmanager
async def desk(folder: Path) -> AsyncIterator[Desk]:
    async with place(folder) as at:
        run_id = await begin(at)
        await at.record(FindingsReported((WASTE, LEFT), 1), run_id=run_id)
        yield Desk(at, run_id)


# --- beginning


async def test_a_scan_that_is_asked_for_twice_with_one_key_begins_once(tmp_path: Path) -> None:
    async with place(tmp_path) as at:
        first, again = await begin(at), await begin(at)
        assert first.startswith("run-")
        assert again == ""
        assert await begin(at, key="second") != first


@pytest.mark.parametrize("namespace", ["Shop", "a/b", "-x", "x" * 64, "shop; rm"])
async def test_what_cannot_be_a_namespace_is_refused(tmp_path: Path, namespace: str) -> None:
    async with place(tmp_path) as at:
        with pytest.raises(BadInput):
            await begin(at, namespace=namespace)


async def test_a_scan_is_a_run_of_the_rules_by_the_person_or_the_clock(tmp_path: Path) -> None:
    async with place(tmp_path) as at:
        ids = [await begin(at), await begin(at, key="weekly:2026-W48", user="")]
        specs = [fold(await at.journal.of_run(run_id)).spec for run_id in ids]
        assert [(one.origin, one.requester, one.model) for one in specs] == [
            (Origin.COMMAND, "U9", "rules"),
            (Origin.SCHEDULE, "", "rules"),
        ]
        assert {one.work for one in specs} == {WorkKind.CONFIGURATION_FINDING}


# --- proposing


async def test_a_proposal_passes_the_gate_waits_for_somebody_else_and_counts_as_a_configuration_finding(
    tmp_path: Path,
) -> None:
    async with desk(tmp_path) as at:
        run_id = await at.propose()
        waiting = await advance(at.place.world, run_id)
        assert at.place.plant.executed == []
        assert waiting.findings is not None
        [told] = waiting.findings
        assert (told.evidence, told.facts["confidence"]) == ((), Confidence.LIKELY.value)
        assert told.detail.endswith(f"Found by {at.scan}, evidence E1.")
        with pytest.raises(NotAllowed):
            await at.place.vote(user="U9")
        approval = await at.place.vote(user="U1")
        assert approval.state is ApprovalState.APPROVED
        done = await advance(at.place.world, run_id)
        assert (done.outcome, at.place.plant.executed) == (RunOutcome.REMEDIATED, [("a", 1)])
        assert done.spec.work is WorkKind.CONFIGURATION_FINDING


SIZED = replace(
    found(why="Uses little.", manifest={"project": "shop/deploy", "branch": "main", "path": "orders/deployment.yaml"}),
    title="orders: memory 1Gi → 64Mi",
    proposal=Proposal(
        "kubernetes_set_resources",
        {
            "namespace": "shop",
            "kind": "Deployment",
            "name": "orders",
            "container": "orders",
            "requests": {"memory": "64Mi"},
        },
        "Its pods are replaced one after the other.",
    ),
)


def test_where_the_manifest_is_kept_in_gitlab_the_change_is_a_merge_request_there() -> None:
    made = scans.in_repository(SIZED, ["gitlab_open_merge_request"])
    assert made is not None
    assert made.tool == "gitlab_open_merge_request"
    understood = {tool.name: tool for tool in unconnected(lambda *_: "production")}[made.tool].understand(
        made.arguments
    )
    assert understood.arguments["target_branch"] == "main"
    assert understood.arguments["resources"] == [
        {
            "path": "orders/deployment.yaml", "kind": "Deployment", "namespace": "shop", "name": "orders",
            "container": "orders", "requests": {"memory": "64Mi"}, "limits": {},
        }
    ]  # fmt: skip


@pytest.mark.parametrize(
    "finding",
    [WASTE, replace(SIZED, proposal=None), replace(SIZED, facts={}), replace(SIZED, facts={"manifest": "shop/deploy"})],
)
def test_any_other_change_is_made_where_it_was_found(finding: Finding) -> None:
    assert scans.in_repository(finding, ["gitlab_open_merge_request"]) is None


def test_without_gitlab_the_change_is_made_in_the_cluster() -> None:
    assert scans.in_repository(SIZED, ["kubernetes_set_resources"]) is None


async def test_a_denied_proposal_is_not_made_again_in_its_run(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        run_id = await at.propose()
        await advance(at.place.world, run_id)
        await at.place.vote(Verdict.DENY, user="U1", reason="not now")
        done = await advance(at.place.world, run_id)
        assert (done.outcome, len(done.approvals)) == (RunOutcome.NOT_REMEDIATED, 1)


async def test_a_finding_is_proposed_once_a_day(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        await at.propose()
        with pytest.raises(BadInput, match="proposed today already"):
            await at.propose(user="U1")
        at.place.ahead = timedelta(days=1)
        assert await at.propose()


async def test_a_finding_without_a_change_says_that_it_is_done_by_hand(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        with pytest.raises(BadInput, match="by hand"):
            await at.propose(LEFT)


async def test_what_a_later_scan_no_longer_finds_is_neither_proposed_nor_snoozed(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        await at.later(LEFT)
        for doing in (at.propose, at.snooze):
            with pytest.raises(BadInput, match="no longer finds"):
                await doing()


async def test_guests_may_nothing_and_where_slack_is_silent_nobody_may(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        at.place.club.guests.add("U7")
        for doing in (at.propose, at.snooze):
            with pytest.raises(NotAllowed, match="full members"):
                await doing(user="U7")
        at.place.club.silent = True
        for doing in (at.propose, at.snooze):
            with pytest.raises(NotAllowed, match="who you are"):
                await doing()
        assert len(await at.place.journal.runs()) == 2


# --- snoozing


async def test_a_snooze_ends_when_its_day_begins_and_its_reason_has_no_secrets(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        await at.snooze(days=7)
        [event] = await at.place.events(FindingSnoozed)
        assert (event.owner, event.until.date(), event.until.hour) == (
            "U2",
            at.place.now().date() + timedelta(days=7),
            0,
        )
        assert SECRET not in event.reason
        run, known = at.place.chat.scans[-1]
        assert run.spec.id == at.scan
        assert [one.snoozed(at.place.now()) for one in known] == [True, False]


async def test_who_names_no_owner_is_it(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        await at.snooze(owner="")
        [event] = await at.place.events(FindingSnoozed)
        assert event.owner == "U9"


@pytest.mark.parametrize("days", [-1, 0, 367, 100_000])
async def test_a_snooze_is_for_a_day_at_least_and_a_year_at_most(tmp_path: Path, days: int) -> None:
    async with desk(tmp_path) as at:
        with pytest.raises(BadInput, match="at most"):
            await at.snooze(days=days)
        assert await at.place.events(FindingSnoozed) == []


async def test_no_day_at_all_is_refused_too(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        with pytest.raises(BadInput):
            await scans.snooze(at.place.world, key_of(WASTE), "U9", "", date.min, "", at.place.now())


# --- telling, and a look that is too late


class Kind(Model):
    kind: str
    namespace: str = ""
    limit: int = 1


async def test_a_scan_that_takes_too_long_says_so_and_takes_nothing_as_mended(tmp_path: Path) -> None:
    async def hangs(arguments: Mapping[str, Any]) -> Any:
        await forever()

    async with desk(tmp_path) as at:
        slow = ReadTool("kubernetes_list", "Lists.", Kind, lambda _: Target("kubernetes"), hangs, str)
        world = replace(at.place.world, tools={**at.place.world.tools, slow.name: slow}, scan_seconds=0.05)
        known_tools = [ToolSchema(tool.name, tool.effect, tool.parameters) for tool in world.tools.values()]
        at.place.policy = load({"p.yaml": RULES}, known_tools, {"AGENT_APPROVERS": ("@sre",)})
        run_id = await begin(at.place, key="slow")
        run = await advance(world, run_id)
        assert run.findings is not None
        assert [(one.code, "longer than" in one.detail) for one in run.findings] == [("read.failed", True)]
        assert len(await at.place.journal.config_findings()) == 2
        assert at.place.chat.diagnoses == []
        told, known = at.place.chat.scans[-1]
        assert (told.spec.id, known) == (run_id, ())


async def test_a_scan_is_told_as_its_list_and_any_other_run_as_its_diagnosis(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        for run_id in (at.scan, at.place.run_id):
            await tell(at.place.world, fold(await at.place.journal.of_run(run_id)))
        assert [run.spec.target.system for run, _ in at.place.chat.scans] == [CONFIGURATION]
        assert [run.spec.id for run in at.place.chat.diagnoses] == [at.place.run_id]


async def test_only_a_run_about_the_configuration_makes_findings_known(tmp_path: Path) -> None:
    async with place(tmp_path) as at:
        run = fold(await at.journal.of_run(at.run_id))
        spec = replace(run.spec, id="run-2")
        await at.journal.append(Draft(RunStarted(spec), Actor("agent"), run_id="run-2"))
        await at.record(FindingsReported((WASTE,), 1), run_id="run-2")
        assert await at.journal.config_findings() == []
