"""A recorded run once more: the recorded alert, outputs and votes through today's `advance`, on a journal in memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any

from bot import brakes, escalation, expiry, voting
from bot.agent.loop import advance
from bot.agent.world import World
from bot.models.openai import OpenAIModel
from bot.models.recorded import RecordedChecker, RecordedModel, RecordingEnds, Turn
from bot.models.rules import NAME as RULES, Rules
from bot.models.second_look import Checker as SecondLook
from bot.replay.differences import FAILED
from bot.replay.ports import CARDS, RecordedChat, RecordedDirectory, recorded_groups, recorded_tools
from bot.replay.recording import Key, Recording
from bot.replay.reel import ENDS, Reel, actor_of
from domain import events
from domain.canonical import plain
from domain.decisions import AGENT, Approval, ApprovalRequest, ApprovalState, Verdict
from domain.errors import BadInput, ModelError, NotAllowed
from domain.events import Draft, Envelope
from domain.fold import fold
from domain.ports import Checker, Model, Tool
from domain.runs import Run, RunStatus
from policies.redaction import Redactor
from policies.rules import Policy
from storage.scratch import ScratchJournal, open_scratch


def asking_as(name: str) -> Model:
    """What builds the requests that a model of this name would get today. It can send none: it has no client."""
    return Rules() if name == RULES else OpenAIModel(None, name)  # type: ignore[arg-type]


@dataclass(frozen=True)
class How:
    """What is tried. No `model` means the recorded answers; `environment` is for namespaces that were not recorded."""

    policy: Policy
    tools: Mapping[str, Tool]
    environment: Callable[..., str]
    model: Model | None = None
    redactor: Redactor = field(default_factory=Redactor)
    asking: Callable[[str], Model] = asking_as


@dataclass(frozen=True)
class Rerun:
    """What came of it: the run's events as they would be recorded today. `ended` is why it stopped before its end.

    `unanswerable` are the calls that the recording has no output for, `not_known` what else it does not say and was
    needed, `notes` what else a reader has to know.
    """

    own: tuple[Envelope, ...]
    run: Run
    ended: str = ""
    unanswerable: tuple[Key, ...] = ()
    not_known: tuple[str, ...] = ()
    notes: tuple[str, ...] = field(default=())


async def rerun(recording: Recording, how: How) -> Rerun:
    """Go through it once. Touches nothing but memory, and the new model where there is one."""
    goes_on = recording.run.status is not RunStatus.FINISHED or bool(recording.given_up)
    reel = Reel(recording, open_end=goes_on and how.model is None)
    async with open_scratch(recording.workspace, clock=reel.clock, beyond=reel) as journal:
        again = _Again(recording, how, reel, journal)
        await again.play()
        own = [
            each for each in await journal.of_run(recording.run.id) if not isinstance(each.event, events.VoteRefused)
        ]
        return Rerun(
            tuple(own),
            fold(own),
            again.ended,
            tuple(dict.fromkeys(reel.unanswerable)),
            tuple(reel.not_known),
            tuple(again.notes),
        )


class _Again:
    """One pass: the run goes as far as it can, waits as it did, and goes on when somebody did something."""

    def __init__(self, recording: Recording, how: How, reel: Reel, journal: ScratchJournal) -> None:
        self._recording = recording
        self._how = how
        self._reel = reel
        self._journal = journal
        self._policy = recorded_groups(how.policy)
        self._directory = RecordedDirectory(recording, reel, self._policy)
        self._world = self._world_of()
        self.ended = ""
        self.notes: list[str] = []

    def _world_of(self) -> World:
        model, rules = self._models()
        recorded, reel = self._recording.environments, self._reel
        return World(
            journal=self._journal,
            chat=RecordedChat(self._journal),
            directory=self._directory,
            tools=recorded_tools(self._how.tools, reel),
            model=model,
            rules=rules,
            redactor=self._how.redactor,
            policy=lambda: self._policy,
            environment=lambda namespace: recorded.get(namespace) or self._how.environment(namespace),
            mode=reel.mode,
            paused=lambda: "",  # the journal refuses executions while it was; nothing else of a pause can be seen
            clock=reel.clock,
            checker=self._checker(),
        )

    def _models(self) -> tuple[Model, Model]:
        """The model and the rules: today's, or both as they were recorded, sharing one row of answers."""
        if self._how.model is not None:
            return self._how.model, Rules()
        turns: deque[Turn] = deque(self._recording.turns)
        names = (self._recording.spec.model, RULES)
        model, rules = (RecordedModel(name, turns, self._how.asking(name), self._reel.reach) for name in names)
        return model, rules

    def _checker(self) -> Checker | None:
        """The recorded second look, where the recorded conclusion is looked at. A new model's conclusion is another one."""
        second, at = self._recording.second, self._recording.second_at
        if second is None or at is None or self._how.model is not None:
            return None
        like = SecondLook(second.model, _sends_nothing)
        return RecordedChecker(second.model, second.look, second.usage, at, like, self._reel.reach)

    # --- the course -----------------------------------------------------------------------------------------------------

    async def play(self) -> None:
        """From the first event to the last, or to where the recording has nothing more to say."""
        if self._recording.second is not None and self._how.model is not None:
            self.notes.append(f"no second look was taken; the recorded one was {self._recording.second.look.verdict}")
        await self._begin()
        run = await self._go_on(self._recording.first[-1])
        for at, together in groupby(self._recording.inputs, key=lambda each: each.at):
            if self.ended or run is None or run.status is RunStatus.FINISHED:
                return
            await self._reel.reach(at)
            await self._sweep()
            done = list(together)
            for each in done:
                await self._do(each)
            if not self._held_up(done[-1]):
                run = await self._go_on(done[-1])
        if run is not None and run.status is not RunStatus.FINISHED and not self.ended:
            await self._alone(run)

    async def _go_on(self, after: Envelope) -> Run | None:
        """What the agent did next, at the time at which it did. Where the recording ends here, so does this."""
        following = self._recording.following(after)
        if following is None and self._how.model is None and self._recording.run.status is not RunStatus.FINISHED:
            self.ended = ENDS
            return None
        if following is not None and following.actor == str(AGENT):
            await self._reel.reach(following.at)
        return await self._advance()

    def _held_up(self, each: Envelope) -> bool:
        """Whether the agent did nothing about an approval before people did the next thing: it was paused, or not there."""
        following = self._recording.following(each)
        approved = isinstance(each.event, events.VoteCast) and each.event.closes is ApprovalState.APPROVED
        return approved and following is not None and following.actor != str(AGENT)

    async def _begin(self) -> None:
        """What stood before the run, each at its time, and what somebody else than the agent began it with."""
        self._reel.onto(self._journal)
        for each in self._recording.before:
            self._reel.now = each.at
            await self._reel.tell(_draft(each))
        self._reel.now = self._recording.began
        model = self._how.model
        for each in self._recording.first:
            event = each.event
            if model is not None and isinstance(event, events.RunStarted) and not event.spec.undoes:
                event = replace(event, spec=replace(event.spec, model=model.name))
            await self._reel.tell(Draft(event, actor_of(each.actor), each.incident_id, each.run_id))

    async def _advance(self) -> Run | None:
        """As far as it goes; None where today's code failed on it."""
        try:
            return await advance(self._world, self._recording.run.id)
        except RecordingEnds as end:
            self.ended = str(end)
            await self._give_up()
            return None
        except Exception as error:  # noqa: BLE001 – today's code failing on a recorded run is what a replay is for to find
            self.ended = f"{FAILED}{type(error).__name__}: {error}"
            return None

    async def _give_up(self) -> None:
        """Where a surprise ended the recorded run, it ends this one: what would have come after it nobody recorded."""
        for each in self._recording.given_up:
            await self._reel.reach(each.at)
            await self._reel.tell(_draft(each))
        if self._recording.given_up:
            self.ended = ""
            self.notes.append(
                "a surprise ended the recorded run; what today's code would have come to after it is not known"
            )

    async def _alone(self, run: Run) -> None:
        """Nobody did anything more. Recorded answers were given to what people did; a new model hears that nobody came."""
        while run.status is not RunStatus.FINISHED and not self.ended:
            waiting = [call.approval for call in run.calls.values() if call.approval and call.result is None]
            if not waiting or self._how.model is None:
                self.ended = _waits_for(waiting) if waiting else ENDS
                return
            self.notes.append(_waits_for(waiting))
            await self._reel.reach(max(approval.request.expires_at for approval in waiting))
            await self._sweep()
            after = await self._advance()
            if after is None or after == run:
                return
            run = after

    async def _sweep(self) -> None:
        """What the clock does, as in the service."""
        await expiry.expire(self._world)
        await escalation.call_people(self._world, self._reel.now)
        await brakes.settle(self._world)

    # --- what people did ------------------------------------------------------------------------------------------------

    async def _do(self, each: Envelope) -> None:
        match each.event:
            case events.VoteCast():
                await self._vote(each.event)
            case events.ApprovalClosed(approval_id, ApprovalState.SUPERSEDED) if each.actor.startswith("person:"):
                await self._edit(approval_id, actor_of(each.actor).id)
            case events.ApprovalClosed(approval_id, ApprovalState.CANCELLED as state, reason) if each.actor == "system":
                approval = await self._same_as(approval_id)
                if approval is not None:
                    await expiry.end(self._world, approval, state, reason)

    async def _vote(self, cast: events.VoteCast) -> None:
        """The vote on the same action, on the card as it stands here, by the service's own rules."""
        recorded, approval = self._recording.requests.get(cast.approval_id), await self._same_as(cast.approval_id)
        if recorded is None or approval is None:
            return
        vote, request = cast.vote, approval.request
        who = f"{vote.name or vote.user}'s {vote.verdict.value} on {request.action.tool}"
        asked = " or ".join(approval.groups)
        voter = vote.on_behalf_of or vote.user
        needs_group = vote.verdict is not Verdict.WITHDRAW and not vote.break_glass
        if needs_group and not self._directory.proves(voter, approval.groups):
            self._reel.not_known[f"whether {vote.name or vote.user} was in {asked}, so {who} does not count"] = None
            return
        bound = replace(vote, digest=request.digest if vote.digest == recorded.digest else vote.digest)
        await self._world.chat.approval(approval)
        try:
            await voting.cast(self._world, request.id, bound, channel=CARDS, message_ts=request.id)
        except NotAllowed as refusal:
            self.notes.append(f"{who} is refused: {refusal}")

    async def _edit(self, approval_id: str, user: str) -> None:
        edited = next((each for each in self._recording.requests.values() if each.supersedes == approval_id), None)
        approval = await self._same_as(approval_id)
        if edited is None or approval is None:
            return
        try:
            await voting.edit(self._world, approval.request.id, user, edited.action.arguments)
        except (NotAllowed, BadInput) as refusal:
            self.notes.append(f"the edit of {edited.action.tool} is refused: {refusal}")

    async def _same_as(self, approval_id: str) -> Approval | None:
        """The open question here that is about the same action as a recorded one."""
        recorded = self._recording.requests.get(approval_id)
        for approval in await self._journal.approvals(run_id=self._recording.run.id, limit=1000):
            is_open = approval.state in (ApprovalState.PENDING, ApprovalState.APPROVED)
            if recorded is not None and is_open and _about(approval.request) == _about(recorded):
                return approval
        return None


async def _sends_nothing(_: bytes) -> Any:
    raise ModelError("a replay asks nobody")


def _about(request: ApprovalRequest) -> tuple[object, ...]:
    action = request.action
    return action.tool, action.target.key, plain(action.arguments)


def _waits_for(approvals: list[Approval]) -> str:
    """would wait for a person: kubernetes_scale on shop/deployment/cart (asks approvers, for 30 min)"""
    said = []
    for approval in approvals:
        request, minutes = approval.request, approval.request.terms.expires_s // 60
        state = "is approved, and waits" if approval.state is ApprovalState.APPROVED else "asks"
        groups = " or ".join(approval.groups)
        said.append(f"{request.action.tool} on {request.action.target} ({state} {groups}, for {minutes} min)")
    return f"would wait for a person: {'; '.join(said)}"


def _draft(each: Envelope) -> Draft:
    return Draft(each.event, actor_of(each.actor), each.incident_id, each.run_id)
