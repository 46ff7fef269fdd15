"""The Chat port: what each Slack message should say now, written to the outbox. `sender.py` makes Slack agree."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import Callable, Sequence
from datetime import datetime
from hashlib import sha256
from typing import Any, Protocol
from weakref import WeakValueDictionary

from domain.alerts import Incident
from domain.audit import CHECKPOINT_MESSAGES, CheckpointSigned
from domain.authority import BreakGlass
from domain.canonical import digest_of, plain
from domain.decisions import SYSTEM, Approval
from domain.errors import ChatError
from domain.events import Draft, MessageWanted, PictureSent, PictureWanted
from domain.messages import CARD, PROGRESS as PROGRESS_KEY
from domain.ports import Journal, Message
from domain.report import Report
from domain.runs import Origin, Run, RunSpec, RunStatus
from domain.scans import CONFIGURATION, KnownFinding
from handlers import cards, cards_audit, cards_authority, cards_scan
from handlers.blocks import degrade, fit, problems
from handlers.cards_approval import approval as approval_card, call_to
from handlers.cards_batch import batch as batch_card
from handlers.cards_figures import picture
from handlers.cards_week import headline, weekly
from handlers.kit import Block, Body
from handlers.links import cases, threads

# Lower goes first: the incident's message carries the thread, then what a person must decide, then results, then progress.
ROOT, APPROVAL, RESULT, PROGRESS = 0, 1, 3, 7
_PEOPLE = (Origin.MENTION, Origin.COMMAND, Origin.SHORTCUT, Origin.THREAD)
_NOT_WORDS = frozenset({"type", "action_id", "block_id", "task_id", "value", "style", "status", "user_id", "color"})


class Lanes(Protocol):
    """What the Chat needs of the sender."""

    async def picture(self, name: str, alt_text: str, content: bytes) -> str:
        """Hand a picture to Slack; its id, or empty where Slack refuses it for good. Raises ChatError."""
        ...

    def wake(self, key: str, channel: str, priority: int) -> None:
        """There is a newer revision of `key` in the outbox."""

    def watched_by(self, key: str, user: str) -> None:
        """This person waits for `key`: it may be streamed to them."""


class SlackChat:
    """Slack as the core sees it. Every call is durable when it returns and changes nothing when nothing changed.

    `channel` is where incidents open that name none; `redact` takes secrets out of text; `home` is the workspace's own
    address.
    """

    def __init__(
        self,
        journal: Journal,
        lanes: Lanes,
        channel: str,
        redact: Callable[[str], str],
        home: str = "",
    ) -> None:
        self._journal = journal
        self._lanes = lanes
        self._channel = channel
        self._redact = redact
        self._home = home
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def incident(self, incident: Incident, *, status: str = "") -> None:
        """The incident's message. An incident in a person's own thread has no message of ours at its top."""
        key = root_key(incident.id)
        if incident.thread_ts and await self._journal.message(key) is None:
            return
        runs = () if incident.open else await self._journal.runs(incident_id=incident.id)
        finished = bool(runs) and all(row.status is RunStatus.FINISHED for row in runs)
        body = cards.incident(incident, status, finished=finished)
        channel = incident.channel or self._channel
        await self.want(key, body, channel=channel, priority=ROOT, incident_id=incident.id)

    async def progress(self, run: Run) -> None:
        """The run's progress in the thread; streamed to the person who asked. A scan's list takes its place."""
        key = progress_key(run.id)
        scan = run.spec.target.system == CONFIGURATION
        if scan and (run.spec.origin is Origin.SCHEDULE or run.status is RunStatus.FINISHED):
            return
        known = await self._journal.message(key)
        stands = bool(known and known.ts)
        if run.spec.origin in _PEOPLE and run.spec.requester and not stands:
            self._lanes.watched_by(key, run.spec.requester)
        # the findings stand above the card that rests on them; only later edits may wait behind others
        priority = PROGRESS if stands else APPROVAL
        await self._in_thread(key, cards.progress(run), run.spec.incident_id, priority, run.spec)

    async def diagnosis(self, run: Run) -> None:
        """The run's conclusion in the thread."""
        await self._in_thread(f"diagnosis:{run.id}", cards.diagnosis(run), run.spec.incident_id, RESULT, run.spec)

    async def scan(self, run: Run, known: Sequence[KnownFinding], now: datetime) -> None:
        """The list of a scan, as it stands now, where its progress was. A scheduled one speaks when there is news."""
        key = progress_key(run.id)
        fresh = any(one.news and not one.snoozed(now) for one in known)
        if run.spec.origin is Origin.SCHEDULE and not fresh and await self._journal.message(key) is None:
            return
        await self._in_thread(key, cards_scan.findings(run, known, now), "", RESULT, run.spec)

    async def approval(self, approval: Approval) -> None:
        """The approval card, in whatever state it is."""
        request = approval.request
        items = await self._journal.of_batch(request.batch) if request.batch else ()
        body = batch_card(items) if items else approval_card(approval)
        run = await self._journal.run(request.run_id)
        spec = run.spec if run else None
        await self._in_thread(approval_key(request.card), body, request.incident_id, APPROVAL, spec, request.run_id)

    async def call(self, approval: Approval, mentions: Sequence[str], *, escalated: bool) -> None:
        """Call people to a request that waits, in its thread; said once per request and kind."""
        request = approval.request
        key = f"{'escalation' if escalated else 'reminder'}:{request.card}"
        if await self._journal.message(key) is None:
            body = call_to(approval, mentions, escalated=escalated)
            run = await self._journal.run(request.run_id)
            spec = run.spec if run else None
            await self._in_thread(key, body, request.incident_id, APPROVAL, spec, request.run_id)

    async def break_glass(self, glass: BreakGlass, uses: Sequence[Approval], now: datetime) -> None:
        """The public notice of a break-glass: in the incident's channel itself, not down in its thread."""
        incident = await self._journal.incident(glass.incident_id)
        channel = (incident.channel if incident else "") or self._channel
        body = cards_authority.notice(glass, uses, now)
        await self.want(glass.id, body, channel=channel, priority=APPROVAL, incident_id=glass.incident_id)

    async def review_wanted(self, glass: BreakGlass, mentions: Sequence[str], day: int) -> None:
        """Ask for the review of a break-glass below its notice; said once per day."""
        key, incident = glass.review_key(day), await self._journal.incident(glass.incident_id)
        if await self._journal.message(key) is None:
            await self.want(
                key,
                cards_authority.review_wanted(glass, mentions, day),
                channel=(incident.channel if incident else "") or self._channel,
                priority=RESULT,
                thread_key=glass.id,
                incident_id=glass.incident_id,
            )

    async def weekly(self, report: Report, chart: bytes, *, patient: bool) -> None:
        """The weekly message. Raises ChatError where Slack does not take the chart now and the message may wait for it."""
        key, picture = report.week.key, ""
        try:
            if chart:
                picture = await self.picture(key, f"{key.partition(':')[2]}.png", headline(report.rollup), chart)
        except ChatError:
            if patient:
                raise
        links = await threads(self._journal, self._home, cases(report))
        body = weekly(report, links, picture)
        await self.want(key, body, channel=self._channel, priority=RESULT, shared_since=report.week.due)

    async def chart(self, run: Run, alt_text: str, content: bytes) -> None:
        """A PNG in the run's thread, once per run. Raises ChatError where Slack may take it later."""
        key, said = f"chart:{run.id}", self._redact(alt_text)
        if await self._journal.message(key) is not None:
            return
        file_id = await self.picture(key, f"{run.id}.png", said, content)
        if file_id:
            body = Body(said, (picture(file_id, said),))
            await self._in_thread(key, body, run.spec.incident_id, RESULT, run.spec)

    async def notice(self, incident_id: str, key: str, text: str) -> None:
        """A short sentence in the incident's thread; another one under the same key takes its place."""
        await self._in_thread(f"notice:{incident_id}:{key}", cards.notice(text), incident_id, RESULT)

    async def picture(self, key: str, name: str, alt_text: str, content: bytes) -> str:
        """Slack's id of a PNG that the message `key` is going to show; empty where Slack refuses it for good.

        Raises ChatError where Slack may take it later.
        """
        digest = sha256(content).hexdigest()
        encoded = b64encode(content).decode()
        await self._journal.append(Draft(PictureWanted(key, name, alt_text, digest, encoded), SYSTEM))
        file_id = await self._lanes.picture(name, alt_text, content)
        if file_id:
            await self._journal.append(Draft(PictureSent(key, digest, file_id), SYSTEM))
        return file_id

    async def checkpoint(self, channel: str, event: CheckpointSigned) -> str:
        """A checkpoint of the journal, said once in the channel; the message's key. Not redacted: it is all hashes."""
        key = f"{CHECKPOINT_MESSAGES}{event.size}"
        await self.want(key, cards_audit.checkpoint(event), channel=channel, priority=PROGRESS, verbatim=True)
        return key

    async def _in_thread(
        self, key: str, body: Body, incident_id: str, priority: int, spec: RunSpec | None = None, run_id: str = ""
    ) -> None:
        run_id = spec.id if spec else run_id
        incident = await self._journal.incident(incident_id) if incident_id else None
        channel = (spec.channel if spec else "") or (incident.channel if incident else "") or self._channel
        thread_ts = (spec.thread_ts if spec else "") or (incident.thread_ts if incident else "")
        root = root_key(incident_id) if incident_id else "" if thread_ts else progress_key(run_id)
        await self.want(
            key,
            body,
            channel=channel,
            priority=priority,
            thread_key="" if key == root else root,
            thread_ts=thread_ts,
            incident_id=incident_id,
            run_id=run_id,
        )

    async def want(
        self,
        key: str,
        body: Body,
        *,
        channel: str,
        priority: int,
        thread_key: str = "",
        thread_ts: str = "",
        incident_id: str = "",
        run_id: str = "",
        shared_since: datetime | None = None,
        verbatim: bool = False,
    ) -> None:
        """Record what the message `key` should say now, and wake the channel's lane. `verbatim` is not redacted."""
        settled = settle(body, str if verbatim else self._redact)
        async with self._lock(key):
            known = await self._journal.message(key)
            if known and content_hash(known) == content_hash(settled):
                return
            # once it stands somewhere it is edited there
            channel = known.channel if known and known.ts else channel
            wanted = MessageWanted(
                key=key,
                revision=known.revision + 1 if known else 1,
                channel=channel,
                thread_key=thread_key,
                text=settled.text,
                blocks=settled.blocks,
                priority=priority,
                thread_ts=thread_ts,
                attachments=settled.attachments,
                shared_since=shared_since,
            )
            await self._journal.append(Draft(wanted, SYSTEM, incident_id, run_id))
        self._lanes.wake(key, channel, priority)

    def _lock(self, key: str) -> asyncio.Lock:
        lock = self._locks.get(key)
        if lock is None:
            lock = self._locks[key] = asyncio.Lock()
        return lock


def root_key(incident_id: str) -> str:
    """The outbox key of an incident's message."""
    return f"incident:{incident_id}"


def progress_key(run_id: str) -> str:
    """The outbox key of a run's progress; where there is no incident and no thread yet, it carries the thread."""
    return f"{PROGRESS_KEY}{run_id}"


def approval_key(approval_id: str) -> str:
    """The outbox key of an approval's card."""
    return f"{CARD}{approval_id}"


def content_hash(message: Message | Body) -> str:
    """The same for the same words and blocks, whatever became of them."""
    return digest_of(plain([message.text, list(message.blocks), list(message.attachments)]))


def settle(body: Body, redact: Callable[[str], str]) -> Body:
    """The body as it may be sent: redacted, plain JSON, and nothing in it that Slack would refuse."""
    text = fit(redact(body.text), 3000) or "…"
    blocks = acceptable([redacted(block, redact) for block in body.blocks], text)
    attachments = [redacted(attachment, redact) for attachment in body.attachments]
    for attachment in attachments:
        attachment["blocks"] = acceptable(attachment["blocks"], text)
    return Body(text, tuple(blocks), tuple(attachments))


def acceptable(blocks: Sequence[Block], text: str) -> list[Block]:
    """`blocks` where Slack takes them, else in simpler blocks, else the text alone."""
    for attempt in (list(blocks), degrade(list(blocks))):
        if not problems(attempt):
            return attempt
    return plain_text(text)


def plain_text(text: str) -> list[Block]:
    """The last resort: words in one block."""
    return [{"type": "section", "text": {"type": "plain_text", "text": fit(text, 3000) or "…", "emoji": False}}]


def redacted(value: Any, redact: Callable[[str], str]) -> Any:
    """`value` with secrets taken out of every string that people can read."""
    if isinstance(value, str):
        return redact(plain(value))
    if isinstance(value, dict):
        return {key: inner if key in _NOT_WORDS else redacted(inner, redact) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [redacted(inner, redact) for inner in value]
    return value
