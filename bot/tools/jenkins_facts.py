"""What Jenkins exports -> plain facts: builds, causes, parameters, commits, stages, tests. Pure; nothing need be there."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from bot.tools.ci_logs import shortened

Obj = Mapping[str, Any]

GREEN, BAD = "SUCCESS", ("FAILURE", "UNSTABLE")
MOST_COMMITS, MOST_PATHS, MOST_TESTS, MOST_STAGES = 20, 10, 50, 60
POST = "Declarative: Post Actions"
_BAD_STATUS = (("FAILED", "ABORTED"), ("UNSTABLE",))
_TAG = re.compile(r"<[^>]{0,2000}>")

CHANGES = "items[commitId,msg,timestamp,author[fullName],affectedPaths]"
ACTIONS = (
    "actions[causes[shortDescription,userId,userName,upstreamProject,upstreamBuild],parameters[name,value],"
    "lastBuiltRevision[SHA1,branch[name]],totalCount,failCount,skipCount]"
)
BUILD = (
    f"number,result,building,timestamp,duration,estimatedDuration,url,builtOn,queueId,{ACTIONS},"
    f"changeSets[{CHANGES}],changeSet[{CHANGES}]"
)
CASES = "suites[cases[className,name,status,age,failedSince,errorDetails]]"
TESTS = f"failCount,passCount,skipCount,{CASES},childReports[result[failCount,passCount,skipCount,{CASES}]]"
DEFINITIONS = "property[parameterDefinitions[name,type,choices,defaultParameterValue[value]]]"


def build_facts(raw: Obj, branch: str = "") -> dict[str, Any]:
    """One build. `branch` is the job's own name, which tells its revision from those of its libraries."""
    actions = objects(raw.get("actions"))
    return {
        "number": number(raw.get("number")),
        "result": _text(raw.get("result")),
        "building": raw.get("building") is True,
        "started": moment(raw.get("timestamp")),
        "duration_ms": number(raw.get("duration")),
        "estimated_ms": max(0, number(raw.get("estimatedDuration"))),
        "url": _text(raw.get("url")),
        "agent": _text(raw.get("builtOn")),
        "causes": [cause for action in actions for each in objects(action.get("causes")) if (cause := _cause(each))],
        "parameters": parameters(raw),
        "revision": _revision(actions, branch),
        "changes": changes(raw),
        "tests": _counts(actions),
    }


def parameters(raw: Obj) -> dict[str, str]:
    """A build's or queue item's parameters; of those without a value, such as a password, none."""
    found: dict[str, str] = {}
    for action in objects(raw.get("actions")):
        for each in objects(action.get("parameters")):
            value = each.get("value")
            if isinstance(value, bool):
                found[_text(each.get("name"))] = "true" if value else "false"
            elif isinstance(value, str | int):
                found[_text(each.get("name"))] = str(value)
    return found


def users(raw: Obj) -> set[str]:
    """The ids of the people and programs who asked for a build or queue item, in lower case as Jenkins compares them."""
    causes = [each for action in objects(raw.get("actions")) for each in objects(action.get("causes"))]
    return {_text(each.get("userId")).lower() for each in causes if each.get("userId")}


def changes(raw: Obj) -> list[dict[str, Any]]:
    """The commits that came in with a build, as any version and kind of job exports them."""
    sets = [*objects(raw.get("changeSets")), *objects([raw.get("changeSet")])]
    found: dict[str, dict[str, Any]] = {}
    for each in (item for one in sets for item in objects(one.get("items"))):
        commit = _text(each.get("commitId"))
        if commit and len(found) < MOST_COMMITS:
            paths = each.get("affectedPaths")
            author = each.get("author")
            found[commit] = {
                "commit": commit,
                "message": shortened(_text(each.get("msg")).split("\n")[0], 200),
                "author": _text(author.get("fullName")) if isinstance(author, Mapping) else "",
                "at": moment(each.get("timestamp")),
                "paths": [str(path)[:300] for path in paths[:MOST_PATHS]] if isinstance(paths, list) else [],
            }
    return list(found.values())


def definitions(raw: Obj) -> list[dict[str, Any]]:
    """A job's parameter definitions: name, type, choices, default (None where Jenkins shows none)."""
    found = []
    for each in (one for prop in objects(raw.get("property")) for one in objects(prop.get("parameterDefinitions"))):
        default = each.get("defaultParameterValue")
        value = default.get("value") if isinstance(default, Mapping) else None
        choices = each.get("choices")
        found.append(
            {
                "name": _text(each.get("name")),
                "type": _text(each.get("type")).removesuffix("ParameterDefinition"),
                "choices": [str(choice) for choice in choices] if isinstance(choices, list) else [],
                "default": None if value is None else str(value).lower() if isinstance(value, bool) else str(value),
            }
        )
    return found


def stages(raw: Any) -> list[dict[str, Any]]:
    """A pipeline's stages from the stage view; empty where there is none."""
    listed = objects(raw.get("stages")) if isinstance(raw, Mapping) else []
    return [
        {
            "id": _text(each.get("id")),
            "name": _text(each.get("name")),
            "status": _text(each.get("status")),
            "ms": number(each.get("durationMillis")),
        }
        for each in listed[:MOST_STAGES]
    ]


def failing_stage(listed: Iterable[Obj]) -> Obj | None:
    """The stage at fault: the first that failed. Those after it that never ran are called failed as well.

    Post actions are at fault only where they failed and nothing before them did: that they found failed tests makes them
    unstable, and says nothing of where those ran.
    """
    listed = list(listed)
    within = [each for each in listed if each["name"] != POST]
    found = next((each for bad in _BAD_STATUS for each in within if each["status"] in bad), None)
    return found or next((each for each in listed if each["status"] in _BAD_STATUS[0]), None)


def failing_node(raw: Any) -> dict[str, str] | None:
    """The step of a stage at fault: its node's id, name and error; None where the stage view does not say."""
    nodes = objects(raw.get("stageFlowNodes")) if isinstance(raw, Mapping) else []
    found = next((each for bad in _BAD_STATUS for each in nodes if each.get("status") in bad), None)
    if found is None:
        return None
    error = found.get("error")
    message = _text(error.get("message")) if isinstance(error, Mapping) else ""
    return {"id": _text(found.get("id")), "name": _text(found.get("name")), "error": shortened(message, 300)}


def plain_text(markup: Any) -> str:
    """The text of a node's log, which the stage view gives as HTML."""
    return html.unescape(_TAG.sub("", markup)) if isinstance(markup, str) else ""


def test_facts(raw: Any) -> dict[str, Any] | None:
    """A test report: counts, and the failed tests with the number of builds for which each has been failing."""
    if not isinstance(raw, Mapping):
        return None
    reports = [
        raw,
        *(each["result"] for each in objects(raw.get("childReports")) if isinstance(each.get("result"), Mapping)),
    ]
    failing = [case for report in reports for case in _failed_cases(report)]
    return {
        "failed": sum(number(report.get("failCount")) for report in reports),
        "passed": sum(number(report.get("passCount")) for report in reports),
        "skipped": sum(number(report.get("skipCount")) for report in reports),
        "failing": failing[:MOST_TESTS],
    }


def _failed_cases(report: Obj) -> list[dict[str, Any]]:
    cases = [case for suite in objects(report.get("suites")) for case in objects(suite.get("cases"))]
    return [
        {
            "test": ".".join(filter(None, (_text(case.get("className")), _text(case.get("name"))))),
            "age": number(case.get("age")),
            "since": number(case.get("failedSince")),
            "details": shortened(" ".join(_text(case.get("errorDetails")).split()), 300),
        }
        for case in cases
        if case.get("status") in ("FAILED", "REGRESSION")
    ]


def moment(value: Any) -> str:
    """Java's milliseconds as RFC 3339 in UTC, empty where there are none."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < 253_402_300_800_000:
        return ""
    return datetime.fromtimestamp(value // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def now_text() -> str:
    """When something was read."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _cause(raw: Obj) -> dict[str, Any]:
    found: dict[str, Any] = {"text": shortened(_text(raw.get("shortDescription")), 200)}
    if raw.get("userId"):
        found["user"] = _text(raw["userId"])
    if raw.get("upstreamProject"):
        found["upstream"] = {"job": _text(raw["upstreamProject"]), "build": number(raw.get("upstreamBuild"))}
    return found if found["text"] or len(found) > 1 else {}


def _revision(actions: list[Obj], branch: str) -> dict[str, str]:
    """What was built: of several checkouts the one of the job's own branch, else the first."""
    found = []
    for each in (
        action["lastBuiltRevision"] for action in actions if isinstance(action.get("lastBuiltRevision"), Mapping)
    ):
        names = [_text(one.get("name")) for one in objects(each.get("branch"))]
        found.append({"commit": _text(each.get("SHA1")), "branch": names[0] if names else ""})
    own = branch.replace("%2F", "/")
    named = [each for each in found if own and each["branch"].removeprefix("origin/") == own]
    return next(iter([*named, *found]), {"commit": "", "branch": ""})


def _counts(actions: list[Obj]) -> dict[str, int] | None:
    for action in actions:
        if isinstance(action.get("totalCount"), int):
            return {
                "total": number(action["totalCount"]),
                "failed": number(action.get("failCount")),
                "skipped": number(action.get("skipCount")),
            }
    return None


def objects(value: Any) -> list[Obj]:
    """The objects of a list; anything else in it is left out."""
    return [each for each in value if isinstance(each, Mapping)] if isinstance(value, list) else []


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def number(value: Any) -> int:
    """An integer of Jenkins; 0 where there is none."""
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
