"""Runbooks: Markdown files of the team, found by what they say they are for, and by their words.

A file may begin with front matter: `title`, and `match` with globs for alertname, namespace, kind, name, severity. Files are
read again when they change; one that cannot be read is left out and named.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import yaml

from domain.canonical import sha256
from domain.errors import BadInput, SettingsError
from domain.memory import words_of

MATCHERS = ("alertname", "namespace", "kind", "name", "severity")
MOST_FILES, LARGEST = 500, 128 * 1024
MOST_TEXT = 6_000
"""Characters of one runbook that are shown."""

ALIKE = 0.3
"""The part of a question's telling words that a runbook without a matching matcher has to have."""

_FRONT = re.compile(r"\A---\s*\n(.*?)\n---\s*\n", re.DOTALL)
_HEADING = re.compile(r"^#\s+(.+)$", re.MULTILINE)
_STEP = re.compile(r"^\s{0,3}(?:\d{1,2}[.)]|[-*])\s+(.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Runbook:
    """One file. `match` are globs by matcher, any of which may match; every matcher that is given has to."""

    path: str
    title: str
    text: str
    match: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """SHA-256 over its text: which version of it was cited."""
        return sha256(self.text.encode())

    @property
    def steps(self) -> tuple[str, ...]:
        """Its list items, in order."""
        return tuple(" ".join(step.split())[:300] for step in _STEP.findall(self.text))


@dataclass(frozen=True)
class Found:
    """A runbook that was found, by which matchers (none: by its words), the best first."""

    runbook: Runbook
    by: tuple[str, ...]
    score: float


class Runbooks:
    """The files of a folder, read again when they change."""

    def __init__(self, folder: str) -> None:
        """Raises SettingsError where there is no such folder."""
        self._folder = Path(folder)
        if not self._folder.is_dir():
            raise SettingsError(f"AGENT_RUNBOOKS: {folder} is not a folder; name the folder that holds Markdown files")
        self._read: dict[Path, tuple[tuple[int, int], Runbook | str]] = {}

    def all(self) -> tuple[tuple[Runbook, ...], tuple[str, ...]]:
        """Every runbook, and a sentence on each file that cannot be one."""
        paths = sorted(path for path in self._folder.rglob("*.md") if path.is_file())
        read: dict[Path, tuple[tuple[int, int], Runbook | str]] = {}
        for path in paths[:MOST_FILES]:
            stat = path.stat()
            mark = (stat.st_mtime_ns, stat.st_size)
            known = self._read.get(path)
            read[path] = known if known and known[0] == mark else (mark, self._one(path, stat.st_size))
        self._read = read
        found = [entry for _, entry in read.values()]
        notes = [entry for entry in found if isinstance(entry, str)]
        if len(paths) > MOST_FILES:
            notes.append(f"{len(paths) - MOST_FILES} runbooks are left out: at most {MOST_FILES} are read")
        return tuple(entry for entry in found if isinstance(entry, Runbook)), tuple(notes)

    def find(self, about: Mapping[str, str], text: str, limit: int = 3) -> tuple[Found, ...]:
        """The runbooks for a problem: those whose matchers all match, then those with like words."""
        wanted = set(words_of(text, *about.values()))
        scored = [_score(runbook, about, wanted) for runbook in self.all()[0]]
        found = [each for each in scored if each.score > 0]
        return tuple(sorted(found, key=lambda each: (-each.score, each.runbook.path))[:limit])

    def _one(self, path: Path, size: int) -> Runbook | str:
        name = path.relative_to(self._folder).as_posix()
        if size > LARGEST:
            return f"{name} is larger than {LARGEST >> 10} KB"
        try:
            return read_runbook(name, path.read_text("utf-8"))
        except (OSError, UnicodeDecodeError, BadInput) as error:
            return f"{name} cannot be read: {error}"


def read_runbook(path: str, text: str) -> Runbook:
    """A runbook from a file's text. Raises BadInput that says what is wrong with its front matter."""
    front = _FRONT.match(text)
    if front is None:
        heading = _HEADING.search(text)
        return Runbook(path, heading[1].strip() if heading else path, text)
    try:
        said = yaml.safe_load(front[1])
    except yaml.YAMLError as error:
        raise BadInput(f"its front matter is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(said, dict):
        raise BadInput("its front matter is no map of title and match")
    body = text[front.end() :]
    heading = _HEADING.search(body)
    title = str(said.get("title") or (heading[1].strip() if heading else path))
    return Runbook(path, title[:200], body, _matchers(said.get("match") or {}))


def _matchers(value: Any) -> dict[str, tuple[str, ...]]:
    if not isinstance(value, dict):
        raise BadInput("match is no map")
    unknown = sorted(set(map(str, value)) - set(MATCHERS))
    if unknown:
        raise BadInput(f"match knows {', '.join(MATCHERS)}, not {unknown[0]}")
    listed = {name: globs if isinstance(globs, list) else [globs] for name, globs in value.items()}
    for name, globs in listed.items():
        if not globs or not all(isinstance(glob, str) and glob for glob in globs):
            raise BadInput(f"match.{name} is a glob or a list of globs")
    return {name: tuple(globs) for name, globs in listed.items()}


def _score(runbook: Runbook, about: Mapping[str, str], wanted: set[str]) -> Found:
    has = set(words_of(runbook.title, runbook.text))
    share = len(wanted & has) / len(wanted) if wanted else 0.0
    if runbook.match:
        holds = all(
            any(fnmatchcase(about.get(name, ""), glob) for glob in globs) for name, globs in runbook.match.items()
        )
        return Found(runbook, tuple(runbook.match), len(runbook.match) + share if holds else 0.0)
    return Found(runbook, (), share if share >= ALIKE and len(wanted) > 1 else 0.0)
