"""What `doctor` says of the journal and of what proves it: the database, the key, the places that hold checkpoints."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from bot.commands.audit import copies_of
from bot.config import Settings
from domain.audit import Anchor
from domain.errors import AgentError, SettingsError
from handlers.checkup import Answer
from storage.copies import Held
from storage.keys import read_keys
from storage.reader import read_journal, workspaces_in
from storage.verify import verify


async def answers(settings: Settings) -> AsyncIterator[Answer]:
    """The journal first: of one that is broken nothing else is said."""
    held, unread = copies_of(settings.anchors)
    database = _database(settings, held)
    yield database
    if not database.ok:
        return
    yield _key(settings.signing_key)
    if not settings.anchors:
        sentence = (
            "AGENT_ANCHORS is not set: an older backup put back, or a tail cut off, would not be seen (docs/audit.md)"
        )
        yield Answer("anchors", ok=True, sentence=sentence)
        return
    stand = {anchor.place: anchor for anchor in await _stand(settings.agent_database)}
    for place in settings.anchors:
        unchecked = next((each for each in unread if each.startswith(f"{place} was not checked")), "")
        yield _anchor(stand.get(place) or Anchor(place), unchecked)


def _database(settings: Settings, held: Sequence[Held]) -> Answer:
    path = Path(settings.agent_database)
    if not path.exists():
        return Answer("database", ok=True, sentence=f"{path} will be created at the first start")
    try:
        report = verify(path, held=held, keys=_public(settings.signing_key))
    except AgentError as error:
        return Answer("database", ok=False, sentence=str(error), fix="check AGENT_DATABASE")
    if not report.ok:
        where = f" at event {report.first_bad}" if report.first_bad is not None else ""
        fix = "keep the file as it is, and find out who changed it: personal-agent audit verify"
        return Answer("database", ok=False, sentence=f"the journal is broken{where}: {report.problem}", fix=fix)
    return Answer("database", ok=True, sentence=f"{report.events} events, the chain holds")


def _public(path: Path) -> Sequence[Ed25519PublicKey]:
    """None where the file is not there or not usable, which is said on a line of its own."""
    try:
        return read_keys(path).public if path.exists() else ()
    except SettingsError:
        return ()


def _key(path: Path) -> Answer:
    if not path.exists():
        return Answer("signing key", ok=True, sentence=f"{path} will be made at the first start")
    try:
        keys = read_keys(path)
    except AgentError as error:
        return Answer("signing key", ok=False, sentence=str(error), fix="restore it from its copy: docs/audit.md")
    if keys.signing is None:
        return Answer(
            "signing key", ok=False, sentence=f"{path} cannot sign", fix="name a private key, AGENT_SIGNING_KEY"
        )
    if path.stat().st_mode & 0o007:
        return Answer("signing key", ok=False, sentence=f"everybody can read {path}", fix=f"chmod 600 {path}")
    return Answer("signing key", ok=True, sentence=f"{path}; its public half: personal-agent audit key")


async def _stand(path: str) -> list[Anchor]:
    found: list[Anchor] = []
    try:
        for workspace in workspaces_in(path):
            async with read_journal(path, workspace) as journal:
                found += await journal.anchors()
    except AgentError:
        return []  # there is none yet, or it is an older version's, and was never anchored
    return found


def _anchor(anchor: Anchor, unchecked: str) -> Answer:
    """`unchecked` says why the journal was not compared with what the place holds."""
    name = f"anchor {anchor.place}"
    has = f"it holds {anchor.size} events" if anchor.size else "it holds nothing yet"
    if anchor.written_at:
        has += f", since {anchor.written_at:%Y-%m-%d %H:%M} UTC"
    if anchor.failed:
        fix = "see to it that this host can write there; it is asked again every minute"
        return Answer(name, ok=False, sentence=f"{anchor.failed}; {has}", fix=fix)
    if unchecked:
        return Answer(name, ok=False, sentence=unchecked, fix="see to it that this host can read there")
    return Answer(name, ok=True, sentence=has)
