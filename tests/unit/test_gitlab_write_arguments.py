"""Arguments of the changes in GitLab: what GitLab takes is taken, and nothing that could pass for something else."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, strategies as st

from bot.tools.gitlab_write_arguments import MergeRequest, Pipeline, Play
from bot.tools.spec import validate
from domain.errors import ArgumentsRefused

EDITS = [{"path": "a", "old": "", "new": "b"}]
MERGE = {"project": "a/b", "target_branch": "main", "title": "Why", "edits": EDITS}
WORD = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,12}", fullmatch=True)


def play(**more: Any) -> dict[str, Any]:
    return validate("t", Play, {"project": "a/b", "job": 1, **more})


def merge(**more: Any) -> dict[str, Any]:
    return validate("t", MergeRequest, MERGE | more)


@given(st.lists(WORD, min_size=2, max_size=5))
def test_a_projects_full_path_is_taken_as_it_is(parts: list[str]) -> None:
    path = "/".join(parts)
    assert validate("t", Pipeline, {"project": path, "pipeline": 1})["project"] == path


@given(st.text(max_size=30))
def test_whatever_is_taken_for_a_project_leads_nowhere_else(text: str) -> None:
    try:
        found = validate("t", Pipeline, {"project": text, "pipeline": 1})["project"]
    except ArgumentsRefused:
        return
    assert found == text
    assert "/" in found
    assert not {"", ".", ".."} & set(found.split("/"))
    assert not set(found) & set("@:*?#%\\ \n")


@given(st.text(max_size=30))
def test_an_environment_cannot_pass_for_another_place(text: str) -> None:
    try:
        found = play(environment=text)["environment"]
    except ArgumentsRefused:
        return
    assert found == text
    assert "@" not in found
    assert found.isprintable()


@pytest.mark.parametrize("name", ["production", "production/canary", "review/fix-1", "eu west 1", "${ENV}.x", ""])
def test_what_gitlab_allows_in_an_environments_name_is_allowed(name: str) -> None:
    assert play(environment=name)["environment"] == name


@pytest.mark.parametrize("name", ["main", "release/1.2", "fix#3", "v1.0", "a-b_c", "größe"])
def test_what_git_allows_in_a_branchs_name_is_allowed(name: str) -> None:
    assert merge(target_branch=name)["target_branch"] == name


NO_BRANCHES = (
    "",
    "-x",
    "/x",
    "x/",
    ".x",
    "x.",
    "a..b",
    "a//b",
    "a b",
    "a~1",
    "a^",
    "a:b",
    "a?",
    "a*",
    "a[",
    "a\\b",
    "a@{1}",
    "x.lock",
)


@pytest.mark.parametrize("name", [*NO_BRANCHES, "a\n"])
def test_what_git_does_not_is_not(name: str) -> None:
    with pytest.raises(ArgumentsRefused, match="target_branch"):
        merge(target_branch=name)


@pytest.mark.parametrize("sha", ["1234567", "0" * 40, "a" * 64])
def test_a_commit_to_take_back_goes_by_its_sha(sha: str) -> None:
    assert merge(revert=sha, edits=[])["revert"] == sha


@pytest.mark.parametrize("sha", ["123456", "main", "A" * 40, "0" * 65, "1234567 ", "HEAD~1"])
def test_and_by_nothing_else(sha: str) -> None:
    with pytest.raises(ArgumentsRefused, match="revert"):
        merge(revert=sha, edits=[])


@given(st.text(alphabet=" \t\n/ab", max_size=12))
def test_no_line_of_a_description_is_a_command(text: str) -> None:
    try:
        found = merge(description=text)["description"]
    except ArgumentsRefused:
        return
    assert not any(line.strip()[:1] == "/" and line.strip()[1:2].isalpha() for line in found.split("\n"))


@pytest.mark.parametrize("number", [0, -1, 1.0, "1", True, 2**60])
def test_an_id_is_a_number_that_gitlab_may_have(number: Any) -> None:
    for model, name in ((Pipeline, "pipeline"), (Play, "job")):
        with pytest.raises(ArgumentsRefused, match=name):
            validate("t", model, {"project": "a/b", name: number})
