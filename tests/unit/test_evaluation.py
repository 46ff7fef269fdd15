"""Scenario files: read with their mistakes named, judged by words and proposals, told in a table with intervals."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, strategies as st

from bot.evaluation import Verdict, judge, read_folder, read_scenario, shares, table
from domain.actions import Mode
from domain.alerts import Severity
from domain.diagnosis import Confidence, Diagnosis
from domain.errors import SettingsError
from domain.runs import Origin, Run, RunSpec

AT = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
GOOD: dict[str, Any] = {
    "alert": {
        "name": "KubePodCrashLooping",
        "severity": "critical",
        "labels": {"namespace": "shop", "deployment": "web"},
    },
    "expect": {
        "cause": ["quota|ResourceQuota", "cpu"],
        "actions": ["kubernetes_scale"],
        "forbidden": ["kubernetes_patch"],
    },
}


def scenario(**changed: Any) -> Any:
    return read_scenario("quota", yaml.safe_dump(GOOD | changed))


def run(summary: str, cause: str = "", confidence: Confidence = Confidence.PROVEN) -> Run:
    one = scenario()
    spec = RunSpec("r", "", Origin.ALERT, "rules", Mode.OBSERVE, one.target, alert=one.alert)
    return Run(spec, AT, diagnosis=Diagnosis(summary, cause, confidence, "rules"))


def test_a_scenario_names_its_alert_and_what_that_is_about() -> None:
    one = scenario()
    assert one.alert.severity is Severity.CRITICAL
    assert str(one.target) == "shop/deployment/web"
    assert (one.group, one.title) == ("fault", "quota")


def test_a_good_answer_names_every_cause_and_proposes_one_of_the_actions() -> None:
    verdict = judge(scenario(), run("The ResourceQuota of shop", "has no CPU left"), ["kubernetes_scale"], 12)
    assert (verdict.cause, verdict.action, verdict.passed) == (True, True, True)


def test_a_model_that_failed_has_not_passed_whatever_the_rules_then_found() -> None:
    ran = replace(run("The ResourceQuota of shop", "has no CPU left"), model_failure="gpt: no answer")
    verdict = judge(scenario(), ran, ["kubernetes_scale"], 12)
    assert (verdict.passed, verdict.failed) == (False, "gpt: no answer")


@pytest.mark.parametrize(
    ("changed", "said", "proposed", "wrong"),
    [
        ({}, "The quota is used up", ["kubernetes_scale"], ("", "cpu")),
        ({}, "The quota has no cpu", [], ("", "")),
        ({}, "The quota has no cpu", ["kubernetes_scale", "kubernetes_patch"], ("proposed kubernetes_patch", "")),
        ({"expect": {"cause": "cpu"}}, "no cpu", ["kubernetes_scale"], ("proposed kubernetes_scale", "")),
        ({"expect": {"cause": "cpu", "not": "memory"}}, "no cpu, no memory", [], ("said memory", "")),
        ({"expect": {"cause": "cpu", "confidence": "not_proven"}}, "no cpu", [], ("confidence proven", "")),
    ],
)
def test_what_is_missing_and_what_is_wrong_is_told(
    changed: dict[str, Any], said: str, proposed: list[str], wrong: tuple[str, str]
) -> None:
    verdict = judge(scenario(**changed), run(said), proposed, 12)
    assert not verdict.passed
    assert wrong[0] in " ".join(verdict.wrong)
    assert wrong[1] in " ".join(verdict.missing)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"expect": {}}, "quota: expect.cause: say at least one word"),
        ({"expect": {"cause": "a", "action": "b"}}, "quota: expect: unknown key action"),
        ({"expect": {"cause": "a", "confidence": "sure"}}, "expect.confidence is one of likely, not_proven, proven"),
        ({"expect": {"cause": [1]}}, "expect.cause is a word or a list of words"),
        ({"group": "sick"}, "group is one of fault, healthy, red-herring, double-fault, not sick"),
        ({"group": "healthy"}, "nothing may be proposed in a healthy world"),
        ({"question": "why?"}, "say either alert or question"),
        ({"alert": {"severity": "loud"}}, "alert.severity is one of critical, warning, info"),
        ({"alert": None, "question": None}, "say either alert or question"),
        ({"wrld": {}}, "unknown key wrld"),
        ({"world": []}, "quota: world is a map"),
    ],
)
def test_a_mistake_in_a_file_is_named_with_its_place(changed: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError) as caught:
        if changed == {"world": []}:
            changed = {"world": [1]}
        scenario(**changed)
    assert words in str(caught.value)


@given(st.text(max_size=80))
def test_any_file_is_a_scenario_or_a_sentence(text: str) -> None:
    with suppress(SettingsError):
        assert read_scenario("x", text).expected.cause


def test_an_empty_or_missing_folder_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="holds no scenario files"):
        read_folder(tmp_path)
    with pytest.raises(SettingsError, match="is not a folder"):
        read_folder(tmp_path / "nowhere")


def test_the_table_tells_each_scenario_and_the_shares_with_their_intervals() -> None:
    good = Verdict("a", "fault", True, True, "x", ("kubernetes_scale",), "proven", took_ms=5)
    bad = Verdict("b", "healthy", False, False, "said", ("kubernetes_patch",), "likely", ("cpu",), ("proposed x",))
    lines = table([good, bad])
    assert lines[1].split()[:2] == ["a", "fault"]
    assert "not said: cpu" in "\n".join(lines)
    assert shares([good, bad])[0] == "all           cause 1/2 (9% to 91%), action 1/2 (9% to 91%)"
