"""How objects are shown: without noise and secrets, and what differs between two of them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import yaml
from hypothesis import given, strategies as st

from bot.tools.kubernetes_objects import (
    ACTION_ID,
    DIFF_LINES,
    HIDDEN,
    age_s,
    changes,
    clean,
    controller_of,
    difference,
    fingerprint,
    images,
    listed,
    managed_by,
    relevant,
    to_yaml,
    when,
)

KEYS = st.sampled_from(["a", "b", "name", "spec", "containers"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=10,
)
OBJECTS = st.dictionaries(KEYS, VALUES, max_size=4)


def template(*env: tuple[str, str], image: str = "shop/cart:1") -> dict[str, Any]:
    variables = [{"name": name, "value": value} for name, value in env]
    return {"spec": {"containers": [{"name": "cart", "image": image, "env": variables}]}}


@pytest.mark.parametrize(
    "name",
    [
        "DB_PASSWORD", "db-passwd", "PASSPHRASE", "MYSQL_PWD", "CLIENT_SECRET", "GITHUB_TOKEN", "AWS_CREDENTIALS",
        "PRIVATE_PEM", "API_KEY", "APIKEY", "ENCRYPTION_KEY", "KEY", "BASIC_AUTH", "Authorization", "SENTRY_DSN",
        "CONNECTION_STRING",
    ],
)  # fmt: skip
def test_values_under_secret_looking_names_are_hidden(name: str) -> None:
    assert clean(template((name, "hunter2")))["spec"]["containers"][0]["env"] == [{"name": name, "value": HIDDEN}]


@pytest.mark.parametrize("name", ["GREETING", "KEYBOARD", "MONKEY", "AUTHOR", "REGION", "HOST"])
def test_other_values_are_shown(name: str) -> None:
    assert clean(template((name, "hello")))["spec"]["containers"][0]["env"] == [{"name": name, "value": "hello"}]


def test_a_password_inside_an_address_is_hidden_whatever_the_name() -> None:
    for value, shown in (
        ("postgres://u:p@db:5432/x", f"postgres://{HIDDEN}@db:5432/x"),
        ("amqp+ssl://:p@mq", f"amqp+ssl://{HIDDEN}@mq"),
        ("https://example.com/a:b@c", "https://example.com/a:b@c"),
    ):
        assert clean(template(("URL", value)))["spec"]["containers"][0]["env"][0]["value"] == shown


def test_references_to_secrets_stay_since_they_hold_no_value() -> None:
    variable = {"name": "DB_PASSWORD", "valueFrom": {"secretKeyRef": {"name": "db", "key": "password"}}}
    pod = {"spec": {"containers": [{"name": "c", "env": [variable]}]}}
    assert clean(pod) == pod


def test_the_servers_bookkeeping_is_dropped_and_the_original_kept() -> None:
    original = {
        "kind": "Deployment",
        "metadata": {
            "name": "x",
            "managedFields": [{"manager": "kubectl"}],
            "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}", "team": "cart"},
        },
    }
    before = json.dumps(original)
    assert clean(original)["metadata"] == {"name": "x", "annotations": {"team": "cart"}}
    assert json.dumps(original) == before


def test_a_nodes_list_of_images_is_dropped() -> None:
    node = {"kind": "Node", "status": {"images": [{"names": ["x"] * 9}], "conditions": []}}
    assert clean(node)["status"] == {"conditions": []}


def test_a_listed_pod_keeps_no_volumes_variables_or_tolerations() -> None:
    container = {"name": "c", "image": "x", "env": [{"name": "A", "value": "b"}], "volumeMounts": [], "resources": {}}
    pod = {
        "kind": "Pod",
        "metadata": {"name": "p"},
        "spec": {"containers": [container], "volumes": [], "tolerations": [], "nodeName": "n"},
        "status": {
            "phase": "Running",
            "hostIPs": [],
            "containerStatuses": [{"name": "c", "ready": True, "imageID": "s", "allocatedResources": {}}],
        },
    }
    kept = listed(pod)
    assert kept["spec"] == {"nodeName": "n", "containers": [{"name": "c", "image": "x", "resources": {}}]}
    assert kept["status"] == {"phase": "Running", "containerStatuses": [{"name": "c", "imageID": "s", "ready": True}]}
    assert listed({**pod, "kind": "Deployment"})["spec"]["volumes"] == []


def test_a_listed_pod_keeps_the_claims_that_it_mounts_and_no_other_volume() -> None:
    claim = {"name": "data", "persistentVolumeClaim": {"claimName": "data-db-0"}}
    pod = {"kind": "Pod", "spec": {"volumes": [{"name": "t", "projected": {}}, claim]}}
    assert listed(pod)["spec"] == {"volumes": [claim]}


def test_a_listed_node_keeps_what_scheduling_looks_at() -> None:
    node = {
        "kind": "Node",
        "metadata": {"name": "n", "labels": {"pool": "gpu"}, "annotations": {"a": "b"}},
        "spec": {"taints": [{"key": "gpu"}], "podCIDR": "10.0.0.0/24"},
        "status": {"allocatable": {"cpu": "4"}, "capacity": {"cpu": "4"}, "images": [], "conditions": []},
    }
    assert listed(node) == {
        "kind": "Node",
        "metadata": {"name": "n", "labels": {"pool": "gpu"}},
        "spec": {"taints": [{"key": "gpu"}]},
        "status": {"allocatable": {"cpu": "4"}, "conditions": []},
    }


def test_webhooks_are_shown_without_their_certificates() -> None:
    hook = {"name": "check.acme.dev", "clientConfig": {"caBundle": "LS0t", "service": {"name": "guard"}}}
    shown = clean({"kind": "ValidatingWebhookConfiguration", "webhooks": [hook]})
    assert shown["webhooks"] == [{"name": "check.acme.dev", "clientConfig": {"service": {"name": "guard"}}}]
    assert hook["clientConfig"]["caBundle"] == "LS0t"


# --- differences


def test_named_things_are_compared_by_name_not_by_place() -> None:
    before = template(("A", "1"), ("B", "2"))
    after = template(("B", "2"), ("A", "3"), image="shop/cart:2")
    assert changes(before, after) == [
        {"path": "spec.containers[cart].image", "before": "shop/cart:1", "after": "shop/cart:2"},
        {"path": "spec.containers[cart].env[A].value", "before": "1", "after": "3"},
    ]


def test_what_was_added_or_removed_has_one_empty_side() -> None:
    assert changes({"replicas": 1}, {"paused": True}) == [
        {"path": "replicas", "before": "1", "after": ""},
        {"path": "paused", "before": "", "after": "true"},
    ]


def test_that_a_hidden_value_changed_is_told_but_not_to_what() -> None:
    before, after = template(("TOKEN", "old")), template(("TOKEN", "new"))
    path = "spec.containers[cart].env[TOKEN].value"
    assert changes(before, after) == [{"path": path, "before": HIDDEN, "after": HIDDEN}]
    assert difference(before, after, "a", "b") == f"# {path}: a hidden value differs"


def test_long_values_and_long_lists_are_cut() -> None:
    found = changes({}, {f"k{index}": "x" * 999 for index in range(99)}, limit=5)
    assert len(found) == 5
    assert len(found[0]["after"]) == 200


def test_a_long_diff_is_cut_and_says_so() -> None:
    text = difference({}, {"a": [str(index) for index in range(300)]}, "now", "after")
    lines = text.split("\n")
    assert len(lines) == DIFF_LINES
    assert lines[-1] == f"# … {300 + 5 - DIFF_LINES + 1} more lines"


@given(OBJECTS, OBJECTS)
def test_there_is_a_difference_exactly_where_two_objects_differ(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert difference(one, one, "a", "b") == ""
    assert changes(one, one) == []
    if to_yaml(clean(one)) != to_yaml(clean(other)):
        assert difference(one, other, "a", "b")


@given(OBJECTS)
def test_yaml_for_people_is_still_yaml(value: dict[str, Any]) -> None:
    assert yaml.safe_load(to_yaml(value)) == value


def test_parts_that_are_shared_are_written_out_twice() -> None:
    labels = {"app": "cart"}
    assert "&" not in to_yaml({"a": labels, "b": labels})


def test_our_marks_and_the_status_are_not_part_of_a_change() -> None:
    obj = {
        "apiVersion": "v1",
        "kind": "X",
        "metadata": {"name": "x", "resourceVersion": "5", "annotations": {ACTION_ID: "k", "team": "cart"}},
        "spec": {"a": 1},
        "status": {"b": 2},
    }
    assert relevant(obj) == {"metadata": {"annotations": {"team": "cart"}}, "spec": {"a": 1}}


@given(OBJECTS, OBJECTS)
def test_fingerprints_differ_where_values_do(one: dict[str, Any], other: dict[str, Any]) -> None:
    same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    assert (fingerprint(one) == fingerprint(other)) is same
    assert len(fingerprint(one)) == 16


# --- small facts


def test_images_come_with_their_containers_init_containers_first() -> None:
    spec = {"initContainers": [{"name": "i", "image": "x:1"}], "containers": [{"name": "c", "image": "y:2"}]}
    assert images({"spec": spec}) == ["i=x:1", "c=y:2"]
    assert images(None) == []


def test_times_are_read_with_and_without_fractions_and_never_raise() -> None:
    assert when("2026-01-02T03:04:05Z") == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert when("2026-01-02T03:04:05.123456Z") == datetime(2026, 1, 2, 3, 4, 5, 123456, tzinfo=UTC)
    assert when(None) is when("yesterday") is None


def test_age_counts_from_creation_and_is_never_negative() -> None:
    made = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    assert 3599 <= age_s({"metadata": {"creationTimestamp": made}}) <= 3602
    assert age_s({"metadata": {"creationTimestamp": "2999-01-01T00:00:00Z"}}) == 0
    assert age_s({}) == 0


def test_only_a_controlling_owner_counts() -> None:
    owners = [{"kind": "A", "name": "a"}, {"kind": "B", "name": "b", "controller": True}]
    assert controller_of({"metadata": {"ownerReferences": owners}})["kind"] == "B"
    assert controller_of({"metadata": {"ownerReferences": owners[:1]}}) == {}


@pytest.mark.parametrize(
    ("metadata", "manager"),
    [
        ({"ownerReferences": [{"kind": "Rollout", "name": "r", "controller": True}]}, "Rollout/r"),
        ({"annotations": {"argocd.argoproj.io/tracking-id": "x"}}, "Argo CD"),
        ({"labels": {"argocd.argoproj.io/instance": "x"}}, "Argo CD"),
        ({"labels": {"kustomize.toolkit.fluxcd.io/name": "x"}}, "Flux"),
        ({"labels": {"app.kubernetes.io/managed-by": "Helm"}}, "Helm"),
        ({"labels": {"app": "x"}}, ""),
        ({}, ""),
    ],
)
def test_what_else_manages_an_object_is_named(metadata: dict[str, Any], manager: str) -> None:
    assert managed_by({"metadata": metadata}) == manager
