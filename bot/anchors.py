"""The places outside that hold copies of checkpoints: a file, a branch of a git repository, a Slack channel.

A copy is worth as much as its place: one that this host cannot rewrite (docs/audit.md says how to set that up).
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from domain.audit import CheckpointSigned
from domain.errors import AnchorError
from domain.ports import Message
from storage.copies import Held, read_copies

GIT_SECONDS = 60.0
SLACK_SECONDS = 60.0
_SIGNATURE = ("-c", "user.name=Personal-Agent", "-c", "user.email=personal-agent@localhost")
_FILE = "checkpoint.json"


class Place(Protocol):
    """Where copies go. `name` is how the setting and the journal call it."""

    name: str

    async def write(self, event: CheckpointSigned, line: str) -> str:
        """Keep a checkpoint: its note alone, or the line with its trail; the place's own name for it.

        May be called again with the same one. Raises AnchorError.
        """
        ...


class FilePlace:
    """A file that is only appended to, a line per checkpoint, on disk before it counts."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._path = Path(name.removeprefix("file:"))

    async def write(self, event: CheckpointSigned, line: str) -> str:
        """Append the line."""
        return await asyncio.to_thread(self._append, line)

    def _append(self, line: str) -> str:
        try:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
            with open(descriptor, "ab", buffering=0) as file:
                start = file.tell()
                torn = start and not self._ends_a_line(start)
                content = b"\n" * bool(torn) + line.encode()
                written = file.write(content)
                os.fsync(descriptor)
        except OSError as error:
            raise AnchorError(f"{self._path} takes nothing: {error.strerror}") from error
        if written < len(content):
            raise AnchorError(f"{self._path} took a part of a line only")
        return f"byte {start}"

    def _ends_a_line(self, size: int) -> bool:
        """Whether the last line is whole: a full disk or a lost host leaves half of one."""
        try:
            with self._path.open("rb") as file:
                file.seek(size - 1)
                return file.read(1) == b"\n"
        except OSError:
            return True  # storage that may be written and not read


class GitPlace:
    """A branch of a repository, a commit per checkpoint, pushed where there is a remote. No working tree is touched."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._path, self._ref = _repository(name)

    async def write(self, event: CheckpointSigned, line: str) -> str:
        """Commit the line, once, and push."""
        tip = await self._git("rev-parse", "--verify", "--quiet", self._ref, may_fail=True)
        remote = _remote(await self._git("remote"))
        base = tip or await self._git("rev-parse", "--verify", "--quiet", _tracking(self._ref, remote), may_fail=True)
        blob = await self._git("hash-object", "-w", "--stdin", content=line)
        note = await self._git("hash-object", "-w", "--stdin", content=event.note)
        files = f"100644 blob {note}\tcheckpoint\n100644 blob {blob}\t{_FILE}\n"
        tree = await self._git("mktree", content=files)
        commit = base
        if not base or tree != await self._git("rev-parse", f"{base}^{{tree}}"):
            words = f"Checkpoint over {event.size} events"
            parent = ("-p", base) if base else ()
            commit = await self._git(*_SIGNATURE, "commit-tree", tree, *parent, "-m", words)
            await self._git("update-ref", self._ref, commit, tip or "0" * len(commit))
        if remote:
            await self._git("push", "--quiet", remote, f"{self._ref}:{self._ref}")
        return commit

    async def _git(self, *arguments: str, content: str = "", may_fail: bool = False) -> str:
        """One git command; its output. Nothing of it can ask: it has no terminal."""
        try:
            process = await asyncio.create_subprocess_exec(
                *_command(self._path, *arguments),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            raise AnchorError(f"git cannot be run: {error.strerror}") from error
        try:
            async with asyncio.timeout(GIT_SECONDS):
                output, problem = await process.communicate(content.encode())
        except TimeoutError as error:
            raise AnchorError(f"git {arguments[0]} did not end within {GIT_SECONDS:.0f} s") from error
        finally:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)  # git and what it started, such as ssh
                await process.wait()
        if process.returncode and not may_fail:
            raise AnchorError(_words(problem, arguments[0]))
        return "" if process.returncode else output.decode().strip()


class Poster(Protocol):
    """What a Slack place needs of the chat."""

    async def checkpoint(self, channel: str, event: CheckpointSigned) -> str:
        """Say it in the channel, once; the message's key."""
        ...


class Deliveries(Protocol):
    """What a Slack place needs of the sender."""

    async def delivered(self, key: str, within_s: float) -> Message | None:
        """The outbox row of `key` once Slack has it."""
        ...


class SlackPlace:
    """A channel, a message per checkpoint. The bot can edit its messages: never the only place (docs/audit.md)."""

    def __init__(self, name: str, channel: str, chat: Poster, sender: Deliveries) -> None:
        self.name = name
        self._channel = channel
        self._chat = chat
        self._sender = sender

    async def write(self, event: CheckpointSigned, line: str) -> str:
        """Want the message, and wait until Slack has it."""
        if not self._channel:
            raise AnchorError(f"there is no channel {self.name.removeprefix('slack:')} that the app can see")
        key = await self._chat.checkpoint(self._channel, event)
        row = await self._sender.delivered(key, SLACK_SECONDS)
        if row is None:
            raise AnchorError("Slack has not taken the message yet")
        return f"{row.channel}/{row.ts}"


def readable(names: Sequence[str]) -> list[str]:
    """The places that can be read from here."""
    return [name for name in names if name.startswith(("file:", "git:"))]


def held_by(name: str) -> Held:
    """Every copy that a file or a branch holds; none where it does not exist yet. Raises AnchorError."""
    if name.startswith("git:"):
        return read_copies(name, _read_branch(name))
    path = Path(name.removeprefix("file:"))
    try:
        return read_copies(name, path.read_text("utf-8", "replace"))
    except FileNotFoundError:
        return Held(name)
    except OSError as error:
        raise AnchorError(f"{path} cannot be read: {error.strerror}") from error


def _read_branch(name: str) -> str:
    path, ref = _repository(name)
    for each in (ref, _tracking(ref, _remote(_run(path, "remote", may_fail=True)))):
        commits = _run(path, "rev-list", each, "--", may_fail=True)
        if commits:
            wanted = "".join(f"{commit}:{_FILE}\n" for commit in commits.split())
            found = _run(path, "cat-file", "--batch=", content=wanted).splitlines(keepends=True)
            return "".join(line for line in found if line.startswith("{"))  # a commit of somebody else's has none
    _run(path, "rev-parse", "--git-dir")  # raises where this is no repository
    return ""


def _run(path: Path, *arguments: str, content: str = "", may_fail: bool = False) -> str:
    try:
        done = subprocess.run(  # noqa: S603 – a list of words, no shell
            _command(path, *arguments),
            input=content.encode(),
            capture_output=True,
            start_new_session=True,
            timeout=GIT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise AnchorError(f"git cannot be run in {path}: {error}") from error
    if done.returncode and not may_fail:
        raise AnchorError(_words(done.stderr, arguments[0]))
    return done.stdout.decode("utf-8", "replace") if not done.returncode else ""


def _repository(name: str) -> tuple[Path, str]:
    path, _, branch = name.removeprefix("git:").rpartition("#")
    return Path(path), f"refs/heads/{branch}"


def _remote(listed: str) -> str:
    """Which of the remotes that git lists is pushed to; empty where there is none."""
    remotes = listed.split()
    return "origin" if "origin" in remotes else next(iter(remotes), "")


def _tracking(ref: str, remote: str) -> str:
    """Where a clone that has never checked the branch out has it."""
    return ref.replace("refs/heads/", f"refs/remotes/{remote}/", 1)


def _command(path: Path, *arguments: str) -> list[str]:
    return ["git", "-C", str(path), "-c", "core.askPass=", "-c", "credential.interactive=false", *arguments]


def _words(problem: bytes, command: str) -> str:
    lines = [line.strip() for line in problem.decode("utf-8", "replace").splitlines() if line.strip()]
    telling = [line for line in lines if line.startswith(("fatal:", "error:", "!"))] or lines or ["failed"]
    return f"git {command}: {telling[0][:300]}"
