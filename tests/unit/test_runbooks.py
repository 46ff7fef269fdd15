"""Runbooks: found by what they say they are for, then by their words; a broken one is named and stops nothing."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from bot.tools.knowledge import knowledge_tools
from bot.tools.runbooks import LARGEST, Runbooks, read_runbook
from domain.canonical import canonical
from domain.errors import BadInput, SettingsError

CHECKOUT = """---
title: Checkout crash-loops after a release
match:
  alertname: [KubePodCrashLooping, "Checkout*"]
  namespace: shop
---
# Heading

1. Look whether the migration ran.
2. Roll back.
"""
ABOUT = {"alertname": "KubePodCrashLooping", "namespace": "shop", "kind": "Deployment", "name": "checkout"}


def books(folder: Path, **files: str) -> Runbooks:
    for name, text in files.items():
        (folder / f"{name}.md").write_text(text, "utf-8")
    return Runbooks(str(folder))


def titles(found: Runbooks, about: dict[str, str], text: str = "") -> list[str]:
    return [each.runbook.title for each in found.find(about, text)]


def test_a_runbook_is_found_where_every_matcher_matches(tmp_path: Path) -> None:
    found = books(tmp_path, checkout=CHECKOUT)
    [one] = found.find(ABOUT, "")
    assert (one.runbook.title, one.by) == ("Checkout crash-loops after a release", ("alertname", "namespace"))
    assert one.runbook.steps == ("Look whether the migration ran.", "Roll back.")
    assert titles(found, ABOUT | {"alertname": "CheckoutSlow"}) == [one.runbook.title]
    assert titles(found, ABOUT | {"namespace": "billing"}) == []
    assert titles(found, {"alertname": "KubePodCrashLooping"}) == [], "a matcher without a value does not match"


def test_the_most_precise_runbook_comes_first(tmp_path: Path) -> None:
    general = "---\ntitle: Crash loops\nmatch: {alertname: KubePod*}\n---\nLook at the log."
    assert titles(books(tmp_path, a=general, b=CHECKOUT), ABOUT) == [
        "Checkout crash-loops after a release",
        "Crash loops",
    ]


def test_without_matchers_its_words_decide_and_a_wrong_matcher_is_never_outvoted_by_words(tmp_path: Path) -> None:
    plain = "# Certificate renewal\n\nRenew the certificate of the ingress with certbot."
    found = books(tmp_path, plain=plain, checkout=CHECKOUT)
    assert titles(found, {}, "the certificate of the ingress has expired, renewal failed") == ["Certificate renewal"]
    assert titles(found, {}, "checkout crash-loops after a release, migration missing") == []
    assert titles(found, {}, "the queue is slow") == []


def test_a_changed_file_is_read_again_and_a_removed_one_is_gone(tmp_path: Path) -> None:
    found = books(tmp_path, a=CHECKOUT)
    before = found.find(ABOUT, "")[0].runbook.digest
    (tmp_path / "a.md").write_text(CHECKOUT + "3. Tell the team.\n", "utf-8")
    assert found.find(ABOUT, "")[0].runbook.digest != before
    (tmp_path / "a.md").unlink()
    assert found.find(ABOUT, "") == ()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("---\nmatch: {alert: x}\n---\n", "match knows alertname, namespace, kind, name, severity, not alert"),
        ("---\nmatch: [x]\n---\n", "match is no map"),
        ("---\nmatch: {name: 7}\n---\n", "match.name is a glob or a list of globs"),
        ("---\n- x\n---\n", "no map of title and match"),
        ("---\na: [\n---\n", "is not YAML"),
        ("x" * (LARGEST + 1), "is larger than 128 KB"),
    ],
)
def test_a_file_that_cannot_be_a_runbook_is_named_and_the_others_are_read(
    tmp_path: Path, text: str, words: str
) -> None:
    good, notes = books(tmp_path, good=CHECKOUT, bad=text).all()
    assert [book.path for book in good] == ["good.md"]
    assert len(notes) == 1
    assert notes[0].startswith("bad.md ")
    assert words in notes[0]


def test_a_folder_that_is_none_is_a_setting_to_mend(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="nowhere is not a folder"):
        Runbooks(str(tmp_path / "nowhere"))


@given(st.text(max_size=200))
def test_any_text_is_a_runbook_or_a_sentence(text: str) -> None:
    for content in (text, f"---\n{text}\n---\n", f"---\nmatch: {text}\n---\n"):
        with suppress(BadInput):
            assert read_runbook("a.md", content).title


async def test_the_tool_shows_text_and_steps_and_what_matched(tmp_path: Path) -> None:
    [tool] = knowledge_tools(None, books(tmp_path, checkout=CHECKOUT), None)
    data = await tool.read({"text": "it crashes", **ABOUT})
    assert canonical(data)
    shown = tool.render(data)
    assert "# Checkout crash-loops after a release (checkout.md, by alertname, namespace)" in shown
    assert "1. Look whether the migration ran." in shown
    nothing = await tool.read({"text": "the queue is slow", "namespace": "mail"})
    assert tool.render(nothing) == "No runbook is for this."
