"""What hides behind good counts: one tag with two images, and containers that keep restarting."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from bot.analyzers.fields import count, items, mapping, name_of, number, plural, text, when
from bot.analyzers.findings import finding
from bot.analyzers.problems import ready
from bot.analyzers.reading import cite
from bot.analyzers.scene import WORKLOADS, Scene
from domain.diagnosis import Confidence, Finding

MANY = 5
"""Restarts below this are told by nobody."""

RATE = 1.0
"""Restarts of one container in an hour, over its pod's life, that are too many."""

LATELY = timedelta(hours=6)
Obj = Mapping[str, Any]


def analyze_drift(scene: Scene) -> tuple[Finding, ...]:
    """Digests that differ under one tag, and the restart rate."""
    if scene.target.kind not in WORKLOADS or not scene.pods.ok:
        return ()
    return (*_digests(scene), *_restarts(scene))


def _digests(scene: Scene) -> tuple[Finding, ...]:
    """A tag that was moved: pods of the same reference that run another image."""
    seen: dict[tuple[str, str], dict[str, list[Obj]]] = {}
    for pod in scene.own_pods:
        for status in items(pod, "status", "containerStatuses"):
            named, (_, at, digest) = _image(pod, status), text(status, "imageID").rpartition("@")
            if at and named and "@" not in named:
                seen.setdefault((text(status, "name"), named), {}).setdefault(digest, []).append(pod)
    return tuple(
        _drifted(scene, container, image, digests)
        for (container, image), digests in sorted(seen.items())
        if len(digests) > 1
    )


def _image(pod: Obj, status: Obj) -> str:
    own = (one for one in items(pod, "spec", "containers") if text(one, "name") == text(status, "name"))
    return text(next(own, {}), "image")


def _drifted(scene: Scene, container: str, image: str, digests: Mapping[str, list[Obj]]) -> Finding:
    troubled = {problem.pod for problem in scene.problems}
    bad = [d for d, pods in digests.items() if all(name_of(pod) in troubled for pod in pods)]
    good = [d for d, pods in digests.items() if all(ready(pod) and name_of(pod) not in troubled for pod in pods)]
    told = "; ".join(f"{digest[:19]}: {', '.join(map(name_of, pods[:3]))}" for digest, pods in sorted(digests.items()))
    guilty = bool(bad and good)
    return finding(
        "image.moved_tag" if guilty else "image.drift",
        scene.target,
        f"Tag {image} was moved: only pods with digest {bad[0][:19]} fail"
        if guilty
        else f"Pods of {scene.target.name} run {len(digests)} different images under the tag {image}",
        f"Container {container}, image {image}: {told}.",
        [cite(scene.pods, "digests of the pods' images", told)],
        healthy=not guilty,
        confidence=Confidence.LIKELY if guilty else Confidence.PROVEN,
        next_steps=["Name the image by its digest, so that every pod runs the same."],
        image=image,
        digests=sorted(digests),
    )


def _restarts(scene: Scene) -> tuple[Finding, ...]:
    """Containers that run now and were restarted often, lately enough to matter."""
    troubled = {problem.pod for problem in scene.problems}
    rates = []
    for pod in scene.own_pods:
        made = when(pod, "metadata", "creationTimestamp")
        for status in items(pod, "status", "containerStatuses"):
            times, ended = count(status, "restartCount"), when(status, "lastState", "terminated", "finishedAt")
            if name_of(pod) in troubled or times < MANY or not (scene.now and made and ended):
                continue
            hours = max((scene.now - made).total_seconds() / 3600, 1.0)
            if times / hours >= RATE and scene.now - ended <= LATELY:
                rates.append((times / hours, times, pod, status))
    if not rates:
        return ()
    rate, times, pod, status = max(rates, key=lambda found: found[0])
    last = mapping(status, "lastState", "terminated")
    code = number(last, "exitCode")
    return (
        finding(
            "pod.restarts_often",
            scene.target,
            f"{name_of(pod)}/{text(status, 'name')} restarts {rate:.1f} times an hour, {plural(times, 'restart')} so far",
            f"It runs right now. It last ended with {text(last, 'reason') or 'no reason'}, exit code "
            f"{'unknown' if code is None else code}.",
            [cite(scene.pods, f"status of pod {name_of(pod)}", plural(times, "restart"))],
            confidence=Confidence.NOT_PROVEN,
            hypotheses=[("It dies of the same thing again and again", "Read the previous container's log")],
            next_steps=[f"kubectl -n {scene.target.namespace} logs {name_of(pod)} --previous"],
            restarts=times,
        ),
    )
