"""`personal-agent serve`: the service, until it is told to stop."""

from __future__ import annotations

import argparse
import asyncio
import signal

from bot import logs
from bot.app import running
from bot.config import Settings, load
from policies.redaction import Redactor


def run(_options: argparse.Namespace) -> int:
    """Serve. SIGTERM and SIGINT stop it cleanly; whatever was under way goes on at the next start."""
    settings = load()
    redactor = Redactor(settings.secrets())
    logs.configure(lambda line: redactor.text(line).text)
    asyncio.run(_serve(settings))
    return 0


async def _serve(settings: Settings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with running(settings):
        await stop.wait()
