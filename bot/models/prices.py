"""What models cost: US dollars per million tokens (input, cached input, output), as OpenAI listed them in 2025.

A model that is not listed is unpriced: its tokens are counted, and the usage says that their cost is unknown.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from domain.runs import Usage

PRICES: dict[str, tuple[float, float, float]] = {
    "gpt-5": (1.25, 0.125, 10.0),
    "gpt-5-mini": (0.25, 0.025, 2.0),
    "gpt-5-nano": (0.05, 0.005, 0.4),
    "gpt-4.1": (2.0, 0.5, 8.0),
    "gpt-4.1-mini": (0.4, 0.1, 1.6),
    "gpt-4.1-nano": (0.1, 0.025, 0.4),
    "gpt-4o": (2.5, 1.25, 10.0),
    "gpt-4o-mini": (0.15, 0.075, 0.6),
    "o4-mini": (1.1, 0.275, 4.4),
}


def usage(model: str, input_tokens: int, output_tokens: int, cached_tokens: int) -> Usage:
    """Tokens with their cost in millionths of a dollar (dollars per million tokens are micro-dollars per token)."""
    price = PRICES.get(model)
    if price is None:
        return Usage(input_tokens, output_tokens, cached_tokens, 0, priced=False)
    fresh, cached, out = price
    cost = (input_tokens - cached_tokens) * fresh + cached_tokens * cached + output_tokens * out
    return Usage(input_tokens, output_tokens, cached_tokens, round(cost))


def usage_of(value: Any, model: str) -> Usage:
    """What a completion says it used, of any shape."""
    if not isinstance(value, Mapping):
        return Usage(priced=False)
    details = value.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, Mapping) else 0
    counts = [
        count if isinstance(count, int) and 0 <= count < 2**40 else 0
        for count in (
            value.get("prompt_tokens"),
            value.get("completion_tokens"),
            cached,
        )
    ]
    return usage(model, counts[0], counts[1], min(counts[2], counts[0]))
