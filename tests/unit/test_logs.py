"""Log lines: one JSON object each, with the ids that tell what it is about, and no secret in any part of it."""

from __future__ import annotations

import json
import logging
import sys

import pytest

from bot.logs import JsonLines
from policies.redaction import Redactor

TOKEN = "xoxb-123456789012-abcdefghijklmnop"
QUOTED = 'pa"ss\\word-of-mara'
KEY = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSj\n-----END PRIVATE KEY-----"
REDACTOR = Redactor([TOKEN, QUOTED])


def line(message: str, *arguments: object, failed: bool = False, **extra: object) -> str:
    """A record as it is written to standard error."""
    error = sys.exc_info() if failed else None
    record = logging.getLogger("agent.run").makeRecord(
        "agent.run", logging.WARNING, "here.py", 1, message, arguments, error, extra=extra
    )
    return JsonLines(lambda text: REDACTOR.text(text).text).format(record)


def test_a_line_is_one_json_object_with_the_incident_and_run_ids() -> None:
    written = line("the model %s", "failed", run_id="run-1", incident_id="inc-1")
    assert "\n" not in written
    found = json.loads(written)
    assert (found["level"], found["logger"], found["message"]) == ("warning", "agent.run", "the model failed")
    assert (found["run_id"], found["incident_id"]) == ("run-1", "inc-1")
    assert found["at"].endswith("Z")


@pytest.mark.parametrize("secret", [TOKEN, QUOTED, KEY], ids=["token", "with a quote", "with line breaks"])
@pytest.mark.parametrize("where", ["message", "argument", "extra", "traceback"])
def test_no_part_of_a_line_holds_a_secret(secret: str, where: str) -> None:
    if where == "traceback":
        try:
            raise ValueError(f"refused {secret}")
        except ValueError:
            written = line("it failed", failed=True)
    elif where == "argument":
        written = line("refused %s", secret)
    elif where == "extra":
        written = line("refused", reason=f"because of {secret}")
    else:
        written = line(f"refused {secret}")
    assert secret not in written
    assert json.dumps(secret)[1:-1] not in written
    assert "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSj" not in written
    assert "[secret:" in written


def test_a_traceback_stays_within_its_line() -> None:
    try:
        raise ValueError("no")
    except ValueError:
        written = line("it failed", failed=True)
    assert "\n" not in written
    assert "ValueError: no" in json.loads(written)["traceback"]
