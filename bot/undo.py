"""Taking an execution back: its stored undo, proposed as a run of its own that passes the gate like any other change."""

from __future__ import annotations

from bot.agent.world import World
from domain.actions import Mode
from domain.canonical import canonical, digest_of, plain
from domain.decisions import Actor, Execution, ExecutionOutcome
from domain.errors import BadInput, ChatError, Conflict, NotAllowed
from domain.events import Draft, FindingsReported, RunStarted, StepPlanned
from domain.fold import fold
from domain.runs import Answer, Origin, RunSpec, RunStatus, ToolCall


async def propose_undo(world: World, reference: str, user: str, mode: Mode) -> str:
    """Start the run that proposes it; its id. Raises NotAllowed or BadInput with a sentence for the person.

    `reference` is the approval request's id, or that of the run: what policy allowed by itself has no request.
    """
    execution, incident_id = await _done(world, reference)
    if execution is None or execution.outcome in (None, ExecutionOutcome.FAILED):
        raise BadInput("Nothing was executed here, so there is nothing to undo.")
    if execution.undo is None:
        raise BadInput("This change has no undo that the agent knows of.")
    try:
        person = await world.directory.person(user)
    except ChatError as error:
        raise NotAllowed("Slack cannot say who you are right now. Try again in a moment.") from error
    if not person.full_member:
        raise NotAllowed(f"Only full members of this workspace may ask for an undo ({person.why_not}).")
    undo, action = execution.undo, execution.action
    incident = await world.journal.incident(incident_id)
    run_id = await _fresh(world, execution)
    spec = RunSpec(
        id=run_id,
        incident_id=incident_id,
        origin=Origin.THREAD,
        model=world.rules.name,
        mode=mode,
        target=action.target,
        question=f"Undo {action.tool} on {action.target}",
        requester=user,
        channel=incident.channel if incident else "",
        thread_ts=incident.thread_ts if incident else "",
        undoes=execution.id,
    )
    call = ToolCall("undo", undo.tool, canonical(plain(undo.arguments)).decode())
    events = (
        RunStarted(spec),
        FindingsReported((), 0),
        StepPlanned(1, "person", Answer(f"{person.name} asked to take {execution.id} back. {undo.note}", (call,)), 0),
    )
    try:
        await world.journal.append(*(Draft(event, Actor("person", user), spec.incident_id, run_id) for event in events))
    except Conflict as error:
        raise BadInput("The undo of this change was asked for already.") from error
    return run_id


async def _fresh(world: World, execution: Execution) -> str:
    """The id of the run that proposes it: where an earlier one ended without executing anything, it may be asked for again.

    Raises BadInput.
    """
    about, number = ["undo", execution.id], 0
    while await world.journal.run(run_id := "run-" + digest_of([*about, *([str(number)] if number else [])])[:12]):
        earlier = fold(await world.journal.of_run(run_id))
        if earlier.status is not RunStatus.FINISHED or earlier.executions:
            raise BadInput("The undo of this change was asked for already.")
        number += 1
    return run_id


async def _done(world: World, reference: str) -> tuple[Execution | None, str]:
    """The execution that a reference means, the last one of a run, and its incident."""
    if await world.journal.run(reference) is not None:
        run = fold(await world.journal.of_run(reference))
        return (run.executions[-1] if run.executions else None), run.spec.incident_id
    approval = await world.journal.approval(reference)
    return (approval.execution, approval.request.incident_id) if approval else (None, "")
