"""The built-in diagnostician's eyes: reads about one target, and findings from them that cite what was read.

An analyzer is a pure function from a Scene (what was read) to findings; `scene.look` does the reading.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from bot.analyzers.around import surroundings
from bot.analyzers.autoscalers import analyze_autoscalers
from bot.analyzers.certificates import analyze_certificates
from bot.analyzers.configuration import analyze_configuration
from bot.analyzers.creation import analyze_creation
from bot.analyzers.deployments import analyze_deployments
from bot.analyzers.drift import analyze_drift
from bot.analyzers.fields import short
from bot.analyzers.findings import claims, finding
from bot.analyzers.gateways import analyze_gateways
from bot.analyzers.ingresses import analyze_ingresses
from bot.analyzers.jobs import analyze_jobs
from bot.analyzers.known import analyze_known, recall
from bot.analyzers.limits import analyze_limits
from bot.analyzers.measured import analyze_measured, measure
from bot.analyzers.namespaces import analyze_namespaces
from bot.analyzers.network import analyze_network
from bot.analyzers.nodes import analyze_nodes
from bot.analyzers.objects import look_at
from bot.analyzers.pipelines import analyze_pipelines
from bot.analyzers.pods import analyze_pods
from bot.analyzers.probes import analyze_probes
from bot.analyzers.reading import Read, Reading
from bot.analyzers.release import analyze_release, look_at_release
from bot.analyzers.scan import scan
from bot.analyzers.scene import Scene, look
from bot.analyzers.scheduling import analyze_scheduling
from bot.analyzers.services import analyze_services
from bot.analyzers.storage import analyze_storage
from bot.analyzers.target import target_from_text
from bot.analyzers.webhooks import analyze_webhooks
from domain.actions import Target
from domain.alerts import Alert
from domain.diagnosis import Confidence, Finding
from domain.scans import CONFIGURATION

__all__ = ["ANALYZERS", "Read", "Reading", "analyze", "findings_of", "target_from_text", "too_late"]

ANALYZERS: tuple[Callable[[Scene], tuple[Finding, ...]], ...] = (
    analyze_deployments,
    analyze_pods,
    analyze_creation,
    analyze_configuration,
    analyze_scheduling,
    analyze_storage,
    analyze_probes,
    analyze_network,
    analyze_drift,
    analyze_webhooks,
    analyze_autoscalers,
    analyze_ingresses,
    analyze_gateways,
    analyze_certificates,
    analyze_limits,
    analyze_namespaces,
    analyze_services,
    analyze_nodes,
    analyze_jobs,
    analyze_pipelines,
)


async def analyze(
    target: Target,
    alert: Alert | None,
    read: Read,
    offered: Collection[str] = (),
    calendar: Mapping[str, Any] = MappingProxyType({}),
    question: str = "",
) -> tuple[Finding, ...]:
    """What is wrong with the target, causes first; empty where the target names nothing that can be looked at.

    Reads that do not depend on each other run at once. A read that fails becomes a finding, never an exception. `offered` are
    the tools that there are: of those that are not set up, such as runbooks or Prometheus, nothing is said. `calendar` are
    policy's facts of the moment, `question` is what a person asked.
    """
    if target.system == CONFIGURATION:
        found, failed = await scan(target, read, offered)
        return (*found, *unread(target, failed))
    scenes, known, measured = await asyncio.gather(
        _seen(target, alert, question, read), recall(target, alert, read, offered), measure(alert, read, offered)
    )
    release = await look_at_release(scenes, alert, question, read, offered)
    more = (
        *analyze_known(known, target),
        *analyze_measured(measured, alert, target),
        *analyze_release(release, target, calendar),
        *unread(target, (*measured.readings(), *(release.readings() if release else ()))),
    )
    return findings_of(scenes, more)


async def _seen(target: Target, alert: Alert | None, question: str, read: Read) -> tuple[Scene, ...]:
    """The scenes of a target, each with what its symptoms ask for."""
    scenes = await look(target, alert, read, question) or await look_at(target, alert, read)
    return tuple(await asyncio.gather(*(surroundings(scene, read) for scene in scenes)))


def findings_of(scenes: Iterable[Scene], more: Iterable[Finding] = ()) -> tuple[Finding, ...]:
    """The findings about scenes that were read, and more: those without stored evidence dropped, heaviest first."""
    scenes = tuple(scenes)
    found = [*(item for scene in scenes for analyzer in ANALYZERS for item in analyzer(scene)), *more]
    found += [item for scene in scenes for item in unread(scene.target, scene.readings())]
    unique = {(item.code, item.target.key, item.title): item for item in claims(found)}
    return tuple(sorted(_one_culprit(unique.values()), key=lambda item: -item.weight))


def unread(target: Target, readings: Iterable[tuple[str, Reading]]) -> list[Finding]:
    """A finding for each read that failed."""
    return [
        finding(
            "read.failed",
            target,
            f"Could not look at {what}",
            short(reading.error, 500) or "no reason was given",
            [],
            confidence=Confidence.NOT_PROVEN,
        )
        for what, reading in readings
        if not reading.ok
    ]


def too_late(target: Target, seconds: float) -> Finding:
    """What stands for findings that did not come in time: a look that was not finished is none that found nothing."""
    reading = Reading("", ok=False, error=f"It took longer than {seconds:.0f} s, and nothing of it was kept.")
    return unread(target, [("all of it", reading)])[0]


def _one_culprit(findings: Iterable[Finding]) -> list[Finding]:
    """Proposals for several workloads at once are guesses: none is kept, a person says which one is meant."""
    found = list(findings)
    culprits = {item.target.key for item in found if item.proposal}
    return [replace(item, proposal=None) for item in found] if len(culprits) > 1 else found
