"""A container's requests and limits in a manifest's text: the values are set, and no other line is touched."""

from __future__ import annotations

import difflib
from typing import Any

import pytest
import yaml
from hypothesis import given, strategies as st

from bot.tools.manifest_edits import resized
from domain.errors import ToolError

HEAD = """\
# Orders, as it runs in production
apiVersion: apps/v1
kind: Deployment
metadata:
  name: orders
  namespace: shop
spec:
  replicas: 3
  template:
    spec:
      containers:
        - name: orders   # the service itself
          image: registry.acme.dev/shop/orders:4.2.0
"""
BLOCK = """\
          resources:
            requests:
              cpu: 500m
              memory: "1Gi"   # as measured in 2023
            limits:
              memory: 2Gi
"""
TAIL = """\
          ports:
            - containerPort: 8080
        - name: proxy
          image: envoy
          resources: {requests: {memory: 64Mi}}
---
apiVersion: v1
kind: Service
metadata: {name: orders, namespace: shop}
"""


def wanted(**more: Any) -> dict[str, Any]:
    return {
        "kind": "Deployment", "namespace": "shop", "name": "orders", "container": "orders",
        "requests": {}, "limits": {},
    } | more  # fmt: skip


def changed(before: str, after: str) -> list[str]:
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), n=0, lineterm="")
    return [line for line in lines if line[:1] in "+-" and line[:3] not in ("+++", "---")]


def test_a_value_is_written_over_with_its_quotes_and_its_comment_left() -> None:
    text = HEAD + BLOCK + TAIL
    assert changed(text, resized(text, "m.yaml", wanted(requests={"memory": "384Mi"}))) == [
        '-              memory: "1Gi"   # as measured in 2023',
        '+              memory: "384Mi"   # as measured in 2023',
    ]


def test_several_values_are_set_at_once() -> None:
    text = HEAD + BLOCK + TAIL
    after = resized(text, "m.yaml", wanted(requests={"cpu": "120m", "memory": "384Mi"}, limits={"memory": "512Mi"}))
    assert [line[1:].split() for line in changed(text, after) if line[0] == "+"] == [
        ["cpu:", "120m"], ["memory:", '"384Mi"', "#", "as", "measured", "in", "2023"], ["memory:", "512Mi"],
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("resources", "change", "added"),
    [
        ("", {"requests": {"memory": "384Mi"}}, ["resources:", "  requests:", "    memory: 384Mi"]),
        (
            "          resources: {}\n",
            {"requests": {"memory": "384Mi"}},
            ["resources:", "  requests:", "    memory: 384Mi"],
        ),
        ("          resources:\n", {"limits": {"memory": "1Gi"}}, ["  limits:", "    memory: 1Gi"]),
        (
            "          resources:\n            limits:\n              memory: 2Gi\n",
            {"requests": {"memory": "384Mi"}},
            ["  requests:", "    memory: 384Mi"],
        ),
        (
            "          resources:\n            requests:\n              cpu: 1\n",
            {"requests": {"memory": "384Mi"}},
            ["    memory: 384Mi"],
        ),
        (
            "          resources:\n            requests: {}\n            limits: {memory: 1Gi}\n",
            {"requests": {"memory": "384Mi"}},
            ["  requests:", "    memory: 384Mi"],
        ),
    ],
)
def test_what_is_not_there_yet_is_put_where_its_fellows_are(
    resources: str, change: dict[str, Any], added: list[str]
) -> None:
    text = HEAD + resources + TAIL
    after = resized(text, "m.yaml", wanted(**change))
    assert [line[11:] for line in changed(text, after) if line[0] == "+"] == added
    assert changed(TAIL, after[after.index("          ports:") :]) == []


def test_a_map_on_one_line_stays_on_its_line() -> None:
    text = HEAD + BLOCK + TAIL
    after = resized(text, "m.yaml", wanted(container="proxy", requests={"cpu": "10m", "memory": "48Mi"}))
    assert "          resources: {requests: {cpu: 10m, memory: 48Mi}}\n" in after


def test_lines_end_as_they_did() -> None:
    text = (HEAD + TAIL).replace("\n", "\r\n")
    after = resized(text, "m.yaml", wanted(requests={"memory": "384Mi"}))
    assert after.count("\n") == after.count("\r\n") == text.count("\n") + 3


@pytest.mark.parametrize(
    ("text", "change", "sentence"),
    [
        ("{{ if .Values.x }}\nkind: Deployment\n{{ end }}\n", {}, "perhaps a template"),
        (HEAD + BLOCK + TAIL, {"name": "cart"}, "has no container orders of Deployment shop/cart"),
        (HEAD + BLOCK + TAIL, {"namespace": "staging"}, "has no container orders of Deployment staging/orders"),
        (HEAD + BLOCK + TAIL, {"container": "sidecar"}, "has no container sidecar"),
        (HEAD + BLOCK + TAIL + "---\n" + HEAD + BLOCK, {}, "has 2 container orders"),
        (HEAD + "          env: &e []\n          envFrom: *e\n" + TAIL, {}, "uses anchors"),
        (HEAD + "          resources: {limits: {memory: 1Gi}}\n" + TAIL, {}, "on one line, without requests"),
        ("\ufeff" + HEAD + TAIL, {}, "byte order mark"),
    ],
)
def test_where_it_is_not_certain_nothing_is_changed(text: str, change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ToolError, match=r"m\.yaml") as refused:
        resized(text, "m.yaml", wanted(requests={"memory": "384Mi"}) | change)
    assert sentence in str(refused.value)


AMOUNT = st.sampled_from(["100m", "1", "64Mi", "1Gi", "1.5"])
AMOUNTS = st.dictionaries(st.sampled_from(["cpu", "memory"]), AMOUNT, max_size=2)
RESOURCES = st.one_of(st.none(), st.dictionaries(st.sampled_from(["requests", "limits"]), AMOUNTS, max_size=2))


@given(RESOURCES, AMOUNTS, AMOUNTS, st.sampled_from([None, False, True]), st.integers(1, 6))
def test_any_manifest_says_what_was_wanted_and_nothing_else_or_is_left(
    resources: Any, requests: dict[str, str], limits: dict[str, str], flow: bool | None, indent: int
) -> None:
    container = {"name": "orders", "image": "x"} | ({} if resources is None else {"resources": resources})
    manifest = {
        "kind": "Deployment",
        "metadata": {"name": "orders", "namespace": "shop"},
        "spec": {"template": {"spec": {"containers": [{"name": "a", "image": "b"}, container]}}},
    }
    text = yaml.safe_dump(manifest, default_flow_style=flow, indent=indent, sort_keys=False)
    try:
        after = yaml.safe_load(resized(text, "m.yaml", wanted(requests=requests, limits=limits)))
    except ToolError:
        return
    found = after["spec"]["template"]["spec"]["containers"][1].get("resources") or {}
    for part, amounts in (("requests", requests), ("limits", limits)):
        expected = {**((resources or {}).get(part) or {}), **amounts}
        assert (found.get(part) or {}) == expected
    after["spec"]["template"]["spec"]["containers"][1] = container
    assert after == manifest
