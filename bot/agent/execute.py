"""The one time an allowed action touches a real system: intent first, then the call, then the honest outcome."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from bot.agent.world import Journey, log
from domain.actions import Action, digest
from domain.canonical import digest_of
from domain.decisions import Check, Execution, ExecutionOutcome
from domain.errors import AgentError, OutcomeUnknown, TargetMoved, ToolError
from domain.events import (
    ExecutionFinished,
    ExecutionProbed,
    ExecutionStarted,
    VerificationFailed,
    VerificationPassed,
)
from domain.ports import Probe, WriteTool
from domain.runs import Call
from policies.brakes import problems

EXECUTE_SECONDS = 30.0
PROBE_EVERY_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 15.0
ARRIVAL_TRIES = 3
STEADY_SECONDS = 2.0
"""How long a probe has to keep holding: a process that starts and dies a moment later is not a fix."""


async def start(journey: Journey, call: Call, action: Action) -> None:
    """Write the intent. It consumes the approval in the same transaction: raises Conflict where it is spent,
    Paused where somebody stopped the agent meanwhile.
    """
    approval = call.approval.request if call.approval else None
    policy_hash = call.decision.policy_hash if call.decision else ""
    execution_id = "exe-" + digest_of([journey.run.id, call.call.id, approval.id if approval else ""])[:12]
    await journey.record(
        ExecutionStarted(
            execution_id,
            call.call.id,
            action,
            key=execution_id,
            digest=approval.digest if approval else digest(action, policy_hash),
            approval_id=approval.id if approval else "",
            problems=problems(journey.run, action),
            undoes=journey.run.spec.undoes,
        )
    )


async def run(journey: Journey, execution: Execution, tool: WriteTool, *, again: bool = False) -> None:
    """Make the call that the recorded intent names, once. `again`: an earlier process may have made it as well."""
    began = time.perf_counter()
    try:
        async with asyncio.timeout(EXECUTE_SECONDS):
            detail = await tool.execute(execution.action, execution.key)
        outcome = ExecutionOutcome.SUCCEEDED
    except (OutcomeUnknown, TimeoutError):
        await settle(journey, execution, tool, began=began)
        return
    except TargetMoved as error:
        outcome, detail = await _after_a_refusal(execution, tool, str(error), again=again)
    except ToolError as error:
        outcome, detail = ExecutionOutcome.FAILED, str(error)
    except AgentError:
        raise  # of the agent itself, such as a recording that has no answer: nothing that a tool says of its call
    except Exception:  # noqa: BLE001 – the call may have left, whatever broke: it is looked for and never made again
        log.exception("a call broke unexpectedly", extra={"run_id": journey.run.id, "execution": execution.id})
        await settle(journey, execution, tool, began=began)
        return
    await _finish(journey, execution, outcome, detail, began)


async def settle(journey: Journey, execution: Execution, tool: WriteTool, *, began: float) -> None:
    """A call whose answer is lost: look whether it arrived, and say honestly what is known."""
    arrived = await _looked_for(journey, execution, tool)
    await _finish(journey, execution, _OUTCOME[arrived], _ARRIVED[arrived], began)


async def recover(
    journey: Journey, execution: Execution, tool: WriteTool, refusal: Callable[[], Awaitable[str]]
) -> None:
    """An intent without an outcome: the service died in between. Probe first; call only if it surely did not arrive.

    Time has passed, so everything that allowed it is looked at once more: `refusal` says why it may not be made by now, empty
    where it may. The call is safe however often the service dies here: each is probed for, and carries the same key and the
    condition that the target is as it was approved, so that of two that are under way at most one takes effect.
    """
    began = time.perf_counter()
    arrived = await _looked_for(journey, execution, tool)
    detail = _ARRIVED[arrived]
    if arrived is False:
        if not (reason := await refusal()):
            await run(journey, execution, tool, again=True)
            return
        detail = f"{detail}. It is not made any more: {reason}"
    await _finish(journey, execution, _OUTCOME[arrived], detail, began)


async def verify(journey: Journey, execution: Execution, tool: WriteTool) -> None:
    """The action's own read-only probe, until it holds, surely will not, or its time is up."""
    began = time.perf_counter()
    async with journey.world.aside():
        probe = await _probed(execution, tool, began)
    took = round((time.perf_counter() - began) * 1000)
    kind = VerificationPassed if probe.passed else VerificationFailed
    await journey.record(kind(execution.id, probe.checks, took))


_ARRIVED = {
    True: "the answer was lost, and the target shows that the call took effect",
    False: "the call did not reach the target; nothing was changed",
    None: "the answer was lost and the target cannot show whether the call took effect",
}
_OUTCOME = {True: ExecutionOutcome.SUCCEEDED, False: ExecutionOutcome.FAILED, None: ExecutionOutcome.UNKNOWN}


async def _looked_for(journey: Journey, execution: Execution, tool: WriteTool) -> bool | None:
    """Whether the call took effect, as the target shows it now; recorded."""
    arrived = await _arrived(execution, tool)
    await journey.record(ExecutionProbed(execution.id, arrived, _ARRIVED[arrived]))
    return arrived


async def _arrived(execution: Execution, tool: WriteTool) -> bool | None:
    for attempt in range(ARRIVAL_TRIES):
        try:
            async with asyncio.timeout(EXECUTE_SECONDS):
                return await tool.arrived(execution.action, execution.key)
        except (ToolError, TimeoutError):
            await asyncio.sleep(attempt)
    return None


async def _after_a_refusal(
    execution: Execution, tool: WriteTool, sentence: str, *, again: bool
) -> tuple[ExecutionOutcome, str]:
    """A precondition failed. If that is because our own earlier call took effect, it succeeded.

    A first call that was refused changed nothing. Where there may have been one before it, only the target can tell.
    """
    arrived = await _arrived(execution, tool)
    if arrived or (again and arrived is None):
        return _OUTCOME[arrived], _ARRIVED[arrived]
    return ExecutionOutcome.FAILED, sentence


async def _finish(journey: Journey, execution: Execution, outcome: ExecutionOutcome, detail: str, began: float) -> None:
    detail = journey.world.redactor.text(detail).text
    await journey.record(ExecutionFinished(execution.id, outcome, detail, round((time.perf_counter() - began) * 1000)))


async def _probed(execution: Execution, tool: WriteTool, began: float) -> Probe:
    """The last probe. What takes long, such as a build, is looked at less and less often."""
    probe, held_since = await _probe(tool, execution.action), None
    while not probe.settled and (elapsed := time.perf_counter() - began) < tool.probe_seconds:
        now = time.perf_counter()
        held_since = (held_since or now) if probe.passed else None
        if held_since is not None and now - held_since >= STEADY_SECONDS:
            break
        await asyncio.sleep(_pause(elapsed, passed=probe.passed))
        probe = await _probe(tool, execution.action)
    return probe


def _pause(elapsed: float, *, passed: bool) -> float:
    """Seconds until the next look: a twentieth of the time it takes already, once it holds every second."""
    return PROBE_EVERY_SECONDS if passed else min(max(PROBE_EVERY_SECONDS, elapsed / 20), LONGEST_PAUSE_SECONDS)


async def _probe(tool: WriteTool, action: Action) -> Probe:
    """One look. A probe that cannot look is a check that does not hold yet."""
    try:
        async with asyncio.timeout(EXECUTE_SECONDS):
            return await tool.probe(action)
    except (ToolError, TimeoutError) as error:
        return Probe((Check("the target can be looked at", passed=False, detail=str(error) or "no answer in time"),))
