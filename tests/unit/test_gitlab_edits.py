"""Changes of files worked out beforehand: what a diff shows is what is sent, and a commit is taken back by what it did."""

from __future__ import annotations

import difflib
import re
import time

import pytest
from hypothesis import given, strategies as st

from bot.tools import gitlab_edits as edits
from bot.tools.gitlab_edits import Change, File
from bot.tools.gitlab_write_arguments import unseen
from domain.errors import ToolError

LINES = st.lists(
    st.sampled_from(["a", "b", "c", "retries: 2", "", "@@ -1 +1 @@", "--- a/x", "\ty", "z\r"]), max_size=12
)
TEXTS = st.builds(lambda lines, end: "\n".join(lines) + end, LINES, st.sampled_from(["", "\n"]))


def file(text: str | None) -> File | None:
    return None if text is None else File("f", text.encode(), edits.blob_id(text.encode()), "1" * 40)


def applied(before: str, diff: str) -> str:
    """What a diff makes of a text, by the letter: every line it shows as there has to be there."""
    old, new, at = edits.lines_of(before), list[str](), 0
    for line in re.split(r"\n(?!\\ No newline)", diff)[2:]:
        body, mark, _ = line[1:].partition("\n\\ No newline at end of file")
        body += "" if mark else "\n"
        if (start := re.match(r"@@ -(\d+)(?:,(\d+))? \+", line)) and not line.startswith((" ", "+", "-")):
            begin = int(start[1]) - (0 if start[2] == "0" else 1)
            new += old[at:begin]
            at = begin
        elif line[:1] == "+":
            new.append(body)
        else:
            assert old[at] == body
            at += 1
            new += [body] if line[:1] == " " else []
    return "".join(new + old[at:])


@given(TEXTS, TEXTS)
def test_a_diff_says_exactly_what_becomes_of_a_file(before: str, after: str) -> None:
    assert applied(before, edits.unified([Change("f", before, after)])) == after


@given(TEXTS, TEXTS)
def test_lines_are_the_whole_text_and_end_where_git_ends_them(one: str, other: str) -> None:
    text = f"{one}\x0c\u2028{other}"
    assert "".join(edits.lines_of(text)) == text
    assert all(line.index("\n") == len(line) - 1 for line in edits.lines_of(text)[:-1])


def test_a_diff_has_three_lines_around_and_begins_anew_where_much_is_alike() -> None:
    lines = [f"line {n}\n" for n in range(40)]
    new = [*lines[:4], "four\n", *lines[5:30], *lines[31:]]
    shown = edits.unified([Change("f", "".join(lines), "".join(new))])
    assert shown == "".join(difflib.unified_diff(lines, new, "a/f", "b/f")).removesuffix("\n")
    assert shown.count("@@ -") == 2


def test_a_comparison_that_would_take_long_is_not_made() -> None:
    lines = ["same\n"] * 4000
    far = "".join(["a\n", *lines, "z\n"])
    with pytest.raises(ToolError, match="more than 1000 lines apart"):
        edits.unified([Change("f", far, far.replace("a", "b").replace("z", "y"))])
    near = "".join(lines)
    assert edits.unified([Change("f", near, f"{near}more\n")]).endswith("+more")


def test_a_definition_of_blank_lines_alone_is_read_at_once() -> None:
    began = time.perf_counter()
    assert not edits.included_by("\n" * 200_000 + " " * 200_000 + "include:" + " " * 200_000)
    assert time.perf_counter() - began < 2


@given(TEXTS, st.text(max_size=4), st.text(max_size=4))
def test_an_edit_replaces_the_one_place_or_nothing(text: str, old: str, new: str) -> None:
    places = [at for at in range(len(text)) if old and text.startswith(old, at)]
    if len(places) == 1 and old != new:
        found = edits.edited(file(text), "f", [{"path": "f", "old": old, "new": new}])
        assert found.after == text[: places[0]] + new + text[places[0] + len(old) :]
        assert found.before == text
    else:
        with pytest.raises(ToolError):
            edits.edited(file(text), "f", [{"path": "f", "old": old, "new": new}])


@given(st.none() | TEXTS, st.none() | TEXTS)
def test_what_nobody_touched_since_goes_back_to_what_it_was(before: str | None, after: str | None) -> None:
    change = edits.taken_back(file(after), file(after), file(before), "f")
    assert (change.before, change.after) == (after, before)


@given(TEXTS, TEXTS, TEXTS)
def test_what_others_did_since_stays_or_it_is_refused(before: str, after: str, more: str) -> None:
    """Lines that others put before and behind are there afterwards, and between them is what was."""
    border = "".join(f"border {n}\n" for n in range(4))
    was, made = f"{border}{before}\n{border}", f"{border}{after}\n{border}"
    now = f"{more}\nfirst\n{made}last\n{more}"
    try:
        change = edits.taken_back(file(now), file(made), file(was), "f")
    except ToolError:
        return  # what the commit did stands there more than once
    assert change.after == f"{more}\nfirst\n{was}last\n{more}"


def test_a_place_that_moved_before_another_is_refused() -> None:
    def part(name: str, value: str) -> str:
        return "".join(f"{name}{n}\n" for n in range(4)) + f"{value}\n" + "".join(f"{name}{n}\n" for n in range(4, 8))

    was, made = part("a", "1") + part("b", "1"), part("a", "2") + part("b", "2")
    moved = part("b", "2") + part("a", "2")
    assert edits.taken_back(file(f"x\n{made}"), file(made), file(was), "f").after == f"x\n{was}"
    with pytest.raises(ToolError, match="stands in another order"):
        edits.taken_back(file(moved), file(made), file(was), "f")
    with pytest.raises(ToolError, match="is 2 times there as it left it"):
        edits.taken_back(file(made + made), file(made), file(was), "f")


def test_a_middle_of_a_line_is_no_place() -> None:
    with pytest.raises(ToolError, match="no longer there"):
        edits.taken_back(file("max = 2\n"), file("x = 2\n"), file("x = 1\n"), "f")


@pytest.mark.parametrize(("now", "after", "before"), [(None, "a\n", "b\n"), ("c\n", None, "b\n"), ("c\n", "a\n", None)])
def test_a_file_that_came_or_went_meanwhile_is_for_a_person(
    now: str | None, after: str | None, before: str | None
) -> None:
    with pytest.raises(ToolError, match="is not as this commit left it"):
        edits.taken_back(file(now), file(after), file(before), "f")


def entry(before: str = "100644", after: str = "100644", **more: object) -> dict[str, object]:
    return {"old_path": "a", "new_path": "a", "a_mode": before, "b_mode": after, **more}


def test_of_a_renamed_file_both_paths_are_changed() -> None:
    assert edits.paths_of(entry()) == ["a"]
    assert edits.paths_of(entry(new_path="b")) == ["b", "a"]
    assert edits.paths_of(entry("0", "100755", new_file=True)) == ["a"]
    assert edits.paths_of(entry("100644", "0", deleted_file=True)) == ["a"]


@pytest.mark.parametrize(
    ("before", "after", "more"),
    [
        ("120000", "120000", {}), ("0", "160000", {"new_file": True}), ("100644", "100755", {}),
        ("100755", "0", {"deleted_file": True}), ("", "", {}),
    ],
)  # fmt: skip
def test_links_other_repositories_and_modes_are_for_a_person(before: str, after: str, more: dict[str, bool]) -> None:
    with pytest.raises(ToolError, match="changes the mode of a, or it is no plain file"):
        edits.paths_of(entry(before, after, **more))


def test_an_action_carries_the_condition_under_which_it_was_seen() -> None:
    made = Change("f", None, "é\n").action
    assert made == {"action": "create", "file_path": "f", "content": "w6kK", "encoding": "base64"}
    assert Change("f", "a", "b", "blob", "sha").action["last_commit_id"] == "sha"
    gone = Change("f", "a", None, "blob", "sha")
    assert gone.action == {"action": "delete", "file_path": "f", "last_commit_id": "sha"}
    assert gone.blob_after == ""
    assert Change("f", None, "").blob_after == "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391", (
        "as git says of an empty file"
    )


@pytest.mark.parametrize(
    "path",
    [
        ".gitlab-ci.yml", ".GITLAB-CI.yml", "a/.gitlab-ci.yaml", "ci/deploy.gitlab-ci.yml", ".gitlab/ci/test.yml",
        ".gitlab/agents/x/config.yaml", "CODEOWNERS", "docs/CODEOWNERS", ".gitmodules", ".git/hooks/x", "../x", "a/../b",
        "/a", "a\\b", "", "a//b", "a/./b", "a\nb", "ci/build.yml", "ci/jobs/x.yml", "own.yml",
    ],
)  # fmt: skip
def test_what_would_change_the_rules_is_not_for_an_agent(path: str) -> None:
    assert edits.why_not(path, "own.yml@group/other", ["ci/build.yml", "ci/jobs/*.yml"])


@pytest.mark.parametrize(
    "path", ["README.md", "ci/other.yml", "src/gitlab.py", ".gitignore", "docs/codeowners.md", "a b"]
)
def test_other_files_are(path: str) -> None:
    assert edits.why_not(path, "", ["ci/build.yml"]) == ""


def test_a_definition_names_the_files_that_it_takes_in() -> None:
    written = """
include:
  - local: '/ci/build.yml'
  - local: "ci/jobs/*.yml"
  - ci/plain.yaml
test:
  script: [pytest --config tests.yml]
"""
    assert edits.included_by(written) == {"ci/build.yml", "ci/jobs/*.yml", "ci/plain.yaml"}
    assert edits.included_by("include: ci/one.yml\n") == edits.included_by("include: [ci/one.yml]\n") == {"ci/one.yml"}


@given(st.text(st.characters(categories=["L", "N", "P", "S", "Zs"])))
def test_what_everybody_sees_is_fine(text: str) -> None:
    assert unseen(f"{text}\t\r\n") == ""


@pytest.mark.parametrize("character", ["\x00", "\x1b", "\u202e", "\u2066", "\u200b", "\ufeff", "\u2028"])
def test_what_nobody_sees_is_named(character: str) -> None:
    assert unseen(f"a{character}b") == f"U+{ord(character):04X}"
