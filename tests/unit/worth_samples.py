"""A period's figures as tests want them: every figure is there, those that are named have a value."""

from __future__ import annotations

from dataclasses import fields
from datetime import UTC, datetime, timedelta
from typing import Any

from domain import figures
from domain.estimates import Worth, baseline, estimated
from domain.work import Counted, Group, Measured, Rollup, WorkKind

NOON = datetime(2026, 3, 8, 12, 0, tzinfo=UTC)


def group(name: str, n: int, **more: int) -> Group:
    return Group(name, n, **{"credited": 0, "charged": 0, "people_ms": 0, "tokens": 0, "cost_micros": 0, **more})


def rollup_of(
    *,
    by_kind: tuple[Group, ...] = (),
    by_outcome: tuple[Group, ...] = (),
    attention_s: int = 0,
    **values: int | None,
) -> Rollup:
    """`values` are figures by name; times and shares have an n of 10 and an interval of a tenth either way."""

    def part(kind: type[Any]) -> Any:
        return kind(**{field.name: _figure(field.name, values.get(field.name)) for field in fields(kind)})

    kinds = {one.name: one for one in by_kind}
    worths = [
        Worth(kind, kinds[kind].credited if kind in kinds else 0, kinds[kind].charged if kind in kinds else 0)
        for kind in WorkKind
    ]
    standing = tuple(baseline(kind, None, (), ()) for kind in WorkKind)
    return Rollup(
        NOON - timedelta(days=7),
        NOON,
        part(Counted),
        part(Measured),
        estimated(worths, attention_s, 3, standing),
        by_kind,
        by_outcome,
        (),
        (),
        standing,
    )


def _figure(name: str, value: int | None) -> Any:
    shape = figures.SHAPES[name]
    if shape.unit in ("count", "tokens", "micros") or name in ("people", "machine"):
        return figures.total(name, value or 0, value or 0)
    if value is None:
        return figures.figure(name, None, 0, interval=figures.TOO_FEW)
    return figures.figure(name, value, 10, low=value - value // 10, high=value + value // 10, interval=figures.ORDER)
