"""What is otherwise in a run gone through again, computed from both runs' events. Ids and times are not compared.

Calls are told apart by tool and canonical arguments, the second same call from the first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from bot.agent.step import parse_arguments
from bot.replay.beats import call as call_in_words
from bot.replay.recording import Key, Keys
from domain import events
from domain.canonical import canonical, plain
from domain.decisions import Approval, ApprovalTerms, Decision
from domain.diagnosis import Diagnosis
from domain.errors import BadInput
from domain.events import Envelope
from domain.runs import Call, Run, Usage

SHOWN = 100
"""Characters of a text that a difference shows."""
NOT_THERE, SILENT = "–", "silent"


@dataclass(frozen=True)
class Difference:
    """One thing that is otherwise: of what kind, about what, and both sides in words."""

    kind: str
    about: str
    before: str
    after: str

    def __str__(self) -> str:
        about = f"{self.about}: " if self.about else ""
        return f"{self.kind:<11} {about}{self.before} → {self.after}"


@dataclass(frozen=True)
class Traced:
    """A call and every word of policy on it, in order. `change`: it is a proposal, whatever became of it."""

    call: Call
    decisions: tuple[Decision, ...] = ()
    change: bool = False


@dataclass(frozen=True)
class Trace:
    """One run as it is compared. `asked` is what was added to what a model had been told, by step and model."""

    run: Run
    calls: Mapping[tuple[Key, int], Traced]
    asked: Mapping[tuple[int, str], str] = field(default_factory=dict)


def trace_of(run: Run, envelopes: Sequence[Envelope], keys: Keys) -> Trace:
    """A run and its events as they are compared."""
    decisions: dict[str, list[Decision]] = {}
    asked: dict[tuple[int, str], str] = {}
    for each in envelopes:
        match each.event:
            case events.DecisionMade(call_id, _, decision):
                decisions.setdefault(call_id, []).append(decision)
            case events.ModelAsked(step, model, messages):
                asked[step, model] = canonical(plain(messages)).decode()
    calls: dict[tuple[Key, int], Traced] = {}
    seen: dict[Key, int] = {}
    for call in run.calls.values():
        key = keys.of_call(call.call)
        seen[key] = seen.get(key, 0) + 1
        words = tuple(decisions.get(call.call.id, ()))
        calls[key, seen[key]] = Traced(call, words, keys.changes(call.call))
    return Trace(run, calls, asked)


def differences(then: Trace, now: Trace, *, same_model: bool, ended: str = "") -> list[Difference]:
    """Everything that is otherwise, what decides first. `same_model`: its answers are the recorded ones, so that what it
    was told is compared too. `ended` is why the second run stopped before its end.
    """
    return [
        *_of_calls(then, now),
        *_of_findings(then.run, now.run),
        *(_of_requests(then, now) if same_model else ()),
        *_of_conclusion(then, now),
        *_of_outcome(then.run, now.run, ended),
        *_of_figures(then.run, now.run),
    ]


# --- calls ------------------------------------------------------------------------------------------------------------


def _of_calls(then: Trace, now: Trace) -> Iterator[Difference]:
    for key in dict.fromkeys((*then.calls, *now.calls)):
        before, after = then.calls.get(key), now.calls.get(key)
        about = name_of(key[0], key[1])
        if before is not None and _was_next(before, then.run):
            continue
        if before is not None and after is not None:
            yield from _of_call(about, before, after)
        else:
            one = before or after
            kind = "proposal" if one is not None and one.change else "call"
            yield Difference(kind, about, _state(before), _state(after))


def _was_next(traced: Traced, run: Run) -> bool:
    """A call of a run that still goes on, which nobody had looked at yet."""
    return run.outcome is None and not traced.decisions and traced.call.result is None


def _of_call(about: str, before: Traced, after: Traced) -> Iterator[Difference]:
    if before.decisions != after.decisions:
        yield from _of_decisions(about, before.decisions, after.decisions)
    sides: tuple[tuple[str, Callable[[Call], str]], ...] = (
        ("refused", _refusal),
        ("asked", lambda call: _question(call.approval)),
        ("execution", _execution),
        ("result", _result),
    )
    for kind, side in sides:
        one, other = side(before.call), side(after.call)
        if one != other:
            yield Difference(kind, about, *_apart(one, other))


def _of_decisions(about: str, before: Sequence[Decision], after: Sequence[Decision]) -> Iterator[Difference]:
    said = [" then ".join(_decision(each) for each in side) or NOT_THERE for side in (before, after)]
    if said[0] != said[1]:
        yield Difference("decision", about, said[0], said[1])
    for then, now in zip(before, after, strict=False):
        yield from _of_terms(about, then.terms, now.terms)
    spoke = [{each.rule: _verdict(each) for one in side for each in one.verdicts} for side in (before, after)]
    for rule in dict.fromkeys((*spoke[0], *spoke[1])):
        one, other = (side.get(rule, "") for side in spoke)
        if one != other and (_counts(one) or _counts(other)):
            yield Difference("rule", about, f"{rule} {one or SILENT}", f"{rule} {other or SILENT}")


def _of_terms(about: str, before: ApprovalTerms | None, after: ApprovalTerms | None) -> Iterator[Difference]:
    """The conditions of an approval that a decision in words leaves out."""
    if before is None or after is None:
        return
    for each in fields(ApprovalTerms):
        one, other = getattr(before, each.name), getattr(after, each.name)
        if one != other and each.name not in ("groups", "quorum"):
            yield Difference("terms", about, f"{each.name} {_term(one)}", f"{each.name} {_term(other)}")


def _term(value: Any) -> str:
    return (", ".join(value) or NOT_THERE) if isinstance(value, tuple) else str(value)


def _decision(decision: Decision) -> str:
    observe = ", only recorded" if decision.observe else ""
    groups = f" of {' or '.join(decision.terms.groups)}" if decision.terms else ""
    quorum = f" ({decision.terms.quorum})" if decision.terms and decision.terms.quorum > 1 else ""
    return f"{decision.outcome.value}{groups}{quorum} by {decision.rule or 'no rule'}{observe}"


def _verdict(verdict: Any) -> str:
    mode = "" if verdict.mode == "enforce" else f", {verdict.mode} only"
    return f"{verdict.result.replace('_', ' ')} ({verdict.decision.value}{mode})"


def _counts(verdict: str) -> bool:
    """A rule that did not match says nothing, whichever version of it that was."""
    return bool(verdict) and not verdict.startswith("not matched")


def _is_change(call: Call) -> bool:
    return call.action is not None and call.action.effect.value != "read"


def _state(traced: Traced | None) -> str:
    """A call that only one side has: how far it came."""
    if traced is None:
        return "not made"
    call = traced.call
    last = _execution(call) or _question(call.approval) or _refusal(call)
    return last or (_decision(traced.decisions[-1]) if traced.decisions else "made")


def _refusal(call: Call) -> str:
    """A call that was not understood, or not taken: its reason names tools and runs, so that only its being so counts."""
    return "refused" if call.action is None and call.result is not None else ""


def _question(approval: Approval | None) -> str:
    if approval is None:
        return ""
    votes = ", ".join(f"{vote.verdict.value} by {vote.name or vote.user}" for vote in approval.votes)
    observe = "only recorded, " if approval.request.observe_only else ""
    return f"{observe}{approval.state.value}{f' ({votes})' if votes else ''}"


def _execution(call: Call) -> str:
    execution = call.execution
    if execution is None:
        return ""
    outcome = execution.outcome.value if execution.outcome else "under way"
    held = {True: ", verified", False: ", not verified", None: ""}[execution.verified]
    checks = "; ".join(f"{'✓' if check.passed else '✗'} {check.name}: {check.detail}" for check in execution.checks)
    return f"{outcome}{held}: {execution.detail}{f' [{checks}]' if checks else ''}"


def _result(call: Call) -> str:
    """What the model was shown of a read, under the number that it is cited by. A change's is told by its parts."""
    result = call.result
    if result is None or _is_change(call) or call.action is None:
        return ""
    return f"{result.evidence_id} {result.text}" if result.ok else result.text


# --- what was made of it ----------------------------------------------------------------------------------------------


def _of_findings(then: Run, now: Run) -> Iterator[Difference]:
    sides = [{(found.code, found.target.key): found.title for found in run.findings or ()} for run in (then, now)]
    for code, key in dict.fromkeys((*sides[0], *sides[1])):
        one, other = (side.get((code, key), NOT_THERE) for side in sides)
        if one != other:
            yield Difference("finding", f"{code} on {key}", one, other)


def _of_requests(then: Trace, now: Trace) -> Iterator[Difference]:
    """Where the model would have been told something else: its recorded answers are answers to what it was told then."""
    for step, model in sorted({*then.asked} & {*now.asked}):
        one, other = then.asked[step, model], now.asked[step, model]
        if one != other:
            yield Difference("prompt", f"from step {step} on, to {model}", *_apart(one, other))
            return


def _of_conclusion(then: Trace, now: Trace) -> Iterator[Difference]:
    before, after = then.run.diagnosis, now.run.diagnosis
    one, other = (_conclusion(trace, diagnosis) for trace, diagnosis in ((then, before), (now, after)))
    if one != other:
        yield Difference("conclusion", "", *_apart(one, other))
    looks = [
        f"{run.second_look.verdict}: {run.second_look.reason}" if run.second_look else "" for run in (then.run, now.run)
    ]
    if looks[0] != looks[1]:
        yield Difference("second look", "", *_apart(*looks))


def _conclusion(trace: Trace, diagnosis: Diagnosis | None) -> str:
    if diagnosis is None:
        return "none"
    ids = " ".join(each.id for each in diagnosis.evidence)
    more = [f"perhaps {each.text} ({each.next_check})" for each in diagnosis.hypotheses]
    more += [f"next {each}" for each in diagnosis.next_steps]
    more += [diagnosis.note] if diagnosis.note else []
    head = f"{diagnosis.confidence.value.replace('_', ' ')} by {diagnosis.by} [{ids}]"
    return "\n".join([f"{head}: {diagnosis.summary}", diagnosis.cause, *more])


def _of_outcome(then: Run, now: Run, ended: str) -> Iterator[Difference]:
    one, other = _outcome(then), _outcome(now)
    if ended and (then.outcome is not None or ended.startswith(FAILED)):
        other = ended
    if one != other:
        yield Difference("outcome", "", one, other)
    if then.model_failure != now.model_failure:
        yield Difference("model", "", then.model_failure or "answered", now.model_failure or "answered")


FAILED = "today's code failed: "


def _outcome(run: Run) -> str:
    return f"{run.outcome.value.replace('_', ' ')}, {run.reason}" if run.outcome else f"not ended, {run.status.value}"


def _of_figures(then: Run, now: Run) -> Iterator[Difference]:
    for kind, one, other in (
        ("steps", str(then.step), str(now.step)),
        ("tokens", tokens(then.usage), tokens(now.usage)),
        ("cost", cost(then.usage), cost(now.usage)),
    ):
        if one != other:
            yield Difference(kind, "", one, other)


def tokens(usage: Usage) -> str:
    """1,200 + 80: into the model and out of it."""
    return f"{usage.input_tokens:,} + {usage.output_tokens:,}"


def cost(usage: Usage) -> str:
    """In US dollars; a question mark where the model's price is not known."""
    return f"${usage.cost_micros / 1_000_000:.4f}" if usage.priced else "$?"


# --- words ------------------------------------------------------------------------------------------------------------


def name_of(key: Key, number: int = 1) -> str:
    """kubernetes_scale(name=cart, replicas=3): a call in a line; the second same one says that it is."""
    tool, arguments = key
    try:
        said = call_in_words(tool, parse_arguments(arguments))
    except BadInput:
        said = f"{tool}({arguments})"
    return f"{_cut(said)}{f' (call {number} of it)' if number > 1 else ''}"


def _apart(one: str, other: str) -> tuple[str, str]:
    """Both sides short: from where they part, or what one of them is alone."""
    if not one or not other:
        return _cut(one) or NOT_THERE, _cut(other) or NOT_THERE
    for before, after in zip(one.splitlines(), other.splitlines(), strict=False):
        if before != after:
            return _around(before, after)
    lines = len(one.splitlines()), len(other.splitlines())
    return f"{_cut(one.splitlines()[0])} ({lines[0]} lines)", f"{_cut(other.splitlines()[0])} ({lines[1]} lines)"


def _around(before: str, after: str) -> tuple[str, str]:
    """Two lines that differ, both from a little before where they do."""
    same = next((place for place, pair in enumerate(zip(before, after, strict=False)) if pair[0] != pair[1]), 0)
    begin = max(0, same - SHOWN // 2) if max(len(before), len(after)) > SHOWN else 0
    lead = "…" if begin else ""
    return f"{lead}{_cut(before[begin:])}", f"{lead}{_cut(after[begin:])}"


def _cut(text: str) -> str:
    line = " ".join(text.split("\n"))
    return line if len(line) <= SHOWN else f"{line[: SHOWN - 1]}…"
