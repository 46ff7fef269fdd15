"""What every projection uses: refuse unless a row changed, and nouns as JSON text."""

from __future__ import annotations

import sqlite3
from typing import Any, NoReturn

from domain.canonical import canonical
from domain.codec import encode
from domain.errors import Conflict


def must_change(cursor: sqlite3.Cursor, otherwise: str, refusal: type[Conflict] = Conflict) -> None:
    """Refuse the event with the sentence `otherwise` unless the statement changed a row."""
    if cursor.rowcount != 1:
        raise refusal(otherwise)


def refuse(sentence: str) -> NoReturn:
    """Refuse the event."""
    raise Conflict(sentence)


def text(noun: Any) -> str:
    """A noun as the JSON text that a projection's column holds."""
    return canonical(encode(noun)).decode()
