"""Incidents, progress and diagnoses as Slack messages. Pure: nouns in, Block Kit out.

Everything that a monitor, a log, a person or a model wrote is untrusted and goes through `kit`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from domain.actions import Effect
from domain.alerts import Incident, Severity
from domain.decisions import ApprovalState, Outcome
from domain.diagnosis import Claim, Confidence, Diagnosis, Evidence, Hypothesis
from domain.runs import Call, Run, RunOutcome, RunStatus
from handlers import cards_feedback, kit
from handlers.cards_approval import execution_word, title_of
from handlers.kit import Block, Body

_COLOURS = {Severity.CRITICAL: "#E01E5A", Severity.WARNING: "#ECB22E", Severity.INFO: "#36C5F0"}
_RESOLVED = "#2EB67D"
_LIGHTS = {Severity.CRITICAL: "🔴", Severity.WARNING: "🟡", Severity.INFO: "🔵"}
_CONFIDENCE = {
    Confidence.PROVEN: "Proven by the evidence below",
    Confidence.LIKELY: "Likely, not proven",
    Confidence.NOT_PROVEN: "Not proven by what could be seen",
}
_COMMIT = re.compile(r"\b([0-9a-f]{12})[0-9a-f]{28}\b")
_EVIDENCE_BUDGET = 5500  # characters; a message holds 13,200 altogether


def incident(incident: Incident, status: str = "", *, finished: bool = False) -> Body:
    """The incident's message: one line to read, one bar of colour, a few facts; once it is finished, its evidence."""
    light = _LIGHTS[incident.severity] if incident.open else "✅"
    title = kit.line(incident.title, 200)
    top = kit.paragraph(kit.span(f"{light} {title}", 300, bold=True))
    bar = {
        "color": _COLOURS[incident.severity] if incident.open else _RESOLVED,
        "fallback": title,
        "blocks": [*_incident_facts(incident, status), *([_evidence_button(incident)] if finished else [])],
    }
    state = "Resolved" if not incident.open else str(incident.severity)
    return Body(f"{light} {state}: {kit.safe(title, 200)} ({kit.safe(str(incident.target), 100)})", (top,), (bar,))


def _incident_facts(incident: Incident, status: str) -> Iterator[Block]:
    yield kit.fields(
        [
            ("Target", _place(incident)),
            ("Severity", str(incident.severity)),
            ("Firing", _firing(incident)),
            ("Started", kit.when(incident.opened_at)),
        ]
    )
    if incident.summary and incident.summary != incident.title:
        yield kit.paragraph(kit.span(incident.summary, 600))
    if incident.url:
        yield kit.paragraph(kit.span("Source: "), kit.address(incident.url))
    yield kit.context(*_incident_state(incident, status))


def _incident_state(incident: Incident, status: str) -> Iterator[str]:
    if incident.resolved_at:
        took = kit.duration((incident.resolved_at - incident.opened_at).total_seconds())
        yield f"*Resolved* {kit.when(incident.resolved_at)} after {took}"
    if status:
        yield kit.safe(status)
    yield f"{kit.code(incident.id, 60)} from {kit.safe(incident.source or 'a person', 60)}"


def _evidence_button(incident: Incident) -> Block:
    return kit.actions(kit.button("Evidence", "incident.evidence", incident.id))


def _place(incident: Incident) -> str:
    return f"{kit.code(str(incident.target), 120)} {kit.safe(incident.target.environment, 40)}"


def _firing(incident: Incident) -> str:
    known = max(len(incident.fingerprints), len(incident.firing))
    if not known:
        return "–"
    received = f", received {kit.plural(incident.alerts, 'time')}" if incident.alerts > known else ""
    return f"{len(incident.firing)} of {kit.plural(known, 'alert')}{received}"


# --- progress ---------------------------------------------------------------------------------------------------------


def progress(run: Run) -> Body:
    """What the run looked at, what it found first, what it waits for: one plan, edited in place."""
    title = _progress_title(run)
    tasks = _fitting(list(_tasks(run))[:50])
    return Body(kit.safe(title, 280), ({"type": "plan", "title": title, "tasks": tasks},))


def _fitting(tasks: list[Block]) -> list[Block]:
    """The details of the first steps go where a message cannot hold them all: what came last matters most."""
    excess = kit.size(tasks) - kit.ROOM
    for number, task in enumerate(tasks):
        if excess > 0 and "details" in task:
            tasks[number] = {name: value for name, value in task.items() if name != "details"}
            excess -= kit.size(task) - kit.size(tasks[number])
    return tasks


def _progress_title(run: Run) -> str:
    what = kit.line(run.spec.question or str(run.spec.target), 100)
    if run.status is RunStatus.WAITING:
        return f"Waiting for approval: {what}"
    if run.status is RunStatus.FINISHED:
        failed = run.outcome in (RunOutcome.FAILED, RunOutcome.CANCELLED)
        took = kit.duration(run.machine_ms / 1000)
        return f"{'Stopped' if failed else 'Done'} after {took}: {what}"
    return f"Diagnosing {what}"


def _tasks(run: Run) -> Iterator[Block]:
    ended = run.status is RunStatus.FINISHED
    calls = list(run.calls.values())
    yield from _look_task([call for call in calls if call.step == 0 and not _is_change(call)], ended)
    if run.findings is not None:
        yield _findings_task(run)
    for step in sorted({call.step for call in calls if call.step > 0}):
        looks = [call for call in calls if call.step == step and not _is_change(call) and not _is_refused(call)]
        yield from _look_task(looks, ended, step)
    for call in calls:
        if _is_change(call):
            yield _change_task(call, ended)
        elif _is_refused(call) and call.action is not None and call.decision is not None:
            yield _task(
                f"refused-{call.call.id}", f"Policy refused: {title_of(call.action)}", "complete", call.decision.reason
            )
    if run.model_failure:
        yield _task("model", f"{run.spec.model} gave no answer: the rules go on alone", "error", run.model_failure)
    if run.diagnosis:
        yield _task("diagnosis", f"Diagnosis by {run.diagnosis.by}", "complete")
    elif not ended and run.findings is not None and not any(_is_open(call) for call in calls):
        yield _task("model", f"Asking {run.spec.model}", "in_progress")
    if ended and run.reason and run.outcome in (RunOutcome.FAILED, RunOutcome.CANCELLED):
        yield _task("end", run.reason, "error")


def _task(task_id: str, title: str, status: str, details: str = "") -> Block:
    task: Block = {"type": "task_card", "task_id": task_id, "title": kit.line(title, 150), "status": status}
    return task | {"details": kit.paragraph(kit.span(details, 800))} if details else task


def _look_task(calls: Sequence[Call], ended: bool, step: int = 0) -> Iterator[Block]:
    """One line for the reads of one step; which they were stands in its details."""
    if not calls:
        return
    done = all(call.result for call in calls)
    status = "complete" if done else "error" if ended else "in_progress"
    names = [_call_name(call) for call in calls]
    title = names[0] if len(names) == 1 else kit.plural(len(names), "thing")
    said = "\n".join(names[:8] + ([f"and {len(names) - 8} more"] if len(names) > 8 else []))
    yield _task(f"look-{step}", f"{'Looked' if done else 'Looking'} at {title}", status, said if len(names) > 1 else "")


def _call_name(call: Call) -> str:
    arguments = call.result.arguments if call.result else {}
    told = (value for value in arguments.values() if isinstance(value, str | int) and not isinstance(value, bool))
    words = " ".join(_COMMIT.sub(r"\1", str(value)) for value in told)
    failed = " (failed)" if call.result and not call.result.ok else ""
    return kit.line(f"{call.call.tool.replace('_', ' ')} {words}", 110) + failed


def _findings_task(run: Run) -> Block:
    wrong = [finding for finding in run.findings or () if not finding.healthy]
    if not wrong:
        return _task("findings", "Nothing looks wrong", "complete")
    rest = "\n".join(finding.title for finding in wrong[1:6])
    return _task("findings", f"First finding: {wrong[0].title}", "complete", rest)


def _is_change(call: Call) -> bool:
    return call.approval is not None or call.execution is not None


def _is_refused(call: Call) -> bool:
    """Whether policy refused a change."""
    denied = call.decision is not None and call.decision.outcome is Outcome.DENY
    return denied and call.action is not None and call.action.effect is not Effect.READ


def _is_open(call: Call) -> bool:
    return call.approval is not None and call.approval.state is ApprovalState.PENDING


def _change_task(call: Call, ended: bool) -> Block:
    approval, task_id = call.approval, f"change-{call.call.id}"
    if call.execution or approval is None:
        return _execution_task(call, task_id, ended)
    name = title_of(approval.request.action)
    if approval.state is ApprovalState.PENDING:
        return _task(task_id, f"Waiting for approval: {name}", "in_progress")
    return _task(task_id, f"{name}: {approval.state}", "complete")


def _execution_task(call: Call, task_id: str, ended: bool) -> Block:
    if call.execution is None:
        return _task(task_id, call.call.tool, "in_progress")
    word, name = execution_word(call.execution), title_of(call.execution.action)
    status = {"Verified": "complete", "Failed": "error", "Unknown": "error"}.get(
        word, "error" if ended else "in_progress"
    )
    return _task(task_id, f"{word}: {name}", status)


# --- diagnosis --------------------------------------------------------------------------------------------------------


def diagnosis(run: Run) -> Body:
    """The conclusion: what, how sure, the evidence, what else it may be, what next, and by whom."""
    found = run.diagnosis
    if found is None:
        text = run.reason or "The run ended without a diagnosis."
        return Body(kit.safe(text), (kit.paragraph(kit.span(text, 600)),))
    return Body(f"Diagnosis: {kit.safe(found.summary)}", tuple(_diagnosis_blocks(run, found)))


def _diagnosis_blocks(run: Run, found: Diagnosis) -> Iterator[Block]:
    yield kit.header(found.summary)
    yield from _cause(found)
    cited = ", ".join(evidence.id for evidence in found.evidence[:12])
    yield kit.context(f"*{_CONFIDENCE[found.confidence]}*" + (f": {kit.safe(cited, 120)}" if cited else ""))
    if found.evidence:
        yield kit.preformatted(_evidence(found.evidence), _EVIDENCE_BUDGET + 500)
    if found.hypotheses:
        yield kit.section("*It could also be*" if found.cause else "*It could be*")
        yield kit.listed([_hypothesis(one) for one in found.hypotheses[:5]], ordered=len(found.hypotheses) > 1)
    if found.next_steps:
        yield kit.section("*Next*")
        yield kit.listed(found.next_steps[:6], ordered=True, limit=300)
    if found.note:
        yield kit.context(f"⚠️ {kit.safe(found.note, 400)}")
    yield kit.context(f"By {kit.safe(found.by, 60)}{_cost(run)}")
    yield cards_feedback.buttons(run.id)


def _evidence(pieces: Sequence[Evidence]) -> str:
    """Each piece under its id, with an equal share of the room."""
    shown = pieces[:12]
    share = _EVIDENCE_BUDGET // len(shown)
    parts = [
        f"{piece.id}  {kit.line(piece.title, 120)}"
        + (f"\n{kit.literal(piece.excerpt, share - 130)}" if piece.excerpt else "")
        for piece in shown
    ]
    more = len(pieces) - len(shown)
    return "\n\n".join(parts + ([f"and {more} more in the run's record"] if more else []))


def _cause(found: Diagnosis) -> Iterator[Block]:
    """The cause: what stored evidence carries, then what was only said."""
    if not found.claims:
        if found.cause and found.cause != found.summary:
            yield kit.paragraph(kit.span("Cause  ", bold=True), kit.span(found.cause, 1200))
        return
    carried = [claim for claim in found.claims if claim.supported]
    if carried and [claim.text for claim in carried] != [found.summary]:
        said = " ".join(f"{claim.text} ({', '.join(claim.evidence[:4])})" for claim in carried)
        yield kit.paragraph(kit.span("Cause  ", bold=True), kit.span(said, 1200))
    only_said = [claim for claim in found.claims if not claim.supported]
    if only_said:
        yield kit.section("*Said, and not carried by stored evidence*")
        yield kit.listed([_unsupported(claim) for claim in only_said[:5]])


def _unsupported(claim: Claim) -> str:
    if not claim.missing:
        return kit.line(claim.text, 360)
    return f"{kit.line(claim.text, 260)} – in no result: {kit.line(', '.join(claim.missing[:4]), 100)}"


def _hypothesis(one: Hypothesis) -> str:
    """The guess, what speaks for and against it, and what would decide."""
    sides = [
        f"{word} {', '.join(ids[:4])}" for word, ids in (("for", one.supporting), ("against", one.contradicting)) if ids
    ]
    weighed = f" ({'; '.join(sides)})" if sides else ""
    check = f" – check: {kit.line(one.next_check, 100)}" if one.next_check else ""
    return f"{kit.line(one.text, 240)}{weighed}{check}"


def _cost(run: Run) -> str:
    parts = [f" in {kit.duration(run.machine_ms / 1000)}"] if run.machine_ms else []
    if run.usage.input_tokens:
        parts.append(f", {run.usage.input_tokens + run.usage.output_tokens:,} tokens")
    if run.usage.cost_micros:
        parts.append(f", ${run.usage.cost_micros / 1_000_000:.2f}")
    return "".join(parts)


def notice(text: str) -> Body:
    """One sentence in the thread."""
    return Body(kit.safe(text, 280), (kit.paragraph(kit.span(text, 2000)),))
