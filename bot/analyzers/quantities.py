"""Kubernetes quantities of memory: read, written, and raised to a round figure."""

from __future__ import annotations

import math
import re
from decimal import Decimal

_QUANTITY = re.compile(r"^(?P<figure>\d{1,15}(?:\.\d{1,9})?)(?:[eE](?P<exponent>\d{1,2})|(?P<suffix>[a-zA-Z]{0,2}))$")
_UNITS = {
    "": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "P": 10**15, "E": 10**18,
    "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "Pi": 2**50, "Ei": 2**60,
}  # fmt: skip
_MI = 2**20
_STEPS = ((64 * _MI, 16 * _MI), (1024 * _MI, 64 * _MI), (8192 * _MI, 256 * _MI))


def parse_memory(quantity: str) -> int | None:
    """Bytes of `256Mi`, `1.5G`, `128974848` or `129e6`; None for anything else, fractions of a byte included."""
    match = _QUANTITY.match(quantity.strip())
    if match is None:
        return None
    if match["exponent"]:
        size = Decimal(match["figure"]) * Decimal(10) ** int(match["exponent"])
    elif (match["suffix"] or "") in _UNITS:
        size = Decimal(match["figure"]) * _UNITS[match["suffix"] or ""]
    else:
        return None
    return int(size) if 0 < size < 2**63 else None


def format_memory(size: int) -> str:
    """The shortest exact binary quantity: `192Mi`, `2Gi`, or plain bytes."""
    for suffix in ("Gi", "Mi", "Ki"):
        if size % _UNITS[suffix] == 0:
            return f"{size // _UNITS[suffix]}{suffix}"
    return str(size)


def raised(limit: int) -> int:
    """One and a half times a limit in bytes, rounded up to a step that people use (16Mi, 64Mi, 256Mi, 1Gi)."""
    wanted = math.ceil(limit * 3 / 2)
    step = next((step for below, step in _STEPS if wanted <= below), 1024 * _MI)
    return math.ceil(wanted / step) * step


def parse_amount(quantity: str) -> float | None:
    """Any quantity in its base unit: `500m` is 0.5, `2` is 2, `1Gi` its bytes; None for what is none."""
    found = quantity.strip()
    if found.endswith("m") and found[:-1].isdigit():
        return int(found[:-1]) / 1000
    if found in ("0", "0.0"):
        return 0.0
    match = re.fullmatch(r"\d{1,9}\.\d{1,9}", found)
    if match:
        return float(found)
    size = parse_memory(found)
    return None if size is None else float(size)
