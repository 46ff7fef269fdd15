"""`personal-agent replay RUN`: a recorded run told again."""

from __future__ import annotations

import argparse
import asyncio
import difflib
import sys
from collections.abc import Sequence

from bot.config import load
from bot.replay.story import story
from bot.replay.terminal import paper_for
from domain.alerts import Incident
from domain.errors import AgentError
from domain.events import Envelope, RunStarted
from storage.reader import Reader, read_journal, workspaces_in

RECENT = 500
"""Runs that a misspelt name is compared with."""


def run(options: argparse.Namespace) -> int:
    """Print the story."""
    path = load().agent_database
    workspace, run_id = find(path, options.run)
    envelopes, incident = asyncio.run(_read(path, workspace, run_id))
    for line in story(envelopes, incident, paper_for(sys.stdout)):
        print(line)
    return 0


def find(path: str, name: str) -> tuple[str, str]:
    """The workspace and the id of the run that a name, or the unique beginning of one, means. Raises AgentError."""
    found, near = asyncio.run(_named(path, name))
    if len(found) == 1:
        return found[0]
    if found:
        listed = ", ".join(run_id for _, run_id in found[:5])
        raise AgentError(f"{name} is the beginning of {len(found)} runs: {listed}{'…' * (len(found) > 5)}")
    hint = f"; near it are {', '.join(near)}" if near else "; `personal-agent runs` lists the recent ones"
    raise AgentError(f"there is no run {name} in {path}{hint}")


async def _named(path: str, name: str) -> tuple[list[tuple[str, str]], list[str]]:
    """Every run that is meant, the exact one alone where there is one; and where none is, those that are named nearly so."""
    found: list[tuple[str, str]] = []
    recent: list[str] = []
    for workspace in workspaces_in(path):
        async with read_journal(path, workspace) as journal:
            for beginning in dict.fromkeys((name, f"run-{name}")):
                found += [(workspace, run_id) for run_id in await journal.run_ids(beginning)]
            recent += [] if found else [row.spec.id for row in await journal.runs(limit=RECENT)]
    exact = [each for each in found if each[1] == name]
    return exact or found, difflib.get_close_matches(name, recent, n=3, cutoff=0.5)


async def _read(path: str, workspace: str, run_id: str) -> tuple[Sequence[Envelope], Incident | None]:
    async with read_journal(path, workspace) as journal:
        envelopes = await journal.of_run(run_id)
        return envelopes, await _incident_of(journal, envelopes)


async def _incident_of(journal: Reader, envelopes: Sequence[Envelope]) -> Incident | None:
    first = envelopes[0].event
    if not isinstance(first, RunStarted) or not first.spec.incident_id:
        return None
    return await journal.incident(first.spec.incident_id)
