"""Text that wants an approver to see something else than what runs: shown as what it is, block by block."""

from __future__ import annotations

import json
from typing import Any

import pytest

from domain.actions import Target
from domain.decisions import Approval, Decision, Outcome
from handlers.cards_approval import approval as card
from handlers.chat import settle
from handlers.kit import Block
from tests.slack_harness import action_of, request_of
from tests.unit.test_cards import accepted, tame

BIDI = "replicas=\u202e0001\u202c"
HIDDEN = "shop\u200b-\u2060prod\ufeff\u00ad"
ARGUMENTS = {"namespace": "shop", "name": "checkout", "replicas": 1}


def blocks(**more: Any) -> list[Block]:
    """The card as it is sent: everything between us and Slack has been through it."""
    request = request_of(action=action_of(**more))
    body = card(Approval(request))
    accepted(body)
    tame(body)
    return list(settle(body, lambda text: text).blocks)


def texts(found: list[Block], kind: str) -> list[str]:
    """The literal runs of the blocks of one kind."""
    inner = [element for block in found if block["type"] == "rich_text" for element in block["elements"]]
    return [run["text"] for element in inner if element["type"] == kind for run in element["elements"]]


def exact(found: list[Block]) -> str:
    """The exact call: Slack parses nothing inside."""
    return texts(found, "rich_text_preformatted")[0]


@pytest.mark.parametrize(
    ("sneaky", "shown"),
    [
        (BIDI, "replicas=⟨U+202E⟩0001⟨U+202C⟩"),
        (HIDDEN, "shop⟨U+200B⟩-⟨U+2060⟩prod⟨U+FEFF⟩⟨U+00AD⟩"),
        ("a\x07b\x1b[2Kc", "a⟨U+0007⟩b⟨U+001B⟩[2Kc"),
        ("\u2066x\u2069", "⟨U+2066⟩x⟨U+2069⟩"),
    ],
    ids=["bidi", "zero-width", "control", "isolate"],
)
def test_hidden_characters_are_shown_by_number_wherever_they_stand(sneaky: str, shown: str) -> None:
    found = blocks(arguments={"note": sneaky}, why=sneaky, diff=f"+ {sneaky}", target=Target(name=sneaky))
    whole = json.dumps(found, ensure_ascii=False)
    assert not [letter for letter in sneaky if letter in whole and (not letter.isprintable() or letter == "\u00ad")]
    assert shown in texts(found, "rich_text_section")[0]
    assert shown in texts(found, "rich_text_preformatted")[1]
    assert shown.replace("⟨U+0007⟩", "\\u0007").replace("⟨U+001B⟩", "\\u001b") in exact(found)


def test_a_line_break_in_an_argument_cannot_pass_for_another_argument() -> None:
    found = exact(blocks(arguments={"note": 'x"\nreplicas = 1', "replicas": 500}))
    assert found.splitlines() == ["kubernetes_rollback", 'note = "x\\"\\nreplicas = 1"', "replicas = 500"]


def test_mrkdwn_mentions_and_links_are_words() -> None:
    forged = "*Approved* <!channel> <@U07MARA0001> <https://evil.example|approve> ```ok``` :white_check_mark: `x`"
    found = blocks(arguments={"note": forged}, why=forged)
    assert "<!channel>" not in json.dumps(found)
    assert "<https" not in json.dumps(found)
    mrkdwn = [text for block in found for text in _parsed(block)]
    assert not [text for text in mrkdwn if "evil.example" in text or "*Approved*" in text]


def _parsed(block: Block) -> list[str]:
    """The texts of a block that Slack reads as mrkdwn."""
    inner = [block.get("text"), *block.get("fields", ()), *block.get("elements", ())]
    return [each["text"] for each in inner if isinstance(each, dict) and each.get("type") == "mrkdwn"]


def test_ten_thousand_characters_are_announced_and_what_is_hidden_is_counted() -> None:
    """The dangerous part at the end cannot hide behind a page of harmless text: the card says how much is missing."""
    long = {"patch": "\n".join(f"line {number}" for number in range(1200)), "zz_replicas": 0}
    assert len(json.dumps(long)) > 10_000
    found = blocks(arguments=long)
    assert len(exact(found)) <= 4500
    assert " characters)" in exact(found)
    warned = [text for block in found for text in _parsed(block) if "Not all of the arguments fit here." in text]
    assert len(warned) == 1
    position = [number for number, block in enumerate(found) if "Not all of the arguments" in json.dumps(block)]
    buttons = [number for number, block in enumerate(found) if block["type"] == "actions"]
    assert position < buttons, "it is said before anybody can click"


def test_the_short_arguments_are_never_crowded_out_by_a_long_one() -> None:
    found = exact(blocks(arguments={"a": "x" * 10_000, "replicas": 0, "namespace": "shop"}))
    assert "replicas = 0" in found
    assert 'namespace = "shop"' in found
    assert "… (+" in found


def test_the_models_own_words_stand_below_the_facts_and_never_in_the_title() -> None:
    found = blocks(why="Approved by @sre: harmless, just approve.")
    title, facts, words = (json.dumps(found[place]) for place in (0, 1, 2))
    assert "harmless" not in title + facts
    assert "harmless" in words
    assert "Target" in facts


def test_the_confirmation_shows_the_same_as_the_card() -> None:
    found = blocks(target=Target(name=BIDI))
    approve = next(block["elements"][0] for block in found if block["type"] == "actions")
    said = json.dumps(approve["confirm"], ensure_ascii=False)
    assert "\u202e" not in said
    assert "⟨U+202E⟩" in said


def test_a_policys_warning_and_a_shadowing_word_are_text_as_well() -> None:
    decision = Decision(Outcome.ASK, "r", f"because {BIDI}", "h", warnings=(f"<!here> {HIDDEN}",))
    said = json.dumps(list(card(Approval(request_of(decision=decision))).blocks), ensure_ascii=False)
    assert "⟨U+202E⟩" in said
    assert "⟨U+200B⟩" in said
    assert "<!here>" not in said
