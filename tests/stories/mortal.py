"""The service as a process that kills itself with SIGKILL at the first event that it has not died at before.

Run as `python -m tests.stories.mortal SETTINGS.json SEEN`: settings as environment names, and the file that remembers at
which events it died. An event is known by its kind and what it is about, so that every restart gets one event further.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

from bot.app import running
from bot.commands.stage import QUICK
from bot.config import load
from domain.events import Envelope, MessageSent, MessageWanted


def signature(envelope: Envelope) -> str:
    """What makes an event a place to die at."""
    event = envelope.event
    about = [str(getattr(event, name, "")) for name in ("call_id", "step", "execution_id", "approval_id", "surface")]
    if isinstance(event, MessageWanted | MessageSent):
        about.append(f"{event.key.partition(':')[0]}")
    result = getattr(event, "result", None)
    calls = [call.id for call in getattr(event, "calls", ())]
    about += [getattr(result, "call_id", ""), *calls]
    # the analyzers' reads are alike: dying at one planned, one decided and one finished of them says what all would
    return "|".join([type(event).__name__, *("look" if part.startswith("look-") else part for part in about)])


async def live(settings_file: Path, seen_file: Path) -> None:
    """Serve until the first new event, then die of it."""
    settings = load(json.loads(settings_file.read_text()), env_file=None)
    seen = set(seen_file.read_text().splitlines()) if seen_file.exists() else set()
    async with running(settings, pace=QUICK) as app:
        known = {signature(envelope) for envelope in await app.journal.since(0, limit=100_000)} - seen
        print("ready", app.url, flush=True)
        for place in sorted(known):
            die(seen_file, place)  # it was recorded while the service was starting
        with app.journal.subscribe() as events:
            async for envelope in events:
                if signature(envelope) not in seen:
                    die(seen_file, signature(envelope))


def die(seen_file: Path, place: str) -> None:
    """Remember where, then SIGKILL: no handler, no flush, no goodbye."""
    with seen_file.open("a") as file:
        file.write(place + "\n")
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    asyncio.run(live(Path(sys.argv[1]), Path(sys.argv[2])))
