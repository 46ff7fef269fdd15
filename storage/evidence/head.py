"""The first page of a timeline: the verdict, five facts, the milestones, who decided, and what it cost."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from domain.actions import phrase
from domain.decisions import Verdict
from domain.diagnosis import Confidence
from domain.runs import Origin, RunOutcome
from storage.evidence import words
from storage.evidence.changes import Change, State
from storage.evidence.markup import Child, Html, code, joined, pairs, spaced, table, tag
from storage.evidence.story import Story

_TONES = {
    State.VERIFIED: "good",
    State.EXECUTED: "open",
    State.FAILED: "bad",
    State.UNKNOWN: "bad",
    State.EXECUTING: "open",
    State.APPROVED: "open",
    State.WAITING: "open",
    State.DENIED: "still",
    State.REFUSED: "still",
    State.EXPIRED: "still",
    State.CANCELLED: "still",
    State.SUPERSEDED: "still",
    State.OBSERVED: "still",
    State.ALLOWED: "open",
}
_MARKS = {"good": "✓", "bad": "✗", "open": "…", "still": "–"}
CONFIDENCE = {
    Confidence.PROVEN: "Proven by the evidence",
    Confidence.LIKELY: "Likely, not proven",
    Confidence.NOT_PROVEN: "Not proven",
}


def head(story: Story) -> Html:
    """Everything that somebody with one minute reads."""
    state, tone = verdict(story)
    return tag(
        "header",
        tag(
            "p",
            tag("span", "Evidence of an agent's run"),
            tag("span", joined("Run ", code(story.run_id))),
            tag("span", joined("Incident ", code(story.incident_id))) if story.incident_id else None,
            class_="top",
        ),
        tag("h1", story.title),
        tag(
            "div",
            tag("span", tag("b", _MARKS[tone]), f" {state}", class_="word"),
            tag("p", sentence(story)),
            class_=f"verdict {tone}",
        ),
        tag("ol", *_milestones(story), class_="miles"),
        pairs(_facts(story)),
        _people(story),
        tag("ul", *_figures(story), class_="figures"),
        class_="head",
    )


def ref(seq: int) -> Html:
    """A link to an event of the timeline."""
    return joined("\u00a0", tag("a", f"#{seq}", href=f"#e{seq}", class_="ref"))


def person(story: Story, user: str) -> Html:
    """A person: name and Slack id."""
    name = story.name(user)
    return tag("b", user) if name == user else joined(tag("b", name), " ", code(user))


# --- the verdict ------------------------------------------------------------------------------------------------------


def verdict(story: Story) -> tuple[str, str]:
    """The one word, and its tone: good, bad, open or still. The worst of what was executed counts."""
    change = _worst(story)
    if change is None:
        return _without_change(story)
    if story.taken_back(change):
        return f"{change.state}, then undone", "bad"
    return change.state.value, _TONES[change.state]


def _worst(story: Story) -> Change | None:
    executed = [change for change in story.changes if change.started is not None]
    bad = [change for change in executed if _TONES[change.state] == "bad" or story.taken_back(change)]
    return bad[-1] if bad else story.headline


def _without_change(story: Story) -> tuple[str, str]:
    if story.finished is None:
        return "Not finished", "open"
    outcome = story.finished.event.outcome
    if outcome in (RunOutcome.FAILED, RunOutcome.CANCELLED):
        return f"Run {outcome.value}", "bad"
    proven = story.diagnosis is not None and story.diagnosis.confidence is Confidence.PROVEN
    return "Diagnosed", "good" if proven else "still"


def sentence(story: Story) -> str:
    """What happened, in one or two sentences, from rows alone."""
    change = _worst(story)
    if change is None:
        said = story.finished.event.reason if story.finished else "the run has not ended"
    else:
        said = f"{phrase(change.action)}: {_end_of(story, change)}"
    end = f" The monitor resolved the incident at {words.time_of_day(story.resolved.at)}." if story.resolved else ""
    others = len(story.changes) - 1
    more = f" {words.plural(others, 'other proposal')} below." if others > 0 else ""
    return words.sentence(said) + end + more


def _end_of(story: Story, change: Change) -> str:
    if change.started is not None:
        return _end_of_execution(story, change)
    by = words.listed([vote.name or vote.user for vote in change.approvers])
    denied = words.listed([vote.name or vote.user for vote in change.standing if vote.verdict is Verdict.DENY])
    nothing = "nothing was executed"
    match change.state:
        case State.DENIED:
            return f"denied by {denied or 'a person'}, so {nothing}"
        case State.REFUSED:
            return f"denied by rule {change.decision.rule or 'none'}, so {nothing}"
        case State.EXPIRED:
            return f"nobody decided in time, so {nothing}"
        case State.OBSERVED:
            return "only recorded as what would have been asked; the agent may only observe"
        case State.APPROVED:
            return f"approved by {by}, not executed yet"
        case State.WAITING:
            return "waiting for a person"
        case State.ALLOWED:
            return "allowed by policy, not executed yet"
    why = f" ({change.closed.event.reason})" if change.closed else ""
    return f"{change.state.lower()}{why}, so {nothing}"


def _end_of_execution(story: Story, change: Change) -> str:
    by = words.listed([vote.name or vote.user for vote in change.approvers])
    approved = f"approved by {by}" if by else "allowed by policy without a person"
    match change.state:
        case State.VERIFIED:
            at = change.verified.at if change.verified else story.ended
            back = "; taken back later" if story.taken_back(change) else ""
            return f"{approved}, executed once and verified at {words.time_of_day(at)}{back}"
        case State.EXECUTED:
            return f"{approved}, executed once, not verified yet"
        case State.FAILED if change.verified is not None:
            return f"{approved}, executed, and its effect did not hold"
        case State.FAILED:
            return f"{approved}, and failed: {change.finished.event.detail if change.finished else ''}"
        case State.UNKNOWN:
            looked = "; what it should have brought about does not hold" if change.verified is not None else ""
            return f"{approved}, sent, and the answer was lost: whether it took effect is not known{looked}"
    return f"{approved}, started, and no outcome is recorded"


# --- milestones -------------------------------------------------------------------------------------------------------


def _milestones(story: Story) -> Iterator[Html]:
    """The few moments that matter, each with the time since the one before."""
    before: datetime | None = None
    for label, at, seq, tone in sorted(_moments(story), key=lambda mile: (mile[1], mile[2])):
        passed = "start" if before is None else f"+{words.span(at - before)}"
        yield tag(
            "li",
            tag("b", label),
            tag("span", words.clock(at)[:8]),
            tag("small", passed, ref(seq)),
            class_=tone,
        )
        before = at


def _moments(story: Story) -> Iterator[tuple[str, datetime, int, str]]:
    if story.opened:
        yield "Alert", story.opened.at, story.opened.seq, "bad"
    if story.findings:
        yield "First finding", story.findings.at, story.findings.seq, ""
    if change := _worst(story):
        yield from _moments_of(change)
    elif story.diagnosed:
        yield "Diagnosed", story.diagnosed.at, story.diagnosed.seq, "good"
    if story.resolved:
        yield "Resolved", story.resolved.at, story.resolved.seq, "good"


def _moments_of(change: Change) -> Iterator[tuple[str, datetime, int, str]]:
    if change.asked:
        yield "Asked", change.asked.at, change.asked.seq, ""
    else:
        label = "Denied by policy" if change.state is State.REFUSED else "Decided"
        yield label, change.decided.at, change.decided.seq, ""
    if ends := [fact for fact in change.votes if fact.event.closes]:
        denied = ends[-1].event.vote.verdict is Verdict.DENY
        yield "Denied" if denied else "Approved", ends[-1].at, ends[-1].seq, "still" if denied else "good"
    if change.closed:
        yield change.closed.event.state.value.capitalize(), change.closed.at, change.closed.seq, "still"
    if change.finished:
        tone = "" if change.finished.event.outcome.value == "succeeded" else "bad"
        label = "Executed" if not tone else change.finished.event.outcome.value.capitalize()
        yield label, change.finished.at, change.finished.seq, tone
    if change.verified:
        good = change.state is State.VERIFIED
        yield "Verified" if good else "Not verified", change.verified.at, change.verified.seq, "good" if good else "bad"


# --- five facts -------------------------------------------------------------------------------------------------------


def _facts(story: Story) -> Iterator[tuple[str, Child]]:
    yield "What fired" if story.incident else "What was asked", _cause_of_run(story)
    yield "What is wrong", _diagnosis(story)
    change = _worst(story)
    if change is None:
        return
    yield "What was proposed", _proposal(change)
    yield "Who decided", _decision(story, change)
    yield "What came of it", _outcome(story, change)


def _cause_of_run(story: Story) -> Html:
    if story.incident is not None and story.opened is not None:
        incident = story.incident
        where = f"{incident.target} ({incident.target.environment})"
        said = f"{incident.severity.value.capitalize()} from {incident.source or 'a monitor'} at "
        return joined(said, words.moment(story.opened.at), ": ", code(where), ref(story.opened.seq))
    spec = story.spec
    if spec is None:
        return joined("The run's first event is not here.")
    asked = "" if spec.origin is Origin.ALERT else f"by {spec.origin.value}"
    who = joined(person(story, spec.requester), " ", asked) if spec.requester else joined(asked or "an alert")
    return joined(who, ": ", spec.question or str(spec.target))


def _diagnosis(story: Story) -> Html | None:
    found = story.diagnosis
    if found is None or story.diagnosed is None:
        return None
    cited = ", ".join(piece.id for piece in found.evidence)
    sure = f"{CONFIDENCE[found.confidence]}{f' {cited}' if cited else ''}, by {found.by}"
    return joined(found.summary, " ", tag("em", sure), ref(story.diagnosed.seq))


def _proposal(change: Change) -> Html:
    action = change.action
    touches = f"touches {words.plural(action.touches, 'thing')}" if action.touches else action.effect.value
    asked = change.asked.seq if change.asked else change.decided.seq
    return joined(
        code(words.call(action.tool, action.arguments)),
        f" on {action.target} ({action.target.environment}), {touches} ",
        ref(asked),
    )


def _decision(story: Story, change: Change) -> Html:
    decision = change.decision
    rule = joined("Rule ", code(decision.rule or "none"), f" of policy {decision.policy_hash[:12]}: ", decision.reason)
    said: list[Child] = [rule]
    for fact in change.votes:
        vote = fact.event.vote
        verb = {Verdict.APPROVE: "approved", Verdict.DENY: "denied", Verdict.WITHDRAW: "took back"}[vote.verdict]
        alone = f", alone under break-glass {vote.break_glass}" if vote.break_glass else ""
        why = f", “{vote.reason}”" if vote.reason else ""
        at = f" {verb} at {words.time_of_day(fact.at)}{alone}{why} "
        said.append(joined(person(story, vote.user), at, ref(fact.seq)))
    if change.closed is not None:
        said.append(joined(words.sentence(change.closed.event.reason), ref(change.closed.seq)))
    return spaced(said, " ")


def _outcome(story: Story, change: Change) -> Html:
    if change.started is None:
        return joined(f"Nothing was executed: {change.state.value.lower()}.")
    started = change.started
    said: list[Child] = [
        joined("Executed at ", words.time_of_day(started.at), " with key ", code(started.event.key), ref(started.seq))
    ]
    if change.finished is not None:
        said.append(joined(change.finished.event.detail, ref(change.finished.seq)))
    if change.verified is not None:
        checks = change.verified.event.checks
        held = sum(check.passed for check in checks)
        took = words.milliseconds(change.verified.event.took_ms)
        said.append(
            joined(f"{held} of {words.plural(len(checks), 'check')} held after {took}.", ref(change.verified.seq))
        )
    if story.taken_back(change):
        said.append("It was taken back later.")
    return spaced(said, " ")


# --- people and figures -----------------------------------------------------------------------------------------------


def _people(story: Story) -> Html | None:
    rows = sorted(_deeds(story), key=lambda row: row[0])
    if not rows:
        return None
    cells = [(person(story, user), did, words.moment(at), ref(seq)) for seq, at, user, did in rows]
    return table(("Person", "Did", "When", "Event"), cells, "people")


def _deeds(story: Story) -> Iterator[tuple[int, datetime, str, Child]]:
    for change in story.changes:
        name = phrase(change.action)
        for fact in change.votes:
            vote = fact.event.vote
            behalf = f" for {story.name(vote.on_behalf_of)}" if vote.on_behalf_of else ""
            alone = ", alone under break-glass" if vote.break_glass else ""
            verb = {Verdict.APPROVE: "Approved", Verdict.DENY: "Denied", Verdict.WITHDRAW: "Took the approval back"}
            yield fact.seq, fact.at, vote.user, f"{verb[vote.verdict]}{behalf}{alone}: {name}"
        for refusal in change.refused:
            yield refusal.seq, refusal.at, refusal.event.user, f"Was refused: {refusal.event.reason}"
        if change.asked is not None and change.asked.event.request.editor:
            request = change.asked
            yield request.seq, request.at, request.event.request.editor, f"Edited the proposal: {name}"
    for opened in story.glasses:
        glass = opened.event.glass
        yield opened.seq, opened.at, glass.user, f"Broke the glass until {words.moment(glass.until)}: {glass.reason}"
    for review in story.reviews:
        yield review.seq, review.at, review.event.user, f"Reviewed the break-glass: {review.event.comment}"


def _figures(story: Story) -> Iterator[Html]:
    unit = story.unit
    if story.opened and story.resolved:
        yield _figure(words.span(story.resolved.at - story.opened.at), "alert to resolved")
    if unit is not None:
        yield _figure(words.milliseconds(unit.to_first_finding_ms), "to the first finding")
        yield _figure(words.milliseconds(unit.people_ms), "waited for people")
    if story.finished is not None:
        yield _figure(words.milliseconds(story.finished.event.machine_ms), "machine time")
    used = story.usage
    tokens = used.input_tokens + used.output_tokens
    price = words.dollars(used.cost_micros) if used.priced else "price unknown"
    yield _figure(price if tokens else "$0", f"for {tokens:,} model tokens" if tokens else "no model tokens were used")
    executed = sum(change.started is not None for change in story.changes)
    yield _figure(str(executed), f"executed of {words.plural(len(story.changes), 'proposed change')}")


def _figure(figure: str, label: str) -> Html:
    return tag("li", tag("b", figure), tag("span", label))
