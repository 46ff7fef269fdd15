"""The statistics behind the figures: each with its method in words, and an interval that assumes no distribution. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from domain.work import Basis, Figure

Z = 1.959964
"""The normal distribution's 97.5 % point: all intervals are 95 %."""

EXACT_RANKS = 1000
"""Up to this many observations the ranks of an interval are the binomial distribution's own, above it its approximation's."""

ATTENTION_CAP_MS = 15 * 60 * 1000
"""What one person's reading of one card is taken to last at most; what is longer was waiting (lunch, a night)."""

EXACT = "none: every one is a row"
ORDER = "95 %, order statistics"
WILSON = "95 %, Wilson"
TOO_FEW = "none: too few for 95 %"


@dataclass(frozen=True)
class Shape:
    """What a figure is, whatever its value."""

    title: str
    unit: str
    basis: Basis
    method: str


_COUNTED: Mapping[str, tuple[str, str, str]] = {
    "alerts": ("Alerts received", "count", "alerts taken in, repeats and all-clears included"),
    "incidents": ("Incidents opened", "count", "incidents opened in the period"),
    "repeated": ("Repeats absorbed", "count", "firing alerts that an open incident had already: no run, no message"),
    "grouped": (
        "Alerts grouped",
        "count",
        "further alerts of an open incident's group or of a storm: no run, no message",
    ),
    "ceased": (
        "Alerts that ceased unopened",
        "count",
        "held back (flapping, just resolved, maintenance) until they ceased",
    ),
    "work": ("Pieces of work", "count", "runs that ended, one unit each, without those that took a change back"),
    "executions": ("Changes executed", "count", "executions begun in the period, undos included"),
    "verified": ("Changes verified", "count", "of those, the ones whose own probe held"),
    "failed": ("Changes failed", "count", "of those: failed, or the probe did not hold, or nobody knows"),
    "reverted": ("Changes taken back", "count", "of those, the ones that an undo took back, whenever it did"),
    "approved_share": ("Proposals approved", "permille", "approved of those that people decided"),
    "held_share": (
        "Changes that held",
        "permille",
        "verified and not taken back, of all that were executed and no undo",
    ),
}
_MEASURED: Mapping[str, tuple[str, str, str]] = {
    "to_first_finding": (
        "Alert to first finding",
        "ms",
        "median from the alert's receipt to the findings, where there are any",
    ),
    "to_diagnosis": (
        "Alert to diagnosis",
        "ms",
        "median from the alert's receipt to the first stated cause: a proposed change says why, else the conclusion does",
    ),
    "to_approval": (
        "Alert to approval",
        "ms",
        "median from the alert's receipt to the first approval, where there is one",
    ),
    "to_verified": (
        "Alert to verified",
        "ms",
        "median from the alert's receipt to the last probe that held, without what failed or was taken back",
    ),
    "to_answer": ("Question to answer", "ms", "median from a person's question to the first stated cause"),
    "alert_age": (
        "Age of an alert at its receipt",
        "ms",
        "median from the monitor's own start time to the receipt, by two clocks; part of no other figure",
    ),
    "wait_p50": ("Wait for a decision, median", "ms", "median from card shown to decided, where people decided"),
    "wait_p90": ("Wait for a decision, 90 %", "ms", "90th percentile (nearest rank) of the same waits"),
    "resolved_with": (
        "Open to resolved, with a change",
        "ms",
        "median from incident opened to the monitor's all-clear, where the agent executed something",
    ),
    "resolved_without": ("Open to resolved, without", "ms", "the same, where the agent executed nothing"),
    "people": (
        "Card shown to vote",
        "ms",
        "sum over people, from card shown to their last word on it, overlaps once: an upper bound of their attention",
    ),
    "machine": ("Machine time", "ms", "sum of the runs' time without waiting for people"),
    "input_tokens": ("Tokens read by models", "tokens", "sum, as the model's server reports them"),
    "output_tokens": ("Tokens written by models", "tokens", "sum, as the model's server reports them"),
    "model_cost": ("Model cost", "micros", "sum of tokens by the price table when they were used"),
    "compute_cost": ("Computing cost", "micros", "sum of machine time by AGENT_COMPUTE_PRICE when it was used"),
}
_ESTIMATED: Mapping[str, tuple[str, str, str]] = {
    "attention": (
        "People's attention",
        "s",
        f"sum of card shown to vote, at most {ATTENTION_CAP_MS // 60_000} minutes for a person and card",
    ),
    "replaced": ("Work replaced", "s", "the baseline of each unit that replaced work and stayed good"),
    "charged": ("Work spoiled", "s", "the baseline of each unit that failed or was taken back"),
    "net": ("Net saving", "s", "replaced, less spoiled, less attention"),
    "break_even": (
        "Break-even",
        "s",
        "attention by the number of units replaced less spoiled: the net is positive where one takes longer by hand",
    ),
}
SHAPES: Mapping[str, Shape] = {
    name: Shape(title, unit, basis, method)
    for basis, shapes in (
        (Basis.COUNTED, _COUNTED),
        (Basis.MEASURED, _MEASURED),
        (Basis.ESTIMATED, _ESTIMATED),
    )
    for name, (title, unit, method) in shapes.items()
}


def figure(
    name: str,
    value: int | None,
    n: int,
    *,
    low: int | None = None,
    high: int | None = None,
    interval: str,
    note: str = "",
) -> Figure:
    """The figure of that name."""
    shape = SHAPES[name]
    return Figure(name, shape.title, value, shape.unit, n, shape.basis, shape.method, low, high, interval, note)


def count(name: str, n: int) -> Figure:
    """A number of rows."""
    return figure(name, n, n, interval=EXACT)


def total(name: str, value: int | None, n: int, note: str = "") -> Figure:
    """A sum over n rows; None where nothing of it is known."""
    return figure(name, value, n, interval=EXACT, note=note)


def wilson(part: int, whole: int) -> tuple[float, float]:
    """The 95 % interval of a proportion by Wilson's score, honest for small numbers too; 0 to 1 where there are none."""
    if not whole:
        return 0.0, 1.0
    p, z2 = part / whole, Z * Z / whole
    centre, reach = p + z2 / 2, Z * math.sqrt(p * (1 - p) / whole + z2 / (4 * whole))
    return max(0.0, (centre - reach) / (1 + z2)), min(1.0, (centre + reach) / (1 + z2))


def share(name: str, part: int, whole: int) -> Figure:
    """A proportion in thousandths, with Wilson's score interval rounded outwards."""
    if not whole:
        return figure(name, None, 0, interval=TOO_FEW)
    low, high = wilson(part, whole)
    return figure(
        name,
        round(1000 * part / whole),
        whole,
        low=math.floor(1000 * low),
        high=math.ceil(1000 * high),
        interval=WILSON,
    )


def quantile(name: str, values: Sequence[int], permille: int = 500) -> Figure:
    """A quantile of ascending values, with the two of them that hold the true one in 95 of 100 samples."""
    n = len(values)
    low, high = ranks(n, permille)
    return figure(
        name,
        at_quantile(values, permille),
        n,
        low=values[low - 1] if low else None,
        high=values[high - 1] if high else None,
        interval=ORDER if low or high else TOO_FEW,
    )


def again(figure: Figure, values: Sequence[int]) -> int | None:
    """The figure's value computed from the values of its rows; None for the break-even, which is a ratio of two sums."""
    if figure.name == "break_even":
        return None
    if figure.unit == "permille":
        return round(1000 * sum(values) / len(values)) if values else None
    if figure.unit == "ms" and figure.name not in ("people", "machine"):
        return at_quantile(sorted(values), 900 if figure.name == "wait_p90" else 500)
    return sum(values)


def at_quantile(values: Sequence[int], permille: int = 500) -> int | None:
    """Of ascending values: the median (of two middle ones their mean, rounded down), else the nearest rank."""
    n = len(values)
    if not n:
        return None
    if permille == 500:
        return (values[(n - 1) // 2] + values[n // 2]) // 2
    return values[max(0, -(-n * permille // 1000) - 1)]


@lru_cache(maxsize=4096)
def ranks(n: int, permille: int) -> tuple[int | None, int | None]:
    """The places (from 1) of a 95 % interval for a quantile; None for an end that n observations cannot give.

    The number of observations below the quantile is binomial whatever their distribution: the interval leaves at most
    2.5 % on either side.
    """
    p = permille / 1000
    if n > EXACT_RANKS:
        reach = Z * math.sqrt(n * p * (1 - p))
        low, high = math.floor(n * p - reach), math.ceil(n * p + reach) + 1
    else:
        low, high = _binomial_ranks(n, p)
    return (low if low >= 1 else None), (high if high <= n else None)


def _binomial_ranks(n: int, p: float) -> tuple[int, int]:
    """The largest place with at most 2.5 % below it, and the smallest with at most 2.5 % from it on."""
    below, low, high = 0.0, 0, n + 1
    for k in range(n + 1):
        below += math.exp(
            math.lgamma(n + 1)
            - math.lgamma(k + 1)
            - math.lgamma(n - k + 1)
            + k * math.log(p)
            + (n - k) * math.log1p(-p)
        )
        if below <= 0.025:
            low = k + 1
        if below >= 0.975:
            high = k + 1
            break
    return low, high
