"""Label and field selectors, parsed and matched as the API server does."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from bot.local.cluster.errors import ApiError, bad_request
from bot.local.cluster.resources import EVENTS, NODES, PODS, Obj, Resource

Matches = Callable[[Obj], bool]
Labels = Mapping[str, str]
_KEY = r"[A-Za-z0-9](?:[-A-Za-z0-9_./]*[A-Za-z0-9])?"
_VALUE = re.compile(r"(?:[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
_SET = re.compile(rf"({_KEY})\s+(in|notin)\s+\(([^()]*)\)")
_EQUAL = re.compile(rf"({_KEY})\s*(==|=|!=)\s*([^=!\s]*)")
_EXISTS = re.compile(rf"(!?)\s*({_KEY})")
_SPLIT = re.compile(r",(?![^(]*\))")


def label_selector(text: str) -> Callable[[Labels], bool]:
    """A label selector's text as a predicate over labels; ApiError 400 when it cannot be parsed."""
    tests = [_requirement(part.strip(), text) for part in _SPLIT.split(text)] if text.strip() else []
    return lambda labels: all(test(labels) for test in tests)


def _requirement(part: str, text: str) -> Callable[[Labels], bool]:
    if found := _SET.fullmatch(part):
        key, operator, listed = found.groups()
        values = frozenset(_value(value.strip()) for value in listed.split(","))
        if operator == "in":
            return lambda labels: labels.get(key) in values
        return lambda labels: labels.get(key) not in values
    if found := _EQUAL.fullmatch(part):
        key, operator, value = found.group(1), found.group(2), _value(found.group(3))
        if operator == "!=":
            return lambda labels: labels.get(key) != value
        return lambda labels: labels.get(key) == value
    if found := _EXISTS.fullmatch(part):
        absent, key = bool(found.group(1)), found.group(2)
        return lambda labels: (key in labels) is not absent
    raise bad_request(f"unable to parse requirement: found '{part}' in \"{text}\"")


def _value(value: str) -> str:
    if _VALUE.fullmatch(value):
        return value
    raise bad_request(
        f'unable to parse requirement: values[0][key]: Invalid value: "{value}": a valid label must be an empty'
        " string or consist of alphanumeric characters, '-', '_' or '.'"
    )


def object_selector(selector: Obj | None) -> Callable[[Labels], bool]:
    """A LabelSelector object (matchLabels, matchExpressions) as a predicate; an absent or empty one matches nothing."""
    if not selector or not (selector.get("matchLabels") or selector.get("matchExpressions")):
        return lambda labels: False
    tests = [_expression(e) for e in selector.get("matchExpressions") or ()]
    wanted: dict[str, str] = selector.get("matchLabels") or {}
    return lambda labels: all(labels.get(k) == v for k, v in wanted.items()) and all(t(labels) for t in tests)


def _expression(expression: Obj) -> Callable[[Labels], bool]:
    key, values = expression.get("key", ""), frozenset(expression.get("values") or ())
    operators: dict[str, Callable[[Labels], bool]] = {
        "In": lambda labels: labels.get(key) in values,
        "NotIn": lambda labels: labels.get(key) not in values,
        "Exists": lambda labels: key in labels,
        "DoesNotExist": lambda labels: key not in labels,
    }
    return operators.get(expression.get("operator", ""), lambda labels: False)


def selector_text(selector: Obj | None) -> str:
    """A LabelSelector object in the text form that Scale.status.selector carries."""
    return ",".join(f"{k}={v}" for k, v in sorted(((selector or {}).get("matchLabels") or {}).items()))


def field_selector(resource: Resource, text: str) -> Matches:
    """A field selector's text as a predicate over objects; an unknown field or bad syntax is an ApiError 400."""
    tests = [_field_test(resource, part) for part in text.split(",") if part]
    return lambda obj: all(test(obj) for test in tests)


def _field_test(resource: Resource, part: str) -> Matches:
    for operator in ("!=", "==", "="):
        field, found, value = part.partition(operator)
        if found:
            _known_field(resource, field)
            equal = operator != "!="
            return lambda obj: (field_text(resource, obj, field) == value) is equal
    raise bad_request(f"invalid selector: '{part}'; can't understand '{part}'")


def _known_field(resource: Resource, field: str) -> None:
    if field == "metadata.name" or (field == "metadata.namespace" and resource.namespaced):
        return
    if field not in resource.fields:
        raise _unknown_field(resource, field)


def _unknown_field(resource: Resource, field: str) -> ApiError:
    if resource.fields:
        return bad_request(f"field label not supported: {field}")
    known = '"metadata.name", "metadata.namespace"' if resource.namespaced else '"metadata.name"'
    return bad_request(f'"{field}" is not a known field selector: only {known}')


_FALSE_WHEN_ABSENT = {(NODES.plural, "spec.unschedulable"), (PODS.plural, "spec.hostNetwork")}


def field_text(resource: Resource, obj: Obj, field: str) -> str:
    """The text that a field selector compares with; an absent field is the empty string."""
    if resource is EVENTS and field == "source":
        found: Any = (obj.get("source") or {}).get("component") or obj.get("reportingComponent")
    else:
        found = obj
        for key in field.split("."):
            found = found.get(key) if isinstance(found, dict) else None
    if isinstance(found, bool) or (found is None and (resource.plural, field) in _FALSE_WHEN_ABSENT):
        return "true" if found else "false"
    return "" if found is None else str(found)
