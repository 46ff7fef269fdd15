"""What happens in the stand-in GitLab: a pipeline that fails, and releases that wait. Each as it happens in a real one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from bot.local.gitlab import Deployment, GitLab
from bot.local.prometheus import Prometheus

ORDERS = "shop/orders"
PACE_SECONDS = 3.0
"""How long people take to see that something is theirs to do."""

_ALL = 'http_requests_total{service="orders"'

OBJECTIVES = f"""\
services:
  orders:
    gitlab: {ORDERS}
    objective: 99.5
    window: 30d
    error_ratio: sum(rate({_ALL},code=~"5.."}}[$window])) / sum(rate({_ALL}}}[$window]))
    watch: 8s
    worse_by: 1
    canary:
      error_ratio: >-
        sum(rate({_ALL},track="canary",code=~"5.."}}[$window])) / sum(rate({_ALL},track="canary"}}[$window]))
      stable_error_ratio: >-
        sum(rate({_ALL},track="stable",code=~"5.."}}[$window])) / sum(rate({_ALL},track="stable"}}[$window]))
"""
"""The operator's file: how much of the service's budget there is, and how a release is watched. A real watch takes minutes."""


@dataclass(frozen=True)
class CiScenario:
    """One story. `play` brings it about, and plays the people of GitLab in it, to its end.

    expected_tools: what has to be executed, in order. taken_back: whether the last of it takes the one before back.
    """

    name: str
    title: str
    description: str
    play: Callable[[GitLab, Prometheus], Awaitable[None]]
    expected_tools: tuple[str, ...]
    taken_back: bool = False


def _measure(metrics: Prometheus, canary: float) -> None:
    """Two in a thousand requests fail, and of those that a canary takes this share."""
    metrics.tell(_pattern(_ALL), lambda at: [({}, 0.002)])
    metrics.tell(_pattern(f'{_ALL},track="canary"'), lambda at: [({}, canary)])


def _pattern(text: str) -> str:
    return text.replace("{", r"\{")


async def _broken_test(gitlab: GitLab, metrics: Prometheus) -> None:
    """Priya breaks a test; once a merge request takes her commit back, she merges it."""
    _measure(metrics, 0.002)
    gitlab.break_build()
    requests = gitlab.projects["shop/checkout"].merge_requests
    await gitlab.until(lambda: bool(requests))
    await asyncio.sleep(PACE_SECONDS)
    await gitlab.finished(gitlab.merge(requests[-1]))


async def _flaky_test(gitlab: GitLab, metrics: Prometheus) -> None:
    """The nightly pipeline fails on a test that passed on the same commit before."""
    _measure(metrics, 0.002)
    await gitlab.finished(gitlab.flake())


async def _release(gitlab: GitLab, metrics: Prometheus) -> None:
    _measure(metrics, 0.003)
    await gitlab.finished(gitlab.release_slots())


async def _bad_canary(gitlab: GitLab, metrics: Prometheus) -> None:
    """Once the canary is taken back, Priya takes her commits back as well: a newer pipeline waits in the place of this one."""
    _measure(metrics, 0.09)
    line = await gitlab.finished(gitlab.release_slots())
    canaries = [made for made in gitlab.delivered.deployments if made.environment == "production/canary"]
    before = next(made.sha for made in reversed(canaries) if made.status == "success")
    await gitlab.until(lambda: _newest(gitlab, "production/canary").sha == line.sha)
    await gitlab.until(lambda: _newest(gitlab, "production/canary").sha == before)
    await asyncio.sleep(PACE_SECONDS)
    tree = gitlab.delivered.repository.commits[before].tree
    gone = gitlab.delivered.repository.commits[line.sha].tree.keys() - tree.keys()
    await gitlab.finished(gitlab.push(ORDERS, dict.fromkeys(gone, b""), "No delivery slots yet"))


def _newest(gitlab: GitLab, environment: str) -> Deployment:
    """The newest deployment to an environment that went well."""
    made = (each for each in gitlab.delivered.deployments if each.environment == environment)
    return max((each for each in made if each.status == "success"), key=lambda each: each.id)


CI_SCENARIOS: tuple[CiScenario, ...] = (
    CiScenario(
        "pipeline",
        "A commit breaks checkout's pipeline",
        "Priya's commit breaks a test. The agent names both, and asks for a merge request that takes the commit back.",
        _broken_test,
        ("gitlab_open_merge_request",),
    ),
    CiScenario(
        "flaky",
        "A flaky test fails the nightly pipeline",
        "A test fails that passed on the same commit an hour before. The agent proves that, and asks to run the job again.",
        _flaky_test,
        ("gitlab_retry_pipeline",),
    ),
    CiScenario(
        "release",
        "A release that policy sends through a canary",
        "A pipeline of orders waits to be deployed. Its risk calls for a canary; the canary does well, and the whole follows.",
        _release,
        ("gitlab_play_job", "gitlab_play_job"),
    ),
    CiScenario(
        "bad-canary",
        "A canary that does not do well",
        "The same release, but nine in a hundred of the canary's requests fail. The agent asks for what was there before.",
        _bad_canary,
        ("gitlab_play_job", "gitlab_play_job"),
        taken_back=True,
    ),
)
