"""Findings over scans: each once, gone when not found, back as news, snoozed with an owner, ranked, and folded again alike."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from bot.analyzers import too_late
from bot.analyzers.findings import finding
from domain.actions import Mode, Target
from domain.diagnosis import Evidence, Finding
from domain.errors import Conflict
from domain.events import Draft, FindingSnoozed, FindingsReported, RunStarted
from domain.runs import Origin, RunSpec
from domain.scans import CONFIGURATION, KnownFinding, key_of, rank, saved
from storage.journal import SqliteJournal, open_journal
from tests.contracts.journal_samples import CART, NOON, Clock
from tests.unit.test_views import rows

GI = 2**30


def found(code: str = "config.requests_high", name: str = "cart", namespace: str = "shop", **facts: Any) -> Finding:
    target = Target("kubernetes", "production", namespace, "Deployment", name)
    facts = {"field": "containers[app]", "risk": "low", **facts}
    return finding(code, target, f"{name}: {code}", "By the rule.", [(Evidence("E1", "read"),)], **facts)


@dataclass
class Scans:
    """Scans one after the other, an hour apart."""

    journal: SqliteJournal
    clock: Clock
    number: int = 0

    async def scan(self, *findings: Finding, namespace: str = "", system: str = CONFIGURATION) -> str:
        self.number += 1
        self.clock.forward(seconds=3600)
        run_id = f"run-{self.number}"
        target = Target(system, "production", namespace)
        spec = RunSpec(run_id, "", Origin.COMMAND, "rules", Mode.PROPOSE, target)
        ordered = tuple(sorted(findings, key=rank))
        await self.journal.append(
            Draft(RunStarted(spec), run_id=run_id), Draft(FindingsReported(ordered, 5), run_id=run_id)
        )
        return run_id

    async def known(self, run_id: str = "") -> list[str]:
        return [one.finding.target.name for one in await self.journal.config_findings(run_id)]

    async def one(self, finding: Finding) -> KnownFinding:
        known = await self.journal.config_finding(key_of(finding))
        assert known is not None
        return known


@asynccontextmanager
async def scans(folder: Path) -> AsyncIterator[Scans]:
    clock = Clock()
    async with open_journal(folder / "agent.db", "T1", clock=clock) as journal:
        yield Scans(journal, clock)


async def test_a_finding_of_two_scans_is_one_and_only_the_first_time_it_is_news(tmp_path: Path) -> None:
    async with scans(tmp_path) as told:
        await told.scan(found())
        assert (await told.one(found())).news == "new"
        second = await told.scan(found(value="memory 2100Mi"))
        known = await told.one(found())
        assert (await told.known(), known.news, known.run_id) == (["cart"], "", second)
        assert known.finding.facts["value"] == "memory 2100Mi"
        assert known.last_seen - known.first_seen == timedelta(hours=1)


async def test_what_a_scan_no_longer_finds_is_gone_and_what_comes_back_is_new_again(tmp_path: Path) -> None:
    async with scans(tmp_path) as told:
        await told.scan(found(), found(name="web"))
        await told.scan(found(name="web"))
        assert await told.known() == ["web"]
        assert (await told.one(found())).gone_at == told.clock.now
        await told.scan(found(), found(name="web"))
        back = await told.one(found())
        assert (await told.known(), back.news, back.gone_at) == (["cart", "web"], "new", None)


async def test_a_scan_that_could_not_read_everything_takes_nothing_as_gone(tmp_path: Path) -> None:
    async with scans(tmp_path) as told:
        await told.scan(found())
        await told.scan(too_late(Target(CONFIGURATION), 120))
        assert await told.known() == ["cart"]
        assert "read.failed" not in {one.finding.code for one in await told.journal.config_findings()}


async def test_the_scan_of_a_namespace_says_nothing_of_others(tmp_path: Path) -> None:
    async with scans(tmp_path) as told:
        await told.scan(found(), found(name="web", namespace="staging"))
        await told.scan(namespace="staging")
        assert await told.known() == ["cart"]


async def test_a_diagnosis_makes_no_configuration_findings(tmp_path: Path) -> None:
    async with scans(tmp_path) as told:
        await told.scan(found(), system="kubernetes")
        assert await told.known() == []


@pytest.mark.parametrize(
    ("before", "after", "news"),
    [
        ({"risk": "low"}, {"risk": "high"}, "worse"),
        ({"risk": "high"}, {"risk": "low"}, ""),
        ({"saved_bytes": 2 * GI}, {"saved_bytes": 4 * GI}, "worse"),
        ({"saved_bytes": 2 * GI}, {"saved_bytes": 2 * GI + 2**20}, ""),
        ({"saved_millicores": 100}, {"saved_millicores": 900}, "worse"),
    ],
)
async def test_more_risk_or_much_more_waste_is_news(
    tmp_path: Path, before: dict[str, Any], after: dict[str, Any], news: str
) -> None:
    async with scans(tmp_path) as told:
        await told.scan(found(**before))
        await told.scan(found(**after))
        assert (await told.one(found())).news == news


async def test_a_snoozed_finding_has_an_owner_until_its_time_over_scans(tmp_path: Path) -> None:
    async with scans(tmp_path) as told:
        await told.scan(found())
        until = told.clock.now + timedelta(days=7)
        await told.journal.append(Draft(FindingSnoozed(key_of(found()), until, "U2", "after the sale")))
        await told.scan(found())
        known = await told.one(found())
        assert (known.owner, known.reason, known.snoozed_until) == ("U2", "after the sale", until)
        assert known.snoozed(until - timedelta(seconds=1))
        assert not known.snoozed(until)


async def test_a_higher_risk_wakes_what_was_snoozed(tmp_path: Path) -> None:
    async with scans(tmp_path) as told:
        await told.scan(found())
        await told.journal.append(Draft(FindingSnoozed(key_of(found()), NOON + timedelta(days=90), "U2")))
        await told.scan(found(risk="high"))
        assert not (await told.one(found())).snoozed(told.clock.now)


async def test_only_what_is_there_can_be_snoozed(tmp_path: Path) -> None:
    async with scans(tmp_path) as told:
        event = FindingSnoozed(key_of(found()), NOON + timedelta(days=7), "U2")
        with pytest.raises(Conflict):
            await told.journal.append(Draft(event))
        await told.scan(found())
        await told.scan()
        with pytest.raises(Conflict):
            await told.journal.append(Draft(event))


async def test_risk_comes_first_then_what_it_frees_also_over_scans_of_several_namespaces(tmp_path: Path) -> None:
    async with scans(tmp_path) as told:
        small, large = found(name="small", saved_bytes=GI), found(name="large", saved_bytes=9 * GI)
        cores = found(name="cores", saved_millicores=1000)
        await told.scan(small, found(name="risky", risk="high"), cores, namespace="shop")
        last = await told.scan(replace(large, target=replace(large.target, namespace="web")), namespace="web")
        assert await told.known() == ["risky", "large", "cores", "small"]
        assert await told.known(last) == ["large"]


def test_the_same_finding_has_the_same_key_whatever_its_values_and_environment() -> None:
    one = found(value="1", wanted="2")
    staging = replace(one, target=replace(one.target, environment="staging"))
    assert key_of(one) == key_of(found(value="9")) == key_of(staging)
    assert (
        len({key_of(one), key_of(found(field="other")), key_of(found("config.unused")), key_of(found(name="web"))}) == 4
    )


@pytest.mark.parametrize("nonsense", ["12", None, True and -5, 1.5, [1]])
def test_a_saving_that_is_no_count_is_none(nonsense: Any) -> None:
    assert saved(found(saved_bytes=nonsense)) == (0, 0)


NAMES = st.sampled_from(["cart", "web", "api"])
FINDINGS = st.builds(
    found, name=NAMES, risk=st.sampled_from(["high", "medium", "low"]), saved_bytes=st.integers(0, 9 * GI)
)
UNIQUE = st.lists(FINDINGS, max_size=3, unique_by=key_of)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(UNIQUE, st.sampled_from(["", "shop", "other"]), st.one_of(st.none(), NAMES)), max_size=6))
def test_whatever_scans_find_the_last_whole_one_is_what_is_known_and_folding_again_gives_the_same(
    steps: Sequence[tuple[list[Finding], str, str | None]],
) -> None:
    async def story(folder: Path) -> None:
        there: set[str] = set()
        async with scans(folder) as told:
            for findings, namespace, snoozes in steps:
                seen = findings if namespace != "other" else []
                await told.scan(*seen, namespace=namespace)
                names = {one.target.name for one in seen}
                there = names if namespace != "other" else there
                assert set(await told.known()) == there
                if snoozes in there:
                    event = FindingSnoozed(key_of(found(name=snoozes)), told.clock.now + timedelta(days=1), "U1")
                    await told.journal.append(Draft(event))
            before = rows(folder / "agent.db")
            await told.journal.rebuild()
            assert rows(folder / "agent.db") == before

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(story(Path(folder)))


def test_a_look_that_took_too_long_is_no_look_that_found_nothing() -> None:
    late = too_late(CART, 120)
    assert (late.code, late.evidence) == ("read.failed", ())
    assert "120 s" in late.detail
