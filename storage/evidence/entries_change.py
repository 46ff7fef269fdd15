"""Entries of a change: decision, approval request, votes, execution, verification, and the authority behind them."""

from __future__ import annotations

from domain import events
from domain.actions import Action, phrase
from domain.authority import BreakGlass
from domain.codec import encode
from domain.decisions import (
    ApprovalRequest,
    ApprovalTerms,
    Check,
    Decision,
    ExecutionOutcome,
    Outcome,
    RuleVerdict,
    Verdict,
    Vote,
)
from domain.events import Envelope
from storage.evidence import words
from storage.evidence.entry import Entry
from storage.evidence.head import person
from storage.evidence.markup import Child, Html, code, diff, folded, joined, literal, pairs, pretty, said, table, tag
from storage.evidence.story import Story

_OUTCOMES = {Outcome.DENY: "Denied by policy", Outcome.ASK: "Policy asks a person", Outcome.ALLOW: "Allowed by policy"}
_VOTES = {
    Verdict.APPROVE: ("Approved", "good"),
    Verdict.DENY: ("Denied", "bad"),
    Verdict.WITHDRAW: ("Approval taken back", ""),
}
_PROBED = {True: "yes, it took effect", False: "no, nothing was changed", None: "nobody can tell"}


def of_change(story: Story, each: Envelope) -> Entry | None:
    """The entry of an event of a change; None for any other."""
    match each.event:
        case events.DecisionMade(_, action, decision):
            return _decided(story, each, action, decision)
        case events.ApprovalRequested(request):
            return _requested(story, each, request)
        case events.VoteCast(approval_id, vote):
            return _voted(story, each, approval_id, vote)
        case events.VoteRefused(approval_id, user, reason):
            refusal = (tag("p", words.sentence(reason)), _small(f"Approval request {approval_id}"))
            return Entry("people", joined("Not allowed: ", person(story, user)), (each,), refusal, "bad")
        case events.ApprovalClosed():
            return _closed(each, each.event)
        case events.ApprovalReminded(approval_id):
            return Entry("people", joined("The asked groups were called: ", code(approval_id)), (each,), minor=True)
        case events.ApprovalEscalated(approval_id, groups):
            called = f"Nobody decided in time: {words.listed(list(groups))} may vote as well"
            return Entry("people", called, (each,), (_small(f"Approval request {approval_id}"),))
    return _of_execution(story, each) or _of_authority(story, each)


def _of_execution(story: Story, each: Envelope) -> Entry | None:
    match each.event:
        case events.ExecutionStarted():
            return _started(each, each.event)
        case events.ExecutionProbed(execution_id, arrived, detail):
            probed = (tag("p", words.sentence(detail)), _small(f"Execution {execution_id}"))
            return Entry("action", f"Did the call arrive? {_PROBED[arrived].capitalize()}", (each,), probed)
        case events.ExecutionFinished(execution_id, outcome, detail, took_ms):
            tones = {ExecutionOutcome.SUCCEEDED: "good"}
            word = "Executed" if outcome is ExecutionOutcome.SUCCEEDED else outcome.value.capitalize()
            body = (
                tag("p", words.sentence(detail)),
                _small(f"Execution {execution_id}, {words.milliseconds(took_ms)}"),
            )
            return Entry("action", _ended(story, word, execution_id), (each,), body, tones.get(outcome, "bad"))
        case events.VerificationPassed(execution_id, checks, took_ms):
            title = _ended(story, "Verified", execution_id)
            return Entry("action", title, (each,), _checks(execution_id, checks, took_ms), "good")
        case events.VerificationFailed(execution_id, checks, took_ms):
            title = _ended(story, "Not verified", execution_id)
            return Entry("action", title, (each,), _checks(execution_id, checks, took_ms), "bad")
    return None


def _ended(story: Story, word: str, execution_id: str) -> Html:
    """Executed: roll back checkout. The word alone where the execution is another run's."""
    for change in story.changes:
        if change.started is not None and change.started.event.execution_id == execution_id:
            return joined(f"{word}: ", tag("b", phrase(change.action)))
    return joined(word)


def _of_authority(story: Story, each: Envelope) -> Entry | None:
    match each.event:
        case events.BreakGlassOpened(glass):
            return _glass(story, each, glass)
        case events.BreakGlassReviewed(glass_id, user, _, comment):
            title = joined("Break-glass reviewed by ", person(story, user))
            return Entry("people", title, (each,), (said(comment), _small(f"Break-glass {glass_id}")), "good")
        case events.VoteDelegated(delegation):
            title = joined(
                person(story, delegation.user), " lets ", person(story, delegation.to), " vote in their place"
            )
            return Entry("people", title, (each,), (tag("p", f"Until {words.moment(delegation.until)}."),))
        case events.PolicyLoaded(policy_hash, rules):
            listed = folded(words.plural(len(rules), "rule"), tag("p", ", ".join(rules)))
            return Entry("policy", "The policy that decided", (each,), (tag("p", code(policy_hash)), listed))
        case events.AutonomyDemoted(tool, environment, execution_id, reason):
            asks = f"{tool} asks in {environment} from here on"
            return Entry(
                "policy", asks, (each,), (tag("p", words.sentence(reason)), _small(f"Because of {execution_id}"))
            )
        case events.BreakerOpened(scope, reason):
            return Entry(
                "policy", f"Circuit breaker of {scope} opened", (each,), (tag("p", words.sentence(reason)),), "bad"
            )
    return None


# --- decision and question --------------------------------------------------------------------------------------------


def _decided(story: Story, each: Envelope, action: Action, decision: Decision) -> Entry:
    title = joined(f"{_OUTCOMES[decision.outcome]}: ", tag("b", phrase(action)))
    asked = any(change.decided.seq == each.seq and change.asked is not None for change in story.changes)
    event = each.event
    situation = event.situation if isinstance(event, events.DecisionMade) else {}
    body: tuple[Child, ...] = (
        tag("p", joined("Rule ", code(decision.rule or "none"), ": ", decision.reason)),
        tag("p", tag("b", "Only observed: "), decision.observe) if decision.observe else None,
        *(tag("p", tag("b", "Warning: "), warning) for warning in decision.warnings),
        *(() if asked else _action(action)),
        pairs((("Policy", code(decision.policy_hash)),)),
        _verdicts(decision.verdicts),
        folded("Everything that policy saw", literal(pretty(encode(situation)))),
    )
    return Entry("policy", title, (each,), body, "bad" if decision.outcome is Outcome.DENY else "")


def _verdicts(verdicts: tuple[RuleVerdict, ...]) -> Html | None:
    if not verdicts:
        return None
    words_of = {"matched": "matched", "not_matched": "did not match", "error": "could not be evaluated"}
    rows = [
        (code(one.rule), one.decision.value, words_of.get(one.result, one.result), _detail(one))
        for one in sorted(verdicts, key=lambda one: one.result == "not_matched")
    ]
    counted = table(("Rule", "Would", "Result", "Because"), rows)
    return folded(f"{words.plural(len(rows), 'rule')} had a say", counted) if len(rows) > 1 else counted


def _detail(one: RuleVerdict) -> str:
    return ", ".join(filter(None, (one.detail, one.mode if one.mode != "enforce" else "")))


def _requested(story: Story, each: Envelope, request: ApprovalRequest) -> Entry:
    title = joined("Approval asked: ", tag("b", phrase(request.action)))
    body: tuple[Child, ...] = (
        tag("p", tag("b", "Observe mode: this could not have executed.")) if request.observe_only else None,
        tag("p", request.note) if request.note else None,
        *_action(request.action),
        pairs(
            (
                ("Who may approve", _terms(request.terms)),
                ("Until", words.moment(request.expires_at)),
                ("Asked for by", person(story, request.requester) if request.requester else None),
                ("Edited by", person(story, request.editor) if request.editor else None),
                ("In place of", code(request.supersedes) if request.supersedes else None),
                ("Rule", joined(code(request.decision.rule), " of policy ", code(request.decision.policy_hash))),
                ("Digest", code(request.digest)),
                ("Request", code(request.id)),
            )
        ),
    )
    return Entry("people", title, (each,), body)


def _terms(terms: ApprovalTerms) -> str:
    number = {1: "one person"}.get(terms.quorum, f"{terms.quorum} people")
    never = f", never the {words.listed(list(terms.exclude))}" if terms.exclude else ""
    later = f"; later also {words.listed(list(terms.escalate_to))}" if terms.escalate_to else ""
    window = f"; executed only while {words.listed(list(terms.window))} is open" if terms.window else ""
    return f"{number} of {words.listed(list(terms.groups)) or 'nobody'}{never}{later}{window}"


def _action(action: Action) -> tuple[Child, ...]:
    """The exact call, what it is about, its dry run and its undo."""
    undo = action.undo
    return (
        tag("h4", "The exact call"),
        literal(words.call_lines(action.tool, action.arguments), "call"),
        pairs(
            (
                ("Target", f"{action.target} ({action.target.environment})"),
                ("Effect", f"{action.effect.value}, touches {words.plural(action.touches, 'thing')}"),
                ("Undo", code(words.call(undo.tool, undo.arguments)) if undo else "none is known"),
            )
        ),
        tag("p", tag("b", "Why: "), action.why) if action.why else None,
        joined(tag("h4", "Dry run"), diff(action.diff)) if action.diff else tag("p", "No dry run.", class_="small"),
        folded("The target as it was observed", literal(pretty(encode(action.observed)))) if action.observed else None,
    )


def _voted(story: Story, each: Envelope, approval_id: str, vote: Vote) -> Entry:
    word, tone = _VOTES[vote.verdict]
    seen = {
        change.asked.event.request.id: change.asked.event.request.digest for change in story.changes if change.asked
    }
    same = "the same that was asked" if seen.get(approval_id) == vote.digest else "NOT the one that was asked"
    body = (
        said(f"“{vote.reason}”") if vote.reason else None,
        pairs(
            (
                ("In place of", person(story, vote.on_behalf_of) if vote.on_behalf_of else None),
                ("Break-glass", joined(code(vote.break_glass), ", alone") if vote.break_glass else None),
                ("Digest seen", joined(code(vote.digest[:16]), f"…, {same}") if vote.digest else None),
                ("Request", code(approval_id)),
            )
        ),
    )
    return Entry("people", joined(f"{word} by ", person(story, vote.user)), (each,), body, tone)


def _closed(each: Envelope, event: events.ApprovalClosed) -> Entry:
    body = (
        tag("p", words.sentence(event.reason)) if event.reason else None,
        tag("p", "By ", event.by) if event.by else None,
        _small(f"Approval request {event.approval_id}"),
    )
    return Entry("people", f"Approval request {event.state.value}", (each,), body)


# --- execution --------------------------------------------------------------------------------------------------------


def _started(each: Envelope, event: events.ExecutionStarted) -> Entry:
    action = event.action
    body = (
        tag("p", "The intent, written before the call was made."),
        literal(words.call_lines(action.tool, action.arguments), "call"),
        pairs(
            (
                ("Target", f"{action.target} ({action.target.environment})"),
                ("Idempotency key", code(event.key)),
                ("Approval", code(event.approval_id) if event.approval_id else "none was needed"),
                ("Digest", code(event.digest)),
                ("Takes back", code(event.undoes) if event.undoes else None),
                ("Meant to help with", "; ".join(event.problems) if event.problems else None),
                ("Undo", code(words.call(action.undo.tool, action.undo.arguments)) if action.undo else None),
            )
        ),
        folded("Dry run", diff(action.diff)) if action.diff else None,
    )
    return Entry("action", joined("Executing: ", tag("b", phrase(action))), (each,), body)


def _checks(execution_id: str, checks: tuple[Check, ...], took_ms: int) -> tuple[Child, ...]:
    rows = [
        (tag("span", "✓" if check.passed else "✗", class_="good" if check.passed else "bad"), check.name, check.detail)
        for check in checks
    ]
    small = _small(f"Execution {execution_id}, looked at for {words.milliseconds(took_ms)}")
    return table(("Holds", "Check", "What was seen"), rows), small


def _glass(story: Story, each: Envelope, glass: BreakGlass) -> Entry:
    title = joined("Glass broken by ", person(story, glass.user))
    facts = pairs((("Until", words.moment(glass.until)), ("Break-glass", code(glass.id))))
    return Entry("people", title, (each,), (said(glass.reason), facts), "bad")


def _small(text: str) -> Html:
    return tag("p", text, class_="small")
