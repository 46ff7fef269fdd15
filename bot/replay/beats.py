"""One event of a run in the words of its story: who, what, and what belongs below it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from domain import events
from domain.actions import Action, Effect
from domain.canonical import canonical, plain
from domain.decisions import ApprovalRequest, ApprovalState, Check, Decision, ExecutionOutcome, Outcome, Verdict, Vote
from domain.diagnosis import Diagnosis
from domain.events import Envelope
from domain.runs import RunSpec, ToolResult

SEEN = 3
"""So many lines of what a read returned are told; the journal has all of it."""
CHANGED = 12
"""So many lines of a diff."""


@dataclass(frozen=True)
class Detail:
    """A line below a beat, and how it looks. What is `quoted` is cut where the line ends."""

    text: str
    style: str = ""
    quoted: bool = False


@dataclass(frozen=True)
class Beat:
    """What one event comes to. `style` colours who and what."""

    who: str
    text: str
    style: str = ""
    details: tuple[Detail, ...] = ()


def beat_of(envelope: Envelope, decided: Mapping[str, Decision]) -> Beat | None:
    """The event in words; None where it says nothing to a reader. `decided` is policy's last word on each call so far."""
    match envelope.event:
        case events.RunStarted(spec):
            return _started(envelope.actor, spec)
        case events.FindingsReported(findings, took_ms):
            lines = [
                Detail(f"{each.title}{_cites(item.id for item in each.evidence)}", "" if each.healthy else "yellow")
                for each in findings
            ]
            return Beat("finds", f"the built-in analyzers, after {took_ms} ms", "bold", tuple(lines or [_NOTHING]))
        case events.StepPlanned():
            return _step(envelope.event)
        case events.ModelFailed(step, model, reason):
            return Beat("fails", f"step {step}, {model} {reason}: the built-in rules go on alone", "red")
        case events.ToolCallRefused(_, tool, reason):
            return Beat("refuses", f"{tool}: {reason}", "red")
        case events.ToolCallFinished(result):
            return _result(result, decided.get(result.call_id))
        case events.DecisionMade(_, action, decision):
            return _decision(action, decision)
    return _beat_of_change(envelope) or _beat_of_end(envelope)


_NOTHING = Detail("nothing looks wrong")


def _beat_of_change(envelope: Envelope) -> Beat | None:
    match envelope.event:
        case events.ApprovalRequested(request):
            return _asked(request)
        case events.VoteCast(_, vote, closes):
            return _vote(vote, closes)
        case events.VoteRefused(_, user, reason):
            return Beat(user, f"may not: {reason}", "red")
        case events.ApprovalClosed(_, state, reason, by):
            return Beat("closes", f"the question: {state.value}{f' by {by}' if by else ''}. {reason}", "yellow")
        case events.ApprovalReminded():
            return Beat("reminds", "the people who were asked: half of the time has passed")
        case events.ApprovalEscalated(_, groups):
            return Beat("escalates", f"{', '.join(groups)} may decide as well from here on", "yellow")
        case events.ExecutionStarted(execution_id, _, action, approval_id=approval_id):
            by = "as approved" if approval_id else "as policy allows"
            return Beat("executes", f"{call(action.tool, action.arguments)}, {by} ({execution_id})", "bold")
        case events.ExecutionProbed(_, _, detail):
            return Beat("probes", detail, "yellow")
        case events.ExecutionFinished(_, outcome, detail, took_ms):
            word = {"succeeded": "done", "failed": "failed"}.get(outcome.value, "unknown")
            style = "green" if outcome is ExecutionOutcome.SUCCEEDED else "red"
            return Beat(word, f"{detail} ({took_ms} ms)", style)
        case events.VerificationPassed(_, checks, took_ms):
            return Beat("verifies", f"it holds, after {took_ms} ms", "green", _checks(checks))
        case events.VerificationFailed(_, checks, took_ms):
            return Beat("verifies", f"it does not hold, after {took_ms} ms", "red", _checks(checks))
    return None


def _beat_of_end(envelope: Envelope) -> Beat | None:
    match envelope.event:
        case events.DiagnosisConcluded(diagnosis):
            return _conclusion(diagnosis)
        case events.SecondLookTaken(model, look):
            reason = f": {look.reason}" if look.reason else ""
            return Beat(
                "looks again", f"{model}: {look.verdict}{reason}", "yellow" if look.verdict != "supported" else ""
            )
        case events.FeedbackGiven(_, user, verdict, category, reason):
            why = f" ({category.value.replace('_', ' ')})" if category else ""
            return Beat(user, f"says that this diagnosis is {verdict.value}{why}{f': {reason}' if reason else ''}")
        case events.RunFinished(outcome, reason):
            return Beat("ends", f"{outcome.value.replace('_', ' ')}: {reason}", "bold")
    return None


def call(tool: str, arguments: Mapping[str, Any]) -> str:
    """kubernetes_scale(name=cart, replicas=3): a call on one line; what is no plain word is JSON."""
    return f"{tool}({', '.join(f'{name}={_value(value)}' for name, value in arguments.items())})"


def _value(value: Any) -> str:
    return value if isinstance(value, str) and value and " " not in value else canonical(plain(value)).decode()


# --- the run ----------------------------------------------------------------------------------------------------------


def _started(actor: str, spec: RunSpec) -> Beat:
    who = actor.partition(":")[2] or actor
    if spec.alert is None:
        return Beat(who, f"asks: {spec.question}", "bold")
    alert = spec.alert
    labels = ", ".join(f"{key}={value}" for key, value in sorted(alert.labels.items()))
    lines = [Detail(text) for text in (alert.description, labels) if text]
    lines.append(Detail(f"since {alert.starts_at:%Y-%m-%d %H:%M:%S} UTC"))
    return Beat(who, f"{alert.severity.value}: {alert.name}. {alert.summary}", "bold", tuple(lines))


def _step(event: events.StepPlanned) -> Beat:
    answer = event.answer
    used = f", {answer.usage.input_tokens:,} + {answer.usage.output_tokens:,} tokens" if any(_counts(event)) else ""
    wanted = [Detail(f"wants {each.tool} {each.arguments}") for each in answer.calls]
    return Beat("thinks", f"step {event.step}, {event.model}{used}: {answer.text}", "cyan", tuple(wanted))


def _counts(event: events.StepPlanned) -> tuple[int, int]:
    return event.answer.usage.input_tokens, event.answer.usage.output_tokens


def _result(result: ToolResult, decision: Decision | None) -> Beat | None:
    """A read with its first lines. A change's result only repeats what was told of it, unless it came to nothing."""
    if result.evidence_id:
        allowed = f", allowed by {decision.rule}" if decision and decision.rule else ""
        shown = result.text.splitlines()
        lines = [Detail(f"│ {line}", "dim", quoted=True) for line in shown[:SEEN]]
        lines += [Detail(f"│ … {_more(len(shown) - SEEN, 'line')}", "dim")] if len(shown) > SEEN else []
        text = f"{result.evidence_id} {call(result.tool, result.arguments)}, {result.took_ms} ms{allowed}"
        return Beat("looks", text, "", tuple(lines))
    if result.ok or (decision is not None and decision.outcome is Outcome.ASK):
        return None
    return Beat("fails", result.text, "red")


def _decision(action: Action, decision: Decision) -> Beat | None:
    """Policy's word. That a read was allowed stands with the read."""
    if action.effect is Effect.READ and decision.outcome is Outcome.ALLOW:
        return None
    style = {Outcome.ALLOW: "green", Outcome.ASK: "yellow", Outcome.DENY: "red"}[decision.outcome]
    by = f"by the rule {decision.rule}" if decision.rule else "as no rule covers it"
    text = f"{decision.outcome.value} {by}: {call(action.tool, action.arguments)} on {action.target}"
    lines = [Detail(decision.reason), *(Detail(f"warning: {each}", "yellow") for each in decision.warnings)]
    return Beat("decides", text, style, tuple(lines))


def _conclusion(diagnosis: Diagnosis) -> Beat:
    lines = [Detail(diagnosis.cause), *(Detail(f"{each.id} {each.title}") for each in diagnosis.evidence)]
    lines += [
        Detail(f"not carried by evidence: {each.text}", "yellow") for each in diagnosis.claims if not each.supported
    ]
    lines += [Detail(f"perhaps: {each.text} Check: {each.next_check or '–'}") for each in diagnosis.hypotheses]
    lines += [Detail(f"next: {each}") for each in diagnosis.next_steps]
    lines += [Detail(diagnosis.note, "yellow")] if diagnosis.note else []
    text = f"{diagnosis.confidence.value.replace('_', ' ')}, by {diagnosis.by}: {diagnosis.summary}"
    return Beat("concludes", text, "bold", tuple(lines))


# --- changes ----------------------------------------------------------------------------------------------------------


def _asked(request: ApprovalRequest) -> Beat:
    terms, action = request.terms, request.action
    needed = f"{terms.quorum} of " if terms.quorum > 1 else ""
    text = f"{needed}{' or '.join(terms.groups)}, until {request.expires_at:%H:%M:%S} UTC"
    if request.observe_only:
        text = f"nobody: this is what would have been asked of {text}"
    lines = [
        Detail(f"touches {action.touches}, digest {request.digest[:12]}, policy {request.decision.policy_hash[:12]}")
    ]
    lines += [Detail(request.note)] if request.note else []
    changed = [line for line in action.diff.splitlines() if line[:1] in "+-#" and line[:3] not in ("+++", "---")]
    lines += [Detail(line, {"+": "green", "-": "red"}.get(line[:1], ""), quoted=True) for line in changed[:CHANGED]]
    lines += [Detail(f"… {_more(len(changed) - CHANGED, 'changed line')}")] if len(changed) > CHANGED else []
    return Beat("asks", text, "yellow", tuple(lines))


def _vote(vote: Vote, closes: ApprovalState | None) -> Beat:
    word = {Verdict.APPROVE: "approves", Verdict.DENY: "denies", Verdict.WITHDRAW: "takes the approval back"}[
        vote.verdict
    ]
    extra = f", in place of {vote.on_behalf_of}" if vote.on_behalf_of else ""
    extra += f", under break-glass {vote.break_glass}" if vote.break_glass else ""
    extra += f": {vote.reason}" if vote.reason else ""
    settled = f" ({closes.value})" if closes else " (more are needed)"
    style = "green" if vote.verdict is Verdict.APPROVE else "red"
    return Beat(vote.name or vote.user, f"{word}{extra}{settled}", style)


def _checks(checks: Iterable[Check]) -> tuple[Detail, ...]:
    def lines() -> Iterator[Detail]:
        for check in checks:
            mark, style = ("✓", "green") if check.passed else ("✗", "red")
            yield Detail(f"{mark} {check.name}: {check.detail}", style)

    return tuple(lines())


def _more(count: int, noun: str) -> str:
    return f"{count:,} more {noun}{'s' * (count != 1)}"


def _cites(ids: Iterable[str]) -> str:
    named = " ".join(ids)
    return f" [{named}]" if named else ""
