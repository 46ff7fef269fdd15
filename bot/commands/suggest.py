"""`personal-agent policy suggest`: what the record says could be allowed without asking, and what should ask again."""

from __future__ import annotations

import argparse
import asyncio
from datetime import UTC, datetime
from pathlib import Path

from bot import autonomy
from bot.commands.roi import period
from bot.config import Settings
from bot.policy_files import known_tools, read_folder, variables
from domain.errors import SettingsError
from policies.rules import Policy
from storage.reader import read_journal, workspaces_in


def run(_policy: Policy, settings: Settings, options: argparse.Namespace) -> int:
    """Print one report a workspace. Raises SettingsError, JournalError."""
    since = datetime.now(UTC) - period(options.since)
    if not Path(settings.agent_database).exists():
        raise SettingsError(f"AGENT_DATABASE: there is no database at {settings.agent_database}")
    for workspace in workspaces_in(settings.agent_database) or ["local"]:
        report = asyncio.run(_report(settings, workspace, since))
        print(f"{workspace}: " + "\n".join(autonomy.words(report)))
    return 0


async def _report(settings: Settings, workspace: str, since: datetime) -> autonomy.Report:
    files, today = read_folder(settings.agent_policy), datetime.now(UTC).date()
    async with read_journal(settings.agent_database, workspace) as journal:
        return await autonomy.suggest(
            journal, files, known_tools(settings), variables(settings), since=since, today=today
        )
