"""Pipelines that run in time: stages in order, manual jobs that wait, retries, cancellation."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from bot.local.gitlab.errors import bad_request, forbidden
from bot.local.gitlab.model import DONE, MAINTAINER, Deployment, Job, Outcome, Pipeline, Project, Step, User, now
from bot.local.gitlab.traces import trace

Verdict = Callable[[Step, Mapping[str, bytes]], Outcome]


class Engine:
    """Runs pipelines. `verdict` says how a step ends on a tree; `changed` is called after every change of status."""

    def __init__(self, verdict: Verdict, speed: float, changed: Callable[[Pipeline, Job | None], None]) -> None:
        self._verdict, self._speed, self._changed = verdict, speed, changed
        self._pipelines, self._jobs, self._deployments = (
            itertools.count(4101),
            itertools.count(90001),
            itertools.count(701),
        )
        self._timers: dict[int, asyncio.TimerHandle] = {}
        self._held: set[str] = set()
        self._late: list[Job] = []

    def close(self) -> None:
        for timer in self._timers.values():
            timer.cancel()

    def hold(self, *names: str) -> None:
        """Jobs of these names do not end by themselves, until `let_go`."""
        self._held |= set(names)

    def let_go(self, *names: str) -> None:
        """These end now, or all that are held."""
        self._held -= set(names) or self._held
        late, self._late = self._late, []
        for job in late:
            if job.status == "running":
                self._finish(job)

    # --- what can be asked of it --------------------------------------------------------------------------------------

    def start(self, project: Project, ref: str, sha: str, user: User, source: str = "push") -> Pipeline:
        """A new pipeline, which begins at once."""
        pipeline = self._created(project, ref, sha, user, source, now())
        self._process(pipeline)
        return pipeline

    def record(self, project: Project, ref: str, sha: str, user: User, at: datetime) -> Pipeline:
        """A pipeline that ran in the past: over when this returns, and no webhook was sent."""
        pipeline, moment = self._created(project, ref, sha, user, "push", at), at + timedelta(seconds=3)
        pipeline.started_at = moment
        for stage in _stages(project):
            over = _failed(pipeline)  # a stage's jobs do not wait for one another
            for job in (job for job in pipeline.latest if job.step.stage == stage):
                if not job.step.needs or over:
                    self._deployment(job, at)
                if over:
                    job.status = "skipped"
                elif job.step.manual:
                    job.status = "created" if job.step.needs else "manual"
                else:
                    job.started_at, moment = moment, moment + timedelta(seconds=40)
                    self._ended(job, self._outcome(job), moment)
        pipeline.status, pipeline.finished_at, pipeline.updated_at = _status(pipeline), moment, moment
        return pipeline

    def record_retry(self, pipeline: Pipeline, user: User, at: datetime) -> None:
        """The failed jobs of a recorded pipeline were tried again and all went well."""
        for job in [job for job in pipeline.latest if job.status == "failed"]:
            job.retried = True
            self._deployment(self._job(pipeline, job.step, user, at), at)
        for job in pipeline.latest:
            if job.status in ("created", "skipped") and job.step.manual:
                job.status = "created" if job.step.needs else "manual"
            elif job.status in ("created", "skipped"):
                job.started_at, at = at, at + timedelta(seconds=40)
                self._ended(job, self._outcome(job), at)
        pipeline.status, pipeline.finished_at, pipeline.updated_at = _status(pipeline), at, at

    def record_play(self, pipeline: Pipeline, name: str, user: User, at: datetime) -> None:
        """A manual job of a recorded pipeline was played and went well."""
        job = next(job for job in pipeline.latest if job.name == name)
        job.user, job.started_at = user, at
        self._ended(job, self._outcome(job), at + timedelta(seconds=40))
        for other in pipeline.latest:
            if other.status == "created" and job.name in other.step.needs:
                other.status = "manual" if other.step.manual else "created"
                self._deployment(other, at)
        pipeline.status, pipeline.updated_at = _status(pipeline), job.finished_at or at

    def retry(self, pipeline: Pipeline, user: User, role: int) -> None:
        """Every failed or canceled job again that this user may run, as a new job; what was skipped waits again."""
        again = [job for job in pipeline.latest if job.status in ("failed", "canceled") and _allowed(job, role)]
        for job in again:
            self._again(job, user)
        if again:
            self._revive(pipeline)
            self._process(pipeline)

    def retry_job(self, job: Job, user: User, role: int) -> Job:
        if not _allowed(job, role):
            raise forbidden()
        if job.retried or job.status not in DONE - {"skipped"}:
            raise forbidden("Job is not retryable")
        fresh = self._again(job, user)
        self._enqueue(fresh)
        self._revive(job.pipeline)
        self._process(job.pipeline)
        return fresh

    def play(self, job: Job, user: User, variables: dict[str, str], role: int) -> Job:
        if not _allowed(job, role):
            raise forbidden()
        again = job.step.manual and not job.retried and job.status in DONE - {"skipped"}
        if job.status != "manual" and not again:
            raise bad_request("Unplayable Job")
        if variables and role < job.pipeline.project.variables_role:
            raise forbidden()
        if again:  # one that has run already is retried without the variables, and the answer shows the old one
            self.retry_job(job, user, role)
            return job
        job.user, job.variables = user, variables
        self._enqueue(job)
        self._settle(job.pipeline)
        return job

    def cancel(self, pipeline: Pipeline, role: int = MAINTAINER) -> None:
        for job in pipeline.latest:
            if job.status in ("created", "pending", "running", "waiting_for_resource", "preparing", "scheduled"):
                self.cancel_job(job, role, settle=False)
        self._settle(pipeline)

    def cancel_job(self, job: Job, role: int = MAINTAINER, *, settle: bool = True) -> None:
        """Ends a job that is not over; of one that is over GitLab says nothing either."""
        if not _may_update(job, role):
            raise forbidden()
        if job.status in DONE:
            return
        if timer := self._timers.pop(job.id, None):
            timer.cancel()
        job.status, job.finished_at = "canceled", now()
        self._changed(job.pipeline, job)
        if settle:
            self._settle(job.pipeline)

    # --- how it goes on -----------------------------------------------------------------------------------------------

    def _created(self, project: Project, ref: str, sha: str, user: User, source: str, at: datetime) -> Pipeline:
        identity = next(self._pipelines)
        pipeline = Pipeline(identity, len(project.pipelines) + 1, project, ref, sha, source, user, at, updated_at=at)
        for step in project.steps:
            self._job(pipeline, step, user, at)
        project.pipelines[identity] = pipeline
        return pipeline

    def _job(self, pipeline: Pipeline, step: Step, user: User, at: datetime) -> Job:
        job = Job(next(self._jobs), step, pipeline, user, at)
        pipeline.jobs.append(job)
        return job

    def _deployment(self, job: Job, at: datetime) -> None:
        """What GitLab keeps of a job that deploys: from when its turn comes, whether it then runs, waits or is skipped."""
        line, made = job.pipeline, job.pipeline.project.deployments
        if job.step.environment and not any(each.job is job for each in made):
            made.append(Deployment(next(self._deployments), len(made) + 1, line.project, job.step.environment,
                                   line.sha, line.ref, job.user, at, job, updated_at=at))  # fmt: skip

    def _again(self, job: Job, user: User) -> Job:
        job.retried = True
        fresh = self._job(job.pipeline, job.step, user, now())
        self._deployment(fresh, now())
        return fresh

    def _revive(self, pipeline: Pipeline) -> None:
        for job in pipeline.latest:
            if job.status == "skipped":
                job.status = "created"

    def _process(self, pipeline: Pipeline) -> None:
        """Begin what may begin: a stage whose predecessors have passed; after a failure nothing more."""
        for stage in _stages(pipeline.project):
            jobs = [job for job in pipeline.latest if job.step.stage == stage]
            for job in jobs:
                if job.status == "created":
                    self._begin(job)
            if not all(_passed(job) for job in jobs):
                break
        if _failed(pipeline):
            for job in (job for job in pipeline.latest if job.status == "created"):
                job.status = "skipped"
                self._deployment(job, now())
        self._settle(pipeline)

    def _begin(self, job: Job) -> None:
        needed = [each.status for each in job.pipeline.latest if each.name in job.step.needs]
        if set(needed) & {"failed", "canceled", "skipped"}:
            job.status = "skipped"
        elif set(needed) - {"success"}:
            return
        elif job.step.manual:
            job.status = "manual"
        else:
            self._enqueue(job)
        self._deployment(job, now())

    def _enqueue(self, job: Job) -> None:
        job.status = "pending"
        self._after(job, 0.2, self._run)

    def _run(self, job: Job) -> None:
        job.status, job.started_at = "running", now()
        job.outcome = self._outcome(job)
        job.pipeline.started_at = job.pipeline.started_at or job.started_at
        self._after(job, job.step.seconds, self._finish)
        self._changed(job.pipeline, job)
        self._settle(job.pipeline)

    def _finish(self, job: Job) -> None:
        if job.name in self._held:
            self._late.append(job)
            return
        self._ended(job, job.outcome, now())
        self._changed(job.pipeline, job)
        self._process(job.pipeline)

    def _ended(self, job: Job, outcome: Outcome, at: datetime) -> None:
        job.status, job.finished_at, job.outcome = outcome.status, at, outcome
        job.failure_reason = outcome.reason
        job.trace = trace(job, outcome)
        for made in job.pipeline.project.deployments:
            if made.job is job:
                made.updated_at = at

    def _outcome(self, job: Job) -> Outcome:
        troubles = job.pipeline.project.troubles.get(job.name)
        if troubles:
            return troubles.pop(0)
        return self._verdict(job.step, job.pipeline.project.repository.commits[job.pipeline.sha].tree)

    def _settle(self, pipeline: Pipeline) -> None:
        status = _status(pipeline)
        if status != pipeline.status:
            pipeline.status, pipeline.updated_at = status, now()
            pipeline.finished_at = now() if status in DONE else None
            self._changed(pipeline, None)

    def _after(self, job: Job, seconds: float, call: Callable[[Job], None]) -> None:
        def fire() -> None:
            self._timers.pop(job.id, None)
            call(job)

        self._timers[job.id] = asyncio.get_running_loop().call_later(seconds / self._speed, fire)


def _may_update(job: Job, role: int) -> bool:
    """On a protected branch only who may push or merge to it runs and stops jobs."""
    branch = job.pipeline.project.repository.branches.get(job.pipeline.ref)
    open_to_all = branch is None or not branch.protected or branch.developers_can_push or branch.developers_can_merge
    return open_to_all or role >= MAINTAINER


def _allowed(job: Job, role: int) -> bool:
    """Whether a job may be run by this role: its environment may be protected, or have a newer deployment already."""
    project = job.pipeline.project
    if not _may_update(job, role):
        return False
    own = next((made for made in project.deployments if made.job is job), None)
    if own is None:
        return True
    if own.environment in project.protected_environments and role < MAINTAINER:
        return False
    excepted = project.rollback_by_retry and job.status == "success"
    newer = (made for made in project.deployments if made.environment == own.environment and made.id > own.id)
    return not project.forward_only or excepted or not any(made.status == "success" for made in newer)


def _stages(project: Project) -> list[str]:
    return list(dict.fromkeys(step.stage for step in project.steps))


def _failed(pipeline: Pipeline) -> bool:
    return any(job.status == "failed" and not job.step.allow_failure for job in pipeline.latest)


def _passed(job: Job) -> bool:
    """Whether the stages after it may begin."""
    return job.status in ("success", "skipped") or (job.step.optional and job.status in ("manual", "failed"))


# GitLab's composite status: the first line whose statuses hold all that there are, then the first that there is one of
_ONLY = (
    ("skipped", {"skipped"}),
    ("success", {"success", "skipped", "ignored"}),
    ("created", {"created", "ignored"}),
    ("canceled", {"canceled", "success", "skipped", "ignored"}),
    ("pending", {"pending", "created", "skipped", "ignored"}),
)
_ANY = (("running", {"running", "pending"}), ("manual", {"manual"}), ("running", {"created"}))


def _status(pipeline: Pipeline) -> str:
    statuses = {
        "ignored" if job.step.optional and job.status in ("manual", "failed", "canceled") else job.status
        for job in pipeline.latest
    }
    for found, only in _ONLY:
        if statuses <= only:
            return found
    return next((found for found, some in _ANY if statuses & some), "failed")
