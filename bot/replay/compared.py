"""One run gone through again, and what came of that beside what was recorded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from bot.replay.cause import Verdict, same_action, same_cause
from bot.replay.differences import Difference, Trace, differences, name_of, trace_of
from bot.replay.recording import Keys, Recording, recording_of
from bot.replay.rerun import How, Rerun, rerun
from bot.tools.mcp_tools import remembered
from domain.codec import timestamp
from domain.events import DecisionMade
from policies.schema import ToolSchema
from storage.records import RunRecord


@dataclass(frozen=True)
class Compared:
    """Both sides, and everything that is otherwise."""

    recording: Recording
    again: Rerun
    then: Trace
    now: Trace
    differences: tuple[Difference, ...]

    @property
    def failure(self) -> str:
        """Why the model that was tried gave nothing usable, so that the rules went on alone; empty where it answered."""
        return self.now.run.model_failure if self.now.run.model_failure != self.then.run.model_failure else ""

    @property
    def cause(self) -> Verdict:
        """Whether both name the same cause."""
        return same_cause(self.then, self.now)

    @property
    def action(self) -> Verdict:
        """Whether both want the same change."""
        return same_action(self.then, self.now)


async def compare(record: RunRecord, how: How) -> Compared:
    """Go through a recorded run again and set both sides against each other."""
    how = _with_strangers(how, record)
    recording, keys = recording_of(record, how.tools), Keys(how.tools)
    again = await rerun(recording, how)
    then, now = trace_of(recording.run, recording.own, keys), trace_of(again.run, again.own, keys)
    found = differences(then, now, same_model=how.model is None, ended=again.ended)
    return Compared(recording, again, then, now, tuple(found))


def _with_strangers(how: How, record: RunRecord) -> How:
    """Tools of MCP servers as the run remembers them: their servers are not asked what they are."""
    actions = [each.event.action for each in record.own if isinstance(each.event, DecisionMade)]
    found = {
        each.tool: remembered(each.tool, each.effect, each.target) for each in actions if each.target.system == "mcp"
    }
    schemas = [ToolSchema(tool.name, tool.effect, tool.parameters) for tool in found.values()]
    return replace(how, tools={**found, **how.tools}, policy=how.policy.also_over(schemas))


def as_json(compared: Compared, how: How) -> Mapping[str, Any]:
    """One run's replay for a program. The same recording gives the same bytes."""
    recording, again = compared.recording, compared.again
    return {
        "run": recording.run.id,
        "workspace": recording.workspace,
        "began": timestamp(recording.began),
        "policy": {"recorded": recording.hashes, "replayed": how.policy.hash},
        "model": {"recorded": recording.models, "replayed": how.model.name if how.model else "as recorded"},
        "differences": [vars(each) for each in compared.differences],
        "unanswerable": [{"tool": tool, "arguments": arguments} for tool, arguments in again.unanswerable],
        "not_known": list(again.not_known),
        "notes": [*again.notes, *missing(recording.record)],
        "ended": again.ended,
        "same_cause": vars(compared.cause),
        "same_action": vars(compared.action),
        "recorded": _figures(compared.then),
        "replayed": _figures(compared.now),
    }


def missing(record: RunRecord) -> list[str]:
    """What of a run cannot be read: by this version, or by anybody any more."""
    known = [f"{count} events of kind {kind} are not known to this version" for kind, count in record.unknown.items()]
    erased = f"{record.erased} events of the run were erased: their words are not there any more"
    return [*known, *([erased] if record.erased else [])]


def calls_in_words(again: Rerun) -> list[str]:
    """The calls that the recording has no output for."""
    return [name_of(key) for key in again.unanswerable]


def _figures(trace: Trace) -> Mapping[str, Any]:
    usage = trace.run.usage
    return {
        "steps": trace.run.step,
        "calls": len(trace.calls),
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "cost_micros": usage.cost_micros if usage.priced else None,
        "outcome": trace.run.outcome.value if trace.run.outcome else trace.run.status.value,
    }
