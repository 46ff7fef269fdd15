"""The scan of a configuration: what will hurt one day, and what costs more than it has to, by object, field and value."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable
from dataclasses import replace

from bot.analyzers.findings import claims
from bot.analyzers.reading import Read
from bot.analyzers.scan.around import surroundings
from bot.analyzers.scan.inventory import Inventory, Unread, take
from bot.analyzers.scan.usage import sized
from bot.analyzers.scan.workloads import manifests
from domain.actions import Target
from domain.diagnosis import Finding
from domain.scans import MOST, key_of, rank

__all__ = ["in_place", "scan"]

PRODUCTION = frozenset({"config.single_replica", "config.no_budget"})
"""What is a fault where people are served: elsewhere one replica is thrift."""


async def scan(scope: Target, read: Read, offered: Collection[str]) -> tuple[tuple[Finding, ...], Unread]:
    """The findings, ranked, each once, at most MOST; and the reads that failed."""
    inventory = await take(scope, read, offered)
    # thousands of objects take seconds of computing, and meanwhile Slack waits for acknowledgements
    return await asyncio.to_thread(_judged, inventory), inventory.unread


def in_place(findings: Iterable[Finding], environment: Callable[[str], str]) -> tuple[Finding, ...]:
    """The findings with their own environment, as the server's inventory has it; what matters in production only there."""
    placed = (
        replace(one, target=replace(one.target, environment=environment(one.target.namespace))) for one in findings
    )
    return tuple(one for one in placed if one.code not in PRODUCTION or one.target.environment == "production")


def _judged(inventory: Inventory) -> tuple[Finding, ...]:
    found = claims((*sized(inventory), *manifests(inventory), *surroundings(inventory)))
    unique = {key_of(one): one for one in found}
    return tuple(sorted(unique.values(), key=rank))[:MOST]
