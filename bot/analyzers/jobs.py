"""Jobs and CronJobs: failed for good, still trying, done after some tries, or suspended."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bot.analyzers.fields import clock, condition, count, mapping, number, plural, short, text, when
from bot.analyzers.findings import finding
from bot.analyzers.reading import cite, objects
from bot.analyzers.scene import Scene
from bot.analyzers.workloads import complete
from domain.diagnosis import Confidence, Evidence, Finding

_WHY = {
    "BackoffLimitExceeded": "it used up its retries",
    "DeadlineExceeded": "it ran out of time",
    "PodFailurePolicy": "its pod failure policy ended it",
    "FailedIndexes": "some of its indexes failed",
    "MaxFailedIndexesExceeded": "too many of its indexes failed",
}


def analyze_jobs(scene: Scene) -> tuple[Finding, ...]:
    """The state of a Job, or of a CronJob's schedule; why its pods failed is for the analyzer of pods."""
    if scene.target.kind == "CronJob" and scene.workload.ok:
        return (_cron_job(scene),)
    jobs = objects(scene.jobs)
    return (_job(scene, jobs[0]),) if scene.target.kind == "Job" and jobs else ()


def _job(scene: Scene, job: Mapping[str, Any]) -> Finding:
    failed, limit = count(job, "status", "failed"), number(job, "spec", "backoffLimit")
    tries = f"{plural(failed, 'failed pod')}, backoff limit {6 if limit is None else limit}"
    cited = [cite(scene.jobs, f"status of Job {scene.target.name}", tries)]
    if complete(job):
        return _complete(scene, job, failed, cited)
    if text(condition(job, "Failed"), "status") == "True":
        return _failed(scene, job, tries, cited)
    if mapping(job, "spec").get("suspend") is True:
        title = f"Job {scene.target.name} is suspended: it starts no pods"
        steps = ["Ask who, or which queue, suspended it."]
        return finding("job.suspended", scene.target, title, "spec.suspend is true.", cited, next_steps=steps)
    if failed:
        title = f"Job {scene.target.name} is trying again after {plural(failed, 'failed pod')}"
        detail = f"{tries}; it has not given up."
        return finding("job.retrying", scene.target, title, detail, cited, confidence=Confidence.NOT_PROVEN)
    title = f"Job {scene.target.name} is running"
    started = clock(when(job, "status", "startTime"))
    detail = f"Started {started}, no pod has failed. Nothing is proposed: nothing is broken now."
    return finding("job.running", scene.target, title, detail, cited, healthy=True)


def _complete(scene: Scene, job: Mapping[str, Any], failed: int, cited: list[tuple[Evidence, ...]]) -> Finding:
    tried = f", after {plural(failed, 'failed pod')}" if failed else ""
    return finding(
        "job.complete",
        scene.target,
        f"Job {scene.target.name} is complete{tried}",
        f"Completed {clock(when(job, 'status', 'completionTime'))}. Nothing is proposed: it did its work.",
        cited,
        healthy=True,
        failed=failed,
    )


def _failed(scene: Scene, job: Mapping[str, Any], tries: str, cited: list[tuple[Evidence, ...]]) -> Finding:
    end = condition(job, "Failed")
    reason, message = text(end, "reason"), short(text(end, "message"), 300)
    return finding(
        "job.failed",
        scene.target,
        f"Job {scene.target.name} has failed: {_WHY.get(reason, reason or 'no reason was given')}",
        f"{reason or 'Failed'} at {clock(when(end, 'lastTransitionTime'))} ({tries}). {message}".rstrip(),
        cited,
        confidence=Confidence.NOT_PROVEN,
        hypotheses=[("What made its pods fail is in their log, where a pod is left", "Read the log of its last pod")],
        next_steps=["Correct what made its pods fail, then create the Job anew: a failed Job does not start again."],
        reason=reason,
    )


def _cron_job(scene: Scene) -> Finding:
    data, name = scene.workload.data, scene.target.name
    last = clock(when(data, "status", "lastScheduleTime"))
    schedule = short(text(data, "spec", "schedule"), 60)
    cited = [cite(scene.workload, f"CronJob {name}", f"schedule {schedule}, last run {last}")]
    if mapping(data, "spec").get("suspend") is True:
        return finding(
            "cron_job.suspended",
            scene.target,
            f"CronJob {name} is suspended: it starts no Jobs",
            f"spec.suspend is true, last run {last}.",
            cited,
            next_steps=["Ask who suspended it."],
        )
    good = clock(when(data, "status", "lastSuccessfulTime"))
    return finding(
        "cron_job.healthy",
        scene.target,
        f"CronJob {name} starts its Jobs",
        f"Schedule {schedule}, last run {last}, last success {good}; {plural(len(objects(scene.jobs)), 'Job')} kept.",
        cited,
        healthy=True,
    )
