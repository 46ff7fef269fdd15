"""Cards: every noun in every state, with the worst text there is, is something that Slack takes and people can read."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import HealthCheck, given, settings, strategies as st

from domain.actions import Mode, Target
from domain.alerts import Incident, Severity
from domain.decisions import Approval, Execution, ExecutionOutcome
from domain.diagnosis import Claim, Confidence, Diagnosis, Evidence, Finding, Hypothesis
from domain.runs import Answer, Call, Origin, Run, RunOutcome, RunSpec, RunStatus, ToolCall, ToolResult, Usage
from handlers import cards, kit
from handlers.blocks import degrade, problems
from handlers.chat import settle
from handlers.kit import Body
from tests.slack_harness import CHECKOUT, action_of, incident_of, request_of

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
NASTY = st.one_of(
    st.text(max_size=400),
    st.sampled_from(
        [
            "<!channel> <@U07MARA0001> <#C1> <https://evil.example|click>",
            "*bold* _italic_ ~gone~ `code` ```fence``` ***",
            "\u202egpj.exe\u202c \x00 \u200b \ufeff",
            "👩‍👩‍👧‍👦" * 200,
            "数据库" * 500,
            "&lt;&amp;" * 900,
            "a" * 10_000,
            "line\n" * 5000,
            "]( http://x ![x](http://evil.example/x.png)",
        ]
    ),
)


def run_of(**more: Any) -> Run:
    spec = RunSpec("r1", "i1", Origin.ALERT, "gpt-5", Mode.PROPOSE, CHECKOUT)
    return Run(more.pop("spec", spec), NOON, **more)


def call_of(call_id: str = "c1", step: int = 0, **more: Any) -> Call:
    result = ToolResult(call_id, "kubernetes_get", True, "text", "E1", {}, 12, 0, {"kind": "Pod", "name": "checkout-1"})
    return Call(ToolCall(call_id, "kubernetes_get", "{}"), step, result=more.pop("result", result), **more)


def diagnosis_of(text: str, count: int = 2) -> Diagnosis:
    evidence = tuple(Evidence(f"E{number}", text, text) for number in range(1, count + 1))
    guesses = tuple(Hypothesis(text, text, ("E1",), ("E2",)) for _ in range(count))
    claims = (Claim(text, ("E1",)), *(Claim(text, (), (text,) * count) for _ in range(count)))
    return Diagnosis(text, f"{text}!", Confidence.LIKELY, text, evidence, guesses, (text,) * count, text, claims)


def accepted(body: Body) -> None:
    """Slack would take it as it is, and simplified, and it says something to a screen reader."""
    assert body.text.strip()
    assert len(body.text) <= 3000
    assert [str(one) for one in problems(list(body.blocks))] == []
    assert [str(one) for one in problems(degrade(list(body.blocks)))] == []
    for attachment in body.attachments:
        assert [str(one) for one in problems(attachment["blocks"])] == []


def mrkdwn_of(value: Any) -> list[str]:
    """Every string that Slack parses."""
    if isinstance(value, dict):
        own = [value["text"]] if value.get("type") in ("mrkdwn", "markdown") else []
        return own + [text for inner in value.values() for text in mrkdwn_of(inner)]
    if isinstance(value, list | tuple):
        return [text for inner in value for text in mrkdwn_of(inner)]
    return []


def tame(body: Body) -> None:
    """Nothing that nobody vouches for is live in it: only our own dates and people."""
    for text in [*mrkdwn_of(body.blocks), *mrkdwn_of(body.attachments), body.text]:
        for token in text.split("<")[1:]:
            assert token.startswith(("!date^", "@U07", "#C07")), text
        assert "![" not in text or "](" not in text


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(text=NASTY, severity=st.sampled_from(Severity), resolved=st.booleans())
def test_an_incident_of_any_text_is_sendable_and_tame(text: str, severity: Severity, resolved: bool) -> None:
    incident = incident_of(
        title=text,
        summary=text + "?",
        source=text,
        url="https://evil.example/" + text,
        severity=severity,
        target=Target(text, text, text, text, text),
        resolved_at=NOON if resolved else None,
    )
    body = cards.incident(incident, text)
    accepted(body)
    tame(body)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(text=NASTY, count=st.integers(0, 70))
def test_progress_and_diagnosis_of_any_text_are_sendable_and_tame(text: str, count: int) -> None:
    calls = {f"c{n}": call_of(f"c{n}", n % 60) for n in range(count)}
    findings = tuple(Finding("pod.crash", text, text, CHECKOUT) for _ in range(count))
    run = run_of(calls=calls, findings=findings, diagnosis=diagnosis_of(text, count), model_failure=text, reason=text)
    for body in (cards.progress(run), cards.diagnosis(run), cards.notice(text)):
        accepted(body)
        tame(body)


def test_a_megabyte_of_log_is_cut_with_a_count_of_the_missing_lines() -> None:
    log = "error: no route to host\n" * 45_000
    found = Diagnosis("s", "c", Confidence.PROVEN, "rules", (Evidence("E1", "logs", log),))
    body = cards.diagnosis(run_of(diagnosis=found))
    accepted(body)
    assert "error: no route to host" in str(body.blocks)
    assert "lines" in str(body.blocks)
    shown = str(body.blocks).count("error: no route to host")
    assert f"+{45_000 - shown} lines" in str(body.blocks)


def test_an_open_incident_says_what_where_and_how_much_fires() -> None:
    incident = incident_of(firing=("f1", "f2"), fingerprints=("f1", "f2", "f3"), alerts=9, opened_at=NOON)
    body = cards.incident(incident, "Diagnosing")
    said = str(body)
    assert body.text == "🔴 critical: KubePodCrashLooping (shop/deployment/checkout)"
    assert "2 of 3 alerts, received 9 times" in said
    assert "Diagnosing" in said
    assert body.attachments[0]["color"] == "#E01E5A"


def test_a_resolved_incident_is_green_and_says_after_how_long() -> None:
    incident = incident_of(opened_at=NOON, resolved_at=NOON + timedelta(minutes=14), firing=())
    body = cards.incident(incident)
    assert body.text.startswith("✅ Resolved: ")
    assert "after 14 min" in str(body)
    assert body.attachments[0]["color"] == "#2EB67D"


def test_an_address_that_a_monitor_wrote_is_code_and_no_link() -> None:
    incident = incident_of(url="https://grafana.acme.example/d/1?x=1")
    plain = cards.incident(incident)
    assert "'type': 'link'" not in str(plain)
    assert "grafana.acme.example/d/1" in str(plain)


def test_a_long_run_keeps_its_plan_and_the_details_of_its_last_steps() -> None:
    long = ToolResult("c", "kubernetes_get", True, "text", "E1", {}, 12, 0, {"kind": "Pod", "name": "n" * 200})
    calls = {f"{step}.{n}": call_of(f"{step}.{n}", step, result=long) for step in range(1, 21) for n in range(8)}
    body = cards.progress(run_of(calls=calls))
    accepted(body)
    tasks = body.blocks[0]["tasks"]
    assert "details" not in tasks[0]
    assert "details" in tasks[-1]
    assert len(tasks) == 20


def test_progress_names_what_was_looked_at_found_and_waited_for() -> None:
    waiting = call_of("c3", 1, result=None, approval=Approval(request_of()))
    calls = {"c1": call_of("c1"), "c2": call_of("c2", result=None), "c3": waiting}
    findings = (Finding("pod.crash", "checkout-1 crash-loops with exit code 1", "", CHECKOUT),)
    run = run_of(calls=calls, findings=findings, status=RunStatus.WAITING)
    plan = cards.progress(run).blocks[0]
    assert plan["title"] == "Waiting for approval: shop/deployment/checkout"
    assert [(task["title"], task["status"]) for task in plan["tasks"]] == [
        ("Looking at 2 things", "in_progress"),
        ("First finding: checkout-1 crash-loops with exit code 1", "complete"),
        ("Waiting for approval: roll back checkout", "in_progress"),
    ]


def test_progress_of_an_execution_ends_in_one_word() -> None:
    execution = Execution("x1", "c1", action_of(), "k", NOON, outcome=ExecutionOutcome.SUCCEEDED, verified=True)
    calls = {"c1": call_of("c1", 1, execution=execution)}
    run = run_of(calls=calls, findings=(), status=RunStatus.FINISHED, outcome=RunOutcome.REMEDIATED, machine_ms=4200)
    plan = cards.progress(run).blocks[0]
    assert plan["title"] == "Done after 4 s: shop/deployment/checkout"
    assert ("Verified: roll back checkout", "complete") in [(t["title"], t["status"]) for t in plan["tasks"]]


def test_a_healthy_workload_reads_as_nothing_wrong() -> None:
    healthy = Finding("deployment.healthy", "all is well", "", CHECKOUT, healthy=True)
    assert "Nothing looks wrong" in str(cards.progress(run_of(findings=(healthy,))))


def test_a_diagnosis_says_how_sure_it_is_by_whom_and_why_not_the_model() -> None:
    found = replace(diagnosis_of("bad release"), by="rules", note="gpt-5 did not answer in 30 s: these are the rules.")
    run = run_of(diagnosis=found, machine_ms=2400, usage=Usage(900, 100, cost_micros=12_000))
    said = str(cards.diagnosis(run).blocks)
    for part in (
        "Likely, not proven",
        "E1, E2",
        "By rules in 2 s, 1,000 tokens, $0.01",
        "gpt-5 did not answer in 30 s",
    ):
        assert part in said
    assert "feedback_buttons" in said


def test_a_run_that_ends_without_a_diagnosis_says_why() -> None:
    body = cards.diagnosis(run_of(reason="The cluster did not answer."))
    assert "The cluster did not answer." in str(body)
    accepted(body)


def test_settling_redacts_words_and_keeps_ids() -> None:
    block = kit.actions(kit.button("Approve", "approval.approve", "a1 hunter2"))
    body = settle(
        Body("hunter2", (block, kit.section("pw hunter2"))), lambda text: text.replace("hunter2", "[redacted]")
    )
    assert body.text == "[redacted]"
    assert "pw [redacted]" in str(body.blocks)
    assert body.blocks[0]["elements"][0]["value"] == "a1 hunter2"


def test_settling_never_lets_through_what_slack_refuses() -> None:
    broken = ({"type": "header", "text": {"type": "plain_text", "text": "x" * 400}},)
    settled = settle(Body("words stay", broken), str)
    assert problems(list(settled.blocks)) == []
    assert "words stay" in str(settled.blocks)


def test_cutting_keeps_whole_lines_and_counts_the_rest() -> None:
    assert kit.literal("a\nb\nc", 100) == "a\nb\nc"
    assert kit.literal("", 10) == "–"
    cut = kit.literal("0123456789\n" * 50, 100)
    assert len(cut) <= 100
    assert cut.endswith("lines")


def test_every_model_answer_fits_its_type() -> None:
    run = run_of(answers=(Answer("x"),), findings=())
    assert "Asking gpt-5" in str(cards.progress(run))
    assert isinstance(incident_of(), Incident)


def test_what_no_stored_evidence_carries_is_shown_as_only_said() -> None:
    carried, invented, bare = (
        Claim("It ran out of memory.", ("E1", "E2")),
        Claim("Version 9.9.9 leaks.", ("E1",), ("9.9.9",)),
        Claim("The weather was bad."),
    )
    found = Diagnosis("It crashes.", "…", Confidence.LIKELY, "m", claims=(carried, invented, bare))
    said = json.dumps(cards.diagnosis(run_of(diagnosis=found)).blocks, ensure_ascii=False)
    cause, _, only_said = said.partition("Said, and not carried by stored evidence")
    assert "It ran out of memory. (E1, E2)" in cause
    assert "9.9.9" not in cause
    assert "Version 9.9.9 leaks. – in no result: 9.9.9" in only_said
    assert "The weather was bad." in only_said


def test_a_hypothesis_shows_what_speaks_for_and_against_it() -> None:
    guess = Hypothesis("Frost", "look outside", ("E1", "E3"), ("E2",))
    found = Diagnosis("It crashes.", "", Confidence.NOT_PROVEN, "m", hypotheses=(guess,))
    said = json.dumps(cards.diagnosis(run_of(diagnosis=found)).blocks, ensure_ascii=False)
    assert "Frost (for E1, E3; against E2) – check: look outside" in said
