"""The stand-in API server over plain HTTP: status codes, the real sentences, options, discovery, access."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from bot.local.cluster import Cluster
from tests.contracts.cluster_support import (
    JSON_PATCH,
    MERGE,
    SHOP,
    STRATEGIC,
    Http,
    deployment_manifest,
    http,
    image_patch,
    pod_manifest,
)

CHECKOUT = f"{SHOP}/checkout"
PODS = "/api/v1/namespaces/shop/pods"


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    async with Cluster(speed=50) as found:
        yield found


@pytest.fixture
async def web(cluster: Cluster) -> AsyncIterator[Http]:
    async with http(cluster) as found:
        yield found


async def refused(web: Http, method: str, path: str, body: Any = None, content_type: str = "application/json") -> Any:
    """The Status of a request that must fail; its shape is checked on the way."""
    code, status, _ = await web.ask(method, path, body, content_type)
    assert code >= 400, status
    assert status["kind"] == "Status"
    assert status["apiVersion"] == "v1"
    assert status["status"] == "Failure"
    assert status["code"] == code
    return status


# --- who may come in


@pytest.mark.parametrize("header", [None, "Bearer wrong", "Basic dXNlcjpwYXNz", "Bearer "])
async def test_without_a_known_bearer_token_everything_is_401(cluster: Cluster, header: str | None) -> None:
    headers = {"Authorization": header} if header else {}
    async with aiohttp.ClientSession(cluster.url, headers=headers) as session, session.get("/api/v1/pods") as response:
        body = await response.json()
    assert response.status == 401
    assert body == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": "Unauthorized",
        "reason": "Unauthorized",
        "code": 401,
    }


async def test_health_needs_no_token(cluster: Cluster) -> None:
    async with aiohttp.ClientSession(cluster.url) as session:
        for path in ("/livez", "/readyz", "/healthz"):
            async with session.get(path) as response:
                assert (response.status, await response.text()) == (200, "ok")


async def test_secrets_are_forbidden_in_the_words_of_the_api_server(web: Http) -> None:
    status = await refused(web, "GET", "/api/v1/namespaces/shop/secrets/db")
    assert status["code"] == 403
    assert status["reason"] == "Forbidden"
    assert status["message"] == (
        'secrets "db" is forbidden: User "system:serviceaccount:personal-agent:personal-agent" cannot get resource'
        ' "secrets" in API group "" in the namespace "shop"'
    )
    assert status["details"] == {"name": "db", "kind": "secrets"}


async def test_a_forbidden_list_names_the_cluster_scope(web: Http) -> None:
    status = await refused(web, "GET", "/api/v1/secrets")
    assert status["message"].startswith("secrets is forbidden: User ")
    assert status["message"].endswith('cannot list resource "secrets" in API group "" at the cluster scope')


ROLE = """
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: reader, namespace: shop}
rules:
- {apiGroups: [""], resources: [pods], verbs: [get, list]}
- {apiGroups: [apps], resources: [deployments], resourceNames: [checkout], verbs: [get, patch]}
- {apiGroups: [apps], resources: [deployments/scale], verbs: [update]}
"""


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", PODS, True),
        ("GET", f"{PODS}/x/log", False),
        ("GET", "/api/v1/pods", False),
        ("GET", "/api/v1/namespaces/staging-shop/pods", False),
        ("DELETE", f"{PODS}/x", False),
        ("GET", CHECKOUT, True),
        ("GET", f"{SHOP}/cart", False),
        ("GET", f"{CHECKOUT}/scale", False),
        ("GET", SHOP, False),
    ],
)
async def test_a_role_allows_its_rules_and_nothing_else(
    cluster: Cluster, web: Http, tmp_path: Path, method: str, path: str, allowed: bool
) -> None:
    (tmp_path / "role.yaml").write_text(ROLE)
    cluster.load_role(tmp_path / "role.yaml")
    code, body, _ = await web.ask(method, path)
    assert (code == 403) is not allowed, body


BOUND = """
kind: ClusterRole
metadata: {name: reader}
rules: [{apiGroups: ["*"], resources: ["*"], verbs: [list]}]
---
kind: RoleBinding
metadata: {name: reader, namespace: shop}
roleRef: {kind: ClusterRole, name: reader, apiGroup: rbac.authorization.k8s.io}
---
kind: ClusterRole
metadata: {name: unbound}
rules: [{apiGroups: ["*"], resources: ["*"], verbs: ["*"]}]
"""


async def test_a_cluster_role_holds_where_its_binding_says(cluster: Cluster, web: Http, tmp_path: Path) -> None:
    (tmp_path / "role.yaml").write_text(BOUND)
    cluster.load_role(tmp_path / "role.yaml")
    assert (await web.ask("GET", PODS))[0] == 200
    assert (await web.ask("GET", "/api/v1/namespaces/staging-shop/pods"))[0] == 403
    assert (await web.ask("DELETE", f"{PODS}/x"))[0] == 403


async def test_a_client_can_ask_what_it_may_do(web: Http) -> None:
    async def may(resource: str, verb: str) -> bool:
        wanted = {"resource": resource, "verb": verb, "namespace": "shop"}
        body = {"kind": "SelfSubjectAccessReview", "spec": {"resourceAttributes": wanted}}
        code, answer, _ = await web.ask("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", body)
        assert code == 201
        return bool(answer["status"]["allowed"])

    assert await may("pods", "delete")
    assert not await may("secrets", "get")


async def test_a_client_can_ask_who_it_is_and_for_all_its_rules(web: Http) -> None:
    code, who, _ = await web.ask("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", {})
    assert code == 201
    assert who["status"]["userInfo"]["username"] == "system:serviceaccount:personal-agent:personal-agent"
    body = {"spec": {"namespace": "shop"}}
    _, rules, _ = await web.ask("POST", "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", body)
    listed = {name for rule in rules["status"]["resourceRules"] for name in rule["resources"]}
    assert "pods/log" in listed
    assert "secrets" not in listed


# --- discovery


async def test_discovery_lists_groups_versions_and_subresources(web: Http) -> None:
    assert (await web.get("/version"))["gitVersion"].startswith("v1.")
    assert (await web.get("/api"))["versions"] == ["v1"]
    groups = {group["name"] for group in (await web.get("/apis"))["groups"]}
    assert groups >= {"apps", "batch", "policy", "autoscaling", "discovery.k8s.io"}
    assert (await web.get("/apis/apps"))["preferredVersion"]["groupVersion"] == "apps/v1"
    core = {entry["name"]: entry for entry in (await web.get("/api/v1"))["resources"]}
    assert core["pods"]["shortNames"] == ["po"]
    assert not core["nodes"]["namespaced"]
    assert core["pods/eviction"]["group"] == "policy"
    apps = {entry["name"]: entry for entry in (await web.get("/apis/apps/v1"))["resources"]}
    assert apps["deployments/scale"]["kind"] == "Scale"


@pytest.mark.parametrize("path", ["/apis/nothing.io", "/apis/apps/v2", "/api/v1/widgets", "/apis/apps/v1/pods"])
async def test_what_is_not_served_is_404_in_the_servers_words(web: Http, path: str) -> None:
    assert (await refused(web, "GET", path))["message"] == "the server could not find the requested resource"


async def test_a_path_outside_the_api_is_forbidden(web: Http) -> None:
    status = await refused(web, "GET", "/metrics")
    assert status["message"].endswith('cannot get path "/metrics"')


# --- reading


async def test_a_missing_object_is_404_with_details(web: Http) -> None:
    status = await refused(web, "GET", f"{SHOP}/nothing")
    assert status["message"] == 'deployments.apps "nothing" not found'
    assert status["details"] == {"name": "nothing", "group": "apps", "kind": "deployments"}


async def test_items_of_a_list_carry_no_kind(web: Http) -> None:
    listed = await web.get(SHOP)
    assert listed["kind"] == "DeploymentList"
    assert all("kind" not in item and "apiVersion" not in item for item in listed["items"])
    assert (await web.get(CHECKOUT))["kind"] == "Deployment"


async def test_a_namespace_that_is_not_there_lists_nothing(web: Http) -> None:
    assert (await web.get("/api/v1/namespaces/nowhere/pods"))["items"] == []


@pytest.mark.parametrize(
    ("selector", "names"),
    [
        ("app=checkout", {"checkout"}),
        ("app==checkout", {"checkout"}),
        ("app!=checkout", {"cart", "payments", "web"}),
        ("app in (cart, web)", {"cart", "web"}),
        ("app notin (cart,web,payments)", {"checkout"}),
        ("app,app!=cart,app!=web", {"checkout", "payments"}),
        ("!app", set()),
        ("nothing", set()),
    ],
)
async def test_label_selectors_select(web: Http, selector: str, names: set[str]) -> None:
    _, listed, _ = await web.ask("GET", f"{SHOP}?labelSelector={selector.replace(' ', '%20')}")
    assert {item["metadata"]["name"] for item in listed["items"]} == names


@pytest.mark.parametrize("selector", ["app=a=b", "app in cart", "=x", "app=not valid", "app in (a"])
async def test_a_label_selector_that_cannot_be_parsed_is_400(web: Http, selector: str) -> None:
    status = await refused(web, "GET", f"{PODS}?labelSelector={selector.replace(' ', '%20')}")
    assert status["reason"] == "BadRequest"
    assert "unable to parse requirement" in status["message"]


async def test_field_selectors_select_and_unknown_ones_are_400(web: Http) -> None:
    assert len((await web.get(f"{PODS}?fieldSelector=status.phase%3DRunning"))["items"]) == 9
    assert (await web.get(f"{PODS}?fieldSelector=status.phase!%3DRunning"))["items"] == []
    on_node = (await web.get(f"{PODS}?fieldSelector=spec.nodeName%3Dnode-a"))["items"]
    assert {pod["spec"]["nodeName"] for pod in on_node} == {"node-a"}
    one = (await web.get(f"{SHOP}?fieldSelector=metadata.name%3Dcart"))["items"]
    assert [item["metadata"]["name"] for item in one] == ["cart"]
    status = await refused(web, "GET", f"{PODS}?fieldSelector=spec.image%3Dx")
    assert status["message"] == "field label not supported: spec.image"
    status = await refused(web, "GET", f"{SHOP}?fieldSelector=spec.replicas%3D3")
    assert '"spec.replicas" is not a known field selector' in status["message"]


async def test_pages_are_of_one_snapshot(cluster: Cluster, web: Http) -> None:
    first = await web.get(f"{SHOP}?limit=3")
    assert [item["metadata"]["name"] for item in first["items"]] == ["cart", "checkout", "payments"]
    assert first["metadata"]["remainingItemCount"] == 1
    assert (await web.ask("POST", SHOP, deployment_manifest("zebra")))[0] == 201
    second = await web.get(f"{SHOP}?limit=3&continue={first['metadata']['continue']}")
    assert [item["metadata"]["name"] for item in second["items"]] == ["web"]
    assert second["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
    assert "continue" not in second["metadata"]


async def test_a_continue_token_from_before_a_compaction_is_410(cluster: Cluster, web: Http) -> None:
    first = await web.get(f"{SHOP}?limit=1")
    assert (await web.ask("POST", SHOP, deployment_manifest("zebra")))[0] == 201
    cluster.compact()
    status = await refused(web, "GET", f"{SHOP}?limit=1&continue={first['metadata']['continue']}")
    assert (status["code"], status["reason"]) == (410, "Expired")
    assert "continue parameter is too old" in status["message"]


@pytest.mark.parametrize("token", ["nonsense", "e30", "bm90IGpzb24"])
async def test_a_continue_token_that_is_none_is_400(web: Http, token: str) -> None:
    assert (await refused(web, "GET", f"{SHOP}?continue={token}"))["code"] == 400


async def test_a_resource_version_of_the_future_is_504(web: Http) -> None:
    status = await refused(web, "GET", f"{SHOP}?resourceVersion=99999999")
    assert (status["code"], status["reason"]) == (504, "Timeout")
    assert status["message"].startswith("Timeout: Too large resource version: 99999999, current: ")


async def test_a_resource_version_that_is_no_number_is_refused(web: Http) -> None:
    assert (await refused(web, "GET", f"{SHOP}?resourceVersion=abc"))["code"] == 422


# --- writing


async def test_creating_fills_in_the_defaults(web: Http) -> None:
    code, made, _ = await web.ask("POST", SHOP, deployment_manifest("fresh"))
    assert code == 201
    assert made["metadata"]["generation"] == 1
    assert made["spec"]["strategy"] == {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"},
    }
    assert made["spec"]["progressDeadlineSeconds"] == 600
    assert made["spec"]["revisionHistoryLimit"] == 10
    container = made["spec"]["template"]["spec"]["containers"][0]
    assert container["imagePullPolicy"] == "IfNotPresent"
    assert container["terminationMessagePath"] == "/dev/termination-log"
    assert made["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == 30
    assert made["status"] == {}


async def test_latest_is_always_pulled(web: Http) -> None:
    for image in ("nginx", "nginx:latest", "registry:5000/nginx"):
        _, made, _ = await web.ask("POST", f"{SHOP}?dryRun=All", deployment_manifest("fresh", image))
        assert made["spec"]["template"]["spec"]["containers"][0]["imagePullPolicy"] == "Always"


async def test_a_name_that_is_taken_is_409(web: Http) -> None:
    status = await refused(web, "POST", SHOP, deployment_manifest("checkout"))
    assert (status["code"], status["reason"]) == (409, "AlreadyExists")
    assert status["message"] == 'deployments.apps "checkout" already exists'


async def test_creating_in_a_namespace_that_is_not_there_is_404(web: Http) -> None:
    status = await refused(web, "POST", "/apis/apps/v1/namespaces/no/deployments", deployment_manifest("x"))
    assert status["message"] == 'namespaces "no" not found'


async def test_generate_name_makes_a_name(web: Http) -> None:
    body = pod_manifest("x")
    body["metadata"] = {"generateName": "worker-"}
    _, made, _ = await web.ask("POST", PODS, body)
    assert made["metadata"]["name"].startswith("worker-")
    assert len(made["metadata"]["name"]) == len("worker-") + 5


def _broken(**spec: Any) -> dict[str, Any]:
    return deployment_manifest("x") | {"spec": deployment_manifest("x")["spec"] | spec}


def _container(**fields: Any) -> dict[str, Any]:
    body = deployment_manifest("x")
    body["spec"]["template"]["spec"]["containers"][0] |= fields
    return body


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (_broken(replicas=-1), "spec.replicas: Invalid value: -1: must be greater than or equal to 0"),
        (_broken(selector={}), "spec.selector: Required value"),
        (_broken(selector={"matchLabels": {"app": "other"}}), "`selector` does not match template `labels`"),
        (_broken(strategy={"type": "Canary"}), 'supported values: "Recreate", "RollingUpdate"'),
        (
            _broken(strategy={"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 0}}),
            "maxUnavailable: Invalid value: 0: may not be 0 when `maxSurge` is 0",
        ),
        (
            _broken(strategy={"rollingUpdate": {"maxSurge": "many"}}),
            'maxSurge: Invalid value: "many": a valid percent string',
        ),
        (_broken(progressDeadlineSeconds=5, minReadySeconds=9), "must be greater than minReadySeconds"),
        (_container(image=""), "spec.template.spec.containers[0].image: Required value"),
        (_container(image=" nginx"), "must not have leading or trailing whitespace"),
        (_container(name="Not_A_Label"), "a lowercase RFC 1123 label must consist of"),
        (
            _container(resources={"requests": {"memory": "2Gi"}, "limits": {"memory": "1Gi"}}),
            'resources.requests: Invalid value: "2Gi": must be less than or equal to memory limit of 1Gi',
        ),
        (_container(resources={"limits": {"memory": "-1Mi"}}), "must be greater than or equal to 0"),
        (deployment_manifest("Bad_Name"), "a lowercase RFC 1123 subdomain must consist of"),
    ],
)
async def test_an_invalid_field_is_422_with_its_path(web: Http, body: Any, sentence: str) -> None:
    status = await refused(web, "POST", SHOP, body)
    assert (status["code"], status["reason"]) == (422, "Invalid")
    assert sentence in status["message"]
    cause = status["details"]["causes"][0]
    assert set(cause) == {"reason", "message", "field"}
    assert cause["field"] in status["message"]


async def test_every_invalid_field_is_named_at_once(web: Http) -> None:
    status = await refused(web, "POST", SHOP, _broken(replicas=-1, minReadySeconds=-2))
    assert len(status["details"]["causes"]) == 2
    assert status["message"].startswith('Deployment.apps "x" is invalid: [spec.replicas: ')


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (_broken(replicas="three"), "cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas"),
        (_broken(paused="yes"), "of type bool"),
        (_container(resources={"limits": {"memory": "much"}}), "quantities must match the regular expression"),
        ({"metadata": {"name": "x", "labels": {"a": 1}}}, "ObjectMeta.metadata.labels of type string"),
        ({"apiVersion": "apps/v1beta1", "kind": "Deployment"}, "does not match the expected API version (apps/v1)"),
        ({"apiVersion": "apps/v1", "kind": "Pod"}, "cannot be handled as a Deployment"),
        ({"metadata": {"name": "x", "namespace": "cart"}}, "does not match the namespace sent on the request"),
    ],
)
async def test_what_cannot_be_decoded_is_400(web: Http, body: Any, sentence: str) -> None:
    status = await refused(web, "POST", SHOP, body)
    assert (status["code"], status["reason"]) == (400, "BadRequest")
    assert sentence in status["message"]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"12"])
async def test_a_body_that_is_no_object_is_400(web: Http, body: bytes) -> None:
    assert (await refused(web, "POST", SHOP, body))["code"] == 400


async def test_a_body_over_three_mebibytes_is_413(web: Http) -> None:
    status = await refused(web, "POST", SHOP, b'{"a": "' + b"x" * (3 * 1024 * 1024) + b'"}')
    assert (status["code"], status["reason"]) == (413, "RequestEntityTooLarge")


async def test_yaml_bodies_are_taken(web: Http) -> None:
    body = b"metadata: {name: settings}\ndata: {a: b}\n"
    code, made, _ = await web.ask("POST", "/api/v1/namespaces/shop/configmaps", body, "application/yaml")
    assert (code, made["data"]) == (201, {"a": "b"})


async def test_put_needs_the_version_it_read(web: Http) -> None:
    read = await web.get(CHECKOUT)
    read["spec"]["replicas"] = 4
    assert (await web.ask("PUT", CHECKOUT, read))[0] == 200
    status = await refused(web, "PUT", CHECKOUT, read)
    assert (status["code"], status["reason"]) == (409, "Conflict")
    assert status["message"] == (
        'Operation cannot be fulfilled on deployments.apps "checkout": the object has been modified; please apply'
        " your changes to the latest version and try again"
    )
    assert status["details"] == {"name": "checkout", "group": "apps", "kind": "deployments"}


async def test_put_without_a_version_overwrites_a_deployment_but_not_a_budget(web: Http) -> None:
    read = await web.get(CHECKOUT)
    del read["metadata"]["resourceVersion"]
    assert (await web.ask("PUT", CHECKOUT, read))[0] == 200
    path = "/apis/policy/v1/namespaces/shop/poddisruptionbudgets/checkout"
    budget = await web.get(path)
    del budget["metadata"]["resourceVersion"]
    status = await refused(web, "PUT", path, budget)
    assert "metadata.resourceVersion" in status["message"]
    assert "must be specified for an update" in status["message"]


async def test_put_must_name_the_object_of_the_url(web: Http) -> None:
    read = await web.get(CHECKOUT)
    read["metadata"]["name"] = "cart"
    status = await refused(web, "PUT", CHECKOUT, read)
    assert status["message"] == ("the name of the object (cart) does not match the name on the URL (checkout)")


async def test_another_uid_is_a_conflict(web: Http) -> None:
    status = await refused(web, "PATCH", CHECKOUT, {"metadata": {"uid": "other"}}, MERGE)
    assert status["code"] == 409
    assert "Precondition failed: UID in precondition: other, UID in object meta: " in status["message"]


async def test_the_selector_is_immutable(web: Http) -> None:
    body = {"spec": {"selector": {"matchLabels": {"app": "checkout", "tier": "x"}}, "template": None}}
    read = await web.get(CHECKOUT)
    body["spec"]["template"] = read["spec"]["template"]
    body["spec"]["template"]["metadata"]["labels"]["tier"] = "x"
    status = await refused(web, "PATCH", CHECKOUT, body, MERGE)
    assert "spec.selector: Invalid value: " in status["message"]
    assert "field is immutable" in status["message"]


async def test_most_of_a_pod_is_immutable(web: Http) -> None:
    assert (await web.ask("POST", PODS, pod_manifest("solo")))[0] == 201
    status = await refused(web, "PATCH", f"{PODS}/solo", {"spec": {"hostname": "x"}}, MERGE)
    assert "pod updates may not change fields other than" in status["message"]
    assert (await web.patch(f"{PODS}/solo", {"metadata": {"labels": {"a": "b"}}}))[0] == 200


async def test_generation_follows_the_spec_and_a_deployments_annotations(web: Http) -> None:
    async def generation(path: str, patch: Any) -> int:
        code, found = await web.patch(f"{path}?dryRun=All", patch, MERGE)
        assert code == 200
        return int(found["metadata"]["generation"])

    now = (await web.get(CHECKOUT))["metadata"]["generation"]
    assert await generation(CHECKOUT, {"metadata": {"labels": {"a": "b"}}}) == now
    assert await generation(CHECKOUT, {"status": {"replicas": 77}}) == now
    assert await generation(CHECKOUT, {"spec": {"replicas": 5}}) == now + 1
    # Because annotations are copied to ReplicaSets, the real server counts them in a Deployment, and only there.
    assert await generation(CHECKOUT, {"metadata": {"annotations": {"a": "b"}}}) == now + 1
    replicaset = (await web.get("/apis/apps/v1/namespaces/shop/replicasets"))["items"][0]["metadata"]
    path = f"/apis/apps/v1/namespaces/shop/replicasets/{replicaset['name']}"
    assert await generation(path, {"metadata": {"annotations": {"a": "b"}}}) == replicaset["generation"]


async def test_a_caller_cannot_write_status_but_through_the_subresource(web: Http) -> None:
    node = "/api/v1/nodes/node-a"
    _, answer = await web.patch(node, {"status": {"phase": "Gone"}, "spec": {"unschedulable": True}}, MERGE)
    assert "phase" not in answer["status"]
    _, answer = await web.patch(f"{node}/status", {"status": {"phase": "Gone"}, "spec": {"unschedulable": None}}, MERGE)
    assert answer["status"]["phase"] == "Gone"
    assert answer["spec"]["unschedulable"] is True


async def test_a_write_that_changes_nothing_keeps_the_version(web: Http) -> None:
    before = await web.get("/api/v1/nodes/node-a")
    _, answer = await web.patch("/api/v1/nodes/node-a", {"metadata": {"labels": {}}}, MERGE)
    assert answer["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]


# --- dry run


@pytest.mark.parametrize("value", ["all", "true", "None", "Server"])
async def test_a_dry_run_other_than_all_is_422(web: Http, value: str) -> None:
    status = await refused(web, "PATCH", f"{CHECKOUT}?dryRun={value}", {}, MERGE)
    assert status["code"] == 422
    assert status["message"] == (
        f'PatchOptions.meta.k8s.io "" is invalid: dryRun: Unsupported value: "{value}": supported values: "All"'
    )


async def test_a_dry_run_answers_the_result_and_stores_nothing(web: Http) -> None:
    before = await web.get(CHECKOUT)
    code, answer = await web.patch(f"{CHECKOUT}?dryRun=All", image_patch("checkout", "other:1"))
    assert code == 200
    assert answer["spec"]["template"]["spec"]["containers"][0]["image"] == "other:1"
    assert answer["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]
    assert await web.get(CHECKOUT) == before


async def test_dry_runs_of_create_delete_scale_and_eviction_store_nothing(web: Http) -> None:
    pod = (await web.get(f"{PODS}?labelSelector=app%3Dcart"))["items"][0]["metadata"]["name"]
    eviction = {"metadata": {"name": pod}}
    before = (await web.get("/api/v1/pods"))["metadata"]["resourceVersion"]
    assert (await web.ask("POST", f"{SHOP}?dryRun=All", deployment_manifest("new")))[0] == 201
    assert (await web.ask("DELETE", f"{CHECKOUT}?dryRun=All"))[0] == 200
    assert (await web.ask("DELETE", CHECKOUT, {"dryRun": ["All"]}))[0] == 200
    assert (await web.ask("DELETE", f"{PODS}/{pod}?dryRun=All"))[0] == 200
    assert (await web.patch(f"{CHECKOUT}/scale?dryRun=All", {"spec": {"replicas": 9}}, MERGE))[0] == 200
    assert (await web.ask("POST", f"{PODS}/{pod}/eviction?dryRun=All", eviction))[0] == 201
    assert (await web.get("/api/v1/pods"))["metadata"]["resourceVersion"] == before


async def test_a_dry_run_is_validated(web: Http) -> None:
    status = await refused(web, "PATCH", f"{CHECKOUT}?dryRun=All", {"spec": {"replicas": -1}}, MERGE)
    assert status["code"] == 422
    status = await refused(web, "POST", f"{SHOP}?dryRun=All", deployment_manifest("checkout"))
    assert status["reason"] == "AlreadyExists"


async def test_write_options_are_checked(web: Http) -> None:
    status = await refused(web, "PATCH", f"{CHECKOUT}?fieldManager={'x' * 129}", {}, MERGE)
    assert "fieldManager: Too long" in status["message"]
    status = await refused(web, "PATCH", f"{CHECKOUT}?fieldValidation=Loose", {}, MERGE)
    assert 'supported values: "Ignore", "Warn", "Strict"' in status["message"]


# --- patches over the wire; their details are in test_cluster_patches


async def test_a_json_patch_whose_test_fails_is_422_and_changes_nothing(web: Http) -> None:
    version = (await web.get(CHECKOUT))["metadata"]["resourceVersion"]
    patch = [
        {"op": "replace", "path": "/spec/replicas", "value": 7},
        {"op": "test", "path": "/metadata/resourceVersion", "value": "1"},
    ]
    status = await refused(web, "PATCH", CHECKOUT, patch, JSON_PATCH)
    assert (status["code"], status["reason"]) == (422, "Invalid")
    assert status["message"] == "the server rejected our request due to an error in our request"
    assert (await web.get(CHECKOUT))["metadata"]["resourceVersion"] == version


async def test_a_patch_with_an_old_version_is_409(web: Http) -> None:
    status = await refused(web, "PATCH", CHECKOUT, {"metadata": {"resourceVersion": "1"}}, STRATEGIC)
    assert status["reason"] == "Conflict"


@pytest.mark.parametrize("content_type", ["application/json", "application/apply-patch+yaml", "text/plain"])
async def test_a_patch_of_another_media_type_is_415(web: Http, content_type: str) -> None:
    status = await refused(web, "PATCH", CHECKOUT, {}, content_type)
    assert (status["code"], status["reason"]) == (415, "UnsupportedMediaType")
    assert JSON_PATCH in status["message"]


async def test_a_body_of_another_media_type_is_415(web: Http) -> None:
    assert (await refused(web, "POST", SHOP, b"<a/>", "text/xml"))["code"] == 415


# --- deleting


async def test_a_deleted_deployment_takes_its_replicasets_and_pods_with_it(cluster: Cluster, web: Http) -> None:
    pods = (await web.get(f"{PODS}?labelSelector=app%3Dcart"))["items"]
    code, status, _ = await web.ask("DELETE", f"{SHOP}/cart")
    assert (code, status["status"], status["details"]["kind"]) == (200, "Success", "deployments")
    for pod in pods:
        await cluster.until_gone("Pod", "shop", pod["metadata"]["name"])
    assert (await web.get(f"{PODS}?labelSelector=app%3Dcart"))["items"] == []
    assert (await web.get("/apis/apps/v1/namespaces/shop/replicasets?labelSelector=app%3Dcart"))["items"] == []


async def test_orphans_stay(web: Http, cluster: Cluster) -> None:
    assert (await web.ask("DELETE", f"{SHOP}/cart", {"propagationPolicy": "Orphan"}))[0] == 200
    sets = "/apis/apps/v1/namespaces/shop/replicasets?labelSelector=app%3Dcart"
    name = (await web.get(sets))["items"][0]["metadata"]["name"]
    found = await cluster.until("ReplicaSet", "shop", name, lambda rs: not rs["metadata"]["ownerReferences"])
    assert found
    assert (await refused(web, "GET", f"{SHOP}/cart"))["code"] == 404


async def test_preconditions_guard_a_deletion(web: Http) -> None:
    pod = (await web.get(f"{PODS}?labelSelector=app%3Dcart"))["items"][0]["metadata"]
    path = f"{PODS}/{pod['name']}"
    status = await refused(web, "DELETE", path, {"preconditions": {"uid": "other"}})
    assert (status["code"], status["reason"]) == (409, "Conflict")
    assert f"UID in precondition: other, UID in object meta: {pod['uid']}" in status["message"]
    status = await refused(web, "DELETE", path, {"preconditions": {"resourceVersion": "1"}})
    assert "ResourceVersion in precondition: 1" in status["message"]
    code, leaving, _ = await web.ask("DELETE", path, {"preconditions": {"uid": pod["uid"]}})
    assert code == 200
    assert leaving["metadata"]["deletionGracePeriodSeconds"] == 30
    assert leaving["metadata"]["deletionTimestamp"]


async def test_an_unknown_propagation_policy_is_422(web: Http) -> None:
    assert (await refused(web, "DELETE", CHECKOUT, {"propagationPolicy": "Sometimes"}))["code"] == 422


async def test_a_collection_is_deleted_by_selector(web: Http) -> None:
    assert (await web.ask("DELETE", f"{SHOP}?labelSelector=app%3Dcart"))[0] == 200
    names = {item["metadata"]["name"] for item in (await web.get(SHOP))["items"]}
    assert names == {"checkout", "payments", "web"}


# --- methods and throttling


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", CHECKOUT),
        ("PUT", SHOP),
        ("PATCH", SHOP),
        ("DELETE", f"{PODS}/x/log"),
        ("GET", f"{PODS}/x/eviction"),
        ("POST", "/apis/apps/v1/deployments"),
        ("GET", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"),
    ],
)
async def test_a_verb_that_is_not_served_is_405(web: Http, method: str, path: str) -> None:
    status = await refused(web, method, path, {})
    assert (status["code"], status["reason"]) == (405, "MethodNotAllowed")
    assert status["message"] == "the server does not allow this method on the requested resource"


async def test_a_throttled_request_is_429_with_retry_after(cluster: Cluster, web: Http) -> None:
    cluster.throttle(1, retry_after=7)
    code, status, headers = await web.ask("GET", SHOP)
    assert (code, status["reason"], headers["Retry-After"]) == (429, "TooManyRequests", "7")
    assert status["details"]["retryAfterSeconds"] == 7
    assert (await web.ask("GET", SHOP))[0] == 200


async def test_every_request_is_remembered_with_its_user_and_outcome(cluster: Cluster, web: Http) -> None:
    await web.patch(f"{CHECKOUT}?dryRun=All", {}, MERGE)
    await web.ask("DELETE", f"{SHOP}/nothing")
    tried, failed = cluster.asked
    assert (tried.verb, tried.path, tried.dry_run, tried.code) == ("patch", CHECKOUT, True, 200)
    assert (failed.verb, failed.dry_run, failed.code) == ("delete", False, 404)
    assert failed.user == "system:serviceaccount:personal-agent:personal-agent"
