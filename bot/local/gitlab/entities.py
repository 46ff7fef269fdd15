"""The API's entities: every field that the documentation shows, from what the stand-in knows."""

from __future__ import annotations

import base64
import hashlib
import re
from typing import Any

from bot.local.gitlab.model import Bridge, Deployment, Job, MergeRequest, Pipeline, Project, Token, User, stamp
from bot.local.gitlab.repository import NOBODY, Branch, Commit, blob_id

Entity = dict[str, Any]


def user(person: User, base: str) -> Entity:
    return {
        "id": person.id,
        "username": person.username,
        "public_email": None,
        "name": person.name,
        "state": "active",
        "locked": False,
        "avatar_url": None,
        "web_url": f"{base}/{person.username}",
    }


def own_user(person: User, base: str) -> Entity:
    """Of who asks for himself more is shown, and `is_admin` to administrators."""
    found = {**user(person, base), "bot": person.bot, "email": f"{person.username}@acme.dev"}
    return {**found, "is_admin": True} if person.administrator else found


def project(found: Project, base: str) -> Entity:
    return {
        "id": found.id,
        "description": None,
        "name": found.name,
        "name_with_namespace": found.path.replace("/", " / "),
        "path": found.name,
        "path_with_namespace": found.path,
        "created_at": "2025-01-01T00:00:00.000Z",
        "default_branch": found.repository.default_branch,
        "web_url": f"{base}/{found.path}",
        "visibility": "private",
        "archived": False,
        "empty_repo": False,
    }


def token(found: Token) -> Entity:
    return {
        "id": 11,
        "name": found.name,
        "revoked": found.revoked,
        "created_at": "2025-01-01T00:00:00.000Z",
        "description": None,
        "scopes": list(found.scopes),
        "user_id": found.user.id,
        "last_used_at": None,
        "active": not (found.revoked or found.expired),
        "expires_at": found.expires_on or None,
        "last_used_ips": [],
    }


def commit(found: Commit, path: str, base: str) -> Entity:
    moment = found.at.isoformat(timespec="milliseconds")
    return {
        "id": found.sha,
        "short_id": found.sha[:8],
        "created_at": moment,
        "parent_ids": list(found.parents),
        "title": found.title,
        "message": found.message,
        "author_name": found.author,
        "author_email": found.email,
        "authored_date": moment,
        "committer_name": found.author,
        "committer_email": found.email,
        "committed_date": moment,
        "trailers": {},
        "extended_trailers": {},
        "web_url": f"{base}/{path}/-/commit/{found.sha}",
    }


def branch(found: Branch, head: Commit, path: str, base: str, *, default: bool) -> Entity:
    return {
        "name": found.name,
        "commit": commit(head, path, base),
        "merged": False,
        "protected": found.protected,
        "developers_can_push": found.developers_can_push,
        "developers_can_merge": found.developers_can_merge,
        "can_push": not found.protected or found.developers_can_push,
        "default": default,
        "web_url": f"{base}/{path}/-/tree/{found.name}",
    }


def file(path: str, content: bytes, ref: str, head: str, last: str) -> Entity:
    return {
        "file_name": path.rpartition("/")[2],
        "file_path": path,
        "size": len(content),
        "encoding": "base64",
        "content_sha256": hashlib.sha256(content).hexdigest(),
        "ref": ref,
        "blob_id": blob_id(content),
        "commit_id": head,
        "last_commit_id": last,
        "execute_filemode": False,
        "content": base64.b64encode(content).decode(),
    }


def pipeline(found: Pipeline, base: str) -> Entity:
    """As it is listed."""
    return {
        "id": found.id,
        "iid": found.iid,
        "project_id": found.project.id,
        "sha": found.sha,
        "ref": found.ref,
        "status": found.status,
        "source": found.source,
        "created_at": stamp(found.created_at),
        "updated_at": stamp(found.updated_at),
        "web_url": f"{base}/{found.project.path}/-/pipelines/{found.id}",
        "name": None,
    }


def whole_pipeline(found: Pipeline, base: str) -> Entity:
    """One of them, with everything."""
    head = found.project.repository.commits[found.sha]
    ran = (found.finished_at - found.started_at).total_seconds() if found.finished_at and found.started_at else None
    return {
        **pipeline(found, base),
        "before_sha": head.parents[0] if head.parents else NOBODY,
        "tag": False,
        "yaml_errors": found.yaml_errors,
        "user": user(found.user, base),
        "started_at": stamp(found.started_at),
        "finished_at": stamp(found.finished_at),
        "committed_at": None,
        "duration": None if ran is None else int(ran),
        "queued_duration": 1,
        "coverage": None,
        "archived": False,
        "detailed_status": {
            "icon": f"status_{found.status}",
            "text": {"success": "Passed"}.get(found.status, found.status.capitalize()),
            "label": {"success": "passed"}.get(found.status, found.status),
            "group": found.status,
            "tooltip": {"success": "passed"}.get(found.status, found.status),
            "has_details": True,
            "details_path": f"/{found.project.path}/-/pipelines/{found.id}",
            "illustration": None,
            "favicon": f"/assets/ci_favicons/favicon_status_{found.status}.png",
        },
    }


def job(found: Job, base: str) -> Entity:
    line, started, ended = found.pipeline, found.started_at, found.finished_at
    entity = {
        "id": found.id,
        "status": found.status,
        "stage": found.step.stage,
        "name": found.name,
        "ref": line.ref,
        "tag": False,
        "coverage": None,
        "allow_failure": found.step.optional,
        "created_at": stamp(found.created_at),
        "started_at": stamp(started),
        "finished_at": stamp(ended),
        "erased_at": None,
        "duration": (ended - started).total_seconds() if started and ended else None,
        "queued_duration": 0.2 if started else None,
        "user": user(found.user, base),
        "commit": commit(line.project.repository.commits[line.sha], line.project.path, base),
        "pipeline": pipeline(line, base),
        "web_url": f"{base}/{line.project.path}/-/jobs/{found.id}",
        "project": {"ci_job_token_scope_enabled": False},
        "artifacts": _artifacts(found),
        "runner": None if started is None else _RUNNER,
        "runner_manager": None,
        "artifacts_expire_at": None,
        "archived": found.archived,
        "tag_list": [],
    }
    return {**entity, "failure_reason": found.failure_reason} if found.status == "failed" else entity


_RUNNER = {
    "id": 3,
    "description": "linux-3",
    "ip_address": None,
    "active": True,
    "paused": False,
    "is_shared": True,
    "runner_type": "instance_type",
    "name": "gitlab-runner",
    "online": True,
    "status": "online",
}


def bridge(line: Pipeline, found: Bridge, base: str) -> Entity:
    """A job that starts a pipeline elsewhere, with that one as it is listed."""
    below = {
        "id": found.downstream,
        "iid": 1,
        "project_id": 99,
        "sha": line.sha,
        "ref": line.ref,
        "status": found.status,
        "source": "pipeline",
        "created_at": stamp(line.created_at),
        "updated_at": stamp(line.updated_at),
        "web_url": f"{base}/{found.project}/-/pipelines/{found.downstream}",
    }
    return {
        "id": found.id,
        "status": found.status,
        "stage": found.stage,
        "name": found.name,
        "ref": line.ref,
        "tag": False,
        "allow_failure": False,
        "created_at": stamp(line.created_at),
        "started_at": stamp(line.started_at),
        "finished_at": stamp(line.finished_at),
        "erased_at": None,
        "duration": 1.0,
        "queued_duration": 0.2,
        "user": user(line.user, base),
        "pipeline": pipeline(line, base),
        "web_url": f"{base}/{line.project.path}/-/jobs/{found.id}",
        "downstream_pipeline": below if found.downstream else None,
    }


def _artifacts(found: Job) -> list[Entity]:
    kept = [("trace", "job.log", "raw")] if found.trace else []
    kept += [("junit", "junit.xml.gz", "gzip")] if found.outcome.tests and found.trace else []
    return [{"file_type": kind, "size": 750, "filename": name, "file_format": form} for kind, name, form in kept]


def environment(of: Project, name: str) -> Entity:
    """An environment by its name; numbered in the order in which they were first deployed to."""
    known = dict.fromkeys(made.environment for made in of.deployments)
    return {"id": 10 * of.id + list(known).index(name), "name": name, "slug": slug(name), "external_url": None,
            "tier": tier(name)}  # fmt: skip


def slug(name: str) -> str:
    """A name that is no slug itself gets a suffix, as GitLab gives it one."""
    if re.fullmatch(r"[a-z][a-z0-9-]{0,23}", name):
        return name
    return f"{re.sub(r'[^a-z0-9]+', '-', name.lower())[:17]}-{hashlib.sha256(name.encode()).hexdigest()[:6]}"


def tier(name: str) -> str:
    """GitLab's guess by the name."""
    for found, pattern in (("staging", r"stag|stg|pre-?prod|integration"), ("testing", r"test|tst|qa|int"),
                           ("development", r"dev|review|trunk"), ("production", r"prod|live")):  # fmt: skip
        if re.search(pattern, name, re.IGNORECASE):
            return found
    return "other"


def deployment(found: Deployment, base: str) -> Entity:
    return {
        "id": found.id,
        "iid": found.iid,
        "ref": found.ref,
        "sha": found.sha,
        "created_at": stamp(found.created_at),
        "updated_at": stamp(found.updated_at),
        "status": found.status,
        "user": user(found.user, base),
        "environment": environment(found.project, found.environment),
        "deployable": None if found.job is None else job(found.job, base),
    }  # fmt: skip


def merge_request(found: MergeRequest, base: str) -> Entity:
    repository = found.project.repository
    head = repository.branches.get(found.source)
    mergeable = head is not None and found.source in repository.branches
    return {
        "id": found.id,
        "iid": found.iid,
        "project_id": found.project.id,
        "title": found.title,
        "description": found.description,
        "state": found.state,
        "created_at": stamp(found.created_at),
        "updated_at": stamp(found.created_at),
        "target_branch": found.target,
        "source_branch": found.source,
        "author": user(found.author, base),
        "labels": list(found.labels),
        "draft": found.title.startswith("Draft:"),
        "merge_status": "can_be_merged" if mergeable else "cannot_be_merged",
        "detailed_merge_status": "mergeable" if mergeable else "broken_status",
        "has_conflicts": not mergeable,
        "sha": head.head if head else None,
        "merge_commit_sha": None,
        "should_remove_source_branch": None,
        "force_remove_source_branch": found.remove_source_branch,
        "web_url": f"{base}/{found.project.path}/-/merge_requests/{found.iid}",
    }


def test_report(found: Pipeline) -> Entity:
    """What the jobs' JUnit reports come to; a suite per job, as GitLab groups them."""
    suites = [_suite(each) for each in found.latest if each.trace and each.outcome.tests]
    keys = ("total_count", "success_count", "failed_count", "skipped_count", "error_count", "total_time")
    return {**{key: sum(suite[key] for suite in suites) for key in keys}, "test_suites": suites}


def test_report_summary(found: Pipeline) -> Entity:
    """The same without the cases, and with the jobs' ids."""
    report = test_report(found)
    words = {"time": "total_time", "count": "total_count", "success": "success_count", "failed": "failed_count",
             "skipped": "skipped_count", "error": "error_count"}  # fmt: skip
    total = {name: report[key] for name, key in words.items()} | {"suite_error": None}
    jobs = {each.name: each.id for each in found.latest}
    return {
        "total": total,
        "test_suites": [
            {**{key: value for key, value in suite.items() if key != "test_cases"}, "build_ids": [jobs[suite["name"]]]}
            for suite in report["test_suites"]
        ],
    }


def _suite(found: Job) -> Entity:
    cases = [
        {
            "status": "failed" if failure else "success",
            "name": name,
            "classname": group,
            "file": None,
            "execution_time": 0.02,
            "system_output": failure or None,
            "stack_trace": None,
            "recent_failures": None,
            "attachment_url": None,
        }
        for group, name, failure in found.outcome.tests
    ]
    failed = sum(case["status"] == "failed" for case in cases)
    return {
        "name": found.name,
        "total_time": round(0.02 * len(cases), 2),
        "total_count": len(cases),
        "success_count": len(cases) - failed,
        "failed_count": failed,
        "skipped_count": 0,
        "error_count": 0,
        "suite_error": None,
        "test_cases": cases,
    }
