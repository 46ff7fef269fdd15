"""The timeline page: everything recorded is on it, as text and nothing else, and its first page tells the truth."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from domain.diagnosis import Claim, Hypothesis
from domain.events import (
    AlertHeld,
    AlertReceived,
    BreakerOpened,
    DiagnosisConcluded,
    Envelope,
    FeedbackGiven,
    MessageWanted,
    ModelAsked,
    ModelFailed,
    PolicyRejected,
    SecondLookTaken,
    ToolCallFinished,
    VerificationFailed,
    VerificationPassed,
    body_of,
    event_of,
)
from domain.feedback import FeedbackVerdict
from domain.fold import fold
from domain.noise import Suppression
from domain.runs import SecondLook, Usage
from storage.evidence.head import sentence, verdict
from storage.evidence.markup import literal, pretty, shown, tag
from storage.evidence.story import story_of
from storage.evidence.timeline import Proof, render
from tests.contracts.evidence_samples import CLEAN, HOSTILE, NIGHT, UGLY, clean, envelopes, in_order, ugly

TAGS = {
    *("html", "head", "meta", "title", "style", "body", "main", "header", "footer", "section", "div", "p", "span", "b"),
    *("i", "em", "small", "h1", "h2", "h3", "h4", "ol", "ul", "li", "dl", "dt", "dd", "pre", "code", "table", "thead"),
    *("tbody", "tr", "th", "td", "details", "summary", "a"),
}
ATTRIBUTES = {"class", "id", "href", "lang", "charset", "name", "content", "http-equiv", "scope"}
UGLY_NIGHT: list[Envelope] = envelopes(in_order(ugly()))
CLEAN_NIGHT: list[Envelope] = envelopes(in_order(clean()))
HIDING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]")


class Page(HTMLParser):
    """What a parser makes of the page."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words.append(data)

    @property
    def text(self) -> str:
        return "".join(self.words)


def check_harmless(text: str) -> Page:
    """No tag, attribute, address or hidden character but our own."""
    page = Page(text)
    assert page.open == []
    assert set(page.tags) <= TAGS
    assert {name for name, _ in page.attributes} <= ATTRIBUTES
    for name, value in page.attributes:
        if name in ("id", "href"):
            assert re.fullmatch(r"#?e\d+", value)
        if name == "class":
            assert re.fullmatch(r"[a-z ]+", value)
    assert not HIDING.search(page.text)
    return page


def with_words(value: Any, words: str) -> Any:
    """A body with other words wherever the samples mean harm, keys too."""
    if isinstance(value, str):
        return value.replace(HOSTILE, words)
    if isinstance(value, dict):
        return {("<b>" + words if key == "<b>" else key): with_words(inner, words) for key, inner in value.items()}
    return [with_words(inner, words) for inner in value] if isinstance(value, list) else value


def saying(words: str) -> list[Envelope]:
    return [
        replace(each, event=event_of(type(each.event).__name__, with_words(body_of(each.event), words)))
        for each in UGLY_NIGHT
    ]


# --- nothing recorded is more than text -------------------------------------------------------------------------------


def test_hostile_words_are_on_the_page_as_words() -> None:
    page = check_harmless(render(UGLY_NIGHT, run_id=UGLY))
    assert page.text.count("<script>alert(1)</script>") > 20
    assert "⟨U+202E⟩dessap si siht⟨U+202C⟩ a⟨U+200B⟩b ⟨U+001B⟩[31m" in page.text
    assert "javascript:alert(3)" in page.text, "an alert's address is text, no link"


@settings(max_examples=40, deadline=None)
@given(
    st.text(max_size=60)
    | st.sampled_from(['" onload="x', "</style><svg onload=x>", "<!--", "]]>", "&lt;b&gt;", "'\"`"])
)
def test_no_words_become_a_tag_an_attribute_or_something_unseen(words: str) -> None:
    check_harmless(render(saying(words.encode("utf-16", "replace").decode("utf-16")), run_id=UGLY))


@given(st.text())
def test_shown_text_is_the_text_with_what_hides_written_out(text: str) -> None:
    page = Page(shown(text).text)
    assert set(page.tags) <= {"i"}
    assert not HIDING.search(page.text)
    if not re.search("[^ -~\n]", text):
        assert page.text == text


def test_a_joiner_stays_in_an_emoji_and_is_shown_in_a_word() -> None:
    assert shown("👩\u200d💻").text == "👩\u200d💻"
    assert "U+200D" in shown("ad\u200dmin").text


def test_marks_piled_on_a_letter_stay_in_their_line() -> None:
    assert shown("a" + "\u0301" * 500).text == "a" + "\u0301" * 4


def test_an_attribute_s_value_cannot_end_it() -> None:
    assert tag("p", "x", title='"><script>').text == '<p title="&quot;&gt;&lt;script&gt;">x</p>'


def test_the_page_loads_nothing_and_runs_nothing() -> None:
    text = render(UGLY_NIGHT, run_id=UGLY)
    assert "default-src &#x27;none&#x27;" in text
    assert not re.search(r"url\(|@import|https?://[^\s<]*\.(css|js|woff)", text)
    assert not set(Page(text).tags) & {"script", "img", "link", "iframe", "form", "object", "svg", "base"}


# --- everything recorded is there -------------------------------------------------------------------------------------


def test_every_event_has_its_number_and_the_beginning_of_its_hash() -> None:
    page = check_harmless(render(UGLY_NIGHT, run_id=UGLY))
    for each in UGLY_NIGHT:
        assert re.search(rf"#{each.seq} ?{each.hash[:8]}", page.text), each
        assert each.hash in page.text


def test_every_word_of_a_long_output_is_there_folded() -> None:
    page = Page(render(UGLY_NIGHT, run_id=UGLY))
    (log,) = [
        each.event.result for each in UGLY_NIGHT if isinstance(each.event, ToolCallFinished) and each.event.result.data
    ]
    assert all(line.split(" ")[4] in page.text for line in log.text.splitlines())
    assert "228 more lines" in page.text


def test_every_prompt_is_there_with_every_word() -> None:
    page = Page(render(UGLY_NIGHT, run_id=UGLY))
    (asked,) = [each.event for each in UGLY_NIGHT if isinstance(each.event, ModelAsked)]
    system, user = asked.messages
    assert page.text.count("Rules. ") >= system["content"].count("Rules. ") - 1  # the fold may stand inside one
    assert user["content"].splitlines()[0] in page.text


def test_a_read_stands_with_the_request_and_policy_s_word_that_led_to_it() -> None:
    page = Page(render(UGLY_NIGHT, run_id=UGLY))
    at = page.text.index("kubernetes_logs(namespace=")
    assert page.text[at:].startswith('kubernetes_logs(namespace="shop", pod="payments-5d8-x2x")#7 ')
    assert "allow by rule look-anywhere" in page.text[at : at + 200]


def test_what_the_page_has_no_words_for_is_shown_as_it_was_recorded() -> None:
    odd = Envelope(900, "local", "", UGLY, NIGHT, "system", PolicyRejected(("line 3: no such rule",)), "f" * 64)
    assert "line 3: no such rule" in Page(render([*UGLY_NIGHT, odd], run_id=UGLY)).text


def test_what_slack_was_shown_is_there() -> None:
    blocks = ({"type": "section", "text": {"type": "mrkdwn", "text": "what people read"}},)
    message = MessageWanted("k", 1, "C1", "", "short", blocks)
    odd = Envelope(900, "local", "", UGLY, NIGHT, "system", message, "f" * 64)
    assert "what people read" in Page(render([*UGLY_NIGHT, odd], run_id=UGLY)).text


def test_a_conclusion_shows_each_sentence_held_against_what_was_stored_and_the_second_look() -> None:
    (concluded,) = [each for each in CLEAN_NIGHT if isinstance(each.event, DiagnosisConcluded)]
    claims = (Claim("Too few pods.", ("E1",)), Claim("The node burns.", (), ("node-z",)))
    guess = Hypothesis("A leak.", "kubernetes_logs", ("E1",), ("E2",))
    diagnosis = replace(concluded.event.diagnosis, claims=claims, hypotheses=(guess,))
    look = SecondLookTaken("o9", SecondLook("partly", "E1 shows pods, not fire"), Usage(1000, 20, 0, 5000), 900)
    kept = [each for each in CLEAN_NIGHT if each is not concluded]
    told = [
        replace(concluded, event=DiagnosisConcluded(diagnosis)),
        replace(concluded, seq=400, event=look, hash="e" * 64),
        replace(concluded, seq=401, event=FeedbackGiven(CLEAN, "U07MARA0001", FeedbackVerdict.BAD, None, "no fire")),
    ]
    page = check_harmless(render(sorted([*kept, *told], key=lambda each: each.seq), run_id=CLEAN))
    for words in (
        "✓Too few pods.E1",
        "✗The node burns.nothing storednode-z",
        "A leak. – for it E1; against it E2; check: kubernetes_logs",
        "o9 looked again: partly",
        "Likely, not proven E1",
        "for 1,020 model tokens",
        "This diagnosis was wrong, says mara",
    ):
        assert words in page.text, words


def test_an_alert_that_was_held_back_says_until_when_and_why() -> None:
    alert = next(each for each in CLEAN_NIGHT if isinstance(each.event, AlertReceived))
    held = AlertHeld(alert.event.alert, "p", Suppression.FLAPPING, NIGHT, "it comes and goes")
    kept = [replace(alert, seq=0, event=held, hash="a" * 64), *CLEAN_NIGHT]
    assert "Held back until 03:02:11 UTC: cart is slow" in Page(render(kept, run_id=CLEAN)).text


# --- the first page ---------------------------------------------------------------------------------------------------


def test_the_first_page_of_a_good_night() -> None:
    page = Page(render(CLEAN_NIGHT))
    for words in (
        "cart is slow",
        "Verified",
        "Scale cart: approved by mara, executed once and verified at 02:02:45 UTC.",
        "The monitor resolved the incident at 02:03:11 UTC.",
        'kubernetes_scale(name="cart", replicas=6)',
        "Rule change-production of policy 4bd7ddcf41be",
        "mara U07MARA0001 approved at 02:02:31 UTC",
        "1 of 1 check held after 13 s.",
        "alert to resolved",
    ):
        assert words in page.text, words


def test_the_worst_of_what_was_executed_is_the_verdict() -> None:
    story = story_of(UGLY_NIGHT, UGLY)
    assert verdict(story) == ("Unknown", "bad")
    assert "whether it took effect is not known" in sentence(story)
    assert "3 other proposals below" in sentence(story)


def test_who_was_refused_and_who_changed_their_mind_stands_among_the_people() -> None:
    page = Page(render(UGLY_NIGHT, run_id=UGLY))
    for words in (
        "gitaU07GITA0001Was refused: Guests cannot decide on this.",
        "Approved for priya: cordon node-c",
        "Took the approval back: cordon node-c",
        "Denied: cordon node-c",
        "Approved, alone under break-glass: change resources of payments",
        "Reviewed the break-glass: It was right to act",
    ):
        assert words in re.sub(r"(?<=a) (?=U07GITA)", "", page.text), words


@pytest.mark.parametrize(
    ("kind", "word"), [(VerificationPassed, "Verified"), (VerificationFailed, "Failed"), (None, "Executed")]
)
def test_the_word_of_an_execution_is_the_card_s(kind: Any, word: str) -> None:
    kept = [each for each in CLEAN_NIGHT if not isinstance(each.event, VerificationPassed)]
    verified = next(each for each in CLEAN_NIGHT if isinstance(each.event, VerificationPassed))
    if kind is not None:
        kept.append(replace(verified, event=kind(verified.event.execution_id, verified.event.checks, 1)))
    assert verdict(story_of(sorted(kept, key=lambda each: each.seq)))[0] == word


def test_a_run_that_has_only_begun_says_so() -> None:
    begun = CLEAN_NIGHT[:4]
    assert verdict(story_of(begun, CLEAN)) == ("Not finished", "open")
    check_harmless(render(begun, run_id=CLEAN))


def test_a_page_of_no_events_is_a_page() -> None:
    check_harmless(render([]))


def test_an_event_of_another_run_says_whose_it_is() -> None:
    other = replace(CLEAN_NIGHT[-1], run_id="run-other", event=BreakerOpened("agent", "too much failed"))
    assert "In run run-other" in Page(render([*CLEAN_NIGHT[:-1], other], run_id=CLEAN)).text


# --- the end of the page ----------------------------------------------------------------------------------------------


def test_the_proof_names_root_key_checkpoint_and_how_to_check() -> None:
    proof = Proof("personal-agent/local\n55\nroot\n\n— sig", 55, "ab" * 32, "cd" * 32, NIGHT)
    page = Page(render(UGLY_NIGHT, proof=proof, run_id=UGLY))
    for words in ("ab" * 32, "cd" * 32, "personal-agent/local", "verify.py bundle.jsonl", "audit verify --file"):
        assert words in page.text


def test_a_page_without_a_checkpoint_claims_no_proof() -> None:
    assert "it proves nothing by itself" in Page(render(UGLY_NIGHT, run_id=UGLY)).text


def test_the_page_counts_the_tokens_that_the_run_counts() -> None:
    told = [each for each in UGLY_NIGHT if each.run_id == UGLY]
    for lost in (Usage(900, 40, 7, 300), Usage(5, 5, priced=False)):
        event = ModelFailed(9, "gpt", "said nothing", usage=lost)
        told.append(replace(told[-1], seq=told[-1].seq + 1, event=event))
    assert story_of(told, UGLY).usage == fold(told).usage


# --- pieces -----------------------------------------------------------------------------------------------------------


@given(st.text(alphabet="ab\n", max_size=9000))
def test_a_fold_loses_nothing(text: str) -> None:
    page = Page(literal(text).text)
    folded = re.sub(r"(\d[\d,]* more lines?|the rest of the line) \([\d,]+ characters\)", "", page.text)
    assert folded.replace("\n", "") == text.replace("\n", "")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=12), inner, max_size=6),
    max_leaves=40,
)


@given(JSON)
def test_pretty_json_is_the_same_json(value: Any) -> None:
    assert json.loads(pretty(value)) == value
