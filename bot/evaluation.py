"""Scenarios for the diagnostician: a world, an alert or a question, and what a good answer names, proposes and leaves alone.

A scenario is a YAML file. This module reads it and judges an answer; what runs it is `bot/commands/eval.py`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from domain.actions import Target
from domain.alerts import Alert, Severity, target_of
from domain.canonical import plain
from domain.diagnosis import Confidence
from domain.errors import BadInput, SettingsError
from domain.figures import wilson
from domain.runs import Run

GROUPS = ("fault", "healthy", "red-herring", "double-fault")
_KEYS = {"title", "group", "alert", "question", "world", "expect"}
_EXPECT = {"cause", "not", "actions", "forbidden", "confidence"}


@dataclass(frozen=True)
class Expected:
    """What is judged. Each entry of `cause` is words of which one must be said (`quota|ResourceQuota`); none of `never` may be.

    `actions` are tools of which one has to be proposed, empty: nothing may be proposed at all. `forbidden` tools never.
    """

    cause: tuple[str, ...]
    never: tuple[str, ...] = ()
    actions: tuple[str, ...] = ()
    forbidden: tuple[str, ...] = ()
    confidence: tuple[Confidence, ...] = ()


@dataclass(frozen=True)
class Scenario:
    """One file. `world` is written out by the stand-ins."""

    name: str
    title: str
    group: str
    world: Mapping[str, Any]
    expected: Expected
    alert: Alert | None = None
    question: str = ""

    @property
    def target(self) -> Target:
        """What the alert is about."""
        return self.alert.target if self.alert else Target()


@dataclass(frozen=True)
class Verdict:
    """How one answer did. `missing` are expected words that were not said, `wrong` what should not have been."""

    scenario: str
    group: str
    cause: bool
    action: bool
    said: str
    proposed: tuple[str, ...]
    confidence: str
    missing: tuple[str, ...] = ()
    wrong: tuple[str, ...] = ()
    tokens: int = 0
    cost_micros: int = 0
    took_ms: int = 0
    failed: str = ""

    @property
    def passed(self) -> bool:
        """Cause named, nothing wrong said or proposed."""
        return self.cause and self.action and not self.failed


def read_folder(folder: Path) -> list[Scenario]:
    """Every scenario of a folder, by name. Raises SettingsError naming file and place."""
    if not folder.is_dir():
        raise SettingsError(f"{folder} is not a folder of scenario files")
    found = [read_scenario(path.stem, path.read_text("utf-8")) for path in sorted(folder.glob("*.yaml"))]
    if not found:
        raise SettingsError(f"{folder} holds no scenario files (*.yaml)")
    return found


def read_scenario(name: str, text: str) -> Scenario:
    """A scenario from a file's text. Raises SettingsError that names the place."""
    try:
        said = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise SettingsError(f"{name}: not YAML: {' '.join(str(error).split())}") from error
    said = _map(said, name, _KEYS)
    group = str(said.get("group", "fault"))
    if group not in GROUPS:
        raise SettingsError(f"{name}: group is one of {', '.join(GROUPS)}, not {group}")
    if bool(said.get("alert")) == bool(said.get("question")):
        raise SettingsError(f"{name}: say either alert or question")
    expected = _expected(_map(said.get("expect"), f"{name}: expect", _EXPECT), f"{name}: expect")
    if group == "healthy" and expected.actions:
        raise SettingsError(f"{name}: nothing may be proposed in a healthy world")
    alert = _alert(_map(said["alert"], f"{name}: alert", None), name) if said.get("alert") else None
    world = _map(said.get("world") or {}, f"{name}: world", None)
    return Scenario(
        name, str(said.get("title") or name), group, world, expected, alert, str(said.get("question") or "")
    )


def judge(scenario: Scenario, run: Run, proposed: Sequence[str], took_ms: int) -> Verdict:
    """Hold a finished run against what was expected."""
    found, expected = run.diagnosis, scenario.expected
    said = " ".join(filter(None, (found.summary, found.cause))) if found else ""
    missing = tuple(words for words in expected.cause if not _says(said, words))
    wrong = [f"said {words}" for words in expected.never if _says(said, words)]
    confidence = found.confidence if found else Confidence.NOT_PROVEN
    if expected.confidence and confidence not in expected.confidence:
        wrong.append(f"confidence {confidence.value}")
    unwanted = [tool for tool in proposed if tool in expected.forbidden or not expected.actions]
    lacking = bool(expected.actions) and not set(proposed) & set(expected.actions)
    usage = run.usage
    return Verdict(
        scenario.name,
        scenario.group,
        cause=not missing and not wrong,
        action=not unwanted and not lacking,
        said=said,
        proposed=tuple(dict.fromkeys(proposed)),
        confidence=confidence.value,
        missing=missing,
        wrong=(*wrong, *(f"proposed {tool}" for tool in dict.fromkeys(unwanted))),
        tokens=usage.input_tokens + usage.output_tokens,
        cost_micros=usage.cost_micros,
        took_ms=took_ms,
        failed=run.model_failure,  # the built-in rules went on for it, so that the answer is not the model's
    )


def table(verdicts: Sequence[Verdict]) -> list[str]:
    """One line a scenario, and the shares by group."""
    width = max((len(verdict.scenario) for verdict in verdicts), default=8)
    lines = [f"{'scenario':<{width}}  group         cause  action  confidence    ms   proposed"]
    for one in verdicts:
        marks = ("✓" if one.cause else "✗", "✓" if one.action else "✗")
        proposed = ", ".join(one.proposed) or "nothing"
        how = f"{marks[0]:<5}  {marks[1]:<6}  {one.confidence:<10}  {one.took_ms:>4}"
        lines.append(f"{one.scenario:<{width}}  {one.group:<12}  {how}   {proposed}")
        lines += [f"{'':<{width}}  {detail}" for detail in _details(one)]
    lines += ["", *shares(verdicts)]
    tokens, cost = sum(one.tokens for one in verdicts), sum(one.cost_micros for one in verdicts)
    if tokens:
        lines.append(f"{tokens:,} tokens, ${cost / 1e6:.4f}; {tokens // max(1, len(verdicts)):,} tokens a scenario")
    return lines


def shares(verdicts: Sequence[Verdict]) -> list[str]:
    """Causes named and nothing wrong proposed, overall and by group, each with its 95 % interval."""
    lines = []
    for group in ("all", *GROUPS):
        chosen = [one for one in verdicts if group in ("all", one.group)]
        if chosen:
            causes, actions = sum(one.cause for one in chosen), sum(one.action for one in chosen)
            lines.append(f"{group:<13} cause {_share(causes, len(chosen))}, action {_share(actions, len(chosen))}")
    return lines


def _share(hits: int, n: int) -> str:
    low, high = wilson(hits, n)
    return f"{hits}/{n} ({low:.0%} to {high:.0%})"


def _details(one: Verdict) -> list[str]:
    told = [f"not said: {words}" for words in one.missing] + [f"wrong: {what}" for what in one.wrong]
    if one.failed:
        told.append(f"failed: {one.failed}")
    if told and one.said:
        told.append(f"said: {one.said[:300]}")
    return told


def _says(text: str, words: str) -> bool:
    lowered = " ".join(text.lower().split())
    return any(option.strip().lower() in lowered for option in words.split("|"))


def _expected(said: Mapping[str, Any], where: str) -> Expected:
    confidence = _words(said.get("confidence"), f"{where}.confidence")
    known = {item.value for item in Confidence}
    unknown = [word for word in confidence if word not in known]
    if unknown:
        raise SettingsError(f"{where}.confidence is one of {', '.join(sorted(known))}, not {unknown[0]}")
    cause = _words(said.get("cause"), f"{where}.cause")
    if not cause:
        raise SettingsError(f"{where}.cause: say at least one word that a good answer names")
    return Expected(
        cause,
        _words(said.get("not"), f"{where}.not"),
        _words(said.get("actions"), f"{where}.actions"),
        _words(said.get("forbidden"), f"{where}.forbidden"),
        tuple(Confidence(word) for word in confidence),
    )


def _alert(said: Mapping[str, Any], name: str) -> Alert:
    labels = {str(key): str(value) for key, value in (said.get("labels") or {}).items()}
    severity = str(said.get("severity", "warning"))
    if severity not in {item.value for item in Severity}:
        raise SettingsError(f"{name}: alert.severity is one of critical, warning, info")
    try:
        labels = dict(plain(labels))
    except BadInput as error:
        raise SettingsError(f"{name}: alert.labels: {error}") from error
    alertname = str(said.get("name") or labels.get("alertname") or "Alert")
    return Alert(
        fingerprint=re.sub(r"[^a-z0-9]", "", name.lower())[:16] or "alert",
        firing=True,
        name=alertname,
        source="alertmanager",
        starts_at=datetime.now(UTC),
        severity=Severity(severity),
        summary=str(said.get("summary", alertname)),
        description=str(said.get("description", "")),
        labels={"alertname": alertname, **labels},
        target=target_of(labels, "production"),
    )


def _words(value: Any, where: str) -> tuple[str, ...]:
    found = value if isinstance(value, list) else [value] if value not in (None, "") else []
    if not all(isinstance(word, str) and word.strip() for word in found):
        raise SettingsError(f"{where} is a word or a list of words")
    return tuple(found)


def _map(value: Any, where: str, known: set[str] | None) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise SettingsError(f"{where} is a map")
    unknown = sorted(set(map(str, value)) - known) if known is not None else []
    if unknown:
        raise SettingsError(f"{where}: unknown key {unknown[0]}; known are {', '.join(sorted(known or ()))}")
    return value
