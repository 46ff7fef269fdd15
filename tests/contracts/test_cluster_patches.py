"""The three patch formats and the selectors, as pure functions: the RFCs' examples, Kubernetes' rules, properties."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, strategies as st

from bot.local.cluster.errors import ApiError
from bot.local.cluster.patches import (
    JSON_PATCH,
    MERGE_PATCH,
    STRATEGIC_PATCH,
    json_patch,
    merge_patch,
    patched,
    strategic_patch,
)
from bot.local.cluster.quantities import percent, quantity, total
from bot.local.cluster.resources import PODS
from bot.local.cluster.selecting import field_selector, label_selector, object_selector

scalars = st.none() | st.booleans() | st.integers(-99, 99) | st.text("abc~/", max_size=4)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc~/", max_size=3), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
objects = st.dictionaries(st.text("abc~/", min_size=1, max_size=3), values, max_size=4)


def pointer(*parts: str) -> str:
    return "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in parts)


# --- JSON patch


@pytest.mark.parametrize(
    ("operations", "result"),
    [
        ([{"op": "add", "path": "/a/1", "value": 9}], {"a": [1, 9, 2], "b": {}}),
        ([{"op": "add", "path": "/a/-", "value": 9}], {"a": [1, 2, 9], "b": {}}),
        ([{"op": "add", "path": "/b/c", "value": None}], {"a": [1, 2], "b": {"c": None}}),
        ([{"op": "remove", "path": "/a/0"}], {"a": [2], "b": {}}),
        ([{"op": "replace", "path": "/a/1", "value": 5}], {"a": [1, 5], "b": {}}),
        ([{"op": "move", "from": "/a/0", "path": "/b/x"}], {"a": [2], "b": {"x": 1}}),
        ([{"op": "copy", "from": "/a", "path": "/b/x"}], {"a": [1, 2], "b": {"x": [1, 2]}}),
        ([{"op": "test", "path": "/a/0", "value": 1}], {"a": [1, 2], "b": {}}),
        ([{"op": "test", "path": "/absent", "value": None}], {"a": [1, 2], "b": {}}),
        ([{"op": "replace", "path": "", "value": {"new": 1}}], {"new": 1}),
    ],
)
def test_a_json_patch_does_what_the_rfc_says(operations: Any, result: Any) -> None:
    assert json_patch({"a": [1, 2], "b": {}}, operations) == result


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "test", "path": "/a/0", "value": 2},
        {"op": "test", "path": "/a/0", "value": True},
        {"op": "remove", "path": "/absent"},
        {"op": "remove", "path": "/a/7"},
        {"op": "replace", "path": "/absent", "value": 1},
        {"op": "add", "path": "/absent/x", "value": 1},
        {"op": "add", "path": "/a/9", "value": 1},
        {"op": "add", "path": "/a/x", "value": 1},
        {"op": "add", "path": "a", "value": 1},
        {"op": "add", "path": "/b"},
        {"op": "add", "value": 1},
        {"op": "move", "from": "/absent", "path": "/b"},
        {"op": "replace", "path": "", "value": 3},
    ],
)
def test_a_json_patch_that_does_not_fit_is_422(operation: Any) -> None:
    with pytest.raises(ApiError) as caught:
        json_patch({"a": [1, 2], "b": {}}, [operation])
    assert caught.value.code == 422


@pytest.mark.parametrize("patch", [[{"op": "explode", "path": "/a"}], [{}], ["x"], [None]])
def test_a_json_patch_that_is_none_is_400(patch: Any) -> None:
    with pytest.raises(ApiError) as caught:
        json_patch({"a": 1}, patch)
    assert caught.value.code == 400


@given(objects, st.text("abc~/", min_size=1, max_size=3), values)
def test_what_is_added_can_be_tested_and_removed(obj: Any, name: str, value: Any) -> None:
    path = pointer(name)
    added = json_patch(obj, [{"op": "add", "path": path, "value": value}, {"op": "test", "path": path, "value": value}])
    assert added[name] == value
    removed = json_patch(added, [{"op": "remove", "path": path}])
    assert removed == {key: other for key, other in obj.items() if key != name}


@given(objects, objects)
def test_no_patch_changes_its_original(obj: Any, patch: Any) -> None:
    before = json.dumps(obj)
    result = patched(obj, patch, MERGE_PATCH)
    json.dumps(result)
    for key in result:
        result[key] = "changed"
    patched(obj, [{"op": "replace", "path": "", "value": {}}], JSON_PATCH)
    patched(obj, {"new": 1}, STRATEGIC_PATCH)
    assert json.dumps(obj) == before


@pytest.mark.parametrize(("patch", "media_type"), [({}, JSON_PATCH), ([], MERGE_PATCH), ("x", STRATEGIC_PATCH)])
def test_a_patch_of_the_wrong_shape_is_400(patch: Any, media_type: str) -> None:
    with pytest.raises(ApiError) as caught:
        patched({}, patch, media_type)
    assert caught.value.code == 400


# --- merge patch


@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": [{"b": 1}]}, {"a": [1]}, {"a": [1]}),
        ({"a": {"b": 1}}, {"a": {"b": 2, "c": None}}, {"a": {"b": 2}}),
        ({"a": 1}, {"a": {"b": {"c": None}}}, {"a": {"b": {}}}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_a_merge_patch_does_what_the_rfc_says(target: Any, patch: Any, result: Any) -> None:
    assert merge_patch(target, patch) == result


@given(objects, objects)
def test_a_merge_patch_applied_twice_is_applied_once(obj: Any, patch: Any) -> None:
    once = merge_patch(obj, patch)
    assert merge_patch(once, patch) == once


# --- strategic merge patch


def containers(*pairs: tuple[str, str]) -> dict[str, Any]:
    return {"spec": {"containers": [{"name": name, "image": image} for name, image in pairs]}}


def test_containers_merge_by_name_and_keep_their_other_fields() -> None:
    obj = containers(("app", "app:1"), ("side", "side:1"))
    obj["spec"]["containers"][0]["ports"] = [{"containerPort": 80, "protocol": "TCP"}]
    result = strategic_patch(obj, containers(("app", "app:2")))
    assert [c["image"] for c in result["spec"]["containers"]] == ["app:2", "side:1"]
    assert result["spec"]["containers"][0]["ports"] == [{"containerPort": 80, "protocol": "TCP"}]


def test_a_new_container_is_added_and_a_marked_one_deleted() -> None:
    patch = {"spec": {"containers": [{"name": "new", "image": "n"}, {"name": "side", "$patch": "delete"}]}}
    result = strategic_patch(containers(("app", "a"), ("side", "s")), patch)
    assert [c["name"] for c in result["spec"]["containers"]] == ["app", "new"]


def test_environment_and_ports_and_conditions_merge_by_their_keys() -> None:
    obj = {"env": [{"name": "A", "value": "1"}], "conditions": [{"type": "Ready", "status": "True", "reason": "r"}]}
    patch = {"env": [{"name": "B", "value": "2"}], "conditions": [{"type": "Ready", "status": "False"}]}
    result = strategic_patch(obj, patch)
    assert [e["name"] for e in result["env"]] == ["A", "B"]
    assert result["conditions"] == [{"type": "Ready", "status": "False", "reason": "r"}]


def test_other_lists_are_replaced() -> None:
    assert strategic_patch({"args": ["a", "b"]}, {"args": ["c"]}) == {"args": ["c"]}


def test_directives_replace_retain_order_and_delete() -> None:
    assert strategic_patch({"a": {"b": 1}}, {"a": {"$patch": "replace", "c": 2}}) == {"a": {"c": 2}}
    strategy = {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}
    patch = {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}
    assert strategic_patch(strategy, patch) == {"strategy": {"type": "Recreate"}}
    ordered = {"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}], "containers": [{"name": "b", "x": 1}]}
    result = strategic_patch({"containers": [{"name": "a"}, {"name": "b"}]}, ordered)
    assert [c["name"] for c in result["containers"]] == ["b", "a"]
    gone = {"$deleteFromPrimitiveList/finalizers": ["x"]}
    assert strategic_patch({"finalizers": ["x", "y"]}, gone) == {"finalizers": ["y"]}
    assert strategic_patch({"finalizers": ["x"]}, {"finalizers": ["y"]}) == {"finalizers": ["x", "y"]}
    whole = {"containers": [{"$patch": "replace"}, {"name": "only"}]}
    assert strategic_patch({"containers": [{"name": "a"}]}, whole) == {"containers": [{"name": "only"}]}


@pytest.mark.parametrize("patch", [{"$patch": "explode"}, {"containers": [{"image": "no name"}]}])
def test_a_strategic_patch_without_sense_is_400(patch: Any) -> None:
    with pytest.raises(ApiError) as caught:
        strategic_patch({"containers": [{"name": "a"}]}, patch)
    assert caught.value.code == 400


# --- selectors and quantities

labels = st.dictionaries(st.sampled_from("abc"), st.sampled_from("xyz"), max_size=3)


@given(labels, st.sampled_from("abc"), st.sampled_from("xyz"))
def test_a_label_selector_and_its_negation_never_agree(found: dict[str, str], key: str, value: str) -> None:
    assert label_selector(f"{key}={value}")(found) is not label_selector(f"{key}!={value}")(found)
    assert label_selector(f"{key} in ({value})")(found) is not label_selector(f"{key} notin ({value})")(found)
    assert label_selector(key)(found) is not label_selector(f"!{key}")(found)
    assert label_selector("")(found)


@given(labels, labels)
def test_an_object_selector_selects_what_its_text_selects(found: dict[str, str], wanted: dict[str, str]) -> None:
    text = ",".join(f"{key}={value}" for key, value in wanted.items())
    if wanted:
        assert object_selector({"matchLabels": wanted})(found) is label_selector(text)(found)


@given(st.text(max_size=30))
def test_any_text_is_a_selector_or_a_400(text: str) -> None:
    for parse in (label_selector, lambda t: field_selector(PODS, t)):
        try:
            parse(text)
        except ApiError as error:
            assert error.code == 400  # noqa: PT017


@pytest.mark.parametrize(
    ("operator", "values", "matches"),
    [
        ("In", ["x"], True),
        ("NotIn", ["x"], False),
        ("Exists", [], True),
        ("DoesNotExist", [], False),
        ("Odd", [], False),
    ],
)
def test_match_expressions(operator: str, values: list[str], matches: bool) -> None:
    selector = {"matchExpressions": [{"key": "a", "operator": operator, "values": values}]}
    assert object_selector(selector)({"a": "x"}) is matches


@pytest.mark.parametrize("selector", [None, {}, {"matchLabels": {}}])
def test_an_empty_object_selector_matches_nothing(selector: Any) -> None:
    assert not object_selector(selector)({"a": "b"})


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1", 1),
        ("250m", 0.25),
        ("1.5", 1.5),
        ("128Mi", 128 * 2**20),
        ("1G", 1e9),
        ("2e3", 2000),
        (4, 4),
        ("-1Ki", -1024),
    ],
)
def test_quantities(text: Any, number: float) -> None:
    assert quantity(text) == pytest.approx(number)


@pytest.mark.parametrize("text", ["", "much", "1 Gi", "1gb", "--1", None, True, [], "1e"])
def test_what_is_no_quantity(text: Any) -> None:
    assert quantity(text) is None


def test_totals_and_percentages() -> None:
    found = [{"resources": {"requests": {"cpu": "100m"}}}, {"resources": {}}, {"resources": {"requests": {"cpu": 1}}}]
    assert total(found, "requests", "cpu") == pytest.approx(1.1)
    assert (percent(2, 9), percent("50%", 3), percent("0%", 3)) == (2, 2, 0)
