"""Inverse patches, held against another implementation of strategic merge: the stand-in API server's."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, strategies as st

from bot.local.cluster.patches import strategic_patch
from bot.tools.kubernetes_merge import NoInverse, inverse, missing, quantity

SCALARS = st.booleans() | st.integers(0, 9) | st.text("ab", max_size=2)
FIELDS = st.sampled_from(["image", "replicas", "paused", "args", "labels"])
LEAVES = (
    SCALARS | st.lists(SCALARS, max_size=2) | st.dictionaries(st.sampled_from("xyz"), SCALARS, min_size=1, max_size=2)
)


def named(content: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    """A list of maps with distinct names."""
    items = st.builds(lambda name, rest: {**rest, "name": name}, st.sampled_from(["app", "web", "log"]), content)
    return st.lists(items, max_size=3, unique_by=lambda item: str(item["name"]))


def spec(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Something like a pod spec."""
    env = named(st.dictionaries(st.just("value"), values, max_size=1))
    container = st.fixed_dictionaries({}, optional={"image": values, "args": values, "labels": values, "env": env})
    return st.fixed_dictionaries({}, optional={"replicas": values, "labels": values, "containers": named(container)})


def tidy(value: Any) -> Any:
    """Without empty maps and lists: a merge may leave them where nothing was. Lists of names in the order of names."""
    if isinstance(value, dict):
        return {key: kept for key, item in value.items() if (kept := tidy(item)) not in ({}, [], None)}
    if isinstance(value, list):
        items = [tidy(item) for item in value]
        return sorted(items, key=lambda item: item.get("name", "")) if items and isinstance(items[0], dict) else items
    return value


def same_types(before: Any, patch: Any) -> bool:
    """Whether a patch keeps every field's type, as every patch must that an API server takes."""
    if isinstance(before, dict) and isinstance(patch, dict):
        return all(key not in before or same_types(before[key], patch[key]) for key in patch)
    if isinstance(before, list) and isinstance(patch, list) and before and patch and isinstance(before[0], dict):
        by_name = {item["name"]: item for item in before}
        return all(same_types(by_name.get(item["name"], item), item) for item in patch)
    return before is None or patch is None or isinstance(before, dict | list) == isinstance(patch, dict | list)


@given(spec(LEAVES), spec(LEAVES | st.none()))
def test_the_inverse_restores_what_was(before: dict[str, Any], patch: dict[str, Any]) -> None:
    if not same_types(before, patch):
        return
    after = strategic_patch(json.loads(json.dumps(before)), patch)
    assert tidy(strategic_patch(after, inverse(before, patch))) == tidy(before)


@given(spec(LEAVES), spec(LEAVES | st.none()))
def test_an_applied_patch_is_seen_to_hold(before: dict[str, Any], patch: dict[str, Any]) -> None:
    if same_types(before, patch):
        assert missing(strategic_patch(json.loads(json.dumps(before)), patch), patch) == ""


@pytest.mark.parametrize(
    ("obj", "path"),
    [
        ({}, "spec.replicas"),
        ({"spec": None}, "spec.replicas"),
        ({"spec": {"replicas": 2}}, "spec.replicas"),
        ({"spec": {"replicas": 3}}, "spec.containers[app]"),
        ({"spec": {"replicas": 3, "containers": [{"name": "app", "image": "x:2"}]}}, "spec.containers[app].image"),
        ({"spec": {"replicas": 3, "containers": [{"name": "app", "image": "x:1"}]}}, ""),
        ({"spec": {"replicas": 3, "paused": True, "containers": [{"name": "app", "image": "x:1"}]}}, "spec.paused"),
    ],
)
def test_the_first_field_that_a_patch_lost_is_named(obj: dict[str, Any], path: str) -> None:
    patch = {"spec": {"replicas": 3, "containers": [{"name": "app", "image": "x:1"}], "paused": None}}
    assert missing(obj, patch) == path


def test_an_element_that_was_to_go_and_is_there_is_named() -> None:
    patch = {"env": [{"name": "A", "$patch": "delete"}]}
    assert missing({"env": [{"name": "A", "value": "1"}]}, patch) == "env[A]"
    assert missing({"env": []}, patch) == missing({}, patch) == ""


def test_a_quantity_holds_in_whatever_unit_the_server_writes_it() -> None:
    limits = {"resources": {"limits": {"memory": "1024Mi", "cpu": "1000m"}}}
    assert missing({"resources": {"limits": {"memory": "1Gi", "cpu": "1"}}}, limits) == ""
    assert missing({"resources": {"limits": {"memory": "1G", "cpu": "1"}}}, limits) == "resources.limits.memory"


@pytest.mark.parametrize(
    "patch",
    [
        {"spec": {"$patch": "replace"}},
        {"$setElementOrder/containers": []},
        {"spec": {"tolerations": [{"key": "x"}]}},
        {"spec": {"containers": [{"image": "x"}]}},
        {"spec": {"containers": [{"name": "app", "$patch": "delete"}]}},
        {"spec": {"template": {"spec": {"containers": [{"name": "app", "ports": [{"containerPort": 80}]}]}}}},
    ],
)
def test_what_has_no_exact_inverse_says_so(patch: dict[str, Any]) -> None:
    containers = [{"name": "app", "ports": []}]
    with pytest.raises(NoInverse, match=r"directive|list"):
        inverse({"spec": {"template": {"spec": {"containers": containers}}}}, patch)


def test_an_element_that_was_added_is_deleted_again() -> None:
    before = {"env": [{"name": "A", "value": "1"}]}
    patch = {"env": [{"name": "A", "value": "2"}, {"name": "B", "value": "3"}]}
    assert inverse(before, patch) == {"env": [{"name": "A", "value": "1"}, {"name": "B", "$patch": "delete"}]}


def test_removing_what_is_not_there_needs_no_inverse() -> None:
    assert inverse({"a": 1}, {"b": None}) == {}


@pytest.mark.parametrize(
    ("text", "figure"),
    [("500m", "0.5"), ("1", "1"), (2, "2"), ("1.5Gi", "1610612736"), ("1k", "1000"), ("1Ki", "1024"), ("3E", "3e18")],
)
def test_quantities_are_read_as_kubernetes_reads_them(text: Any, figure: str) -> None:
    assert quantity(text) == Decimal(figure)


@pytest.mark.parametrize("text", ["", "none", "x", "1 Gi", "-1", True, None, 1.5, "1gi"])
def test_what_is_no_quantity_is_none(text: Any) -> None:
    assert quantity(text) is None
