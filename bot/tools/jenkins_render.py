"""What a model is shown of a job and of a build: short, the failing step first. Pure, so that a replay shows the same."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

MOST_CASES = 15


def builds(data: Any) -> str:
    """A job's builds, one line each, then what came in since it was green."""
    lines = [f"Jenkins job {data['job']}{'' if data['buildable'] or data['jobs'] else ' (cannot be built: disabled)'}"]
    if data["waits"]:
        lines.append(f"in the queue: {data['waits']}")
    lines += [_job(each) for each in data["jobs"]]
    if data["parameters"]:
        lines.append("parameters: " + ", ".join(_definition(each) for each in data["parameters"]))
    lines += [_build(each) for each in data["builds"]]
    return "\n".join([*lines, *_since(data)])


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
    lines += _failure(data["failure"])
    lines += _tests(data["tests"])
    if data["stages"]:
        lines.append(
            "stages: " + ", ".join(f"{each['name']} {each['status']} {each['ms'] // 1000} s" for each in data["stages"])
        )
    return "\n".join([*lines, *_commits(data["changes"], "commits in this build")])


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


def _since(data: Any) -> list[str]:
    since, green = data["since_green"], data["last_green"]
    if not data["builds"]:
        return []
    if green is None:
        return ["never green", *_commits(since["commits"], "commits in the builds above")]
    if not since["builds"]:
        return [f"green: #{green['number']} is the last one"]
    more = "" if since["complete"] else " (and more: not all builds since then were read)"
    return [
        f"last green: #{green['number']} {green['commit'][:12]}",
        *_commits(since["commits"], f"commits since then{more}"),
    ]


def _commits(commits: Iterable[Any], title: str) -> list[str]:
    lines = [
        f"- {each['commit'][:12]} {each['author']}: {each['message']} [{', '.join(each['paths'][:5])}]"
        for each in commits
    ]
    return [f"{title}:", *lines] if lines else [f"{title}: none"]


def _failure(failure: Any) -> Iterator[str]:
    if not failure:
        return
    where = " / ".join(filter(None, (failure["stage"], failure["step"])))
    yield f"failed in: {where or 'no stage'}{': ' + failure['error'] if failure['error'] else ''}"
    if failure["command"]:
        yield f"command: {failure['command']}"
    if failure["infrastructure"]:
        yield f"blames the machinery: {failure['infrastructure']}"
    if failure["tests"]:
        yield f"failed tests by the log: {', '.join(failure['tests'][:MOST_CASES])}"
    if failure["log_cut"]:
        yield f"(of {failure['log_bytes']} bytes of log the middle was not read)"
    if failure["excerpt"]:
        yield f"log of the failing step:\n{failure['excerpt']}"


def _tests(tests: Any) -> Iterator[str]:
    if not tests or "failing" not in tests:
        return
    yield f"tests: {tests['failed']} failed, {tests['passed']} passed, {tests['skipped']} skipped"
    for case in tests["failing"][:MOST_CASES]:
        since = f"since #{case['since']} ({case['age']} builds)" if case["age"] > 1 else "new in this build"
        yield f"- {case['test']}: {since}: {case['details']}"
