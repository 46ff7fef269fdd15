"""The operator's file of service level objectives: each service's error budget, and how a release of it is watched."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import yaml

from domain.errors import SettingsError

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_DURATION = re.compile(r"([1-9]\d{0,3})([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_KEYS = {"gitlab", "objective", "window", "error_ratio", "watch", "worse_by", "canary"}
_CANARY_KEYS = {"error_ratio", "stable_error_ratio"}
LONGEST_WATCH = 3600
"""Seconds: a release is watched by its verification, and one that takes longer has failed by its time."""


@dataclass(frozen=True)
class Canary:
    """PromQL of the failed share of requests, between 0 and 1: those of the canary, and those of the rest meanwhile."""

    error_ratio: str
    stable_error_ratio: str


@dataclass(frozen=True)
class Objective:
    """One service. `objective` is the percent of requests that shall succeed over `window`, such as 30d.

    In every query `$window` stands for a length of time. A release is watched for `watch_s` seconds, and may fail at most
    `worse_by` percentage points more than what it is compared with.
    """

    service: str
    project: str
    objective: Decimal
    window: str
    error_ratio: str
    watch_s: int = 600
    worse_by: Decimal = Decimal(1)
    canary: Canary | None = None


def read_objectives(path: str) -> tuple[Objective, ...]:
    """The services of a file, none where `path` is empty. Raises SettingsError that names the place."""
    if not path:
        return ()
    try:
        content = yaml.safe_load(Path(path).read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"AGENT_OBJECTIVES: {path} cannot be read: {error}") from error
    except yaml.YAMLError as error:
        raise SettingsError(f"AGENT_OBJECTIVES: {path} is not YAML: {' '.join(str(error).split())}") from error
    services = _map(_map(content, path, {"services"}).get("services"), f"{path}: services")
    found = tuple(_objective(str(name), value, f"{path}: services.{name}") for name, value in services.items())
    projects = [one.project for one in found if one.project]
    twice = next((project for project in projects if projects.count(project) > 1), "")
    if twice:
        raise SettingsError(
            f"AGENT_OBJECTIVES: {path}: two services name the project {twice}: a release is watched by one"
        )
    return found


def seconds(duration: str) -> int:
    """`30d` in seconds. Raises ValueError."""
    match = _DURATION.fullmatch(duration)
    if match is None:
        raise ValueError(f"{duration!r} is no length of time such as 10m or 30d")
    return int(match[1]) * _SECONDS[match[2]]


def _objective(name: str, value: Any, where: str) -> Objective:
    if not _NAME.fullmatch(name):
        raise SettingsError(f"AGENT_OBJECTIVES: {where}: a service's name is lower-case letters, digits and hyphens")
    given = _map(value, where, _KEYS)
    objective = _number(given.get("objective"), f"{where}.objective")
    if not 0 < objective < 100:
        raise SettingsError(
            f"AGENT_OBJECTIVES: {where}.objective is percent, more than 0 and less than 100, such as 99.9"
        )
    watch = _length(given.get("watch", "10m"), f"{where}.watch")
    if watch > LONGEST_WATCH:
        raise SettingsError(f"AGENT_OBJECTIVES: {where}.watch is at most {LONGEST_WATCH // 60}m")
    worse = _number(given.get("worse_by", "1"), f"{where}.worse_by")
    if not 0 <= worse <= 100:
        raise SettingsError(f"AGENT_OBJECTIVES: {where}.worse_by is percentage points, from 0 to 100")
    window = given.get("window", "30d")
    _length(window, f"{where}.window")
    project = given.get("gitlab", "")
    if not isinstance(project, str) or (project and "/" not in project):
        raise SettingsError(f"AGENT_OBJECTIVES: {where}.gitlab is a project's full path, such as shop/checkout")
    canary = given.get("canary")
    return Objective(
        name,
        project,
        objective,
        window,
        _query(given.get("error_ratio"), f"{where}.error_ratio"),
        watch,
        worse,
        None if canary is None else _canary(canary, f"{where}.canary"),
    )


def _canary(value: Any, where: str) -> Canary:
    given = _map(value, where, _CANARY_KEYS)
    own, stable = (_query(given.get(key), f"{where}.{key}") for key in ("error_ratio", "stable_error_ratio"))
    return Canary(own, stable)


def _query(value: Any, where: str) -> str:
    if not isinstance(value, str) or "$window" not in value or len(value) > 2000:
        raise SettingsError(f"AGENT_OBJECTIVES: {where} is PromQL in which $window stands for the length of time")
    return " ".join(value.split())


def _number(value: Any, where: str) -> Decimal:
    try:
        found = Decimal("NaN" if isinstance(value, bool) else str(value))
    except InvalidOperation:
        found = Decimal("NaN")
    if not found.is_finite():
        raise SettingsError(f"AGENT_OBJECTIVES: {where} is a number, not {value!r}")
    return found


def _length(value: Any, where: str) -> int:
    try:
        return seconds(str(value))
    except ValueError as error:
        raise SettingsError(f"AGENT_OBJECTIVES: {where}: {error}") from error


def _map(value: Any, where: str, keys: set[str] | None = None) -> Mapping[str, Any]:
    if not isinstance(value, Mapping) or not value:
        raise SettingsError(f"AGENT_OBJECTIVES: {where} is a map that is not empty")
    unknown = sorted(str(key) for key in value if keys is not None and key not in keys)
    if unknown:
        raise SettingsError(
            f"AGENT_OBJECTIVES: {where} has no {', '.join(unknown)}; it takes {', '.join(sorted(keys or ()))}"
        )
    return value
