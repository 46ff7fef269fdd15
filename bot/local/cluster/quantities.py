"""Kubernetes quantities: `250m` of CPU, `256Mi` of memory."""

from __future__ import annotations

import re
from typing import Any

_FORM = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))(Ki|Mi|Gi|Ti|Pi|Ei|n|u|m|k|M|G|T|P|E|[eE][+-]?\d+)?")
_SCALE = {"n": 1e-9, "u": 1e-6, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18}
_SCALE |= {f"{letter}i": 1024.0 ** (power + 1) for power, letter in enumerate("KMGTPE")}
MIB = 1024 * 1024


def quantity(value: Any) -> float | None:
    """A quantity's number (cores, bytes), or None when it is not one."""
    found = _FORM.fullmatch(str(value)) if isinstance(value, (str, int, float)) else None
    if found is None or isinstance(value, bool):
        return None
    number, unit = found.groups()
    if unit and unit not in _SCALE:
        return float(number) * 10.0 ** int(unit[1:])
    return float(number) * _SCALE.get(unit or "", 1.0)


def total(containers: list[dict[str, Any]], kind: str, name: str) -> float:
    """The sum of one resource (`cpu`, `memory`) over containers' `requests` or `limits`."""
    amounts = ((c.get("resources") or {}).get(kind) or {} for c in containers)
    return sum(quantity(a.get(name, 0)) or 0.0 for a in amounts)


def percent(value: int | str, whole: int) -> int:
    """A number, or a percentage of `whole` rounded up."""
    return value if isinstance(value, int) else -(-whole * int(value.rstrip("%")) // 100)
