"""The policy's folder: the last good files decide, and every problem with newer ones is told until it is mended."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.config import load
from bot.policy_files import PolicyFiles, read_folder, variables
from bot.tools import schemas
from domain.errors import PolicyError
from tests.unit.journeys import DENYING, RULES

BROKEN = "rules: [{id: a, decision: maybe}]"


def files(folder: Path) -> PolicyFiles:
    return PolicyFiles(str(folder), schemas(), {"AGENT_APPROVERS": ("@sre",)})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "policy"
    made.mkdir()
    (made / "all.yaml").write_text(RULES.replace("look", "reading"))
    return made


def test_unchanged_files_are_not_loaded_again(folder: Path) -> None:
    policy = files(folder)
    assert policy.reload()
    assert not policy.reload()
    assert [rule.id for rule in policy.current.rules] == ["reading", "turn"]


def test_a_refused_bundle_leaves_the_last_good_one_in_force_and_says_where_it_is_wrong(folder: Path) -> None:
    policy = files(folder)
    policy.reload()
    good = policy.current
    (folder / "all.yaml").write_text(BROKEN)
    assert policy.reload()
    assert policy.current is good
    assert "all.yaml:1" in policy.problems[0]
    assert not policy.reload(), "it is said once"
    (folder / "all.yaml").write_text(DENYING)
    assert policy.reload()
    assert policy.problems == ()
    assert policy.current.hash != good.hash


def test_a_folder_that_comes_back_unchanged_is_no_problem_any_more(folder: Path) -> None:
    policy = files(folder)
    policy.reload()
    folder.rename(folder.with_name("away"))
    assert policy.reload()
    assert "is not a folder" in policy.problems[0]
    folder.with_name("away").rename(folder)
    assert policy.reload()
    assert policy.problems == ()


def test_with_nothing_ever_loaded_nothing_is_allowed(tmp_path: Path) -> None:
    policy = files(tmp_path / "none")
    policy.reload()
    assert (policy.current.rules, bool(policy.problems)) == ((), True)


def test_a_file_that_is_no_text_is_a_problem(folder: Path) -> None:
    (folder / "all.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(PolicyError, match="cannot be read"):
        read_folder(str(folder))


def test_without_a_folder_the_shipped_policy_is_read_and_knows_the_approvers() -> None:
    settings = load({"AGENT_APPROVERS": "@sre,U1"}, env_file=None)
    assert "policy.yaml" in read_folder("")
    assert variables(settings)["AGENT_APPROVERS"] == ("@sre", "U1")
