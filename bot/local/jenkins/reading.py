"""What can be looked at: exported beans, logs, stages, test reports, agents, and who one is."""

from __future__ import annotations

from aiohttp import web

from bot.local.jenkins import exports, wfapi
from bot.local.jenkins.model import Build, Job
from bot.local.jenkins.request import Call, not_found
from bot.local.jenkins.tree import Bean, export


def exported(call: Call, bean: Bean) -> web.Response:
    """A bean as JSON, by `tree=` or `depth=`."""
    depth = call.http.query.get("depth", "0")
    return web.json_response(export(bean, call.http.query.get("tree"), int(depth) if depth.isdecimal() else 0))


def who(call: Call) -> web.Response:
    """Whom Jenkins takes the caller for."""
    user = call.caller.user
    if call.parts[0] == "me":
        return web.json_response({"_class": "hudson.model.User", "absoluteUrl": f"{call.base}user/{user.id}",
                                  "description": None, "fullName": user.name, "id": user.id})  # fmt: skip
    return web.json_response({
        "_class": "hudson.security.WhoAmI", "anonymous": user.id == "anonymous", "authenticated": True,
        "authorities": ["authenticated"], "details": None, "name": user.id, "toString": "",
    })  # fmt: skip


def computer(call: Call, rest: list[str]) -> web.Response:
    """Every agent, or one."""
    if rest == ["api", "json"]:
        return exported(call, call.exports.computers())
    agent = next((each for each in call.engine.agents if rest[:1] == [each.name]), None)
    if agent is None or rest[1:] != ["api", "json"]:
        raise not_found(call.path)
    return exported(call, call.exports.computer(agent))


def progressive(call: Call, build: Build) -> web.Response:
    """The log from `start` on; of a build that runs only whole lines. A start beyond its end begins anew."""
    given = call.http.query.get("start", "0")
    start = int(given) if given.isdecimal() else 0
    whole = bytes(build.log)
    if start > len(whole):
        start = 0
    rest = whole[start:]
    if build.building:
        rest = rest[: rest.rfind(b"\n") + 1]
    headers = {"X-Text-Size": str(start + len(rest)), **({"X-More-Data": "true"} if build.building else {})}
    return web.Response(body=rest, content_type="text/plain", charset="utf-8", headers=headers)


def tests(call: Call, build: Build) -> web.Response:
    """The report of a build's tests."""
    return exported(call, exports.test_report(build))


def runs(call: Call, job: Job) -> web.Response:
    """A pipeline's newest runs with their stages."""
    if not wfapi.is_pipeline(job):
        raise not_found(call.path)
    return web.json_response(wfapi.runs(job, call.prefix))


def stages(call: Call, build: Build, parts: list[str]) -> web.Response:
    """A pipeline's run, one of its nodes, or a node's log."""
    if not wfapi.is_pipeline(build.job):
        raise not_found(call.path)
    match parts:
        case ["wfapi"] | ["wfapi", "describe"]:
            return web.json_response(wfapi.describe(build, call.prefix))
        case ["execution", "node", number, "wfapi", what] if number.isdecimal() and what in ("describe", "log"):
            found = (wfapi.node if what == "describe" else wfapi.log)(build, int(number), call.prefix)
            if found is not None:
                return web.json_response(found)
    raise not_found(call.path)
