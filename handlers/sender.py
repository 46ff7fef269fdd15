"""Makes Slack agree with the outbox: one serial lane per channel, newest revision only, never twice.

The outbox row says what a message should show; a lane posts it or edits it until Slack has that revision. What is left
after a crash is found by `journal.unsent()`, and looked for in Slack before it is posted.
"""

from __future__ import annotations

import asyncio
import logging

from slack_sdk.web.async_client import AsyncWebClient

from domain.decisions import SYSTEM
from domain.errors import AgentError, ChatError
from domain.events import Draft, MessageFailed, MessageSent
from domain.ports import Journal, Message
from handlers.chat import PROGRESS
from handlers.lane import Item, Lane, Pace, now
from handlers.outgoing import Outgoing
from handlers.slack_errors import FAILURES, Refusal, Trouble, understand
from handlers.standing import Place

log = logging.getLogger("agent.slack.sender")
_LONGEST_WAIT_S = 30.0  # between two looks whether Slack has processed a picture
_TRIES = 8  # of a message that Slack, or a fault of ours, refuses time and again; then it is given up
_STUCK = 3  # failures in a row, and a message is reported
_REMEMBERED_S = 3600.0  # how long a message that was given up is reported


class Sender:
    """The lanes. `problems()` says what stands still, for /readyz."""

    def __init__(self, journal: Journal, client: AsyncWebClient, *, pace: Pace | None = None) -> None:
        self._journal = journal
        self._out = Outgoing(client, journal.workspace)
        self._pace = pace or Pace()
        self._lanes: dict[str, Lane] = {}
        self._order = 0
        self._next_call = 0.0
        self._token_problem = ""
        self._probe: asyncio.Task[None] | None = None
        self._given_up: dict[str, tuple[float, str]] = {}
        self._idle = asyncio.Event()
        self._idle.set()
        self._closed = False
        self._arrivals: dict[str, asyncio.Event] = {}

    async def start(self) -> None:
        """Take up what was left unsent, each looked for in Slack before it is posted."""
        for message in await self._journal.unsent():
            self._put(message.channel, message.key, message.priority, unsure=True)

    async def close(self) -> None:
        """Stop the lanes; what is unsent stays in the outbox."""
        self._closed = True
        tasks = [task for task in (self._probe, *(lane.task for lane in self._lanes.values())) if task]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def wake(self, key: str, channel: str, priority: int) -> None:
        """There is a newer revision of `key` in the outbox."""
        self._put(channel, key, priority)

    def watched_by(self, key: str, user: str) -> None:
        """`user` waits for `key`: it may be streamed to them."""
        self._out.streams.watched_by(key, user)

    async def picture(self, name: str, alt_text: str, content: bytes) -> str:
        """Hand a picture to Slack, for messages to show; its id, or empty where Slack refuses it for good.

        Raises ChatError where it may be taken later.
        """
        try:
            return await self._out.picture(name, alt_text, content)
        except FAILURES as error:
            refusal = understand(error)
            sentence = f"Slack did not take the picture {name} ({refusal.code})."
            if refusal.trouble in (Trouble.BUSY, Trouble.UNSURE):
                raise ChatError(sentence, code=refusal.code) from error
        log.warning("%s Its message goes without it; missing_scope means files:write.", sentence)
        return ""

    async def file(self, name: str, content: bytes, **more: str) -> str:
        """Hand a file to Slack, into a thread; its id. Raises ChatError, whose code is Slack's word."""
        try:
            return await self._out.file(name, content, **more)
        except FAILURES as error:
            code = understand(error).code
            raise ChatError(f"Slack did not take the file {name} ({code}).", code=code) from error

    def problems(self) -> tuple[str, ...]:
        """Why messages stand still, one sentence each; empty when all is well."""
        found = [f"Slack refuses this app ({self._token_problem})"] if self._token_problem else []
        for lane in self._lanes.values():
            stuck = [item for item in lane.items.values() if item.failures >= _STUCK]
            if lane.dead:
                found.append(f"Slack channel {lane.channel} takes no messages ({lane.dead}); {len(lane.items)} waiting")
            elif stuck:
                found.append(
                    f"Slack channel {lane.channel} does not take {stuck[0].key} ({stuck[0].trouble}); "
                    f"{len(stuck)} tried again"
                )
        given_up = [(key, code) for key, (at, code) in self._given_up.items() if now() - at < _REMEMBERED_S]
        return (*found, *(f"Slack never took {key} ({code}); it was given up" for key, code in given_up[:10]))

    def revive(self, channel: str = "") -> None:
        """Try again: the channel (without a name: every one) can be written to again."""
        if not channel:
            self._token_problem = ""
        for lane in self._lanes.values():
            if channel in ("", lane.channel):
                lane.revive()

    def stop(self, reason: str) -> None:
        """Slack does not know this app any more: no lane moves until it does again."""
        self._token_problem = reason
        if self._probe is None or self._probe.done():
            self._probe = asyncio.create_task(self._until_known(), name="slack-probe")
        self._settle_idle()

    async def _until_known(self) -> None:
        while self._token_problem:
            await asyncio.sleep(self._pace.probe_s)
            if await self._out.known():
                self.revive()

    def route_dead(self, channel: str, reason: str) -> None:
        """The channel is closed to us: what waits stays until it opens again."""
        self._lane(channel).dead = reason
        self._settle_idle()

    async def delivered(self, key: str, within_s: float) -> Message | None:
        """The outbox row of `key` once Slack has it, at most so many seconds from now."""
        arrived = self._arrivals.setdefault(key, asyncio.Event())
        try:
            row = await self._journal.message(key)
            if row is not None and not row.ts:
                async with asyncio.timeout(within_s):
                    await arrived.wait()
                row = await self._journal.message(key)
        except TimeoutError:
            return None
        finally:
            self._arrivals.pop(key, None)
        return row if row and row.ts else None

    async def idle(self) -> None:
        """Until nothing is left that could be sent."""
        await self._idle.wait()

    # --- lanes --------------------------------------------------------------------------------------------------------

    def _put(self, channel: str, key: str, priority: int, *, unsure: bool = False) -> None:
        if self._closed:
            return
        lane = self._lane(channel)
        self._order += 1
        edit_gap = self._pace.edit_s if priority >= PROGRESS else 0.0
        lane.put(Item(key, priority, self._order, unsure=unsure), edit_gap)
        self._idle.clear()

    def _lane(self, channel: str) -> Lane:
        lane = self._lanes.get(channel)
        if lane is None:
            lane = self._lanes[channel] = Lane(channel)
            lane.task = asyncio.create_task(self._run(lane), name=f"slack-lane-{channel}")
        return lane

    async def _run(self, lane: Lane) -> None:
        while True:
            item, wait = (None, None) if self._token_problem else lane.next()
            if item is None:
                self._settle_idle()
                await lane.sleep(wait)
                continue
            lane.busy = True
            try:
                await self._deliver(lane, item)
            except AgentError as error:
                # the journal, for every message alike; this one stays in the outbox, and may stand in Slack already
                log.warning("the outbox waits: %s", error)
                item.unsure = True
                lane.back_off(self._pace)
            except Exception as error:  # the Slack boundary: a lane outlives a bug, which is about this message alone
                log.warning("%s waits", item.key, exc_info=error)
                item.unsure = True
                item.refusals += 1
                item.back_off(self._pace, type(error).__name__)
            finally:
                lane.busy = False

    def _settle_idle(self) -> None:
        moving = [lane for lane in self._lanes.values() if lane.busy or (lane.items and not lane.dead)]
        if not moving or self._token_problem:
            self._idle.set()

    async def _deliver(self, lane: Lane, item: Item) -> None:
        row = await self._journal.message(item.key)
        if row is None or row.failed or row.sent_revision >= row.revision:
            lane.done(item)
            return
        if item.refusals >= _TRIES:
            await self._give_up(lane, item, row, item.trouble)
            return
        place = await self._place(lane, item, row)
        if place is None:
            item.waits_for = row.thread_key
            self._put(lane.channel, row.thread_key, 0)
            return
        await self._workspace_turn()
        try:
            sent = await self._out.send(row, place, unsure=item.unsure)
        except FAILURES as error:
            await self._failed(lane, item, row, understand(error))
            return
        finally:
            lane.not_before = max(lane.not_before, now() + self._pace.spacing_s)
        await self._journal.append(Draft(MessageSent(row.key, sent.revision, sent.channel, sent.ts), SYSTEM))
        lane.failures = item.failures = item.refusals = 0
        self._given_up.pop(item.key, None)
        lane.sent(item)
        if item.key in self._arrivals:
            self._arrivals[item.key].set()
        newest = await self._journal.message(item.key)
        if newest is None or newest.sent_revision >= newest.revision:
            lane.done(item)
        else:
            item.unsure = False
            item.not_before = now() + (self._pace.edit_s if newest.priority >= PROGRESS else 0.0)

    async def _place(self, lane: Lane, item: Item, row: Message) -> Place | None:
        """Where it goes; None while the thread's first message has still to be posted."""
        if item.unthreaded:
            return Place(lane.channel)
        root = await self._journal.message(row.thread_key) if row.thread_key else None
        if root is None or root.failed:
            return Place(lane.channel, row.thread_ts)
        if not root.ts:
            return None
        return Place(lane.channel, root.ts if root.channel == lane.channel else "")

    async def _failed(self, lane: Lane, item: Item, row: Message, refusal: Refusal) -> None:
        trouble = refusal.trouble
        if trouble is Trouble.BLOCKS:  # in words alone as well
            await self._give_up(lane, item, row, refusal.code)
            return
        await self._journal.append(Draft(MessageFailed(row.key, row.revision, refusal.code, final=False), SYSTEM))
        if trouble is not Trouble.PICTURE:
            log.warning("Slack did not take %s: %s", row.key, refusal.code)
        if trouble is Trouble.PICTURE:
            item.not_before = now() + min(_LONGEST_WAIT_S, self._pace.backoff_s * 2**row.attempts)
        elif trouble is Trouble.BUSY:
            lane.pause(min(refusal.retry_after, self._pace.cap_s))
        elif trouble is Trouble.ROUTE:
            self.route_dead(lane.channel, refusal.code)
        elif trouble is Trouble.TOKEN:
            self.stop(refusal.code)
        elif trouble is Trouble.UNSURE:
            item.unsure = True
            item.back_off(self._pace, refusal.code)
            if item.failures <= _STUCK:  # it may be Slack altogether: what came later does not overtake at once
                lane.back_off(self._pace)
        else:
            item.refusals += 1
            item.back_off(self._pace, refusal.code)
            if trouble is Trouble.THREAD_GONE:
                await self._another_place(lane, item, row)

    async def _give_up(self, lane: Lane, item: Item, row: Message, code: str) -> None:
        """Never again, unless there is a newer revision."""
        await self._journal.append(Draft(MessageFailed(row.key, row.revision, code, final=True), SYSTEM))
        log.warning("Slack never took %s: %s", row.key, code)
        self._given_up = {key: kept for key, kept in self._given_up.items() if now() - kept[0] < _REMEMBERED_S}
        self._given_up[row.key] = (now(), code)
        lane.done(item)

    async def _another_place(self, lane: Lane, item: Item, row: Message) -> None:
        """The thread takes no reply. Where its first message is ours it is said again, once; else the channel is the place."""
        root = await self._journal.message(row.thread_key) if row.thread_key else None
        if root is None or root.failed or item.refusals > 1:
            item.unthreaded = True
            return
        sent = await self._out.send(root, Place(lane.channel), unsure=False)
        await self._journal.append(Draft(MessageSent(root.key, sent.revision, sent.channel, sent.ts), SYSTEM))

    async def _workspace_turn(self) -> None:
        turn = max(self._next_call, now())
        self._next_call = turn + self._pace.workspace_s
        if turn > now():
            await asyncio.sleep(turn - now())
