"""The REST of the Pipeline Stage View plugin: what a pipeline's stages and steps did."""

from __future__ import annotations

import html
from typing import Any

from bot.local.jenkins.model import PIPELINE, Build, Job, Node, Stage, millis

MAX_CHARS = 10 * 1024


def describe(build: Build, prefix: str) -> dict[str, Any]:
    """`/wfapi/describe` of a build."""
    status = build.result or "IN_PROGRESS"
    return {
        "_links": _links(f"{prefix}/{build.url}wfapi/describe"),
        "id": str(build.number),
        "name": f"#{build.number}",
        "status": {"FAILURE": "FAILED"}.get(status, status),
        "startTimeMillis": millis(build.started),
        "endTimeMillis": millis(build.finished),
        "durationMillis": build.ms,
        "queueDurationMillis": 2,
        "pauseDurationMillis": 0,
        "stages": [_stage(build, stage, prefix) for stage in build.stages],
    }


def runs(job: Job, prefix: str) -> list[dict[str, Any]]:
    """`/wfapi/runs` of a job: the newest ten."""
    return [describe(build, prefix) for build in reversed(job.builds[-10:])]


def node(build: Build, node_id: int, prefix: str) -> dict[str, Any] | None:
    """`/execution/node/N/wfapi/describe`; None where there is no such node."""
    for stage in build.stages:
        if stage.id == node_id:
            nodes = [_node(build, each, prefix, stage.id) for each in stage.nodes]
            return {**_stage(build, stage, prefix), "stageFlowNodes": nodes}
        for each in stage.nodes:
            if each.id == node_id:
                return _node(build, each, prefix, stage.id)
    return None


def log(build: Build, node_id: int, prefix: str) -> dict[str, Any] | None:
    """`/execution/node/N/wfapi/log`: at most the last 10 kB, as HTML."""
    found = _find(build, node_id)
    if found is None:
        return None
    shown = found.text[-MAX_CHARS:]
    answer: dict[str, Any] = {
        "nodeId": str(node_id),
        "nodeStatus": found.status,
        "length": len(shown),
        "hasMore": len(found.text) > MAX_CHARS,
        "consoleUrl": f"{prefix}/{build.url}execution/node/{node_id}/log",
    }
    return {**answer, "text": html.escape(shown, quote=False)} if shown else answer


def is_pipeline(job: Job) -> bool:
    """Only a pipeline has this API."""
    return job.kind == PIPELINE


def _find(build: Build, node_id: int) -> Node | None:
    return next((each for stage in build.stages for each in stage.nodes if each.id == node_id), None)


def _stage(build: Build, stage: Stage, prefix: str) -> dict[str, Any]:
    return {
        "_links": _links(f"{prefix}/{build.url}execution/node/{stage.id}/wfapi/describe"),
        "id": str(stage.id),
        "name": stage.name,
        "execNode": "",
        "status": stage.status,
        **_error(next((each for each in stage.nodes if each.error), None)),
        "startTimeMillis": millis(stage.started),
        "durationMillis": stage.ms,
        "pauseDurationMillis": 0,
    }


def _node(build: Build, each: Node, prefix: str, parent: int) -> dict[str, Any]:
    base = f"{prefix}/{build.url}execution/node/{each.id}/wfapi"
    links = {"self": {"href": f"{base}/describe"}, "log": {"href": f"{base}/log"}}
    return {
        "_links": links,
        "id": str(each.id),
        "name": each.name,
        "execNode": "",
        "status": each.status,
        **_error(each),
        "startTimeMillis": millis(each.started),
        "durationMillis": each.ms,
        "pauseDurationMillis": 0,
        "parentNodes": [str(parent)],
    }


def _error(each: Node | None) -> dict[str, Any]:
    return (
        {"error": {"message": each.error, "type": "hudson.AbortException"}} if each is not None and each.error else {}
    )


def _links(self_url: str) -> dict[str, Any]:
    return {"self": {"href": self_url}}
