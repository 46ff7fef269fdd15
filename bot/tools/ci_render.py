"""What a model is shown of a build, whichever system it ran on: commits, the failing step, tests. Pure, for replays."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

MOST_CASES = 15


def commits(found: Iterable[Any], title: str) -> list[str]:
    """Commits, a line each, with some of the files that they touch where those are known."""
    lines = [
        f"- {each['commit'][:12]} {each['author']}: {each['message']}"
        + (f" [{', '.join(each['paths'][:5])}]" if each["paths"] else "")
        for each in found
    ]
    return [f"{title}:", *lines] if lines else [f"{title}: none"]


def since_green(data: Any, what: str) -> list[str]:
    """What came in since the last green one. `what` is what the system calls its builds."""
    since, green = data["since_green"], data["last_green"]
    if not data["builds"]:
        return []
    if green is None:
        return ["never green", *commits(since["commits"], f"commits in the {what} above")]
    if not since["builds"]:
        return [f"green: #{green['number']} is the last one"]
    more = "" if since["complete"] else f" (and more: not all {what} since then were read)"
    return [
        f"last green: #{green['number']} {green['commit'][:12]}",
        *commits(since["commits"], f"commits since then{more}"),
    ]


def failure(found: Any) -> Iterator[str]:
    """Where a build failed, and the log around it."""
    if not found:
        return
    where = " / ".join(filter(None, (found["stage"], found["step"])))
    yield f"failed in: {where or 'no stage'}{': ' + found['error'] if found['error'] else ''}"
    if found["command"]:
        yield f"command: {found['command']}"
    if found["infrastructure"]:
        yield f"blames the machinery: {found['infrastructure']}"
    if found["tests"]:
        yield f"failed tests by the log: {', '.join(found['tests'][:MOST_CASES])}"
    if found["log_cut"]:
        yield f"(of {found['log_bytes']} bytes of log the middle was not read)"
    if found["excerpt"]:
        yield f"log of the failing step:\n{found['excerpt']}"


def tests(found: Any, what: str) -> Iterator[str]:
    """A test report: counts, and the failed tests with since when they fail. `what` is one of the system's builds."""
    if not found or "failing" not in found:
        return
    yield f"tests: {found['failed']} failed, {found['passed']} passed, {found['skipped']} skipped"
    for case in found["failing"][:MOST_CASES]:
        since = f"since #{case['since']} ({case['age']} {what}s)" if case["age"] > 1 else f"new in this {what}"
        recent = f", failed {case['recent_failures']} times of late" if case.get("recent_failures") else ""
        yield f"- {case['test']}: {since if case['age'] else 'not known since when'}{recent}: {case['details']}"
