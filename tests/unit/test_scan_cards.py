"""The scan's list and its dialog: what is shown of each finding, in which order, and that others' words stay words."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest

from bot.analyzers import too_late
from domain.actions import Mode, Target
from domain.diagnosis import Finding, Proposal
from domain.runs import Origin, Run, RunOutcome, RunSpec
from domain.scans import CONFIGURATION, KnownFinding, key_of
from handlers import cards_scan
from handlers.blocks import problems
from handlers.kit import Body
from tests.contracts.journal_samples import NOON
from tests.unit.test_scan_findings import GI, found

RUN = Run(
    RunSpec("run-1", "", Origin.COMMAND, "rules", Mode.PROPOSE, Target(CONFIGURATION, "production", "shop")), NOON
)
CHANGE = Proposal("kubernetes_set_resources", {"name": "cart"}, "why")


def known(finding: Finding, **more: Any) -> KnownFinding:
    usual = {"first_seen": NOON - timedelta(days=7), "last_seen": NOON, "news_at": NOON - timedelta(days=7)} | more
    return KnownFinding(key_of(finding), finding, "run-1", **usual)


def shown(*findings: KnownFinding, run: Run = RUN) -> tuple[str, Body]:
    body = cards_scan.findings(run, findings, NOON)
    assert problems(list(body.blocks)) == []
    return json.dumps(body.blocks, ensure_ascii=False), body


def options(body: Body) -> list[list[str]]:
    return [
        [option["text"]["text"] for option in block["accessory"]["options"]]
        for block in body.blocks
        if "accessory" in block
    ]


def test_each_finding_shows_its_rule_its_code_its_evidence_and_what_can_be_done() -> None:
    one = known(replace(found(saved_bytes=3 * GI, saved_millicores=1500), proposal=CHANGE))
    words, body = shown(one, known(found("config.mutable_tag", name="web", risk="medium")))
    assert body.text == "Configuration scan in shop: 2 findings"
    for told in (
        "🟠 1 medium · 🔵 1 low",
        "*3.0 GiB of memory and 1.5 CPUs* of requests could be freed",
        "By the rule.",
    ):
        assert told in words
    assert "containers[app] · evidence E1" in words
    assert options(body) == [["Propose the change", "Snooze …"], ["Snooze …"]]


def test_news_are_marked_and_what_was_there_before_is_not() -> None:
    new = known(found(), first_seen=NOON, news_at=NOON)
    old, worse = known(found(name="web")), known(found(name="api"), news_at=NOON)
    words, _ = shown(new, old, worse)
    assert (words.count("*new*"), words.count("*worse*")) == (1, 1)
    assert words.index("*new*") < words.index("web: ") < words.index("api: ") < words.index("*worse*")
    assert "*new*" not in shown(new)[0], "where everything is new, the word says nothing"


def test_what_is_snoozed_is_counted_with_its_owner_and_not_shown() -> None:
    words, body = shown(known(found()), known(found(name="web"), snoozed_until=NOON + timedelta(days=1), owner="U02"))
    assert "1 finding snoozed, with <@U02>" in words
    assert len(options(body)) == 1
    assert "web: " not in words


def test_where_nothing_is_to_do_it_says_so() -> None:
    words, body = shown()
    assert body.text == "Configuration scan in shop: nothing to mend"
    assert "could be freed" not in words


def test_what_could_not_be_read_is_never_called_well() -> None:
    words, body = shown(run=replace(RUN, findings=(too_late(RUN.spec.target, 120),)))
    assert "not everything could be read" in body.text
    assert "nothing is taken as mended" in words


def test_a_scan_that_stopped_says_why() -> None:
    words, body = shown(run=replace(RUN, outcome=RunOutcome.FAILED, reason="an unexpected error"))
    assert (body.text, "an unexpected error" in words) == ("Configuration scan in shop stopped", True)


def test_beyond_ten_the_rest_is_counted_by_kind() -> None:
    many = [known(found("config.mutable_tag", name=f"app-{n}")) for n in range(60)]
    words, body = shown(*many)
    assert len(options(body)) == cards_scan.MOST == 10
    assert "and 50 more: 50 × mutable tag" in words


def test_hostile_names_cannot_link_mention_or_format() -> None:
    bad = replace(found(), title="<!channel> *x* `y` <https://evil.test|here>", detail="<@U1> & co")
    words, _ = shown(known(bad))
    for live in ("<!channel>", "<https://evil.test", "<@U1>"):
        assert live not in words


# --- the dialog


def test_the_dialog_asks_for_owner_time_and_reason_and_starts_with_who_clicked() -> None:
    view = cards_scan.dialog(known(found()), "U01", "C01", NOON.date())
    assert problems(view["blocks"]) == []
    assert view["blocks"][1]["element"]["initial_user"] == "U01"
    assert view["blocks"][2]["element"]["initial_date"] == "2026-03-31"
    assert json.loads(view["private_metadata"]) == {"key": key_of(found()), "channel": "C01"}


def submission(**values: Any) -> dict[str, Any]:
    return {
        "private_metadata": '{"key": "k1"}',
        "state": {"values": {name: {"value": one} for name, one in values.items()}},
    }


@pytest.mark.parametrize(
    ("values", "read"),
    [
        (
            {
                "owner": {"selected_user": "U2"},
                "until": {"selected_date": "2026-05-01"},
                "reason": {"value": "sale"},
            },
            ("k1", "U2", date(2026, 5, 1), "sale"),
        ),
        ({}, ("k1", "", date.min, "")),
        ({"until": {"selected_date": "for ever"}, "reason": {"value": None}}, ("k1", "", date.min, "")),
        ({"until": {"selected_date": None}}, ("k1", "", date.min, "")),
    ],
)
def test_a_dialog_that_was_sent_is_read_and_nonsense_is_no_day(values: dict[str, Any], read: tuple[Any, ...]) -> None:
    assert cards_scan.submitted(submission(**values)) == read
