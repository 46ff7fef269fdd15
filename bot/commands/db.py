"""`personal-agent db migrate`: bring the database up to date without serving."""

from __future__ import annotations

import argparse

from bot.config import load
from storage.journal import migrate


def run(_options: argparse.Namespace) -> int:
    """Migrate and say what was applied."""
    path = load().agent_database
    applied = migrate(path)
    for name in applied:
        print(f"applied {name}")
    print(f"{path} is up to date")
    return 0
