"""A runbook learned from an incident: what it looked like, its cause, what was done and checked. A person merges it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from domain.alerts import Incident
from domain.runs import Call, Run


def draft(incident: Incident, runs: Sequence[Run]) -> str:
    """The file as Markdown with its front matter; `runs` are the incident's, oldest first."""
    first = next((run for run in runs if run.spec.alert is not None), None)
    alert = first.spec.alert if first is not None else None
    name = alert.name if alert is not None else ""
    target = incident.target
    match = {"alertname": name, "namespace": target.namespace, "kind": target.kind, "name": target.name}
    lines = ["---", f"title: {_quoted(incident.title)}", "match:"]
    lines += [f"  {key}: {_quoted(value)}" for key, value in match.items() if value]
    lines += ["---", "", f"# {_line(incident.title)}", ""]
    learned = f"Learned from {incident.id}, {incident.opened_at:%Y-%m-%d}"
    lines += [f"{learned}. Read it, correct it, and widen or narrow `match`.", ""]
    for run in runs:
        lines += _of_run(run)
    return "\n".join(lines).rstrip() + "\n"


def _of_run(run: Run) -> Iterator[str]:
    found = run.diagnosis
    if found is not None:
        yield from ("## What it looked like", "", *(f"- {_line(each.title)}" for each in run.findings or ()), "")
        yield from ("## Cause", "", f"{_line(found.summary)} {_line(found.cause)}", "")
        yield f"({found.confidence.value.replace('_', ' ')}, by {found.by}, {run.id})"
        yield ""
    changes = [call for call in run.calls.values() if call.execution is not None]
    if changes:
        yield from ("## What fixed it" if _held(changes) else "## What was tried", "")
        for number, call in enumerate(changes, 1):
            yield from _of_change(number, call)
        yield ""
    if found is not None and found.next_steps:
        yield from ("## Next", "", *(f"1. {_line(step)}" for step in found.next_steps), "")


def _of_change(number: int, call: Call) -> Iterator[str]:
    execution = call.execution
    if execution is None:
        return
    given = execution.action.arguments.items()
    arguments = ", ".join(f"{key}={value}" for key, value in given if value not in ("", None))
    ended = {True: "verified", False: "not verified", None: "not checked"}[execution.verified]
    yield f"{number}. `{execution.action.tool}` on {execution.action.target} ({_line(arguments)}): {ended}"
    for check in execution.checks:
        yield f"   - check: {_line(check.name)}: {_line(check.detail)}"


def _held(changes: Sequence[Call]) -> bool:
    return any(call.execution is not None and call.execution.verified for call in changes)


def _line(text: str) -> str:
    """One line of plain text: recorded words must not become headings, links or front matter."""
    flat = " ".join(text.split())
    return "".join(f"\\{letter}" if letter in "\\`*_[]<>#|" else letter for letter in flat)


def _quoted(text: str) -> str:
    """A YAML string on one line, whatever the text holds."""
    flat = " ".join(text.split())
    printable = "".join(letter if letter.isprintable() else " " for letter in flat)
    return '"' + printable.replace("\\", "\\\\").replace('"', '\\"') + '"'
