"""What the record says of policy: for `policy suggest` and the weekly report. Reads the journal, changes nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Protocol

from domain.brakes import TrackRecord
from domain.decisions import Outcome
from domain.errors import PolicyError
from policies import amend
from policies.autonomy import Standing, standings
from policies.backtest import Backtest, Flips
from policies.policy import load
from policies.recorded import Recorded, said_of
from policies.rules import Policy
from policies.schema import ToolSchema
from storage.decisions import RecordedDecision

REVIEWED_AFTER = timedelta(days=180)
"""An earned rule expires by then: whoever wants to keep it looks at the record again."""


class Record(Protocol):
    """What is read of a journal."""

    async def track_records(self, since: datetime) -> Sequence[TrackRecord]:
        """Per tool and environment."""
        ...

    def decisions(self, since: datetime) -> AsyncIterator[RecordedDecision]:
        """Oldest first."""
        ...


@dataclass(frozen=True)
class Suggestion:
    """A change of policy that the record speaks for: the diff, and what it would have changed over the period.

    `held_back` is why it cannot be merged as it is (an invariant forbids it); then there is no back-test.
    """

    standing: Standing
    diff: str = ""
    flips: Flips | None = None
    held_back: str = ""


@dataclass(frozen=True)
class Report:
    """Every record of the period, and what follows from some of them."""

    since: datetime
    suggestions: tuple[Suggestion, ...]
    rest: tuple[Standing, ...]


@dataclass
class _Past:
    """What the decisions of one tool in one environment were: which rules asked or allowed, and the most it touched."""

    asked: dict[str, None] = field(default_factory=dict)
    allowed: dict[str, None] = field(default_factory=dict)
    touches: int = 0


async def suggest(
    record: Record,
    files: Mapping[str, str],
    tools: Sequence[ToolSchema],
    variables: Mapping[str, tuple[str, ...]],
    *,
    since: datetime,
    today: date,
) -> Report:
    """What could be allowed without asking, and what should ask again. Raises PolicyError where the policy does not load."""
    in_force = load(files, tools, variables)
    past = await _past(record, since)
    unasked = frozenset(subject for subject, each in past.items() if each.allowed)
    found = [_unless_allowed(each, past) for each in standings(await record.track_records(since), unasked)]
    suggestions = [
        _suggestion(standing, _of(standing, past), files, tools, variables, today)
        for standing in found
        if standing.proposal
    ]
    tests = [Backtest(new, in_force=in_force) if new else None for _, new in suggestions]
    async for each in record.decisions(since):
        for test in filter(None, tests):
            test.take(_recorded(each))
    results = [test.result() if test else None for test in tests]
    done = [_with(suggestion, flips) for (suggestion, _), flips in zip(suggestions, results, strict=True)]
    return Report(since, tuple(done), tuple(standing for standing in found if not standing.proposal))


async def _past(record: Record, since: datetime) -> Mapping[tuple[str, str], _Past]:
    past: dict[tuple[str, str], _Past] = defaultdict(_Past)
    async for each in record.decisions(since):
        tool, target = each.situation.get("tool") or {}, each.situation.get("target") or {}
        if tool.get("effect") == "read":
            continue
        was, said = past[str(tool.get("name")), str(target.get("environment"))], said_of(each.decision)
        if said.outcome is Outcome.ASK:
            was.asked[said.rule] = None
        elif said.left is Outcome.ALLOW:
            was.allowed[said.rule] = None
        was.touches = max(was.touches, int(target.get("touches") or 0))
    return past


def _of(standing: Standing, past: Mapping[tuple[str, str], _Past]) -> _Past:
    return past.get((standing.record.tool, standing.record.environment), _Past())


def _unless_allowed(standing: Standing, past: Mapping[tuple[str, str], _Past]) -> Standing:
    """What no rule asked, policy allows already: it is the agent's mode that asks."""
    if standing.proposal == "allow" and not _of(standing, past).asked:
        return replace(standing, proposal="", why=f"{standing.why}; policy allows it, the agent's mode asks")
    return standing


def _suggestion(
    standing: Standing,
    was: _Past,
    files: Mapping[str, str],
    tools: Sequence[ToolSchema],
    variables: Mapping[str, tuple[str, ...]],
    today: date,
) -> tuple[Suggestion, Policy | None]:
    """The changed files as a diff, and loaded; or why they cannot be."""
    changed = _allowing(standing, was, files, today) if standing.proposal == "allow" else _asking(standing, files)
    try:
        new = load(changed, tools, variables)
    except PolicyError as refused:
        # a test that says how it is today is part of what the change changes, and stands in the diff
        changed = amend.expecting(changed, refused.problems, standing.proposal, _rule_id(standing))
        try:
            new = load(changed, tools, variables)
        except PolicyError as error:
            return Suggestion(standing, held_back=error.problems[0]), None
    return Suggestion(standing, amend.difference(files, changed)), new


def _allowing(standing: Standing, was: _Past, files: Mapping[str, str], today: date) -> dict[str, str]:
    """An allow as narrow as what was seen, and the rules that asked standing back where it holds."""
    record = standing.record
    seen = f"target.touches <= {max(1, was.touches)} && !calendar.frozen"
    where = f'tool.name == "{record.tool}" && target.environment == "{record.environment}" && {seen}'
    for rule in was.asked:
        files = amend.narrowed(files, rule, where)
    lines = (
        f"  - id: {_rule_id(standing)}",
        "    decision: allow",
        f"    match: {{tools: [{record.tool}], environments: [{record.environment}]}}",
        f"    when: {amend.quoted(seen)}",
        f"    reason: {amend.quoted(f'Earned: {standing.why}, as of {today}.')}",
        f'    expires_on: "{today + REVIEWED_AFTER}"',
        "    tests:",
        "      - name: " + amend.quoted(f"{record.tool} in {record.environment} runs unasked as far as was seen"),
        f"        given: {{tool: {record.tool}, target: {{environment: {record.environment}, touches: 1}}}}",
        f"        expect: {{decision: allow, rule: {_rule_id(standing)}}}",
    )
    return amend.with_rule(files, "\n".join(lines) + "\n")


def _asking(standing: Standing, files: Mapping[str, str]) -> dict[str, str]:
    """An ask on top: it wins over every allow."""
    record = standing.record
    lines = (
        f"  - id: {_rule_id(standing)}",
        "    decision: ask",
        f"    match: {{tools: [{record.tool}], environments: [{record.environment}]}}",
        f"    reason: {amend.quoted(f'Its record asks for a person: {standing.why}.')}",
    )
    return amend.with_rule(files, "\n".join(lines) + "\n")


def _rule_id(standing: Standing) -> str:
    prefix = {"allow": "earned", "ask": "lost"}[standing.proposal]
    return f"{prefix}-{standing.record.tool}-{standing.record.environment}".replace("_", "-").lower()


def _with(suggestion: Suggestion, flips: Flips | None) -> Suggestion:
    broken = ", ".join(flips.broken) if flips else ""
    held_back = f"it would break the invariant {broken}" if broken else suggestion.held_back
    return Suggestion(suggestion.standing, suggestion.diff, flips, held_back)


def _recorded(each: RecordedDecision) -> Recorded:
    return Recorded(
        each.seq, each.at, each.situation, said_of(each.decision), each.call, each.answer, each.executed_at,
        each.verified, each.failed,
    )  # fmt: skip


# --- as words ---------------------------------------------------------------------------------------------------------


def words(report: Report) -> list[str]:
    """The report as lines, each diff and back-test under what it rests on."""
    lines = [f"From the record since {report.since:%Y-%m-%d}. Nothing changes until a person merges it."]
    if not report.suggestions:
        lines.append("Nothing is proposed.")
    for each in report.suggestions:
        record = each.standing.record
        verb = {"allow": "could run without asking", "ask": "should ask"}[each.standing.proposal]
        lines += ["", f"{record.tool} in {record.environment} {verb}: {each.standing.why}.", f"  {counts(record)}"]
        if each.held_back:
            lines.append(f"  Held back: {each.held_back.rstrip('.')}.")
        elif each.flips is not None:
            lines += [f"  {tested(each.flips)}", *(f"  {line}" for line in each.diff.splitlines())]
    if report.rest:
        lines += ["", "As it is:"]
        for rest in report.rest:
            lines.append(f"  {rest.record.tool} in {rest.record.environment}: {rest.why}. {counts(rest.record)}")
    return lines


def headlines(report: Report) -> list[str]:
    """One sentence a suggestion, for the weekly report: what, on what grounds, and how to get the diff."""
    verbs = {"allow": "could run without asking", "ask": "should ask"}
    lines = []
    for each in report.suggestions:
        record, standing = each.standing.record, each.standing
        back = f" Held back: {each.held_back.rstrip('.')}." if each.held_back else ""
        lines.append(f"{record.tool} in {record.environment} {verbs[standing.proposal]}: {standing.why}.{back}")
    if lines:
        lines.append(
            "personal-agent policy suggest prints each as a diff with its back-test. A person merges it, or does not."
        )
    return lines


def counts(record: TrackRecord) -> str:
    """The counts behind a proposal."""
    return (
        f"proposed {record.proposed}, approved as proposed {record.approved}, edited {record.edited}, denied {record.denied};"
        f" executed {record.executed}, verified {record.verified}, failed {record.failed}, taken back {record.reverted}"
    )


def tested(flips: Flips) -> str:
    """The back-test in a sentence."""
    allowed = sum(flip.count for flip in flips.flips if flip.newly_allowed)
    asked = sum(flip.count for flip in flips.flips if flip.after is Outcome.ASK and flip.before is not Outcome.ASK)
    return (
        f"Back-test over {flips.decisions:,} decisions: {allowed} would have run without asking, {asked} would have asked"
        f" instead, {flips.changed - allowed - asked} otherwise changed; no invariant broken."
    )
