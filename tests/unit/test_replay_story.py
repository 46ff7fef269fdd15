"""A run told again: every turn of it in words, in order, for a terminal that recorded text cannot steer."""

from __future__ import annotations

import asyncio
import io
import os
import pty
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

from bot.commands.replay import find
from bot.replay.beats import CHANGED, SEEN, beat_of
from bot.replay.story import since, story
from bot.replay.terminal import WIDTH, Paper, paper_for, printable
from domain.alerts import Alert, Incident, Severity
from domain.decisions import ApprovalState, Check, ExecutionOutcome, Verdict, Vote
from domain.diagnosis import Confidence, Diagnosis, Evidence, Hypothesis
from domain.errors import AgentError
from domain.events import (
    KINDS,
    ApprovalClosed,
    ApprovalEscalated,
    ApprovalReminded,
    ApprovalRequested,
    DiagnosisConcluded,
    Envelope,
    Event,
    ExecutionFinished,
    ExecutionProbed,
    FeedbackGiven,
    ModelFailed,
    RunStarted,
    SecondLookTaken,
    StepPlanned,
    VerificationFailed,
    VoteCast,
    VoteRefused,
)
from domain.feedback import FeedbackCategory, FeedbackVerdict
from domain.runs import Answer, Origin, SecondLook, Usage
from tests.contracts.journal_samples import CART
from tests.slack_harness import request_of
from tests.unit.journeys import ALLOWING, DENYING, Place, calling, concluded, place, spec_of
from tests.unit.test_codec import values

AT = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
LOOK, TURN = ("look", '{"name":"a","lines":5}'), ("turn", '{"name":"a","to":1}')
ESCAPES = re.compile(r"\x1b\[[0-9;]*m")


async def told(spot: Place, incident: Incident | None = None, paper: Paper = Paper()) -> str:  # noqa: B008 – frozen
    return "\n".join(story(await spot.journal.of_run(spot.run_id), incident, paper))


def in_order(text: str, *said: str) -> bool:
    place = 0
    for words in said:
        place = text.find(words, place)
        assert place >= 0, f"{words!r} is not there, or not in its place:\n{text}"
    return True


async def test_a_run_is_told_from_its_question_to_its_cost(tmp_path: Path) -> None:
    async with place(tmp_path, calling(LOOK), calling(TURN), concluded(), question="Why does it leak?") as spot:
        await spot.advance()
        await spot.vote()
        await spot.advance()
        text = await told(spot)
    assert in_order(
        text,
        "run-1 · unknown in production · remediated after",
        "asks: Why does it leak?",
        "step 1, script: looking",
        'wants look {"name":"a","lines":5}',
        "E1 look(lines=5, name=a)",
        "allowed by look",
        "│ valve a stands at 0",
        "ask by the rule turn: turn(",
        "Turning needs a person.",
        "approvers, until",
        "- 0",
        "+ 1",
        "Person U1    approves (approved)",
        "executes",
        "as approved",
        "turned a to 1",
        "it holds",
        "✓ position: at 1",
        "likely, by script: Valve a leaks.",
        "remediated: the change was executed and verified",
        "3 steps · 2 calls · 0 + 0 tokens · $0.0000",
    )


async def test_what_a_read_returned_is_told_by_its_first_lines(tmp_path: Path) -> None:
    async with place(tmp_path, calling(("look", '{"name":"a","lines":9}')), concluded()) as spot:
        await spot.advance()
        text = await told(spot)
    assert text.count("│ valve a stands at 0") == SEEN
    assert f"│ … {9 - SEEN} more lines" in text


async def test_a_denied_change_and_an_allowed_one_are_told_as_what_they_were(tmp_path: Path) -> None:
    async with place(tmp_path, calling(TURN), concluded(), policy=DENYING) as spot:
        await spot.advance()
        text = await told(spot)
    assert in_order(text, "deny by the rule never", "Not on a Friday.", "turn was denied by policy")
    (tmp_path / "allowed").mkdir()
    async with place(tmp_path / "allowed", calling(TURN), concluded(), policy=ALLOWING) as spot:
        spot.mode = spot.mode.ACT
        await spot.advance()
        text = await told(spot)
    assert in_order(text, "allow by the rule all", "executes", "as policy allows", "verifies")


async def test_a_run_that_waits_says_so_and_nothing_of_an_end(tmp_path: Path) -> None:
    async with place(tmp_path, calling(TURN)) as spot:
        await spot.advance()
        text = await told(spot)
    assert text.splitlines()[0].endswith("waits for a person")
    assert "machine time" not in text


async def test_the_incident_begins_and_ends_the_story(tmp_path: Path) -> None:
    alert = Alert("f", True, "ValveLeaks", "alertmanager", AT, summary="It drips", labels={"valve": "a"})
    incident = Incident("i", "local", "Valve a drips", Severity.CRITICAL, CART, "g", AT)
    async with place(tmp_path, concluded(), incident_id="i", origin=Origin.ALERT, alert=alert) as spot:
        run = await spot.advance()
        still_open = await told(spot, incident)
        closed = await told(spot, Incident(**{**vars(incident), "resolved_at": run.started_at + timedelta(minutes=3)}))
    assert in_order(
        still_open, "critical: Valve a drips", "warning: ValveLeaks. It drips", "valve=a", "since 2026-03-10"
    )
    assert still_open.endswith("The incident is open.")
    assert closed.endswith("The monitor resolved the incident 3 min 0 s after the run began.")


@pytest.mark.parametrize(
    ("event", "said"),
    [
        (
            SecondLookTaken("cheap", SecondLook("partly", "a step is missing"), Usage(), 9),
            "cheap: partly: a step is missing",
        ),
        (FeedbackGiven("r", "U1", FeedbackVerdict.GOOD), "says that this diagnosis is good"),
        (
            FeedbackGiven("r", "U1", FeedbackVerdict.BAD, FeedbackCategory.WRONG_CAUSE, "it was DNS"),
            "says that this diagnosis is bad (wrong cause): it was DNS",
        ),
        (ModelFailed(2, "gpt", "did not answer"), "step 2, gpt did not answer: the built-in rules go on alone"),
        (VoteCast("a", Vote("U1", Verdict.DENY, AT, "no", name="Mara"), ApprovalState.DENIED), "denies: no (denied)"),
        (VoteCast("a", Vote("U1", Verdict.WITHDRAW, AT), ApprovalState.PENDING), "takes the approval back (pending)"),
        (
            VoteCast("a", Vote("U1", Verdict.APPROVE, AT, on_behalf_of="U2", break_glass="g1")),
            "approves, in place of U2, under break-glass g1 (more are needed)",
        ),
        (VoteRefused("a", "U3", "not one of them"), "may not: not one of them"),
        (ApprovalClosed("a", ApprovalState.SUPERSEDED, "edited", "Mara"), "superseded by Mara. edited"),
        (ApprovalReminded("a"), "half of the time has passed"),
        (ApprovalEscalated("a", ("leads",)), "leads may decide as well"),
        (ExecutionProbed("x", None, "nobody can tell"), "nobody can tell"),
        (ExecutionFinished("x", ExecutionOutcome.FAILED, "refused", 3), "refused (3 ms)"),
        (ExecutionFinished("x", ExecutionOutcome.UNKNOWN, "lost", 3), "lost (3 ms)"),
        (VerificationFailed("x", (Check("pods", False, "0 of 3"),), 9), "it does not hold, after 9 ms"),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else "",
)
def test_every_turn_has_its_words(event: Event, said: str) -> None:
    beat = beat_of(Envelope(1, "local", "", "run-1", AT, "agent", event), {})
    assert beat is not None
    assert said in beat.text


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_whatever_was_recorded_can_be_told(kind: str, data: st.DataObject) -> None:
    event = data.draw(values(KINDS[kind]))
    beat = beat_of(Envelope(1, "local", "", "run-1", AT, "agent", event), {})
    assert beat is None or isinstance(beat.text, str)


def test_a_conclusion_is_told_with_its_evidence_and_what_is_not_proven() -> None:
    diagnosis = Diagnosis(
        "It leaks.", "Old seal.", Confidence.NOT_PROVEN, "m", (Evidence("E2", "the log"),),
        (Hypothesis("the seal", "look at it"),), ("Replace it.",), "m: silent",
    )  # fmt: skip
    beat = beat_of(Envelope(1, "local", "", "r", AT, "agent", DiagnosisConcluded(diagnosis)), {})
    assert beat is not None
    assert beat.text == "not proven, by m: It leaks."
    told = [detail.text for detail in beat.details]
    assert told == ["Old seal.", "E2 the log", "perhaps: the seal Check: look at it", "next: Replace it.", "m: silent"]


def test_a_model_whose_price_is_not_known_cost_nobody_knows_what() -> None:
    started = Envelope(1, "local", "", "run-1", AT, "agent", RunStarted(spec_of()))
    answer = Answer(usage=Usage(10, 2, priced=False))
    step = Envelope(2, "local", "", "run-1", AT, "agent", StepPlanned(1, "m", answer, 1))
    assert "10 + 2 tokens · a cost that is not known" in "\n".join(story([started, step], None, Paper()))


# --- the terminal -----------------------------------------------------------------------------------------------------


@given(st.text())
def test_recorded_text_reaches_the_terminal_without_anything_that_could_steer_it(text: str) -> None:
    shown = printable(text)
    assert all(letter.isprintable() or letter == "\n" for letter in shown)
    assert printable(shown) == shown


def test_what_could_steer_it_is_shown_as_its_code() -> None:
    assert printable("a\x1b[2Jb\u202ec\td\xa0e\r\n") == "a\\u{1b}[2Jb\\u{202e}c d e\n"


async def test_a_hostile_model_colours_and_clears_nothing(tmp_path: Path) -> None:
    async with place(tmp_path, concluded("\x1b[2J\x1b[32mAll is well")) as spot:
        await spot.advance()
        assert "\x1b" not in await told(spot)


async def test_lines_fit_their_width_whatever_was_recorded(tmp_path: Path) -> None:
    async with place(tmp_path, calling(LOOK), concluded("word " * 200)) as spot:
        spot.plant.text = "x" * 900
        await spot.advance()
        for width in (60, WIDTH, 160):
            text = await told(spot, paper=Paper(width))
            assert max(map(len, text.splitlines())) <= width


async def test_colours_change_no_word(tmp_path: Path) -> None:
    async with place(tmp_path, calling(TURN), concluded()) as spot:
        await spot.advance()
        await spot.vote()
        await spot.advance()
        plain, coloured = await told(spot), await told(spot, paper=Paper(colour=True))
    assert "\x1b[" in coloured
    assert [line.rstrip() for line in ESCAPES.sub("", coloured).splitlines()] == plain.splitlines()


def test_a_file_gets_no_colours_and_a_terminal_does_unless_it_is_asked_not_to(monkeypatch: pytest.MonkeyPatch) -> None:
    assert paper_for(io.StringIO()) == Paper(WIDTH, colour=False)
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as terminal:
        monkeypatch.delenv("NO_COLOR", raising=False)
        assert paper_for(terminal).colour
        monkeypatch.setenv("NO_COLOR", "1")
        assert not paper_for(terminal).colour
    os.close(ours)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.0154, "+0.015 s"), (5.257, "+5.26 s"), (59.999, "+60.00 s"), (723, "+12 min 3 s"), (7500, "+2 h 5 min"),
        (180_000, "+2 d 2 h"), (-2, "-2.00 s"),
    ],
)  # fmt: skip
def test_times_are_told_with_as_many_digits_as_matter(seconds: float, said: str) -> None:
    assert since(timedelta(seconds=seconds)) == said


def test_a_long_diff_is_cut_and_says_by_how_much() -> None:
    request = request_of("a1")
    long = replace(request, action=replace(request.action, diff="\n".join(f"+ {n}" for n in range(CHANGED + 4))))
    beat = beat_of(Envelope(1, "local", "", "r", AT, "agent", ApprovalRequested(long)), {})
    assert beat is not None
    assert beat.details[-1].text == "… 4 more changed lines"


# --- which run --------------------------------------------------------------------------------------------------------


async def _runs(folder: Path, names: Sequence[str]) -> str:
    async with place(folder) as spot:
        for name in names:
            await spot.start(name)
    return str(folder / "journal.db")


async def test_a_run_is_found_by_its_name_or_the_unique_beginning_of_it(tmp_path: Path) -> None:
    path = await _runs(tmp_path, ("run-abc1", "run-abd2", "run-abd23"))
    for name, meant in (
        ("run-abc1", "run-abc1"), ("run-abc", "run-abc1"), ("abc", "run-abc1"), ("run-abd2", "run-abd2"),
    ):  # fmt: skip
        assert await asyncio.to_thread(find, path, name) == ("local", meant)
    with pytest.raises(AgentError, match="run-abd is the beginning of 2 runs: run-abd2, run-abd23"):
        await asyncio.to_thread(find, path, "run-abd")
    with pytest.raises(AgentError, match=r"there is no run run-abx1 in .*; near it are run-abc1"):
        await asyncio.to_thread(find, path, "run-abx1")
    with pytest.raises(AgentError, match="`personal-agent runs` lists"):
        await asyncio.to_thread(find, path, "%")
