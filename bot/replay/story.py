"""A recorded run as a story: when, who, what was seen, asked, decided, voted, executed, verified, concluded, and its cost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta

from bot.replay.beats import Beat, beat_of
from bot.replay.terminal import Paper, printable
from domain.alerts import Incident
from domain.decisions import Decision
from domain.events import DecisionMade, Envelope
from domain.fold import fold
from domain.runs import Run

_TIME, _WHO = 11, 12
_INDENT = _TIME + 1 + _WHO + 1


def story(envelopes: Sequence[Envelope], incident: Incident | None, paper: Paper) -> Iterator[str]:
    """The lines. Events that say nothing to a reader, such as each revision of a Slack message, are left out."""
    run = fold(envelopes)
    yield from _head(run, incident, envelopes[0].workspace, paper)
    yield ""
    decided: dict[str, Decision] = {}
    for envelope in envelopes:
        if isinstance(envelope.event, DecisionMade):
            decided[envelope.event.call_id] = envelope.event.decision
        beat = beat_of(envelope, decided)
        if beat is not None:
            yield from _lines(beat, envelope.at - run.started_at, paper)
    yield ""
    yield from _end(run, incident, paper)


def _head(run: Run, incident: Incident | None, workspace: str, paper: Paper) -> Iterator[str]:
    spec = run.spec
    title = f"{run.id} · {spec.target} in {spec.target.environment} · {_ended(run)}"
    parts = [f"{run.started_at:%Y-%m-%d %H:%M:%S} UTC", f"workspace {workspace}"]
    parts += [f"incident {spec.incident_id}"] if spec.incident_id else []
    parts += [f"model {spec.model}", f"mode {spec.mode.value}"]
    problem = f"{incident.severity.value}: {incident.title}" if incident is not None else ""
    for text, style in ((title, "bold"), (" · ".join(parts), "dim"), (problem, "")):
        yield from (paper.paint(line, style) for line in paper.wrap(printable(text), 0) if text)


def _lines(beat: Beat, after: timedelta, paper: Paper) -> Iterator[str]:
    """A beat with its time and its teller in front, what belongs to it indented below."""
    front = f"{since(after):>{_TIME}} "
    who = f"{printable(beat.who)[:_WHO]:<{_WHO}} "
    first, *more = paper.wrap(printable(beat.text), _INDENT)
    yield f"{paper.paint(front, 'dim')}{paper.paint(who, beat.style)}{paper.paint(first, beat.style)}".rstrip()
    yield from (f"{'':{_INDENT}}{paper.paint(line, beat.style)}" for line in more)
    for detail in beat.details:
        text = printable(detail.text)
        quoted = [paper.cut(text, _INDENT + 2)] if detail.quoted else paper.wrap(text, _INDENT + 2)
        for line in quoted:
            yield f"{'':{_INDENT + 2}}{paper.paint(line, detail.style)}".rstrip()


def _end(run: Run, incident: Incident | None, paper: Paper) -> Iterator[str]:
    usage = run.usage
    cost = f"${usage.cost_micros / 1_000_000:.4f}" if usage.priced else "a cost that is not known"
    calls = len(run.calls)
    parts = [f"{run.step} step{'s' * (run.step != 1)}", f"{calls} call{'s' * (calls != 1)}"]
    parts += [f"{usage.input_tokens:,} + {usage.output_tokens:,} tokens", cost]
    parts += [f"{span(timedelta(milliseconds=run.machine_ms))} of machine time"] if run.finished_at else []
    yield from (paper.paint(line, "bold") for line in paper.wrap(" · ".join(parts), 0))
    if incident is not None and incident.resolved_at is not None:
        yield f"The monitor resolved the incident {span(incident.resolved_at - run.started_at)} after the run began."
    elif incident is not None:
        yield "The incident is open."


def _ended(run: Run) -> str:
    if run.outcome is None or run.finished_at is None:
        return {"waiting": "waits for a person"}.get(run.status.value, run.status.value)
    return f"{run.outcome.value.replace('_', ' ')} after {span(run.finished_at - run.started_at)}"


def since(after: timedelta) -> str:
    """+0.015 s, +5.26 s, +12 min 3 s, +1 d 2 h: a distance from the beginning."""
    return f"+{span(after)}" if after >= timedelta() else f"-{span(-after)}"


def span(between: timedelta) -> str:
    """The same without a sign."""
    seconds = between / timedelta(seconds=1)
    if seconds < 60:
        return f"{seconds:.3f} s" if seconds < 1 else f"{seconds:.2f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"
