"""Which arguments the Kubernetes tools refuse before anything is sent."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, strategies as st

from bot.local.cluster.quantities import quantity as other_quantity
from bot.tools.kubernetes_objects import ACTION_ID
from domain.errors import ArgumentsRefused
from tests.unit.test_tools import ALL, GOOD


def understand(tool: str, /, **more: Any) -> dict[str, Any]:
    return dict(ALL[tool].understand({**GOOD[tool], **more}).arguments)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "A",
        "a_b",
        "-a",
        "a-",
        "a..b",
        ".a",
        "a/b",
        "../../secrets",
        "a b",
        "a\n",
        "é",
        "a" * 254,
        "a%2fb",
        "a?x=1",
        "a#",
    ],
)
def test_a_name_that_is_none_never_becomes_part_of_a_path(name: str) -> None:
    for tool in ("kubernetes_get", "kubernetes_rollback", "kubernetes_delete_pod", "kubernetes_cordon"):
        with pytest.raises(ArgumentsRefused, match="name"):
            understand(tool, name=name)
    with pytest.raises(ArgumentsRefused, match="pod"):
        understand("kubernetes_logs", pod=name)


@given(st.text(max_size=12))
def test_a_namespace_is_a_dns_label_or_refused(text: str) -> None:
    allowed = set("abcdefghijklmnopqrstuvwxyz0123456789-")
    valid = bool(text) and set(text) <= allowed and text[0] != "-" and text[-1] != "-"
    try:
        understand("kubernetes_events", namespace=text)
    except ArgumentsRefused:
        assert not valid
    else:
        assert valid


def test_names_may_be_subdomains_and_namespaces_may_not() -> None:
    assert understand("kubernetes_get", name="a.b-1.c")["name"] == "a.b-1.c"
    with pytest.raises(ArgumentsRefused):
        understand("kubernetes_get", namespace="a.b")


def test_a_namespace_is_asked_for_exactly_where_there_is_one() -> None:
    with pytest.raises(ArgumentsRefused, match="namespace is required for a Pod"):
        understand("kubernetes_get", namespace="")
    with pytest.raises(ArgumentsRefused, match="a Node has no namespace"):
        understand("kubernetes_get", kind="Node")
    with pytest.raises(ArgumentsRefused, match="Nodes have no namespace"):
        understand("kubernetes_list", namespace="shop")
    assert understand("kubernetes_list", kind="Pod")["namespace"] == ""


@pytest.mark.parametrize("kind", ["pod", "pods", "Role", "ClusterRole", "ServiceAccount", "Widget", ""])
def test_an_unknown_kind_is_refused_with_those_there_are(kind: str) -> None:
    with pytest.raises(ArgumentsRefused, match="kind: must be one of Pod, Deployment, "):
        understand("kubernetes_get", kind=kind)


@pytest.mark.parametrize("kind", ["Secret", "secret", "secrets"])
def test_secrets_are_refused_by_name(kind: str) -> None:
    for tool in ("kubernetes_get", "kubernetes_list", "kubernetes_patch"):
        with pytest.raises(ArgumentsRefused, match="Secrets are never read or changed"):
            understand(tool, kind=kind)


@pytest.mark.parametrize("selector", ["app=x&limit=1", "a\nb", "x" * 501, "app=x#", "app={x}"])
def test_a_selector_cannot_carry_more_than_a_selector(selector: str) -> None:
    with pytest.raises(ArgumentsRefused, match="label_selector"):
        understand("kubernetes_list", label_selector=selector)


@pytest.mark.parametrize("selector", ["app=x", "app!=x,tier in (a, b)", "!canary", "app.kubernetes.io/name=x"])
def test_selectors_of_every_form_are_understood(selector: str) -> None:
    assert understand("kubernetes_list", label_selector=selector)["label_selector"] == selector


@pytest.mark.parametrize(
    ("tool", "field", "values"),
    [
        ("kubernetes_list", "limit", (0, 501, -1)),
        ("kubernetes_events", "limit", (0, 201)),
        ("kubernetes_logs", "tail_lines", (0, 2001)),
        ("kubernetes_rollback", "to_revision", (0, -1, 2**40)),
        ("kubernetes_scale", "replicas", (-1, 1001)),
    ],
)
def test_numbers_are_bounded(tool: str, field: str, values: tuple[int, ...]) -> None:
    for value in values:
        with pytest.raises(ArgumentsRefused, match=field):
            understand(tool, **{field: value})


@given(st.from_regex(r"\A[0-9.]{0,4}[a-zA-Z-]{0,3}\Z"))
def test_a_quantity_that_passes_is_one_that_the_server_takes(text: str) -> None:
    try:
        understand("kubernetes_set_resources", limits={"memory": text})
    except ArgumentsRefused:
        return
    assert text in ("none", "") or other_quantity(text) is not None


def test_resources_need_at_least_one_amount() -> None:
    with pytest.raises(ArgumentsRefused, match=r"give at least one of requests\.cpu"):
        understand("kubernetes_set_resources", limits={})
    assert understand("kubernetes_set_resources", limits={"cpu": "none"})["limits"] == {"cpu": "none", "memory": ""}


# --- the free patch


@pytest.mark.parametrize(
    ("patch", "named"),
    [
        ({"status": {"replicas": 1}}, "status"),
        ({"apiVersion": "v2"}, "apiVersion"),
        ({"kind": "Secret"}, "kind"),
        ({"$patch": "delete"}, r"\$patch"),
        ({"metadata": {"ownerReferences": []}}, "metadata.ownerReferences"),
        ({"metadata": {"finalizers": []}}, "metadata.finalizers"),
        ({"metadata": {"$deleteFromPrimitiveList/finalizers": ["x"]}}, "finalizers"),
        ({"metadata": {"$setElementOrder/ownerReferences": []}}, "ownerReferences"),
        ({"metadata": {"$patch": "replace"}}, r"\$patch"),
        ({"metadata": {"name": "other"}}, "metadata.name"),
        ({"metadata": {"resourceVersion": "1"}}, "metadata.resourceVersion"),
        ({"metadata": {"uid": "1"}}, "metadata.uid"),
        ({"metadata": {"annotations": {ACTION_ID: "forged"}}}, "annotation personal-agent.dev/action-id"),
    ],
)
def test_a_patch_cannot_touch_identity_owners_status_or_our_marks(patch: dict[str, Any], named: str) -> None:
    with pytest.raises(ArgumentsRefused, match=f"patch: must not touch .*{named}"):
        understand("kubernetes_patch", patch=patch)


@pytest.mark.parametrize(
    ("patch", "sentence"),
    [
        ({}, "patch"),
        ({"metadata": []}, "metadata must be a map"),
        ({"metadata": None}, "metadata must be a map"),
        ({"metadata": {"annotations": "x"}}, "annotations must be a map"),
        ({"spec": {"x": "y" * 9000}}, "at most 8192 bytes"),
        ({"spec": {"ratio": 0.5}}, "not as floats"),
        ({"spec": [{"ratio": [1.0]}]}, "not as floats"),
        ('{"spec": {}}', "patch"),
    ],
)
def test_a_patch_is_a_small_map_without_floats(patch: Any, sentence: str) -> None:
    with pytest.raises(ArgumentsRefused, match=sentence):
        understand("kubernetes_patch", patch=patch)


@pytest.mark.parametrize("kind", ["Pod", "Node", "Namespace", "ConfigMap", "Job", "Role", "ClusterRoleBinding"])
def test_a_patch_reaches_workloads_services_and_scaling_only(kind: str) -> None:
    with pytest.raises(ArgumentsRefused, match="kind: must be one of Deployment, "):
        understand("kubernetes_patch", kind=kind)


def test_a_patch_of_labels_is_fine() -> None:
    assert understand("kubernetes_patch", patch={"metadata": {"labels": {"a": None}}})["patch"]
