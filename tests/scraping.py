"""What a service's /metrics says, read the way Prometheus reads it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from bot import metrics

PROMTOOL = shutil.which("promtool")
needs_promtool = pytest.mark.skipif(PROMTOOL is None and not os.environ.get("CI"), reason="promtool is not installed")

Series = tuple[str, frozenset[tuple[str, str]]]


@dataclass(frozen=True)
class Scrape:
    """One look at the page: `samples` by name and labels."""

    text: str
    samples: Mapping[Series, float]

    def __call__(self, name: str, **labels: str) -> float:
        """The sum of the series of a name that carry these labels; 0 where there is none. To a billionth: a counter is one
        float for the whole process, so what is added to it depends, in its last bits, on what it held before."""
        wanted = labels.items()
        return round(
            sum(
                value
                for (own, has), value in self.samples.items()
                if own == f"personal_agent_{name}" and set(wanted) <= has
            ),
            9,
        )

    def since(self, earlier: Scrape) -> Scrape:
        """What was added since an earlier look."""
        return Scrape(self.text, {key: value - earlier.samples.get(key, 0.0) for key, value in self.samples.items()})


def parsed(text: str) -> Scrape:
    families = text_string_to_metric_families(text)
    return Scrape(text, {(s.name, frozenset(s.labels.items())): s.value for f in families for s in f.samples})


def page() -> Scrape:
    """What this process would say now, without a server."""
    return parsed(metrics.exposition()[0].decode())


async def scrape(url: str) -> Scrape:
    """Over HTTP, from a running service."""
    async with aiohttp.ClientSession() as session, session.get(f"{url}/metrics") as response:
        assert response.status == 200
        assert response.content_type == "text/plain"
        return parsed(await response.text())


def promtool(*arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
    """promtool's answer; in CI it has to be there."""
    assert PROMTOOL is not None, "promtool must be there in CI: Debian's package prometheus has it"
    return subprocess.run([PROMTOOL, *arguments], input=given, capture_output=True, text=True, check=False)
