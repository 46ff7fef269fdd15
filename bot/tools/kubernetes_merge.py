"""Strategic merge patches: the patch that takes one back, and whether one still holds."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

Obj = dict[str, Any]

MERGE_KEYS = {
    "containers": "name",
    "initContainers": "name",
    "env": "name",
    "volumes": "name",
    "volumeMounts": "mountPath",
}
"""Lists of maps that merge by a key. Of other lists of maps this agent does not know how they merge."""

_QUANTITY = re.compile(r"^([0-9]+(?:\.[0-9]+)?)(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?$")
_UNITS = {"": Decimal(1), "m": Decimal("0.001")}
_UNITS |= {unit: Decimal(1000) ** (power + 1) for power, unit in enumerate(("k", "M", "G", "T", "P", "E"))}
_UNITS |= {unit: Decimal(1024) ** (power + 1) for power, unit in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi", "Ei"))}


class NoInverse(Exception):
    """This patch has no exact inverse; the message names the field."""


def inverse(before: Obj, patch: Obj) -> Obj:
    """The patch that restores what `patch` changes in `before`. Raises NoInverse."""
    result: Obj = {}
    for key, value in patch.items():
        if key.startswith("$"):
            raise NoInverse(f"the directive {key}")
        old = before.get(key)
        if isinstance(value, dict) and isinstance(old, dict):
            result[key] = inverse(old, value)
        elif isinstance(value, list):
            result[key] = _inverse_list(key, old or [], value) if _is_maps(value) else old
        elif value is not None or old is not None:
            result[key] = old
    return result


def _inverse_list(name: str, before: list[Obj], patch: list[Obj]) -> list[Obj]:
    by = MERGE_KEYS.get(name)
    if by is None:
        raise NoInverse(f"the list {name}")
    result = []
    for item in patch:
        if by not in item or "$patch" in item:
            raise NoInverse(f"the list {name}")
        old = next((other for other in before if other.get(by) == item[by]), None)
        if old is None:
            result.append({by: item[by], "$patch": "delete"})
        else:
            rest = {key: value for key, value in item.items() if key != by}
            result.append({by: item[by], **inverse(old, rest)})
    return result


def missing(obj: Any, patch: Obj, path: str = "") -> str:
    """The path of the first field in which an object does not (or no longer) show a patch; empty where it holds."""
    for key, value in patch.items():
        if key.startswith("$"):
            continue
        found, where = (obj or {}).get(key), f"{path}.{key}" if path else key
        if isinstance(value, dict):
            lost = missing(found, value, where) if isinstance(found, dict) or value else ""
        elif isinstance(value, list) and (_is_maps(value) or key in MERGE_KEYS):
            lost = _missing_item(found or [], value, where)
        else:
            lost = "" if _same(found, value) else where
        if lost:
            return lost
    return ""


def _missing_item(found: list[Any], patch: list[Obj], path: str) -> str:
    by = MERGE_KEYS.get(path.rpartition(".")[2])
    if by is None:
        return ""  # how this list merges is not known: the dry run's diff was the promise
    for item in patch:
        name = item.get(by)
        other = next((other for other in found if other.get(by) == name), None)
        if item.get("$patch") == "delete":
            lost = f"{path}[{name}]" if other else ""
        else:
            lost = missing(other, item, f"{path}[{name}]") if other else f"{path}[{name}]"
        if lost:
            return lost
    return ""


def _is_maps(value: list[Any]) -> bool:
    return bool(value) and all(isinstance(item, dict) for item in value)


def _same(found: Any, wanted: Any) -> bool:
    if found == wanted or (wanted == [] and found is None):
        return True
    one, other = quantity(found), quantity(wanted)  # the server writes 1024Mi as 1Gi
    return one is not None and one == other


def quantity(value: Any) -> Decimal | None:
    """The figure behind `500m`, `1.5Gi` or `2`, None for anything else."""
    match = _QUANTITY.match(str(value)) if isinstance(value, str | int) and not isinstance(value, bool) else None
    return Decimal(match[1]) * _UNITS[match[2] or ""] if match else None
