"""What work costs by hand gets into the journal: the setting when it is news, old incidents from whatever file."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from bot.baselines import MOST_BYTES, import_history, past, tell
from bot.config import Settings, load
from domain.decisions import Actor
from domain.errors import BadInput, SettingsError
from domain.events import BaselineImported, BaselinesSet
from domain.work import WorkKind
from domain.worth import PastIncident
from policies.redaction import Redactor
from storage.journal import SqliteJournal, open_journal

REDACTOR = Redactor((), b"k" * 32)
OPENED = datetime(2025, 3, 1, 12, tzinfo=UTC)
ROWS = [f"2025-03-0{n}T12:00:00Z,2025-03-0{n}T12:{n}0:00Z,,cart" for n in range(1, 6)] * 2
FILE = "\n".join(["opened,resolved,kind,service", *ROWS]).encode()


async def set_in(journal: SqliteJournal) -> list[dict[str, int]]:
    return [dict(each.event.seconds) for each in await journal.since(0) if isinstance(each.event, BaselinesSet)]


async def test_a_setting_is_recorded_when_it_is_news_and_when_it_is_gone(tmp_path: Path) -> None:
    async with open_journal(tmp_path / "agent.db", "local") as journal:
        for setting in ("", "diagnosis=20m", "diagnosis=1200s", "diagnosis=20m,question=1m", "", ""):
            await tell(journal, setting)
        assert await set_in(journal) == [{"diagnosis": 1200}, {"diagnosis": 1200, "question": 60}, {}]


def test_settings_refuse_a_baseline_of_no_kind_of_work_and_a_price_below_nothing() -> None:
    with pytest.raises(SettingsError, match="AGENT_BASELINES: 'diagnoses' is no kind of work"):
        load({"AGENT_BASELINES": "diagnoses=20m"}, env_file=None)
    with pytest.raises(SettingsError, match="AGENT_COMPUTE_PRICE"):
        load({"AGENT_COMPUTE_PRICE": "-1"}, env_file=None)
    assert load({"AGENT_COMPUTE_PRICE": "0.04"}, env_file=None).agent_compute_price == 0.04
    assert Settings().agent_compute_price == 0


async def test_a_file_of_old_incidents_is_one_event_with_its_digest(tmp_path: Path) -> None:
    async with open_journal(tmp_path / "agent.db", "local") as journal:
        event = await import_history(journal, "old\n.csv", FILE, REDACTOR, Actor("person", "mara"))
        [recorded] = [each for each in await journal.since(0) if isinstance(each.event, BaselineImported)]
        assert (recorded.event, recorded.actor) == (event, "person:mara")
        assert (event.source, event.digest, len(event.incidents)) == ("old .csv", sha256(FILE).hexdigest(), 10)
        week = await journal.rollup(OPENED, OPENED + timedelta(days=1))
    [found] = [one for one in week.baselines if one.kind is WorkKind.REMEDIATION]
    assert (found.source, found.seconds, found.n) == ("history", 30 * 60, 10)


def test_a_row_has_two_times_and_may_name_a_kind_and_a_service() -> None:
    text = (
        "Resolved, OPENED,kind,Service,more\n2025-03-01 14:00+01:00,2025-03-01T12:00,Question,password=hunter2pass,x\n"
    )
    [found] = past(text, REDACTOR)
    assert (found.opened_at, found.resolved_at, found.kind) == (OPENED, OPENED + timedelta(hours=1), WorkKind.QUESTION)
    assert "hunter2pass" not in found.service


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("opened,closed\n", "line 1: there is no column resolved"),
        ("", "line 1: there is no column opened"),
        ("opened,resolved\n2025-03-01,yesterday\n", "line 2: resolved 'yesterday' is not a time"),
        ("opened,resolved\n2025-03-01\n", "line 2: resolved '' is not a time"),
        ("opened,resolved\n0001-01-01T00:00:00+23:00,2025-03-01\n", "line 2: opened"),
        ("opened,resolved\n2025-03-02,2025-03-01\n", "line 2: it was resolved before it was opened"),
        ("opened,resolved,kind\n2025-03-01,2025-03-01,lunch\n", "line 2: 'lunch' is no kind of work"),
        ('opened,resolved\n"2025-03-01,2025-03-01\n', "line 2: unexpected end of data"),
    ],
)
def test_what_is_wrong_with_a_file_is_named_with_its_line(text: str, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        list(past(text, REDACTOR))


async def test_a_file_that_is_no_text_too_large_or_too_short_is_refused_and_nothing_is_recorded(tmp_path: Path) -> None:
    async with open_journal(tmp_path / "agent.db", "local") as journal:
        for content, words in (
            (b"opened,resolved\n\xff", "not UTF-8"),
            (b"x" * (MOST_BYTES + 1), "larger than"),
            (b"opened,resolved\n" + b"2025-03-01,2025-03-02\n" * 7, "has 7 incidents; fewer than 8"),
        ):
            with pytest.raises(BadInput, match=words):
                await import_history(journal, "old.csv", content, REDACTOR, Actor("person", "mara"))
        assert await journal.since(0) == []


CELLS = (
    st.text(max_size=30)
    | st.datetimes().map(str)
    | st.sampled_from(["opened", "resolved", "kind", "diagnosis", "\x00", '"'])
)


@given(st.lists(st.lists(CELLS, max_size=5).map(",".join), max_size=8).map("\n".join))
def test_any_text_is_incidents_or_a_sentence_with_a_line(text: str) -> None:
    found: list[PastIncident] = []
    refusal = ""
    try:
        found.extend(past("opened,resolved,kind\n" + text, REDACTOR))
    except BadInput as error:
        refusal = str(error)
    assert not refusal or refusal.startswith("line ")
    assert all(one.resolved_at >= one.opened_at for one in found)
