"""What lies between two commits of a GitLab project: commits, files, and as much of the diffs as is fit to read."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from bot.tools import gitlab_facts as facts
from bot.tools.ci_logs import shortened
from bot.tools.gitlab_client import GitLabClient, parsed, project_path
from bot.tools.gitlab_fetch import commits_between, maybe
from bot.tools.rest import Missing
from bot.tools.spec import Arguments
from domain.errors import ToolError

LARGEST = 8 << 20
"""Bytes of a comparison that are read: of a larger one only the commits are told."""

MOST_COMMITS, MOST_FILES, MOST_BEHIND = 100, 300, 20
DIFF_BYTES, DIFFS_BYTES = 6 << 10, 32 << 10
"""Bytes of one file's diff, and of all of them together."""


async def read_compare(client: GitLabClient, arguments: Arguments) -> dict[str, Any]:
    """Commits and files between two points, and the commits that the newer one lacks.

    Without `straight` the files are compared with where the two parted, as a merge request does; with it the trees themselves.
    """
    project, old, new = arguments["project"], arguments["from"], arguments["to"]
    (raw, whole), behind = await asyncio.gather(
        _asked(client, project, old, new, straight=arguments["straight"]),
        maybe(commits_between(client, project, new, old, MOST_BEHIND)),
    )
    commits = [facts.commit_facts(each) for each in facts.objects(raw.get("commits"))]
    diffs = facts.objects(raw.get("diffs"))
    files = [file_facts(each) for each in diffs]
    cut = raw.get("compare_timeout") is True or raw.get("overflow") is True
    return {
        "project": project,
        "from": old,
        "to": new,
        "straight": arguments["straight"],
        "same": raw.get("compare_same_ref") is True,
        "commits": commits[-MOST_COMMITS:],
        "behind": [facts.commit_facts(each) for each in facts.objects(behind.items)],
        "files": files[:MOST_FILES],
        "diffs": bounded(diffs[:MOST_FILES]),
        "totals": {
            "commits": len(commits),
            "files": len(files),
            "added": sum(each["added"] for each in files),
            "removed": sum(each["removed"] for each in files),
        },
        "complete": whole and not cut and len(files) <= MOST_FILES and all(each["shown"] for each in files),
        "left_out": _left_out(files, whole=whole, cut=cut),
        "url": facts.text(raw.get("web_url"), 500),
        "read_at": facts.now_text(),
    }


async def _asked(
    client: GitLabClient, project: str, old: str, new: str, *, straight: bool
) -> tuple[dict[str, Any], bool]:
    """The comparison, and whether it was read whole. Where it is too large, only the commits are asked for."""
    path, doing = f"{project_path(project)}/repository/compare", f"compare {old} with {new} in {project}"
    asked = {"from": old, "to": new, "straight": "true" if straight else "false"}
    try:
        reply = await client.send("GET", path, doing=doing, params=asked, at_most=LARGEST)
        if reply.cut:
            listed = await commits_between(client, project, old, new, MOST_COMMITS)
            return {"commits": list(reversed(listed.items))}, False
    except Missing as error:
        raise Missing(
            f"There is no project {project} in GitLab that this agent may see, or no {old} or {new} in it."
        ) from error
    found = parsed(reply, doing)
    if not isinstance(found, dict):
        raise ToolError(f"GitLab answered with something that is no comparison, asked to {doing}.")
    return found, True


def file_facts(raw: facts.Obj) -> dict[str, Any]:
    """One changed file. `shown` is False where GitLab left its diff out, so that its lines are not counted."""
    diff = raw["diff"] if isinstance(raw.get("diff"), str) else ""
    hidden = raw.get("too_large") is True or raw.get("collapsed") is True
    path, before = facts.text(raw.get("new_path"), 300), facts.text(raw.get("old_path"), 300)
    change = {"new_file": "new", "deleted_file": "deleted", "renamed_file": "renamed"}
    added, removed = counted(diff)
    return {
        "path": path,
        "old_path": before if before != path else "",
        "change": next((word for key, word in change.items() if raw.get(key) is True), "changed"),
        "added": added,
        "removed": removed,
        "generated": raw.get("generated_file") is True,
        "shown": not (hidden and not diff),
    }


def counted(diff: str) -> tuple[int, int]:
    """The lines that a diff adds and removes. GitLab gives hunks without the two lines of file names before them."""
    lines = diff.split("\n")
    return sum(line.startswith("+") for line in lines), sum(line.startswith("-") for line in lines)


def bounded(diffs: Iterable[facts.Obj]) -> list[dict[str, Any]]:
    """The beginning of each diff, by whole lines, until all of them together are long enough. `cut`: there is more of it.

    Generated files are left out, and so are those that come too late.
    """
    found, left = list[dict[str, Any]](), DIFFS_BYTES
    for each in diffs:
        diff = each.get("diff")
        if not isinstance(diff, str) or not diff or each.get("generated_file") is True:
            continue
        kept = _beginning(diff, min(DIFF_BYTES, left))
        left -= _size(kept)
        if kept:
            found.append(
                {"path": facts.text(each.get("new_path"), 300), "diff": kept, "cut": kept != diff.rstrip("\n")}
            )
    return found


def _beginning(diff: str, most: int) -> str:
    """As many whole lines as there is room for; a line that is too long is cut between its words."""
    lines, size = [], 0
    for line in diff.rstrip("\n").split("\n"):
        line = shortened(line)
        size += _size(line) + 1
        if size > most:
            break
        lines.append(line)
    return "\n".join(lines)


def _size(text: str) -> int:
    """Bytes; what is half a character (a lone surrogate, which JSON can hold) counts as well."""
    return len(text.encode("utf-8", "surrogatepass"))


def _left_out(files: list[dict[str, Any]], *, whole: bool, cut: bool) -> list[str]:
    """What is not told, in sentences."""
    hidden = [each["path"] for each in files if not each["shown"]]
    said = [
        "" if whole else f"The comparison is larger than {LARGEST >> 20} MB: its files were not read.",
        "GitLab gave up before the end: files are missing." if cut else "",
        f"{len(files) - MOST_FILES} more files." if len(files) > MOST_FILES else "",
        f"GitLab shows no diff of {len(hidden)} files: {', '.join(hidden[:5])}." if hidden else "",
    ]
    return [each for each in said if each]
