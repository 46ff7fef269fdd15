"""The file of service level objectives: what it takes, and what it says of what is wrong."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from bot.tools.objectives_file import read_objectives
from domain.errors import SettingsError

GOOD = """
services:
  checkout:
    gitlab: shop/checkout
    objective: 99.9
    window: 28d
    error_ratio: |
      sum(rate(http_requests_total{service="checkout",code=~"5.."}[$window]))
        / sum(rate(http_requests_total{service="checkout"}[$window]))
    watch: 15m
    worse_by: 0.5
    canary:
      error_ratio: a[$window]
      stable_error_ratio: b[$window]
  cart: {objective: 99, error_ratio: 'c[$window]'}
"""


def read(tmp_path: Path, text: str):  # type: ignore[no-untyped-def]
    path = tmp_path / "objectives.yaml"
    path.write_text(text)
    return read_objectives(str(path))


def test_no_file_is_no_objectives() -> None:
    assert read_objectives("") == ()


def test_a_file_is_read_with_its_defaults(tmp_path: Path) -> None:
    checkout, cart = read(tmp_path, GOOD)
    assert (checkout.service, checkout.project, checkout.objective) == ("checkout", "shop/checkout", Decimal("99.9"))
    assert (checkout.watch_s, checkout.worse_by) == (900, Decimal("0.5"))
    assert "\n" not in checkout.error_ratio
    assert checkout.canary is not None
    assert (cart.window, cart.watch_s, cart.canary) == ("30d", 600, None)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (("objective: 99.9", "objective: 100"), "services.checkout.objective is percent"),
        (("objective: 99.9", "objective: high"), "services.checkout.objective is a number, not 'high'"),
        (("objective: 99.9", "objective: true"), "is a number"),
        (("objective: 99.9", "objective: .nan"), "is a number"),
        (("window: 28d", "window: a month"), "services.checkout.window: 'a month' is no length of time"),
        (("watch: 15m", "watch: 2h"), "services.checkout.watch is at most 60m"),
        (("worse_by: 0.5", "worse_by: -1"), "services.checkout.worse_by is percentage points"),
        (("a[$window]", "a[5m]"), "services.checkout.canary.error_ratio is PromQL in which"),
        (("gitlab: shop/checkout", "gitlab: checkout"), "full path, such as shop/checkout"),
        (("window: 28d", "windows: 28d"), "has no windows; it takes"),
        (("  cart:", "  Cart Service:"), "lower-case letters"),
        (("  cart: {", "  cart: {gitlab: shop/checkout, "), "two services name the project shop/checkout"),
        (("services:", "service:"), "has no service; it takes services"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(tmp_path: Path, change: tuple[str, str], sentence: str) -> None:
    with pytest.raises(SettingsError, match="AGENT_OBJECTIVES") as error:
        read(tmp_path, GOOD.replace(*change))
    assert sentence in str(error.value)


def test_a_file_that_is_not_there_or_no_yaml_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        read_objectives(str(tmp_path / "nothing.yaml"))
    with pytest.raises(SettingsError, match="is not YAML"):
        read(tmp_path, "services: {")
