"""A scan's list: what it would free, what is at risk, and of each finding its rule, a change to propose or an owner. Pure."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from typing import Any

from domain.runs import Run, RunOutcome
from domain.scans import RISKS, KnownFinding, risk_of, saved
from handlers import kit
from handlers.kit import Block, Body

MOST = 10
OWNER, UNTIL, REASON = "owner", "until", "reason"
_LIGHTS = {"high": "🔴", "medium": "🟠", "low": "🔵"}


def findings(run: Run, known: Sequence[KnownFinding], now: datetime) -> Body:
    """The list of a scan as it stands now: what is snoozed is counted, not shown."""
    shown = [one for one in known if not one.snoozed(now)]
    scope = f"in {run.spec.target.namespace}" if run.spec.target.namespace else "in all namespaces"
    if run.outcome in (RunOutcome.FAILED, RunOutcome.CANCELLED) and not known:
        text = f"Configuration scan {scope} stopped"
        return Body(kit.safe(text), (kit.header(text), kit.section(kit.safe(run.reason or "It was stopped.", 300))))
    count = kit.plural(len(shown), "finding") if shown else "nothing to mend"
    if not shown and _unread(run):
        count = "not everything could be read"
    text = f"Configuration scan {scope}: {count}"
    return Body(kit.safe(text), kit.within(_listed(run, known, shown, text, now)))


def _listed(
    run: Run, known: Sequence[KnownFinding], shown: Sequence[KnownFinding], text: str, now: datetime
) -> Iterator[Block]:
    yield kit.header(text)
    if shown:
        yield kit.section(_sums(shown))
    first = all(one.news == "new" for one in shown)  # where everything is new, the word says nothing
    for one in shown[:MOST]:
        yield from _row(run, one, "" if first else one.news)
    yield {"type": "divider"}
    if len(shown) > MOST:
        yield kit.context(_rest(shown[MOST:]))
    if snoozed := [one for one in known if one.snoozed(now)]:
        owners = ", ".join(dict.fromkeys(kit.person(one.owner) for one in snoozed[:20]))
        yield kit.context(f"💤 {kit.plural(len(snoozed), 'finding')} snoozed, with {owners}")
    if failed := _unread(run):
        names = ", ".join(dict.fromkeys(title.removeprefix("Could not look at ") for title in failed))
        missed = f"⚠️ Could not look at {kit.safe(names, 400)}."
        yield kit.context(f"{missed} What stands there is not judged, and nothing is taken as mended.")
    yield kit.context(
        f"Run {kit.code(run.id, 60)}. A change that is proposed passes policy and approval like any other."
    )


def _sums(shown: Sequence[KnownFinding]) -> str:
    risks = Counter(RISKS[risk_of(one.finding)] for one in shown)
    told = " · ".join(f"{_LIGHTS[risk]} {risks[risk]} {risk}" for risk in RISKS if risks[risk])
    memory, cpu = (sum(amounts) for amounts in zip(*(saved(one.finding) for one in shown), strict=True))
    freed = [f"{memory / 2**30:.1f} GiB of memory" if memory >= 2**30 else f"{memory / 2**20:.0f} MiB of memory"]
    freed = (freed if memory else []) + ([f"{cpu / 1000:.1f} CPUs"] if cpu else [])
    return f"*{' and '.join(freed)}* of requests could be freed\n{told}" if freed else told


def _row(run: Run, one: KnownFinding, news: str) -> Iterator[Block]:
    found = one.finding
    light = _LIGHTS[RISKS[risk_of(found)]]
    why = str(found.facts.get("why") or found.detail)
    yield {"type": "divider"}
    block = kit.section(f"{light} *{kit.safe(found.title, 160)}*\n{kit.safe(why, 320)}")
    options = [_option("Propose the change", f"propose {one.key} {run.id}")] if found.proposal else []
    options.append(_option("Snooze …", f"snooze {one.key} {run.id}"))
    yield block | {"accessory": {"type": "overflow", "action_id": "scan.finding", "options": options}}
    cited = ", ".join(item.id for item in found.evidence[:4])
    place = f"{kit.code(str(found.target), 100)} {kit.safe(str(found.facts.get('field', '')), 100)}"
    kept = found.facts.get("manifest")
    file = f"{kept.get('project')} {kept.get('path')}" if isinstance(kept, dict) else ""
    where = f"manifest {kit.code(file, 120)}" if file else ""
    parts = (f"*{news}*" if news else "", place, where, cited and f"evidence {cited}")
    yield kit.context(" · ".join(filter(None, parts)))


def _rest(left: Sequence[KnownFinding]) -> str:
    """What is not listed, by code: it stands in the journal, and comes up when what is above it is mended or snoozed."""
    codes = Counter(one.finding.code.partition(".")[2].replace("_", " ") for one in left)
    told = ", ".join(f"{count} × {kit.safe(code, 40)}" for code, count in codes.most_common(8))
    return f"and {len(left)} more: {told}"


def _option(text: str, value: str) -> Block:
    return {"text": kit.plain(text, 75), "value": value[:150]}


def _unread(run: Run) -> list[str]:
    return [found.title for found in run.findings or () if found.code == "read.failed"]


def dialog(one: KnownFinding, user: str, channel: str, today: date) -> Block:
    """Who takes it on, until when, and why it may wait."""
    owner = _input(OWNER, "Who takes it on?", {"type": "users_select", "initial_user": user})
    month = (today + timedelta(days=30)).isoformat()
    until = _input(UNTIL, "Until when may it wait?", {"type": "datepicker", "initial_date": month})
    why = kit.field_input(REASON, "Why?", multiline=True, hint="It is recorded. Secrets are taken out.", most=500)
    lead = kit.paragraph(kit.span(one.finding.title, 200, bold=True))
    metadata = json.dumps({"key": one.key, "channel": channel})
    blocks = [lead, owner, until, why | {"optional": True}]
    return kit.modal("scan.snooze", "Snooze this finding", "Snooze", blocks, metadata)


def _input(block_id: str, label: str, element: Block) -> Block:
    element = element | {"action_id": "value"}
    return {"type": "input", "block_id": block_id, "label": kit.plain(label, 60), "element": element}


def submitted(view: dict[str, Any]) -> tuple[str, str, date, str]:
    """Key, owner, day and reason of a dialog that was sent; what is no day is the first of all, which nobody accepts."""
    values = view["state"]["values"]
    known = json.loads(view.get("private_metadata") or "{}")
    owner = str((values.get(OWNER) or {}).get("value", {}).get("selected_user") or "")
    chosen = str((values.get(UNTIL) or {}).get("value", {}).get("selected_date") or "")
    reason = str((values.get(REASON) or {}).get("value", {}).get("value") or "")
    try:
        until = date.fromisoformat(chosen)
    except ValueError:
        until = date.min
    return str(known.get("key") or ""), owner, until, reason
