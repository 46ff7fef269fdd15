"""The three patch formats: JSON patch (RFC 6902), merge patch (RFC 7386), strategic merge patch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bot.local.cluster.errors import ApiError, bad_request, unprocessable_patch
from bot.local.cluster.resources import Obj
from bot.local.cluster.store import copied

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
ACCEPTED = (JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH)


def patched(obj: Obj, patch: Any, media_type: str) -> Obj:
    """The object after the patch, nothing shared with the original.

    ApiError 400 for a patch that is none, 422 for a JSON patch whose test or path does not hold.
    """
    if media_type == JSON_PATCH:
        if not isinstance(patch, list):
            raise bad_request("json: cannot unmarshal object into Go value of type jsonpatch.Patch")
        return json_patch(obj, patch)
    if not isinstance(patch, dict):
        raise bad_request("json: cannot unmarshal array into Go value of type map[string]interface {}")
    if media_type == MERGE_PATCH:
        return copied(merge_patch(obj, patch))
    return strategic_patch(obj, patch)


def merge_patch(target: Any, patch: Any) -> Any:
    """RFC 7386: objects merge, null removes, everything else replaces."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merge_patch(result.get(name), value)
    return result


# --- JSON patch


def json_patch(obj: Obj, operations: list[Any]) -> Obj:
    """RFC 6902; the whole patch applies or none of it."""
    document: Any = {"root": copied(obj)}
    for operation in operations:
        if not isinstance(operation, dict) or operation.get("op") not in _OPERATIONS:
            raise bad_request("Unexpected kind: unknown")
        _OPERATIONS[operation["op"]](document, operation)
    root = document["root"]
    if not isinstance(root, dict):
        raise unprocessable_patch()
    return root


def _parts(pointer: Any) -> list[str]:
    if not isinstance(pointer, str) or (pointer and not pointer.startswith("/")):
        raise unprocessable_patch()
    return ["root", *(part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:])]


def _walk(document: Any, parts: list[str]) -> Any:
    for part in parts:
        document = _child(document, part)
    return document


def _child(parent: Any, part: str) -> Any:
    if isinstance(parent, dict) and part in parent:
        return parent[part]
    if isinstance(parent, list):
        return parent[_index(parent, part, len(parent) - 1)]
    raise unprocessable_patch()


def _index(items: list[Any], part: str, last: int) -> int:
    if part == "-" and last == len(items):
        return last
    if not part.isdigit() or int(part) > last:
        raise unprocessable_patch()
    return int(part)


def _add(document: Any, operation: Obj) -> None:
    *path, last = _parts(operation.get("path"))
    _put(_walk(document, path), last, _operand(operation))


def _put(parent: Any, last: str, value: Any) -> None:
    if isinstance(parent, list):
        parent.insert(_index(parent, last, len(parent)), value)
    elif isinstance(parent, dict):
        parent[last] = value
    else:
        raise unprocessable_patch()


def _operand(operation: Obj) -> Any:
    if "value" not in operation:
        raise unprocessable_patch()
    return operation["value"]


def _remove(document: Any, operation: Obj) -> Any:
    *path, last = _parts(operation.get("path"))
    parent = _walk(document, path)
    _child(parent, last)
    return parent.pop(int(last) if isinstance(parent, list) else last)


def _replace(document: Any, operation: Obj) -> None:
    *path, last = _parts(operation.get("path"))
    parent = _walk(document, path)
    _child(parent, last)
    parent[int(last) if isinstance(parent, list) else last] = _operand(operation)


def _test(document: Any, operation: Obj) -> None:
    parts = _parts(operation.get("path"))
    parent = _walk(document, parts[:-1])
    absent = isinstance(parent, dict) and parts[-1] not in parent
    found = None if absent else _child(parent, parts[-1])
    if found != operation.get("value") or isinstance(found, bool) is not isinstance(operation.get("value"), bool):
        raise unprocessable_patch()


def _move(document: Any, operation: Obj) -> None:
    value = _remove(document, {"path": operation.get("from")})
    _add(document, {"path": operation.get("path"), "value": value})


def _copy(document: Any, operation: Obj) -> None:
    value = _walk(document, _parts(operation.get("from")))
    _add(document, {"path": operation.get("path"), "value": copied({"v": value})["v"]})


_OPERATIONS: dict[str, Callable[[Any, Obj], Any]] = {
    "add": _add,
    "remove": _remove,
    "replace": _replace,
    "test": _test,
    "move": _move,
    "copy": _copy,
}


# --- strategic merge patch

# Lists of objects that merge by a key; every other list is replaced as a whole.
MERGE_KEYS = {
    "containers": ("name",),
    "initContainers": ("name",),
    "ephemeralContainers": ("name",),
    "env": ("name",),
    "volumes": ("name",),
    "volumeMounts": ("mountPath",),
    "volumeDevices": ("devicePath",),
    "imagePullSecrets": ("name",),
    "hostAliases": ("ip",),
    "topologySpreadConstraints": ("topologyKey",),
    "ports": ("containerPort", "port"),
    "conditions": ("type",),
    "ownerReferences": ("uid",),
}
MERGED_PRIMITIVES = frozenset({"finalizers"})


def strategic_patch(obj: Obj, patch: Obj) -> Obj:
    """A strategic merge patch: as a merge patch, but lists of named objects merge by name, with $patch directives."""
    merged: Obj = _merge(copied(obj), copied(patch))
    return merged


def _merge(target: Any, patch: Obj) -> Any:
    directive = patch.pop("$patch", None)
    if directive == "replace":
        return patch
    if directive == "delete":
        return {}
    if directive not in (None, "merge"):
        raise bad_request(f"Unknown patch type found: {directive}")
    result: Obj = target if isinstance(target, dict) else {}
    if (kept := patch.pop("$retainKeys", None)) is not None:
        result = {name: value for name, value in result.items() if name in kept}
    orders = {name: patch.pop(name) for name in list(patch) if name.startswith("$setElementOrder/")}
    for name in [name for name in patch if name.startswith("$deleteFromPrimitiveList/")]:
        listed, unwanted = name.partition("/")[2], patch.pop(name)
        result[listed] = [value for value in result.get(listed) or [] if value not in unwanted]
    for name, value in patch.items():
        _merge_field(result, name, value)
    for name, order in orders.items():
        listed = name.partition("/")[2]
        if listed in result:
            result[listed] = _ordered(listed, result[listed], order)
    return result


def _merge_field(result: Obj, name: str, value: Any) -> None:
    if value is None:
        result.pop(name, None)
    elif isinstance(value, dict):
        result[name] = _merge(result.get(name) or {}, value)
    elif isinstance(value, list) and name in MERGE_KEYS and all(isinstance(item, dict) for item in value):
        result[name] = _merge_list(result.get(name) or [], value, MERGE_KEYS[name])
    elif isinstance(value, list) and name in MERGED_PRIMITIVES:
        present = result.get(name) or []
        result[name] = present + [item for item in value if item not in present]
    else:
        result[name] = value


def _merge_list(present: list[Obj], patch: list[Obj], keys: tuple[str, ...]) -> list[Obj]:
    if any(item.get("$patch") == "replace" for item in patch):
        return [item for item in patch if item.get("$patch") != "replace"]
    result = list(present)
    for item in patch:
        name = _key_of(item, keys)
        found = next((i for i, other in enumerate(result) if _key_of(other, keys) == name), None)
        if item.get("$patch") == "delete":
            result = [other for other in result if _key_of(other, keys) != name]
        elif found is None:
            result.append(_merge({}, item))
        else:
            result[found] = _merge(result[found], item)
    return result


def _key_of(item: Obj, keys: tuple[str, ...]) -> Any:
    for key in keys:
        if key in item:
            return item[key]
    raise _missing_key(item, keys[0])


def _missing_key(item: Obj, key: str) -> ApiError:
    return bad_request(f"map: {item} does not contain declared merge key: {key}")


def _ordered(name: str, items: list[Any], order: list[Any]) -> list[Any]:
    keys = MERGE_KEYS.get(name)
    if keys is None or not all(isinstance(item, dict) for item in [*items, *order]):
        return sorted(items, key=lambda item: order.index(item) if item in order else len(order))
    wanted = [_key_of(item, keys) for item in order]
    places = {value: place for place, value in enumerate(wanted)}
    return sorted(items, key=lambda item: places.get(_key_of(item, keys), len(wanted)))
