"""Samples made small enough to read, keep and show: min, max and last per stretch of time. Pure.

Values stay the strings that Prometheus sent; only comparing them makes numbers of them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

MAX_LABEL = 120
_UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]")
_ROWS = 12  # stretches of one series that the model is shown
_SHOWN = 8  # series that the model is shown in full
Sample = tuple[float, str]


def moment(seconds: float) -> str:
    """A sample's time, RFC 3339 in UTC to the second."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def clean(text: Any, most: int = MAX_LABEL) -> str:
    """Text that others wrote, on one line and cut: it is data, and cannot draw its own lines."""
    line = _UNSEEN.sub(" ", str(text))
    return line if len(line) <= most else line[: most - 1] + "…"


def labels_of(metric: Any) -> dict[str, str]:
    """A series' labels, its name among them, sorted."""
    given = metric if isinstance(metric, Mapping) else {}
    return {clean(name, 60): clean(value) for name, value in sorted(given.items())}


def samples_of(values: Any) -> list[Sample]:
    """(time, value) pairs; what has another shape is left out."""
    return [(float(pair[0]), str(pair[1])) for pair in (values if isinstance(values, list) else ()) if _is_sample(pair)]


def _is_sample(pair: Any) -> bool:
    if not isinstance(pair, list) or len(pair) != 2 or not isinstance(pair[0], int | float):
        return False
    return _number(pair[1]) is not None


def summary(samples: Sequence[Sample]) -> dict[str, str]:
    """First, last, smallest and largest with their times; NaN counts as neither small nor large."""
    if not samples:
        return {}
    comparable = [sample for sample in samples if not math.isnan(_value(sample))] or list(samples[-1:])
    named = {
        "first": samples[0],
        "last": samples[-1],
        "min": min(comparable, key=_value),
        "max": max(comparable, key=_value),
    }
    return {
        key: value for name, (at, text) in named.items() for key, value in ((name, text), (f"{name}_at", moment(at)))
    }


def stretches(samples: Sequence[Sample], start: float, width: float) -> list[dict[str, str]]:
    """Min, max and last of each stretch of `width` seconds from `start`; stretches without a sample are left out."""
    grouped: dict[int, list[Sample]] = {}
    for sample in samples:
        grouped.setdefault(int((sample[0] - start) // width), []).append(sample)
    return [
        {
            "at": moment(start + place * width),
            **{name: text for name, text in summary(group).items() if name in ("min", "max", "last")},
        }
        for place, group in sorted(grouped.items())
    ]


def crossed(samples: Sequence[Sample], operator: str, threshold: str) -> str:
    """When the condition that holds now began to hold, as far as the samples go; empty where it does not hold now."""
    limit, since = float(threshold), ""
    for at, text in reversed(samples):
        if not _COMPARE[operator](float(text), limit):
            return since
        since = moment(at)
    return since


_COMPARE = {
    ">": float.__gt__,
    "<": float.__lt__,
    ">=": float.__ge__,
    "<=": float.__le__,
    "==": float.__eq__,
    "!=": float.__ne__,
}


def holds(value: str, operator: str, threshold: str) -> bool:
    """Whether a value meets a condition."""
    number = _number(value)
    return number is not None and bool(_COMPARE[operator](number, float(threshold)))


def _number(text: Any) -> float | None:
    try:
        return float(text)
    except (TypeError, ValueError):
        return None


def _value(sample: Sample) -> float:
    return float(sample[1])


# --- what the model is shown ------------------------------------------------------------------------------------------


def short(text: str) -> str:
    """A value in four digits."""
    number = _number(text)
    return text if number is None or not math.isfinite(number) else f"{number:.4g}"


def named(labels: Mapping[str, str]) -> str:
    """A series as Prometheus writes it; values are quoted, whatever stands in them."""
    name = labels.get("__name__", "")
    rest = ", ".join(f"{key}={_quoted(value)}" for key, value in labels.items() if key != "__name__")
    return f"{name}{{{rest}}}" if rest else name or "{}"


def show_vector(data: Mapping[str, Any]) -> str:
    """One line per series, with what limits the answer."""
    lines = [f"{short(item.get('value', ''))}  {named(item.get('labels') or {})}" for item in data.get("series") or ()]
    return "\n".join([*_head(data), *(lines or ["no series: nothing matches now"]), *_foot(data)])


def show_range(data: Mapping[str, Any]) -> str:
    """Each series with its extremes, and some of its stretches: `time min max last`."""
    lines = list(_head(data))
    series = data.get("series") or ()
    for place, item in enumerate(series):
        extremes = [
            f"{name} {short(item.get(name, ''))} at {item.get(f'{name}_at')}" for name in ("last", "min", "max")
        ]
        since = f", {data.get('compare')} since {item['since']}" if item.get("since") else ""
        lines.append(f"{named(item.get('labels') or {})}: {', '.join(extremes)}{since}")
        if place < _SHOWN:
            lines += _table(item.get("points") or ())
    return "\n".join([*lines, *([] if series else ["no series in this time"]), *_foot(data)])


def _table(points: Sequence[Mapping[str, str]]) -> Iterable[str]:
    """The newest stretches, and evenly some of those before."""
    stride = max(1, math.ceil(len(points) / _ROWS))
    chosen = [point for place, point in enumerate(points) if (len(points) - 1 - place) % stride == 0]
    for point in chosen:
        yield f"  {point.get('at')}  {short(point.get('min', ''))} {short(point.get('max', ''))} {short(point.get('last', ''))}"


def _head(data: Mapping[str, Any]) -> Iterable[str]:
    step = (
        f", stretches of {data['bucket_s']} s from samples every {data['step_s']} s (min max last)"
        if data.get("step_s")
        else ""
    )
    unit = f", in {data['unit']}" if data.get("unit") else ""
    yield f"{data.get('query', '')}{unit}{step}"
    for metric in data.get("metrics") or ():
        yield f"{metric.get('name')}: {metric.get('type')}, {metric.get('help')}"


def _foot(data: Mapping[str, Any]) -> Iterable[str]:
    if data.get("more"):
        yield f"{data['more']} more series are left out: aggregate, or narrow the selector"
    yield from (f"Prometheus warns: {warning}" for warning in data.get("warnings") or ())


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
