"""What a model is shown of a job and of a build: short, the failing step first. Pure, so that a replay shows the same."""

from __future__ import annotations

from typing import Any

from bot.tools.ci_render import commits, failure, since_green, tests


def builds(data: Any) -> str:
    """A job's builds, one line each, then what came in since it was green."""
    lines = [f"Jenkins job {data['job']}{'' if data['buildable'] or data['jobs'] else ' (cannot be built: disabled)'}"]
    if data["waits"]:
        lines.append(f"in the queue: {data['waits']}")
    lines += [_job(each) for each in data["jobs"]]
    if data["parameters"]:
        lines.append("parameters: " + ", ".join(_definition(each) for each in data["parameters"]))
    lines += [_build(each) for each in data["builds"]]
    return "\n".join([*lines, *since_green(data, "builds")])


def build(data: Any) -> str:
    """One build: its headline, the failure, the tests, the stages, the commits."""
    lines = [f"Jenkins build {data['job']} {_build(data)}"]
    if data["waits"]:
        lines.append(f"waits for an agent: {data['waits']}")
    if data["parameters"]:
        lines.append("parameters: " + ", ".join(f"{name}={value}" for name, value in data["parameters"].items()))
    state = data["agent_state"]
    if state:
        lines.append(f"agent {state['name']}: {'OFFLINE: ' + state['reason'] if state['offline'] else 'online'}")
    lines += failure(data["failure"])
    lines += tests(data["tests"], "build")
    if data["stages"]:
        lines.append(
            "stages: " + ", ".join(f"{each['name']} {each['status']} {each['ms'] // 1000} s" for each in data["stages"])
        )
    return "\n".join([*lines, *commits(data["changes"], "commits in this build")])


def _build(each: Any) -> str:
    state = "RUNNING" if each["building"] else each["result"] or "?"
    tests = each["tests"]
    failed = f", {tests['failed']} tests failed" if tests and tests["failed"] else ""
    names = f" ({', '.join(each['failed_tests'][:5])})" if each.get("failed_tests") else ""
    causes = "; ".join(cause["text"] for cause in each["causes"])
    commit = f", commit {each['revision']['commit'][:12]}" if each["revision"]["commit"] else ""
    return (
        f"#{each['number']} {state} {each['started']}, {each['duration_ms'] // 1000} s{commit}{failed}{names}: {causes}"
    )


def _job(each: Any) -> str:
    last = f"#{each['last']} {each['result'] or 'RUNNING'} {each['at']}" if each["last"] else "never built"
    return f"- {each['job']} ({each['color']}): {last}"


def _definition(each: Any) -> str:
    choices = f" of {'|'.join(each['choices'])}" if each["choices"] else ""
    return f"{each['name']} ({each['type']}{choices}, default {each['default']!r})"
