"""The HTTP face: tokens and scopes, rate limits, routes, and faults on request."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from aiohttp import web

from bot.local.gitlab import entities, repository_api as repo
from bot.local.gitlab.ci_api import CiApi
from bot.local.gitlab.errors import (
    ApiError,
    insufficient_scope,
    invalid_token,
    method_not_allowed,
    no_route,
    not_found,
    too_many_requests,
    unauthorized,
)
from bot.local.gitlab.model import Project, Token
from bot.local.gitlab.request import Answer, Call, body_of

VERSION = {"version": "18.4.0", "revision": "2b6d5d2c6ec", "enterprise": False, "kas": {"enabled": False}}
MANUAL_VARIABLES = (
    "query($project:ID!,$job:JobID!){project(fullPath:$project){job(id:$job){manualVariables{nodes{key value}}}}}"
)
Handler = Callable[[Call], Answer]


@dataclass(frozen=True)
class Asked:
    """One request as it was answered."""

    user: str
    method: str
    path: str
    status: int
    body: Mapping[str, Any]


@dataclass
class Fault:
    """What goes wrong with the next matching requests.

    `drop` does the work and hangs up, `hang` does nothing and never answers; a number is a status, and nothing is done.
    """

    method: str
    path: re.Pattern[str]
    kind: str
    left: int


class Server:
    """The API over the projects. `tokens` are by their value."""

    def __init__(
        self, projects: dict[str, Project], tokens: dict[str, Token], ci: CiApi, writing: repo.Writing
    ) -> None:
        self._projects, self._tokens = projects, tokens
        self._routes = _routes(ci, writing)
        self.base = ""
        self.asked: deque[Asked] = deque(maxlen=5000)
        self.faults: list[Fault] = []
        self.limit, self.retry_after = 2000, 30
        self._window = (0, 0)

    def application(self) -> web.Application:
        app = web.Application(client_max_size=20 * 1024 * 1024)
        app.router.add_route("*", "/{path:.*}", self._serve)
        return app

    async def _serve(self, http: web.Request) -> web.StreamResponse:
        user, body = "", dict[str, Any]()
        try:
            token = self._authenticated(http)
            user = token.user.username if token else ""
            self._throttle()
            body = await body_of(http)
            fault = await self._fault(http)
            answer = self._answer(http, token, body)
            if fault and http.transport is not None:
                http.transport.close()
            response = _response(answer)
        except ApiError as refusal:
            response = refusal.response()
        self.asked.append(Asked(user, http.method, http.rel_url.raw_path, response.status, body))
        return response

    def _authenticated(self, http: web.Request) -> Token | None:
        scheme, _, bearer = http.headers.get("Authorization", "").partition(" ")
        given = http.headers.get("PRIVATE-TOKEN") or (bearer.strip() if scheme.lower() == "bearer" else "")
        if not given:
            return None
        token = self._tokens.get(given)
        if token is None:
            raise unauthorized()
        if token.revoked or token.expired:
            raise invalid_token("revoked" if token.revoked else "expired")
        return token

    def _throttle(self) -> None:
        minute, seen = int(time.time() // 60), self._window
        self._window = (minute, seen[1] + 1 if seen[0] == minute else 1)
        if self._window[1] > self.limit:
            raise too_many_requests(self.limit, self.retry_after, (minute + 1) * 60)

    async def _fault(self, http: web.Request) -> bool:
        """Whether to hang up after the work."""
        for fault in self.faults:
            if fault.left > 0 and fault.method in (http.method, "*") and fault.path.search(http.path):
                fault.left -= 1
                if fault.kind == "hang":
                    await asyncio.sleep(60)
                if fault.kind == "429":
                    raise too_many_requests(self.limit, self.retry_after, int(time.time()) + self.retry_after)
                if fault.kind.isdecimal():
                    raise ApiError(int(fault.kind), {"message": f"{fault.kind} Internal Server Error"})
                return fault.kind == "drop"
        return False

    def _answer(self, http: web.Request, token: Token | None, body: dict[str, Any]) -> Answer:
        raw = http.rel_url.raw_path
        if raw == "/api/graphql":
            return self._graphql(token, body)
        if not raw.startswith("/api/v4/"):
            raise no_route()
        parts = [unquote(part) for part in raw.removeprefix("/api/v4/").split("/")]
        if token is None:
            raise not_found("Project") if parts[0] == "projects" and len(parts) > 1 else unauthorized()
        if parts == ["personal_access_tokens", "self"] and http.method == "GET":
            return Answer(entities.token(token))
        if not set(token.scopes) & {"api", "read_api"}:
            raise insufficient_scope("api", "read_api")
        if parts == ["version"]:
            return Answer(VERSION)
        if parts == ["user"]:
            return Answer(entities.own_user(token.user, self.base))
        if parts == ["projects"] and http.method == "GET":
            own = [project for path, project in self._projects.items() if path in token.projects]
            return Answer([entities.project(project, self.base) for project in own])
        if parts[0] != "projects" or len(parts) < 2:
            raise no_route()
        return self._of_project(http, token, parts, body)

    def _of_project(self, http: web.Request, token: Token, parts: list[str], body: dict[str, Any]) -> Answer:
        wanted = parts[1]
        project = self._projects.get(wanted) or next((p for p in self._projects.values() if str(p.id) == wanted), None)
        if project is None or project.path not in token.projects:
            raise not_found("Project")
        query = {name: http.query.getall(name) for name in http.query}
        known = False
        for method, pattern, handler in self._routes:
            args = _matched(pattern, parts[2:])
            if args is not None:
                known = True
                if method == http.method:
                    call = Call(self.base, http.path if "%" not in http.rel_url.raw_path else http.rel_url.raw_path,
                                token, project, args, query, body)  # fmt: skip
                    return handler(call)
        raise method_not_allowed() if known else no_route()

    def _graphql(self, token: Token | None, body: dict[str, Any]) -> Answer:
        """The one query that this stand-in understands; whatever else is an error in GraphQL's own shape."""
        if token is None:
            return Answer({"errors": [{"message": "Invalid token"}]}, 401)
        asked = re.sub(r"\s*([{}():,])\s*", r"\1", re.sub(r"\s+", " ", str(body.get("query", "")))).strip()
        if asked != MANUAL_VARIABLES:
            return Answer({"errors": [{"message": "Field doesn't exist", "path": ["query"]}]})
        variables = body.get("variables") or {}
        project = self._projects.get(variables.get("project", ""))
        if project is None or project.path not in token.projects:
            return Answer({"data": {"project": None}})
        wanted = str(variables.get("job", "")).removeprefix("gid://gitlab/Ci::Build/")
        job = next((job for job in project.jobs() if str(job.id) == wanted), None)
        if job is None:
            return Answer({"data": {"project": {"job": None}}})
        nodes = [{"key": key, "value": value} for key, value in job.variables.items()]
        shown = {"nodes": nodes} if token.projects[project.path] >= project.variables_role else None
        return Answer({"data": {"project": {"job": {"manualVariables": shown}}}})


def _matched(pattern: str, parts: list[str]) -> dict[str, str] | None:
    wanted = pattern.split("/") if pattern else []
    if len(wanted) != len(parts):
        return None
    args = {}
    for want, part in zip(wanted, parts, strict=True):
        if want.startswith(":"):
            args[want[1:]] = part
        elif want != part:
            return None
    return args


def _response(answer: Answer) -> web.Response:
    headers = dict(answer.headers)
    content_type = headers.pop("Content-Type", "application/json")
    if answer.status == 204:
        return web.Response(status=204, headers=headers)
    text = answer.body if content_type == "text/plain" else json.dumps(answer.body, separators=(",", ":"))
    return web.Response(status=answer.status, text=text, content_type=content_type, headers=headers)


def _routes(ci: CiApi, writing: repo.Writing) -> tuple[tuple[str, str, Handler], ...]:
    return (
        ("GET", "", repo.project),
        ("GET", "pipelines", ci.pipelines),
        ("POST", "pipeline", ci.create),
        ("GET", "pipelines/latest", ci.latest),
        ("GET", "pipelines/:pipeline_id", ci.pipeline),
        ("GET", "pipelines/:pipeline_id/jobs", ci.pipeline_jobs),
        ("GET", "pipelines/:pipeline_id/bridges", ci.bridges),
        ("GET", "pipelines/:pipeline_id/test_report", ci.test_report),
        ("GET", "pipelines/:pipeline_id/test_report_summary", ci.test_report_summary),
        ("POST", "pipelines/:pipeline_id/retry", ci.retry),
        ("POST", "pipelines/:pipeline_id/cancel", ci.cancel),
        ("GET", "jobs", ci.jobs),
        ("GET", "jobs/:job_id", ci.job),
        ("GET", "jobs/:job_id/trace", ci.trace),
        ("POST", "jobs/:job_id/play", ci.play),
        ("POST", "jobs/:job_id/retry", ci.retry_job),
        ("POST", "jobs/:job_id/cancel", ci.cancel_job),
        ("GET", "deployments", ci.deployments),
        ("GET", "repository/branches", repo.branches),
        ("POST", "repository/branches", writing.create_branch),
        ("GET", "repository/branches/:branch", repo.branch),
        ("DELETE", "repository/branches/:branch", writing.delete_branch),
        ("GET", "repository/commits", repo.commits),
        ("POST", "repository/commits", writing.create_commit),
        ("GET", "repository/commits/:sha", repo.commit),
        ("GET", "repository/commits/:sha/diff", repo.commit_diff),
        ("POST", "repository/commits/:sha/revert", writing.revert),
        ("GET", "repository/compare", repo.compare),
        ("GET", "repository/files/:file_path", repo.file),
        ("GET", "merge_requests", repo.merge_requests),
        ("GET", "merge_requests/:iid", repo.merge_request),
        ("POST", "merge_requests", writing.create_merge_request),
        ("PUT", "merge_requests/:iid", writing.update_merge_request),
    )
