"""`personal-agent audit find` and `audit erase`: which events hold certain words, and taking the words out of them."""

from __future__ import annotations

import argparse
import os
import pwd
import socket
from datetime import UTC, datetime

from bot.config import load
from domain.decisions import Actor
from domain.errors import SettingsError
from storage.erasing import ERASABLE
from storage.reader import workspaces_in
from storage.tombstones import erase as erase_bodies, holding


def find(options: argparse.Namespace) -> int:
    """Print each event whose body holds the words. Exit 1 where none does."""
    path = load().agent_database
    found = holding(path, _workspace(path, options.workspace), options.words)
    for seq, at, kind in found:
        print(f"{seq:>8}  {at[:19]}Z  {kind}{'' if kind in ERASABLE else '  (stays: what was decided or done)'}")
    print(f"{len(found)} events" if len(found) != 1 else "1 event")
    return 0 if found else 1


def erase(options: argparse.Namespace) -> int:
    """Erase bodies, all of those named or none. The service must not run: it owns the database."""
    path = load().agent_database
    workspace = _workspace(path, options.workspace)
    if not options.reason.strip():
        raise SettingsError("--reason: say why, such as the request's number; it is kept for ever, so name nobody")
    person = Actor("person", f"{_operator()}@{socket.gethostname()}")
    tombstones = erase_bodies(path, workspace, options.seq, options.reason, person, datetime.now(UTC))
    for seq, tombstone in tombstones:
        print(f"event {seq} is erased; its tombstone is event {tombstone}")
    if not tombstones:
        print("nothing was left to erase; the file was written anew")
    print("Backups, Slack and what was exported still hold what they hold: docs/audit.md")
    return 0


def _workspace(path: str, named: str) -> str:
    """The one that is named, or the only one there is."""
    known = workspaces_in(path)
    workspace = named or (known[0] if len(known) == 1 else "")
    if workspace not in known:
        raise SettingsError(f"--workspace: name one of {', '.join(known) or 'none: the journal is empty'}")
    return workspace


def _operator() -> str:
    """Who runs this, by the system's word; a container's user may have a number only."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid {os.getuid()}"
