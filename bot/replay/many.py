"""Many recorded runs gone through again, a row each: the same cause, the same action, tokens, cost, what nobody recorded."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

from bot.replay.cause import NEITHER, UNKNOWN, Share, Verdict
from bot.replay.compared import Compared, compare
from bot.replay.rerun import How
from domain.errors import JournalError
from domain.fold import added
from domain.runs import Usage
from storage.records import RunRecord


@dataclass(frozen=True)
class Row:
    """One run. `problem` is why it counts for nothing: it could not be gone through, or the model gave no answer."""

    run: str
    problem: str = ""
    cause: Verdict = UNKNOWN
    action: Verdict = UNKNOWN
    then: Usage = Usage()
    now: Usage = Usage()
    unanswerable: int = 0
    differences: int = 0
    flips: int = 0

    def is_otherwise(self, *, tried_model: bool) -> bool:
        """Whether this run speaks against what was tried. Another model's words differ anyway: only what it came to counts."""
        if self.problem or self.flips or not tried_model:
            return bool(self.problem or self.differences)
        return self.cause.same is not True or self.action.same is not True


async def rows(
    names: Sequence[str],
    read: Callable[[str], Awaitable[RunRecord | None]],
    how: How,
    at_once: int,
    progress: Callable[[int, int], None],
) -> list[Row]:
    """A row for each run, in their order, at most `at_once` of them at the same time: a model takes its time."""
    found: dict[str, Row] = {}
    waiting = iter(names)

    async def work() -> None:
        for name in waiting:
            found[name] = await _row(name, await read(name), how)
            progress(len(found), len(names))

    await asyncio.gather(*(work() for _ in range(max(1, min(at_once, len(names))))))
    return [found[name] for name in names]


async def _row(name: str, record: RunRecord | None, how: How) -> Row:
    if record is None:
        return Row(name, "it is not there any more")
    try:
        return row_of(await compare(record, how))
    except JournalError as error:
        return Row(name, str(error))


def row_of(compared: Compared) -> Row:
    """One run's figures."""
    then, now = compared.then, compared.now
    return Row(
        compared.recording.run.id,
        compared.failure,
        compared.cause,
        compared.action,
        then.run.usage,
        now.run.usage,
        len(compared.again.unanswerable),
        len(compared.differences),
        sum(each.kind == "decision" for each in compared.differences),
    )


@dataclass(frozen=True)
class Totals:
    """All rows together. Shares are over the runs that both came to a conclusion; what counts for nothing is `left_out`."""

    n: int
    left_out: int
    without_conclusion: int
    cause: Share
    action: Share
    neither_acts: int
    then: Usage
    now: Usage
    unanswerable: int
    unanswerable_in: int
    differing: int
    flips: int


def totals(found: Sequence[Row]) -> Totals:
    """The last lines of the table."""
    counted = [row for row in found if not row.problem]
    concluded = [row for row in counted if row.cause.same is not None]
    return Totals(
        n=len(counted),
        left_out=len(found) - len(counted),
        without_conclusion=len(counted) - len(concluded),
        cause=Share(sum(row.cause.same is True for row in concluded), len(concluded)),
        action=Share(sum(row.action.same is True for row in counted), len(counted)),
        neither_acts=sum(row.action.why == NEITHER for row in counted),
        then=reduce(added, (row.then for row in counted), Usage()),
        now=reduce(added, (row.now for row in counted), Usage()),
        unanswerable=sum(row.unanswerable for row in counted),
        unanswerable_in=sum(row.unanswerable > 0 for row in counted),
        differing=sum(row.differences > 0 for row in counted),
        flips=sum(row.flips for row in counted),
    )


def as_json(workspace: str, found: Sequence[Row], how: How) -> Mapping[str, Any]:
    """The table for a program."""
    of_all = totals(found)
    return {
        "workspace": workspace,
        "policy": how.policy.hash,
        "model": how.model.name if how.model else "as recorded",
        "runs": [
            {
                "run": row.run,
                "problem": row.problem,
                "same_cause": vars(row.cause),
                "same_action": vars(row.action),
                "recorded": _used(row.then),
                "replayed": _used(row.now),
                "unanswerable": row.unanswerable,
                "differences": row.differences,
                "flips": row.flips,
            }
            for row in found
        ],
        "totals": {
            "n": of_all.n,
            "left_out": of_all.left_out,
            "without_conclusion": of_all.without_conclusion,
            "same_cause": _share(of_all.cause),
            "same_action": {**_share(of_all.action), "neither_proposes": of_all.neither_acts},
            "recorded": _used(of_all.then),
            "replayed": _used(of_all.now),
            "unanswerable": of_all.unanswerable,
            "unanswerable_in": of_all.unanswerable_in,
            "differing": of_all.differing,
            "flips": of_all.flips,
        },
    }


def _used(usage: Usage) -> Mapping[str, int | None]:
    return {
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "cost_micros": usage.cost_micros if usage.priced else None,
    }


def _share(share: Share) -> Mapping[str, Any]:
    low, high = share.interval
    return {"count": share.count, "of": share.of, "interval_95": [round(low, 4), round(high, 4)]}
