"""A scan's list: what it would free, what is at risk, and of each finding its rule, a change to propose or an owner. Pure."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from domain.runs import Run, RunOutcome
from domain.scans import RISKS, KnownFinding, risk_of, saved
from handlers import kit
from handlers.kit import Block, Body

MOST = 10
OWNER, DAYS, REASON = "owner", "days", "reason"
_LIGHTS = {"high": "🔴", "medium": "🟠", "low": "🔵"}
_SPANS = (("1 week", "7"), ("1 month", "30"), ("1 quarter", "90"), ("1 year", "365"))


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
        yield {"type": "divider"}
    for one in shown[:MOST]:
        yield from _row(run, one)
    if len(shown) > MOST:
        yield {"type": "divider"}
        yield kit.context(_rest(shown[MOST:]))
    if snoozed := [one for one in known if one.snoozed(now)]:
        owners = ", ".join(dict.fromkeys(kit.person(one.owner) for one in snoozed[:20]))
        yield kit.context(f"💤 {kit.plural(len(snoozed), 'finding')} snoozed, with {owners}")
    if failed := _unread(run):
        names = "; ".join(dict.fromkeys(failed[:5]))
        yield kit.context(f"⚠️ {kit.safe(names, 400)}. What stands there is not judged, and nothing is taken as mended.")
    yield kit.context(
        f"Run {kit.code(run.id, 60)}. A change that is proposed passes policy and approval like any other."
    )


def _sums(shown: Sequence[KnownFinding]) -> str:
    risks = Counter(RISKS[risk_of(one.finding)] for one in shown)
    told = " · ".join(f"{_LIGHTS[risk]} {risks[risk]} {risk}" for risk in RISKS if risks[risk])
    memory, cpu = (sum(amounts) for amounts in zip(*(saved(one.finding) for one in shown), strict=True))
    freed = [f"{memory / 2**30:.1f} GiB of memory" if memory >= 2**30 else f"{memory / 2**20:.0f} MiB of memory"]
    freed = (freed if memory else []) + ([f"{cpu / 1000:.1f} CPUs"] if cpu else [])
    return told + (f"\n*{' and '.join(freed)}* of requests could be freed" if freed else "")


def _row(run: Run, one: KnownFinding) -> Iterator[Block]:
    found = one.finding
    light = _LIGHTS[RISKS[risk_of(found)]]
    block = kit.section(f"{light} *{kit.safe(found.title, 160)}*\n{kit.safe(found.detail, 320)}")
    options = [_option("Propose the change", f"propose {one.key} {run.id}")] if found.proposal else []
    options.append(_option("Snooze …", f"snooze {one.key} {run.id}"))
    yield block | {"accessory": {"type": "overflow", "action_id": "scan.finding", "options": options}}
    cited = ", ".join(item.id for item in found.evidence[:3])
    parts = [f"*{one.news}*" if one.news else "", kit.code(str(found.target), 100), kit.code(found.code, 60)]
    yield kit.context(" · ".join(filter(None, (*parts, f"evidence {kit.safe(cited, 40)}" if cited else ""))))


def _rest(left: Sequence[KnownFinding]) -> str:
    """What is not listed, by code: it stands in the journal, and comes up when what is above it is mended or snoozed."""
    codes = Counter(one.finding.code.partition(".")[2].replace("_", " ") for one in left)
    told = ", ".join(f"{count} × {kit.safe(code, 40)}" for code, count in codes.most_common(8))
    return f"and {len(left)} more: {told}"


def _option(text: str, value: str) -> Block:
    return {"text": kit.plain(text, 75), "value": value[:150]}


def _unread(run: Run) -> list[str]:
    return [found.title for found in run.findings or () if found.code == "read.failed"]


def dialog(one: KnownFinding, user: str, channel: str) -> Block:
    """Who takes it on, until when, and why it may wait."""
    owner = {
        "type": "input",
        "block_id": OWNER,
        "label": kit.plain("Who takes it on?", 60),
        "element": {"type": "users_select", "action_id": "value", "initial_user": user},
    }
    options = [_option(text, days) for text, days in _SPANS]
    span = {
        "type": "input",
        "block_id": DAYS,
        "label": kit.plain("For how long?", 60),
        "element": {"type": "static_select", "action_id": "value", "options": options, "initial_option": options[1]},
    }
    why = kit.field_input(
        REASON, "Why may it wait?", multiline=True, hint="It is recorded. Secrets are taken out.", most=500
    )
    lead = kit.paragraph(kit.span(one.finding.title, 200, bold=True))
    metadata = json.dumps({"key": one.key, "channel": channel})
    return kit.modal(
        "scan.snooze", "Snooze this finding", "Snooze", [lead, owner, span, why | {"optional": True}], metadata
    )


def submitted(view: dict[str, Any]) -> tuple[str, str, int, str]:
    """Key, owner, days and reason of a dialog that was sent; no days where what was sent is none."""
    values = view["state"]["values"]
    known = json.loads(view.get("private_metadata") or "{}")
    owner = str((values.get(OWNER) or {}).get("value", {}).get("selected_user") or "")
    chosen = str(((values.get(DAYS) or {}).get("value", {}).get("selected_option") or {}).get("value") or "")
    reason = str((values.get(REASON) or {}).get("value", {}).get("value") or "")
    return str(known.get("key") or ""), owner, int(chosen) if chosen.isdecimal() else 0, reason
