"""The Kubernetes writes over real HTTP: what is shown is what is sent, once, on a condition, and it can be taken back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from bot.tools.kubernetes_objects import ACTION_AT, ACTION_ID
from domain.actions import Action, Effect
from domain.errors import OutcomeUnknown, TargetMoved, ToolError
from tests.contracts.kubernetes_world import STRATEGIC, Fault, World, path, world


@pytest.fixture
async def shop() -> AsyncIterator[World]:
    async with world() as found:
        yield found


CART: dict[str, Any] = {"namespace": "shop", "kind": "Deployment", "name": "cart"}
WRITES: dict[str, dict[str, Any]] = {
    "kubernetes_rollback": {"namespace": "shop", "name": "cart", "to_revision": 1},
    "kubernetes_restart": CART,
    "kubernetes_scale": {**CART, "replicas": 4},
    "kubernetes_set_resources": {**CART, "container": "cart", "limits": {"memory": "512Mi"}},
    "kubernetes_patch": {**CART, "patch": {"spec": {"minReadySeconds": 1}}},
}


async def cart(shop: World) -> Any:
    return await shop.object("deployments", "cart")


def written(shop: World) -> list[Any]:
    return [sent for sent in shop.front.sent if sent.method in ("PATCH", "DELETE") and "dryRun" not in sent.query]


@pytest.mark.parametrize("tool", WRITES)
async def test_a_preview_stores_nothing(shop: World, tool: str) -> None:
    before = await cart(shop)
    action = await shop.propose(tool, **WRITES[tool])
    assert action.diff
    assert action.touches >= 1
    assert await cart(shop) == before
    assert written(shop) == []


@pytest.mark.parametrize("tool", WRITES)
async def test_an_execution_does_what_the_preview_showed_and_leaves_its_key(shop: World, tool: str) -> None:
    action = await shop.propose(tool, **WRITES[tool])
    assert "Deployment" in await shop.execute(action)
    after = await cart(shop)
    assert after["metadata"]["annotations"][ACTION_ID] == "key-1"
    assert after["metadata"]["generation"] == action.observed["generation"] + 1
    template = after["spec"]["template"]["metadata"].get("annotations", {})
    assert ACTION_ID not in template
    assert ACTION_AT not in template
    assert await shop.arrived(action)


@pytest.mark.parametrize("tool", WRITES)
async def test_the_probe_passes_once_the_rollout_is_complete(shop: World, tool: str) -> None:
    action = await shop.propose(tool, **WRITES[tool])
    await shop.execute(action)
    probe = await shop.settled(action)
    assert probe.passed, probe
    assert [check.name for check in probe.checks] == ["change in place", "rollout", "pods ready", "no new warnings"]
    assert all(check.detail for check in probe.checks)


@pytest.mark.parametrize("tool", WRITES)
async def test_a_second_execution_is_refused_and_changes_nothing(shop: World, tool: str) -> None:
    action = await shop.propose(tool, **WRITES[tool])
    await shop.execute(action)
    await shop.settled(action)
    before = await cart(shop)
    with pytest.raises(TargetMoved, match="changed since it was looked at"):
        await shop.execute(action, "key-2")
    assert await cart(shop) == before


@pytest.mark.parametrize("tool", WRITES)
async def test_a_target_that_somebody_changed_is_not_touched(shop: World, tool: str) -> None:
    action = await shop.propose(tool, **WRITES[tool])
    await shop.set_image("cart", "1.8.2")
    with pytest.raises(TargetMoved):
        await shop.execute(action)
    assert written(shop) == []
    assert ACTION_ID not in (await cart(shop))["metadata"]["annotations"]


@pytest.mark.parametrize("tool", WRITES)
async def test_an_answer_that_is_lost_is_unknown_and_the_target_tells_that_it_arrived(shop: World, tool: str) -> None:
    action = await shop.propose(tool, **WRITES[tool])
    shop.front.faults.append(Fault("PATCH", act="lose"))
    with pytest.raises(OutcomeUnknown, match="may or may not have taken effect"):
        await shop.execute(action)
    assert await shop.arrived(action) is True
    assert await shop.arrived(action, "another-key") is None


@pytest.mark.parametrize("tool", WRITES)
async def test_what_never_reached_the_cluster_has_not_arrived(shop: World, tool: str) -> None:
    action = await shop.propose(tool, **WRITES[tool])
    shop.front.faults.append(Fault("PATCH", status=504, message="gateway timeout"))
    with pytest.raises(OutcomeUnknown):
        await shop.execute(action)
    assert await shop.arrived(action) is False


async def test_it_cannot_be_told_whether_a_key_arrived_that_others_may_have_overwritten(shop: World) -> None:
    action = await shop.propose("kubernetes_scale", **WRITES["kubernetes_scale"])
    await shop.set_image("cart", "1.8.2")
    assert await shop.arrived(action) is None
    await shop.admin("DELETE", path("deployments", "cart", "shop"))
    assert await shop.arrived(action) is None


@pytest.mark.parametrize(
    "tool", ["kubernetes_rollback", "kubernetes_scale", "kubernetes_set_resources", "kubernetes_patch"]
)
async def test_the_undo_restores_what_was(shop: World, tool: str) -> None:
    before = (await cart(shop))["spec"]
    action = await shop.propose(tool, **WRITES[tool])
    await shop.execute(action)
    await shop.settled(action)
    assert action.undo is not None
    back = await shop.propose(action.undo.tool, **action.undo.arguments)
    assert back.arguments == action.undo.arguments
    await shop.execute(back, "key-2")
    assert (await shop.settled(back)).passed
    assert (await cart(shop))["spec"] == before


async def test_a_restart_has_no_undo_and_says_why(shop: World) -> None:
    action = await shop.propose("kubernetes_restart", **CART)
    assert action.undo is None
    assert "no inverse" in action.facts["no_undo"]


async def test_a_restart_replaces_every_pod(shop: World) -> None:
    before = {pod["metadata"]["uid"] for pod in await shop.pods("cart")}
    action = await shop.propose("kubernetes_restart", **CART)
    await shop.execute(action)
    assert (await shop.settled(action)).passed
    staying = [pod["metadata"] for pod in await shop.pods("cart") if "deletionTimestamp" not in pod["metadata"]]
    assert before.isdisjoint({pod["uid"] for pod in staying})


async def test_a_restart_of_what_updates_only_on_delete_is_refused(shop: World) -> None:
    labels = {"app": "agent"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "x:1"}]}}
    spec = {"selector": {"matchLabels": labels}, "template": template, "updateStrategy": {"type": "OnDelete"}}
    body = {"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "agent"}, "spec": spec}
    await shop.admin("POST", "/apis/apps/v1/namespaces/shop/daemonsets", body, "application/json")
    with pytest.raises(ToolError, match="only when they are deleted"):
        await shop.propose("kubernetes_restart", namespace="shop", kind="DaemonSet", name="agent")


async def test_a_restart_whose_mark_was_taken_back_is_not_in_place(shop: World) -> None:
    action = await shop.propose("kubernetes_restart", **CART)
    await shop.execute(action)
    for stamp in (None, "2020-01-01T00:00:00Z"):
        mark = {"annotations": {"kubectl.kubernetes.io/restartedAt": stamp}}
        await shop.admin("PATCH", path("deployments", "cart", "shop"), {"spec": {"template": {"metadata": mark}}})
        check = (await shop.probe(action)).checks[0]
        assert (check.passed, check.detail) == (False, "the restart's mark is gone from the pod template")


async def test_an_undo_never_holds_a_value_that_is_not_shown(shop: World) -> None:
    def env(value: str) -> dict[str, Any]:
        containers = [{"name": "cart", "env": [{"name": "DB_PASSWORD", "value": value}]}]
        return {"spec": {"template": {"spec": {"containers": containers}}}}

    await shop.admin("PATCH", path("deployments", "cart", "shop"), env("hunter2"))
    action = await shop.propose("kubernetes_patch", **CART, patch=env("x"))
    assert action.undo is None
    assert "never shown" in action.facts["no_undo"]
    assert "hunter2" not in str(action)
    assert "a hidden value differs" in action.diff


async def test_a_patch_without_an_exact_inverse_has_no_undo_and_says_why(shop: World) -> None:
    tolerations = [{"key": "spot", "operator": "Exists"}]
    action = await shop.propose(
        "kubernetes_patch", **CART, patch={"spec": {"template": {"spec": {"tolerations": tolerations}}}}
    )
    assert (action.undo, action.facts["no_undo"]) == (None, "the list tolerations has no exact inverse")


async def test_a_rollback_of_a_bad_rollout_restores_the_good_template(shop: World) -> None:
    good = (await shop.object("deployments", "checkout"))["spec"]["template"]
    await shop.break_checkout()
    history = await shop.read("kubernetes_rollout_history", namespace="shop", name="checkout")
    action = await shop.propose("kubernetes_rollback", namespace="shop", name="checkout", to_revision=history["good"])
    assert "-        image: registry.acme.dev/shop/checkout:2.5.0" in action.diff
    assert "+        image: registry.acme.dev/shop/checkout:2.4.1" in action.diff
    assert action.touches == 3
    assert action.facts["ready"] == 2
    await shop.execute(action)
    assert (await shop.settled(action)).passed
    assert (await shop.object("deployments", "checkout"))["spec"]["template"] == good


async def test_a_rollback_takes_the_revisions_change_cause_along(shop: World) -> None:
    action = await shop.propose("kubernetes_rollback", namespace="shop", name="checkout", to_revision=1)
    await shop.execute(action)
    annotations = (await shop.object("deployments", "checkout"))["metadata"]["annotations"]
    assert annotations["kubernetes.io/change-cause"] == "CI #1841: checkout 2.3.9"


async def test_a_rollback_to_what_runs_or_to_what_is_gone_is_refused(shop: World) -> None:
    with pytest.raises(ToolError, match="runs already"):
        await shop.propose("kubernetes_rollback", namespace="shop", name="checkout", to_revision=3)
    with pytest.raises(ToolError, match="no revision 9 any more; it has 3, 2, 1"):
        await shop.propose("kubernetes_rollback", namespace="shop", name="checkout", to_revision=9)


async def test_a_revision_is_still_found_under_the_number_it_had(shop: World) -> None:
    first = await shop.propose("kubernetes_rollback", namespace="shop", name="cart", to_revision=1)
    await shop.execute(first)
    await shop.settled(first)
    await shop.set_image("cart", "1.9.0")
    await shop.until(lambda: _revision(shop, "cart", 4))
    again = await shop.propose("kubernetes_rollback", namespace="shop", name="cart", to_revision=1)
    assert again.observed["to_template"] == first.observed["to_template"]


async def _revision(shop: World, name: str, wanted: int) -> bool:
    found = await shop.object("deployments", name)
    return bool(found["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == str(wanted))


async def test_a_revision_that_went_away_since_is_a_moved_target(shop: World) -> None:
    action = await shop.propose("kubernetes_rollback", namespace="shop", name="checkout", to_revision=1)
    found = await shop.admin("GET", "/apis/apps/v1/namespaces/shop/replicasets?labelSelector=app=checkout")
    notes = {item["metadata"]["name"]: item["metadata"]["annotations"] for item in found["items"]}
    first = next(name for name, note in notes.items() if note["deployment.kubernetes.io/revision"] == "1")
    await shop.admin("DELETE", path("replicasets", first, "shop"))
    with pytest.raises(TargetMoved, match="no revision 1 any more"):
        await shop.execute(action)
    assert written(shop) == []


async def test_a_status_update_between_read_and_write_does_not_stop_it(shop: World) -> None:
    action = await shop.propose("kubernetes_scale", **WRITES["kubernetes_scale"])

    async def somebody_writes_the_status() -> None:
        status = {"status": {"observedGeneration": 1, "replicas": 2, "conditions": []}}
        await shop.admin("PATCH", path("deployments", "cart", "shop") + "/status", status)

    shop.front.faults.append(Fault("PATCH", then=somebody_writes_the_status))
    await shop.execute(action)
    assert [sent.body["spec"] for sent in written(shop)] == [{"replicas": 4}, {"replicas": 4}]
    assert (await cart(shop))["spec"]["replicas"] == 4


async def test_a_change_between_read_and_write_stops_it(shop: World) -> None:
    action = await shop.propose("kubernetes_scale", **WRITES["kubernetes_scale"])

    async def somebody_scales() -> None:
        await shop.admin("PATCH", path("deployments", "cart", "shop"), {"spec": {"replicas": 7}})

    shop.front.faults.append(Fault("PATCH", then=somebody_scales))
    with pytest.raises(TargetMoved, match="replicas 2 -> 7"):
        await shop.execute(action)
    assert (await cart(shop))["spec"]["replicas"] == 7


async def test_a_deleted_and_recreated_object_is_not_the_approved_one(shop: World) -> None:
    action = await shop.propose("kubernetes_scale", **WRITES["kubernetes_scale"])
    other = replace(action, observed={**action.observed, "uid": "another"})
    with pytest.raises(TargetMoved, match="uid another"):
        await shop.execute(other)
    await shop.admin("DELETE", path("deployments", "cart", "shop"))
    with pytest.raises(TargetMoved, match="There is no Deployment"):
        await shop.execute(action)


async def test_writes_carry_their_manager_and_refuse_unknown_fields(shop: World) -> None:
    action = await shop.propose("kubernetes_rollback", **WRITES["kubernetes_rollback"])
    await shop.execute(action)
    scaled = await shop.propose("kubernetes_scale", **WRITES["kubernetes_scale"])
    await shop.execute(scaled)
    patches = [sent for sent in shop.front.sent if sent.method == "PATCH"]
    assert {(sent.query["fieldManager"], sent.query["fieldValidation"]) for sent in patches} == {
        ("personal-agent", "Strict")
    }
    assert [sent.media for sent in patches] == ["application/json-patch+json"] * 2 + [STRATEGIC] * 2
    assert [sent.query.get("dryRun") for sent in patches] == ["All", None, "All", None]


async def test_every_write_is_conditional_on_the_version_that_was_read(shop: World) -> None:
    action = await shop.propose("kubernetes_rollback", **WRITES["kubernetes_rollback"])
    version = (await cart(shop))["metadata"]["resourceVersion"]
    await shop.execute(action)
    assert written(shop)[0].body[0] == {"op": "replace", "path": "/metadata/resourceVersion", "value": version}
    scaled = await shop.propose("kubernetes_scale", **WRITES["kubernetes_scale"])
    version = (await cart(shop))["metadata"]["resourceVersion"]
    await shop.execute(scaled)
    assert written(shop)[1].body["metadata"]["resourceVersion"] == version


async def test_what_the_server_warns_of_stands_over_the_diff(shop: World) -> None:
    shop.front.faults.append(Fault("PATCH", dry_run=True, headers={"Warning": '299 - "spec is deprecated"'}))
    action = await shop.propose("kubernetes_scale", **WRITES["kubernetes_scale"])
    assert action.diff.startswith('# Kubernetes warns: 299 - "spec is deprecated"\n--- now')


async def test_a_change_that_changes_nothing_is_refused(shop: World) -> None:
    with pytest.raises(ToolError, match="has 2 replicas already"):
        await shop.propose("kubernetes_scale", **CART, replicas=2)
    with pytest.raises(ToolError, match="would change nothing"):
        await shop.propose("kubernetes_patch", **CART, patch={"spec": {"replicas": 2}})
    with pytest.raises(ToolError, match="would change nothing"):
        await shop.propose("kubernetes_set_resources", **CART, container="cart", limits={"memory": "256Mi"})


async def test_an_unknown_container_is_refused_with_those_there_are(shop: World) -> None:
    with pytest.raises(ToolError, match='no container "web"; it has cart'):
        await shop.propose("kubernetes_set_resources", **CART, container="web", limits={"memory": "1Gi"})


async def test_a_paused_rollout_is_neither_restarted_nor_rolled_back(shop: World) -> None:
    await shop.admin("PATCH", path("deployments", "cart", "shop"), {"spec": {"paused": True}})
    for tool in ("kubernetes_restart", "kubernetes_rollback"):
        with pytest.raises(ToolError, match="is paused"):
            await shop.propose(tool, **WRITES[tool])


async def test_an_invalid_change_is_refused_by_the_dry_run(shop: World) -> None:
    with pytest.raises(ToolError, match="greater than or equal to 0"):
        await shop.propose("kubernetes_patch", **CART, patch={"spec": {"replicas": -1}})
    limits = {"requests": {"memory": "4Gi"}, "limits": {"memory": "1Gi"}}
    with pytest.raises(ToolError, match="less than or equal to memory limit"):
        await shop.propose("kubernetes_set_resources", **CART, container="cart", **limits)
    assert written(shop) == []


async def test_a_target_that_does_not_exist_is_said_so(shop: World) -> None:
    with pytest.raises(ToolError, match='There is no Deployment "nope" in namespace "shop"'):
        await shop.propose("kubernetes_scale", namespace="shop", kind="Deployment", name="nope", replicas=1)


async def test_the_environment_is_the_servers(shop: World) -> None:
    tool = shop.tools["kubernetes_restart"]
    target = tool.understand({"namespace": "staging-shop", "kind": "Deployment", "name": "checkout"}).target
    assert (target.environment, str(target)) == ("staging", "staging-shop/deployment/checkout")


# --- the size that an autoscaler sets


async def autoscaled(shop: World) -> None:
    shop.cluster.seed(
        {
            "apiVersion": "autoscaling/v2",
            "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": "cart", "namespace": "shop"},
            "spec": {
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "cart"},
                "minReplicas": 2,
                "maxReplicas": 10,
            },
        }
    )


async def test_an_approval_outlives_the_autoscalers_scaling(shop: World) -> None:
    await autoscaled(shop)
    action = await shop.propose("kubernetes_restart", **CART)
    assert action.facts["autoscaled"]
    await shop.admin("PATCH", path("deployments", "cart", "shop"), {"spec": {"replicas": 5}})
    await shop.execute(action)
    assert (await cart(shop))["spec"]["replicas"] == 5


async def test_but_not_any_other_change_of_an_autoscaled_workload(shop: World) -> None:
    await autoscaled(shop)
    action = await shop.propose("kubernetes_restart", **CART)
    await shop.admin("PATCH", path("deployments", "cart", "shop"), {"spec": {"minReadySeconds": 3}})
    with pytest.raises(TargetMoved):
        await shop.execute(action)


async def test_scaling_by_hand_what_an_autoscaler_sizes_says_so(shop: World) -> None:
    await autoscaled(shop)
    action = await shop.propose("kubernetes_scale", **CART, replicas=4)
    assert 'HorizontalPodAutoscaler "cart" also sets the size (2 to 10)' in action.diff
    await shop.admin("PATCH", path("deployments", "cart", "shop"), {"spec": {"replicas": 6}})
    with pytest.raises(TargetMoved, match="replicas 2 -> 6"):
        await shop.execute(action)


async def test_an_object_that_something_else_manages_says_so(shop: World) -> None:
    note = {"metadata": {"annotations": {"argocd.argoproj.io/tracking-id": "shop:apps/Deployment:shop/cart"}}}
    await shop.admin("PATCH", path("deployments", "cart", "shop"), note)
    action = await shop.propose("kubernetes_scale", **CART, replicas=4)
    assert action.diff.startswith("# managed by Argo CD, which may put the old state back")
    assert action.facts["owner"] == "Argo CD"


# --- nodes


async def test_a_node_is_cordoned_and_uncordoned(shop: World) -> None:
    action = await shop.propose("kubernetes_cordon", name="node-a", unschedulable=True)
    assert action.observed["unschedulable"] is False
    assert action.target.key == "kubernetes/Node/node-a"
    await shop.execute(action)
    assert (await shop.object("nodes", "node-a"))["spec"]["unschedulable"] is True
    assert (await shop.probe(action)).passed
    assert await shop.arrived(action)
    assert action.undo is not None
    back = await shop.propose(action.undo.tool, **action.undo.arguments)
    await shop.execute(back, "key-2")
    assert not (await shop.object("nodes", "node-a"))["spec"].get("unschedulable")
    assert not (await shop.probe(action)).passed


async def test_what_the_control_plane_writes_to_a_node_moves_nothing(shop: World) -> None:
    action = await shop.propose("kubernetes_cordon", name="node-a", unschedulable=True)
    taints = {"spec": {"taints": [{"key": "node.kubernetes.io/unreachable", "effect": "NoSchedule"}]}}
    await shop.admin("PATCH", "/api/v1/nodes/node-a", taints)
    await shop.execute(action)
    assert (await shop.object("nodes", "node-a"))["spec"]["unschedulable"] is True


async def test_a_node_that_is_cordoned_already_is_said_so(shop: World) -> None:
    with pytest.raises(ToolError, match="schedulable already"):
        await shop.propose("kubernetes_cordon", name="node-a", unschedulable=False)


# --- one pod


async def a_pod(shop: World) -> Action:
    pod = (await shop.pods("cart"))[0]["metadata"]["name"]
    return await shop.propose("kubernetes_delete_pod", namespace="shop", name=pod)


async def test_deleting_a_pod_previews_without_deleting(shop: World) -> None:
    before = await shop.pods("cart")
    action = await a_pod(shop)
    assert action.effect is Effect.DESTRUCTIVE
    assert action.facts["owner"].startswith("ReplicaSet/cart-")
    assert "makes another pod" in action.diff
    assert await shop.arrived(action) is False
    assert await shop.pods("cart") == before


async def test_a_deleted_pod_is_replaced_and_the_probe_sees_it(shop: World) -> None:
    action = await a_pod(shop)
    await shop.execute(action)
    assert await shop.arrived(action)
    probe = await shop.settled(action)
    assert [check.name for check in probe.checks] == ["pod gone", "replacement"]
    assert probe.passed
    assert action.undo is None
    assert "does not come back" in action.facts["no_undo"]


async def test_a_pod_that_is_gone_is_not_deleted_again(shop: World) -> None:
    action = await a_pod(shop)
    await shop.execute(action)
    await shop.settled(action)
    before = {pod["metadata"]["uid"] for pod in await shop.pods("cart")}
    with pytest.raises(TargetMoved, match="gone or another one"):
        await shop.execute(action, "key-2")
    assert {pod["metadata"]["uid"] for pod in await shop.pods("cart")} == before


async def test_another_pod_of_the_same_name_is_never_deleted(shop: World) -> None:
    action = await a_pod(shop)
    other = replace(action, observed={**action.observed, "uid": "00000000-0000-4000-8000-000000000000"})
    with pytest.raises(TargetMoved):
        await shop.execute(other)
    assert written(shop) == []
    assert await shop.arrived(other) is True


async def test_the_delete_itself_names_the_pod_by_uid(shop: World) -> None:
    action = await a_pod(shop)
    await shop.execute(action)
    sent = written(shop)
    assert [item.body["preconditions"] for item in sent] == [{"uid": action.observed["uid"]}]


async def test_a_lost_answer_to_a_delete_is_unknown_until_the_pod_is_looked_for(shop: World) -> None:
    action = await a_pod(shop)
    shop.front.faults += [Fault("DELETE", act="lose"), Fault("DELETE", act="lose")]
    with pytest.raises(OutcomeUnknown):
        await shop.execute(action)
    assert await shop.arrived(action) is True


async def test_a_delete_that_finds_nothing_may_have_been_our_own(shop: World) -> None:
    action = await a_pod(shop)
    shop.front.faults.append(Fault("DELETE", status=404, message='pods "x" not found'))
    with pytest.raises(OutcomeUnknown, match="by whom cannot be told"):
        await shop.execute(action)


async def test_a_pod_without_an_owner_is_said_to_be_gone_for_good(shop: World) -> None:
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "bare", "namespace": "shop"},
        "spec": {"containers": [{"name": "c", "image": "registry.acme.dev/shop/cart:1.9.0"}]},
    }
    await shop.admin("POST", "/api/v1/namespaces/shop/pods", pod, "application/json")
    action = await shop.propose("kubernetes_delete_pod", namespace="shop", name="bare")
    assert action.facts["owner"] == ""
    assert "gone for good" in action.diff
    await shop.execute(action)
    assert (await shop.settled(action)).passed


# --- what a probe sees


async def test_a_rollout_that_crashes_settles_as_failed(shop: World) -> None:
    image = "registry.acme.dev/shop/checkout:2.5.0"
    container = {"name": "checkout", "image": image}
    patch = {"spec": {"template": {"spec": {"containers": [container]}}}}
    action = await shop.propose("kubernetes_patch", namespace="shop", kind="Deployment", name="checkout", patch=patch)
    await shop.execute(action)
    probe = await shop.settled(action)
    assert probe.settled
    assert not probe.passed
    failed = {check.name: check.detail for check in probe.checks if not check.passed}
    assert "CrashLoopBackOff" in failed["pods ready"]


async def test_a_change_that_somebody_reverted_fails_its_probe(shop: World) -> None:
    for tool in ("kubernetes_rollback", "kubernetes_scale", "kubernetes_set_resources"):
        action = await shop.propose(tool, **WRITES[tool])
        await shop.execute(action)
        await shop.settled(action)
        assert action.undo is not None
        await shop.execute(await shop.propose(action.undo.tool, **action.undo.arguments))
        first = (await shop.probe(action)).checks[0]
        assert (first.name, first.passed) == ("change in place", False), tool
        assert first.detail


async def test_warnings_of_the_bad_rollout_do_not_fail_the_rollback(shop: World) -> None:
    await shop.break_checkout()
    action = await shop.propose("kubernetes_rollback", namespace="shop", name="checkout", to_revision=3)
    await shop.execute(action)
    assert (await shop.settled(action)).passed


async def test_a_new_warning_about_a_ready_pod_fails_the_probe(shop: World) -> None:
    action = await shop.propose("kubernetes_restart", **CART)
    await shop.execute(action)
    await shop.settled(action)
    pod = await _staying(shop)
    shop.cluster.seed(_warning(pod, "2099-01-01T00:00:00Z"))
    check = (await shop.probe(action)).checks[-1]
    assert not check.passed
    assert "Unhealthy: Readiness probe failed" in check.detail


async def test_a_warning_from_before_the_change_does_not(shop: World) -> None:
    action = await shop.propose("kubernetes_restart", **CART)
    await shop.execute(action)
    await shop.settled(action)
    pod = await _staying(shop)
    shop.cluster.seed(_warning(pod, "2020-01-01T00:00:00Z"))
    assert (await shop.probe(action)).passed


async def test_warnings_of_a_pods_start_are_no_news_once_it_is_ready(shop: World) -> None:
    action = await shop.propose("kubernetes_restart", **CART)
    await shop.execute(action)
    await shop.settled(action)
    long_ago = {"metadata": {"annotations": {ACTION_AT: "2020-01-01T00:00:00Z"}}}
    await shop.admin("PATCH", path("deployments", "cart", "shop"), long_ago)
    shop.cluster.seed(_warning(await _staying(shop), "2021-01-01T00:00:00Z"))
    await shop.settled(action)
    assert (await shop.probe(action)).passed


async def test_a_crash_loop_of_a_pod_that_is_going_away_is_not_the_rollouts(shop: World) -> None:
    action = await shop.propose("kubernetes_scale", **CART, replicas=3)
    await shop.execute(action)
    await shop.settled(action)
    pod = await _staying(shop)
    kept = {key: pod["metadata"][key] for key in ("namespace", "labels", "ownerReferences")}
    waiting = [{"name": "cart", "state": {"waiting": {"reason": "CrashLoopBackOff"}}}]
    gone = {"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["example.com/slow"]}
    old = {"apiVersion": "v1", "kind": "Pod", "metadata": {**kept, **gone, "name": "cart-old"}, "spec": pod["spec"]}
    shop.cluster.seed({**old, "status": {"containerStatuses": waiting}})
    assert (await shop.settled(action)).passed


async def _staying(shop: World) -> Any:
    """A pod of cart that is not going away: the old ones are there for a while after a rollout."""
    return next(pod for pod in await shop.pods("cart") if "deletionTimestamp" not in pod["metadata"])


def _warning(pod: Any, last: str) -> dict[str, Any]:
    meta = pod["metadata"]
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{meta['name']}.{last[:4]}", "namespace": "shop"},
        "involvedObject": {"kind": "Pod", "namespace": "shop", "name": meta["name"], "uid": meta["uid"]},
        "type": "Warning",
        "reason": "Unhealthy",
        "message": "Readiness probe failed: HTTP probe failed with statuscode: 503",
        "firstTimestamp": last,
        "lastTimestamp": last,
        "count": 1,
    }
