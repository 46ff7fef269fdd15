"""What every tool has in common: strict arguments, a compact schema, the ports, and a set that is known by name."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import suppress
from typing import Annotated, Any

import pytest
from hypothesis import given, strategies as st
from pydantic import Field

from bot.tools import NO_CLUSTER, TOOL_NAMES, Clients, Systems, build_tools, connect
from bot.tools.alertmanager import open_alertmanager
from bot.tools.gitlab_client import GitLabClient
from bot.tools.jenkins_client import JenkinsClient
from bot.tools.knowledge import knowledge_tools
from bot.tools.kubernetes_client import KubernetesClient
from bot.tools.prometheus_api import open_prometheus
from bot.tools.spec import Model, schema_of, validate
from domain.actions import Effect
from domain.canonical import canonical
from domain.errors import ArgumentsRefused, SettingsError
from domain.ports import ReadTool, WriteTool

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)


EVERYTHING = Clients(
    kubernetes=object.__new__(KubernetesClient),
    jenkins=object.__new__(JenkinsClient),
    gitlab=object.__new__(GitLabClient),
    prometheus=open_prometheus("http://prometheus", ""),
    alertmanager=open_alertmanager("http://alertmanager"),
)


def tools() -> dict[str, Any]:
    """Every tool, connected to nothing: understanding and rendering need no cluster."""
    unconnected: Any = object()
    built = build_tools(EVERYTHING, lambda *_: "production", (unconnected,))
    return {tool.name: tool for tool in (*built, *knowledge_tools(unconnected, unconnected, unconnected))}


ALL = tools()
WRITES = {name for name, tool in ALL.items() if tool.effect is not Effect.READ}
GOOD: dict[str, dict[str, Any]] = {
    "kubernetes_get": {"kind": "Pod", "namespace": "shop", "name": "a"},
    "kubernetes_list": {"kind": "Node"},
    "kubernetes_events": {"namespace": "shop"},
    "kubernetes_logs": {"namespace": "shop", "pod": "a"},
    "kubernetes_rollout_history": {"namespace": "shop", "name": "a"},
    "kubernetes_rollback": {"namespace": "shop", "name": "a", "to_revision": 1},
    "kubernetes_restart": {"namespace": "shop", "kind": "DaemonSet", "name": "a"},
    "kubernetes_scale": {"namespace": "shop", "kind": "StatefulSet", "name": "a", "replicas": 0},
    "kubernetes_set_resources": {
        "namespace": "shop", "kind": "Deployment", "name": "a", "container": "c", "limits": {"memory": "1Gi"},
    },
    "kubernetes_cordon": {"name": "node-1.example.com", "unschedulable": True},
    "kubernetes_patch": {"namespace": "shop", "kind": "Service", "name": "a", "patch": {"spec": {"type": "ClusterIP"}}},
    "kubernetes_delete_pod": {"namespace": "shop", "name": "a"},
    "jenkins_builds": {"job": "shop/checkout/main"},
    "jenkins_build": {"job": "shop/checkout/feature%2Ftaxes", "number": 4},
    "jenkins_trigger": {"job": "shop/deploy", "parameters": {"TARGET": "staging"}, "rebuild": 3},
    "jenkins_abort": {"job": "shop/deploy", "build": 4},
    "gitlab_pipelines": {"project": "shop/checkout", "ref": "main"},
    "gitlab_pipeline": {"project": "acme/shop/checkout", "pipeline": 4101},
    "gitlab_compare": {"project": "shop/checkout", "from": "v1.2.0", "to": "main"},
    "gitlab_retry_pipeline": {"project": "shop/checkout", "pipeline": 4107},
    "gitlab_cancel_pipeline": {"project": "shop/checkout", "pipeline": 4107},
    "gitlab_play_job": {"project": "shop/checkout", "job": 90041, "environment": "production", "variables": {"WAVE": "1"}},
    "gitlab_open_merge_request": {
        "project": "shop/checkout", "target_branch": "main", "title": "Wait longer", "description": "Why.",
        "edits": [{"path": "a.yaml", "old": "a: 1", "new": "a: 2"}],
    },
    "incident_history": {"text": "it crashes"},
    "incident_list": {},
    "runbook_find": {"text": "it crashes", "alertname": "KubePodCrashLooping"},
    "prometheus_query": {"query": "up"},
    "prometheus_query_range": {"query": "up"},
    "prometheus_alerts": {"name": "Down"},
    "prometheus_error_budget": {"service": "checkout"},
    "alertmanager_silence": {"matchers": [{"name": "alertname", "value": "Down"}], "comment": "known"},
}  # fmt: skip


def test_the_tools_are_those_of_the_contract() -> None:
    assert tuple(sorted(ALL)) == tuple(sorted(TOOL_NAMES)) == tuple(sorted(GOOD))
    assert {name for name, tool in ALL.items() if tool.effect is Effect.DESTRUCTIVE} == {
        "kubernetes_delete_pod",
        "kubernetes_patch",
    }
    assert {name for name, tool in ALL.items() if tool.effect is Effect.READ} == {
        "kubernetes_get", "kubernetes_list", "kubernetes_events", "kubernetes_logs", "kubernetes_rollout_history",
        "jenkins_builds", "jenkins_build",
        "gitlab_pipelines", "gitlab_pipeline", "gitlab_compare",
        "incident_history", "incident_list", "runbook_find",
        "prometheus_query", "prometheus_query_range", "prometheus_alerts", "prometheus_error_budget",
    }  # fmt: skip


def test_every_tool_satisfies_its_port() -> None:
    for tool in ALL.values():
        one: ReadTool | WriteTool = tool
        assert one.description.endswith(".")
        assert one.parameters is one.parameters
        if one.name in WRITES:
            assert one.probe_seconds > 0  # type: ignore[union-attr]


@pytest.mark.parametrize("name", TOOL_NAMES)
def test_good_arguments_become_canonical_with_every_default(name: str) -> None:
    tool = ALL[name]
    understood = tool.understand(GOOD[name])
    assert set(understood.arguments) == set(tool.parameters["properties"])
    assert canonical(understood.arguments)
    assert tool.understand(understood.arguments).arguments == understood.arguments
    assert understood.target.system == name.partition("_")[0]


@pytest.mark.parametrize("name", TOOL_NAMES)
def test_a_schema_is_small_flat_and_closed(name: str) -> None:
    schema = ALL[name].parameters
    text = json.dumps(schema)
    assert '"title": "' not in text  # a property may be called so
    assert "$ref" not in text
    assert "anyOf" not in text  # a condition of a policy reads one type
    assert schema["additionalProperties"] is False
    assert len(text) < 2500


@pytest.mark.parametrize("name", TOOL_NAMES)
def test_unknown_missing_and_coerced_arguments_are_refused(name: str) -> None:
    tool = ALL[name]
    with pytest.raises(ArgumentsRefused, match=r"unknown argument 'force'; it takes ") as caught:
        tool.understand({**GOOD[name], "force": True})
    assert caught.value.field == "force"
    for key in tool.parameters.get("required", ()):
        with pytest.raises(ArgumentsRefused, match=f"{key} is required"):
            tool.understand({name: value for name, value in GOOD[name].items() if name != key})
    for key in GOOD[name]:
        with pytest.raises(ArgumentsRefused, match=f"^{name}: {key}"):
            tool.understand({**GOOD[name], key: [1.5]})


@pytest.mark.parametrize(
    ("name", "more", "sentence"),
    [
        ("kubernetes_scale", {"replicas": "3"}, 'replicas: input should be a valid integer, not "3"'),
        ("kubernetes_scale", {"replicas": True}, "replicas: input should be a valid integer, not true"),
        ("kubernetes_scale", {"replicas": -1}, "replicas: input should be greater than or equal to 0, not -1"),
        ("kubernetes_scale", {"replicas": 1001}, "less than or equal to 1000"),
        ("kubernetes_scale", {"kind": "DaemonSet"}, "'Deployment' or 'StatefulSet', not \"DaemonSet\""),
        ("kubernetes_cordon", {"unschedulable": 1}, "valid boolean, not 1"),
    ],
)
def test_a_refusal_says_what_would_be_right_and_what_was_given(name: str, more: Any, sentence: str) -> None:
    with pytest.raises(ArgumentsRefused) as caught:
        ALL[name].understand({**GOOD[name], **more})
    assert sentence in str(caught.value)


@pytest.mark.parametrize("name", TOOL_NAMES)
@given(
    arguments=st.dictionaries(
        st.sampled_from(["kind", "name", "namespace", "pod", "patch", "limits", "job", "parameters", "x"]), JSON
    )
)
def test_whatever_a_model_sends_is_understood_or_refused(name: str, arguments: dict[str, Any]) -> None:
    with suppress(ArgumentsRefused):
        assert canonical(ALL[name].understand(arguments).arguments)


@given(junk=JSON)
def test_a_refusal_never_repeats_more_than_a_little_of_what_was_given(junk: Any) -> None:
    with pytest.raises(ArgumentsRefused) as caught:
        ALL["kubernetes_scale"].understand({**GOOD["kubernetes_scale"], "replicas": [junk] * 50})
    assert len(str(caught.value)) < 200


class Inner(Model):
    depth: Annotated[int, Field(ge=0)] = 0


class Outer(Model):
    title: str
    inner: Inner = Inner()


def test_a_property_may_be_called_title() -> None:
    assert schema_of(Outer)["properties"]["title"] == {"type": "string"}


def test_nested_models_are_inlined() -> None:
    inner = schema_of(Outer)["properties"]["inner"]
    assert inner["properties"] == {"depth": {"default": 0, "minimum": 0, "type": "integer"}}
    assert inner["additionalProperties"] is False


def test_nested_arguments_are_checked_as_strictly() -> None:
    assert validate("t", Outer, {"title": "x", "inner": {"depth": 2}}) == {"title": "x", "inner": {"depth": 2}}
    for bad in ({"depth": "2"}, {"deep": 1}, {"depth": -1}, [1]):
        with pytest.raises(ArgumentsRefused, match="inner"):
            validate("t", Outer, {"title": "x", "inner": bad})


def test_what_is_not_json_is_refused() -> None:
    for bad in ({"title": object()}, {"title": float("nan")}, {"title": "\ud800"}, {"title": {1, 2}}):
        with pytest.raises(ArgumentsRefused):
            validate("t", Outer, bad)


async def test_without_a_cluster_there_are_no_tools_and_a_sentence_says_so() -> None:
    box = await connect(Systems(), str)
    assert (box.tools, box.notes) == ((), (NO_CLUSTER,))
    await box.close()


async def test_in_a_pod_without_its_token_the_settings_error_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    with pytest.raises(
        SettingsError, match="The pod's service account cannot be used: Service token file does not exist"
    ):
        await connect(Systems(), str)


def test_importing_the_tools_does_not_import_the_kubernetes_package() -> None:
    code = "import sys, bot.tools; sys.exit('kubernetes' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], env=dict(os.environ), check=False).returncode == 0
