"""What CI systems send of their builds -> Alert, and how each shows that it may: POST /hooks/<system>. Pure, as sources is.

A build that failed is an alert that fires, the next one that is green resolves it, and one that was stopped is neither.
A new system is a function here and its line in HOOKS.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote

from domain.actions import Target
from domain.alerts import Alert, Severity, fingerprint
from domain.errors import BadInput
from handlers.hooks_gitlab import gitlab
from handlers.sources import Parser, Reading, mapping

_PHASES = ("QUEUED", "STARTED", "COMPLETED", "FINALIZED")
_RESULTS = ("SUCCESS", "UNSTABLE", "FAILURE", "NOT_BUILT", "ABORTED")
_SEGMENT = re.compile(r"(?:^|/)job/([^/]{1,400})")
_PARAMETER = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,99}")
_LONGEST_JOB, _MOST_TESTS = 500, 10


@dataclass(frozen=True)
class Hook:
    """A CI system: its parser, the secret that a request's headers (names in lower case) show, and how to send it."""

    parser: Parser
    shown: Callable[[Mapping[str, str]], str]
    how: str
    challenge: str = 'Bearer realm="personal-agent"'


def bearer(headers: Mapping[str, str]) -> str:
    """The token of `Authorization: Bearer`, empty where there is none."""
    scheme, _, given = headers.get("authorization", "").partition(" ")
    return given.strip() if scheme.lower() == "bearer" else ""


def bearer_or_password(headers: Mapping[str, str]) -> str:
    """The bearer token, else the password of Basic authentication: whose user it is does not matter.

    Jenkins' notification plugin sends the user info of its URL so. A token in the query would stand in every access log.
    """
    scheme, _, given = headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return bearer(headers)
    try:
        login = base64.b64decode(given.strip(), validate=True).decode("utf-8", "surrogateescape")
    except (binascii.Error, ValueError):
        return ""
    return login.partition(":")[2]


def secret_token(headers: Mapping[str, str]) -> str:
    """GitLab's secret token, else the bearer token: a webhook of GitLab can have headers of its own as well."""
    return headers.get("x-gitlab-token") or bearer(headers)


def jenkins(payload: Any, reading: Reading) -> list[Alert]:
    """The notification plugin's JSON. A result only ever gets worse, so that a failure counts once a build is completed,
    and a success once it is finalized; another phase, or a build that was stopped, gives no alert.
    """
    body = mapping(payload, "body")
    build = mapping(body.get("build"), "build")
    phase, status = build.get("phase"), build.get("status")
    if phase not in _PHASES:
        raise BadInput(f"must be one of {', '.join(_PHASES)}", field="build.phase")
    if status is not None and status not in _RESULTS:
        raise BadInput(f"must be one of {', '.join(_RESULTS)}", field="build.status")
    job = _job_of(body, reading)
    number = build.get("number")
    if not isinstance(number, int) or isinstance(number, bool) or not 0 < number < 2**31:
        raise BadInput("must be the number of a build", field="build.number")
    failed = status in ("FAILURE", "UNSTABLE") and phase in ("COMPLETED", "FINALIZED")
    if not failed and not (status == "SUCCESS" and phase == "FINALIZED"):
        return []
    return [_build_alert(job, number, str(status), build, reading)]


HOOKS: Mapping[str, Hook] = {
    "jenkins": Hook(
        jenkins,
        bearer_or_password,
        "Send AGENT_ALERT_TOKEN as the password in the endpoint's URL (https://jenkins:TOKEN@…), or as a bearer token.",
        'Basic realm="personal-agent"',
    ),
    "gitlab": Hook(
        gitlab,
        secret_token,
        "Give the webhook AGENT_ALERT_TOKEN as its secret token, which GitLab sends as X-Gitlab-Token, or send a bearer token.",
    ),
}


def _build_alert(job: str, number: int, status: str, build: Mapping[str, Any], reading: Reading) -> Alert:
    folder, _, name = job.rpartition("/")
    place = f"jenkins:{job}"
    parameters = build.get("parameters")
    given = parameters if isinstance(parameters, Mapping) else {}
    valued = [f"{place}@{key}:{value}" for key, value in given.items() if _names_a_place(key, value)]
    environment = reading.environment(place, *valued)
    # a job that deploys here and there may be broken here and fine there
    identity = f"jenkins:{job}" if environment == reading.environment(place) else f"jenkins:{job}@{environment}"
    firing = status != "SUCCESS"
    labels = {"alertname": "JenkinsBuildFailed", "job": job, "build": str(number), "result": status, **_scm(build)}
    at = _moment(build.get("timestamp"))
    url = build.get("full_url")
    return Alert(
        fingerprint=identity if len(identity) <= 128 else f"jenkins:{fingerprint({'job': identity})}",
        firing=firing,
        name="JenkinsBuildFailed",
        source="jenkins",
        starts_at=at,
        severity=Severity.WARNING,
        summary=f"Build {job} #{number} {_WORDS[status]}",
        description="\n".join(filter(None, (_told(build, reading), reading.note()))),
        labels=reading.labels({key: value for key, value in labels.items() if value}),
        target=Target("jenkins", environment, folder, "JenkinsJob", name),
        ends_at=None if firing else at,
        url=reading.text("url", url, 2000) if isinstance(url, str) and re.match(r"https?://", url) else "",
    )


_WORDS = {"SUCCESS": "is green", "FAILURE": "failed", "UNSTABLE": "is unstable"}


def _job_of(body: Mapping[str, Any], reading: Reading) -> str:
    """The job's full name out of its URL (job/shop/job/checkout/job/main/), which alone holds its folders."""
    url = body.get("url")
    if not isinstance(url, str) or not (parts := _SEGMENT.findall(url[:4000])):
        raise BadInput("must be the job's path such as job/shop/job/checkout/", field="url")
    job = reading.text("job", "/".join(map(unquote, parts)), _LONGEST_JOB)
    if not job.strip("/ "):
        raise BadInput("must be the job's path such as job/shop/job/checkout/", field="url")
    return job


def _names_a_place(name: Any, value: Any) -> bool:
    """Whether a parameter may say where a job acts; a value with an @ could pass for another's."""
    return isinstance(value, str) and "@" not in value and len(value) <= 200 and bool(_PARAMETER.fullmatch(str(name)))


def _scm(build: Mapping[str, Any]) -> dict[str, str]:
    scm = build.get("scm")
    found = scm if isinstance(scm, Mapping) else {}
    return {key: value for key in ("branch", "commit") if isinstance(value := found.get(key), str)}


def _told(build: Mapping[str, Any], reading: Reading) -> str:
    """What the message says of it beyond the result: the failed tests and the commit."""
    summary = build.get("test_summary")
    tests = summary if isinstance(summary, Mapping) else {}
    names = tests.get("failed_tests")
    listed = [str(name)[:200] for name in names[:_MOST_TESTS]] if isinstance(names, list) else []
    lines = []
    if isinstance(failed := tests.get("failed"), int) and failed:
        lines.append(f"{failed} of {tests.get('total', '?')} tests failed: {', '.join(listed) or 'not named'}.")
    if commit := _scm(build).get("commit"):
        lines.append(f"Commit {commit[:40]}.")
    return reading.text("description", "\n".join(lines))


def _moment(value: Any) -> datetime:
    """Java's milliseconds; now where the message has none that can be one."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 253_402_300_800_000:
        return datetime.fromtimestamp(value / 1000, UTC)
    return datetime.now(UTC)
