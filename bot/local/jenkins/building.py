"""What changes something: builds that are asked for, stopped, taken out of the queue; Jenkins made quiet."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from bot.local.jenkins import pages, reading
from bot.local.jenkins.model import Build, Cause, Job, Parameter
from bot.local.jenkins.request import Call, not_found
from bot.local.jenkins.security import ADMINISTER, JOB_BUILD, JOB_CANCEL, Refusal


async def build(call: Call, job: Job) -> web.Response:
    """POST /build. A job with parameters wants a form here, and says so."""
    _buildable(job)
    cause = await _cause(call, job)
    if job.parameters:
        raise Refusal(400, pages.jetty(400, "Nothing is submitted", call.path))
    return _scheduled(call, job, {}, cause)


async def build_with_parameters(call: Call, job: Job) -> web.Response:
    """POST /buildWithParameters. Names that the job does not know are dropped without a word."""
    cause = await _cause(call, job)
    _buildable(job)
    if not job.parameters:
        raise Refusal(500, pages.oops("java.lang.IllegalStateException: This build is not parameterized!"))
    form = await call.http.post()
    given = {**call.http.query, **{name: str(value) for name, value in form.items()}}
    return _scheduled(call, job, {each.name: _value(each, given) for each in job.parameters}, cause)


def _value(parameter: Parameter, given: dict[str, str]) -> str:
    value = given.get(parameter.name, parameter.default)
    if parameter.kind == "Boolean":
        return "true" if value in ("true", "on") else "false"
    if parameter.kind == "Choice" and value not in parameter.choices:
        message = f"java.lang.IllegalArgumentException: Illegal choice for parameter {parameter.name}: {value}"
        raise Refusal(500, pages.oops(message))
    return value


async def _cause(call: Call, job: Job) -> Cause:
    """Who builds, once that is allowed. Raises Refusal."""
    form = await call.http.post() if call.http.method == "POST" else {}
    given = {**call.http.query, **{name: str(value) for name, value in form.items()}}
    if job.token and "token" in given:
        if given["token"] != job.token:
            raise Refusal(403, pages.denied(call.caller.user.id, "Invalid token provided."))
        note = f" with note: {given['cause']}" if given.get("cause") else ""
        fields: dict[str, Any] = {"addr": "127.0.0.1", "note": given.get("cause")}
        return Cause("hudson.model.Cause$RemoteCause", f"Started by remote host 127.0.0.1{note}", fields)
    call.need(JOB_BUILD, job.full_name)
    call.need_post()
    user = call.caller.user
    ids = {"userId": user.id, "userName": user.name}
    return Cause("hudson.model.Cause$UserIdCause", f"Started by user {user.name}", ids)


def _buildable(job: Job) -> None:
    if job.disabled:
        raise Refusal(409, pages.error("Conflict", f"{job.full_name} is not buildable"))


def _scheduled(call: Call, job: Job, values: dict[str, str], cause: Cause) -> web.Response:
    delay = call.http.query.get("delay", "").removesuffix("sec").removesuffix("s")
    item = call.engine.schedule(job, values, cause, float(delay) if delay.isdecimal() else None)
    return web.Response(status=201, headers={"Location": f"{call.base}queue/item/{item.id}/"})


def stop(call: Call, found: Build, how: str) -> web.Response:
    """Interrupt a build; `term` and `kill` are what a person presses where it does not listen."""
    call.need(JOB_CANCEL, found.job.full_name)
    call.need_post()
    if how != "stop":
        found.job.stubborn = False
    call.engine.stop(found, call.caller.user.name)
    return web.Response(status=302, headers={"Location": f"{call.base}{found.url}"})


async def queue(call: Call, rest: list[str]) -> web.Response:
    """The queue, one of its items, or an item taken out of it."""
    if rest == ["api", "json"]:
        return reading.exported(call, call.exports.queue())
    if rest == ["cancelItem"]:
        call.need_post()
        item = call.engine.items.get(int(call.http.query.get("id", "0")))
        if item is None or not call.may_read(item.job) or item.state == "LeftItem":
            raise Refusal(404, pages.error("Not Found", "Provided id not found"))
        call.need(JOB_CANCEL, item.job.full_name)
        call.engine.cancel(item)
        return web.Response(status=204)
    match rest:
        case ["item", number, "api", "json"] if number.isdecimal():
            found = call.engine.items.get(int(number))
            if found is not None and call.may_read(found.job):
                return reading.exported(call, call.exports.item(found))
    raise not_found(call.path)


def quiet(call: Call, *, down: bool) -> web.Response:
    """Prepare for shutdown, or take that back."""
    call.need(ADMINISTER)
    call.need_post()
    call.engine.quieting_down = down
    call.engine.maintain()
    return web.Response(status=302, headers={"Location": call.base})
