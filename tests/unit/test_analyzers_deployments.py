"""Deployments: a revision is blamed only where the evidence says so, and a healthy workload is left alone."""

from __future__ import annotations

from datetime import timedelta

import pytest

from bot.analyzers import analyze
from bot.analyzers.problems import Problem, Trouble
from bot.analyzers.rollouts import Change, explains
from bot.analyzers.workloads import selector_text
from domain.alerts import Alert
from domain.diagnosis import Finding
from tests.unit.kube import (
    CHECKOUT,
    IMAGE_CHANGE,
    NOW,
    World,
    ago,
    container,
    crashing_pod,
    deployment,
    event,
    good_pod,
    history,
    node,
    oom_pod,
    pod,
    progressing,
    status,
    terminated,
)

ROLLBACK = ("kubernetes_rollback", {"namespace": "shop", "name": "checkout", "to_revision": 3})
PULL = 'Failed to pull image "registry.test/checkout:2.0": manifest unknown'


async def top(world: World) -> Finding:
    return (await analyze(CHECKOUT, None, world.read))[0]


async def by_code(world: World, alert: Alert | None = None) -> dict[str, Finding]:
    return {found.code: found for found in await analyze(CHECKOUT, alert, world.read)}


def proposed(found: Finding) -> tuple[str, dict[str, object]] | None:
    return (found.proposal.tool, dict(found.proposal.arguments)) if found.proposal else None


# --- a bad rollout ----------------------------------------------------------------------------------------------------


async def test_a_new_revision_that_crashes_beside_a_ready_old_one_is_rolled_back() -> None:
    world = World(
        deployment(ready=2),
        good_pod(),
        crashing_pod(),
        history=history(IMAGE_CHANGE),
        logs={("checkout-new-a", True): ["starting", "fatal: column tax_region does not exist"]},
    )
    found = await top(world)
    assert found.code == "deployment.bad_rollout"
    assert proposed(found) == ROLLBACK
    assert found.facts["confidence"] == "proven"
    assert "checkout:1.9 → registry.test/checkout:2.0" in found.detail
    assert "column tax_region does not exist" in found.detail
    assert found.proposal is not None
    for said in ("Revision 3", "registry.test/checkout:1.9", "2 ready pods", "spec.containers[app].image"):
        assert said in found.proposal.why
    assert {item.title for item in found.evidence} >= {"rollout history", "status of pod checkout-new-a"}


async def test_a_change_cause_left_over_from_the_revision_before_is_not_told() -> None:
    past = history(IMAGE_CHANGE)
    world = World(deployment(ready=2), good_pod(), crashing_pod(), history=past)
    assert "Change cause: CI: checkout 2.0" in (await top(world)).detail
    past["revisions"][0]["change_cause"] = past["revisions"][1]["change_cause"]
    assert "Change cause" not in (await top(world)).detail


async def test_the_pods_trouble_stays_beside_the_rollout_that_explains_it() -> None:
    world = World(deployment(ready=2), good_pod(), crashing_pod(), history=history(IMAGE_CHANGE))
    codes = [found.code for found in await analyze(CHECKOUT, None, world.read)]
    assert codes[:2] == ["deployment.bad_rollout", "pod.crash_loop"]


async def test_without_ready_pods_of_the_old_revision_the_rollback_is_only_likely() -> None:
    world = World(deployment(ready=0), crashing_pod(), history=history(IMAGE_CHANGE, good_ready=0))
    found = await top(world)
    assert proposed(found) == ROLLBACK
    assert found.facts["confidence"] == "likely"
    assert found.proposal is not None
    assert "not proven" in found.proposal.why


async def test_an_image_that_the_new_revision_misspelt_is_rolled_back() -> None:
    waits = pod("checkout-new-a", status(waiting="ImagePullBackOff", message=PULL), phase="Pending")
    world = World(deployment(ready=2), good_pod(), waits, history=history(IMAGE_CHANGE))
    assert proposed(await top(world)) == ROLLBACK


@pytest.mark.parametrize(
    ("why", "pods", "past", "said"),
    [
        (
            "the old revision crashes as well",
            (crashing_pod("checkout-old-a", revision="old"), crashing_pod()),
            history(IMAGE_CHANGE),
            "a revision before 4 have the same problem",
        ),
        (
            "only a restart was asked for",
            (good_pod(), crashing_pod()),
            history({"path": "metadata.annotations.kubectl.kubernetes.io/restartedAt", "before": "", "after": "now"}),
            "nothing that changed",
        ),
        (
            "the image did not change, the registry is down",
            (good_pod(), pod("checkout-new-a", status(waiting="ImagePullBackOff", message=PULL), phase="Pending")),
            history({"path": "spec.containers[app].env[LEVEL].value", "before": "info", "after": "debug"}),
            "nothing that changed",
        ),
        (
            "another container's image changed",
            (good_pod(), pod("checkout-new-a", status(waiting="ImagePullBackOff", message=PULL), phase="Pending")),
            history({"path": "spec.containers[proxy].image", "before": "a", "after": "b"}),
            "nothing that changed",
        ),
        (
            "the revision ran well for days",
            (crashing_pod(),),
            history(IMAGE_CHANGE, completed=True, new_age=3 * 86400),
            "was complete before this began, it has run since",
        ),
        (
            "the pods lack a node, which no change explains",
            (good_pod(), pod("checkout-new-a", phase="Pending", conditions=[{
                "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes: cpu"}])),
            history(IMAGE_CHANGE),
            "less than 60 seconds",
        ),
        (
            "the new pods have only just begun to fail their probe",
            (good_pod(), pod("checkout-new-b", status(running=4, ready=False))),
            history(IMAGE_CHANGE),
            "less than 60 seconds",
        ),
        (
            "no event says that a probe fails",
            (good_pod(), pod("checkout-new-c", status(running=400, ready=False))),
            history(IMAGE_CHANGE),
            "no event says that a probe fails",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
async def test_no_rollback_where(
    why: str, pods: tuple[dict[str, object], ...], past: dict[str, object], said: str
) -> None:
    events = (
        event("checkout-new-b", "Unhealthy", "Readiness probe failed: 503", first=5),
        event("checkout-new-a", "FailedScheduling", "0/3 nodes are available", first=5),
    )
    found = await by_code(World(deployment(ready=2), *pods, history=past, events=events))
    assert "deployment.bad_rollout" not in found
    assert all(item.proposal is None for item in found.values()), why
    assert said in found["deployment.rollout_not_blamed"].detail


async def test_changes_since_another_revision_explain_nothing() -> None:
    past = history(IMAGE_CHANGE) | {"from_revision": 2}
    found = await by_code(World(deployment(ready=2), good_pod(), crashing_pod(), history=past))
    assert "deployment.bad_rollout" not in found


async def test_without_an_earlier_revision_there_is_nothing_to_go_back_to() -> None:
    found = await by_code(World(deployment(ready=2), crashing_pod()))
    assert found["deployment.rollout_not_blamed"].title == "No rollback: there is no earlier revision to go back to"


async def test_a_revision_that_a_rollback_brought_back_is_as_young_as_its_pods_and_what_was_left_is_not_gone_back_to() -> (
    None
):
    past = history(IMAGE_CHANGE, completed=True, new_age=30 * 86400, earlier=(2,), good_ready=0)
    found = await top(World(deployment(ready=0), crashing_pod(), history=past))
    assert found.code == "deployment.bad_rollout"
    assert found.proposal is None
    assert "revision 4 came by going back, and 3 is what was left" in found.detail


async def test_a_paused_deployment_is_not_rolled_back() -> None:
    world = World(deployment(ready=2, spec={"paused": True}), good_pod(), crashing_pod(), history=history(IMAGE_CHANGE))
    found = await top(world)
    assert found.code == "deployment.bad_rollout"
    assert found.proposal is None
    assert "the Deployment is paused" in found.detail


async def test_trouble_from_before_the_rollout_does_not_blame_it() -> None:
    alert = Alert("f", True, "KubePodCrashLooping", "alertmanager", NOW - timedelta(hours=5))
    past = history(IMAGE_CHANGE, completed=True, good_ready=0)
    found = await by_code(World(deployment(ready=0), crashing_pod(), history=past), alert)
    assert "deployment.bad_rollout" not in found
    assert "before revision 4 was rolled out" in found["deployment.rollout_not_blamed"].detail


ENV = "spec.containers[app].env"


@pytest.mark.parametrize(
    ("message", "change", "blamed"),
    [
        ("0/3 nodes: 3 Insufficient memory.", ("spec.containers[app].resources.requests.memory", "1Gi", "64Gi"), True),
        ("0/3 nodes: 3 Insufficient memory.", ("spec.containers[app].resources.requests.cpu", "1", "2"), False),
        ("0/3 nodes: 3 Insufficient memory.", ("spec.containers[app].ports[http].containerPort", "80", "81"), False),
        ("0/3 nodes: 3 Insufficient memory.", ("spec.containers[app].volumeMounts[/data].name", "a", "b"), False),
        ("0/3 nodes: 3 Insufficient memory.", ("spec.containers[app].resources", "", '{"requests":{"memory":"64Gi"}}'), True),
        ("0/3 nodes: no free ports", ("spec.containers[app].ports[http].hostPort", "", "80"), True),
        ('secret "db" not found', (f"{ENV}[LEVEL].value", "info", "debug"), False),
        ('secret "db" not found', (f"{ENV}[TAX]", "", '{"valueFrom":{"secretKeyRef":{"name":"db","key":"x"}}}'), True),
        ("couldn't find key TAX in Secret shop/db", (f"{ENV}[TAX].valueFrom.secretKeyRef.key", "RATE", "TAX"), True),
        ("couldn't find key TAX in Secret shop/db", (f"{ENV}[LEVEL].value", "info", "debug"), False),
    ],
)  # fmt: skip
def test_a_change_explains_a_problem_only_where_it_is_about_what_is_missing(
    message: str, change: tuple[str, str, str], blamed: bool
) -> None:
    trouble = Trouble.UNSCHEDULABLE if message.startswith("0/3") else Trouble.CONFIG
    assert explains(Change(*change), Problem(trouble, "checkout-new-a", message=message)) is blamed


async def test_a_probe_that_fails_since_the_rollout_blames_it_once_it_lasts() -> None:
    slow = pod("checkout-new-a", status(running=170, ready=False))
    world = World(
        deployment(ready=2),
        good_pod(),
        slow,
        history=history(IMAGE_CHANGE),
        events=(event("checkout-new-a", "Unhealthy", "Readiness probe failed: 503", first=150),),
    )
    found = await by_code(world)
    assert proposed(found["deployment.bad_rollout"]) == ROLLBACK
    assert found["pod.probe_failing"].title.endswith("Readiness probe failed: 503")


async def test_a_missing_secret_that_the_rollout_brought_in_is_rolled_back() -> None:
    message = 'secret "tax-api" not found'
    waits = pod("checkout-new-a", status(waiting="CreateContainerConfigError", message=message), phase="Pending")
    past = history(
        {"path": "spec.containers[app].env[TAX].valueFrom.secretKeyRef.name", "before": "", "after": "tax-api"}
    )
    assert proposed(await top(World(deployment(ready=2), good_pod(), waits, history=past))) == ROLLBACK


async def test_a_missing_secret_that_nobody_changed_proposes_nothing() -> None:
    waits = pod(
        "checkout-new-a", status(waiting="CreateContainerConfigError", message='secret "db" not found'), phase="Pending"
    )
    found = await by_code(World(deployment(ready=2), good_pod(), waits, history=history(IMAGE_CHANGE)))
    assert "deployment.bad_rollout" not in found
    assert found["pod.config_missing"].title == 'Container app cannot start: secret "db" not found'
    assert "retries by itself" in found["pod.config_missing"].facts["next_steps"][0]


async def test_without_the_history_nothing_is_blamed_and_that_it_is_missing_is_said() -> None:
    world = World(deployment(ready=2), good_pod(), crashing_pod(), refuse=("kubernetes_rollout_history",))
    found = await by_code(world)
    assert "deployment.bad_rollout" not in found
    assert found["read.failed"].title == "Could not look at the rollout history"
    assert "forbidden" in found["read.failed"].detail


async def test_an_alert_long_after_the_rollout_does_not_blame_it() -> None:
    alert = Alert("f", True, "KubePodCrashLooping", "alertmanager", NOW - timedelta(minutes=1))
    past = history(IMAGE_CHANGE, completed=True, new_age=2 * 3600)
    found = await by_code(World(deployment(ready=2), crashing_pod(), history=past), alert)
    assert "deployment.bad_rollout" not in found


# --- out of memory ----------------------------------------------------------------------------------------------------


async def test_out_of_memory_proposes_a_higher_limit_with_its_reckoning() -> None:
    found = await top(World(deployment(ready=2), good_pod(), oom_pod(), history=history(IMAGE_CHANGE)))
    assert found.code == "pod.oom_killed"
    assert proposed(found) == (
        "kubernetes_set_resources",
        {
            "namespace": "shop",
            "kind": "Deployment",
            "name": "checkout",
            "container": "app",
            "limits": {"memory": "384Mi"},
        },
    )
    assert found.proposal is not None
    assert "384Mi is 1.5 times" in found.proposal.why
    assert "The alternative is a rollback to revision 3" in found.proposal.why


async def test_a_request_equal_to_the_limit_is_raised_with_it() -> None:
    found = await top(World(deployment(ready=2), oom_pod(request="256Mi")))
    assert found.proposal is not None
    assert found.proposal.arguments["requests"] == {"memory": "384Mi"}


async def test_a_limit_that_the_rollout_lowered_is_restored() -> None:
    lowered = {"path": "spec.containers[app].resources.limits.memory", "before": "1Gi", "after": "256Mi"}
    found = await top(World(deployment(ready=2), good_pod(), oom_pod(), history=history(IMAGE_CHANGE, lowered)))
    assert found.proposal is not None
    assert found.proposal.arguments["limits"] == {"memory": "1Gi"}
    assert "Revision 4 lowered the memory limit of app from 1Gi to 256Mi" in found.proposal.why


async def test_a_limit_that_the_rollout_raised_is_raised_further() -> None:
    higher = {"path": "spec.containers[app].resources.limits.memory", "before": "128Mi", "after": "256Mi"}
    found = await top(World(deployment(ready=2), good_pod(), oom_pod(), history=history(IMAGE_CHANGE, higher)))
    assert found.proposal is not None
    assert found.proposal.arguments["limits"] == {"memory": "384Mi"}


async def test_where_memory_runs_out_as_well_a_crash_does_not_roll_back() -> None:
    world = World(
        deployment(ready=2), good_pod(), oom_pod(), crashing_pod("checkout-new-b"), history=history(IMAGE_CHANGE)
    )
    found = await top(world)
    assert found.code == "pod.oom_killed"


async def test_out_of_memory_without_a_limit_proposes_nothing() -> None:
    found = await top(World(deployment(ready=2), oom_pod(limit="")))
    assert found.code == "pod.oom_killed"
    assert found.proposal is None
    assert "nothing is proposed" in found.detail


@pytest.mark.parametrize(
    ("containers", "said"),
    [
        ([container(limit="1Gi")], "the template sets 1Gi by now"),
        ([container("other")], "checkout's template has no container app"),
    ],
)
async def test_a_limit_that_is_higher_by_now_or_not_the_workloads_own_is_left_alone(
    containers: list[dict[str, object]], said: str
) -> None:
    made = deployment(ready=2)
    made["spec"]["template"]["spec"]["containers"] = containers
    found = await top(World(made, good_pod(), oom_pod()))
    assert found.code == "pod.oom_killed"
    assert found.proposal is None
    assert said in found.detail


async def test_out_of_memory_never_rolls_back_by_itself() -> None:
    found = await by_code(World(deployment(ready=2), good_pod(), oom_pod(), history=history(IMAGE_CHANGE)))
    assert "deployment.bad_rollout" not in found
    assert found["deployment.changed"].proposal is None


async def test_a_kill_that_the_kernel_does_not_call_out_of_memory_is_a_crash() -> None:
    found = await top(World(deployment(ready=2), crashing_pod(exit_code=137)))
    assert found.code == "pod.crash_loop"
    assert "the kernel did not report it as out of memory" in found.detail
    assert found.proposal is None


# --- the workload itself ----------------------------------------------------------------------------------------------


async def test_a_healthy_workload_proposes_nothing_and_says_so() -> None:
    pods = [good_pod(f"checkout-old-{n}") for n in "abc"]
    found = await analyze(CHECKOUT, None, World(deployment(), *pods, history=history(IMAGE_CHANGE)).read)
    assert [item.code for item in found] == ["deployment.healthy"]
    assert found[0].healthy
    assert found[0].title == "checkout is healthy: 3 of 3 pods ready"
    assert "Nothing is proposed" in found[0].detail


def recovered_pod(*, runs: float, ended: float) -> dict[str, object]:
    """A pod whose container crashed `ended` seconds ago, after a run of 5, and has run for `runs` since."""
    state = status(running=runs, last=terminated(1, ran=5, ended=ended), restarts=3, ready=True)
    return pod("checkout-new-a", state, ready=True)


async def test_a_workload_that_recovered_by_itself_is_left_alone_and_its_last_words_are_told() -> None:
    world = World(
        deployment(),
        recovered_pod(runs=120, ended=125),
        history=history(IMAGE_CHANGE),
        logs={("checkout-new-a", True): ["redis: connection refused"]},
    )
    found = await analyze(CHECKOUT, None, world.read)
    assert [item.code for item in found] == ["deployment.recovered"]
    assert found[0].proposal is None
    assert "3 restarts" in found[0].detail
    assert "“redis: connection refused”" in found[0].detail
    assert found[0].facts["confidence"] == "not_proven"


async def test_a_container_between_two_crashes_is_not_taken_as_recovered() -> None:
    found = await top(World(deployment(), recovered_pod(runs=4, ended=6)))
    assert found.code == "pod.crash_loop"
    assert "less time than before its last crash" in found.detail


async def test_a_crash_of_yesterday_is_no_recovery_of_today() -> None:
    found = await top(World(deployment(), recovered_pod(runs=80_000, ended=80_010)))
    assert found.code == "deployment.healthy"
    assert "3 restarts" in found.detail


async def test_a_pod_that_goes_away_after_a_rollout_is_no_problem() -> None:
    leaving = crashing_pod("checkout-old-a", revision="old")
    leaving["metadata"]["deletionTimestamp"] = ago(seconds=-20)
    found = await top(World(deployment(), good_pod("checkout-new-a", revision="new"), leaving))
    assert found.code == "deployment.healthy"


@pytest.mark.parametrize(
    ("workload", "code"),
    [
        (deployment(desired=0, ready=0), "deployment.scaled_to_zero"),
        (deployment(spec={"paused": True}), "deployment.paused"),
        (deployment(observed=3), "deployment.not_observed"),
        (deployment(ready=1), "deployment.unready_pods"),
        (deployment(ready=1, conditions=[progressing("ReplicaSetUpdated")]), "deployment.rolling_out"),
        (
            deployment(ready=1, conditions=[progressing("ProgressDeadlineExceeded", "False", "timed out")]),
            "deployment.progress_deadline",
        ),
        (
            deployment(ready=0, conditions=[{"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate",
                                             "message": 'pods "x" is forbidden: exceeded quota'}]),
            "deployment.cannot_create_pods",
        ),
    ],
)  # fmt: skip
async def test_the_state_of_a_workload_without_troubled_pods(workload: dict[str, object], code: str) -> None:
    found = await top(World(workload, history=history(IMAGE_CHANGE)))
    assert found.code == code
    assert found.proposal is None
    assert not found.healthy


async def test_a_workload_that_does_not_exist_is_a_failed_read_and_no_claim() -> None:
    found = await analyze(CHECKOUT, None, World().read)
    assert [item.code for item in found] == ["read.failed"]
    assert found[0].title == "Could not look at Deployment checkout"


async def test_a_daemon_set_counts_the_nodes_that_it_should_be_on() -> None:
    daemons = {
        "kind": "DaemonSet",
        "metadata": {"name": "agent", "namespace": "shop"},
        "spec": {"selector": {"matchLabels": {"app": "agent"}}},
        "status": {"desiredNumberScheduled": 3, "currentNumberScheduled": 3, "numberReady": 2},
    }
    world = World(daemons)
    found = await analyze(type(CHECKOUT)("kubernetes", "production", "shop", "DaemonSet", "agent"), None, world.read)
    assert found[0].title == "agent is short of pods: 2 of 3 pods ready"
    assert "kubernetes_rollout_history" not in [tool for tool, _ in world.asked]


def test_a_selector_of_expressions_is_a_query_and_not_every_pod() -> None:
    rules = [
        {"key": "app", "operator": "In", "values": ["a", "b"]},
        {"key": "tier", "operator": "NotIn", "values": ["x"]},
        {"key": "team", "operator": "Exists"},
        {"key": "old", "operator": "DoesNotExist"},
    ]
    chosen = {"spec": {"selector": {"matchExpressions": rules}}}
    assert selector_text(chosen) == "app in (a,b),tier notin (x),team,!old"
    chosen["spec"]["selector"]["matchLabels"] = {"app": "a"}  # type: ignore[assignment]
    assert selector_text(chosen).startswith("app=a,app in (a,b)")


async def test_a_pod_without_an_owner_is_not_the_workloads() -> None:
    debug = crashing_pod("debug")
    del debug["metadata"]["ownerReferences"]
    found = await by_code(World(deployment(), good_pod(), debug))
    assert "pod.crash_loop" not in found


async def test_pods_of_another_owner_with_the_same_labels_are_left_out() -> None:
    stranger = crashing_pod("canary-new-a")
    stranger["metadata"]["ownerReferences"] = [{"kind": "ReplicaSet", "name": "canary-new", "controller": True}]
    found = await analyze(CHECKOUT, None, World(deployment(), good_pod(), stranger).read)
    assert [item.code for item in found] == ["deployment.healthy"]


async def test_a_silent_node_is_named_as_the_cause_of_its_unready_pods() -> None:
    silent = pod("checkout-old-a", status(running=9000, ready=True), revision="old")
    down = node("node-1", ("Ready", "Unknown", "Kubelet stopped posting node status."))
    found = await top(
        World(deployment(ready=2), silent, good_pod("checkout-old-b"), down, history=history(IMAGE_CHANGE))
    )
    assert found.code == "node.not_ready"
    assert found.target.kind == "Node"
    assert found.proposal is None


async def test_an_alert_about_a_whole_namespace_looks_at_what_is_incomplete_there() -> None:
    world = World(deployment(ready=2), deployment("cart"), good_pod(), crashing_pod(), history=history(IMAGE_CHANGE))
    everything = type(CHECKOUT)("kubernetes", "production", "shop", "", "")
    found = await analyze(everything, None, world.read)
    assert found[0].code == "deployment.bad_rollout"
    assert found[0].target == CHECKOUT


async def test_two_culprits_at_once_are_shown_and_none_is_proposed() -> None:
    other = crashing_pod("cart-new-a")
    other["metadata"]["labels"]["app"] = "cart"
    other["metadata"]["ownerReferences"][0]["name"] = "cart-new"
    world = World(
        deployment(ready=2), deployment("cart", ready=2), crashing_pod(), other, history=history(IMAGE_CHANGE)
    )
    found = await analyze(type(CHECKOUT)("kubernetes", "production", "shop", "", ""), None, world.read)
    assert [item.code for item in found[:2]] == ["deployment.bad_rollout", "deployment.bad_rollout"]
    assert all(item.proposal is None for item in found)


async def test_first_findings_take_five_reads_and_three_rounds() -> None:
    logs = {("checkout-new-a", True): ["fatal: no such column"]}
    world = World(deployment(ready=2), good_pod(), crashing_pod(), history=history(IMAGE_CHANGE), logs=logs)
    await analyze(CHECKOUT, None, world.read)
    asked = [tool.removeprefix("kubernetes_") for tool, _ in world.asked]
    assert asked == ["get", "rollout_history", "list", "events", "logs"]


@pytest.mark.parametrize(
    ("state", "previous"),
    [
        (status(waiting="CrashLoopBackOff", last=terminated(), restarts=2), True),
        (status(running=2, last=terminated(ended=4), restarts=2), True),
        (status(ended=terminated(), restarts=2), False),
        (status(running=300, ready=False, restarts=2), False),
    ],
)
async def test_the_log_is_that_of_the_run_that_crashed(state: dict[str, object], previous: bool) -> None:
    world = World(deployment(ready=2), pod("checkout-new-a", state))
    await analyze(CHECKOUT, None, world.read)
    assert [asked["previous"] for tool, asked in world.asked if tool == "kubernetes_logs"] == [previous]
