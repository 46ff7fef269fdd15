"""`personal-agent roi`: what the work of a period cost and saved, from the journal's rows; the rows; what it took before."""

from __future__ import annotations

import argparse
import asyncio
import getpass
import json
import re
import sys
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bot.baselines import differs, import_history
from bot.charts import weekly_png
from bot.config import load
from bot.worth_text import amount, drilled, rated, recomputed, row_table, table, words
from domain.codec import encode
from domain.decisions import Actor
from domain.errors import BadInput, SettingsError
from policies.redaction import Redactor
from storage.journal import open_journal
from storage.reader import read_journal, workspaces_in

_PERIOD = re.compile(r"(\d{1,4})([hdw])$")
_UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}


def run(options: argparse.Namespace) -> int:
    """Print one summary a workspace, or the rows behind one figure; or take in old incidents."""
    path = load().agent_database
    if options.action == "baseline":
        return asyncio.run(_import(path, options, _read(options.file)))
    until = datetime.now(UTC)
    since = until - period(options.since)
    workspaces = workspaces_in(path) or ["local"]
    for workspace in workspaces:
        show = _figure if options.figure else _summary
        print(asyncio.run(show(path, workspace, since, until, options, several=len(workspaces) > 1)))
    return 0


def period(text: str) -> timedelta:
    """`7d` as a timedelta. Raises SettingsError."""
    match = _PERIOD.match(text)
    if match is None:
        raise SettingsError(f"--since: {text!r} is not a period; write 24h, 7d or 4w")
    return int(match[1]) * _UNITS[match[2]]


async def _summary(
    path: str, workspace: str, since: datetime, until: datetime, options: argparse.Namespace, *, several: bool
) -> str:
    async with read_journal(path, workspace) as journal:
        rollup, quality = await journal.rollup(since, until), await journal.quality(since, until)
        if await differs(journal, load().agent_baselines):
            print("AGENT_BASELINES is new: figures rest on it from the next start of the service on", file=sys.stderr)
    if options.csv:
        _write(options.csv, workspace if several else "", table(rollup).encode())
    if options.chart:
        _write(options.chart, workspace if several else "", weekly_png(rollup))
    if options.json:
        figures = {"workspace": workspace, **encode(rollup), "quality": encode(quality)}
        return json.dumps(figures, ensure_ascii=False)
    return f"{workspace}\n{words(rollup)}\n{rated(quality)}"


async def _figure(
    path: str, workspace: str, since: datetime, until: datetime, options: argparse.Namespace, *, several: bool
) -> str:
    async with read_journal(path, workspace) as journal:
        try:
            drill = await journal.drill(options.figure, since, until)
        except BadInput as error:
            raise SettingsError(f"--figure: {error}") from error
    if options.csv:
        _write(options.csv, workspace if several else "", row_table(drill).encode())
    if options.json:
        return json.dumps({"workspace": workspace, **encode(drill)}, ensure_ascii=False)
    return f"{workspace}\n{drilled(drill, recomputed(drill))}"


async def _import(path: str, options: argparse.Namespace, content: bytes) -> int:
    """Old incidents from a CSV into the journal of the one workspace, or of the one that is named."""
    workspaces = workspaces_in(path)
    workspace = options.workspace or (workspaces[0] if len(workspaces) == 1 else "")
    if workspace not in workspaces:
        known = ", ".join(workspaces) or "none yet: start the service once"
        raise SettingsError(f"--workspace: name the one that the incidents are of; the database has {known}")
    person = Actor("person", _login())
    async with open_journal(path, workspace) as journal:
        event = await import_history(journal, Path(options.file).name, content, Redactor(load().secrets()), person)
        now = datetime.now(UTC)
        standing = (await journal.rollup(now, now)).baselines
    print(f"{len(event.incidents)} incidents of {event.source} are in the journal; work by hand is now taken to cost")
    for one in standing:
        print(f"  {one.kind.replace('_', ' '):<24} {amount(one.seconds, 's'):>10}  {one.source}, n = {one.n}")
    return 0


def _read(name: str) -> bytes:
    try:
        return Path(name).read_bytes()
    except OSError as error:
        raise SettingsError(f"{name}: {error.strerror}") from error


def _login() -> str:
    with suppress(OSError, KeyError):  # no name behind this user id: a container
        return getpass.getuser()
    return ""


def _write(name: str, workspace: str, content: bytes) -> None:
    """Into that file; where there are several workspaces, each into its own."""
    path = Path(name)
    if workspace:
        path = path.with_stem(f"{path.stem}-{re.sub(r'[^A-Za-z0-9]', '_', workspace)}")
    try:
        path.write_bytes(content)
    except OSError as error:
        raise SettingsError(f"cannot write {path}: {error.strerror}") from error
