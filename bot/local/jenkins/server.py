"""The HTTP face of the stand-in Jenkins: authentication, crumbs, and each URL's way to what it is about."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from urllib.parse import unquote

from aiohttp import web

from bot.local.jenkins import building, pages, reading
from bot.local.jenkins.engine import Engine
from bot.local.jenkins.exports import Exports
from bot.local.jenkins.faults import Faults
from bot.local.jenkins.model import Build, Folder, Job
from bot.local.jenkins.request import Asked, Call, not_found
from bot.local.jenkins.security import ADMINISTER, JOB_READ, READ, Caller, Refusal, Security
from bot.local.jenkins.tree import MalformedTree

Answer = web.StreamResponse
Handler = Callable[[Call], Awaitable[Answer]]
_LASTS: Mapping[str, tuple[str, ...]] = {
    "lastBuild": (),
    "lastCompletedBuild": ("SUCCESS", "UNSTABLE", "FAILURE", "ABORTED", "NOT_BUILT"),
    "lastFailedBuild": ("FAILURE",),
    "lastStableBuild": ("SUCCESS",),
    "lastSuccessfulBuild": ("SUCCESS", "UNSTABLE"),
    "lastUnstableBuild": ("UNSTABLE",),
    "lastUnsuccessfulBuild": ("UNSTABLE", "FAILURE", "ABORTED", "NOT_BUILT"),
}


@dataclass
class Switches:
    """What can be turned off: the stage view's REST."""

    wfapi: bool = True


class Server:
    """Jenkins' URLs over an engine. `prefix` is its context path, such as /jenkins; `asked` every request so far."""

    def __init__(self, engine: Engine, security: Security, faults: Faults, prefix: str, switches: Switches) -> None:
        self._engine, self._security, self._faults = engine, security, faults
        self._prefix, self._switches = prefix, switches
        self.asked: deque[Asked] = deque(maxlen=5000)

    def application(self) -> web.Application:
        """The aiohttp application; it serves every path."""
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._serve)
        return app

    async def _serve(self, http: web.Request) -> Answer:
        fault = self._faults.take(http.method, http.rel_url.raw_path)
        user = ""
        try:
            if fault == "hang":
                await self._faults.hang()
            _refuse(fault, http)
            caller = self._security.caller(http)
            user = caller.user.id
            answer = await self._answer(http, caller)
        except Refusal as refusal:
            headers = {"X-Jenkins": pages.VERSION, **refusal.headers}
            answer = web.Response(status=refusal.status, text=refusal.body, content_type="text/html", headers=headers)
        answer.headers["X-Jenkins"] = pages.VERSION
        answer.headers["X-Hudson"] = "1.395"
        answer.headers["X-Content-Type-Options"] = "nosniff"
        form = {key: str(value) for key, value in (await http.post()).items()} if http.method == "POST" else {}
        self.asked.append(Asked(user, http.method, http.rel_url.raw_path, dict(http.query), form, answer.status))
        if fault == "lose" and http.transport is not None:
            http.transport.abort()
        return answer

    async def _answer(self, http: web.Request, caller: Caller) -> Answer:
        path = http.rel_url.raw_path
        if not path.startswith(f"{self._prefix}/"):
            raise not_found(path)
        parts = [unquote(part) for part in path.removeprefix(f"{self._prefix}/").split("/") if part]
        if http.method == "POST":
            self._security.check_crumb(http, caller)
        if not caller.user.may(READ) and parts[:1] != ["login"]:
            raise Refusal(403, pages.login_needed(path))
        base = f"{http.scheme}://{http.host}{self._prefix}/"
        may = lambda job: caller.user.may(JOB_READ, job.full_name)  # noqa: E731
        call = Call(http, caller, parts, base, self._prefix, self._engine, Exports(self._engine, base, may))
        try:
            return await self._route(call)
        except MalformedTree as error:
            raise Refusal(
                500, pages.oops(f"jakarta.servlet.ServletException: Malformed tree expression: {error}")
            ) from error

    async def _route(self, call: Call) -> Answer:
        match call.parts:
            case []:
                return web.Response(
                    text="<html><head><title>Dashboard - Jenkins</title></head></html>", content_type="text/html"
                )
            case ["api", "json"]:
                return reading.exported(call, call.exports.root())
            case ["crumbIssuer", "api", "json"]:
                return self._crumb(call)
            case ["whoAmI", "api", "json"] | ["me", "api", "json"]:
                return reading.who(call)
            case ["queue", *rest]:
                return await building.queue(call, rest)
            case ["computer", *rest]:
                return reading.computer(call, rest)
            case ["quietDown" | "cancelQuietDown" as what]:
                return building.quiet(call, down=what == "quietDown")
            case ["script"]:
                call.need(ADMINISTER)
                return web.Response(text="<html><body><h1>Script Console</h1></body></html>", content_type="text/html")
            case ["job", *_]:
                return await self._place(call)
        raise not_found(call.path)

    def _crumb(self, call: Call) -> Answer:
        if not self._security.crumbs:
            raise not_found(call.path)
        session = self._security.open_session(call.caller)
        answer = web.json_response({
            "_class": "hudson.security.csrf.DefaultCrumbIssuer",
            "crumb": self._security.crumb(call.caller.user, session),
            "crumbRequestField": "Jenkins-Crumb",
        })  # fmt: skip
        if not call.caller.by_token:
            answer.headers["Set-Cookie"] = f"JSESSIONID.2d1f8a09={session}; Path={self._prefix or '/'}; HttpOnly"
        return answer

    async def _place(self, call: Call) -> Answer:
        """A folder, a job, or something of a job."""
        place: Folder | Job = self._engine.root
        parts = list(call.parts)
        while parts[:1] == ["job"] and len(parts) > 1 and isinstance(place, Folder) and parts[1] in place.children:
            place = place.children[parts[1]]
            parts = parts[2:]
        visible = isinstance(place, Job) and call.may_read(place)
        if isinstance(place, Folder) and place.parent is not None:
            visible = any(map(call.may_read, place.jobs()))
        if not visible or parts[:1] == ["job"]:
            raise not_found(call.path)
        if parts == ["api", "json"]:
            return reading.exported(call, call.exports.place(place))
        if isinstance(place, Folder):
            raise not_found(call.path)
        return await self._of_job(call, place, parts)

    async def _of_job(self, call: Call, job: Job, parts: list[str]) -> Answer:
        match parts:
            case ["build"]:
                return await building.build(call, job)
            case ["buildWithParameters"]:
                return await building.build_with_parameters(call, job)
            case ["wfapi", "runs"] if self._switches.wfapi:
                return reading.runs(call, job)
            case [number, *rest] if number.isdecimal() or number in _LASTS:
                build = job.build(int(number)) if number.isdecimal() else job.last(*_LASTS[number])
                if build is None:
                    raise not_found(call.path)
                return await self._of_build(call, build, rest)
        raise not_found(call.path)

    async def _of_build(self, call: Call, build: Build, parts: list[str]) -> Answer:
        match parts:
            case ["api", "json"]:
                return reading.exported(call, call.exports.build(build))
            case ["consoleText"]:
                return web.Response(body=bytes(build.log), content_type="text/plain", charset="utf-8")
            case ["logText", "progressiveText"]:
                return reading.progressive(call, build)
            case ["testReport", "api", "json"] if build.cases:
                return reading.tests(call, build)
            case ["stop" | "term" | "kill" as how]:
                return building.stop(call, build, how)
            case [*rest] if self._switches.wfapi and "wfapi" in rest:
                return reading.stages(call, build, rest)
        raise not_found(call.path)


def _refuse(fault: str, http: web.Request) -> None:
    """Raises Refusal where a fault answers instead of Jenkins."""
    path = http.rel_url.raw_path
    match fault:
        case "starting":
            raise Refusal(503, pages.starting())
        case "429":
            raise Refusal(429, "<html><body><h1>429 Too Many Requests</h1>nginx</body></html>", {"Retry-After": "7"})
        case "500":
            raise Refusal(500, pages.oops("java.io.IOException: No space left on device"))
        case "502":
            raise Refusal(502, "<html><body><h1>502 Bad Gateway</h1>nginx</body></html>")
        case "login":
            raise Refusal(302, "", {"Location": "https://sso.acme.dev/login?rd=jenkins"})
        case "403":
            raise Refusal(403, pages.denied("anonymous", f"needed for {path}"))
