"""The recall that docs/redaction.md publishes is the recall that the redactor has."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchmarks.redaction import HELD_OUT, TUNED, chunks, logs, masked_for_nothing, planted, recall
from policies.redaction import Redactor

PAGE = Path(__file__).parents[2] / "docs" / "redaction.md"


@pytest.fixture(scope="module")
def published() -> list[int]:
    table = PAGE.read_text().partition("<!-- recall -->")[2].partition("<!-- /recall -->")[0]
    return [int(match[1]) for match in re.finditer(r"^\|[^|]+\| (\d+) \|", table, re.MULTILINE)]


def test_every_secret_of_a_kind_that_the_pack_knows_is_found(published: list[int]) -> None:
    found = recall(TUNED, 10)
    assert sum(found.values()) == published[0] == 100, found


def test_the_published_number_of_secrets_of_unknown_kinds_is_found(published: list[int]) -> None:
    found = recall(HELD_OUT, 5)
    assert sum(found.values()) == published[1]
    assert {kind for kind, n in found.items() if n < 5} == {"UUID that is a key"}, "the page names what is missed"


def test_a_secret_that_the_process_holds_is_found_whatever_it_looks_like(published: list[int]) -> None:
    assert sum(recall(HELD_OUT, 5, known=True).values()) == published[2] == 40


def test_nothing_is_masked_in_logs_without_a_secret(published: list[int]) -> None:
    assert masked_for_nothing() == published[3] == 0


def test_the_count_itself_notices_a_secret_that_stays() -> None:
    text, secrets = planted(TUNED, 10, 100_000)
    assert all(value in text for values in secrets.values() for value in values)
    assert "".join(chunks(text)) == text
    assert Redactor().text(logs(50_000)).count == 0
