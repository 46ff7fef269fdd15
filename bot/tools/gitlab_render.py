"""What a model is shown of pipelines, of one pipeline and of a comparison: short, the failing job first. Pure, for replays."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bot.tools.ci_render import commits, failure, since_green, tests

MOST_FILES = 40


def pipelines(data: Any) -> str:
    """A branch's pipelines, one line each, then what came in since it was green."""
    lines = [f"GitLab project {data['project']}, {data['ref']}{'' if data['buildable'] else ' (archived)'}"]
    lines += [_line(each) for each in data["builds"]] or ["no pipelines"]
    return "\n".join([*lines, *since_green(data, "pipelines")])


def pipeline(data: Any) -> str:
    """One pipeline: its headline, the failure, the tests, the jobs, what is deployed, the commits."""
    lines = [f"GitLab pipeline of {data['project']}, {data['ref']}: {_line(data)}"]
    if data["waits"]:
        lines.append(f"waits: {data['waits']}")
    state = data["agent_state"]
    if state:
        lines.append(f"runner {state['name']}: {'OFFLINE: ' + state['reason'] if state['offline'] else 'online'}")
    lines += failure(data["failure"])
    lines += tests(data["tests"], "pipeline")
    lines += [_job(each) for each in data["jobs"]]
    if not data["jobs_complete"]:
        lines.append("- and more jobs, which were not read")
    lines += [
        f"waits for a person: job {each['id']} {each['name']}{' to ' + each['environment'] if each['environment'] else ''}"
        for each in data["waits_for_person"]
    ]
    lines += _places(data)
    return "\n".join([*lines, *commits(data["changes"], "commits in this pipeline")])


def compare(data: Any) -> str:
    """A comparison: what it comes to, the commits, the files, the diffs."""
    totals = data["totals"]
    counts = f"{totals['commits']} commits, {totals['files']} files, +{totals['added']} -{totals['removed']}"
    lines = [f"GitLab {data['project']}: {data['from']} to {data['to']}: {counts}"]
    lines += [f"NOT TOLD: {each}" for each in data["left_out"]]
    if data["same"]:
        lines.append("both are the same commit")
    if data["behind"]:
        lines += commits(data["behind"], f"commits that {data['to']} lacks (it is no successor of {data['from']})")
    lines += commits(data["commits"], "commits")
    lines += [_file(each) for each in data["files"][:MOST_FILES]]
    if len(data["files"]) > MOST_FILES:
        lines.append(f"- and {len(data['files']) - MOST_FILES} more files")
    for each in data["diffs"]:
        lines.append(f"diff of {each['path']}{' (its beginning)' if each['cut'] else ''}:\n{each['diff']}")
    return "\n".join(lines)


def _line(each: Any) -> str:
    known = each["tests"]
    failed = f", {known['failed']} tests failed" if known and known["failed"] else ""
    names = f" ({', '.join(each['failed_tests'][:5])})" if each.get("failed_tests") else ""
    causes = "; ".join(cause["text"] for cause in each["causes"])
    took = f", {each['duration_ms'] // 1000} s" if each["duration_ms"] else ""
    return f"#{each['number']} {each['status']} {each['started']}{took}, commit {each['sha'][:12]}{failed}{names}: {causes}"


def _job(each: Any) -> str:
    reason = f" ({each['failure_reason']})" if each["failure_reason"] else ""
    may = ", allowed to fail" if each["allow_failure"] and each["status"] == "failed" else ""
    tried = f", tried {each['attempts']} times" if each["attempts"] > 1 else ""
    place = f", deploys to {each['environment']}" if each["environment"] else ""
    below = f", started {each['downstream']}" if each["downstream"] else ""
    took = f" {each['duration_ms'] // 1000} s" if each["duration_ms"] else ""
    return (
        f"- job {each['id']} {each['stage']} / {each['name']}: {each['status']}{reason}{took}{may}{tried}{place}{below}"
    )


def _places(data: Any) -> Iterator[str]:
    for each in data["environments"]:
        last = each["last"]
        if last is None:
            yield f"environment {each['name']}: nothing was deployed there with success yet"
            continue
        by = f"pipeline #{last['pipeline']}" if last["pipeline"] else "something outside of GitLab CI"
        same = ", the commit of this pipeline" if last["sha"] == data["sha"] else ""
        yield f"environment {each['name']}: {last['sha'][:12]} was deployed last, {last['at']}, by {by}{same}"
    if not data["deployments_seen"]:
        yield "deployments: this agent may not see them, so that no job's environment is known"


def _file(each: Any) -> str:
    change = "" if each["change"] == "changed" else f" {each['change']}"
    before = f" (was {each['old_path']})" if each["old_path"] else ""
    lines = f"+{each['added']} -{each['removed']}" if each["shown"] else "lines not shown by GitLab"
    return f"- {each['path']}{change}{before}: {lines}{', generated' if each['generated'] else ''}"
