"""What a replay found, for a person: one difference a line, or one run a line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bot.replay.cause import Verdict
from bot.replay.compared import Compared, calls_in_words, missing
from bot.replay.differences import Difference, cost, tokens
from bot.replay.many import Row, Totals
from bot.replay.rerun import How
from bot.replay.terminal import Paper, printable

_WORSE = ("decision", "proposal", "execution", "conclusion", "outcome", "model")
"""What a reader looks at first."""


def report(compared: Compared, how: How, paper: Paper) -> Iterator[str]:
    """One run's replay: what was tried, every difference, and what the recording could not say."""
    recording, again = compared.recording, compared.again
    spec = recording.spec
    title = f"{recording.run.id} · {spec.target} in {spec.target.environment} · {recording.began:%Y-%m-%d %H:%M:%S} UTC"
    yield paper.paint(printable(title), "bold")
    yield paper.paint(printable(f"gone through again with {tried(compared, how)}; nothing real was touched"), "dim")
    yield ""
    for each in compared.differences:
        yield _difference(each, paper)
    if not compared.differences:
        run = compared.now.run
        yield paper.paint(f"no difference: {count(run.step, 'step')}, {count(len(run.calls), 'call')}", "green")
    for head, lines in (
        ("the recording has no output for", calls_in_words(again)),
        ("the recording does not say", again.not_known),
        ("note", [*again.notes, *missing(recording.record)]),
    ):
        yield from (printable(f"{head}: {line}") for line in lines)
    if compared.differences:
        yield ""
        yield f"{count(len(compared.differences), 'difference')}, {count(len(again.unanswerable), 'unanswerable call')}"


def tried(compared: Compared, how: How) -> str:
    """What was tried, beside what was recorded."""
    recorded = compared.recording.hashes
    known = ", ".join(each[:12] for each in recorded) or "none"
    policy = "as recorded" if recorded == [how.policy.hash] else f"recorded: {known}"
    names = ", ".join(compared.recording.models) or "none"
    model = f"the model {how.model.name} (recorded: {names})" if how.model else f"the recorded answers of {names}"
    return f"today's code, policy {how.policy.hash[:12]} ({policy}) and {model}"


def _difference(each: Difference, paper: Paper) -> str:
    about = f"{printable(each.about)}: " if each.about else ""
    kind = paper.paint(f"{each.kind:<11}", "bold" if each.kind in _WORSE else "")
    before, after = paper.paint(printable(each.before), "red"), paper.paint(printable(each.after), "green")
    return f"{kind} {about}{before} → {after}"


# --- many runs --------------------------------------------------------------------------------------------------------


def table(rows: Sequence[Row], paper: Paper) -> Iterator[str]:
    """A line for each run."""
    width = max([len("run"), *(len(row.run) for row in rows)])
    columns = f"{'flips':>5} {'differ':>6} {'unanswered':>10}  {'tokens':<29} {'cost':<19}"
    head = f"{'run':<{width}}  {'cause':<6} {'action':<6} {columns} why"
    yield paper.paint(head, "bold")
    for row in rows:
        if row.problem:
            yield f"{row.run:<{width}}  {paper.paint(printable(row.problem), 'red')}"
            continue
        used = f"{tokens(row.then)} → {tokens(row.now)}"
        paid = f"{cost(row.then)} → {cost(row.now)}"
        why = "; ".join(each.why for each in (row.cause, row.action) if each.why and not each.same)
        answers = [_answer(each, paper) for each in (row.cause, row.action)]
        line = f"{row.flips:>5} {row.differences:>6} {row.unanswerable:>10}  {used:<29} {paid:<19} {printable(why)}"
        yield f"{row.run:<{width}}  {' '.join(answers)} {line}".rstrip()


def summary(found: Totals) -> Iterator[str]:
    """The figures of all rows, each with what it is counted over."""
    yield f"runs          {found.n}{f', {found.left_out} more left out' if found.left_out else ''}"
    without = f"; {found.without_conclusion} without a conclusion not counted" if found.without_conclusion else ""
    yield f"same cause    {found.cause}{without}"
    neither = f"; in {found.neither_acts} of them neither proposes one" if found.neither_acts else ""
    yield f"same action   {found.action}{neither}"
    yield f"decisions     {count(found.flips, 'flip')}; {count(found.differing, 'run')} with any difference"
    yield f"tokens        {tokens(found.then)} → {tokens(found.now)}"
    yield f"cost          {cost(found.then)} → {cost(found.now)}"
    yield f"unanswerable  {count(found.unanswerable, 'call')} in {count(found.unanswerable_in, 'run')}"


def _answer(verdict: Verdict, paper: Paper) -> str:
    word, style = {True: ("yes", "green"), False: ("no", "red"), None: ("–", "dim")}[verdict.same]
    return paper.paint(f"{word:<6}", style)


def count(number: int, noun: str) -> str:
    """3 runs, 1 run."""
    return f"{number:,} {noun}{'s' * (number != 1)}"
