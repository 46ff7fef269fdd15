"""gitlab_open_merge_request: a change of files on a branch of its own, and a merge request for it. It merges nothing."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from bot.tools import gitlab_edits as edits, gitlab_write_arguments as given
from bot.tools.gitlab_client import GitLabClient, project_path, told
from bot.tools.gitlab_files import Worked, branch_commit, file_at, worked_out
from bot.tools.gitlab_look import LOOK_EVERY, Environment, label, number_of, target_of, text
from bot.tools.observed import moved_since
from bot.tools.spec import Arguments, WriteTool
from domain.actions import Action, Effect, Target
from domain.canonical import canonical, digest_of
from domain.codec import encode
from domain.decisions import Check
from domain.errors import OutcomeUnknown, TargetMoved, ToolError
from domain.ports import Preview, Probe
from policies.redaction import Redactor

PROBE_SECONDS = 60
SHOWN, ARGUMENTS_SHOWN = 3400, 4000
"""Characters of a preview and of a call's arguments that a card shows whole."""

_NO_UNDO = "close the merge request and delete its branch in GitLab; until somebody merges it nothing changes"
_KEY = re.compile(r"[a-z0-9][a-z0-9-]{0,40}")
_MOST = 50


def merge_request_tool(client: GitLabClient, environment: Environment) -> WriteTool:
    """The tool for one GitLab."""

    def about(arguments: Arguments) -> Target:
        return target_of(arguments["project"], environment)

    async def preview(arguments: Arguments) -> Preview:
        return _preview(await worked_out(client, arguments), arguments)

    async def execute(action: Action, key: str) -> str:
        return await _execute(client, action, key)

    async def arrived(action: Action, key: str) -> bool | None:
        return await _arrived(client, action, key)

    async def probe(action: Action) -> Probe:
        return await _probe(client, action)

    return WriteTool(
        "gitlab_open_merge_request",
        "Open a GitLab merge request that takes a commit back (revert), replaces texts in files (edits), or sets requests and "
        "limits in manifests (resources). People merge it.",
        Effect.WRITE,
        given.MergeRequest,
        about,
        preview,
        execute,
        arrived,
        probe,
        PROBE_SECONDS,
    )


def branch_of(key: str) -> str:
    """The branch that an execution makes: the same one however often it is tried."""
    return f"personal-agent/{key if _KEY.fullmatch(key) else digest_of(key)[:12]}"


def observed_of(worked: Worked) -> dict[str, Any]:
    """What an approval is bound to: the branch's head, and of every file what it is and what it becomes, by git's ids."""
    files = [f"{each.path} {each.blob or 'none'} {each.blob_after or 'none'}" for each in worked.changes]
    return {"head": worked.head, "files": files}


def _preview(worked: Worked, arguments: Arguments) -> Preview:
    path = project_path(arguments["project"])
    diff = edits.unified(worked.changes)
    lines = [
        f"POST {path}/repository/commits",
        f"# branch personal-agent/<the id of this execution>, from {arguments['target_branch']} at {worked.head[:12]}",
        f"# message: {label(worked.message.splitlines()[0])}; the branch's pipeline runs, as for any push",
        diff,
        f"POST {path}/merge_requests",
        f"# {arguments['title']}: into {arguments['target_branch']}. People merge it, this agent does not.",
        f"# no undo: {_NO_UNDO}",
    ]
    shown = "\n".join(lines)
    if (long := len(canonical(arguments))) > ARGUMENTS_SHOWN:
        raise ToolError(f"The call takes {long} characters, and a card shows {ARGUMENTS_SHOWN}. Make it smaller.")
    if len(shown) > SHOWN:
        raise ToolError(
            f"The change takes {len(shown)} characters to show, and a card shows {SHOWN}: nobody could approve what is not "
            "seen whole. Make it smaller."
        )
    _check_shown(diff, arguments)
    return Preview(
        observed=observed_of(worked),
        diff=shown,
        touches=len(worked.changes),
        facts={"no_undo": _NO_UNDO},
    )


def _check_shown(diff: str, arguments: Arguments) -> None:
    """A card shows what is sent, or nothing is sent: no secret that it would mask, no character that it would not show."""
    if Redactor().text("\n".join((diff, arguments["title"], arguments["description"]))).count:
        raise ToolError(
            "The change, or a line next to it, has what looks like a secret: a card would not show it as it is."
        )
    for line in diff.split("\n"):
        if line.startswith("+") and (found := given.unseen(line)):
            raise ToolError(f"The change has a character that nobody sees on a card ({found}).")


async def _execute(client: GitLabClient, action: Action, key: str) -> str:
    project, target = action.arguments["project"], action.arguments["target_branch"]
    try:
        worked = await worked_out(client, action.arguments)
    except ToolError as error:
        if error.retryable:
            raise
        raise TargetMoved(f"{error} Nothing was done.") from error
    if moved := moved_since(action.observed, observed_of(worked)):
        raise TargetMoved(f"{target} of {project} changed since it was looked at ({moved}), so nothing was done.")
    branch, mark = branch_of(key), mark_of(action)
    there = await branch_commit(client, project, branch)
    if there is None:
        await _commit(client, project, branch, worked, mark)
    elif mark not in text(there.get("message")):
        raise ToolError(f"A branch {branch} is there already, and is not of this execution. Nothing was done.")
    try:
        number, url = await _open(client, action, branch, key)
    except OutcomeUnknown:
        raise
    except ToolError as error:
        said = f"{error} {await _take_back(client, project, branch)}"
        raise ToolError(said, retryable=error.retryable) from error
    return f"Opened merge request !{number} in {project}, {branch} into {target}: {url}"


def mark_of(action: Action) -> str:
    """What the commit and the merge request carry, so that they are known again: it stands for this very change."""
    return "change-" + digest_of([encode(action.arguments), encode(action.observed)])[:16]


async def _commit(client: GitLabClient, project: str, branch: str, worked: Worked, mark: str) -> None:
    """One commit upon exactly what was looked at; it makes its branch along with it, and touches no other."""
    body = {
        "branch": branch,
        "start_sha": worked.head,
        "commit_message": f"{worked.message}\n\nPersonal-Agent: {mark}",
        "actions": [change.action for change in worked.changes],
    }
    doing = f"commit to {branch} of {project}"
    reply = await client.post(f"{project_path(project)}/repository/commits", body, doing=doing, allow=(400,))
    if reply.status == 400:
        why = told(reply)
        kind = TargetMoved if "has changed" in why or "already exists" in why else ToolError
        raise kind(f"GitLab refuses to {doing}, so nothing was done: {why}")


async def _open(client: GitLabClient, action: Action, branch: str, key: str) -> tuple[int, str]:
    """The merge request's number and address: the one that is there, or a new one."""
    project = action.arguments["project"]
    if found := await _of_branch(client, project, branch):
        return number_of(found, "iid"), text(found.get("web_url"))
    given_text = action.arguments["description"]
    signed = f"Opened by Personal-Agent: {key}, {mark_of(action)}. It merges nothing."
    body = {
        "source_branch": branch,
        "target_branch": action.arguments["target_branch"],
        "title": action.arguments["title"],
        "description": f"{given_text}\n\n---\n{signed}" if given_text else signed,
        "remove_source_branch": True,
    }
    doing = f"open a merge request in {project}"
    reply = await client.post(f"{project_path(project)}/merge_requests", body, doing=doing, allow=(409,))
    made = await _of_branch(client, project, branch) if reply.status == 409 else reply.json()
    if not isinstance(made, Mapping) or not number_of(made, "iid"):
        raise ToolError(f"GitLab opened no merge request for {branch} of {project}: {told(reply)}")
    return number_of(made, "iid"), text(made.get("web_url"))


async def _of_branch(client: GitLabClient, project: str, branch: str) -> Mapping[str, Any] | None:
    asked = {"source_branch": branch, "state": "all"}
    found = await client.pages(
        f"{project_path(project)}/merge_requests", asked, doing=f"look for a merge request of {branch}", size=1
    )
    return found.items[0] if found.items else None


async def _take_back(client: GitLabClient, project: str, branch: str) -> str:
    """The agent's own branch goes again, as nothing refers to it; what became of it, in words."""
    path = f"{project_path(project)}/repository/branches/{quote(branch, safe='')}"
    try:
        await client.delete(path, doing=f"delete {branch}")
    except ToolError:
        return f"The branch {branch} was made, and is left behind."
    return "Its branch was deleted again, so that nothing is left of it."


async def _arrived(client: GitLabClient, action: Action, key: str) -> bool | None:
    """Whether the execution's branch has a merge request. A branch without one is half of it, and no certain answer."""
    project, branch = action.arguments["project"], branch_of(key)
    deadline = asyncio.get_running_loop().time() + client.settle_s
    while True:
        if await _of_branch(client, project, branch):
            return True
        if asyncio.get_running_loop().time() >= deadline:
            return False if await branch_commit(client, project, branch) is None else None
        await asyncio.sleep(LOOK_EVERY)


async def _probe(client: GitLabClient, action: Action) -> Probe:
    """Open or merged by now, with exactly the diff that was approved: the same files, with the same content by git's ids."""
    project, mark = action.arguments["project"], mark_of(action)
    asked = {
        "state": "all",
        "target_branch": action.arguments["target_branch"],
        "order_by": "created_at",
        "sort": "desc",
    }
    doing = f"look for the merge request in {project}"
    listed = await client.pages(f"{project_path(project)}/merge_requests", asked, doing=doing, size=_MOST)
    found = next((each for each in listed.items if mark in text(each.get("description"))), None)
    if found is None:
        return Probe((Check("merge request is there", passed=False, detail="there is none"),))
    state, number = text(found.get("state")), number_of(found, "iid")
    is_open = Check("merge request is there", passed=state in ("opened", "merged"), detail=f"!{number} is {state}")
    differs = await _differs(client, project, action.observed, text(found.get("sha")))
    same = Check("its diff is what was approved", passed=not differs, detail=differs or "the same files and contents")
    return Probe((is_open, same), settled=not (is_open.passed and same.passed))


async def _differs(client: GitLabClient, project: str, observed: Mapping[str, Any], sha: str) -> str:
    """What is other than approved at a commit; empty where nothing is."""
    if not sha:
        return "its branch is gone"
    asked = {"from": observed["head"], "to": sha, "straight": "true"}
    found = await client.get(f"{project_path(project)}/repository/compare", asked, doing=f"compare {sha[:12]}")
    wanted = {}
    for line in observed["files"]:
        path, _, after = line.rsplit(" ", 2)
        wanted[path] = "" if after == "none" else after
    changed = {text(each.get(name)) for each in found.get("diffs") or () for name in ("old_path", "new_path")}
    if changed != set(wanted):
        return f"it changes {', '.join(sorted(changed)) or 'nothing'}"
    files = await asyncio.gather(*(file_at(client, project, path, sha) for path in wanted))
    other = [
        path for (path, blob), file in zip(wanted.items(), files, strict=True) if (file.blob if file else "") != blob
    ]
    return f"{', '.join(other)} became something else" if other else ""
