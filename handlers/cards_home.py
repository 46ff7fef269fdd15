"""App Home: mode, four figures, what waits for a vote, what is open. Pure; readable on a phone, so one thing a line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from domain.alerts import Incident
from domain.decisions import Approval
from domain.plane import Status
from domain.report import Head
from domain.work import Rollup
from handlers import kit
from handlers.cards_approval import title_of, word_of
from handlers.cards_figures import amount, said
from handlers.cards_info import LIGHTS, status_lines
from handlers.kit import Block

_MOST = 15
Links = Mapping[str, str]


def home(now: Status, links: Links, head: Head | None = None) -> Block:
    """The view; `links` are the addresses of threads and cards by the id of what they are about."""
    return {"type": "home", "blocks": list(_blocks(now, links, head))[:100]}


def _blocks(now: Status, links: Links, head: Head | None) -> Iterator[Block]:
    yield kit.header(_state(now))
    yield from status_lines(now)
    if now.week:
        yield kit.fields(list(_four_figures(now.week)))
    yield {"type": "divider"}
    yield kit.header(f"Waiting for a vote: {len(now.pending)}")
    yield from _waiting(now.pending, links)
    yield {"type": "divider"}
    yield kit.header(f"Open incidents: {len(now.open_incidents)}")
    yield from _open(now.open_incidents, links)
    yield {"type": "divider"}
    yield kit.context(*_foot(links, head))


def _state(now: Status) -> str:
    """What matters first."""
    if now.paused:
        return "⏸️ Paused"
    if now.pending:
        return f"⏳ {kit.plural(len(now.pending), 'request')} {'waits' if len(now.pending) == 1 else 'wait'} for a vote"
    if now.open_incidents:
        return f"🔎 {kit.plural(len(now.open_incidents), 'incident')} open, nothing waits for you"
    return "✅ All quiet"


def _four_figures(week: Rollup) -> Iterator[tuple[str, str]]:
    counted, measured = week.counted, week.measured
    yield "Incidents, 7 days", f"{counted.incidents.n:,} from {kit.plural(counted.alerts.n, 'alert')}"
    yield "Alert to diagnosis", said(measured.to_diagnosis)
    yield "Changes that held", said(counted.held_share)
    yield "Saved, an estimate", f"{amount(week.estimated.net.value, 's')} · n {week.estimated.net.n:,}"


def _waiting(pending: tuple[Approval, ...], links: Links) -> Iterator[Block]:
    for approval in pending[:_MOST]:
        request = approval.request
        name = kit.safe(title_of(request.action), 120)
        what = f"*{name[:1].upper()}{name[1:]}*"
        where = kit.safe(str(request.action.target), 100)
        until = f"{word_of(approval)}, expires {kit.when(request.expires_at, '{time}')}"
        yield _linked(kit.section(f"{what}\n{where}\n{until}"), "Open", "home.card", request.id, links)
    if not pending:
        yield kit.context("Nothing waits.")
    if len(pending) > _MOST:
        yield kit.context(f"and {len(pending) - _MOST} more")


def _open(found: tuple[Incident, ...], links: Links) -> Iterator[Block]:
    for one in found[:_MOST]:
        title = f"{LIGHTS[one.severity]} *{kit.safe(one.title, 160)}*"
        since = f"{kit.safe(str(one.target), 100)}\nsince {kit.when(one.opened_at)}"
        yield _linked(kit.section(f"{title}\n{since}"), "Open", "home.thread", one.id, links)
    if not found:
        yield kit.context("None.")
    if len(found) > _MOST:
        yield kit.context(f"and {len(found) - _MOST} more")


def _linked(block: Block, text: str, action_id: str, about: str, links: Links) -> Block:
    """With a button that leads there, where it stands in Slack."""
    if about not in links:
        return block
    return block | {"accessory": kit.button(text, action_id, about) | {"url": links[about]}}


def _foot(links: Links, head: Head | None) -> Iterator[str]:
    if "weekly" in links:
        yield f"<{links['weekly']}|Last week's report>"
    if head and head.signed and head.signed_at:
        yield f"Journal signed up to event {head.signed:,}, {kit.when(head.signed_at)}"
    yield "`/agent help` lists what you can ask"
