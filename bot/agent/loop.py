"""advance(run_id): one run, from its journal, as far as it goes without a person.

State is what the journal folds to. Each pass asks every open call what it still needs, does that, records it, and looks
again; when nothing is open the model is asked for the next step. A run that needs a person is a row: advance returns, and
is called again when the vote comes, also after a restart.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import replace
from enum import IntEnum, auto
from functools import partial
from typing import Any, TypeVar

from bot import brakes, metrics
from bot.agent import approve, execute
from bot.agent.outcome import outcome_of, result_of
from bot.agent.reading import LOOK_SECONDS, READ_SECONDS, read
from bot.agent.release import moment_of
from bot.agent.second_look import look_again
from bot.agent.step import decide, decided, failed, is_write, propose
from bot.agent.telling import tell
from bot.agent.world import Journey, World, log
from bot.agent.worth import bill_of, work_unit
from bot.analyzers import Reading, analyze, too_late
from bot.analyzers.scan import in_place
from bot.models.follow_up import answered
from domain.actions import Action
from domain.canonical import canonical, digest_of, plain
from domain.decisions import ApprovalState, ExecutionOutcome, Outcome
from domain.diagnosis import withheld
from domain.errors import AgentError, Conflict, ModelError, Paused
from domain.events import (
    AnalysisPlanned,
    DiagnosisConcluded,
    FindingsReported,
    ModelAsked,
    ModelFailed,
    RunFinished,
    StepPlanned,
    ToolCallFinished,
    WorkUnitRecorded,
)
from domain.fold import fold
from domain.ports import ReadTool, ToolOffer, WriteTool
from domain.runs import Answer, Call, Run, RunOutcome, RunStatus, ToolCall, ToolResult
from domain.scans import CONFIGURATION
from policies import budget

T = TypeVar("T")

PROGRESS_EVERY_SECONDS = 2.0


class Need(IntEnum):
    """What a call still needs."""

    PROPOSE = auto()
    READ = auto()
    ASK = auto()
    PERSON = auto()
    EXECUTE = auto()
    RECOVER = auto()
    VERIFY = auto()
    REPORT = auto()
    NOTHING = auto()


def need(call: Call) -> Need:
    """The one thing that this call needs next; pure."""
    if call.result is not None:
        return Need.NOTHING
    if call.execution is not None:
        return _need_of_execution(call)
    if call.approval is not None:
        waiting = {ApprovalState.PENDING: Need.PERSON, ApprovalState.APPROVED: Need.EXECUTE}
        return waiting.get(call.approval.state, Need.REPORT)
    if call.decision is None or call.action is None:
        return Need.PROPOSE
    if call.decision.outcome is Outcome.ASK:
        return Need.ASK
    return Need.READ if call.action.effect.value == "read" else Need.EXECUTE


def _need_of_execution(call: Call) -> Need:
    execution = call.execution
    if execution is None or execution.outcome is None:
        return Need.RECOVER
    if execution.outcome is ExecutionOutcome.FAILED or execution.verified is not None:
        return Need.REPORT
    return Need.VERIFY


async def advance(world: World, run_id: str) -> Run:
    """Take a run as far as it goes: until it finishes, waits for a person, or the agent is paused."""
    journey = Journey(world, fold(await world.journal.of_run(run_id)))
    passage = _Passage(journey)
    while journey.run.status is not RunStatus.FINISHED and not world.paused():
        try:
            if not await passage.forward():
                break
        except Paused:
            await journey.reload()
            break  # somebody stopped it between the last look and the intent; resuming advances it again
        except Conflict:
            # a vote, an expiry or a pause was recorded meanwhile: the journal is right, look again
            if not await journey.reload():
                raise
    await passage.show(final=True)
    if journey.run.status is RunStatus.FINISHED:
        world.model.forget(run_id)
    return journey.run


class _Passage:
    """One call of advance: a journey and what belongs only to this passage of it."""

    def __init__(self, journey: Journey) -> None:
        self.journey = journey
        self.world = journey.world
        self._shown = 0.0
        self._evidence = journey.run.evidence
        self._offers = [ToolOffer(tool.name, tool.description, tool.parameters) for tool in self.world.tools.values()]

    @property
    def run(self) -> Run:
        return self.journey.run

    @property
    def _scans(self) -> bool:
        return self.run.spec.target.system == CONFIGURATION

    async def forward(self) -> bool:
        """Do what is needed next. False where only a person can go on, or the run is finished."""
        if self.run.findings is None:
            await self._analyze()
            return True
        if self.run.diagnosis is not None:
            await look_again(self.journey)
            await self._finish(*outcome_of(self.run))
            return False
        open_calls: dict[Need, list[Call]] = defaultdict(list)
        for call in self.run.calls.values():
            if call.step > 0 and call.result is None:
                open_calls[need(call)].append(call)
        if await self._settle(open_calls):
            return True
        if open_calls.get(Need.PERSON) or open_calls.get(Need.EXECUTE):
            return (
                False  # for a person; or an approved call cannot go on now (Slack cannot answer): the sweep tries again
            )
        await self._ask_model()
        return True

    async def show(self, *, final: bool = False) -> None:
        """The progress in the thread, at most every two seconds; the last state always."""
        now = time.monotonic()
        if final or now - self._shown >= PROGRESS_EVERY_SECONDS:
            self._shown = now
            await self.journey.flush()
            await self.world.chat.progress(self.run)

    async def _settle(self, calls: Mapping[Need, list[Call]]) -> bool:
        """One round over the open calls; whether anything moved."""
        moved = False
        if proposals := calls.get(Need.PROPOSE):
            await self._propose(proposals)
            moved = True
        if reads := calls.get(Need.READ):
            await self._read(reads)
            moved = True
        if asks := calls.get(Need.ASK):
            await approve.ask_all(self.journey, asks)
            moved = True
        for call in calls.get(Need.EXECUTE, ()):
            moved |= await self._execute(call)
        for what, kind in ((self._recover, Need.RECOVER), (self._verify, Need.VERIFY), (self._report, Need.REPORT)):
            for call in calls.get(kind, ()):
                await what(call)
                moved = True
        return moved

    # --- analyzers ----------------------------------------------------------------------------------------------------

    async def _analyze(self) -> None:
        """The analyzers first, whatever the model: their findings stand in the thread before it is asked."""
        began = time.perf_counter()
        await self.show()
        spec = self.run.spec
        if answered(spec.question, spec.context):  # the journal knows: nothing has to be looked at
            await self.journey.record(FindingsReported((), _ms(began)))
            return
        limit_s = self.world.scan_seconds if self._scans else self.world.analysis_seconds
        try:
            async with asyncio.timeout(limit_s):
                about = (moment_of(self.world, self.run), spec.question)
                findings = await analyze(spec.target, spec.alert, self._analyzer_read, self.world.tools, *about)
        except TimeoutError:
            findings = (too_late(spec.target, limit_s),)
        findings = in_place(findings, self.world.environment) if self._scans else findings
        await self.journey.record(FindingsReported(findings, _ms(began)))
        await self.show(final=True)

    async def _analyzer_read(self, name: str, arguments: Mapping[str, Any]) -> Reading:
        """An analyzer's read takes the model's path: understood, decided, recorded; once per tool and arguments."""
        text = canonical(plain(arguments)).decode()
        call_id = "look-" + digest_of([name, text])[:10]
        call = self.run.calls.get(call_id)
        if call is None:
            self.journey.hold(AnalysisPlanned((ToolCall(call_id, name, text),)))
            call = self.run.calls[call_id]
        if call.result is None:
            if call.decision is None:
                await self.journey.record(*await propose(self.journey, call))
            call = self.run.calls[call_id]
            if need(call) is Need.READ:
                await self._read([call])
        result = self.run.calls[call_id].result
        if result is None:
            return Reading("", ok=False, data=None, error=f"{name} is not a read")
        return Reading(result.evidence_id, result.ok, result.data, "" if result.ok else result.text)

    # --- calls --------------------------------------------------------------------------------------------------------

    async def _propose(self, calls: list[Call]) -> None:
        proposed = await _together([propose(self.journey, call) for call in calls])
        await self.journey.record(*(event for events in proposed for event in events))

    async def _read(self, calls: list[Call]) -> None:
        """Reads of one step run at the same time; their results are kept together, in the order they were asked.

        They are held: the next append is the request that shows them to the model. A crash before it costs the reads again.
        """
        results = await _together([self._one_read(call) for call in calls])
        self.journey.hold(*(ToolCallFinished(self._cited(result)) for result in results))
        await self.show()

    async def _one_read(self, call: Call) -> ToolResult:
        tool = self.world.tools[call.call.tool]
        if is_write(tool) or call.action is None:
            raise AgentError(f"{call.call.tool} is not a read")
        reader: ReadTool = tool  # type: ignore[assignment]
        limit_s = READ_SECONDS if call.step or self._scans else LOOK_SECONDS
        return await read(self.world, reader, call.call.id, call.action.arguments, limit_s=limit_s)

    def _cited(self, result: ToolResult) -> ToolResult:
        if not result.ok:
            return result
        self._evidence += 1
        return replace(result, evidence_id=f"E{self._evidence}")

    async def _execute(self, call: Call) -> bool:
        """An allowed or approved call: everything it rests on is checked again, then it runs. Whether anything moved."""
        tool, action = self._write_tool(call), call.action
        if action is None:
            return False
        if call.approval is not None:
            checked = await approve.recheck(self.journey, call, tool)
            if isinstance(checked, approve.Blocked):
                await approve.close(self.journey, call, checked)
                return checked.state is not None
            action = replace(checked, why=action.why)
        elif not await self._still_allowed(call, action):
            return True
        await execute.start(self.journey, call, action)
        await approve.show(self.journey, call)
        await self.show(final=True)
        started = self.run.calls[call.call.id].execution
        if started is not None:
            await execute.run(self.journey, started, tool)
            await approve.show(self.journey, call)
            await brakes.settle(self.world)
        return True

    async def _still_allowed(self, call: Call, action: Action) -> bool:
        """An allow is as old as its decision: other changes, a pause or a restart may lie between. Else that is recorded."""
        if refusal := budget.out_of_actions(self.run):
            metrics.budget_stops.labels("actions").inc()
            await self.journey.record(failed(call.call, refusal))
            return False
        _, decision = await decide(self.world, self.run, action)
        if decision.outcome is not Outcome.ALLOW:
            await self.journey.record(*await decided(self.journey, call.call, action))
        return decision.outcome is Outcome.ALLOW

    async def _recover(self, call: Call) -> None:
        """An intent that did not arrive is taken up again only while all that it rested on still holds."""
        if call.execution is not None:
            tool = self._write_tool(call)
            refusal = partial(approve.holds_no_more, self.journey, call, call.execution, tool)
            await execute.recover(self.journey, call.execution, tool, refusal)
            await approve.show(self.journey, call)
            await brakes.settle(self.world)

    async def _verify(self, call: Call) -> None:
        if call.execution is not None:
            await execute.verify(self.journey, call.execution, self._write_tool(call))
            await approve.show(self.journey, call)
            await brakes.settle(self.world)

    async def _report(self, call: Call) -> None:
        await self.journey.record(ToolCallFinished(result_of(call)))
        await self.show()

    def _write_tool(self, call: Call) -> WriteTool:
        tool = self.world.tools[call.call.tool]
        if not is_write(tool):
            raise AgentError(f"{call.call.tool} changes nothing and cannot be executed")
        return tool

    # --- the model ----------------------------------------------------------------------------------------------------

    async def _ask_model(self) -> None:
        """The next step. Out of budget means no tools: it must conclude; a model that fails is replaced by the rules."""
        model, step = self.world.model_of(self.run), self.run.step + 1
        spent = budget.exhausted(self.run, self.world.clock())
        if (
            spent and not self.run.model_failure
        ):  # where the model did not conclude, the rules are asked in the same place
            metrics.budget_stops.labels(spent).inc()
        request = model.request(self.run, () if spent else self._offers)
        await self.journey.record(
            ModelAsked(step, request.model, request.messages, request.tools_hash, request.request_hash)
        )
        began = time.perf_counter()
        try:
            async with asyncio.timeout(self.world.model_seconds):
                answer = await request.send()
        except (ModelError, TimeoutError) as error:
            reason = str(error) or f"did not answer within {self.world.model_seconds:.0f} s"
            log.warning("the model failed", extra={"run_id": self.run.id, "model": model.name, "reason": reason})
            await self.journey.record(ModelFailed(step, model.name, self.world.redactor.text(reason).text, _ms(began)))
            return
        took = _ms(began)
        answer = self._safe(answer, step, offered=not spent)
        if not answer.calls and answer.diagnosis is None:
            reason = "neither called a tool that it was offered nor concluded"
            await self.journey.record(ModelFailed(step, model.name, reason, took, answer.usage))
            return
        # held: the next append is the decisions on its calls, or the run's end
        self.journey.hold(StepPlanned(step, model.name, answer, took))
        if answer.diagnosis is not None:
            await self.journey.record(DiagnosisConcluded(answer.diagnosis))

    def _safe(self, answer: Answer, step: int, *, offered: bool) -> Answer:
        """The answer redacted, with call ids that are unique in the run; calls where none were offered are dropped."""
        redact = self.world.redactor
        calls: dict[str, ToolCall] = {}
        for index, call in enumerate(answer.calls if offered else ()):
            call_id = call.id if call.id and call.id not in self.run.calls and call.id not in calls else ""
            call_id = call_id or f"call-{step}-{index}"
            calls[call_id] = ToolCall(call_id, call.tool, redact.text(call.arguments).text)
        found = answer.diagnosis and withheld(answer.diagnosis, lambda text: redact.text(text).text)
        return replace(answer, text=redact.text(answer.text).text, calls=tuple(calls.values()), diagnosis=found)

    async def _finish(self, outcome: RunOutcome, reason: str) -> None:
        now, run = self.world.clock(), self.run
        spent = round(budget.machine_time(run, now).total_seconds() * 1000)
        unit = work_unit(run, outcome, now, await bill_of(self.world, run))
        await self.journey.record(RunFinished(outcome, reason, spent), WorkUnitRecorded(unit))
        await tell(self.world, self.run)


async def _together(works: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """What each comes to, all at the same time. One alone, the usual case, needs no task and no turn of the event loop."""
    return [await works[0]] if len(works) == 1 else await asyncio.gather(*works)


def _ms(began: float) -> int:
    """Milliseconds since a reading of the performance counter."""
    return round((time.perf_counter() - began) * 1000)
