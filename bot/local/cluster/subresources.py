"""pods/log, pods/eviction, scale, and the reviews in which a client asks what it may do."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from aiohttp import web

from bot.local.cluster.behaviour import Line
from bot.local.cluster.errors import (
    FieldError,
    bad_request,
    invalid,
    invalid_value,
    too_many_requests,
)
from bot.local.cluster.kubelet import Kubelet
from bot.local.cluster.objects import Objects, deletion
from bot.local.cluster.pace import micro_timestamp, timestamp
from bot.local.cluster.patches import patched
from bot.local.cluster.rbac import Attributes, User
from bot.local.cluster.request import Call
from bot.local.cluster.resources import BUDGETS, PODS, Obj
from bot.local.cluster.selecting import object_selector, selector_text
from bot.local.cluster.store import at, copied
from bot.local.cluster.validation import NOT_NEGATIVE

LOG_POLL = 0.2  # seconds between two looks at a followed log


# --- logs


async def log(call: Call, objects: Objects, kubelet: Kubelet) -> web.StreamResponse:
    """Container logs as text; with follow the stream stays open while the container runs."""
    pod = objects.get(PODS, call.namespace, call.name)
    container = _container(pod, call.http.query.get("container", ""))
    previous, stamped = call.flag("previous"), call.flag("timestamps")
    tail, since = _window(call)
    process = kubelet.process(pod, container, previous=previous)
    lines = process.lines(datetime.now(UTC))
    chosen = [line for line in lines if since is None or line.at >= since]
    if tail is not None:
        chosen = chosen[-tail:] if tail else []
    body = _text(chosen, stamped)
    if (limit := call.number("limitBytes")) is not None:
        body = body[:limit]
    if not call.flag("follow"):
        return web.Response(body=body, content_type="text/plain")
    response = web.StreamResponse(headers={"Content-Type": "text/plain"})
    await response.prepare(call.http)
    await response.write(body)
    seen = lines[-1].at if lines else datetime.now(UTC)
    ended = False
    while not ended:
        await asyncio.sleep(LOG_POLL)
        ended = process.ended is not None
        fresh = [line for line in process.lines(datetime.now(UTC)) if line.at > seen]
        seen = fresh[-1].at if fresh else seen
        await response.write(_text(fresh, stamped))
    await response.write_eof()
    return response


def _text(lines: Sequence[Line], stamped: bool) -> bytes:
    return "".join((f"{micro_timestamp(x.at)} " if stamped else "") + x.text + "\n" for x in lines).encode()


def _container(pod: Obj, wanted: str) -> str:
    names = [c["name"] for c in pod["spec"]["containers"]]
    all_names = names + [c["name"] for c in pod["spec"].get("initContainers") or ()]
    pod_name = pod["metadata"]["name"]
    if wanted and wanted not in all_names:
        raise bad_request(f"container {wanted} is not valid for pod {pod_name}")
    if not wanted and len(names) > 1:
        listed = " ".join(names)
        raise bad_request(f"a container name must be specified for pod {pod_name}, choose one of: [{listed}]")
    return wanted or names[0]


def _window(call: Call) -> tuple[int | None, datetime | None]:
    tail, seconds = call.number("tailLines"), call.number("sinceSeconds")
    errors: list[FieldError] = []
    if tail is not None and tail < 0:
        errors.append(invalid_value("tailLines", tail, NOT_NEGATIVE))
    if seconds is not None and seconds < 1:
        errors.append(invalid_value("sinceSeconds", seconds, "must be greater than 0"))
    since_time = call.http.query.get("sinceTime", "")
    if seconds is not None and since_time:
        errors.append(FieldError("sinceSeconds", "FieldValueForbidden", "at most one of `sinceTime` or"
                                 " `sinceSeconds` may be specified"))  # fmt: skip
    if errors:
        raise invalid("PodLogOptions", "", call.name, errors)
    if seconds is not None:
        return tail, datetime.now(UTC) - timedelta(seconds=seconds)
    try:
        return tail, datetime.fromisoformat(since_time) if since_time else None
    except ValueError as error:
        raise bad_request(f"sinceTime: {error}") from error


# --- eviction


async def evict(call: Call, objects: Objects) -> Obj:
    """Deletes a pod unless a disruption budget forbids it (ApiError 429)."""
    dry = call.dry_run()
    body = await call.body()
    if at(body, "metadata.name") != call.name:
        raise bad_request("name in URL does not match name in Eviction object")
    how = deletion(body.get("deleteOptions") or None, {}, [])
    pod = objects.get(PODS, call.namespace, call.name)
    if at(pod, "status.phase") == "Running" and not pod["metadata"].get("deletionTimestamp"):
        _budget(objects, pod)
    objects.delete(PODS, pod, replace(how, dry_run=dry or how.dry_run))
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}


def _budget(objects: Objects, pod: Obj) -> None:
    ready = any(c["type"] == "Ready" and c["status"] == "True" for c in at(pod, "status.conditions") or ())
    for budget in objects.store.list(BUDGETS, pod["metadata"]["namespace"]):
        if not object_selector(budget["spec"].get("selector"))(pod["metadata"].get("labels") or {}):
            continue
        status = budget.get("status") or {}
        healthy, needed = status.get("currentHealthy", 0), status.get("desiredHealthy", 0)
        if not ready and healthy >= needed > 0:
            continue
        if status.get("disruptionsAllowed", 0) == 0:
            name = budget["metadata"]["name"]
            why = f"The disruption budget {name} needs {needed} healthy pods and has {healthy} currently"
            raise too_many_requests(
                "Cannot evict pod as it would violate the pod's disruption budget.",
                0,
                [{"reason": "DisruptionBudget", "message": why}],
            )


# --- scale


def scale_of(obj: Obj) -> Obj:
    """The autoscaling/v1 Scale of a workload."""
    meta = {k: v for k, v in obj["metadata"].items() if k in _SCALE_META}
    status = {"replicas": at(obj, "status.replicas") or 0, "selector": selector_text(at(obj, "spec.selector"))}
    spec = {"replicas": at(obj, "spec.replicas")}
    return {"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": meta, "spec": spec, "status": status}


_SCALE_META = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")


async def scale(call: Call, objects: Objects) -> Obj:
    """GET, PUT and PATCH of a workload's scale subresource."""
    before = objects.get(call.resource, call.namespace, call.name)
    if call.verb == "get":
        return scale_of(before)
    dry = call.dry_run()
    if call.verb == "patch":
        patch, media_type = await call.patch()
        wanted = patched(scale_of(before), patch, media_type)
    else:
        wanted = await call.body()
    new = copied(before)
    new["spec"]["replicas"] = _replicas(wanted, call.name)
    version = at(wanted, "metadata.resourceVersion")
    new["metadata"] |= {"resourceVersion": version or before["metadata"]["resourceVersion"]}
    return scale_of(objects.update(call.resource, before, new, dry_run=dry))


def _replicas(scale: Obj, name: str) -> int:
    replicas = at(scale, "spec.replicas") or 0
    if not isinstance(replicas, int) or isinstance(replicas, bool):
        where = "Go struct field ScaleSpec.spec.replicas of type int32"
        raise bad_request(f'Scale in version "v1" cannot be handled as a Scale: json: cannot unmarshal into {where}')
    if replicas < 0:
        raise invalid("Scale", "autoscaling", name, [invalid_value("spec.replicas", replicas, NOT_NEGATIVE)])
    return replicas


# --- reviews


def access_review(body: Obj, user: User) -> Obj:
    """SelfSubjectAccessReview: whether the caller may do one thing."""
    asked = at(body, "spec.resourceAttributes") or {}
    wanted = Attributes(
        asked.get("verb", ""),
        asked.get("group", ""),
        asked.get("resource", ""),
        asked.get("subresource", ""),
        asked.get("namespace", ""),
        asked.get("name", ""),
    )
    allowed = user.may(wanted) if asked else True
    status = {"allowed": allowed} | ({"reason": "RBAC: allowed by the loaded rules"} if allowed else {})
    return body | {"metadata": {"creationTimestamp": None}, "status": status}


def rules_review(body: Obj, user: User) -> Obj:
    """SelfSubjectRulesReview: what the caller may do in a namespace."""
    namespace = at(body, "spec.namespace") or ""
    rules = [rule.as_rule() for rule in user.rules if rule.namespace in ("", namespace)]
    status = {"resourceRules": rules, "nonResourceRules": [], "incomplete": False}
    return body | {"metadata": {"creationTimestamp": None}, "status": status}


def subject_review(body: Obj, user: User) -> Obj:
    """SelfSubjectReview: who the caller is."""
    info = {"username": user.name, "groups": list(user.groups)}
    return body | {"metadata": {"creationTimestamp": timestamp()}, "status": {"userInfo": info}}
