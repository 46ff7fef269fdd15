"""A project's git: commits with whole trees, branches, merge bases, and diffs as GitLab words them."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

NOBODY = "0" * 40
Tree = dict[str, bytes]


@dataclass(frozen=True)
class Commit:
    """One commit and the whole tree that it leaves. `parents` are shas."""

    sha: str
    parents: tuple[str, ...]
    message: str
    author: str
    email: str
    at: datetime
    tree: Mapping[str, bytes]

    @property
    def title(self) -> str:
        return self.message.split("\n", 1)[0]


@dataclass
class Branch:
    """A branch. Of a protected one: whether Developers may push to it, and merge into it."""

    name: str
    head: str
    protected: bool = False
    developers_can_push: bool = False
    developers_can_merge: bool = False


@dataclass
class Repository:
    """Commits by sha and branches by name."""

    commits: dict[str, Commit] = field(default_factory=dict)
    branches: dict[str, Branch] = field(default_factory=dict)
    default_branch: str = "main"

    def resolve(self, ref: str) -> Commit | None:
        """The commit of a branch, a full sha, or an unambiguous short one of at least seven digits."""
        if branch := self.branches.get(ref):
            return self.commits[branch.head]
        if ref in self.commits:
            return self.commits[ref]
        found = [commit for sha, commit in self.commits.items() if len(ref) >= 7 and sha.startswith(ref)]
        return found[0] if len(found) == 1 else None

    def commit(
        self, branch: str, tree: Tree, message: str, author: str, email: str, at: datetime, start: str = ""
    ) -> Commit:
        """A new commit at the head of a branch, which begins at `start` (a sha) where it is new."""
        known = self.branches.get(branch)
        parent = known.head if known else start
        made = _made((parent,) if parent else (), tree, message, author, email, at)
        self.commits[made.sha] = made
        if known:
            known.head = made.sha
        else:
            self.branches[branch] = Branch(branch, made.sha)
        return made

    def ancestors(self, sha: str) -> Iterator[Commit]:
        """A commit and what came before it, newest first."""
        waiting, seen = [sha], set[str]()
        while waiting:
            waiting.sort(key=lambda each: self.commits[each].at)
            current = waiting.pop()
            if current not in seen:
                seen.add(current)
                yield self.commits[current]
                waiting += self.commits[current].parents

    def merge_base(self, one: str, other: str) -> str:
        known = {commit.sha for commit in self.ancestors(one)}
        return next((commit.sha for commit in self.ancestors(other) if commit.sha in known), "")

    def between(self, old: str, new: str) -> list[Commit]:
        """What `new` has and `old` has not, oldest first."""
        known = {commit.sha for commit in self.ancestors(old)}
        return [commit for commit in self.ancestors(new) if commit.sha not in known][::-1]

    def last_change(self, sha: str, path: str) -> str:
        """The newest commit up to `sha` that touched a path."""
        for commit in self.ancestors(sha):
            before = self.commits[commit.parents[0]].tree.get(path) if commit.parents else None
            if commit.tree.get(path) != before:
                return commit.sha
        return ""

    def take_back(self, commit: Commit, tree: Tree) -> str:
        """Undoes a commit's changes in `tree`. Returns why that does not go (`conflict` or `empty`), empty when it went."""
        before = self.commits[commit.parents[0]].tree if commit.parents else {}
        touched = [path for path in {*before, *commit.tree} if before.get(path) != commit.tree.get(path)]
        if any(tree.get(path) not in (before.get(path), commit.tree.get(path)) for path in touched):
            return "conflict"
        if all(tree.get(path) == before.get(path) for path in touched):
            return "empty"
        for path in touched:
            tree.pop(path, None)
            if path in before:
                tree[path] = before[path]
        return ""

    def changes(self, commit: Commit) -> list[dict[str, Any]]:
        """A commit's diff against its first parent."""
        before = self.commits[commit.parents[0]].tree if commit.parents else {}
        return diffs(before, commit.tree)


def blob_id(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def diffs(old: Mapping[str, bytes], new: Mapping[str, bytes]) -> list[dict[str, Any]]:
    """Every changed file, as the API's diff entity."""
    return [
        _diff(path, old.get(path), new.get(path)) for path in sorted({*old, *new}) if old.get(path) != new.get(path)
    ]


def _diff(path: str, old: bytes | None, new: bytes | None) -> dict[str, Any]:
    return {
        "diff": _unified(old or b"", new or b""),
        "collapsed": False,
        "too_large": False,
        "new_path": path,
        "old_path": path,
        "a_mode": "0" if old is None else "100644",
        "b_mode": "0" if new is None else "100644",
        "new_file": old is None,
        "renamed_file": False,
        "deleted_file": new is None,
        "generated_file": False,
    }


def _unified(old: bytes, new: bytes) -> str:
    if b"\0" in old + new:
        return "Binary files differ\n"
    before, after = (text.decode("utf-8", "replace").splitlines(keepends=True) for text in (old, new))
    lines = list(difflib.unified_diff(before, after))[2:]  # the API leaves the two file lines out
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)


def _made(parents: tuple[str, ...], tree: Tree, message: str, author: str, email: str, at: datetime) -> Commit:
    text = "\0".join(
        [*parents, message, author, at.isoformat(), *(f"{p}:{blob_id(c)}" for p, c in sorted(tree.items()))]
    )
    sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
    return Commit(sha, parents, message, author, email, at, dict(tree))
