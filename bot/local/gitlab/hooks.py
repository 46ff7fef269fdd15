"""Webhooks: the payloads that GitLab sends, signed or with a token, in order and one after the other."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
import time
import uuid
from dataclasses import dataclass
from typing import Any

import aiohttp

from bot.local.gitlab import entities
from bot.local.gitlab.model import Deployment, Hook, Job, MergeRequest, Pipeline, Project, User

SECONDS = 10.0


@dataclass(frozen=True)
class Delivery:
    """One webhook as it was sent, and the status that came back; 0 where nobody answered."""

    event: str
    headers: dict[str, str]
    body: bytes
    status: int
    answer: str = ""


class Hooks:
    """Sends what projects' hooks ask for. GitLab tries each once and so does this."""

    def __init__(self) -> None:
        self.base = ""
        self.deliveries: list[Delivery] = []
        self._queue: asyncio.Queue[tuple[Hook, str, bytes, str]] = asyncio.Queue()
        self._sender: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._sender = asyncio.create_task(self._send_all())

    async def close(self) -> None:
        if self._sender is not None:
            self._sender.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._sender

    async def settled(self) -> None:
        """Waits until everything was sent."""
        await self._queue.join()

    def pipeline(self, line: Pipeline) -> None:
        self._put(line.project, "pipelines", "Pipeline Hook", self.pipeline_payload(line))

    def deployment(self, made: Deployment) -> None:
        self._put(made.project, "deployments", "Deployment Hook", self.deployment_payload(made))

    def merge_request(self, made: MergeRequest, action: str = "open") -> None:
        self._put(made.project, "merge_requests", "Merge Request Hook", self.merge_request_payload(made, action))

    def resend(self, delivery: Delivery, hook: Hook) -> None:
        """The same delivery once more, with its own idempotency key, as the button in GitLab does."""
        self._queue.put_nowait((hook, delivery.event, delivery.body, delivery.headers["Idempotency-Key"]))

    # --- payloads -----------------------------------------------------------------------------------------------------

    def pipeline_payload(self, line: Pipeline) -> dict[str, Any]:
        head, ended = line.project.repository.commits[line.sha], line.finished_at
        return {
            "object_kind": "pipeline",
            "object_attributes": {
                "id": line.id,
                "iid": line.iid,
                "name": None,
                "ref": line.ref,
                "tag": False,
                "sha": line.sha,
                "before_sha": head.parents[0] if head.parents else "0" * 40,
                "source": line.source,
                "status": line.status,
                "detailed_status": "passed" if line.status == "success" else line.status,
                "stages": list(dict.fromkeys(step.stage for step in line.project.steps)),
                "created_at": _utc(line.created_at),
                "finished_at": _utc(ended),
                "duration": int((ended - line.started_at).total_seconds()) if ended and line.started_at else None,
                "queued_duration": 1,
                "protected_ref": line.ref in line.project.repository.branches
                and line.project.repository.branches[line.ref].protected,
                "variables": [],
                "url": f"{self.base}/{line.project.path}/-/pipelines/{line.id}",
            },
            "merge_request": None,
            "user": _user(line.user),
            "project": self._project(line.project),
            "commit": {
                "id": head.sha,
                "message": head.message,
                "title": head.title,
                "timestamp": head.at.isoformat(timespec="seconds"),
                "url": f"{self.base}/{line.project.path}/-/commit/{head.sha}",
                "author": {"name": head.author, "email": "[REDACTED]"},
            },
            "builds": [_build(job) for job in line.latest],
        }

    def deployment_payload(self, made: Deployment) -> dict[str, Any]:
        path = f"{self.base}/{made.project.path}"
        head = made.project.repository.commits[made.sha]
        return {
            "object_kind": "deployment",
            "status": made.status,
            "status_changed_at": made.updated_at.strftime("%Y-%m-%d %H:%M:%S +0000"),
            "deployment_id": made.id,
            "deployable_id": made.job.id if made.job else None,
            "deployable_url": f"{path}/-/jobs/{made.job.id}" if made.job else None,
            "environment": made.environment,
            "environment_tier": entities.tier(made.environment),
            "environment_slug": entities.slug(made.environment),
            "environment_external_url": None,
            "project": self._project(made.project),
            "ref": made.ref,
            "short_sha": made.sha[:8],
            "user": _user(made.user),
            "user_url": f"{self.base}/{made.user.username}",
            "commit_url": f"{path}/-/commit/{made.sha}",
            "commit_title": head.title,
        }

    def merge_request_payload(self, made: MergeRequest, action: str = "open") -> dict[str, Any]:
        return {
            "object_kind": "merge_request",
            "event_type": "merge_request",
            "user": _user(made.author),
            "project": self._project(made.project),
            "object_attributes": {
                "id": made.id,
                "iid": made.iid,
                "title": made.title,
                "source_branch": made.source,
                "target_branch": made.target,
                "state": made.state,
                "action": action,
                "url": f"{self.base}/{made.project.path}/-/merge_requests/{made.iid}",
            },
            "labels": [],
            "changes": {},
        }

    def _project(self, found: Project) -> dict[str, Any]:
        return {
            "id": found.id,
            "name": found.name,
            "description": None,
            "web_url": f"{self.base}/{found.path}",
            "namespace": found.path.partition("/")[0],
            "visibility_level": 0,
            "path_with_namespace": found.path,
            "default_branch": found.repository.default_branch,
            "ci_config_path": None,
        }

    # --- sending ------------------------------------------------------------------------------------------------------

    def _put(self, project: Project, kind: str, event: str, payload: dict[str, Any]) -> None:
        for hook in project.hooks:
            if getattr(hook, kind):
                self._queue.put_nowait((hook, event, json.dumps(payload).encode(), str(uuid.uuid4())))

    async def _send_all(self) -> None:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=SECONDS)) as session:
            while True:
                hook, event, body, key = await self._queue.get()
                headers = self._headers(hook, event, body, key)
                status, answer = 0, ""
                with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                    async with session.post(hook.url, data=body, headers=headers) as response:
                        status, answer = response.status, await response.text()
                self.deliveries.append(Delivery(event, headers, body, status, answer))
                self._queue.task_done()

    def _headers(self, hook: Hook, event: str, body: bytes, key: str) -> dict[str, str]:
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "GitLab/18.4.0",
            "Idempotency-Key": key,
            "X-Gitlab-Event": event,
            "X-Gitlab-Webhook-UUID": str(uuid.uuid4()),
            "X-Gitlab-Instance": self.base,
            "X-Gitlab-Event-UUID": str(uuid.uuid4()),
        }
        if hook.token:
            headers["X-Gitlab-Token"] = hook.token
        if hook.signing_token:
            headers |= signature(hook.signing_token, key, body)
        return headers


def signature(signing_token: str, key: str, body: bytes, at: int | None = None) -> dict[str, str]:
    """The three headers of a signed delivery (Standard Webhooks): HMAC-SHA256 over id, time and body."""
    moment = str(int(time.time()) if at is None else at)
    secret = base64.b64decode(signing_token.removeprefix("whsec_"))
    mac = hmac.new(secret, f"{key}.{moment}.".encode() + body, hashlib.sha256).digest()
    return {"webhook-id": key, "webhook-timestamp": moment, "webhook-signature": f"v1,{base64.b64encode(mac).decode()}"}


def _utc(moment: Any) -> str | None:
    return None if moment is None else moment.strftime("%Y-%m-%d %H:%M:%S UTC")


def _user(person: User) -> dict[str, Any]:
    return {
        "id": person.id,
        "name": person.name,
        "username": person.username,
        "avatar_url": None,
        "email": "[REDACTED]",
    }


def _build(job: Job) -> dict[str, Any]:
    started, ended, place = job.started_at, job.finished_at, job.step.environment
    return {
        "id": job.id,
        "stage": job.step.stage,
        "name": job.name,
        "status": job.status,
        "created_at": _utc(job.created_at),
        "started_at": _utc(started),
        "finished_at": _utc(ended),
        "duration": (ended - started).total_seconds() if started and ended else None,
        "queued_duration": 0.2 if started else None,
        "failure_reason": job.failure_reason or None,
        "when": "manual" if job.step.manual else "on_success",
        "manual": job.step.manual,
        "allow_failure": job.step.optional,
        "user": _user(job.user),
        "runner": None,
        "artifacts_file": {"filename": None, "size": None},
        "environment": {"name": place, "action": "start", "deployment_tier": entities.tier(place)} if place else None,
    }
