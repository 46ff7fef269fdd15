"""The one way in which findings about a field of a manifest are made."""

from __future__ import annotations

from bot.analyzers.findings import finding
from bot.analyzers.scan.inventory import Thing
from domain.diagnosis import Finding


def about(
    code: str, thing: Thing, title: str, where: str, value: str, wanted: str, why: str, *, risk: str = "low"
) -> Finding:
    """A finding about what stands at `where`, and what should stand there."""
    return finding(
        code,
        thing.target,
        title,
        f"{why} {where}: {value or '(empty)'}.",
        [thing.cite(f"{where}: {value}")],
        next_steps=[f"{thing.kind} {thing.namespace}/{thing.name}: {where} should be {wanted}."],
        why=why,
        field=where,
        value=value,
        wanted=wanted,
        risk=risk,
    )
