"""Branches, commits, files, comparisons and merge requests over REST."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any

from bot.local.gitlab import entities
from bot.local.gitlab.engine import Engine
from bot.local.gitlab.errors import ApiError, conflict, forbidden, invalid_parameters, not_found, refused
from bot.local.gitlab.hooks import Hooks
from bot.local.gitlab.model import DEVELOPER, MAINTAINER, MergeRequest, now
from bot.local.gitlab.repository import Branch, Commit, Tree, diffs
from bot.local.gitlab.request import Answer, Call, paged

_NO_REVERT = (
    "Sorry, we cannot revert this commit automatically. This commit may already have been reverted, or a more recent "
    "commit may have updated some of its content."
)
_REF = re.compile(r"(?!.*(\.\.|//|@\{|\\|\s|[~^:?*\[]))(?!-)[^/.][^ ]{0,240}(?<![./])")


def project(call: Call) -> Answer:
    """A project; what its maintainers set is shown to them only."""
    found = entities.project(call.project, call.base)
    if call.role >= MAINTAINER:
        roles = {DEVELOPER: "developer", MAINTAINER: "maintainer"}
        found["ci_pipeline_variables_minimum_override_role"] = roles.get(call.project.variables_role, "no_one_allowed")
    return Answer(found)


def branches(call: Call) -> Answer:
    wanted = call.text("search")
    shown = [_branch(call, each) for each in call.project.repository.branches.values() if wanted in each.name]
    return paged(call, shown)


def branch(call: Call) -> Answer:
    found = call.project.repository.branches.get(call.args["branch"])
    if found is None:
        raise not_found("Branch")
    return Answer(_branch(call, found))


def commits(call: Call) -> Answer:
    ref = call.text("ref_name", call.project.repository.default_branch)
    old, within, new = ref.partition("..")  # a revision range, as the documentation allows
    if within:
        found = call.project.repository.between(_commit(call, old).sha, _commit(call, new).sha)[::-1]
    else:
        found = list(call.project.repository.ancestors(_commit(call, ref).sha))
    shown = [entities.commit(each, call.project.path, call.base) for each in found]
    return paged(call, shown, counted=False)


def commit(call: Call) -> Answer:
    found = _commit(call, call.args["sha"])
    last = next((line for line in reversed(call.project.pipelines.values()) if line.sha == found.sha), None)
    return Answer(
        {
            **entities.commit(found, call.project.path, call.base),
            "stats": _stats(call, found),
            "status": last.status if last else None,
            "project_id": call.project.id,
            "last_pipeline": entities.pipeline(last, call.base) if last else None,
        }
    )


def commit_diff(call: Call) -> Answer:
    return paged(call, call.project.repository.changes(_commit(call, call.args["sha"])))


def compare(call: Call) -> Answer:
    start, end = (_commit(call, ref) for ref in call.required("from", "to"))
    repository = call.project.repository
    base = start.sha if call.truth("straight") else repository.merge_base(start.sha, end.sha)
    found = [entities.commit(each, call.project.path, call.base) for each in repository.between(start.sha, end.sha)]
    return Answer(
        {
            "commit": found[-1] if found else None,
            "commits": found,
            "diffs": diffs(repository.commits[base].tree if base else {}, end.tree),
            "compare_timeout": call.project.compare_overflows,
            "compare_same_ref": start.sha == end.sha,
            "web_url": f"{call.base}/{call.project.path}/-/compare/{start.sha}...{end.sha}",
        }
    )


def file(call: Call) -> Answer:
    (ref,) = call.required("ref")
    head, path = _commit(call, ref), call.args["file_path"]
    if path not in head.tree:
        raise not_found("File")
    last = call.project.repository.last_change(head.sha, path)
    return Answer(entities.file(path, head.tree[path], ref, head.sha, last))


def merge_requests(call: Call) -> Answer:
    found = list(call.project.merge_requests[::-1])
    for name in ("state", "source_branch", "target_branch"):
        wanted = call.text(name, "all" if name == "state" else "")
        if wanted and wanted != "all":
            found = [each for each in found if getattr(each, name.removesuffix("_branch")) == wanted]
    return paged(call, [entities.merge_request(each, call.base) for each in found])


def merge_request(call: Call) -> Answer:
    return Answer(entities.merge_request(_merge_request(call), call.base))


class Writing:
    """The handlers that change the repository: they start pipelines and send webhooks."""

    def __init__(self, engine: Engine, hooks: Hooks) -> None:
        self._engine, self._hooks = engine, hooks
        self._requests = 801

    def create_commit(self, call: Call) -> Answer:
        """One commit of several files; on a new branch where `start_sha` or `start_branch` says from where."""
        call.changes()
        name, message = call.required("branch", "commit_message")
        actions = call.body.get("actions")
        if not isinstance(actions, list) or not actions:
            raise invalid_parameters("actions is missing" if actions is None else "actions is empty")
        start = _start(call, name)
        _may_push(call, name)
        tree = dict(start.tree)
        for action in actions:
            _apply(call, action, tree, start)
        author = call.text("author_name", call.token.user.name)
        email = call.text("author_email", f"{call.token.user.username}@noreply.gitlab.local")
        made = call.project.repository.commit(name, tree, message, author, email, now(), start.sha)
        self._engine.start(call.project, name, made.sha, call.token.user)
        shown = entities.commit(made, call.project.path, call.base)
        return Answer({**shown, "stats": _stats(call, made), "project_id": call.project.id}, 201)

    def revert(self, call: Call) -> Answer:
        """A commit taken back on a branch that exists; with `dry_run` only whether that would go.

        Files are compared whole: what git could still merge within a file is a conflict here.
        """
        call.changes()
        (name,) = call.required("branch")
        _may_push(call, name)
        repository, found = call.project.repository, _commit(call, call.args["sha"])
        branch, dry = repository.branches.get(name), call.truth("dry_run")
        if branch is None:
            raise not_found("Branch")
        tree = dict(repository.commits[branch.head].tree)
        if code := repository.take_back(found, tree):
            raise ApiError(400, {"message": _NO_REVERT, "error_code": code, **({"dry_run": "error"} if dry else {})})
        if dry:
            return Answer({"dry_run": "success"})
        message = f'Revert "{found.title}"\n\nThis reverts commit {found.sha}'
        user = call.token.user
        made = repository.commit(name, tree, message, user.name, f"{user.username}@noreply.gitlab.local", now())
        self._engine.start(call.project, name, made.sha, user)
        return Answer(entities.commit(made, call.project.path, call.base), 201)

    def create_branch(self, call: Call) -> Answer:
        call.changes()
        name, ref = call.required("branch", "ref")
        repository, start = call.project.repository, call.project.repository.resolve(ref)
        if name in repository.branches:
            raise refused("Branch already exists")
        if not _REF.fullmatch(name):
            raise refused("Branch name is invalid")
        if start is None:
            raise refused(f"Failed to create branch '{name}': invalid reference name '{ref}'")
        made = repository.branches[name] = Branch(name, start.sha)
        return Answer(_branch(call, made), 201)

    def create_merge_request(self, call: Call) -> Answer:
        call.changes()
        source, target, title = call.required("source_branch", "target_branch", "title")
        known = call.project.repository.branches
        if source == target:
            raise conflict(["You can't use same project/branch for source and target"])
        problems = {
            f"{side}_branch": ["does not exist"]
            for side, ref in (("source", source), ("target", target))
            if ref not in known
        }
        if problems:
            raise refused(problems)
        twin = next((each for each in call.project.merge_requests if each.state == "opened"
                     and (each.source, each.target) == (source, target)), None)  # fmt: skip
        if twin:
            raise conflict([f"Another open merge request already exists for this source branch: !{twin.iid}"])
        number = len(call.project.merge_requests) + 1
        labels = tuple(filter(None, call.text("labels").split(",")))
        made = MergeRequest(
            self._requests,
            number,
            call.project,
            source,
            target,
            title[:255],
            call.text("description"),
            call.token.user,
            now(),
            labels=labels,
            remove_source_branch=call.truth("remove_source_branch"),
        )
        self._requests += 1
        call.project.merge_requests.append(made)
        self._hooks.merge_request(made)
        return Answer(entities.merge_request(made, call.base), 201)

    def update_merge_request(self, call: Call) -> Answer:
        """Closes or opens it again, or words it anew. One that is closed already stays so, and nobody says so."""
        call.changes()
        found, event = _merge_request(call), call.choice("state_event", ("close", "reopen"))
        if not event and not {"title", "description"} & {*call.body, *call.query}:
            raise invalid_parameters(
                "title, description, state_event are missing, at least one parameter must be provided"
            )
        found.title, found.description = call.text("title", found.title), call.text("description", found.description)
        state = {"close": "closed", "reopen": "opened"}.get(event, found.state)
        if state != found.state:
            found.state = state
            self._hooks.merge_request(found, event)
        return Answer(entities.merge_request(found, call.base))

    def delete_branch(self, call: Call) -> Answer:
        call.changes()
        found = call.project.repository.branches.get(call.args["branch"])
        if found is None:
            raise not_found("Branch")
        if found.protected or found.name == call.project.repository.default_branch:
            raise forbidden()
        del call.project.repository.branches[found.name]
        return Answer(None, 204)


def _branch(call: Call, found: Branch) -> dict[str, Any]:
    repository = call.project.repository
    head = repository.commits[found.head]
    return entities.branch(found, head, call.project.path, call.base, default=found.name == repository.default_branch)


def _merge_request(call: Call) -> MergeRequest:
    found = next((each for each in call.project.merge_requests if str(each.iid) == call.args["iid"]), None)
    if found is None:
        raise not_found()
    return found


def _stats(call: Call, found: Commit) -> dict[str, int]:
    changed = call.project.repository.changes(found)
    added, removed = (sum(_count(each["diff"], sign) for each in changed) for sign in "+-")
    return {"additions": added, "deletions": removed, "total": added + removed}


def _commit(call: Call, ref: str) -> Commit:
    found = call.project.repository.resolve(ref)
    if found is None:
        raise not_found("Commit")
    return found


def _count(diff: str, sign: str) -> int:
    return sum(line.startswith(sign) for line in diff.split("\n"))


def _start(call: Call, name: str) -> Commit:
    """The commit that the new one is made upon."""
    repository, sha, other = call.project.repository, call.text("start_sha"), call.text("start_branch")
    if sha and other:
        raise invalid_parameters("start_branch, start_sha are mutually exclusive")
    known = repository.branches.get(name)
    if known and (sha or other) and not call.truth("force"):
        raise refused(f"A branch called '{name}' already exists. Switch to that branch in order to make changes")
    if not _REF.fullmatch(name):
        raise refused(f"'{name}' is not a valid branch name")
    if known:
        return repository.commits[known.head]
    found = repository.commits.get(sha) if sha else repository.resolve(other) if other else None
    if found is None:
        raise refused(
            f"Cannot find start_sha '{sha}'" if sha else "You can only create or edit files when you are on a branch"
        )
    return found


def _may_push(call: Call, name: str) -> None:
    known = call.project.repository.branches.get(name)
    if known and known.protected and not known.developers_can_push and call.role < MAINTAINER:
        raise forbidden("You are not allowed to push into this branch")


def _apply(call: Call, action: dict[str, Any], tree: Tree, start: Commit) -> None:
    kind, path = action.get("action"), action.get("file_path")
    if kind not in ("create", "delete", "update"):
        raise invalid_parameters("actions[0][action] does not have a valid value")
    if not isinstance(path, str) or not path:
        raise refused("You must provide a file path")
    if ".." in path.split("/") or path.startswith("/"):
        raise refused("Path cannot include directory traversal")
    if kind == "create":
        if path in tree:
            raise refused("A file with this name already exists")
        tree[path] = _content(action)
        return
    if path not in tree:
        raise refused("A file with this name doesn't exist")
    last = action.get("last_commit_id")
    if last and last != call.project.repository.last_change(start.sha, path):
        raise refused("You are attempting to update a file that has changed since you started editing it.")
    if kind == "update":
        tree[path] = _content(action)
    elif kind == "delete":
        del tree[path]


def _content(action: dict[str, Any]) -> bytes:
    text = action.get("content")
    if not isinstance(text, str):
        raise invalid_parameters("actions[0][content] is missing")
    if action.get("encoding") == "base64":
        try:
            return base64.b64decode(text, validate=True)
        except binascii.Error:
            raise refused("Content is not valid base64") from None
    return text.encode()
