"""Pods that nobody may create: which quota, limit range, webhook, policy or account stands in the way. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from bot.analyzers.fields import condition, items, text
from bot.analyzers.reading import NOTHING, Reading, objects
from bot.analyzers.scene import WORKLOADS, Scene
from bot.analyzers.workloads import counts_of


class Cause(StrEnum):
    """What refuses; the value is the finding's code."""

    QUOTA = "quota.exceeded"
    QUOTA_DEMANDS = "quota.demands"
    LIMIT_RANGE = "limit_range.refuses"
    WEBHOOK_DOWN = "webhook.unreachable"
    DENIED = "admission.denied"
    ACCOUNT = "account.missing"


@dataclass(frozen=True)
class Refusal:
    """One refused creation. `named` is the object that refuses or is missing, `rest` the figures or the reason."""

    cause: Cause
    message: str
    named: str
    rest: tuple[str, ...] = ()
    reading: Reading = NOTHING


_QUOTA = re.compile(
    r"exceeded quota: (?P<named>[^\s,]+), requested: (?P<asked>.+?), used: (?P<used>.+?), limited: (?P<hard>.+)$"
)
_DEMANDS = re.compile(r"failed quota: (?P<named>[^\s:]+): must specify (?P<what>.+)$")
_LIMIT = re.compile(r"(?P<what>(?:maximum|minimum) [\w./-]+ usage per (?P<named>\w+) is [^,\]]+, but [^,\]]+)")
_RATIO = re.compile(r"(?P<what>[\w./-]+ max limit to request ratio per (?P<named>\w+) is [^,\]]+, but [^,\]]+)")
_DOWN = re.compile(r'failed calling webhook "(?P<named>[^"]+)":\s*(?P<why>.*)$')
_DENIED = re.compile(r'admission webhook "(?P<named>[^"]+)" denied the request:\s*(?P<why>.*)$')
_SECURITY = re.compile(r'violates PodSecurity "(?P<named>[^"]+)":\s*(?P<why>.*)$')
_POLICY = re.compile(r"ValidatingAdmissionPolicy '(?P<named>[^']+)' .*denied request: (?P<why>.*)$")
_ACCOUNT = re.compile(r'serviceaccounts? "(?P<named>[^"]+)" not found')
_PATTERNS = (
    (_QUOTA, Cause.QUOTA),
    (_DEMANDS, Cause.QUOTA_DEMANDS),
    (_LIMIT, Cause.LIMIT_RANGE),
    (_RATIO, Cause.LIMIT_RANGE),
    (_DOWN, Cause.WEBHOOK_DOWN),
    (_DENIED, Cause.DENIED),
    (_SECURITY, Cause.DENIED),
    (_POLICY, Cause.DENIED),
    (_ACCOUNT, Cause.ACCOUNT),
)


def refusals_of(scene: Scene) -> tuple[Refusal, ...]:
    """Why pods of the target are not created, as the controller was told; nothing where none is missing."""
    failure = condition(scene.workload.data, "ReplicaFailure") if scene.workload.ok else {}
    told: list[tuple[str, Reading]] = []
    if text(failure, "status") == "True":
        told.append((text(failure, "message"), scene.workload))
    elif short_of_pods(scene):
        reading = scene.events.get(scene.target.name, NOTHING)
        failed = [item for item in objects(reading) if text(item, "reason") == "FailedCreate"]
        newest = max(failed, key=lambda item: text(item, "last"), default=None)
        told += [(text(newest, "message"), reading)] if newest is not None else []
    return tuple(found for message, reading in told if (found := parse(message, reading)) is not None)


def parse(message: str, reading: Reading = NOTHING) -> Refusal | None:
    """What a refusal's words name, None where they name nothing that is known."""
    line = " ".join(message.split())
    for pattern, cause in _PATTERNS:
        if match := pattern.search(line):
            rest = tuple(value for key, value in match.groupdict().items() if key != "named" and value)
            return Refusal(cause, line, match["named"], rest, reading)
    return None


def amounts(listed: str) -> dict[str, str]:
    """`requests.cpu=500m,pods=1` by name."""
    pairs = (part.strip().partition("=") for part in listed.split(","))
    return {name: value for name, _, value in pairs if name and value}


def short_of_pods(scene: Scene) -> bool:
    """Whether pods are missing that nobody created."""
    if scene.target.kind == "Job":
        job = next(iter(objects(scene.jobs)), None)
        return job is not None and not objects(scene.pods) and not items(job, "status", "conditions")
    if scene.target.kind not in WORKLOADS or not scene.workload.ok:
        return False
    have = counts_of(scene.workload.data)
    return have.total < have.desired
