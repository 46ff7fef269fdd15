"""`personal-agent audit …`: verify the journal, show or change the key that signs its checkpoints.

What concerns files that leave the machine, `export` and `verify --file`, stands in bot.commands.export; finding and erasing
bodies in bot.commands.erasing.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from bot.anchors import held_by, readable
from bot.commands import erasing, export
from bot.config import load
from domain.errors import AnchorError, SettingsError
from storage.checkpoints import vkey
from storage.copies import Held
from storage.keys import public_pem, raw, read_keys, retire, signing_key
from storage.reader import workspaces_in
from storage.verify import Log, verify


def run(options: argparse.Namespace) -> int:
    """The action that was asked for."""
    if options.action == "verify" and options.file:
        return export.check(options)
    actions = {"verify": _verify, "export": export.run, "key": _key, "find": erasing.find, "erase": erasing.erase}
    return actions[options.action](options)


# --- verify -----------------------------------------------------------------------------------------------------------


def _verify(options: argparse.Namespace) -> int:
    """Every workspace of the database, beside whoever writes it. What could not be looked at is said, on lines with !."""
    settings = load()
    path = options.database or settings.agent_database
    key = Path(settings.agent_signing_key or f"{path}.key")
    keys = export.public_keys(options.key) if options.key else read_keys(key).public if key.exists() else ()
    held, unread = copies_of(options.anchor or settings.anchors, named=bool(options.anchor))
    report = verify(path, progress=_progress if sys.stderr.isatty() else None, held=held, keys=keys)
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr)
    if report.ok:
        print(f"{report.events} events verified, head {report.head_hash}")
    else:
        where = f"at event {report.first_bad} of" if report.first_bad is not None else "in"
        print(f"BROKEN {where} workspace {report.workspace}: {report.problem}")
    for line in (
        *(line for log in report.logs for line in _words(log)),
        *_unchecked(held, unread, key, signed=bool(keys)),
    ):
        print(line)
    incomplete = not options.anchor and len(held) < len(readable(settings.anchors))
    return 1 if incomplete or not report.ok else 0


def _unchecked(held: Sequence[Held], unread: Sequence[str], key: Path, *, signed: bool) -> Iterator[str]:
    """What this run cannot have seen."""
    for line in (*unread, *(problem for each in held for problem in each.problems)):
        yield f"! {line}"
    if not signed:
        yield f"! signatures were not checked: there is no key at {key}; --key names one"
    if not held:
        yield "! without copies of checkpoints outside, a tail that was cut off, an older backup put back or a history"
        yield "  chained anew cannot be seen: set AGENT_ANCHORS, or name copies with --anchor"


def copies_of(names: Sequence[str], *, named: bool = False) -> tuple[list[Held], list[str]]:
    """What the places hold, and a sentence for each that cannot be read from here. `named` ones must be there."""
    held, unread = [], []
    for name in names:
        place = name if name.startswith(("file:", "git:", "slack:")) else f"file:{name}"
        if named and place.startswith("file:") and not Path(place.removeprefix("file:")).exists():
            raise SettingsError(f"--anchor: there is no file {place.removeprefix('file:')}")
        if not readable([place]):
            unread.append(f"{place} is not read from here: save its messages to a file, and name that with --anchor")
            continue
        try:
            held.append(held_by(place))
        except AnchorError as error:
            if named:
                raise
            unread.append(f"{place} was not checked: {error}")
    return held, unread


def _words(log: Log) -> Iterator[str]:
    """What was found of one workspace."""
    erased = f", {log.erased} of them erased under a tombstone" if log.erased else ""
    hold = "events hold" if log.problem else "events"
    yield f"workspace {log.workspace}: {log.events} {hold}{erased}"
    if log.checkpoint:
        last = log.checkpoint
        yield f"  {log.checkpoints} checkpoints, the last over {last.size} events of {last.at:%Y-%m-%d %H:%M:%S} UTC"
    for place, checkpoint in log.anchored:
        yield f"  {place} agrees up to event {checkpoint.size} of {checkpoint.at:%Y-%m-%d %H:%M:%S} UTC"
    if log.anchored and log.covered < log.events and not log.problem:
        after = (
            f"event {log.events} stands"
            if log.covered + 1 == log.events
            else f"{log.events - log.covered} events stand"
        )
        yield f"  ! {after} after the last copy: who has this host could have changed or cut off what is newer"


def _progress(events: int) -> None:
    print(f"\r{events} events", end="", file=sys.stderr, flush=True)


# --- the key ----------------------------------------------------------------------------------------------------------


def _key(options: argparse.Namespace) -> int:
    """What an auditor needs to check signatures: as C2SP's tools take it, a line per workspace, and in hex and PEM."""
    settings = load()
    path = settings.signing_key
    signing_key(path)
    if options.rotate:
        retire(path)
        print(f"# {path} has a new key, and keeps the public half of the old one; restart the service to sign with it")
    database = Path(settings.agent_database)
    keys = read_keys(path).public
    for workspace in workspaces_in(database) if database.exists() else []:
        for key in keys:
            print(vkey(workspace, key))
    for key in keys:
        print(f"# {raw(key).hex()}\n{public_pem(key)}", end="")
    return 0
