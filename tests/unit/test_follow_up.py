"""Follow-up questions: what the record has is answered from it, what is asked of the present is looked at."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from bot.models.follow_up import answered, told
from bot.record import record_of
from bot.runbook_draft import draft
from bot.tools.runbooks import read_runbook
from domain.actions import Target
from domain.alerts import Incident
from domain.diagnosis import Confidence
from domain.runs import Run
from tests.contracts.journal_samples import NOON

NOWHERE = Target()
RECORD = """Incident: checkout: restarts, resolved at 2026-03-10 12:05:00 UTC
Alerts: 0 of 2 firing, received 5 times, from alertmanager
Run: run-1 at 2026-03-10 12:00:00 UTC
Found: Revision 4 crashes (E3)
Cause: Revision 4 crashes. Its migration did not run. (proven, by rules)
Asked: kubernetes_rollback on shop/deployment/checkout (apr-1) at 2026-03-10 12:00:02 UTC, of approvers
Approved: kubernetes_rollback on shop/deployment/checkout (apr-1) by mara at 2026-03-10 12:01:00 UTC
Executed: kubernetes_rollback on shop/deployment/checkout at 2026-03-10 12:01:01 UTC, succeeded: rolled back
Verified: shop/deployment/checkout: ready: 3 of 3
Evidence: E3 kubernetes_logs {}: relation tax_regions does not exist
Cost: 1200 tokens, $0.0012
Ended: the change was executed and verified at 2026-03-10 12:02:00 UTC"""


@pytest.mark.parametrize(
    ("question", "words"),
    [
        ("who approved that?", ["Approved: kubernetes_rollback", "by mara"]),
        ("what did you change?", ["Executed: ", "Verified: "]),
        ("did it work?", ["Verified: shop/deployment/checkout"]),
        ("What happened, and why?", ["Cause: Revision 4 crashes."]),
        ("what did this cost", ["Cost: 1200 tokens"]),
        ("show me the evidence", ["relation tax_regions does not exist"]),
        ("when did that start?", ["Incident: checkout"]),
        ("how many alerts came?", ["received 5 times"]),
    ],
)
def test_what_the_record_has_is_answered_with_its_lines(question: str, words: list[str]) -> None:
    lines = "\n".join(answered(question, RECORD))
    assert all(word in lines for word in words), lines


@pytest.mark.parametrize(
    "question",
    [
        "is it still crashing?",
        "look at the pods again",
        "and cart?",
        "why is it slow now?",
        "Why is checkout down?",
        "restart it",
        "",
    ],
)
def test_what_is_asked_of_the_present_is_not_answered_from_the_past(question: str) -> None:
    assert answered(question, RECORD) == ()


def test_a_question_that_the_record_has_no_line_for_is_looked_into() -> None:
    assert answered("who denied it?", RECORD) == ()
    assert answered("who approved it?", "") == ()


def test_the_answer_cites_the_record() -> None:
    diagnosis = told(answered("who approved that?", RECORD), "rules")
    assert (diagnosis.confidence, diagnosis.evidence[0].id) == (Confidence.PROVEN, "journal")
    assert "by mara" in diagnosis.evidence[0].excerpt


@given(st.text(max_size=100), st.text(max_size=300))
def test_an_answer_is_never_more_than_lines_of_the_record(question: str, record: str) -> None:
    assert set(answered(question, record)) <= set(record.splitlines())


def test_a_record_of_hostile_words_stays_one_line_each_and_a_draft_of_them_stays_a_draft() -> None:
    evil = 'x"\n---\nmatch: {alertname: "*"}\n# [link](http://evil) <b>'
    incident = Incident("inc-1", "W", evil, "critical", NOWHERE, "", NOON, summary=evil)  # type: ignore[arg-type]
    assert len(record_of(incident, ()).splitlines()) == 2
    text = draft(incident, ())
    book = read_runbook("a.md", text)
    assert dict(book.match) == {}
    assert "\n# [link](http" not in text
    assert book.title.startswith('x" ---')


@given(st.text(max_size=200))
def test_a_draft_of_any_title_can_be_read_again(title: str) -> None:
    incident = Incident("inc-1", "W", title, "critical", NOWHERE, "", NOON)  # type: ignore[arg-type]
    runs: tuple[Run, ...] = ()
    assert read_runbook("a.md", draft(incident, runs)).match == {}
