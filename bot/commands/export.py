"""`personal-agent audit export` and `audit verify --file`: evidence that leaves the machine, and whether it is what it was."""

from __future__ import annotations

import argparse
import re
from base64 import b64decode
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from bot.commands.roi import period
from bot.config import Settings, load
from domain.errors import AgentError, SettingsError
from storage.evidence import export
from storage.evidence.check import BUNDLE, Checked, check_file
from storage.keys import raw, read_keys, signing_key
from storage.reader import workspaces_in

_SUFFIXES = (".zip", ".jsonl", ".html", ".csv")
_OWN_WORD = (
    "The key is the bundle's own word: compare it with one that you were given another way, or name that with --key."
)


def run(options: argparse.Namespace) -> int:
    """Write a run's, an incident's or a period's evidence to a file."""
    if bool(options.reference) == bool(options.since):
        raise SettingsError(
            "name a run or an incident (`personal-agent runs` lists them), or a period with --since 30d"
        )
    suffix = Path(options.output).suffix or ".zip"
    if suffix not in _SUFFIXES:
        raise SettingsError(f"-o: {suffix} is not written; write one of {', '.join(_SUFFIXES)}")
    if suffix == (".html" if options.since else ".csv"):
        raise SettingsError(f"-o: {suffix} is of {'a run: name one' if options.since else 'a period: add --since 30d'}")
    settings = load()
    database = options.database or settings.agent_database
    return _period(options, settings, database, suffix) if options.since else _run(options, settings, database, suffix)


def _run(options: argparse.Namespace, settings: Settings, database: str, suffix: str) -> int:
    key, now = signing_key(settings.signing_key), datetime.now(UTC)
    for workspace in [options.workspace] if options.workspace else workspaces_in(database):
        alone = suffix == ".jsonl"
        found = export.of_reference(database, workspace, options.reference, key, now, alone=alone)
        if found is not None:
            return _write(found, options.output, suffix, raw(key.public_key()).hex())
    raise AgentError(
        f"there is no run and no incident {options.reference} in {database}; `personal-agent runs` lists them"
    )


def _period(options: argparse.Namespace, settings: Settings, database: str, suffix: str) -> int:
    now = datetime.now(UTC)
    since, workspace = now - period(options.since), _one_workspace(options.workspace, database)
    if suffix == ".csv":
        content = export.changes_since(database, workspace, since)
        path, changes = _written(Path(options.output), content), content.count(b"\n") - 1
        print(f"{path}: {changes} change{'' if changes == 1 else 's'} since {since:%Y-%m-%d %H:%M} UTC")
        return 0
    key = signing_key(settings.signing_key)
    found = export.of_period(database, workspace, since, key, now, alone=suffix == ".jsonl")
    return _write(found, options.output, suffix, raw(key.public_key()).hex())


def _one_workspace(named: str, database: str) -> str:
    known = [named] if named else workspaces_in(database)
    if len(known) > 1:
        raise SettingsError(f"the database holds {len(known)} workspaces: say --workspace {' or '.join(known)}")
    return known[0] if known else "local"


def _write(found: export.Evidence, output: str, suffix: str, public_key: str) -> int:
    path = Path(output) if output else Path(f"{found.name}.zip")
    if suffix == ".html":
        if export.TIMELINE not in found.files:
            runs = [
                name.removeprefix("timeline-").removesuffix(".html") for name in found.files if name.endswith(".html")
            ]
            raise SettingsError(f"this incident has {len(runs)} runs: name one of {', '.join(runs)}")
        content = found.files[export.TIMELINE]
    else:
        content = found.files[BUNDLE] if suffix == ".jsonl" else found.archive()
    _written(path, content)
    print(f"{path}: {found.events} events, {len(content) / 1024:,.0f} KiB. {_plain(found.verdict)}")
    if suffix != ".html":
        print(f"Signed by {public_key}. Give that key to whoever checks it, by another way than the file.")
    return 0


def _written(path: Path, content: bytes) -> Path:
    try:
        path.write_bytes(content)
    except OSError as error:
        raise AgentError(f"{path} cannot be written: {error.strerror}") from error
    return path


# --- checking ---------------------------------------------------------------------------------------------------------


def check(options: argparse.Namespace) -> int:
    """Check an exported bundle without the database. 1 and the first bad line where it does not hold."""
    keys = public_keys(options.key) if options.key else ()
    found = check_file(Path(options.file), keys)
    if not found.ok:
        where = f"at line {found.line}" if found.line else "as a whole"
        print(f"BROKEN {where}: {_plain(found.problem)}")
        return 1
    print("\n".join(_words(found, trusted=bool(keys))))
    return 0


def _words(found: Checked, *, trusted: bool) -> Sequence[str]:
    subject = ", ".join(f"{name} {value}" for name, value in found.subject.items())
    lines = [f"{found.events} events verified: {_plain(subject)}"]
    if found.checkpoint is not None:
        checkpoint = found.checkpoint
        lines.append(
            f"in the log {_plain(checkpoint.origin)} of {checkpoint.size} events as of {checkpoint.at:%Y-%m-%d %H:%M:%S} UTC,"
            f" root {checkpoint.root.hex()}"
        )
    if found.erased:
        lines.append(f"{found.erased} of them without their words, which were erased")
    if found.files:
        lines.append(f"{found.files} files beside it are those that were exported")
    if found.missing:
        lines.append(f"not here: {_plain(', '.join(found.missing))}")
    lines.append(f"signed by {found.public_key}")
    return lines if trusted else [*lines, _OWN_WORD]


def public_keys(text: str) -> tuple[Ed25519PublicKey, ...]:
    """A public key in hex, as C2SP's vkey, or the public halves of a PEM file's keys. Raises SettingsError."""
    if re.fullmatch(r"[0-9a-fA-F]{64}", text):
        return (Ed25519PublicKey.from_public_bytes(bytes.fromhex(text)),)
    if vkey := re.fullmatch(r"\S+\+[0-9a-f]{8}\+([A-Za-z0-9+/]{44})", text):
        return (Ed25519PublicKey.from_public_bytes(b64decode(vkey[1])[1:]),)
    return read_keys(text).public


def _plain(text: str) -> str:
    """Recorded words, which steer no terminal."""
    return "".join(sign if sign.isprintable() else "\ufffd" for sign in " ".join(text.split()))
