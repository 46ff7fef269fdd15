"""`personal-agent db migrate` and `db rebuild`: bring the database up to date, or fold its log again, without serving."""

from __future__ import annotations

import argparse
from pathlib import Path

from bot.config import load
from domain.errors import JournalError
from storage.journal import migrate


def run(options: argparse.Namespace) -> int:
    """Migrate, or rebuild the projections; say what was done."""
    path = load().agent_database
    if options.action == "rebuild" and not Path(path).exists():
        raise JournalError(f"there is no database at {path}")
    applied = migrate(path, fold_again=options.action == "rebuild")
    for name in applied:
        print(f"applied {name}")
    print(f"{path} is up to date")
    return 0
