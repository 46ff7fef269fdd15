"""Requests and limits of a container set in a manifest's text: no line is touched but those that have to be. Pure."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from domain.errors import ToolError

_TEMPLATE = ("spec", "template", "spec", "containers")
_PARTS = ("requests", "limits")


def resized(text: str, path: str, wanted: Mapping[str, Any]) -> str:
    """The manifest with other requests and limits of one container. `wanted` has kind, namespace, name, container, and what of
    requests and limits is to be set.

    Raises ToolError where that is not certain: no such object, two of them, anchors, or a template that is no YAML.
    """
    before = _loaded(text, path)
    if any(isinstance(token, yaml.AliasToken) for token in yaml.scan(text, Loader=yaml.SafeLoader)):
        raise ToolError(f"{path} uses anchors of YAML: a change there would change more than is meant.")
    after = text
    for part in _PARTS:
        for resource, amount in wanted[part].items():
            after = _set(after, path, wanted, part, resource, amount)
    if _loaded(after, path) != _expected(
        before, path, wanted
    ):  # the text was understood as YAML does, or nothing is done
        raise ToolError(f"{path} is written in a way in which this agent cannot set the values for certain.")
    return after


# --- what it says ---------------------------------------------------------------------------------------------------------


def _loaded(text: str, path: str) -> list[Any]:
    if text.startswith("\ufeff"):
        raise ToolError(f"{path} begins with a byte order mark.")
    try:
        return list(yaml.safe_load_all(text))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ToolError(f"{path} is no plain YAML, perhaps a template: {' '.join(str(error).split())[:200]}") from error


def _expected(documents: list[Any], path: str, wanted: Mapping[str, Any]) -> list[Any]:
    changed = copy.deepcopy(documents)
    found = [container for document in changed for container in _containers(document, wanted)]
    if len(found) != 1:
        raise ToolError(f"{path} has {len(found) or 'no'} container {wanted['container']} of {_called(wanted)}.")
    for part in _PARTS:
        if wanted[part]:
            resources = found[0].get("resources") or {}
            resources[part] = {**(resources.get(part) or {}), **wanted[part]}
            found[0]["resources"] = resources
    return changed


def _containers(document: Any, wanted: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    about = document.get("metadata") if isinstance(document, dict) else None
    if not isinstance(about, dict) or (document.get("kind"), about.get("name")) != (wanted["kind"], wanted["name"]):
        return
    if about.get("namespace", wanted["namespace"]) != wanted["namespace"]:
        return
    inner: Any = document
    for key in _TEMPLATE:
        inner = inner.get(key) if isinstance(inner, dict) else None
    for one in inner if isinstance(inner, list) else ():
        if isinstance(one, dict) and one.get("name") == wanted["container"]:
            yield one


def _called(wanted: Mapping[str, Any]) -> str:
    return f"{wanted['kind']} {wanted['namespace']}/{wanted['name']}"


# --- where it stands ------------------------------------------------------------------------------------------------------


def _set(text: str, path: str, wanted: Mapping[str, Any], part: str, resource: str, amount: str) -> str:
    """One value set: written over, or put where its fellows are."""
    container = _container(text, path, wanted)
    resources = _under(container, "resources")
    if resources is None:
        name = next(key for key, _ in container.value if key.value == "name")
        column = name.start_mark.column
        return _inserted(text, _next_line(text, name.end_mark.index), column, ("resources", part, resource), amount)
    if not isinstance(resources, yaml.MappingNode) or not resources.value:
        key = next(key for key, value in container.value if value is resources)
        return _hung(text, key, resources, (part, resource), amount)
    amounts = _under(resources, part)
    if amounts is None:
        return _added(text, path, resources, (part, resource), amount)
    if not isinstance(amounts, yaml.MappingNode) or not amounts.value:
        key = next(key for key, value in resources.value if value is amounts)
        return _hung(text, key, amounts, (resource,), amount)
    old = _under(amounts, resource)
    if old is None:
        return _added(text, path, amounts, (resource,), amount)
    quote = old.style if old.style in ("'", '"') else ""
    return text[: old.start_mark.index] + f"{quote}{amount}{quote}" + text[old.end_mark.index :]


def _container(text: str, path: str, wanted: Mapping[str, Any]) -> yaml.MappingNode:
    """The node of the one container; that there is only one was looked at before."""
    for document, node in zip(_loaded(text, path), yaml.compose_all(text, Loader=yaml.SafeLoader), strict=True):
        if not any(_containers(document, wanted)):
            continue
        inner: Any = node
        for key in _TEMPLATE:
            inner = _under(inner, key)
        for each in inner.value:
            name = _under(each, "name")
            if isinstance(each, yaml.MappingNode) and name is not None and name.value == wanted["container"]:
                if each.flow_style:
                    raise ToolError(f"{path} has the container on one line: write it by hand.")
                return each
    raise ToolError(f"{path} has no container {wanted['container']} of {_called(wanted)}.")


def _under(node: Any, name: str) -> Any:
    """The node under a key, None where there is none."""
    pairs = node.value if isinstance(node, yaml.MappingNode) else ()
    return next((value for key, value in pairs if key.value == name), None)


def _added(text: str, path: str, mapping: yaml.MappingNode, keys: tuple[str, ...], amount: str) -> str:
    """Keys put before the first of a mapping."""
    first = mapping.value[0][0]
    if mapping.flow_style:
        if len(keys) > 1:
            raise ToolError(f"{path} has the container's resources on one line, without {keys[0]}: write it by hand.")
        at = mapping.start_mark.index + 1
        return f"{text[:at]}{keys[0]}: {amount}, {text[at:].lstrip(' ')}"
    line = text.rfind("\n", 0, first.start_mark.index) + 1
    return _inserted(text, line, first.start_mark.column, keys, amount)


def _hung(text: str, key: yaml.Node, empty: yaml.Node, keys: tuple[str, ...], amount: str) -> str:
    """Keys put under one that has nothing under it, as `{}` or nothing at all."""
    head = text[: key.end_mark.index].rstrip(" ") + ":"
    after = text[max(empty.end_mark.index, text.index(":", key.end_mark.index) + 1) :]
    rest = after if after.startswith(("\n", "\r\n")) or not after.strip() else after.lstrip(" ")
    ending = _ending(text)
    comment, line_end, below = rest.partition("\n")
    said = f" {comment.strip()}" if comment.strip().startswith("#") else ""
    body = _lines(key.start_mark.column + 2, keys, amount, ending)
    return f"{head}{said}{ending}{body}{below if line_end else ''}"


def _inserted(text: str, at: int, column: int, keys: tuple[str, ...], amount: str) -> str:
    ending = _ending(text)
    before = text[:at] if not at or text[at - 1] == "\n" else text[:at] + ending
    return before + _lines(column, keys, amount, ending) + text[at:]


def _lines(column: int, keys: tuple[str, ...], amount: str, ending: str) -> str:
    lines = [f"{' ' * (column + 2 * depth)}{key}:" for depth, key in enumerate(keys)]
    return ending.join(lines) + f" {amount}{ending}"


def _next_line(text: str, index: int) -> int:
    found = text.find("\n", index)
    return len(text) if found < 0 else found + 1


def _ending(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"
