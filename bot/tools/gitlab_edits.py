"""A change of files, worked out beforehand: exact replacements, a commit taken back, and the diff that a card shows. Pure."""

from __future__ import annotations

import base64
import difflib
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from domain.errors import ToolError

_CI = re.compile(r"(.*/)?([^/]*\.)?gitlab-ci[^/]*\.ya?ml")
_INCLUDED = re.compile(
    r"""(?:\blocal:|\binclude:|^[ \t]{0,40}-)[ \t]{0,40}\[?[ \t]{0,40}["']?/?([^\s"',\[\]]{1,255}\.ya?ml)\b""",
    re.MULTILINE,
)
_CONTEXT = 3
_MOST_LINES = 1000
_PLAIN = {"0", "000000", "100644", "100755"}
_Op = tuple[str, int, int, int, int]


@dataclass(frozen=True)
class File:
    """A file as it is at one commit. `blob` is git's id of its content, `last` the commit that last changed it."""

    path: str
    content: bytes
    blob: str
    last: str


@dataclass(frozen=True)
class Change:
    """One file before and after; None where it is not there."""

    path: str
    before: str | None
    after: str | None
    blob: str = ""
    last: str = ""

    @property
    def blob_after(self) -> str:
        """Git's id of what it is to become, empty where it goes."""
        return "" if self.after is None else blob_id(self.after.encode())

    @property
    def action(self) -> dict[str, Any]:
        """As POST /repository/commits takes it: on the condition that nobody changed the file since."""
        if self.after is None:
            return {"action": "delete", "file_path": self.path, "last_commit_id": self.last}
        content = base64.b64encode(self.after.encode()).decode()
        made = {"file_path": self.path, "content": content, "encoding": "base64"}
        return (
            {"action": "create", **made}
            if self.before is None
            else {"action": "update", **made, "last_commit_id": self.last}
        )


def why_not(path: str, ci_file: str, included: Iterable[str]) -> str:
    """Why this agent does not change a file, as the end of a sentence; empty where it may."""
    low, parts = path.casefold(), path.split("/")
    if (
        path.startswith(("/", "\\"))
        or "\\" in path
        or not path.isprintable()
        or any(part in ("", ".", "..") for part in parts)
    ):
        return "it is no path within the repository"
    if parts[0] == ".git" or low == ".git":
        return "it belongs to git itself"
    ci = [each.casefold() for each in (ci_file.partition("@")[0].lstrip("/"), *included) if each]
    if _CI.fullmatch(low) or low.startswith(".gitlab/ci/") or any(fnmatchcase(low, each) for each in ci):
        return "it defines the pipeline, which runs with the project's secrets and may deploy"
    if parts[-1].casefold() == "codeowners":
        return "it says whose approval a change takes"
    if parts[0].casefold() == ".gitlab":
        return "it configures GitLab itself"
    if parts[-1].casefold() == ".gitmodules":
        return "it makes other repositories part of this one"
    return ""


def included_by(ci: str) -> frozenset[str]:
    """The files of the repository that a CI definition takes in, as far as it names them."""
    return frozenset(_INCLUDED.findall(ci))


def edited(file: File | None, path: str, edits: Sequence[Mapping[str, str]]) -> Change:
    """A file after replacements, each of a text that occurs once. Raises ToolError."""
    before = None if file is None else text_of(file.content, path)
    after = before
    for edit in edits:
        after = _replaced(after, path, edit["old"], edit["new"])
    if after == before:
        raise ToolError(f"{path} would stay as it is.")
    return Change(path, before, after, file.blob if file else "", file.last if file else "")


def _replaced(now: str | None, path: str, old: str, new: str) -> str:
    if not old:
        if now is not None:
            raise ToolError(f"{path} is there already: an edit of it names the text to replace (old).")
        return new
    if now is None:
        raise ToolError(f"There is no {path} on this branch; with an empty old text it would be a new file.")
    found = _count(now, old)
    if found != 1:
        times = f"{found} times" if found else "nowhere"
        raise ToolError(f"The text to replace occurs {times} in {path}, and has to occur once: {old[:80]!r}.")
    return now.replace(old, new)


def _count(now: str, old: str) -> int:
    """How often it occurs, overlaps too."""
    found, at = 0, now.find(old)
    while at >= 0:
        found, at = found + 1, now.find(old, at + 1)
    return found


def taken_back(now: File | None, after: File | None, before: File | None, path: str) -> Change:
    """A file without what one commit did to it, which made `after` of `before`. Raises ToolError where that is not certain.

    Where others changed the file since, each place is put back whose text, with the lines around it, occurs once.
    """
    blob, last = (now.blob, now.last) if now else ("", "")
    texts = [None if each is None else text_of(each.content, path) for each in (now, after, before)]
    current, new, old = texts
    if current == new:
        return Change(path, current, old, blob, last)
    if current is None or new is None or old is None:
        raise ToolError(f"{path} is not as this commit left it: taking it back is for a person to decide.")
    lines = lines_of(current)
    for at, length, ours in reversed(_spots(lines, _places(lines_of(new), lines_of(old), path), path)):
        lines[at : at + length] = ours
    return Change(path, current, "".join(lines), blob, last)


def _places(new: list[str], old: list[str], path: str) -> list[tuple[list[str], list[str]]]:
    """Each place that differs with the lines around it: as it is, and as it was."""
    return [(new[group[0][1] : group[-1][2]], old[group[0][3] : group[-1][4]]) for group in _groups(new, old, path)]


def _groups(one: list[str], other: list[str], path: str) -> list[list[_Op]]:
    """What differs between two texts, in groups with the lines around them. Raises ToolError where it would take long.

    Lines that both begin or end with are left out of the comparison, whose cost grows with the square of what is left.
    """
    shorter = min(len(one), len(other))
    first = next((at for at in range(shorter) if one[at] != other[at]), shorter)
    last = next((at for at in range(shorter - first) if one[-1 - at] != other[-1 - at]), shorter - first)
    middle, changed = one[first : len(one) - last], other[first : len(other) - last]
    if max(len(middle), len(changed)) > _MOST_LINES:
        raise ToolError(
            f"The first and the last change of {path} are more than {_MOST_LINES} lines apart: make it smaller."
        )
    found = difflib.SequenceMatcher(None, middle, changed, autojunk=False).get_opcodes()
    codes = [(tag, a + first, b + first, c + first, d + first) for tag, a, b, c, d in found if tag != "equal" or b - a]
    before = max(0, first - _CONTEXT)
    around: _Op = ("equal", before, first, before, first)
    after = min(last, _CONTEXT)
    ends = (len(one) - last, len(other) - last)
    return _grouped([around, *codes, ("equal", ends[0], ends[0] + after, ends[1], ends[1] + after)]) if codes else []


def _grouped(codes: Sequence[_Op]) -> list[list[_Op]]:
    """Opcodes parted where more lines are alike than are shown around both sides."""
    groups: list[list[_Op]] = [[]]
    for tag, a, b, c, d in codes:
        if tag == "equal" and b - a > 2 * _CONTEXT:
            groups[-1].append((tag, a, a + _CONTEXT, c, c + _CONTEXT))
            groups.append([])
            a, c = b - _CONTEXT, d - _CONTEXT
        groups[-1].append((tag, a, b, c, d))
    return groups


def _spots(
    lines: list[str], places: Iterable[tuple[list[str], list[str]]], path: str
) -> list[tuple[int, int, list[str]]]:
    """Where each place is, how long, and what it was, in order. Raises ToolError where one is not there once."""
    spots: list[tuple[int, int, list[str]]] = []
    for theirs, ours in places:
        length = len(theirs)
        found = [at for at in range(len(lines) - length + 1) if lines[at : at + length] == theirs] if theirs else []
        if len(found) != 1:
            times = f"{len(found)} times there" if found else "no longer there"
            raise ToolError(f"{path} was changed since: what this commit did to it is {times} as it left it.")
        if spots and found[0] < spots[-1][0] + spots[-1][1]:
            raise ToolError(f"{path} was changed since: what this commit did to it stands in another order.")
        spots.append((found[0], length, ours))
    return spots


def unified(changes: Iterable[Change]) -> str:
    """The whole diff, as git words it."""
    return "\n".join(_file_diff(change) for change in changes)


def _file_diff(change: Change) -> str:
    source = "/dev/null" if change.before is None else f"a/{change.path}"
    into = "/dev/null" if change.after is None else f"b/{change.path}"
    old, new = lines_of(change.before or ""), lines_of(change.after or "")
    shown = [f"--- {source}", f"+++ {into}"]  # also of an empty file
    for group in _groups(old, new, change.path):
        shown.append(f"@@ -{_range(group[0][1], group[-1][2])} +{_range(group[0][3], group[-1][4])} @@")
        for tag, a, b, c, d in group:
            if tag == "equal":
                shown += [_line(" ", line) for line in old[a:b]]
            else:
                shown += [_line("-", line) for line in old[a:b]] + [_line("+", line) for line in new[c:d]]
    return "\n".join(shown)


def _range(begin: int, end: int) -> str:
    """Lines in the head of a hunk; of none, the line that it comes after."""
    length = end - begin
    return str(begin + 1) if length == 1 else f"{begin + bool(length)},{length}"


def _line(sign: str, line: str) -> str:
    ended = line.endswith("\n")
    return f"{sign}{line[:-1]}" if ended else f"{sign}{line}\n\\ No newline at end of file"


def paths_of(raw: Mapping[str, Any]) -> list[str]:
    """The paths that one entry of a commit's diff is about: of a renamed file both. Raises ToolError for what is no plain
    file, such as a link, and where a mode would have to be put back.
    """
    old, new, before, after = (str(raw.get(name) or "") for name in ("old_path", "new_path", "a_mode", "b_mode"))
    gone, made = raw.get("deleted_file") is True, raw.get("new_file") is True
    changed = before != after and not (gone or made)
    if not {before, after} <= _PLAIN or changed or (gone and before == "100755"):
        raise ToolError(
            f"This commit changes the mode of {new}, or it is no plain file: taking it back is for a person."
        )
    return list(dict.fromkeys((new, old)))


def text_of(content: bytes, path: str) -> str:
    """A file's text. Raises ToolError where it is none, or has what a card does not show."""
    try:
        found = content.decode()
    except UnicodeDecodeError:
        raise ToolError(f"{path} is not text in UTF-8.") from None
    if "\0" in found:
        raise ToolError(f"{path} is not text.")
    return found


def lines_of(text: str) -> list[str]:
    """Lines with their ends, split where git splits them: at a line feed and nowhere else."""
    parts = text.split("\n")
    return [f"{part}\n" for part in parts[:-1]] + ([parts[-1]] if parts[-1] else [])


def blob_id(content: bytes) -> str:
    """Git's id of a content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
