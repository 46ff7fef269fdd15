"""The control plane: what the world may ask of the agent, and the workers that carry it out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import date, datetime, timedelta
from typing import Any

from bot import (
    brakes,
    breakglass,
    delegation,
    escalation,
    expiry,
    explain,
    feedback,
    maintenance,
    pictures,
    scans,
    undo,
    voting,
)
from bot.agent.loop import advance
from bot.agent.telling import tell
from bot.agent.world import World, log
from bot.agent.worth import bill_of, work_unit
from bot.incidents import OpenIncidents, ResolvedIncidents
from bot.intake import STORM, Intake
from bot.narrator import Narrator
from bot.questions import target_of_question
from bot.record import record_of
from bot.waiting import WaitingAlerts
from bot.workers import Workers, in_turn
from domain.actions import Mode
from domain.alerts import Alert, Incident
from domain.authority import BreakGlass, Delegation
from domain.canonical import digest_of
from domain.decisions import SYSTEM, Actor, Approval, ApprovalRequest, ApprovalState, ExecutionOutcome, Vote
from domain.errors import AgentError, Conflict, JournalError, NotAllowed
from domain.events import (
    AgentPaused,
    AgentResumed,
    ApprovalClosed,
    Draft,
    Event,
    ExecutionFinished,
    ModeChanged,
    RunFinished,
    RunStarted,
    WorkUnitRecorded,
)
from domain.feedback import FeedbackGiven
from domain.fold import fold
from domain.noise import MaintenanceWindow
from domain.plane import Question, Receipt, Status
from domain.runs import RunOutcome, RunSpec, RunStatus
from domain.scans import KnownFinding
from domain.weeks import Appointment
from policies import brakes as rules
from policies.noise import MEMORY, Noise

RETRY_SECONDS = 5.0
"""After the journal refused a write: how long a run rests before it is tried again."""


_REACH = {Mode.OBSERVE: 0, Mode.PROPOSE: 1, Mode.ACT: 2}
"""How far each mode lets the agent go: less is a brake that anybody may pull, more is not."""


class Plane:
    """ControlPlane over a world. `start` recovers what an earlier process left; `stop` may come at any moment."""

    def __init__(
        self,
        world: Callable[[Plane], World],
        *,
        workers: int,
        channel: Callable[[], str],
        default_mode: Mode,
        alert_bots: Callable[[str], Sequence[str]],
        policy_problems: Callable[[], tuple[str, ...]],
        noise: Noise = Noise(),
    ) -> None:
        self.mode = default_mode
        self.paused = ""
        self.world = world(self)
        self._default_mode = default_mode
        self._alert_bots = alert_bots
        self._policy_problems = policy_problems
        self._channel = channel
        self._open = OpenIncidents()
        self._noise = noise
        self._windows: tuple[MaintenanceWindow, ...] = ()
        self._workers = Workers(workers, self._advance)
        self.narrator = Narrator(self.world)
        self._background: set[asyncio.Task[None]] = set()
        self._control = asyncio.Lock()

    async def start(self) -> None:
        """Recover and go to work: unfinished runs go on, open cards and incidents are shown as they are."""
        journal = self.world.journal
        await self._obey()
        for incident in await journal.incidents(open_only=True, limit=10_000):
            self._open.open(incident)
            self.narrator.touch(incident.id)
        self._intake = await self._take_over()
        for approval in await journal.approvals(pending=True, limit=1000):
            await self.world.chat.approval(approval)
        await brakes.settle(self.world)
        self.narrator.start()
        self._workers.start()
        await self._wake_runs()

    async def _take_over(self) -> Intake:
        """An intake that knows what an earlier one knew: what waits, what was resolved, storms nobody looked into."""
        journal, now = self.world.journal, self.world.clock()
        self._windows = tuple(await journal.maintenance(now))
        intake = Intake(
            journal,
            self._open,
            channel=self._channel,
            environment=self.world.environment,
            model=self.world.model.name,
            mode=lambda: self.mode,
            clock=self.world.clock,
            noise=self._noise,
            resolved=ResolvedIncidents(await journal.resolved_since(now - MEMORY)),
            waiting=WaitingAlerts(await journal.held()),
            windows=lambda: self._windows,
        )
        storm = self._open.named(STORM)
        if storm is not None and not await journal.runs(incident_id=storm.incident.id, limit=1):
            intake.gather(storm.incident.id)
        return intake

    async def stop(self) -> None:
        """Stop working. Whatever was under way goes on from the journal at the next start."""
        await self._workers.stop()
        await self.narrator.stop()
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)

    @property
    def _only_observes(self) -> bool:
        """AGENT_MODE=observe is a ceiling: nothing said in Slack, now or earlier, lifts it."""
        return self._default_mode is Mode.OBSERVE

    # --- alerts and questions -------------------------------------------------------------------------------------------

    async def receive(self, alerts: Sequence[Alert]) -> Sequence[Receipt]:
        """Alerts from a monitor; durable when this returns."""
        receipts = await self._intake.receive(alerts)
        self._follow(receipts)
        told = {each for receipt in receipts for each in (receipt.incident_id, *receipt.replaced) if each}
        if any(self._open.get(incident_id) is None for incident_id in told):
            self._later(self._withdraw())
        return receipts

    def _follow(self, receipts: Sequence[Receipt]) -> None:
        """Show what became of alerts, and work on the runs that they start."""
        for receipt in receipts:
            for incident_id in (receipt.incident_id, *receipt.replaced):
                self.narrator.touch(incident_id)
            if receipt.run_id:
                self._workers.enqueue(receipt.run_id)
            if receipt.run_id and receipt.why:
                self._later(self.world.chat.notice(receipt.incident_id, "storm", f"🌩️ {receipt.why}"))
            if receipt.held_until and receipt.repeats:
                self._later(self._say_again(receipt.repeats, receipt.held_until))

    async def _say_again(self, incident_id: str, until: datetime) -> None:
        """In the thread of a resolved incident: it fires again, and waits."""
        text = f"🔁 It fires again. If it still does at {until:%H:%M} UTC, it becomes a new incident."
        await self.world.chat.notice(incident_id, f"again:{until:%Y%m%dT%H%M}", text)

    async def ask(self, question: Question) -> Receipt:
        """A question from a person, in an incident's thread or on its own; asked twice (same key), answered once."""
        journal = self.world.journal
        incident = await journal.incident_at(question.channel, question.thread_ts) if question.thread_ts else None
        run_id = (
            "run-"
            + digest_of([question.key or question.text, question.channel, question.thread_ts, question.user])[:12]
        )
        spec = RunSpec(
            id=run_id,
            incident_id=incident.id if incident else "",
            origin=question.origin,
            model=self.world.model.name,
            mode=self.mode,
            target=await target_of_question(question.text, incident, self.world.tools, self.world.environment),
            question=self.world.redactor.text(question.text).text[:4000],
            requester=question.user,
            channel=question.channel,
            thread_ts=question.thread_ts,
            context=await self._context(incident) if incident else "",
        )
        rests = (
            f"The agent is paused ({self.paused}): it looks into this when somebody resumes it." if self.paused else ""
        )
        receipt = Receipt(spec.incident_id, run_id, why=rests)
        try:
            begun = await journal.append(
                Draft(RunStarted(spec), Actor("person", question.user), spec.incident_id, run_id)
            )
        except Conflict:
            return receipt
        await self.world.chat.progress(fold(begun))
        self._workers.enqueue(run_id)
        return receipt

    # --- approvals ------------------------------------------------------------------------------------------------------

    async def vote(self, approval_id: str, vote: Vote, *, channel: str, message_ts: str) -> Approval:
        """A click on a card. Raises NotAllowed with the sentence for the person, and records the refusal."""
        approval = await voting.cast(self.world, approval_id, vote, channel=channel, message_ts=message_ts)
        if approval.state is not ApprovalState.PENDING:
            self._workers.enqueue(approval.request.run_id)
        self.narrator.touch(approval.request.incident_id)
        return approval

    async def propose_edit(self, approval_id: str, user: str, arguments: Mapping[str, Any]) -> ApprovalRequest | None:
        """A new proposal in place of an open one, with a new digest; its editor cannot vote. Raises NotAllowed, BadInput."""
        return await voting.edit(self.world, approval_id, user, arguments)

    async def propose_undo(self, reference: str, user: str) -> str:
        """Propose the stored undo of an execution in a run of its own; its id. Raises NotAllowed, BadInput."""
        run_id = await undo.propose_undo(self.world, reference, user, self.mode)
        self._workers.enqueue(run_id)
        return run_id

    async def may_rate(self, user: str) -> None:
        """Whether this person may rate a diagnosis. Raises NotAllowed."""
        await feedback.may_rate(self.world, user)

    async def feedback(self, word: FeedbackGiven) -> None:
        """A person's word on a diagnosis. Raises NotAllowed, BadInput."""
        await feedback.give(self.world, word)

    async def break_glass(self, incident: str, user: str, minutes: int, reason: str) -> BreakGlass:
        """One person may approve alone for one incident, for a while, publicly. Raises NotAllowed, BadInput."""
        return await breakglass.open_glass(self.world, incident, user, minutes, reason)

    async def review(self, glass_id: str, user: str, comment: str) -> BreakGlass:
        """Somebody else has looked at a break-glass. Raises NotAllowed, BadInput."""
        return await breakglass.review(self.world, glass_id, user, comment)

    async def delegate(self, user: str, to: str, hours: int) -> Delegation:
        """Let somebody else vote in this person's place. Raises NotAllowed, BadInput."""
        return await delegation.delegate(self.world, user, to, hours)

    async def end_delegation(self, user: str) -> None:
        """Vote for oneself again. Raises BadInput where nothing was delegated."""
        await delegation.end(self.world, user)

    async def why(self, reference: str) -> str:
        """Why an action was decided as it was."""
        return await explain.why(self.world, reference)

    async def explain(self, tool: str, arguments: Mapping[str, Any], user: str) -> str:
        """What policy would say of this action now."""
        return await explain.explain(self.world, tool, arguments, user)

    # --- control --------------------------------------------------------------------------------------------------------

    async def pause(self, by: Actor, reason: str) -> None:
        """No new runs, no executions, approved ones included; over restarts, until resumed. Raises NotAllowed.

        It holds from the first line on, before Slack is asked who this is: should the journal refuse to record it, the
        agent stays paused and this raises.
        """
        reason = reason or "paused by a person"
        async with self._control:
            before, self.paused = self.paused, reason
            try:
                await brakes.may_brake(self.world, by)
            except NotAllowed:
                self.paused = before
                raise
            [envelope] = await self.world.journal.append(Draft(AgentPaused(reason), by))
            await self._obey()
        said = f"⏸️ {by.name or 'Somebody'} paused the agent: {reason}. Nothing executes until /agent resume."
        await self.world.chat.notice("", f"pause:{envelope.seq}", said)

    async def resume(self, by: Actor) -> None:
        """Go on where everything stopped. Raises NotAllowed."""
        name = await brakes.may_let_go(self.world, by) if by.kind == "person" else str(by)
        async with self._control:  # only from here on: no pause waits for what Slack says of somebody else
            [envelope] = await self.world.journal.append(Draft(AgentResumed(), by))
            await self._obey()
        await self.world.chat.notice("", f"resume:{envelope.seq}", f"▶️ {name} resumed the agent.")
        await self._wake_runs()

    async def set_mode(self, by: Actor, mode: Mode) -> None:
        """observe, propose or act, from now on and over restarts. AGENT_MODE=observe allows nothing else: NotAllowed."""
        if self._only_observes and mode is not Mode.OBSERVE:
            raise NotAllowed(
                "This agent was set up only to observe (AGENT_MODE=observe). Whoever runs it can change that setting."
            )
        if _REACH[mode] <= _REACH[self.mode]:
            await brakes.may_brake(self.world, by)
        elif by.kind == "person":
            await brakes.may_let_go(self.world, by)
        async with self._control:
            await self.world.journal.append(Draft(ModeChanged(mode), by))
            await self._obey()

    async def _obey(self) -> None:
        """Mode and pause as the journal has them: whatever raced, its order counts."""
        mode, self.paused = await self.world.journal.control()
        self.mode = self._default_mode if self._only_observes else mode or self._default_mode

    async def scan(self, user: str, channel: str, namespace: str, key: str) -> Receipt:
        """Scan the configuration of a namespace, or of all. Asked twice (same key), done once. Raises BadInput."""
        run_id = await scans.begin(
            self.world, self.mode, user=user, channel=channel or self._channel(), namespace=namespace, key=key
        )
        if run_id:
            self._workers.enqueue(run_id)
        return Receipt("", run_id)

    async def scan_weekly(self, appointment: Appointment, clock: Callable[[], datetime]) -> None:
        """The scan of everything that is due, once: what came due more than a day ago is left to the next week."""
        week = appointment.last(clock())
        if not self.paused and clock() - week.due < scans.LATE:
            await self.scan("", "", "", week.key)

    async def propose_finding(self, key: str, user: str) -> str:
        """Propose a configuration finding's change in a run of its own; its id. Raises NotAllowed, BadInput."""
        run_id = await scans.propose(self.world, self.mode, key, user, self.world.clock())
        self._workers.enqueue(run_id)
        return run_id

    async def snooze_finding(self, key: str, user: str, owner: str, until: date, reason: str) -> KnownFinding:
        """Leave a configuration finding to somebody until that day. Raises NotAllowed, BadInput."""
        return await scans.snooze(self.world, key, user, owner, until, reason, self.world.clock())

    async def begin_maintenance(self, by: Actor, namespace: str, minutes: int, reason: str) -> MaintenanceWindow:
        """Until then, alerts of these namespaces open nothing. Raises NotAllowed, BadInput."""
        window = await maintenance.begin(self.world, by, namespace, minutes, reason)
        self._windows = (*self._windows, window)
        return window

    async def end_maintenance(self, by: Actor, window_id: str) -> MaintenanceWindow:
        """The work is over; what still fires opens incidents now. Raises NotAllowed, BadInput."""
        window = await maintenance.end(self.world, by, window_id)
        self._windows = tuple(each for each in self._windows if each.id != window_id)
        self._intake.hasten(window_id)
        await self._release()
        return window

    async def reset_breaker(self, by: Actor, scope: str) -> str:
        """Close a circuit breaker: a tool's, or the agent's. Raises NotAllowed, BadInput."""
        return await brakes.reset(self.world, by, scope)

    async def restore_autonomy(self, by: Actor, tool: str, environment: str) -> str:
        """Let policy decide again after a demotion. Raises NotAllowed, BadInput."""
        return await brakes.restore(self.world, by, tool, environment)

    async def status(self) -> Status:
        """Where things stand."""
        journal, now = self.world.journal, self.world.clock()
        return Status(
            mode=self.mode,
            paused=self.paused,
            model=self.world.model.name,
            policy_hash=self.world.policy().hash,
            policy_problems=self._policy_problems(),
            open_incidents=tuple(await journal.incidents(open_only=True, limit=10_000)),
            pending=tuple(await journal.approvals(pending=True, limit=1000)),
            running=tuple(await journal.runs(unfinished=True, limit=1000)),
            week=await journal.rollup(now - timedelta(days=7), now),
            brakes=rules.sentences(await journal.brakes(rules.since(now))),
            maintenance=tuple(await journal.maintenance(now)),
            held=self._intake.held,
        )

    def allowed_bots(self, channel: str) -> Sequence[str]:
        """Bot or app ids whose messages in this channel are alerts."""
        return self._alert_bots(channel)

    def aside(self) -> AbstractAsyncContextManager[None]:
        """For a run that only waits for a system: another may be advanced in its place meanwhile."""
        return self._workers.aside()

    def environment(self, *places: str) -> str:
        """The environment of a namespace, or of a place of another system."""
        return self.world.environment(*places)

    # --- the clock's work -----------------------------------------------------------------------------------------------

    async def sweep(self) -> None:
        """Close what has expired, show it, and let runs that are free to move move."""
        now = self.world.clock()
        await in_turn(
            self._expire(),
            self._withdraw(),
            escalation.call_people(self.world, now),
            breakglass.nag(self.world, now),
            brakes.settle(self.world),
            self._release(),
            self._wake_runs(),
        )

    async def _expire(self) -> None:
        for approval in await expiry.expire(self.world):
            self._ended(approval)

    async def _release(self) -> None:
        """Let what has waited long enough open incidents."""
        now = self.world.clock()
        self._windows = tuple(window for window in self._windows if window.until > now)
        self._follow(await self._intake.release())

    async def _wake_runs(self) -> None:
        if self.paused:
            return
        for row in await self.world.journal.runs(unfinished=True, limit=1000):
            if row.status is RunStatus.RUNNING and not self._workers.busy(row.spec.id):
                self._workers.enqueue(row.spec.id)

    async def _withdraw(self) -> None:
        """The monitor resolved an incident: nothing that was asked before has to be changed, also where it is approved."""
        for approval in await self.world.journal.outlived():
            if await expiry.end(self.world, approval, ApprovalState.CANCELLED, "its incident is resolved"):
                self._ended(approval)

    def _ended(self, approval: Approval) -> None:
        self.narrator.touch(approval.request.incident_id)
        self._workers.enqueue(approval.request.run_id)

    # --- runs -----------------------------------------------------------------------------------------------------------

    async def _advance(self, run_id: str) -> None:
        """The run loop's boundary: whatever goes wrong in a run ends that run with a sentence, never the worker."""
        if self.paused:
            return
        try:
            row = await self.world.journal.run(run_id)
            if row is not None:
                await self.narrator.introduce(row.spec.incident_id)
            run = await advance(self.world, run_id)
            self.narrator.touch(run.spec.incident_id)
            if pictures.picture_of(run) is not None:
                self._later(pictures.show(self.world, run))
        except JournalError as error:
            log.error("the journal refused a write; the run rests", extra={"run_id": run_id, "reason": str(error)})
            self._later(self._retry(run_id))
        except Exception:  # noqa: BLE001 – the boundary: one run's surprise must not stop the others
            log.exception("a run failed unexpectedly", extra={"run_id": run_id})
            await self._give_up(run_id)

    async def _retry(self, run_id: str) -> None:
        await asyncio.sleep(RETRY_SECONDS)
        self._workers.enqueue(run_id)

    async def _give_up(self, run_id: str) -> None:
        """End a run that nobody can carry on. A call that may have left is unknown, and the card says so."""
        reason = "an unexpected error ended the run; it stands in the log with this run's id"
        try:
            run = fold(await self.world.journal.of_run(run_id))
            if run.status is RunStatus.FINISHED:
                return
            lost = [
                ExecutionFinished(each.id, ExecutionOutcome.UNKNOWN, reason)
                for each in run.executions
                if not each.outcome
            ]
            shut = [
                ApprovalClosed(each.request.id, ApprovalState.CANCELLED, reason)
                for each in run.approvals
                if each.state in (ApprovalState.PENDING, ApprovalState.APPROVED)
            ]
            unit = work_unit(run, RunOutcome.FAILED, self.world.clock(), await bill_of(self.world, run))
            ended: list[Event] = [*lost, *shut, RunFinished(RunOutcome.FAILED, reason), WorkUnitRecorded(unit)]
            await self.world.journal.append(*(Draft(event, SYSTEM, run.spec.incident_id, run_id) for event in ended))
            self.world.model.forget(run_id)
            run = fold(await self.world.journal.of_run(run_id))
            for call in run.calls.values():
                if call.approval is not None:
                    await self.world.chat.approval(call.approval)
            await tell(self.world, run)
        except AgentError:
            log.exception("the failure could not be recorded", extra={"run_id": run_id})

    async def _context(self, incident: Incident) -> str:
        """What the journal has of the incident: what a follow-up is answered from first."""
        rows = await self.world.journal.runs(incident_id=incident.id, limit=3)
        runs = [fold(await self.world.journal.of_run(row.spec.id)) for row in reversed(rows)]
        return record_of(incident, runs)

    def _later(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
