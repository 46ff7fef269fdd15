"""Jobs: pods that are to end well a number of times, tried again until the back-off limit."""

from __future__ import annotations

from bot.local.cluster.objects import Deletion, Objects
from bot.local.cluster.pace import Pace, timestamp
from bot.local.cluster.recorder import Recorder
from bot.local.cluster.replicasets import is_active, is_ready, owned, pod_from
from bot.local.cluster.resources import JOBS, PODS, Obj
from bot.local.cluster.store import at, copied

COMPONENT = "job-controller"
RETRY = 1.0  # seconds at speed 1 after the first failure, doubled after each


class Jobs:
    """The Job controller. CronJobs are stored, their schedule is not run."""

    def __init__(self, objects: Objects, pace: Pace, recorder: Recorder) -> None:
        self._objects, self._store = objects, objects.store
        self._pace, self._recorder = pace, recorder

    def reconcile(self, at_: tuple[str, str]) -> None:
        """Starts the pods a job still needs, or ends it as complete or failed."""
        job = self._store.get(JOBS, *at_)
        if job is None or job["metadata"].get("deletionTimestamp") or at(job, "status.conditions"):
            return
        pods = owned(self._store, PODS, job)
        active = [pod for pod in pods if is_active(pod)]
        succeeded = sum(at(pod, "status.phase") == "Succeeded" for pod in pods)
        failed = sum(at(pod, "status.phase") == "Failed" for pod in pods)
        restarts = sum(s.get("restartCount", 0) for p in pods for s in at(p, "status.containerStatuses") or ())
        conditions: list[Obj] = []
        if succeeded >= job["spec"]["completions"]:
            conditions = [_condition("Complete", "CompletionsReached", "Reached expected number of succeeded pods")]
            self._recorder.record(job, "Normal", "Completed", "Job completed", COMPONENT)
        elif failed + restarts > job["spec"]["backoffLimit"]:
            message = "Job has reached the specified backoff limit"
            conditions = [_condition("FailureTarget", "BackoffLimitExceeded", message)]
            conditions.append(_condition("Failed", "BackoffLimitExceeded", message))
            self._recorder.record(job, "Warning", "BackoffLimitExceeded", message, COMPONENT)
            for pod in active:
                self._objects.delete(PODS, pod, Deletion())
        elif not job["spec"].get("suspend") and not self._pace.pending(("job", at_)):
            missing = min(job["spec"]["parallelism"], job["spec"]["completions"] - succeeded) - len(active)
            if missing > 0:
                wait = RETRY * 2.0 ** (failed - 1) if failed else 0.0
                self._pace.after(("job", at_), wait, lambda: self._start(at_, missing))
        counts = {"active": len(active), "ready": sum(map(is_ready, active)), "succeeded": succeeded, "failed": failed}
        self._write(job, counts, conditions)

    def _start(self, at_: tuple[str, str], count: int) -> None:
        job = self._store.get(JOBS, *at_)
        if job is None:
            return
        meta = job["metadata"]
        for _ in range(count):
            body = pod_from(job["spec"]["template"], job)
            names = {"job-name": meta["name"], "batch.kubernetes.io/job-name": meta["name"]}
            body["metadata"]["labels"] = body["metadata"].get("labels", {}) | names
            pod = self._objects.create(PODS, meta["namespace"], body, dry_run=False)
            message = f"Created pod: {pod['metadata']['name']}"
            self._recorder.record(job, "Normal", "SuccessfulCreate", message, COMPONENT)

    def _write(self, job: Obj, counts: dict[str, int], conditions: list[Obj]) -> None:
        new = copied(job)
        status: Obj = {"startTime": at(job, "status.startTime") or timestamp()}
        if conditions:
            counts |= {"active": 0, "ready": 0}
            status["conditions"] = conditions
        if conditions and conditions[0]["type"] == "Complete":
            status["completionTime"] = timestamp()
        new["status"] = status | {name: count for name, count in counts.items() if count or name == "ready"}
        self._store.update(JOBS, new)


def _condition(type_: str, reason: str, message: str) -> Obj:
    now = timestamp()
    times = {"lastProbeTime": now, "lastTransitionTime": now}
    return {"type": type_, "status": "True", "reason": reason, "message": message} | times
