"""What work costs by hand, as the team says it and as its old incidents have it: told to the journal, which remembers both."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from hashlib import sha256

from domain.decisions import SYSTEM, Actor
from domain.errors import BadInput
from domain.estimates import LEAST, parse_baselines
from domain.events import BaselineImported, BaselinesSet, Draft
from domain.ports import Journal
from domain.work import WorkKind
from domain.worth import PastIncident
from policies.redaction import Redactor
from storage.journal import SqliteJournal
from storage.reader import Reader

MOST_ROWS = 20_000
MOST_BYTES = 4 * 1024 * 1024
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")


async def tell(journal: SqliteJournal, setting: str) -> None:
    """Record what AGENT_BASELINES says where that is news: from here on every estimate rests on it, and says so."""
    if await differs(journal, setting):
        await journal.append(Draft(BaselinesSet(parse_baselines(setting)), SYSTEM))


async def differs(journal: Reader, setting: str) -> bool:
    """Whether the setting says something else than the journal has of it."""
    last = await journal.last(BaselinesSet)
    known = last.event.seconds if last and isinstance(last.event, BaselinesSet) else {}
    return dict(known) != parse_baselines(setting)


async def import_history(
    journal: Journal, name: str, content: bytes, redactor: Redactor, by: Actor
) -> BaselineImported:
    """Record a CSV of past incidents in place of what was imported before. Raises BadInput that names line and column."""
    if len(content) > MOST_BYTES:
        raise BadInput(f"{name} is larger than {MOST_BYTES // 1024 // 1024} MiB")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadInput(f"{name} is not UTF-8 (byte {error.start})") from error
    incidents = tuple(past(text, redactor))
    if len(incidents) < LEAST:
        raise BadInput(f"{name} has {len(incidents)} incidents; fewer than {LEAST} are no baseline")
    event = BaselineImported(redactor.text(_CONTROL.sub(" ", name)[:200]).text, sha256(content).hexdigest(), incidents)
    await journal.append(Draft(event, by))
    return event


def past(text: str, redactor: Redactor) -> Iterator[PastIncident]:
    """The incidents of a CSV with a header: opened and resolved (ISO 8601; UTC without a zone), and perhaps kind and service.

    Raises BadInput that names the line.
    """
    rows = csv.DictReader(io.StringIO(text, newline=""), restkey="more", strict=True)
    try:
        columns = [(column or "").strip().lower() for column in rows.fieldnames or ()]
        missing = [column for column in ("opened", "resolved") if column not in columns]
        if missing:
            raise BadInput(f"line 1: there is no column {missing[0]}; the header is opened,resolved,kind,service")
        rows.fieldnames = columns
        for number, row in enumerate(rows, start=1):
            if number > MOST_ROWS:
                raise BadInput(f"there are more than {MOST_ROWS} incidents")
            yield _past(row, rows.line_num, redactor)
    except csv.Error as error:
        raise BadInput(f"line {rows.line_num + 1}: {error}") from error


def _past(row: dict[str, str | None], line: int, redactor: Redactor) -> PastIncident:
    opened, resolved = _moment(row, "opened", line), _moment(row, "resolved", line)
    if resolved < opened:
        raise BadInput(f"line {line}: it was resolved before it was opened")
    kind = (row.get("kind") or "").strip().lower() or WorkKind.REMEDIATION
    if kind not in list(WorkKind):
        raise BadInput(f"line {line}: {kind!r} is no kind of work: {', '.join(WorkKind)}")
    service = redactor.text(_CONTROL.sub(" ", (row.get("service") or "").strip())[:200]).text
    return PastIncident(opened, resolved, WorkKind(kind), service)


def _moment(row: dict[str, str | None], column: str, line: int) -> datetime:
    value = (row.get(column) or "").strip()
    try:
        moment = datetime.fromisoformat(value)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise BadInput(f"line {line}: {column} {value[:40]!r} is not a time such as 2026-03-01T12:00:00Z") from error
