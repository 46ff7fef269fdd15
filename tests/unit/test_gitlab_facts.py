"""What GitLab answers becomes plain facts, as does any other JSON; a commit finds the pipeline that it came in with."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, strategies as st

from bot.tools import gitlab_compare, gitlab_facts as facts
from bot.tools.gitlab_arguments import Compare, Pipeline, Pipelines
from bot.tools.spec import validate
from domain.canonical import canonical
from domain.errors import ArgumentsRefused

KEYS = st.sampled_from(
    [*("id", "iid", "status", "sha", "ref", "source", "user", "name", "username", "web_url", "created_at", "started_at"),
     *("duration", "parent_ids", "title", "author_name", "runner", "description", "online", "downstream_pipeline", "stage"),
     *("test_suites", "total_count", "failed_count", "test_cases", "classname", "recent_failures", "count", "base_branch"),
     *("system_output", "environment", "deployable", "pipeline", "diff", "new_path", "old_path", "too_large", "allow_failure")]
)  # fmt: skip
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=10)
    | st.sampled_from(["failed", "manual"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(KEYS, JSON, max_size=8), st.lists(st.dictionaries(KEYS, JSON, max_size=6), max_size=3))
def test_any_json_becomes_facts_that_the_journal_can_hold(raw: Any, listed: Any) -> None:
    jobs = facts.latest_jobs(listed)
    deployments = [facts.deployment_facts(each) for each in listed]
    for found in (
        facts.pipeline_facts(raw),
        facts.commit_facts(raw),
        facts.job_facts(raw),
        facts.test_facts(raw),
        facts.deployment_facts(raw),
        facts.stages(jobs),
        facts.failing_job(jobs),
        facts.runner_state(listed, 0),
        facts.came_in(listed, [(1, "a")])[1],
        gitlab_compare.file_facts(raw),
        gitlab_compare.bounded([raw, *listed]),
    ):
        assert canonical({"found": found})
    assert set(facts.places(jobs, deployments, 0)) <= {job["id"] for job in jobs}


# --- which pipeline a commit came in with


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[dict[str, Any]], list[int]]:
    """Commits, oldest first, each with parents that are older; and which of them pipelines ran on, in order."""
    size = draw(st.integers(1, 12))
    commits = [
        {
            "id": f"c{n}",
            "title": f"Commit {n}",
            "parent_ids": sorted({f"c{draw(st.integers(0, n - 1))}" for _ in range(2)}),
        }
        if n
        else {"id": "c0", "title": "Commit 0", "parent_ids": []}
        for n in range(size)
    ]
    return commits, sorted(draw(st.lists(st.integers(0, size - 1), min_size=1, max_size=5)))


@given(histories())
def test_each_commit_comes_in_once_with_the_first_pipeline_that_has_it(history: Any) -> None:
    commits, heads = history
    parents = {each["id"]: each["parent_ids"] for each in commits}

    def reachable(sha: str) -> set[str]:
        return {sha}.union(*(reachable(parent) for parent in parents[sha]))

    found = facts.came_in(commits[::-1], [(n, f"c{head}") for n, head in enumerate(heads)])
    known: set[str] = set()
    for n, head in enumerate(heads):
        expected = reachable(f"c{head}") - known
        assert {each["commit"] for each in found[n]} == expected
        known |= expected
    for came in found.values():
        assert all(int(a["commit"][1:]) < int(b["commit"][1:]) for a, b in pairwise(came))


# --- pipelines, jobs and stages


@pytest.mark.parametrize(
    ("status", "result", "building"),
    [
        ("success", "SUCCESS", False),
        ("failed", "FAILURE", False),
        ("canceled", "ABORTED", False),
        ("skipped", "NOT_BUILT", False),
        ("manual", "MANUAL", False),
        ("running", "", True),
        ("pending", "", True),
        ("waiting_for_resource", "", True),
        ("scheduled", "", True),
    ],
)
def test_a_status_has_the_word_that_a_jenkins_build_has(status: str, result: str, building: bool) -> None:
    found = facts.pipeline_facts({"status": status})
    assert (found["status"], found["result"], found["building"]) == (status, result, building)


def test_who_began_a_pipeline_is_told_where_gitlab_tells() -> None:
    mara = {"name": "Mara Lindqvist", "username": "mara"}
    assert facts.pipeline_facts({"source": "merge_request_event", "user": mara})["causes"] == [
        {"text": "merge request event by Mara Lindqvist", "user": "mara"}
    ]
    assert facts.pipeline_facts({"source": "schedule"})["causes"] == [{"text": "schedule"}]
    assert facts.pipeline_facts({})["causes"] == [{"text": "started"}]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2026-08-11T09:36:40.222+02:00", "2026-08-11T07:36:40Z"),
        ("2026-08-11T07:36:40.222Z", "2026-08-11T07:36:40Z"),
        ("2026-08-11T07:36:40", ""),
        ("0001-01-01T00:00:00+14:00", ""),
        ("yesterday", ""),
        (None, ""),
        (17, ""),
    ],
)
def test_moments_are_utc_or_nothing(value: Any, expected: str) -> None:
    assert facts.moment(value) == expected


def job(name: str, stage: str, status: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "stage": stage, "status": status, "id": len(name), **more}


def test_of_a_job_that_was_tried_again_the_last_try_counts() -> None:
    tries = [
        job("unit", "test", "success", id=9),
        job("unit", "test", "failed", id=5),
        job("build", "build", "success", id=4),
    ]
    found = facts.latest_jobs(tries)
    assert [(each["name"], each["status"], each["attempts"]) for each in found] == [
        ("build", "success", 1),
        ("unit", "success", 2),
    ]


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        (["success", "failed"], "FAILED"),
        (["success", "running"], "IN_PROGRESS"),
        (["success", "manual"], "SUCCESS"),
        (["manual", "skipped"], "PAUSED_PENDING_INPUT"),
        (["skipped"], "NOT_EXECUTED"),
        (["canceled", "success"], "ABORTED"),
        (["a word of a later version"], ""),
    ],
)
def test_a_stage_is_as_bad_as_its_worst_job(statuses: list[str], expected: str) -> None:
    jobs = facts.latest_jobs(job(f"job {n}", "test", status, id=n) for n, status in enumerate(statuses))
    assert [each["status"] for each in facts.stages(jobs)] == [expected]


def test_the_job_at_fault_is_the_first_that_failed_and_was_not_allowed_to() -> None:
    jobs = facts.latest_jobs(
        [
            job("style", "test", "failed", id=1, allow_failure=True, finished_at="2026-08-11T07:00:00Z"),
            job("slow", "test", "failed", id=2, finished_at="2026-08-11T07:09:00Z"),
            job("quick", "test", "failed", id=3, finished_at="2026-08-11T07:02:00Z"),
            job("fine", "test", "success", id=4),
        ]
    )
    culprit = facts.failing_job(jobs)
    assert culprit is not None
    assert culprit["name"] == "quick"
    assert facts.failing_job(jobs[:1]) is None
    assert [each["status"] for each in facts.stages(jobs[:1])] == ["SUCCESS"]


def test_a_runner_that_is_not_there_is_told() -> None:
    runner = {"description": "linux-3", "online": False, "status": "not_connected"}
    assert facts.runner_state([{"id": 7, "runner": runner}], 7) == {
        "name": "linux-3",
        "offline": True,
        "reason": "not connected",
    }
    assert facts.runner_state([{"id": 7, "runner": {"description": "linux-3"}}], 7) == {}
    assert facts.runner_state([{"id": 7, "runner": runner}], 8) == {}


# --- tests and deployments


def test_a_report_counts_errors_as_failed_and_tells_how_often_a_test_failed_of_late() -> None:
    case = {
        "status": "error", "classname": "a.B", "name": "c", "system_output": "boom\n  at b.py:3",
        "recent_failures": {"count": 4, "base_branch": "main"},
    }  # fmt: skip
    suite = {"name": "unit", "total_count": 3, "success_count": 1, "failed_count": 0, "error_count": 1, "skipped_count": 1,
             "test_cases": [case, {"status": "success", "name": "d"}]}  # fmt: skip
    found = facts.test_facts({"test_suites": [suite, {"name": "lint", "total_count": 0}]})
    assert found is not None
    assert (found["total"], found["failed"], found["passed"], found["skipped"]) == (3, 1, 1, 1)
    assert found["suites"] == [{"name": "unit", "total": 3, "failed": 1}]
    [failing] = found["failing"]
    assert (failing["test"], failing["details"]) == ("a.B.c", "boom at b.py:3")
    assert (failing["recent_failures"], failing["recent_branch"]) == (4, "main")
    assert facts.test_facts({"test_suites": [], "total_count": 0}) is None


def test_half_a_word_is_never_kept_of_what_is_too_long() -> None:
    secret = "glpat-" + "x" * 400
    assert facts.text(f"see {secret}", 100) == "see … (410 characters)"
    [diff] = gitlab_compare.bounded([{"diff": f"+a = 1\n+{secret * 20}\n", "new_path": "a"}])
    assert diff["cut"]
    assert "glpat" not in diff["diff"]


def test_a_job_deploys_where_its_deployment_says_else_where_all_of_its_namesakes_do() -> None:
    jobs = facts.latest_jobs(
        job(name, "deploy", "manual", id=n) for n, name in enumerate(("live", "review", "other"), 1)
    )
    deployments = [
        {"pipeline": 7, "job": 1, "job_name": "live", "environment": "production"},
        {"pipeline": 6, "job": 81, "job_name": "live", "environment": "old"},
        {"pipeline": 6, "job": 82, "job_name": "other", "environment": "staging"},
        {"pipeline": 5, "job": 72, "job_name": "review", "environment": "review/a"},
        {"pipeline": 4, "job": 62, "job_name": "review", "environment": "review/b"},
    ]
    assert facts.places(jobs, deployments, 7) == {1: "production", 3: "staging"}


# --- diffs and arguments


def test_a_file_whose_diff_is_left_out_is_not_called_unchanged() -> None:
    hidden = gitlab_compare.file_facts({"new_path": "a", "old_path": "a", "diff": "", "too_large": True})
    renamed = gitlab_compare.file_facts({"new_path": "b", "old_path": "a", "diff": "", "renamed_file": True})
    assert (hidden["shown"], hidden["change"]) == (False, "changed")
    assert (renamed["shown"], renamed["change"], renamed["old_path"]) == (True, "renamed", "a")


def test_half_a_character_in_a_diff_is_no_failure() -> None:
    assert gitlab_compare.bounded([{"diff": "+\ud800\n", "new_path": "a"}])[0]["diff"] == "+\ud800"


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\n\r"), max_size=80), max_size=400))
def test_a_bounded_diff_is_the_beginning_of_it(lines: list[str]) -> None:
    diff = "\n".join(lines)
    found = gitlab_compare.bounded([{"diff": diff, "new_path": "a"}])
    for each in found:
        assert len(each["diff"].encode()) <= gitlab_compare.DIFF_BYTES
        assert diff.startswith(each["diff"])
        assert each["cut"] is (each["diff"] != diff.rstrip("\n"))


@pytest.mark.parametrize(
    "name", ["shop", "shop/", "/shop/a", "shop/../a", "shop/-a", "shop/a b", "shop/a.git", "shop/a?x=1"]
)
def test_what_is_no_projects_path_is_refused(name: str) -> None:
    with pytest.raises(ArgumentsRefused, match="project: "):
        validate("gitlab_pipelines", Pipelines, {"project": name})


@pytest.mark.parametrize("ref", ["a..b", "-x", "a b", "a\n", "a~1", "a^", "refs/", "x.lock", "@{1}", "a:b", "a?b"])
def test_what_is_no_ref_is_refused(ref: str) -> None:
    with pytest.raises(ArgumentsRefused, match="ref: "):
        validate("gitlab_pipeline", Pipeline, {"project": "shop/a", "ref": ref})
    with pytest.raises(ArgumentsRefused, match="from: "):
        validate("gitlab_compare", Compare, {"project": "shop/a", "from": ref, "to": "main"})


def test_both_ends_of_a_comparison_are_needed() -> None:
    with pytest.raises(ArgumentsRefused, match="from is required"):
        validate("gitlab_compare", Compare, {"project": "shop/a", "to": "main"})
    with pytest.raises(ArgumentsRefused, match="to: "):
        validate("gitlab_compare", Compare, {"project": "shop/a", "from": "main", "to": ""})
    good = {"project": "shop/a", "from": "refs/merge-requests/4/head", "to": "feature/x#1"}
    assert validate("gitlab_compare", Compare, good) == {**good, "straight": False}
