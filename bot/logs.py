"""Structured logs: one JSON object a line, with incident and run ids, and no secrets."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable
from datetime import UTC, datetime

_OWN = frozenset(vars(logging.LogRecord("", 0, "", 0, "", (), None))) | {"message", "asctime", "taskName"}


class JsonLines(logging.Formatter):
    """A record as JSON: time, level, logger, message, whatever `extra` names, and the traceback, all redacted."""

    def __init__(self, redact: Callable[[str], str]) -> None:
        super().__init__()
        self._redact = redact

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        line = {"at": at, "level": record.levelname.lower(), "logger": record.name}
        said = {"message": record.getMessage()}
        said.update({key: str(value) for key, value in vars(record).items() if key not in _OWN})
        if record.exc_info:
            said["traceback"] = self.formatException(record.exc_info)
        # before they are JSON, whose escapes would hide a secret with a quote or a line break in it
        line.update({key: self._redact(value) for key, value in said.items()})
        return json.dumps(line, ensure_ascii=False)


def configure(redact: Callable[[str], str], level: int = logging.INFO) -> None:
    """Log to standard error from here on. Libraries speak from warning upwards: their info lines may hold URLs with keys."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines(redact))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("agent").setLevel(level)
    logging.getLogger("slack_bolt").setLevel(
        logging.ERROR
    )  # warns at each start that `authorize` is used as documented
