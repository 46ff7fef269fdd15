"""`personal-agent runbook INCIDENT`: a runbook drafted from an incident; `check` reads the folder of them."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

from bot.config import load
from bot.runbook_draft import draft
from bot.tools.runbooks import Runbooks
from domain.errors import AgentError, SettingsError
from domain.fold import fold
from storage.reader import read_journal, workspaces_in


def run(options: argparse.Namespace) -> int:
    """Print the draft, or write it; with `check` say what can be read. 1 where something cannot."""
    if options.incident == "check":
        return _check()
    path = load().agent_database
    for workspace in workspaces_in(path):
        text = asyncio.run(_draft(path, workspace, options.incident))
        if text:
            if options.output:
                Path(options.output).write_text(text, "utf-8")
                print(f"written to {options.output}: read it before you merge it")
            else:
                print(text, end="")
            return 0
    raise AgentError(f"there is no incident {options.incident} in {path}; /agent incidents lists them")


async def _draft(path: str, workspace: str, incident_id: str) -> str:
    async with read_journal(path, workspace) as journal:
        incident = await journal.incident(incident_id)
        if incident is None:
            return ""
        rows = await journal.runs(incident_id=incident_id)
        return draft(incident, [fold(await journal.of_run(row.spec.id)) for row in reversed(rows)])


def _check() -> int:
    folder = load().agent_runbooks
    if not folder:
        raise SettingsError("AGENT_RUNBOOKS is not set: name the folder that holds the runbooks")
    books, notes = Runbooks(folder).all()
    for book in books:
        matchers = ", ".join(f"{name}={'|'.join(globs)}" for name, globs in book.match.items())
        print(f"{book.path}: {book.title} ({matchers or 'found by its words only'}, {len(book.steps)} steps)")
    for note in notes:
        print(f"left out: {note}")
    print(f"{len(books)} runbooks can be read")
    return 1 if notes else 0
