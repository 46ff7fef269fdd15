"""What a replay found, as a page to read and to send: both sides of every difference, and what the recording could not say."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from bot.replay.compared import Compared, calls_in_words, missing
from bot.replay.differences import Difference, Trace, cost, tokens
from bot.replay.report import count, tried
from bot.replay.rerun import How
from storage.evidence.markup import Child, Html, code, table, tag
from storage.evidence.timeline import page

_LITERAL = frozenset({"result", "prompt", "execution"})
"""Kinds whose sides are output rather than words."""


def page_of(compared: Compared, how: How) -> str:
    """The page. The same recording gives the same bytes."""
    recording, again = compared.recording, compared.again
    spec = recording.spec
    body = tag(
        "main",
        tag(
            "div",
            tag("span", "Replay"),
            tag("span", str(spec.target)),
            tag("span", recording.run.id),
            tag("span", f"{recording.began:%Y-%m-%d %H:%M:%S} UTC"),
            class_="top",
        ),
        tag("h1", spec.alert.name if spec.alert else spec.question or "A run"),
        _verdict(compared, how),
        *_differences(compared.differences),
        tag("h2", "Both sides in figures"),
        table(("", "Recorded", "Replayed"), _figures(compared), "sides"),
        *_listed("The recording has no output for", map(code, calls_in_words(again))),
        *_listed("The recording does not say", again.not_known),
        *_listed("Notes", [*again.notes, *missing(recording.record)]),
        tag("footer", tag("p", _END, class_="small")),
    )
    return page(f"Replay of {recording.run.id}", body)


def _verdict(compared: Compared, how: How) -> Html:
    found = len(compared.differences)
    mark, tone = ("✗", "open") if found else ("✓", "good")
    word = tag("span", tag("b", mark), " ", count(found, "difference") if found else "No difference", class_="word")
    return tag("div", word, tag("p", f"Gone through again with {tried(compared, how)}."), class_=f"verdict {tone}")


def _differences(found: Sequence[Difference]) -> Iterator[Html]:
    """By what they are about, in the order in which that first differs."""
    if found:
        yield tag("h2", "Differences")
    for about in dict.fromkeys(each.about for each in found):
        rows = [_row(each) for each in found if each.about == about]
        yield tag("h4", code(about) if about else "The run")
        yield table(("", "Recorded", "Replayed"), rows, "sides")


def _row(each: Difference) -> Iterator[Child]:
    yield code(each.kind)
    for side in (each.before, each.after):
        yield code(side) if each.kind in _LITERAL else side


def _figures(compared: Compared) -> Iterator[Iterator[Child]]:
    for name, figure in _FIGURES:
        yield iter((tag("b", name), figure(compared.then), figure(compared.now)))
    for name, verdict in (("Same cause", compared.cause), ("Same action", compared.action)):
        word = {True: "yes", False: "no", None: "not known"}[verdict.same]
        yield iter((tag("b", name), word, verdict.why))


def _outcome(trace: Trace) -> str:
    return (trace.run.outcome or trace.run.status).value.replace("_", " ")


_FIGURES = (
    ("Outcome", _outcome),
    ("Steps", lambda trace: str(trace.run.step)),
    ("Calls", lambda trace: str(len(trace.calls))),
    ("Tokens", lambda trace: tokens(trace.run.usage)),
    ("Cost", lambda trace: cost(trace.run.usage)),
)


def _listed(title: str, lines: Iterable[Child]) -> Iterator[Html]:
    listed = [tag("li", line) for line in lines]
    if listed:
        yield tag("h2", title)
        yield tag("ul", *listed)


_END = (
    "A replay feeds what was recorded through today's code: nothing real was touched, nothing was guessed. "
    "It is no evidence of what happened; the run's timeline and its archive are."
)
