"""Places outside: what they take is there and can be read back, and what they do not take says why."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bot.anchors import FilePlace, GitPlace, held_by
from domain.audit import CheckpointSigned
from domain.errors import AnchorError
from storage.checkpoints import Checkpoint, origin_of, sign
from storage.copies import line_of, read_copies
from tests.contracts.journal_samples import NOON

KEY = Ed25519PrivateKey.from_private_bytes(b"k" * 32)


def signed(size: int, workspace: str = "T1") -> CheckpointSigned:
    return CheckpointSigned(sign(Checkpoint(origin_of(workspace), size, b"r" * 32, "0" * 64, NOON), KEY), size, ())


def line(size: int) -> str:
    return line_of(signed(size).note, size - 1, [b"\x01" * 32, b"\x02" * 32])


def sizes(name: str) -> list[int]:
    return sorted(copy.checkpoint.size for copy in held_by(name).copies)


def git(path: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", path, *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


# --- a file -----------------------------------------------------------------------------------------------------------


async def test_a_file_is_appended_to_and_read_back(tmp_path: Path) -> None:
    name = f"file:{tmp_path}/anchors.jsonl"
    assert held_by(name).copies == ()
    references = [await FilePlace(name).write(signed(size), line(size)) for size in (500, 1000)]
    assert references == ["byte 0", f"byte {len(line(500).encode())}"]
    held = held_by(name)
    assert (sizes(name), held.problems) == ([500, 1000], ())
    assert (held.copies[0].first, held.copies[0].trail) == (499, b"\x01" * 4 + b"\x02" * 4)


async def test_half_a_line_of_a_full_disk_spoils_no_other(tmp_path: Path) -> None:
    path = tmp_path / "anchors.jsonl"
    name = f"file:{path}"
    path.write_text(line(500) + line(1000)[:100])
    await FilePlace(name).write(signed(1500), line(1500))
    assert (sizes(name), held_by(name).problems) == ([500, 1500], (f"{name}, line 2: no copy of a checkpoint",))


async def test_a_file_that_takes_nothing_says_why(tmp_path: Path) -> None:
    with pytest.raises(AnchorError, match="No such file"):
        await FilePlace(f"file:{tmp_path}/not-mounted/anchors.jsonl").write(signed(500), line(500))
    with pytest.raises(AnchorError, match="Is a directory"):
        await FilePlace(f"file:{tmp_path}").write(signed(500), line(500))
    with pytest.raises(AnchorError, match="Is a directory"):
        held_by(f"file:{tmp_path}")
    with pytest.raises(AnchorError, match="No space left"):
        await FilePlace("file:/dev/full").write(signed(500), line(500))


# --- a branch ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with a file in its working tree and no remote."""
    path = tmp_path / "repository"
    path.mkdir()
    git(path, "init", "--quiet", "--initial-branch=main")
    (path / "runbook.md").write_text("Do not panic.\n")
    git(path, "add", ".")
    git(path, "-c", "user.name=T", "-c", "user.email=t@example.com", "commit", "--quiet", "-m", "A runbook")
    return path


async def test_a_branch_gets_a_commit_per_checkpoint_and_nothing_else_is_touched(repository: Path) -> None:
    name, head = f"git:{repository}#audit/checkpoints", git(repository, "rev-parse", "main")
    references = [await GitPlace(name).write(signed(size), line(size)) for size in (500, 1000)]
    assert git(repository, "log", "--format=%H %s", "--reverse", "audit/checkpoints").splitlines() == [
        f"{references[0]} Checkpoint over 500 events",
        f"{references[1]} Checkpoint over 1000 events",
    ]
    assert git(repository, "show", "audit/checkpoints:checkpoint") == signed(1000).note.strip()
    assert (git(repository, "rev-parse", "main"), git(repository, "status", "--porcelain")) == (head, "")
    assert git(repository, "symbolic-ref", "HEAD") == "refs/heads/main"
    assert sizes(name) == [500, 1000]


async def test_the_same_checkpoint_again_is_no_second_commit(repository: Path) -> None:
    place = GitPlace(f"git:{repository}#audit")
    assert await place.write(signed(500), line(500)) == await place.write(signed(500), line(500))


async def test_a_branch_is_pushed_and_an_auditor_s_clone_has_every_copy(repository: Path, tmp_path: Path) -> None:
    remote = tmp_path / "remote.git"
    git(tmp_path, "init", "--quiet", "--bare", str(remote))
    git(repository, "remote", "add", "origin", str(remote))
    name = f"git:{repository}#audit"
    for size in (500, 1000):
        await GitPlace(name).write(signed(size), line(size))
    git(tmp_path, "clone", "--quiet", str(remote), "clone")
    assert sizes(f"git:{tmp_path}/clone#audit") == [500, 1000]  # as refs/remotes/origin/audit, never checked out
    assert sizes(f"git:{remote}#audit") == [500, 1000]


async def test_a_new_clone_goes_on_from_the_remote_s_branch(repository: Path, tmp_path: Path) -> None:
    remote = tmp_path / "remote.git"
    git(tmp_path, "init", "--quiet", "--bare", str(remote))
    git(repository, "remote", "add", "origin", str(remote))
    await GitPlace(f"git:{repository}#audit").write(signed(500), line(500))
    git(tmp_path, "clone", "--quiet", str(remote), "clone")
    await GitPlace(f"git:{tmp_path}/clone#audit").write(signed(1000), line(1000))
    assert sizes(f"git:{remote}#audit") == [500, 1000]


async def test_a_remote_may_have_any_name(repository: Path, tmp_path: Path) -> None:
    remote = tmp_path / "remote.git"
    git(tmp_path, "init", "--quiet", "--bare", str(remote))
    git(repository, "remote", "add", "origin", str(remote))
    await GitPlace(f"git:{repository}#audit").write(signed(500), line(500))
    git(tmp_path, "clone", "--quiet", "--origin", "vault", str(remote), "clone")
    name = f"git:{tmp_path}/clone#audit"
    assert sizes(name) == [500]
    await GitPlace(name).write(signed(1000), line(1000))
    assert sizes(f"git:{remote}#audit") == [500, 1000]


async def test_a_remote_that_does_not_answer_is_pushed_to_later_with_the_same_commit(
    repository: Path, tmp_path: Path
) -> None:
    remote = tmp_path / "remote.git"
    git(repository, "remote", "add", "origin", str(remote))
    place = GitPlace(f"git:{repository}#audit")
    with pytest.raises(AnchorError, match="git push"):
        await place.write(signed(500), line(500))
    commit = git(repository, "rev-parse", "audit")
    git(tmp_path, "init", "--quiet", "--bare", str(remote))
    assert await place.write(signed(500), line(500)) == commit
    assert git(remote, "rev-parse", "audit") == commit


async def test_a_remote_that_was_rewritten_is_not_overwritten(repository: Path, tmp_path: Path) -> None:
    remote = tmp_path / "remote.git"
    git(tmp_path, "init", "--quiet", "--bare", str(remote))
    git(repository, "remote", "add", "origin", str(remote))
    place = GitPlace(f"git:{repository}#audit")
    await place.write(signed(500), line(500))
    git(repository, "push", "--quiet", "--force", "origin", "main:audit")
    with pytest.raises(AnchorError, match="git push"):
        await place.write(signed(1000), line(1000))


async def test_commits_of_somebody_else_s_are_passed_over(repository: Path) -> None:
    name = f"git:{repository}#main"
    await GitPlace(name).write(signed(500), line(500))
    assert (sizes(name), held_by(name).problems) == ([500], ())


async def test_what_is_no_repository_says_so(tmp_path: Path) -> None:
    for name in (f"git:{tmp_path}#audit", f"git:{tmp_path}/nowhere#audit"):
        with pytest.raises(AnchorError, match=r"not a git repository|cannot change to|No such file"):
            await GitPlace(name).write(signed(500), line(500))
        with pytest.raises(AnchorError, match=r"not a git repository|cannot change to|No such file"):
            held_by(name)


def test_a_repository_without_the_branch_holds_nothing(repository: Path) -> None:
    assert held_by(f"git:{repository}#audit").copies == ()


# --- texts ------------------------------------------------------------------------------------------------------------

SLACK = """Personal-Agent  APP  12:00 PM
Checkpoint over 500 events
{first}
Saved to a file, it is what personal-agent audit verify --anchor FILE checks the journal against.
Personal-Agent  APP  12:05 PM
> {second}
```{third}```
"""


def test_notes_are_found_in_what_was_copied_from_a_channel(tmp_path: Path) -> None:
    notes = [signed(size).note.rstrip("\n") for size in (500, 1000, 1500)]
    text = SLACK.format(first=notes[0], second=notes[1].replace("\n", "\n> "), third=notes[2])
    held = read_copies("file:slack.txt", text.replace("\n", "\r\n"))
    assert [copy.note for copy in held.copies] == [f"{note}\n" for note in notes]
    assert held.problems == ()


def test_a_text_without_a_note_holds_nothing_and_a_line_that_is_none_is_named() -> None:
    assert read_copies("file:x", "nothing to see here\n").copies == ()
    assert read_copies("file:x", "").copies == ()
    wrong = [json.dumps({"note": "no", "first": 1, "trail": ""}), json.dumps({"note": 5}), "{", line(500).strip()]
    held = read_copies("file:x", "\n".join(wrong))
    assert [copy.checkpoint.size for copy in held.copies] == [500]
    assert len(held.problems) == 3


def test_git_is_never_asked_through_a_shell_or_taken_for_an_option(tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    with pytest.raises(AnchorError):
        held_by(f"git:{tmp_path};touch {marker}#audit")
    with pytest.raises(AnchorError):
        held_by(f"git:{tmp_path}#audit;touch {marker}")
    assert not marker.exists()
