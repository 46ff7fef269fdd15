"""`personal-agent policy backtest`: what a changed policy would have decided, over what was really decided."""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bot.commands.roi import period
from bot.config import Settings
from bot.policy_files import known_tools, read_folder, variables
from domain.codec import timestamp
from domain.errors import PolicyError, SettingsError
from policies.backtest import Backtest, Example, Flip, Flips
from policies.policy import load as load_policy
from policies.recorded import Recorded, said_of
from policies.rules import Policy
from storage.decisions import RecordedDecision
from storage.reader import read_journal, workspaces_in

EVERY = 500
"""The progress bar moves after so many decisions."""


def run(new: Policy, settings: Settings, options: argparse.Namespace) -> int:
    """0 where every invariant holds, 1 where the new policy would have broken one. Raises SettingsError, JournalError."""
    since = datetime.now(UTC) - period(options.since)
    if not Path(settings.agent_database).exists():
        raise SettingsError(f"AGENT_DATABASE: there is no database at {settings.agent_database}")
    in_force = _in_force(settings)
    gc.freeze()  # what is loaded stays: it need not be walked again while records come and go
    broken = False
    for workspace in workspaces_in(settings.agent_database) or ["local"]:
        test = Backtest(new, in_force=in_force, counterfactual=options.counterfactual)
        asyncio.run(_take_all(test, settings.agent_database, workspace, since))
        result = test.result()
        broken |= bool(result.broken)
        if options.json:
            print(json.dumps(as_json(workspace, since, new, result, options), ensure_ascii=False))
        else:
            print("\n".join(lines(workspace, since, new, result, options)))
    return 1 if broken else 0


def recorded_of(each: RecordedDecision) -> Recorded:
    """A decision of the journal as back-tests read it."""
    return Recorded(
        each.seq,
        each.at,
        each.situation,
        said_of(each.decision),
        each.call,
        each.answer,
        each.executed_at,
        each.verified,
        each.failed,
    )


def _in_force(settings: Settings) -> Policy | None:
    """The policy that decides today, for its invariants; None where it is refused, and then nothing is in force."""
    try:
        return load_policy(read_folder(settings.agent_policy), known_tools(settings), variables(settings))
    except PolicyError:
        return None


async def _take_all(test: Backtest, path: str, workspace: str, since: datetime) -> None:
    async with read_journal(path, workspace) as journal:
        total, done = await journal.count_decisions(since), 0
        async for each in journal.decisions(since):
            test.take(recorded_of(each))
            done += 1
            if done % EVERY == 0 or done == total:
                show_progress(done, total)


def show_progress(done: int, total: int) -> None:
    """A bar on stderr, where a person looks at it."""
    if sys.stderr.isatty():
        filled = 30 * done // max(1, total)
        end = "\r" if done < total else "\n"
        print(f"\r[{'#' * filled}{'.' * (30 - filled)}] {done:,} of {total:,}", end=end, file=sys.stderr, flush=True)


# --- for a person -----------------------------------------------------------------------------------------------------


def lines(workspace: str, since: datetime, new: Policy, result: Flips, options: argparse.Namespace) -> Iterator[str]:
    """The result as text: the dangerous first."""
    how = "rates and trust recomputed" if options.counterfactual else "inputs as they were recorded"
    yield f"{workspace}: {result.decisions:,} decisions since {since:%Y-%m-%d %H:%M} UTC, {how}, policy {new.hash[:12]}"
    if not result.decisions:
        yield "  nothing is recorded there, so nothing can be compared"
        return
    if options.counterfactual:
        yield f"  {result.drifted:,} of them would have seen other rates or trust"
    by_rule = sum(flip.count for flip in result.flips) - result.changed
    yield f"  {result.changed:,} would come out otherwise, {by_rule:,} the same by another rule"
    for flip in result.flips:
        yield ""
        yield f"{_alarm(flip)}{flip.count:,} × {_side(flip.before, flip.before_rule)} -> {_side(flip.after, flip.after_rule)}"
        yield from (f"    {line(example)}" for example in flip.examples)
    yield ""
    yield from _questions(result)
    for name, times in result.broken.items():
        yield f"BROKEN {times:,} ×: the invariant '{name}'"
    if not result.broken:
        yield "no invariant is broken"


def line(example: Example) -> str:
    """One recorded decision in a line."""
    tool, target = example.situation.get("tool", {}), example.situation.get("target", {})
    thing = "/".join(str(target[part]) for part in ("namespace", "kind", "name") if target.get(part))
    args = json.dumps(example.situation.get("args", {}), ensure_ascii=True, sort_keys=True)
    args = args if len(args) <= 100 else args[:99] + "…"
    return f"{example.at:%Y-%m-%d %H:%M} #{example.seq} {tool.get('name')} {thing} ({target.get('environment')}) {args}"


def _alarm(flip: Flip) -> str:
    if flip.newly_allowed:
        return "NEWLY ALLOWED, DESTRUCTIVE: " if flip.destructive else "newly allowed: "
    return "loosened: " if flip.loosens else ""


def _side(outcome: str, rule: str) -> str:
    return f"{outcome} ({rule or 'no rule'})"


def _questions(result: Flips) -> Iterator[str]:
    before, after = result.asked_before, result.asked_after
    for group in sorted({*before, *after}):
        was, becomes = (asked.get(group, 0) / result.days for asked in (before, after))
        yield f"questions to {group}: {was:.1f} a day before, {becomes:.1f} after"


# --- for a program ----------------------------------------------------------------------------------------------------


def as_json(workspace: str, since: datetime, new: Policy, result: Flips, options: argparse.Namespace) -> dict[str, Any]:
    """The same as one JSON object."""
    groups = sorted({*result.asked_before, *result.asked_after})
    return {
        "workspace": workspace,
        "since": timestamp(since),
        "policy": new.hash,
        "counterfactual": options.counterfactual,
        "decisions": result.decisions,
        "changed": result.changed,
        "drifted": result.drifted,
        "days": round(result.days, 3),
        "flips": [_flip_as_json(flip) for flip in result.flips],
        "approvals_per_day": {
            group: {
                "before": round(result.asked_before.get(group, 0) / result.days, 3),
                "after": round(result.asked_after.get(group, 0) / result.days, 3),
            }
            for group in groups
        },
        "broken": dict(result.broken),
    }


def _flip_as_json(flip: Flip) -> dict[str, Any]:
    return {
        "before": {"outcome": flip.before.value, "rule": flip.before_rule},
        "after": {"outcome": flip.after.value, "rule": flip.after_rule},
        "destructive": flip.destructive,
        "newly_allowed": flip.newly_allowed,
        "loosens": flip.loosens,
        "count": flip.count,
        "examples": [
            {"seq": example.seq, "at": timestamp(example.at), "situation": example.situation}
            for example in flip.examples
        ],
    }
