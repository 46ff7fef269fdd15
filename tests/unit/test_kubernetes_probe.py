"""What a probe makes of statuses, also of those that the stand-in cluster never shows."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from bot.tools.kubernetes_probe import pods_check, rollout_check

SINCE = datetime(2026, 1, 1, 12, tzinfo=UTC)


def deployment(wanted: int = 3, generation: int = 2, **status: Any) -> dict[str, Any]:
    whole = {
        "observedGeneration": 2, "replicas": wanted, "updatedReplicas": wanted, "availableReplicas": wanted,
    }  # fmt: skip
    return {
        "kind": "Deployment",
        "metadata": {"generation": generation},
        "spec": {"replicas": wanted},
        "status": {**whole, **status},
    }


def stuck(at: str, status: str = "False") -> dict[str, Any]:
    condition = {"type": "Progressing", "status": status, "reason": "ProgressDeadlineExceeded", "lastUpdateTime": at}
    return deployment(availableReplicas=2, conditions=[condition])


def test_a_rollout_is_complete_when_all_pods_are_new_and_available() -> None:
    check, settled = rollout_check(deployment(), SINCE)
    assert (check.passed, settled) == (True, False)
    assert check.detail == "complete: 3 of 3 pods are up to date and available"


@pytest.mark.parametrize(
    "status",
    [
        {"updatedReplicas": 2},
        {"availableReplicas": 2},
        {"replicas": 4},  # an old pod is still there
        {"updatedReplicas": None, "availableReplicas": None},
    ],
)
def test_anything_less_is_not(status: dict[str, Any]) -> None:
    check, settled = rollout_check(deployment(**status), SINCE)
    assert (check.passed, settled) == (False, False)


def test_a_status_from_before_the_change_proves_nothing() -> None:
    check, settled = rollout_check(deployment(generation=3), SINCE)
    assert (check.passed, settled) == (False, False)
    assert "has not seen the change" in check.detail


def test_a_deadline_that_was_exceeded_since_is_final() -> None:
    check, settled = rollout_check(stuck("2026-01-01T12:00:01Z"), SINCE)
    assert (check.passed, settled) == (False, True)
    assert "the progress deadline is exceeded" in check.detail


def test_a_deadline_that_the_change_was_to_cure_is_not() -> None:
    assert rollout_check(stuck("2026-01-01T11:59:59Z"), SINCE)[1] is False
    assert rollout_check(stuck("2026-01-01T12:00:01Z", "True"), SINCE)[1] is False
    assert rollout_check(stuck(""), SINCE)[1] is False


def test_scaled_to_nothing_is_complete_with_no_pods() -> None:
    assert rollout_check(deployment(0), SINCE)[0].passed
    assert pods_check([], 0) == (pods_check([], 0)[0], False)
    assert pods_check([], 0)[0].passed
    assert not pods_check([pod()], 0)[0].passed


def test_a_stateful_sets_partition_keeps_the_lower_pods() -> None:
    partitioned = {
        "kind": "StatefulSet",
        "metadata": {"generation": 1},
        "spec": {"replicas": 3, "updateStrategy": {"rollingUpdate": {"partition": 2}}},
        "status": {"observedGeneration": 1, "replicas": 3, "updatedReplicas": 1, "availableReplicas": 3},
    }
    assert rollout_check(partitioned, SINCE)[0].passed
    partitioned["spec"]["updateStrategy"]["rollingUpdate"]["partition"] = 1  # type: ignore[index]
    assert not rollout_check(partitioned, SINCE)[0].passed


@pytest.mark.parametrize(("updated", "available", "passed"), [(3, 3, True), (2, 3, False), (3, 2, False)])
def test_a_daemon_set_counts_its_nodes(updated: int, available: int, passed: bool) -> None:
    status = {
        "observedGeneration": 1, "desiredNumberScheduled": 3, "currentNumberScheduled": 3,
        "updatedNumberScheduled": updated, "numberAvailable": available,
    }  # fmt: skip
    check, _ = rollout_check({"kind": "DaemonSet", "metadata": {"generation": 1}, "spec": {}, "status": status}, SINCE)
    assert check.passed is passed


def pod(ready: str = "True", waiting: str = "", part: str = "containerStatuses") -> dict[str, Any]:
    state = {"waiting": {"reason": waiting}} if waiting else {"running": {}}
    return {
        "metadata": {"name": "p"},
        "status": {"conditions": [{"type": "Ready", "status": ready}], part: [{"name": "c", "state": state}]},
    }


def test_pods_are_counted_as_ready_by_their_condition() -> None:
    check, settled = pods_check([pod(), pod("False")], 2)
    assert (check.passed, check.detail, settled) == (False, "1 of 2 ready", False)
    assert pods_check([pod(), pod()], 2)[0].passed


@pytest.mark.parametrize("part", ["containerStatuses", "initContainerStatuses"])
def test_a_crash_loop_is_final_for_every_kind_of_container(part: str) -> None:
    check, settled = pods_check([pod(), pod("False", "CrashLoopBackOff", part)], 2)
    assert (check.passed, settled) == (False, True)
    assert check.detail == "1 of 2 ready; p in CrashLoopBackOff"


def test_an_image_that_cannot_be_pulled_yet_is_not_final() -> None:
    assert pods_check([pod("False", "ImagePullBackOff")], 1)[1] is False
