"""Whatever the API answers: analyzers never raise, claim nothing without evidence, and use only documented codes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings, strategies as st

import bot.analyzers
from bot.analyzers import Reading, analyze
from bot.analyzers.findings import WEIGHTS
from domain.actions import Target
from domain.canonical import canonical
from domain.codec import encode
from tests.unit.kube import (
    IMAGE_CHANGE,
    World,
    crashing_pod,
    deployment,
    event,
    good_pod,
    history,
    node,
    oom_pod,
    pod,
    status,
    terminated,
)

KINDS = (
    "Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Pod", "Service", "Node", "Job", "CronJob", "Ingress",
    "PersistentVolumeClaim", "PersistentVolume", "HorizontalPodAutoscaler", "PodDisruptionBudget", "NetworkPolicy",
    "ConfigMap", "ResourceQuota", "Certificate", "Gateway", "HTTPRoute", "Namespace", "ValidatingWebhookConfiguration",
    "", "Wat",
)  # fmt: skip

FIELDS = """
metadata name namespace labels ownerReferences kind controller deletionTimestamp creationTimestamp finalizers
generation app pod-template-hash spec replicas selector matchLabels template containers initContainers image resources
limits requests memory nodeName unschedulable ports targetPort paused suspend backoffLimit schedule status phase
reason message conditions type lastTransitionTime containerStatuses initContainerStatuses state lastState waiting
running terminated exitCode startedAt finishedAt restartCount ready readyReplicas updatedReplicas observedGeneration
failed items more read_at lines current good revisions revision images created earlier from_revision changes path
before after deployment first last pod_template_hash change_cause desiredNumberScheduled numberReady
taints tolerations key value effect allocatable cpu nodeSelector affinity volumes persistentVolumeClaim claimName
storageClassName volumeName provisioner rules http paths backend port host tls secretName hosts webhooks clientConfig service
parentRefs
backendRefs podSelector egress ingress policyTypes to from limits hard used minReplicas maxReplicas currentReplicas notAfter
renewalTime disruptionsAllowed expectedPods currentHealthy desiredHealthy imageID readinessProbe httpGet env envFrom serviceName
"""
WORDS = FIELDS.split()
VALUES = (
    "True", "False", "Unknown", "Ready", "PodScheduled", "Progressing", "CrashLoopBackOff", "ImagePullBackOff", "OOMKilled",
    "CreateContainerConfigError", "Failed", "Pending", "Running", "Succeeded", "Evicted", "2026-03-10T12:00:00Z", "256Mi",
    'secret "db" not found', 'pods "x" is forbidden: exceeded quota: q, requested: cpu=1, used: cpu=2, limited: cpu=2',
    "ReplicaFailure", "FailedCreate", "Bound", "Lost", "Released", "ScalingLimited", "ScalingActive", "Accepted",
    'failed calling webhook "w": no', "lookup db on 1.1.1.1:53: no such host", "500m", "NoSchedule", "a@sha256:ab",
    "app", "checkout", "checkout-new", "Deployment", "ReplicaSet", "Job", "Unhealthy", "9999-12-31T23:59:59-14:00", "\x00",
)  # fmt: skip

leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 2**40),
    st.sampled_from(VALUES),
    st.text(max_size=5),
    st.floats(allow_nan=True),
)
anything = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(WORDS) | st.text(max_size=3), inner, max_size=6)
    ),
    max_leaves=25,
)
targets = st.builds(
    Target, st.just("kubernetes"), st.just("production"), st.just("shop"), st.sampled_from(KINDS), st.just("checkout")
)

CLAIMLESS = "read.failed"


class Babble:
    """Answers every read with the next of some arbitrary values; None is a failed read."""

    def __init__(self, answers: list[Any]) -> None:
        self.answers, self.made = answers, 0

    async def read(self, tool: str, arguments: Mapping[str, Any]) -> Reading:
        self.made += 1
        answer = self.answers[self.made % len(self.answers)] if self.answers else None
        if answer is None:
            return Reading("", ok=False, error="no")
        return Reading(f"E{self.made}", ok=True, data=answer)


@given(targets, st.lists(anything, max_size=6))
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
async def test_analyzers_never_raise_on_arbitrary_answers(target: Target, answers: list[Any]) -> None:
    for found in await analyze(target, None, Babble(answers).read):
        assert found.evidence or found.code == CLAIMLESS
        assert len(found.title) <= 100


def mutated(value: Any, choose: Any) -> Any:
    """A real object with some of its parts gone, null or of another type."""
    how = choose(st.integers(0, 30))
    if how == 0:
        return choose(leaves)
    if isinstance(value, dict):
        return {key: mutated(item, choose) for key, item in value.items() if choose(st.integers(0, 30))}
    if isinstance(value, list):
        return [mutated(item, choose) for item in value]
    return value


SAMPLES: tuple[dict[str, Any], ...] = (
    deployment(ready=1),
    crashing_pod(),
    oom_pod("checkout-new-b"),
    good_pod(),
    pod("checkout-new-c", status(waiting="ImagePullBackOff", message="not found"), phase="Pending"),
    pod("checkout-new-d", status(running=9, last=terminated(137), restarts=2)),
    pod("checkout-new-e", phase="Failed", reason="Evicted"),
    node("node-1", ("Ready", "Unknown", "silent")),
)


class Broken(World):
    """A world in which every answer comes back mutated."""

    choose: Any = None

    async def read(self, tool: str, arguments: Mapping[str, Any]) -> Reading:
        reading = await super().read(tool, arguments)
        return Reading(reading.evidence_id, reading.ok, mutated(reading.data, self.choose), reading.error)


@given(st.data(), targets)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
async def test_analyzers_never_raise_on_real_objects_with_broken_parts(data: st.DataObject, target: Target) -> None:
    told = (event("checkout-new-a", "Unhealthy", "Readiness probe failed"),)
    world = Broken(*SAMPLES, history=history(IMAGE_CHANGE), events=told, logs={("checkout-new-a", True): ["boom"]})
    world.choose = data.draw
    for found in await analyze(target, None, world.read):
        assert found.evidence or found.code == CLAIMLESS


async def test_findings_are_canonical_json_and_name_only_reads_that_were_made() -> None:
    world = World(*SAMPLES, history=history(IMAGE_CHANGE), logs={("checkout-new-a", True): ["boom"]})
    target = Target("kubernetes", "production", "shop", "Deployment", "checkout")
    found = await analyze(target, None, world.read)
    assert found
    canonical(encode(found))
    known = {f"E{number + 1}" for number in range(len(world.asked))}
    assert {item.id for each in found for item in each.evidence} <= known


async def test_a_read_that_was_not_stored_supports_no_claim() -> None:
    class Unstored(World):
        async def read(self, tool: str, arguments: Mapping[str, Any]) -> Reading:
            reading = await super().read(tool, arguments)
            return Reading("", reading.ok, reading.data, reading.error)

    target = Target("kubernetes", "production", "shop", "Deployment", "checkout")
    assert await analyze(target, None, Unstored(*SAMPLES).read) == ()


SOURCE = Path(bot.analyzers.__file__).parent
DOCS = SOURCE.parent.parent / "docs" / "diagnosis.md"
CODE = re.compile(rf'"((?:{"|".join({code.partition(".")[0] for code in WEIGHTS})})\.[a-z_]+)"')


def test_every_code_in_the_source_has_a_weight() -> None:
    used = {code for path in SOURCE.glob("*.py") for code in CODE.findall(path.read_text("utf-8"))}
    assert used == set(WEIGHTS)


def test_every_code_is_documented_and_nothing_else_is() -> None:
    documented = re.findall(r"^\| `([a-z_]+\.[a-z_]+)` \|", DOCS.read_text("utf-8"), re.MULTILINE)
    assert sorted(documented) == sorted(WEIGHTS)


WELL = (".healthy", ".recovered", ".complete", ".running", ".drift", ".told")


def test_causes_weigh_more_than_symptoms_and_health_least() -> None:
    healthy = [weight for code, weight in WEIGHTS.items() if code.endswith(WELL)]
    beside = {CLAIMLESS, *(code for code in WEIGHTS if code.startswith("known."))}
    assert max(healthy) < min(
        weight for code, weight in WEIGHTS.items() if weight not in healthy and code not in beside
    )
    assert WEIGHTS["deployment.bad_rollout"] == max(WEIGHTS.values())
    assert WEIGHTS["pod.crash_loop"] > WEIGHTS["service.no_ready_pods"] > WEIGHTS["deployment.unready_pods"]
