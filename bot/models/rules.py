"""The built-in diagnostician as a model: it proposes what the heaviest finding proposes, then concludes. No key needed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from bot.models import release
from bot.models.follow_up import answered, told
from domain.canonical import canonical, digest_of
from domain.decisions import ApprovalState, Execution, ExecutionOutcome, Outcome
from domain.diagnosis import Confidence, Diagnosis, Evidence, Finding, Hypothesis, Proposal
from domain.ports import Request, ToolOffer
from domain.releases import ASSESSED
from domain.runs import Answer, Call, Run, ToolCall
from domain.scans import CONFIGURATION

NAME = "rules"
MAX_EVIDENCE = 8
MAX_STEPS = 5
NOT_BLAMED = "deployment.rollout_not_blamed"
MEASURED = "measured.alert"
KNOWN = ("known.runbook", "known.seen_before")
CIRCUMSTANCES = (*KNOWN, "read.failed")
"""Findings that are no trouble by themselves."""

_WORDS = {
    "kubernetes_rollback": "The rollback",
    "kubernetes_set_resources": "The change of resources",
    "kubernetes_restart": "The restart",
    "kubernetes_scale": "The scaling",
    "alertmanager_silence": "The silence",
    "jenkins_trigger": "The build",
    "gitlab_play_job": "The job",
    "gitlab_retry_pipeline": "The retry",
    "gitlab_open_merge_request": "The merge request",
}

WHAT_IT_CAN_DO = (
    "Name a workload and its namespace, such as: why is deployment/checkout in shop crashing?",
    "Or a job of Jenkins: why does jenkins shop/checkout/main fail? Its link will do as well.",
    "The built-in rules look at workloads, pods, Jobs, Services, Ingresses, claims, autoscalers, quotas, nodes and builds.",
)


class Rules:
    """Satisfies domain.ports.Model. Pure: the same run gives the same answer, so a replay tells the same."""

    @property
    def name(self) -> str:
        """As the journal and the thread say it."""
        return NAME

    def request(self, run: Run, tools: Sequence[ToolOffer]) -> Request:
        """The next turn of this run; with no tools offered it concludes."""
        offered = sorted(tool.name for tool in tools)
        messages = (_seen(run),)
        tools_hash = digest_of(offered)

        async def send() -> Answer:
            return answer(run, offered)

        request_hash = digest_of({"model": NAME, "messages": list(messages), "tools": tools_hash})
        return Request(NAME, messages, tools_hash, request_hash, send)

    def forget(self, run_id: str) -> None:
        """Nothing is kept."""


def answer(run: Run, offered: Iterable[str]) -> Answer:
    """One turn: the heaviest finding's proposal where it was not made in this run yet, else the conclusion."""
    chosen = _to_propose(run, frozenset(offered))
    if chosen is not None:
        found, proposal = chosen
        arguments = canonical(dict(proposal.arguments)).decode()
        call_id = f"rules-{digest_of([proposal.tool, arguments])[:10]}"
        told = f"{found.title}. Proposed: {proposal.tool} on {found.target}. {proposal.why}"
        text = proposal.why if found.code == ASSESSED else told
        return Answer(text=text, calls=(ToolCall(call_id, proposal.tool, arguments),))
    diagnosis = conclude(run)
    return Answer(text=diagnosis.summary, diagnosis=diagnosis)


def conclude(run: Run) -> Diagnosis:
    """What is wrong as far as the findings go, what became of the proposal, and what to look at next."""
    findings = run.findings or ()
    if lines := answered(run.spec.question, run.spec.context):
        return replace(told(lines, NAME), note=_note(run))
    if assessed := _assessed(findings):
        return _of_release(run, assessed)
    if run.spec.target.system == CONFIGURATION:
        return _of_scan(run, [found for found in findings if found.code not in CIRCUMSTANCES])
    broken = [found for found in findings if not found.healthy and found.code not in CIRCUMSTANCES]
    well = [found for found in findings if found.healthy]
    seen = _of_broken(run, broken) if broken else _of_well(run, well) if well else _of_nothing(run)
    return _with_what_is_known(seen, [found for found in findings if found.code in KNOWN])


def _of_scan(run: Run, found: list[Finding]) -> Diagnosis:
    """What a scan came to, in a sentence; its list has the rest."""
    scope = f"in {run.spec.target.namespace}" if run.spec.target.namespace else "in all namespaces"
    high = sum(one.facts.get("risk") == "high" for one in found)
    count = f"{len(found)} findings, {high} of high risk" if found else "nothing to mend"
    return Diagnosis(
        summary=f"Configuration {scope}: {count}.",
        cause=" ".join(_ended(one.title) for one in found[:5]),
        confidence=Confidence.PROVEN if found and not _unread(run) else Confidence.LIKELY,
        by=NAME,
        evidence=_evidence(found[:MAX_EVIDENCE]),
        next_steps=tuple(_unread(run))[:MAX_STEPS],
    )


def _with_what_is_known(seen: Diagnosis, known: list[Finding]) -> Diagnosis:
    """The diagnosis with what happened before beside the cause, and the runbooks' first steps at the end."""
    before = [f"{found.title}: {found.detail}" for found in known if found.code == "known.seen_before"]
    steps = [step for found in known for step in _strings(found.facts.get("next_steps"))]
    evidence = dict.fromkeys((*seen.evidence, *(item for found in known for item in found.evidence)))
    return replace(
        seen,
        cause=" ".join(filter(None, (seen.cause, *before))),
        next_steps=(*seen.next_steps[: MAX_STEPS - 1], *steps)[:MAX_STEPS],
        evidence=tuple(evidence)[: MAX_EVIDENCE + len(known)],
    )


def _to_propose(run: Run, offered: frozenset[str]) -> tuple[Finding, Proposal] | None:
    if assessed := _assessed(run.findings or ()):
        following = release.next_proposal(run, assessed)
        return (assessed, following) if following is not None and following.tool in offered else None
    if run.spec.target.system == CONFIGURATION:
        return None  # a scan lists; a person says which of its changes is proposed
    broken = [found for found in run.findings or () if not found.healthy and found.code not in CIRCUMSTANCES]
    if not broken or broken[0].proposal is None or broken[0].proposal.tool not in offered:
        return None
    # whatever became of it, whoever proposed it: a second try in the same run would be nagging
    tried = run.executions or any(call.call.tool == broken[0].proposal.tool for call in run.calls.values())
    return None if tried else (broken[0], broken[0].proposal)


def _assessed(findings: Iterable[Finding]) -> Finding | None:
    """The risk of a deployment that waits, where that is what the run is about."""
    return next((found for found in findings if found.code == ASSESSED), None)


def _of_release(run: Run, assessed: Finding) -> Diagnosis:
    happened, done = _what_happened(run)
    return Diagnosis(
        summary=f"{release.what_became(run, assessed)}: {assessed.title}.",
        cause="\n".join(filter(None, (happened, assessed.detail))),
        confidence=_confidence(assessed),
        by=NAME,
        evidence=_evidence([assessed]),
        next_steps=() if done else (*_strings(assessed.facts.get("next_steps")), *_unread(run))[:MAX_STEPS],
        note=_note(run),
    )


def _of_broken(run: Run, broken: list[Finding]) -> Diagnosis:
    top, more = broken[0], broken[1:]
    happened, done = _what_happened(run)
    if not happened and top.proposal is None:
        happened = " ".join(["Nothing is proposed.", *(_ended(f.title) for f in more if f.code == NOT_BLAMED)])
    others = [found.title for found in more if found.code not in (NOT_BLAMED, MEASURED)][:3]
    also = f" Also: {'; '.join(others)}." if others else ""
    also += "".join(f" Measured: {found.title}." for found in more if found.code == MEASURED)
    confidence = _confidence(top)
    steps = [] if done or top.proposal is None else [f"By hand: {_by_hand(top.proposal)}"]
    steps += _strings(top.facts.get("next_steps"))
    return Diagnosis(
        summary=" ".join(part for part in (f"{top.title}.", happened) if part),
        cause=top.detail + also,
        confidence=confidence,
        by=NAME,
        evidence=_evidence(broken),
        hypotheses=() if confidence is Confidence.PROVEN else _hypotheses(broken),
        next_steps=tuple(dict.fromkeys([*steps, *_unread(run)]))[:MAX_STEPS],
        note=_note(run),
    )


def _of_well(run: Run, well: list[Finding]) -> Diagnosis:
    top = well[0]
    happened, _ = _what_happened(run)
    return Diagnosis(
        summary=" ".join(part for part in (f"{top.title}.", happened or "Nothing is proposed.") if part),
        cause=top.detail,
        confidence=_confidence(top),
        by=NAME,
        evidence=_evidence(well),
        hypotheses=_hypotheses(well),
        next_steps=(*_strings(top.facts.get("next_steps")), *_unread(run))[:MAX_STEPS],
        note=_note(run),
    )


def _of_nothing(run: Run) -> Diagnosis:
    """Nothing was found: what was looked at, and what a person could look at next."""
    target, happened = run.spec.target, _what_happened(run)[0]
    looked = list(dict.fromkeys(_looked_at(call) for call in run.calls.values() if call.step == 0))
    unread = _unread(run)
    if not target.key or not looked:
        summary = "Not proven: it is not clear which workload this is about."
        cause = "The built-in rules need a workload, a Service, a node or a Job to look at."
        steps: tuple[str, ...] = WHAT_IT_CAN_DO
    elif unread:
        summary = f"Not proven: {target} could not be looked at."
        cause = unread[0]
        steps = ("Check the agent's permissions and whether the name and namespace are right.",)
    else:
        summary = f"Not proven: the built-in rules find nothing wrong with {target}."
        cause = f"Looked at: {'; '.join(looked[:8])}."
        steps = (
            "Look at the metric that fired the alert, and at what the workload depends on.",
            "Look at the application's own log for the time of the alert.",
        )
    return Diagnosis(
        summary=" ".join(part for part in (summary, happened) if part),
        cause=cause,
        confidence=Confidence.NOT_PROVEN,
        by=NAME,
        next_steps=(*unread, *steps)[:MAX_STEPS],
        note=_note(run),
    )


def _what_happened(run: Run) -> tuple[str, bool]:
    """What became of the changes proposed in this run, in a sentence each, and whether one was executed and verified."""
    calls = [call for call in run.calls.values() if call.step > 0 and _changes(call)]
    told = [_end_of(call) for call in calls]
    return " ".join(line for line in told if line), any(call.execution and call.execution.verified for call in calls)


def _end_of(call: Call) -> str:
    """The end of one proposal, short: the card and the journal have the rest."""
    what = release.called(call) or _WORDS.get(call.call.tool, call.call.tool)
    by = ", ".join(vote.name or vote.user for vote in call.approval.approvers) if call.approval else ""
    approved = f"was approved by {by}, " if by else "was "
    if call.execution is not None:
        return f"{what} {approved}{_end_of_execution(call.execution)}"
    if call.approval is not None and call.approval.state is not ApprovalState.PENDING:
        state, reason, closer = call.approval.state, call.approval.closed_reason, call.approval.closed_by
        whose = f" by {closer}" if closer else ""
        ended = state.value if state is ApprovalState.EXPIRED else f"was {state.value}"
        return _ended(f"{what} {ended}{whose}" + (f": {reason}" if reason else ""))
    if call.decision is not None and call.decision.outcome is Outcome.DENY:
        return _ended(f"{what} was refused by policy: {call.decision.reason}")
    return _ended(f"{what}: {call.result.text}") if call.result else ""


def _end_of_execution(execution: Execution) -> str:
    if execution.outcome is ExecutionOutcome.FAILED:
        return _ended(f"tried and failed, so nothing was changed: {execution.detail}")
    missing = "; ".join(f"{check.name}: {check.detail}" for check in execution.checks if not check.passed)
    if execution.outcome is ExecutionOutcome.UNKNOWN and not execution.verified:
        return _ended(f"sent, and whether it took effect is unknown: {missing or execution.detail}")
    if execution.verified:
        return "executed and verified."
    return _ended("executed, but its check does not hold: " + (missing or execution.detail))


def _ended(sentence: str) -> str:
    return sentence if sentence.endswith((".", "!", "?")) else f"{sentence}."


def _changes(call: Call) -> bool:
    # a refused call was never understood, so only its lack of data tells it from a read
    return call.action.effect.value != "read" if call.action else bool(call.result and not call.result.ok)


def _looked_at(call: Call) -> str:
    about = str(call.action.target) if call.action else ""
    failed = "" if call.result and call.result.ok else " (failed)"
    return f"{call.call.tool} {about}".rstrip() + failed


def _by_hand(proposal: Proposal) -> str:
    arguments = proposal.arguments
    if proposal.tool == "jenkins_trigger":
        return f"build {arguments.get('job')} again in Jenkins, as #{arguments.get('rebuild')}"
    where = f"kubectl -n {arguments.get('namespace')}"
    if proposal.tool == "kubernetes_rollback":
        return f"{where} rollout undo deployment/{arguments.get('name')} --to-revision={arguments.get('to_revision')}"
    if proposal.tool == "kubernetes_set_resources":
        what = f"{str(arguments.get('kind')).lower()}/{arguments.get('name')} -c {arguments.get('container')}"
        parts = [
            f"--{part}=memory={_memory(arguments, part)}" for part in ("requests", "limits") if _memory(arguments, part)
        ]
        return f"{where} set resources {what} {' '.join(parts)}"
    return f"{proposal.tool} {canonical(dict(arguments)).decode()}"


def _memory(arguments: Any, part: str) -> str:
    amounts = arguments.get(part)
    return str(amounts.get("memory") or "") if isinstance(amounts, dict) else ""


def _confidence(found: Finding) -> Confidence:
    stated = next((item for item in Confidence if item.value == found.facts.get("confidence")), Confidence.NOT_PROVEN)
    # a claim is never more certain than its evidence
    return stated if found.evidence else Confidence.NOT_PROVEN


def _evidence(findings: Iterable[Finding]) -> tuple[Evidence, ...]:
    cited = {item.id: item for found in reversed(list(findings)) for item in reversed(found.evidence)}
    return tuple(reversed(cited.values()))[:MAX_EVIDENCE]


def _hypotheses(findings: Iterable[Finding]) -> tuple[Hypothesis, ...]:
    pairs = [pair for found in findings for pair in found.facts.get("hypotheses") or ()]
    return tuple(Hypothesis(str(pair[0]), str(pair[1])) for pair in pairs if len(pair) == 2)[:3]


def _unread(run: Run) -> list[str]:
    return [f"{found.title}: {found.detail}" for found in run.findings or () if found.code == "read.failed"]


def _note(run: Run) -> str:
    return f"{run.model_failure}: built-in rules only" if run.model_failure else ""


def _strings(value: Any) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list | tuple) else []


def _seen(run: Run) -> dict[str, Any]:
    """What this turn is decided from, small: the findings by code, and what became of the calls."""
    return {
        "question": run.spec.question,
        "target": str(run.spec.target),
        "findings": [[found.code, found.target.key] for found in run.findings or ()],
        "settled": [[call.call.id, call.result.text] for call in run.calls.values() if call.step > 0 and call.result],
    }
