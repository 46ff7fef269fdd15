"""The reads: what has to be looked at for one target, in as few rounds as it takes. No judgement here."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from typing import Any

from bot.analyzers.fields import at, labels, name_of, owner_of, text, when
from bot.analyzers.problems import BACK_OFF, RESTARTED, Problem, Trouble, last_crash, problems_of
from bot.analyzers.reading import NOTHING, Read, Reading, events_of, get, listing, objects, pods_of, together
from bot.analyzers.workloads import complete, counts_of, selector_text, selects
from domain.actions import Target
from domain.alerts import Alert

LOG_LINES = 30
BUILDS = 20
CLOSE_LOOKS = 3
"""How many pods get their logs and events read: one for each kind of problem, worst first."""

WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet")
_JOB_LABEL = "job-name"
_BUILD_LINK = re.compile(r"/job/[^/\s]{1,200}/(\d{1,9})(?=[/\s>|?#]|$)")
_PIPELINE_LINK = re.compile(r"/-/pipelines/(\d{1,15})(?=[/\s>|?#]|$)")
_ENDED = frozenset({Trouble.EVICTED, Trouble.NODE_LOST, Trouble.EXITED})


@dataclass(frozen=True)
class Scene:
    """Everything that was read about one target. `logs` is keyed by pod and container, `events` and `nodes` by name."""

    target: Target
    alert: Alert | None = None
    now: datetime | None = None
    workload: Reading = NOTHING
    history: Reading = NOTHING
    pods: Reading = NOTHING
    service: Reading = NOTHING
    siblings: Reading = NOTHING
    jobs: Reading = NOTHING
    node: Reading = NOTHING
    build: Reading = NOTHING
    builds: Reading = NOTHING
    logs: Mapping[tuple[str, str], Reading] = field(default_factory=dict)
    events: Mapping[str, Reading] = field(default_factory=dict)
    nodes: Mapping[str, Reading] = field(default_factory=dict)
    around: Mapping[str, Reading] = field(default_factory=dict)
    """What stands around the target: lists by kind (`ResourceQuota`), single objects by kind and name (`Service/shop/db`)."""

    def near(self, kind: str) -> Reading:
        """A read of what stands around, NOTHING where it was not made."""
        return self.around.get(kind, NOTHING)

    @cached_property
    def own_pods(self) -> list[Mapping[str, Any]]:
        """The pods that belong to the target: a selector may match another owner's pods as well."""
        return [pod for pod in objects(self.pods) if self.target.kind not in WORKLOADS or _owned(pod, self.target)]

    @cached_property
    def problems(self) -> tuple[Problem, ...]:
        """Every problem of the target's pods; the failed tries of a Job that completed are none, nor is
        what lies about of a workload that is whole.
        """
        if self.target.kind == "Job" and any(map(complete, objects(self.jobs))):
            return ()
        found = (problem for pod in self.own_pods for problem in problems_of(pod, self.now))
        # what ended for good and has been replaced is a record, not a problem
        return tuple(one for one in found if one.trouble not in _ENDED or not self._whole)

    @property
    def _whole(self) -> bool:
        """Whether the workload has all the pods that it wants, ready."""
        if self.target.kind not in WORKLOADS or not self.workload.ok:
            return False
        have = counts_of(self.workload.data)
        return have.ready >= have.desired > 0

    def readings(self) -> tuple[tuple[str, Reading], ...]:
        """Every read that was made, with what it was of."""
        name = f"{self.target.kind} {self.target.name}"
        main = (
            (name, self.workload),
            ("the rollout history", self.history),
            ("the pods", self.pods),
            (f"Service {self.target.name}", self.service),
            ("the workloads of the namespace", self.siblings),
            ("the Jobs", self.jobs),
            (f"Node {self.target.name}", self.node),
            ("the build", self.build),
            ("the job's last builds", self.builds),
        )
        close = (
            *((f"the logs of {pod}/{container}", reading) for (pod, container), reading in self.logs.items()),
            *((f"the events of {about}", reading) for about, reading in self.events.items()),
            *((f"Node {node}", reading) for node, reading in self.nodes.items()),
            # that something beside the target does not exist is an answer
            *((_called(what), reading) for what, reading in self.around.items() if not reading.absent),
        )
        return tuple((what, reading) for what, reading in (*main, *close) if reading is not NOTHING)


async def look(target: Target, alert: Alert | None, read: Read, question: str = "") -> tuple[Scene, ...]:
    """What there is to see about a target: one scene, or several where it stands for several things.

    The number of a build counts where the alert says it, or a link in what a person asked.
    """
    if target.system == "jenkins":
        return (await _jenkins(target, alert, question, read),) if target.name else ()
    if target.system == "gitlab":
        return (await _gitlab(target, alert, question, read),) if target.name else ()
    if target.system not in ("", "kubernetes"):
        return ()  # a CI system's Job is no Job of a cluster
    match target.kind:
        case "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet":
            return (await _workload(target, alert, read),)
        case "Pod":
            return await _pod(target, alert, read)
        case "Service":
            return await _service(target, alert, read)
        case "Node":
            return (await _node(target, alert, read),)
        case "Job":
            return (await _job(target, alert, read),)
        case "CronJob":
            return await _cron_job(target, alert, read)
        case "" if target.namespace:
            return await _namespace(target, alert, read)
    return ()


async def _jenkins(target: Target, alert: Alert | None, question: str, read: Read) -> Scene:
    """The build that the alert is about, else the last one, and the job's history with the tests that failed in it."""
    job = "/".join(part for part in (target.namespace, target.name) if part)
    told = str(alert.labels.get("build", "")) if alert is not None and alert.source == "jenkins" else ""
    number = _number(told) or _linked(_BUILD_LINK, question)
    build, builds = await asyncio.gather(
        read("jenkins_build", {"job": job, "number": number}),
        read("jenkins_builds", {"job": job, "limit": BUILDS, "failed_tests": True}),
    )
    return timed(Scene(target, alert, build=build, builds=builds))


async def _gitlab(target: Target, alert: Alert | None, question: str, read: Read) -> Scene:
    """The pipeline that the alert is about, else the last one, and what became of the ref's pipelines before."""
    project = "/".join(part for part in (target.namespace, target.name) if part)
    told = alert.labels if alert is not None and alert.source == "gitlab" else {}
    ref = str(told.get("ref", ""))
    known = _number(str(told.get("pipeline", ""))) or _linked(_PIPELINE_LINK, question)
    asked = {"project": project, "pipeline": known, **({"ref": ref} if ref and not known else {})}
    history = {"project": project, "ref": ref, "limit": BUILDS, "failed_tests": True}
    if told.get("source") == "merge_request_event":  # the webhook names the branch, and the API another ref of its own
        build = await read("gitlab_pipeline", asked)
        builds = await read("gitlab_pipelines", history | {"ref": text(build.data, "ref") or ref})
    else:
        build, builds = await asyncio.gather(read("gitlab_pipeline", asked), read("gitlab_pipelines", history))
    return timed(Scene(target, alert, build=build, builds=builds))


def _number(said: str) -> int:
    return int(said) if said.isdecimal() and len(said) < 16 else 0


def _linked(link: re.Pattern[str], question: str) -> int:
    """The number that a link names, 0 where none does, or several name different ones."""
    found = set(link.findall(question))
    return _number(found.pop()) if len(found) == 1 else 0


async def _workload(target: Target, alert: Alert | None, read: Read) -> Scene:
    wants_history = target.kind == "Deployment"
    workload, history = await asyncio.gather(
        get(read, target.kind, target.namespace, target.name),
        read("kubernetes_rollout_history", {"namespace": target.namespace, "name": target.name})
        if wants_history
        else _nothing(),
    )
    if not workload.ok:
        return Scene(target, alert, workload=workload)
    pods = await pods_of(read, target.namespace, selector_text(workload.data))
    return await _closer(Scene(target, alert, workload=workload, history=history, pods=pods), read)


async def _pod(target: Target, alert: Alert | None, read: Read) -> tuple[Scene, ...]:
    pod, events = await asyncio.gather(
        get(read, "Pod", target.namespace, target.name), events_of(read, target.namespace, "Pod", target.name)
    )
    kind, owner = owner_of(pod.data)
    template_hash = labels(pod.data, "metadata", "labels").get("pod-template-hash", "")
    if pod.ok and kind == "ReplicaSet" and template_hash and owner.endswith(f"-{template_hash}"):
        name = owner.removesuffix(f"-{template_hash}")
        return (await _workload(replace(target, kind="Deployment", name=name), alert, read),)
    if pod.ok and kind in {*WORKLOADS, "Job"}:
        return await look(replace(target, kind=kind, name=owner), alert, read)
    alone = replace(pod, data={"items": [pod.data]}) if pod.ok else pod
    return (await _closer(Scene(target, alert, pods=alone, events={target.name: events}), read),)


async def _service(target: Target, alert: Alert | None, read: Read) -> tuple[Scene, ...]:
    service = await get(read, "Service", target.namespace, target.name)
    if not service.ok:  # an alert's `service` label is often the application's name, not a Service's
        for kind in ("Deployment", "StatefulSet", "DaemonSet"):
            scene = await _workload(replace(target, kind=kind), alert, read)
            if scene.workload.ok:
                return (scene,)
        return (Scene(target, alert, service=service),)
    selector = selector_text(service.data)
    if not selector:
        return (Scene(target, alert, service=service),)
    pods, siblings = await asyncio.gather(
        pods_of(read, target.namespace, selector), listing(read, "Deployment", target.namespace, "")
    )
    scene = Scene(target, alert, service=service, pods=pods, siblings=siblings)
    behind = [item for item in objects(siblings) if selects(labels(service.data, "spec", "selector"), item)]
    if len(behind) != 1:
        return (await _closer(scene, read),)
    deployment = replace(target, kind="Deployment", name=name_of(behind[0]))
    return (timed(scene), await _workload(deployment, alert, read))


async def _node(target: Target, alert: Alert | None, read: Read) -> Scene:
    node, events = await asyncio.gather(
        get(read, "Node", "", target.name),
        # events about cluster-wide objects are kept in the namespace `default`
        events_of(read, "default", "Node", target.name),
    )
    return timed(Scene(target, alert, node=node, events={target.name: events}))


async def _job(target: Target, alert: Alert | None, read: Read) -> Scene:
    job, pods = await asyncio.gather(
        get(read, "Job", target.namespace, target.name),
        pods_of(read, target.namespace, f"{_JOB_LABEL}={target.name}"),
    )
    return await _closer(Scene(target, alert, jobs=_as_list(job), pods=pods), read)


async def _cron_job(target: Target, alert: Alert | None, read: Read) -> tuple[Scene, ...]:
    cron_job, jobs = await asyncio.gather(
        get(read, "CronJob", target.namespace, target.name), listing(read, "Job", target.namespace, "")
    )
    own = [job for job in objects(jobs) if owner_of(job) == ("CronJob", target.name)]
    scene = timed(Scene(target, alert, workload=cron_job, jobs=replace(jobs, data={"items": own}) if jobs.ok else jobs))
    latest = max(own, key=lambda job: text(job, "metadata", "creationTimestamp"), default=None)
    if latest is None or not name_of(latest):
        return (scene,)
    return (scene, await _job(replace(target, kind="Job", name=name_of(latest)), alert, read))


async def _namespace(target: Target, alert: Alert | None, read: Read) -> tuple[Scene, ...]:
    kinds = ("Deployment", "StatefulSet", "DaemonSet")
    own, *found = await asyncio.gather(
        get(read, "Namespace", "", target.namespace), *(listing(read, kind, target.namespace, "") for kind in kinds)
    )
    incomplete = [
        replace(target, kind=kind, name=name_of(item))
        for kind, listed in zip(kinds, found, strict=True)
        for item in objects(listed)
        if name_of(item) and counts_of(item).ready < counts_of(item).desired
    ]
    scenes = await asyncio.gather(*(_workload(each, alert, read) for each in incomplete[:CLOSE_LOOKS]))
    whole = Scene(replace(target, kind="Namespace", name=target.namespace), alert, workload=own)
    return (timed(replace(whole, around=dict(zip(kinds, found, strict=True)))), *scenes)


async def _closer(scene: Scene, read: Read) -> Scene:
    """Logs, events and nodes of the pods with problems: one pod for each kind of problem."""
    scene = timed(scene)
    worst: dict[tuple[Trouble, str], Problem] = {}
    for problem in sorted(scene.problems, key=lambda found: -found.restarts):
        worst.setdefault((problem.trouble, problem.container), problem)
    chosen = sorted(worst.values(), key=lambda problem: list(Trouble).index(problem.trouble))[:CLOSE_LOOKS]
    about = sorted({problem.pod for problem in chosen})
    ran = {
        (p.pod, p.container): p
        for p in chosen
        if p.container
        and p.trouble in {Trouble.CRASH, Trouble.OOM, Trouble.EXITED, Trouble.NOT_READY, Trouble.STARTING}
    }
    if not chosen and (crash := last_crash(scene.own_pods, scene.now)):
        # it has recovered: its last words are all there is to say about why
        ran = {(crash.pod, crash.container): Problem(Trouble.CRASH, crash.pod, crash.container, reason=RESTARTED)}
    nodes = sorted({p.node for p in chosen if p.node and _blames_node(p)})
    events, logs, seen = await asyncio.gather(
        together(events_of(read, scene.target.namespace, "Pod", name) for name in about),
        together(_logs(read, scene.target.namespace, problem) for problem in ran.values()),
        together(get(read, "Node", "", name) for name in nodes),
    )
    scene = replace(
        scene,
        events={**scene.events, **dict(zip(about, events, strict=True))},
        logs=dict(zip(ran, logs, strict=True)),
        nodes=dict(zip(nodes, seen, strict=True)),
    )
    return timed(scene)


def _blames_node(problem: Problem) -> bool:
    if problem.trouble is Trouble.NOT_READY:
        return not problem.container  # every container is ready, and the pod is not: its node may be silent
    return problem.trouble in {Trouble.EVICTED, Trouble.TERMINATING, Trouble.NODE_LOST}


async def _logs(read: Read, namespace: str, problem: Problem) -> Reading:
    """The crashed run's lines: the previous container's where another has taken its place or waits to, else its own."""
    arguments = {"namespace": namespace, "pod": problem.pod, "container": problem.container, "tail_lines": LOG_LINES}
    return await read("kubernetes_logs", {**arguments, "previous": problem.reason in {BACK_OFF, RESTARTED}})


def log_lines(data: Any) -> list[str]:
    """The lines of a log read."""
    found = at(data, "lines")
    return [line for line in found if isinstance(line, str)] if isinstance(found, list) else []


def _owned(pod: Mapping[str, Any], target: Target) -> bool:
    kind, name = owner_of(pod)
    if target.kind != "Deployment":
        return (kind, name) == (target.kind, target.name)
    template_hash = labels(pod, "metadata", "labels").get("pod-template-hash", "")
    return kind == "ReplicaSet" and name == f"{target.name}-{template_hash}"


def _called(what: str) -> str:
    kind, _, name = what.partition("/")
    return f"{kind} {name}" if name else f"the objects of kind {kind}"


def timed(scene: Scene) -> Scene:
    """The scene with its time: when the pods were read, else the latest read. A clock would make a replay differ."""
    made = [moment for _, reading in scene.readings() if (moment := when(reading.data, "read_at"))]
    return replace(scene, now=when(scene.pods.data, "read_at") or max(made, default=None))


def _as_list(reading: Reading) -> Reading:
    return replace(reading, data={"items": [reading.data]}) if reading.ok else reading


async def _nothing() -> Reading:
    return NOTHING
