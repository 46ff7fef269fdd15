"""What Jenkins exports becomes plain facts: of every version and kind of job, and of anything else that is JSON."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, strategies as st

from bot.tools import jenkins_facts as facts, jenkins_render as render
from bot.tools.jenkins_arguments import KEY
from domain.canonical import canonical

KEYS = st.sampled_from(
    [*("number", "result", "actions", "causes", "parameters", "name", "value", "lastBuiltRevision", "SHA1", "branch"),
     *("changeSets", "changeSet", "items", "commitId", "msg", "author", "fullName", "affectedPaths", "timestamp", "stages"),
     *("stageFlowNodes", "status", "error", "message", "suites", "cases", "childReports", "property", "choices"),
     *("parameterDefinitions", "defaultParameterValue", "type", "failCount", "age", "failedSince", "errorDetails")]
)  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(KEYS, JSON, max_size=8))
def test_any_json_becomes_facts_that_the_journal_can_hold(raw: Any) -> None:
    for found in (
        facts.build_facts(raw),
        facts.definitions(raw),
        facts.stages(raw),
        facts.failing_node(raw),
        facts.test_facts(raw),
        sorted(facts.users(raw)),
    ):
        assert canonical(found)
    assert render.build(
        {"job": "a", **facts.build_facts(raw), "stages": [], "failure": None, "waits": "", "agent_state": {}}
    )


def test_freestyle_and_pipeline_builds_export_their_commits_differently() -> None:
    item = {
        "commitId": "a1",
        "msg": "Fix\nlong",
        "author": {"fullName": "Mara"},
        "affectedPaths": ["x"],
        "timestamp": 1000,
    }
    for raw in ({"changeSet": {"items": [item]}}, {"changeSets": [{"items": [item]}, {"items": [item]}]}):
        assert facts.changes(raw) == [
            {"commit": "a1", "message": "Fix", "author": "Mara", "at": "1970-01-01T00:00:01Z", "paths": ["x"]}
        ]


def test_the_revision_is_the_one_of_the_jobs_own_branch_and_not_its_librarys() -> None:
    def checkout(commit: str, branch: str) -> Any:
        return {"lastBuiltRevision": {"SHA1": commit, "branch": [{"name": branch}]}}

    raw = {"actions": [{}, checkout("lib", "v3"), checkout("own", "feature/x")]}
    assert facts.build_facts(raw, "feature%2Fx")["revision"] == {"commit": "own", "branch": "feature/x"}
    assert facts.build_facts(raw, "elsewhere")["revision"]["commit"] == "lib"
    assert facts.build_facts({})["revision"] == {"commit": "", "branch": ""}


def test_parameters_are_text_and_a_password_has_none() -> None:
    values = [{"name": "A", "value": True}, {"name": "B", "value": "x"}, {"name": "C"}, {"name": "D", "value": 7}]
    assert facts.parameters({"actions": [{"parameters": values}]}) == {"A": "true", "B": "x", "D": "7"}


def test_the_first_failed_stage_is_the_failing_one_and_an_unstable_one_only_where_none_failed() -> None:
    def listed(*pairs: str) -> list[dict[str, str]]:
        return [dict(zip(("name", "status"), pair.split("="), strict=True)) for pair in pairs]

    first = facts.failing_stage(listed("a=SUCCESS", "b=UNSTABLE", "c=FAILED", "d=FAILED"))
    assert first == {"name": "c", "status": "FAILED"}
    assert facts.failing_stage(listed("a=ABORTED", "b=FAILED")) == {"name": "a", "status": "ABORTED"}
    assert facts.failing_stage(listed("a=SUCCESS", "b=UNSTABLE")) == {"name": "b", "status": "UNSTABLE"}
    assert facts.failing_stage(listed("a=SUCCESS")) is None
    post = "Declarative: Post Actions"
    assert facts.failing_stage(listed("a=SUCCESS", f"{post}=UNSTABLE")) is None, "that is where they were counted"
    assert facts.failing_stage(listed("a=SUCCESS", f"{post}=FAILED")) == {"name": post, "status": "FAILED"}
    assert facts.failing_stage(listed("a=UNSTABLE", f"{post}=FAILED")) == {"name": "a", "status": "UNSTABLE"}


def test_reports_of_a_build_with_modules_are_added_up() -> None:
    case = {
        "className": "a.B",
        "name": "c",
        "status": "REGRESSION",
        "age": 1,
        "failedSince": 9,
        "errorDetails": "x\n y",
    }
    part = {"failCount": 1, "passCount": 4, "skipCount": 0, "suites": [{"cases": [case, {**case, "status": "PASSED"}]}]}
    found = facts.test_facts({"childReports": [{"result": part}, {"result": part}]})
    assert found is not None
    assert (found["failed"], found["passed"]) == (2, 8)
    assert found["failing"][0] == {"test": "a.B.c", "age": 1, "since": 9, "details": "x y"}


def test_a_steps_log_is_read_out_of_its_markup() -> None:
    assert facts.plain_text('<span class="x">a &lt;b&gt; &amp;</span>\n') == "a <b> &\n"
    assert facts.plain_text(None) == ""


@pytest.mark.parametrize("value", [None, True, 0, -5, 10**20, "1", 1.5])
def test_a_time_that_is_none_is_empty(value: Any) -> None:
    assert facts.moment(value) == ""


def test_the_agents_own_parameter_is_known_by_one_name() -> None:
    assert KEY == "PERSONAL_AGENT_KEY"
