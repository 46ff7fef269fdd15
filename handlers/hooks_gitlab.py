"""What GitLab sends of its pipelines and deployments -> Alert. Pure, as sources is.

A pipeline that failed is an alert about its project and ref, one in which a deployment waits for a person is a matter of its
own, and a failed deployment is an alert about its environment. Whatever else GitLab sends is taken and means nothing: after
four refusals in a row GitLab pauses the webhook.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from domain.actions import Target
from domain.alerts import Alert, Severity, fingerprint
from domain.errors import BadInput
from domain.releases import is_canary
from handlers.sources import Reading, mapping

_OTHERS = frozenset({"access_token", "build", "emoji", "feature_flag", "issue", "member", "merge_request", "milestone", "note",
                     "push", "release", "tag_push", "vulnerability", "wiki_page", "work_item"})  # fmt: skip
_ENDED = ("success", "failed", "canceled", "skipped")
_APART = ("merge_request_event", "parent_pipeline")
"""Pipelines that go beside a branch's own and say nothing of it."""
_PATH = re.compile(r"[\w.-]{1,255}(?:/[\w.-]{1,255}){1,20}", re.ASCII)
_MOST_JOBS, _LONGEST_REF = 10, 500


def gitlab(payload: Any, reading: Reading) -> list[Alert]:
    """A webhook of GitLab, of any of its events."""
    body = mapping(payload, "body")
    kind = body.get("object_kind")
    if kind == "pipeline":
        return _of_pipeline(body, reading)
    if kind == "deployment":
        return _of_deployment(body, reading)
    if not isinstance(kind, str) or kind not in _OTHERS:
        raise BadInput("must be a kind of event that GitLab has, such as pipeline or deployment", field="object_kind")
    return []


@dataclass(frozen=True)
class _Pipeline:
    """What a pipeline's event says, cleaned. `builds` are its jobs, in the order in which they were made."""

    project: str
    number: int
    ref: str
    apart: str
    status: str
    builds: tuple[Mapping[str, Any], ...]
    labels: Mapping[str, Any]
    at: datetime
    url: str

    @property
    def place(self) -> str:
        return f"gitlab:{self.project}"


def _of_pipeline(body: Mapping[str, Any], reading: Reading) -> list[Alert]:
    """Failed fires and success resolves. One that waits resolves as well where nothing in it has failed, for that is all that a
    branch which nobody deploys ever comes to. What waits is over when its pipeline is.
    """
    line = _read_pipeline(body, reading)
    deploys = [build for build in line.builds if _environment(build) and build.get("manual") is True]
    waits = [build for build in deploys if build.get("status") == "manual"] if line.status == "manual" else []
    failed = [
        build for build in line.builds if build.get("status") == "failed" and build.get("allow_failure") is not True
    ]
    alerts = []
    if line.status in ("failed", "success") or (line.status == "manual" and not failed):
        alerts.append(_pipeline_alert(line, failed, reading))
    if waits:
        alerts.append(_waiting_alert(line, _chosen(waits), body, reading))
    elif deploys and line.status in _ENDED:
        alerts.append(_waiting_alert(line, _chosen(deploys), body, reading))
    return alerts


def _pipeline_alert(line: _Pipeline, failed: list[Mapping[str, Any]], reading: Reading) -> Alert:
    firing = line.status == "failed"
    words = "failed" if firing else "has passed" if line.status == "success" else "has passed and waits"
    names = [f"{_short(build.get('name'))} ({_short(build.get('failure_reason')) or 'failed'})" for build in failed]
    more = f" and {len(names) - _MOST_JOBS} more" if len(names) > _MOST_JOBS else ""
    told = f"Failed: {', '.join(names[:_MOST_JOBS])}{more}." if firing and names else ""
    return Alert(
        fingerprint=_identity(f"{line.place}@{line.ref}{line.apart}"),
        firing=firing,
        name="GitLabPipelineFailed",
        source="gitlab",
        starts_at=line.at,
        severity=Severity.WARNING,
        summary=reading.text("summary", f"Pipeline #{line.number} of {line.project} ({line.ref}) {words}", 600),
        description="\n".join(filter(None, (reading.text("description", told), reading.note()))),
        labels=reading.labels({"alertname": "GitLabPipelineFailed", **line.labels}),
        group=_identity(f"{line.place}@{line.ref}{line.apart}:failures"),
        target=_target(line.project, "", reading),
        ends_at=None if firing else line.at,
        url=line.url,
    )


def _waiting_alert(line: _Pipeline, build: Mapping[str, Any], body: Mapping[str, Any], reading: Reading) -> Alert:
    """One pipeline's deployments are one matter, from the canary to the whole; the newest pipeline of a ref is the one."""
    firing = line.status == "manual"
    environment, job = _environment(build), build.get("name")
    said = f"Pipeline #{line.number} of {line.project} ({line.ref}) waits to deploy to {_short(environment)}"
    over = f"Pipeline #{line.number} of {line.project} ({line.ref}) waits no more"
    commit = body.get("commit")
    title = commit.get("title") if isinstance(commit, Mapping) else None
    told = f"Job {_short(job)}. The last commit: {_short(title)}." if title else f"Job {_short(job)}."
    labels = {"alertname": "DeploymentWaiting", **line.labels, "environment": environment}
    labels |= {"job": job, "job_id": build.get("id")}
    return Alert(
        fingerprint=_identity(f"{line.place}#{line.number}:deployment"),
        firing=firing,
        name="DeploymentWaiting",
        source="gitlab",
        starts_at=line.at,
        severity=Severity.INFO,
        summary=reading.text("summary", said if firing else over, 600),
        description="\n".join(filter(None, (reading.text("description", told), reading.note()))),
        labels=reading.labels({key: value for key, value in labels.items() if isinstance(value, str | int)}),
        group=_identity(f"{line.place}@{line.ref}{line.apart}:deployment"),
        target=_target(line.project, environment, reading),
        ends_at=None if firing else line.at,
        url=line.url,
        replaces=True,
    )


def _of_deployment(body: Mapping[str, Any], reading: Reading) -> list[Alert]:
    """A deployment that failed fires about its environment, and one that succeeded resolves it."""
    project, status = _project(body, reading), body.get("status")
    if not isinstance(status, str):
        raise BadInput("must be a deployment's status", field="status")
    environment = reading.text("environment", _text(body.get("environment"), "environment"), 300)
    ref = reading.text("ref", _text(body.get("ref"), "ref"), _LONGEST_REF)
    if status not in ("failed", "success"):
        return []
    firing, at = status == "failed", _moment(body.get("status_changed_at"))
    labels: dict[str, Any] = {
        "alertname": "GitLabDeploymentFailed",
        "project": project,
        "ref": ref,
        "environment": environment,
    }
    labels |= {
        "sha": body.get("short_sha"),
        "job_id": body.get("deployable_id"),
        "deployment": body.get("deployment_id"),
    }
    words = "failed" if firing else "succeeded"
    title = body.get("commit_title")
    told = f"The commit: {_short(title)}." if isinstance(title, str) and title else ""
    return [
        Alert(
            fingerprint=_identity(f"gitlab:{project}@environment:{environment}"),
            firing=firing,
            name="GitLabDeploymentFailed",
            source="gitlab",
            starts_at=at,
            severity=Severity.WARNING,
            summary=reading.text("summary", f"Deployment of {project} ({ref}) to {environment} {words}", 600),
            description="\n".join(filter(None, (reading.text("description", told), reading.note()))),
            labels=reading.labels({key: value for key, value in labels.items() if _plain(value)}),
            group=_identity(f"gitlab:{project}@{ref}:failures"),
            target=_target(project, environment, reading),
            ends_at=None if firing else at,
            url=_url(body.get("deployable_url"), reading),
        )
    ]


# --- what is in a payload ---------------------------------------------------------------------------------------------


def _read_pipeline(body: Mapping[str, Any], reading: Reading) -> _Pipeline:
    found = mapping(body.get("object_attributes"), "object_attributes")
    project, number, status = _project(body, reading), found.get("id"), found.get("status")
    if not isinstance(number, int) or isinstance(number, bool) or not 0 < number < 2**53:
        raise BadInput("must be the number of a pipeline", field="object_attributes.id")
    if not isinstance(status, str):
        raise BadInput("must be a pipeline's status", field="object_attributes.status")
    ref = reading.text("ref", _text(found.get("ref"), "object_attributes.ref"), _LONGEST_REF)
    builds = body.get("builds")
    listed = [build for build in builds if isinstance(build, Mapping)] if isinstance(builds, list) else []
    source = found.get("source")
    labels = {
        "project": project,
        "pipeline": number,
        "ref": ref,
        "sha": found.get("sha"),
        "status": status,
        "source": source,
    }
    return _Pipeline(
        project,
        number,
        ref,
        f":{source}" if source in _APART else ":tag" if found.get("tag") is True else "",
        status,
        tuple(sorted(listed, key=_number)),
        {key: value for key, value in labels.items() if _plain(value)},
        _moment(found.get("finished_at") or found.get("created_at")),
        _url(found.get("url"), reading),
    )


def _project(body: Mapping[str, Any], reading: Reading) -> str:
    """The full path, which names a project everywhere. An @ or a # in it could pass for another place."""
    path = mapping(body.get("project"), "project").get("path_with_namespace")
    if (
        not isinstance(path, str)
        or not _PATH.fullmatch(path)
        or (cleaned := reading.text("project", path, 500)) != path
    ):
        raise BadInput("must be a project's full path such as shop/checkout", field="project.path_with_namespace")
    return cleaned


def _environment(build: Mapping[str, Any]) -> str:
    """The environment that a job deploys to, empty where it deploys nowhere: `stop` and `verify` deploy nothing."""
    found = build.get("environment")
    name = found.get("name") if isinstance(found, Mapping) and found.get("action", "start") == "start" else None
    return name[:300] if isinstance(name, str) else ""


def _chosen(builds: list[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The job that a pipeline's alert names: the last that deploys everything, else the first canary."""
    wholes = [build for build in builds if not is_canary(_environment(build))]
    return wholes[-1] if wholes else builds[0]


def _target(project: str, environment: str, reading: Reading) -> Target:
    """The project. An environment of GitLab may say where its deployment acts; one with an @ could pass for another's."""
    group, _, name = project.rpartition("/")
    place = f"gitlab:{project}"
    deploys = [f"{place}@environment:{environment}"] if environment and "@" not in environment else []
    return Target("gitlab", reading.environment(place, *deploys), group, "GitLabProject", name)


def _identity(text: str) -> str:
    return text if len(text) <= 128 else f"gitlab:{fingerprint({'of': text})}"


def _text(value: Any, at: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise BadInput("must be a text that is not empty", field=at)
    return value


def _short(value: Any) -> str:
    return value[:200] if isinstance(value, str) else ""


def _plain(value: Any) -> bool:
    return isinstance(value, str | int) and value != ""


def _number(build: Mapping[str, Any]) -> int:
    found = build.get("id")
    return found if isinstance(found, int) else 0


def _url(value: Any, reading: Reading) -> str:
    return reading.text("url", value, 2000) if isinstance(value, str) and re.match(r"https?://", value) else ""


def _moment(value: Any) -> datetime:
    """GitLab's times: `2026-03-10 12:00:00 UTC`, with an offset, or ISO 8601; now where there is none that can be one."""
    if isinstance(value, str):
        try:
            found = datetime.fromisoformat(re.sub(r" (?:UTC|([+-]\d\d):?(\d\d))$", _offset, value[:40]))
            return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
        except (ValueError, OverflowError):
            pass
    return datetime.now(UTC)


def _offset(found: re.Match[str]) -> str:
    return f"{found[1]}:{found[2]}" if found[1] else "+00:00"
