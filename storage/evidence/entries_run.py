"""Entries of the run itself: alerts, findings, the model's turns, tool calls, the conclusion, the cost."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from domain import events
from domain.alerts import Alert
from domain.canonical import plain
from domain.codec import encode
from domain.diagnosis import Claim, Diagnosis, Finding, Hypothesis
from domain.events import Envelope
from domain.feedback import FeedbackVerdict
from domain.runs import RunSpec, ToolResult
from domain.work import WorkUnit
from storage.evidence import words
from storage.evidence.entry import Entry, recorded
from storage.evidence.head import CONFIDENCE, person
from storage.evidence.markup import Child, Html, code, folded, joined, literal, pairs, pretty, said, spaced, table, tag
from storage.evidence.story import Story


def of_run(story: Story, each: Envelope) -> Entry | None:
    """The entry of an event of the run's own life; None for any other."""
    match each.event:
        case events.AlertReceived(alert):
            return _alert(each, alert, brief=story.opened is not None and each.seq > story.opened.seq)
        case events.IncidentOpened():
            return _opened(each, each.event)
        case events.AlertJoined(fingerprint, firing):
            state = "joined the incident" if firing else "ceased"
            return Entry("alert", joined("Alert ", code(fingerprint), f" {state}"), (each,), minor=True)
        case events.AlertHeld(alert, _, _, due, reason):
            held = joined(f"Held back until {words.time_of_day(due)}: ", tag("b", alert.summary or alert.name))
            return Entry("alert", held, (each,), (tag("p", words.sentence(reason)), recorded(each)))
        case events.AlertSuppressed(fingerprint, _, reason):
            opens_nothing = joined("Alert ", code(fingerprint), " opens nothing: ", reason)
            return Entry("alert", opens_nothing, (each,), minor=True)
        case events.IncidentResolved(reason):
            return Entry("alert", "Resolved", (each,), (tag("p", words.sentence(reason)),), "good")
        case events.RunStarted(spec):
            return _started(story, each, spec)
        case events.RunFinished(outcome, reason, machine_ms):
            title = f"Run ended: {outcome.value.replace('_', ' ')}"
            machine = f"{words.milliseconds(machine_ms)} of machine time, people not counted."
            return Entry("run", title, (each,), (tag("p", words.sentence(reason)), tag("p", machine, class_="small")))
        case events.WorkUnitRecorded(unit):
            return Entry("run", "What it cost", (each,), (_work(unit),))
    return _of_diagnosis(story, each)


def _of_diagnosis(story: Story, each: Envelope) -> Entry | None:
    match each.event:
        case events.AnalysisPlanned(calls):
            wanted = spaced((code(words.call(call.tool, _arguments(call.arguments))) for call in calls), ", ")
            return Entry("look", joined("Analyzers want to read ", wanted), (each,), minor=True)
        case events.FindingsReported(findings, took_ms):
            return _findings(each, findings, took_ms)
        case events.ModelAsked():
            return _asked(each, each.event)
        case events.StepPlanned():
            return _answered(each, each.event)
        case events.ModelFailed(step, model, reason):
            said_of_it = f"{model} gave no answer in step {step}"
            return Entry("model", said_of_it, (each,), (tag("p", words.sentence(reason)),), "bad")
        case events.ToolCallRefused(call_id, tool, reason):
            title = joined("Call refused: ", code(tool))
            return Entry("tool", title, (each,), (tag("p", words.sentence(reason)), _small(f"Call {call_id}")), "bad")
        case events.ToolCallFinished(result):
            return tool_call((), each, result)
        case events.DiagnosisConcluded(diagnosis):
            return _concluded(each, diagnosis)
        case events.SecondLookTaken():
            return _second_look(each, each.event)
        case events.FeedbackGiven():
            return _feedback(story, each, each.event)
    return None


# --- alerts and the run -----------------------------------------------------------------------------------------------


def _alert(each: Envelope, alert: Alert, *, brief: bool) -> Entry:
    """The first alert of an incident with its facts; those that joined it with what they say."""
    firing = "fires" if alert.firing else "ceased"
    title = joined(
        f"{alert.name or 'Alert'} {firing}: ", tag("b", alert.summary) if alert.summary else str(alert.target)
    )
    facts = pairs(
        (
            ("Source", alert.source),
            ("Severity", alert.severity.value),
            ("Target", f"{alert.target} ({alert.target.environment})"),
            ("Since", words.moment(alert.starts_at)),
            ("Until", words.moment(alert.ends_at) if alert.ends_at else None),
            ("Address", code(alert.url) if alert.url else None),
            ("Runbook", code(alert.runbook_url) if alert.runbook_url else None),
        )
    )
    body = (
        said(alert.description) if alert.description and alert.description != alert.summary else None,
        None if brief else facts,
        folded("Labels and everything else that was recorded", literal(pretty(encode(alert)))),
    )
    return Entry("alert", title, (each,), body, "bad" if alert.firing else "good")


def _opened(each: Envelope, event: events.IncidentOpened) -> Entry:
    incident = event.incident
    title = joined("Incident opened: ", tag("b", incident.title))
    target = f"{incident.target} ({incident.target.environment})"
    facts = pairs((("Incident", code(incident.id)), ("Target", target), ("Severity", incident.severity.value)))
    return Entry("alert", title, (each,), (facts,), "bad")


def _started(story: Story, each: Envelope, spec: RunSpec) -> Entry:
    budget = spec.budget
    limits = (
        f"{budget.steps} steps, {budget.tokens:,} tokens, {words.dollars(budget.cost_micros)}, {budget.seconds} s, "
        f"{words.plural(budget.actions, 'change')}"
    )
    facts = pairs(
        (
            ("Run", code(spec.id)),
            ("Asked by", person(story, spec.requester) if spec.requester else None),
            ("Target", f"{spec.target} ({spec.target.environment})"),
            ("Model", spec.model),
            ("Mode", spec.mode.value),
            ("Budget", limits),
            ("Takes back", code(spec.undoes) if spec.undoes else None),
        )
    )
    question = said(spec.question) if spec.question else None
    context = folded("What was known of the incident", literal(spec.context)) if spec.context else None
    return Entry("run", f"Run started, by {spec.origin.value}", (each,), (question, facts, context))


def _work(unit: WorkUnit) -> Child:
    """What was measured of it; what that is taken to be worth is an estimate, and `personal-agent roi` makes it."""
    unpriced = f", of which {unit.unpriced_tokens:,} have no known price" if unit.unpriced_tokens else ""
    return pairs(
        (
            ("Work", f"{unit.kind.value.replace('_', ' ')}, {unit.outcome.value.replace('_', ' ')} when the run ended"),
            ("To first finding", words.milliseconds(unit.to_first_finding_ms)),
            ("To diagnosis", words.milliseconds(unit.to_diagnosis_ms)),
            ("To approval", words.milliseconds(unit.to_approval_ms)),
            ("To verified", words.milliseconds(unit.to_verified_ms)),
            ("Cards shown to votes", words.milliseconds(unit.people_ms)),
            (
                "Model",
                f"{unit.input_tokens:,} + {unit.output_tokens:,} tokens{unpriced}, {words.dollars(unit.cost_micros)}",
            ),
        )
    )


# --- findings and the model -------------------------------------------------------------------------------------------


def _findings(each: Envelope, findings: Iterable[Finding], took_ms: int) -> Entry:
    found = [_finding(finding) for finding in findings]
    wrong = sum(not finding.healthy for finding in findings)
    title = (
        f"{words.plural(wrong, 'finding')} of the built-in rules"
        if wrong
        else "Nothing looks wrong to the built-in rules"
    )
    return Entry(
        "diagnosis", joined(title, tag("small", f" after {words.milliseconds(took_ms)}")), (each,), tuple(found)
    )


def _finding(finding: Finding) -> Html:
    proposal = finding.proposal
    return tag(
        "section",
        tag("h4", finding.title, " ", code(finding.code)),
        said(finding.detail) if finding.detail else None,
        _evidence(finding.evidence),
        tag("p", tag("b", "Suggests "), code(words.call(proposal.tool, proposal.arguments))) if proposal else None,
        class_="finding",
    )


def _evidence(pieces: Iterable[Any]) -> Html | None:
    rows = [(code(piece.id), joined(piece.title, said(piece.excerpt) if piece.excerpt else None)) for piece in pieces]
    return table(("Evidence", "What was seen"), rows, "evidence") if rows else None


def _asked(each: Envelope, event: events.ModelAsked) -> Entry:
    title = joined(f"Prompt {event.step} to ", tag("b", event.model))
    messages = [_message(message) for message in event.messages]
    hashes = _small(f"Whole request {event.request_hash[:16]}, tools {event.tools_hash[:16]} (SHA-256)")
    return Entry("model", title, (each,), (*messages, hashes))


def _message(message: Any) -> Html:
    """One message as it was added: who speaks, and every word."""
    if not isinstance(message, Mapping) or "role" not in message:
        return tag("div", tag("b", "input"), literal(pretty(plain(message))), class_="turn")
    content = message.get("content")
    rest = {key: value for key, value in message.items() if key not in ("role", "content", "tool_call_id")}
    call_id = message.get("tool_call_id")
    return tag(
        "div",
        tag("b", str(message["role"])),
        tag("p", "the result of call ", code(str(call_id)), " above", class_="small") if call_id else None,
        said(content if isinstance(content, str) else pretty(plain(content))) if content is not None else None,
        literal(pretty(plain(rest))) if rest else None,
        class_="turn",
    )


def _answered(each: Envelope, event: events.StepPlanned) -> Entry:
    answer, usage = event.answer, event.answer.usage
    title = joined(f"Answer {event.step} of ", tag("b", event.model))
    calls = [
        tag("p", tag("b", "Calls "), code(words.call(call.tool, _arguments(call.arguments)))) for call in answer.calls
    ]
    concludes = tag("p", tag("b", "Concludes: "), answer.diagnosis.summary) if answer.diagnosis else None
    price = words.dollars(usage.cost_micros) if usage.priced else "price unknown"
    cached = f" ({usage.cached_tokens:,} cached)" if usage.cached_tokens else ""
    cost = (
        f"{usage.input_tokens:,}{cached} + {usage.output_tokens:,} tokens, {price}, {words.milliseconds(event.took_ms)}"
    )
    named = f", response {answer.response_id}" if answer.response_id else ""
    text = said(answer.text) if answer.text else None
    return Entry("model", title, (each,), (text, *calls, concludes, _small(cost + named), recorded(each)))


def _concluded(each: Envelope, diagnosis: Diagnosis) -> Entry:
    steps = tag("ol", *(tag("li", step) for step in diagnosis.next_steps)) if diagnosis.next_steps else None
    guesses = [tag("li", guess.text, tag("em", _grounds(guess))) for guess in diagnosis.hypotheses]
    body = (
        tag("p", tag("b", f"{CONFIDENCE[diagnosis.confidence]}, by {diagnosis.by}.")),
        said(diagnosis.cause) if diagnosis.cause and diagnosis.cause != diagnosis.summary else None,
        _claims(diagnosis.claims),
        _evidence(diagnosis.evidence),
        joined(tag("h4", "It could also be"), tag("ul", *guesses)) if guesses else None,
        joined(tag("h4", "Next"), steps) if steps else None,
        tag("p", diagnosis.note) if diagnosis.note else None,
    )
    return Entry("diagnosis", joined("Diagnosis: ", tag("b", diagnosis.summary)), (each,), body)


def _grounds(guess: Hypothesis) -> str:
    """What speaks for and against it, and what would decide."""
    parts = (
        f"for it {', '.join(guess.supporting)}" if guess.supporting else "",
        f"against it {', '.join(guess.contradicting)}" if guess.contradicting else "",
        f"check: {guess.next_check}" if guess.next_check else "",
    )
    told = "; ".join(filter(None, parts))
    return f" – {told}" if told else ""


def _claims(claims: Iterable[Claim]) -> Html | None:
    """The cause, sentence by sentence, as code held it against what was stored."""
    rows = [
        (
            tag("span", "✓" if claim.supported else "✗", class_="good" if claim.supported else "bad"),
            claim.text,
            ", ".join(claim.evidence) or "nothing stored",
            ", ".join(claim.missing),
        )
        for claim in claims
    ]
    return table(("Holds", "Sentence", "Rests on", "Not found in it"), rows) if rows else None


def _second_look(each: Envelope, event: events.SecondLookTaken) -> Entry:
    usage, look = event.usage, event.look
    price = words.dollars(usage.cost_micros) if usage.priced else "price unknown"
    cost = f"{usage.input_tokens:,} + {usage.output_tokens:,} tokens, {price}, {words.milliseconds(event.took_ms)}"
    title = joined(tag("b", event.model), f" looked again: {look.verdict}")
    tone = "" if look.verdict == "supported" else "bad"
    return Entry("model", title, (each,), (said(look.reason) if look.reason else None, _small(cost)), tone)


def _feedback(story: Story, each: Envelope, event: events.FeedbackGiven) -> Entry:
    word = "This diagnosis helped" if event.verdict is FeedbackVerdict.GOOD else "This diagnosis was wrong"
    category = event.category.value.replace("_", " ") if event.category else ""
    body = (tag("p", words.sentence(category)) if category else None, said(event.reason) if event.reason else None)
    title = joined(f"{word}, says ", person(story, event.user))
    return Entry("people", title, (each,), body, "good" if event.verdict is FeedbackVerdict.GOOD else "bad")


# --- tool calls -------------------------------------------------------------------------------------------------------


def tool_call(before: Sequence[Envelope], each: Envelope, result: ToolResult) -> Entry:
    """A call with its output. `before` are the events that only led to it: the request, and policy's word on it."""
    if not before and result.data is None:
        return _told(each, result)
    name = code(words.call(result.tool, result.arguments))
    cited = joined(tag("span", result.evidence_id, class_="cite"), " ") if result.evidence_id else None
    took = f"{'ok' if result.ok else 'failed'}, {words.milliseconds(result.took_ms)}"
    redacted = f", {words.plural(result.redactions, 'secret')} taken out" if result.redactions else ""
    part = ", shown to the model in part" if result.cut else ""
    decisions = [led for led in before if isinstance(led.event, events.DecisionMade)]
    whole = folded("The whole result, as recorded", literal(pretty(plain(result.data))))
    body = (
        tag("p", *map(_allowed, decisions), took + redacted + part, class_="small"),
        literal(result.text) if result.text else None,
        whole if result.data is not None else None,
        *(recorded(led, "What policy saw") for led in decisions),
    )
    return Entry("tool", joined(cited, name), (*before, each), body, "" if result.ok else "bad")


def _told(each: Envelope, result: ToolResult) -> Entry:
    """How a change ended, in the words that the model gets."""
    title = joined("What the model is told of ", code(result.tool))
    return Entry("tool", title, (each,), (literal(result.text), _small(f"Call {result.call_id}")))


def _allowed(decided: Envelope) -> Html | None:
    if not isinstance(decided.event, events.DecisionMade):
        return None
    decision = decided.event.decision
    policy = f", policy {decision.policy_hash[:12]}; "
    return joined(f"{decision.outcome.value} by rule ", code(decision.rule or "none"), policy)


def _arguments(text: str) -> Mapping[str, Any]:
    """A call's arguments as they were sent; text that is no JSON object as it is."""
    try:
        value = json.loads(text or "{}")
    except (ValueError, RecursionError):
        value = None
    return value if isinstance(value, dict) else {"sent": text}


def _small(text: str) -> Html:
    return tag("p", text, class_="small")
