"""What was learned before: earlier runs about a problem alike, and what became of them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

MOST_WORDS = 60

_WORD = re.compile(r"[a-z][a-z0-9_]*(?:[.-][a-z0-9_]+)*")
_MADE_UP = re.compile(r"(?=.*\d)[a-z0-9]{5,}|.*-[a-z0-9]{9,10}-[a-z0-9]{5}")
_ORDINARY_WORDS = """
the and for was were are with its that this from has have had not but all any can could did does into than then there they
what when which who why will would been being more most now off our out over some such under very you your pod pods
deployment container containers replica replicas namespace node nodes service alert alerts error errors kubernetes nothing
proposed executed verified
"""
_ORDINARY = frozenset(_ORDINARY_WORDS.split())


@dataclass(frozen=True)
class Precedent:
    """An earlier run about a problem alike. `alike` says how it was found, `likeness` how much, in percent.

    `fix` is the change that was executed, `outcome` what became of it; both empty where nothing was changed. `doubted`: people
    called its diagnosis wrong.
    """

    run_id: str
    incident_id: str
    at: datetime
    summary: str
    cause: str
    alike: str
    likeness: int
    fix: str = ""
    outcome: str = ""
    doubted: bool = False


def words_of(*texts: str) -> tuple[str, ...]:
    """What a text may be found again by: its words without the ordinary ones and without generated names."""
    found = (word for text in texts for word in _WORD.findall(text.lower()))
    telling = (word for word in found if len(word) > 2 and word not in _ORDINARY and not _MADE_UP.fullmatch(word))
    return tuple(dict.fromkeys(telling))[:MOST_WORDS]
