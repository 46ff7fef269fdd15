"""Runs pods: pulls, starts, probes, restarts with back-off, kills; and keeps their status and logs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

from bot.local.cluster.behaviour import Behaviour, Process, behaviour_of
from bot.local.cluster.errors import bad_request
from bot.local.cluster.mounts import missing_reference, missing_volume
from bot.local.cluster.pace import Pace, timestamp
from bot.local.cluster.podstatus import Container, Run, pod_status
from bot.local.cluster.quantities import MIB, quantity
from bot.local.cluster.recorder import Recorder
from bot.local.cluster.resources import NODES, PODS, Obj
from bot.local.cluster.store import Change, Store, at, copied, key
from bot.local.cluster.written import LogKey

START, RESTART, STOP, RETRY, PROBE = 0.05, 0.15, 0.5, 1.0, 2.0  # seconds at speed 1
OOM_AFTER = 0.6
MAX_BACKOFF = 30.0
CREATING = {"waiting": {"reason": "ContainerCreating"}}
INITIALIZING = {"waiting": {"reason": "PodInitializing"}}


class Kubelet:
    """The kubelets of all nodes. `images`: how each image behaves; it may be changed at any time."""

    def __init__(self, store: Store, pace: Pace, recorder: Recorder, images: dict[str, Behaviour]) -> None:
        self._store, self._pace, self._recorder, self.images = store, pace, recorder, images
        self._runs: dict[str, Run] = {}
        self._cached: set[tuple[str, str]] = set()  # (node, image)
        self._addresses = 10
        self.written: Mapping[LogKey, tuple[str, ...]] = {}

    def on_change(self, change: Change) -> None:
        if change.resource is not PODS:
            return
        pod = change.obj
        run = self._runs.get(pod["metadata"]["uid"])
        if change.type == "DELETED":
            self._forget(pod["metadata"]["uid"])
        elif run is None:
            if at(pod, "spec.nodeName") and at(pod, "status.phase") == "Pending":
                self._begin(self._run(pod, datetime.now(UTC)))
        elif pod["metadata"].get("deletionTimestamp") and not run.stopping:
            self._stop(run)

    def adopt(self, pod: Obj, started: datetime) -> None:
        """Takes over a pod that has been running and ready since `started`."""
        run = self._run(pod, started)
        for container in run.containers:
            container.process = Process(container.behaviour, started, False, self._pace.speed)
            container.state, container.ready = {"running": {"startedAt": timestamp(started)}}, True
            self._cached.add((pod["spec"]["nodeName"], container.image))
        self._publish(run)

    def process(self, pod: Obj, container: str, *, previous: bool) -> Process:
        """What a container's log is read from; ApiError 400 in the kubelet's words when there is nothing."""
        written = self.written.get((pod["metadata"]["namespace"], pod["metadata"]["name"], container, previous))
        if written is not None:
            return Process(Behaviour(log_lines=written), datetime.now(UTC) - timedelta(minutes=1), True, 1.0)
        run, name = self._runs.get(pod["metadata"]["uid"]), pod["metadata"]["name"]
        found = next((c for c in run.containers if c.name == container), None) if run else None
        if previous:
            if found is None or found.previous is None:
                raise bad_request(f'previous terminated container "{container}" in pod "{name}" not found')
            return found.previous
        if found is None or found.process is None:
            why = at(found.state, "waiting.reason") if found else "ContainerCreating"
            why = "trying and failing to pull image" if "Image" in (why or "") else why
            raise bad_request(f'container "{container}" in pod "{name}" is waiting to start: {why}')
        return found.process

    # --- the life of a pod

    def _run(self, pod: Obj, started: datetime) -> Run:
        inits, mains = pod["spec"].get("initContainers") or [], pod["spec"]["containers"]
        waiting = INITIALIZING if inits else CREATING
        containers = [
            Container(spec, behaviour_of(spec["image"], self.images), spec in inits, dict(waiting))
            for spec in (*inits, *mains)
        ]
        self._addresses += 1
        address = f"10.42.{self._addresses // 250}.{self._addresses % 250 + 1}"
        run = self._runs[pod["metadata"]["uid"]] = Run(pod, started, address, containers)
        return run

    def _begin(self, run: Run) -> None:
        self._publish(run)
        self._after(run, "mount", START, lambda: self._mount(run))

    def _mount(self, run: Run) -> None:
        if missing := missing_volume(self._store, run.pod):
            volume, what = missing
            message = f'MountVolume.SetUp failed for volume "{volume}" : {what} not found'
            self._event(run, "Warning", "FailedMount", message)
            self._after(run, "mount", RETRY, lambda: self._mount(run))
        else:
            self._next(run)

    def _next(self, run: Run) -> None:
        """Starts the next init container, or all the others once the init containers are done."""
        for init in run.inits:
            if at(init.state, "terminated.exitCode") != 0:
                return self._pull(run, init)
        for container in run.mains:
            container.state = dict(CREATING)
            self._pull(run, container)
        return self._publish(run)

    def _pull(self, run: Run, c: Container) -> None:
        node = run.pod["spec"]["nodeName"]
        if (node, c.image) in self._cached and c.spec.get("imagePullPolicy") != "Always":
            present = f'Container image "{c.image}" already present on machine'
            self._event(run, "Normal", "Pulled", present, c)
            return self._create(run, c)
        self._event(run, "Normal", "Pulling", f'Pulling image "{c.image}"', c)
        return self._after(run, c.name, c.behaviour.pull_seconds, lambda: self._pulled(run, c))

    def _pulled(self, run: Run, c: Container) -> None:
        c.behaviour = behaviour_of(c.image, self.images)
        if c.behaviour.pull_error:
            return self._pull_failed(run, c, c.behaviour.pull_error)
        self._cached.add((run.pod["spec"]["nodeName"], c.image))
        took = f"{c.behaviour.pull_seconds:g}s"
        size = c.behaviour.size_mib * MIB
        message = (
            f'Successfully pulled image "{c.image}" in {took} ({took} including waiting). Image size: {size} bytes.'
        )
        self._event(run, "Normal", "Pulled", message, c)
        return self._create(run, c)

    def _pull_failed(self, run: Run, c: Container, error: str) -> None:
        sentence = f'rpc error: code = NotFound desc = failed to pull and unpack image "{c.image}": {error}'
        self._event(run, "Warning", "Failed", f'Failed to pull image "{c.image}": {sentence}', c)
        self._event(run, "Warning", "Failed", "Error: ErrImagePull", c)
        self._wait(run, c, "ErrImagePull", sentence)
        self._after(run, c.name, START + 0.4, lambda: self._pull_later(run, c, sentence))

    def _pull_later(self, run: Run, c: Container, sentence: str) -> None:
        back_off = f'Back-off pulling image "{c.image}"'
        self._event(run, "Normal", "BackOff", back_off, c)
        self._event(run, "Warning", "Failed", "Error: ImagePullBackOff", c)
        self._wait(run, c, "ImagePullBackOff", f"{back_off}: ErrImagePull: {sentence}")
        c.pulls += 1
        self._after(run, c.name, min(MAX_BACKOFF, 2.0**c.pulls), lambda: self._pull(run, c))

    def _create(self, run: Run, c: Container) -> None:
        if missing := missing_reference(self._store, run.pod, c.spec):
            self._event(run, "Warning", "Failed", f"Error: {missing}", c)
            self._wait(run, c, "CreateContainerConfigError", missing)
            return self._after(run, c.name, RETRY, lambda: self._create(run, c))
        self._event(run, "Normal", "Created", f"Created container: {c.name}", c)
        self._event(run, "Normal", "Started", f"Started container {c.name}", c)
        return self._start(run, c)

    def _start(self, run: Run, c: Container) -> None:
        b = c.behaviour = behaviour_of(c.image, self.images)
        limit = quantity(at(c.spec, "resources.limits.memory"))
        over = limit is not None and b.memory_mib * MIB > limit
        crashes = b.crash_exit_code is not None
        now = datetime.now(UTC)
        c.process = Process(b, now, over or crashes, self._pace.speed)
        c.state = {"running": {"startedAt": timestamp(now)}}
        if over:
            self._after(run, c.name, OOM_AFTER, lambda: self._killed_for_memory(run, c))
        elif crashes:
            code = b.crash_exit_code or 0
            self._after(run, c.name, b.crash_after, lambda: self._exited(run, c, code))
        elif c.init:
            self._after(run, c.name, b.crash_after, lambda: self._exited(run, c, 0))
        elif "readinessProbe" not in c.spec:
            c.ready = True
        else:
            self._after(run, c.name, b.ready_after, lambda: self._probe(run, c))
        self._publish(run)

    def _probe(self, run: Run, c: Container) -> None:
        if c.behaviour.dies:
            self._event(run, "Warning", "Unhealthy", f"Liveness probe failed: {c.behaviour.dies}", c)
            killing = f"Container {c.name} failed liveness probe, will be restarted"
            self._event(run, "Normal", "Killing", killing, c)
            return self._exited(run, c, 137)
        if c.behaviour.not_ready:
            self._event(run, "Warning", "Unhealthy", f"Readiness probe failed: {c.behaviour.not_ready}", c)
            return self._after(run, c.name, PROBE, lambda: self._probe(run, c))
        c.ready = True
        return self._publish(run)

    def _killed_for_memory(self, run: Run, c: Container) -> None:
        node = self._store.get(NODES, "", run.pod["spec"]["nodeName"])
        if node is not None:
            used = c.behaviour.memory_mib * 1024
            message = (
                f"Memory cgroup out of memory: Killed process {4000 + self._addresses} ({c.name})"
                f" total-vm:{used * 3}kB, anon-rss:{used}kB, file-rss:0kB, shmem-rss:0kB"
            )
            name = node["metadata"]["name"]
            self._recorder.record(node, "Warning", "OOMKilling", message, "kernel-monitor", host=name)
        self._exited(run, c, 137, "OOMKilled")

    def _exited(self, run: Run, c: Container, code: int, reason: str = "") -> None:
        now = datetime.now(UTC)
        if c.process is not None:
            c.process.ended = now
        c.ready, c.previous = c.init and code == 0, c.process
        c.state = {
            "terminated": {
                "exitCode": code,
                "reason": reason or ("Error" if code else "Completed"),
                "startedAt": at(c.state, "running.startedAt"),
                "finishedAt": timestamp(now),
                "containerID": f"containerd://{run.uid}{c.restarts:04d}",
            }
        }
        self._publish(run)
        if c.init and code == 0:
            self._after(run, c.name, START, lambda: self._next(run))
        elif self._restarts(run, c, code):
            again = self._restart if c.restarts == 0 else self._back_off
            self._after(run, c.name, RESTART, lambda: again(run, c))

    def _restarts(self, run: Run, c: Container, code: int) -> bool:
        policy = run.pod["spec"].get("restartPolicy", "Always")
        return (policy == "OnFailure" and code != 0) or policy == "Always" or (c.init and policy != "Never")

    def _back_off(self, run: Run, c: Container) -> None:
        times = c.restarts - 1
        meta = run.pod["metadata"]
        where = f"{c.name} in pod {meta['name']}_{meta['namespace']}({run.uid})"
        self._event(run, "Warning", "BackOff", f"Back-off restarting failed container {where}", c)
        c.last = c.state
        seconds = min(300, 10 * 2**times)
        shown = f"{seconds // 60}m{seconds % 60}s" if seconds >= 60 else f"{seconds}s"
        container = f"container={c.name} pod={meta['name']}_{meta['namespace']}({run.uid})"
        self._wait(run, c, "CrashLoopBackOff", f"back-off {shown} restarting failed {container}")
        self._after(run, c.name, min(MAX_BACKOFF, 2.0**times), lambda: self._restart(run, c))

    def _restart(self, run: Run, c: Container) -> None:
        if "terminated" in c.state:
            c.last = c.state
        c.restarts += 1
        self._pull(run, c)

    def _stop(self, run: Run) -> None:
        run.stopping = True
        for c in run.containers:
            self._pace.cancel((run.uid, c.name))
            if "running" in c.state:
                self._event(run, "Normal", "Killing", f"Stopping container {c.name}", c)
            c.ready = False
        self._publish(run)
        self._after(run, "stop", STOP, lambda: self._gone(run))

    def _gone(self, run: Run) -> None:
        self._store.delete(PODS, *key(run.pod))

    def _forget(self, uid: str) -> None:
        run = self._runs.pop(uid, None)
        for container in run.containers if run else ():
            self._pace.cancel((uid, container.name))
            if container.process is not None and container.process.ended is None:
                container.process.ended = datetime.now(UTC)
        for name in ("mount", "stop"):
            self._pace.cancel((uid, name))

    # --- parts

    def _after(self, run: Run, name: str, seconds: float, call: Callable[[], None]) -> None:
        self._pace.after((run.uid, name), seconds, call)

    def _wait(self, run: Run, c: Container, reason: str, message: str) -> None:
        c.state = {"waiting": {"reason": reason, "message": message}}
        self._publish(run)

    def _event(self, run: Run, type_: str, reason: str, message: str, c: Container | None = None) -> None:
        path = c.field_path if c else ""
        host = run.pod["spec"]["nodeName"]
        self._recorder.record(run.pod, type_, reason, message, "kubelet", host=host, field=path)

    def _publish(self, run: Run) -> None:
        """Writes the pod's status as it is now."""
        present = self._store.get(PODS, *key(run.pod))
        if present is None or present["metadata"]["uid"] != run.uid:
            return
        new = copied(present)
        new["status"] = pod_status(run, present.get("status") or {})
        self._store.update(PODS, new)
