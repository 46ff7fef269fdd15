"""Files of a GitLab repository at a commit, and a change of them worked out against the head of a branch."""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from bot.tools import gitlab_edits as edits
from bot.tools.gitlab_client import GitLabClient, project_path
from bot.tools.gitlab_edits import Change, File
from bot.tools.gitlab_look import text
from bot.tools.manifest_edits import resized
from bot.tools.rest import Missing
from domain.errors import ToolError

LARGEST = 1 << 18
"""Bytes of a file that is looked at."""

MOST_FILES = 20


@dataclass(frozen=True)
class Worked:
    """A change as it would be committed upon `head`, with the message's first lines."""

    head: str
    changes: tuple[Change, ...]
    message: str


async def worked_out(client: GitLabClient, arguments: Mapping[str, Any]) -> Worked:
    """What would be committed. Raises Missing or ToolError where it cannot be, or is not for this agent to change."""
    project, branch = arguments["project"], arguments["target_branch"]
    head = await branch_head(client, project, branch)
    if not head:
        raise Missing(f"There is no branch {branch} in {project}, or this agent may not see it.")
    if arguments["revert"]:
        message, changes = await _taken_back(client, project, head, arguments["revert"])
    elif arguments["resources"]:
        message, changes = arguments["title"], await _resized(client, project, head, arguments["resources"])
    else:
        message, changes = arguments["title"], await _edited(client, project, head, arguments["edits"])
    await _check_paths(client, project, head, [change.path for change in changes])
    return Worked(head, tuple(changes), message)


async def branch_head(client: GitLabClient, project: str, branch: str) -> str:
    """The sha of a branch's head, empty where there is no such branch."""
    found = await branch_commit(client, project, branch)
    return text(found.get("id")) if found else ""


async def branch_commit(client: GitLabClient, project: str, branch: str) -> Mapping[str, Any] | None:
    """The commit at a branch's head, None where there is no such branch."""
    path = f"{project_path(project)}/repository/branches/{quote(branch, safe='')}"
    try:
        found = await client.get(path, doing=f"read the branch {branch} of {project}")
    except Missing:
        return None
    commit = found.get("commit") if isinstance(found, Mapping) else None
    return commit if isinstance(commit, Mapping) else {}


async def file_at(client: GitLabClient, project: str, path: str, sha: str) -> File | None:
    """A file at a commit, None where it is not there."""
    where = f"{project_path(project)}/repository/files/{quote(path, safe='')}"
    try:
        raw = await client.get(where, {"ref": sha}, doing=f"read {path} of {project}", at_most=2 * LARGEST)
    except Missing:
        return None
    try:
        content = base64.b64decode(text(raw.get("content")).replace("\n", ""), validate=True)
    except (binascii.Error, AttributeError) as error:
        raise ToolError(
            f"GitLab answered with something that is no file, asked to read {path} of {project}."
        ) from error
    if len(content) > LARGEST:
        raise ToolError(f"{path} is larger than {LARGEST >> 10} KB.")
    return File(path, content, text(raw.get("blob_id")), text(raw.get("last_commit_id")))


async def _edited(client: GitLabClient, project: str, head: str, wanted: Sequence[Mapping[str, str]]) -> list[Change]:
    paths = list(dict.fromkeys(edit["path"] for edit in wanted))
    _refuse(paths, "", ())  # before anything is asked for by such a path
    files = await asyncio.gather(*(file_at(client, project, path, head) for path in paths))
    return [
        edits.edited(file, path, [edit for edit in wanted if edit["path"] == path])
        for path, file in zip(paths, files, strict=True)
    ]


async def _resized(client: GitLabClient, project: str, head: str, wanted: Sequence[Mapping[str, Any]]) -> list[Change]:
    """Manifests with other requests and limits, each set where it stands."""
    paths = list(dict.fromkeys(one["path"] for one in wanted))
    _refuse(paths, "", ())
    files = await asyncio.gather(*(file_at(client, project, path, head) for path in paths))
    changes = []
    for path, file in zip(paths, files, strict=True):
        if file is None:
            raise Missing(f"There is no {path} in {project} on this branch.")
        before = after = edits.text_of(file.content, path)
        for one in (one for one in wanted if one["path"] == path):
            after = resized(after, path, one)
        if after == before:
            raise ToolError(f"{path} says so already.")
        changes.append(Change(path, before, after, file.blob, file.last))
    return changes


async def _taken_back(client: GitLabClient, project: str, head: str, sha: str) -> tuple[str, list[Change]]:
    """A commit taken back, worked out here: GitLab's own dry run takes the right to push to the branch itself, which
    this agent shall not have, and shows no diff.
    """
    where = f"{project_path(project)}/repository/commits/{sha}"
    try:
        commit = await client.get(where, doing=f"read commit {sha[:12]} of {project}")
    except Missing as error:
        raise Missing(f"There is no commit {sha[:12]} in {project}, or this agent may not see it.") from error
    whole, parents = text(commit.get("id")), commit.get("parent_ids") or []
    if not parents:
        raise ToolError(f"{sha[:12]} is the first commit of {project}: there is nothing to go back to.")
    found = await client.pages(f"{where}/diff", doing=f"read what {sha[:12]} changed", size=MOST_FILES)
    if not found.complete or not found.items:
        many = f"more than {MOST_FILES} files" if found.items else "no file"
        raise ToolError(f"{sha[:12]} changes {many}: taking it back is for a person.")
    paths = [path for each in found.items for path in edits.paths_of(each)]
    _refuse(paths, "", ())
    changes = await asyncio.gather(*(_back(client, project, path, (head, whole, text(parents[0]))) for path in paths))
    left = [change for change in changes if change.before != change.after]
    if not left:
        raise ToolError(f"Nothing of {sha[:12]} is left on this branch: it was taken back already.")
    return f'Revert "{text(commit.get("title"))}"\n\nThis reverts commit {whole}.', left


async def _back(client: GitLabClient, project: str, path: str, at: tuple[str, str, str]) -> Change:
    now, after, before = await asyncio.gather(*(file_at(client, project, path, sha) for sha in at))
    if (now.blob if now else "") == (before.blob if before else ""):  # somebody took this part of it back already
        same = None if now is None else edits.text_of(now.content, path)
        return Change(path, same, same)
    return edits.taken_back(now, after, before, path)


async def _check_paths(client: GitLabClient, project: str, head: str, paths: Sequence[str]) -> None:
    """Whether this agent may change these files: the project says which file defines its pipeline, and that one names more."""
    found = await client.get(project_path(project), doing=f"read the project {project}")
    name = text(found.get("ci_config_path")) or ".gitlab-ci.yml"
    inside = "@" not in name and "://" not in name
    ci = await file_at(client, project, name.lstrip("/"), head) if inside else None
    _refuse(paths, name, edits.included_by(ci.content.decode("utf-8", "replace")) if ci else ())


def _refuse(paths: Sequence[str], ci_file: str, included: Sequence[str] | frozenset[str]) -> None:
    for path in paths:
        if why := edits.why_not(path, ci_file, included):
            raise ToolError(f"This agent does not change {path[:200]!r}: {why}.")
