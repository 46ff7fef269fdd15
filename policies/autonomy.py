"""Autonomy that is earned: which questions the record says need not be asked, and which answers it says should be.

Only proposals come out of here. Nothing is allowed that was not before until a person has merged the change.

The bound is Wilson's score interval (E. B. Wilson, *Probable inference, the law of succession, and statistical inference*,
Journal of the American Statistical Association 22, 1927, pages 209 to 212), with z = 1.96:

    (p + z²/2n ± z·√(p(1−p)/n + z²/4n²)) / (1 + z²/n),   p = successes / n

Twenty out of twenty is "at least 84 %", not "100 %".
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import sqrt

from domain.actions import Effect
from domain.brakes import TrackRecord

Z = 1.96
ENOUGH = 20
"""Fewer executions than this prove nothing."""
GOOD = 0.80
"""The lower bound that verified and approved shares must reach before anything is proposed to be allowed."""
POOR = 0.90
"""Where the upper bound of the verified share is below this, and there were FEW executions at least, asking is proposed."""
FEW = 5


@dataclass(frozen=True)
class Share:
    """`successes` of `n`, with the bounds of Wilson's interval."""

    successes: int
    n: int

    @property
    def lower(self) -> float:
        """At least this, as far as the counts can tell; 0 where there are none."""
        return 0.0 if self.successes == 0 else _wilson(self.successes, self.n, -1)

    @property
    def upper(self) -> float:
        """At most this; 1 where there are none."""
        return 1.0 if self.successes == self.n else _wilson(self.successes, self.n, 1)

    def __str__(self) -> str:
        return f"{self.successes} of {self.n} (at least {self.lower:.0%})"


@dataclass(frozen=True)
class Standing:
    """A record and what follows from it: `allow` or `ask` is proposed, or nothing; `why` says on what grounds."""

    record: TrackRecord
    proposal: str
    why: str


def verified(record: TrackRecord) -> Share:
    """Executions whose effect held and was not taken back, of all."""
    return Share(record.verified, record.executed)


def agreed(record: TrackRecord) -> Share:
    """Questions that people answered with the yes that was proposed, of all that they answered."""
    return Share(record.approved, record.approved + record.edited + record.denied)


def standings(records: Iterable[TrackRecord], unasked: frozenset[tuple[str, str]] = frozenset()) -> list[Standing]:
    """What each record says. `unasked` are the (tool, environment) in which policy has allowed something without asking."""
    return [_standing(record, (record.tool, record.environment) in unasked) for record in records]


def _standing(record: TrackRecord, unasked: bool) -> Standing:
    shown, yes = verified(record), agreed(record)
    if unasked and (record.reverted or (shown.n >= FEW and shown.upper < POOR)):
        taken_back = f", {record.reverted} taken back" if record.reverted else ""
        why = f"verified {shown.successes} of {shown.n} (at most {shown.upper:.0%}){taken_back}"
        return Standing(record, "ask", why)
    why = _not_yet(record, shown, yes)
    if why:
        return Standing(record, "", why)
    return Standing(record, "allow", f"verified {shown}, approved as proposed {yes}, none taken back")


def _not_yet(record: TrackRecord, shown: Share, yes: Share) -> str:
    """Why nothing is proposed to be allowed; empty where it is."""
    if record.effect != Effect.WRITE.value:
        return "what destroys always asks"
    if not yes.n:
        return "people were not asked"
    if record.reverted:
        return f"{record.reverted} of {shown.n} were taken back"
    if shown.n < ENOUGH:
        return f"{shown.n} executions are too few to tell; {ENOUGH} would do"
    if shown.lower < GOOD:
        return f"verified {shown}, and {GOOD:.0%} is asked for"
    if yes.lower < GOOD:
        return f"approved as proposed {yes}, and {GOOD:.0%} is asked for"
    return ""


def _wilson(successes: int, n: int, side: int) -> float:
    p, square = successes / n, Z * Z
    middle = p + square / (2 * n)
    spread = Z * sqrt(p * (1 - p) / n + square / (4 * n * n))
    return min(1.0, max(0.0, (middle + side * spread) / (1 + square / n)))
