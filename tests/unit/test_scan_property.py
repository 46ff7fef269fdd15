"""Whatever the API and Prometheus answer: a scan never raises, claims nothing without evidence, and proposes only what fits."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from bot.analyzers import Reading, analyze
from bot.analyzers.quantities import parse_memory
from bot.analyzers.scan.usage import round_memory
from bot.tools.kubernetes_arguments import SetResources
from domain.canonical import canonical
from domain.codec import decode, encode
from domain.diagnosis import Finding
from domain.scans import RISKS, key_of, rank, risk_of
from tests.unit.scan_samples import (
    EVERYWHERE,
    GI,
    MI,
    SHOP,
    Measured,
    app,
    autoscaler,
    certificate,
    claim,
    config_map,
    healthy,
    pod,
    replica_set,
    scanned,
    service,
    sized,
    workload,
)
from tests.unit.test_analyzers_property import Babble, anything, mutated
from tests.unit.test_scan_findings import found

OFFERED = ("kubernetes_list", "prometheus_query")
SLOW = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
MEBIBYTES = st.integers(16, 64 * 1024)


@given(st.lists(anything, max_size=8), st.sampled_from([SHOP, EVERYWHERE]))
@SLOW
async def test_a_scan_never_raises_on_arbitrary_answers(answers: list[Any], scope: Any) -> None:
    for one in await analyze(scope, None, Babble(answers).read, OFFERED):
        assert one.evidence or one.code == "read.failed"


def everything() -> list[Any]:
    ends = "2026-03-09T12:00:00Z"
    return healthy(
        workload(app(securityContext={"privileged": True}), pod={"volumes": [{"hostPath": {"path": "/"}}]}),
        autoscaler(), certificate(ends=ends), claim(), config_map(), pod(1, "a"), replica_set("7d9c5b8f4d", 1),
    )  # fmt: skip


class Broken(Measured):
    """A world in which every answer comes back mutated."""

    choose: Any = None

    async def read(self, tool: str, arguments: Mapping[str, Any]) -> Reading:
        reading = await super().read(tool, arguments)
        return Reading(reading.evidence_id, reading.ok, mutated(reading.data, self.choose), reading.error)


@given(st.data())
@SLOW
async def test_a_scan_never_raises_on_real_objects_with_parts_gone_or_of_another_type(data: st.DataObject) -> None:
    world = Broken(*everything(), deprecated=({"group": "policy", "version": "v1", "removed_release": "1.25"},))
    world.choose = data.draw
    for one in await analyze(EVERYWHERE, None, world.read, OFFERED):
        assert decode(Finding, json.loads(canonical(encode(one)))) == one
        assert key_of(one)


@pytest.mark.parametrize("odd", [[], {}, None, True, 1.5, "http", [8080]])
async def test_a_port_of_any_shape_is_compared_and_nothing_more(odd: Any) -> None:
    await scanned(workload(app(readinessProbe=None, ports=[{"containerPort": odd, "name": odd}])), service(port=odd))


@given(
    MEBIBYTES,
    MEBIBYTES,
    st.floats(0, 1),
    st.floats(0, 1),
    st.floats(0, 64),
    st.integers(10, 64_000),
    st.integers(1, 50),
)
@SLOW
async def test_a_proposed_size_is_above_the_use_below_the_limit_and_one_that_the_tool_takes(
    request: int, limit: int, share: float, peak_share: float, cores: float, millicores: int, replicas: int
) -> None:
    limit = max(limit, request)
    peak = limit * MI * peak_share
    used = {"memory": peak * share, "memory_max": peak, "cpu": cores}
    container = sized({"memory": f"{request}Mi", "cpu": f"{millicores}m"}, {"memory": f"{limit}Mi"})
    for one in (await scanned(workload(container, replicas=replicas), used=used)).values():
        if one.proposal is None:
            continue
        arguments = SetResources.model_validate(one.proposal.arguments)
        wanted, most = parse_memory(arguments.requests.memory), parse_memory(arguments.limits.memory) or limit * MI
        assert most >= peak, "nobody is killed by a proposal"
        if wanted is not None:
            assert used["memory"] <= wanted <= most or used["memory"] > most
        if one.code == "config.requests_high":
            assert one.facts["saved_bytes"] >= 0
            assert one.facts["saved_bytes"] >= 128 * MI or one.facts["saved_millicores"] >= 100
        if one.code == "config.requests_low":
            assert one.facts["saved_bytes"] == one.facts["saved_millicores"] == 0


@given(st.floats(0, 64 * GI))
def test_a_rounded_size_is_never_less_and_never_much_more(amount: float) -> None:
    rounded = round_memory(amount)
    assert rounded >= max(amount, 32 * MI)
    assert rounded - amount <= 64 * MI
    assert rounded % (16 * MI) == 0


@given(st.lists(st.tuples(st.sampled_from(RISKS), st.integers(0, 9 * GI)), min_size=2, max_size=6))
@SLOW
def test_nothing_of_lower_risk_stands_above_anything_of_higher(pairs: list[tuple[str, int]]) -> None:
    ordered = sorted(
        (found(risk=risk, saved_bytes=size, name=f"n{n}") for n, (risk, size) in enumerate(pairs)), key=rank
    )
    places = [risk_of(one) for one in ordered]
    assert places == sorted(places)
    for before, after in itertools.pairwise(ordered):
        if risk_of(before) == risk_of(after):
            assert before.facts["saved_bytes"] // MI >= after.facts["saved_bytes"] // MI
