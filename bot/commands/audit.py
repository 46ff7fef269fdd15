"""`personal-agent audit verify`: re-derive the chain from the rows; exit 1 and the first bad row where it does not hold.

What concerns files that leave the machine, `export` and `verify --file`, stands in bot.commands.export.
"""

from __future__ import annotations

import argparse
import sys

from bot.commands import export
from bot.config import load
from storage.verify import verify


def run(options: argparse.Namespace) -> int:
    """Verify every workspace of the database, beside whoever writes it; or what `export` says."""
    if options.action == "export":
        return export.run(options)
    if options.file:
        return export.check(options)
    path = options.database or load().agent_database
    report = verify(path, progress=_progress if sys.stderr.isatty() else None)
    if not report.ok:
        print(f"BROKEN at event {report.first_bad} of workspace {report.workspace}: {report.problem}")
        return 1
    print(f"{report.events} events verified, head {report.head_hash}")
    return 0


def _progress(events: int) -> None:
    print(f"\r{events} events", end="", file=sys.stderr, flush=True)
