"""The clock's work: the expiry sweep and the policy reload, by APScheduler. Each job may fail without stopping the others."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from apscheduler.schedulers.asyncio import AsyncIOScheduler

from bot import metrics


@dataclass(frozen=True)
class Job:
    """Something done every so many seconds; a run that is still under way is not started again."""

    name: str
    every_s: float
    work: Callable[[], Awaitable[None]]


async def _turn(job: Job) -> None:
    """One turn, measured. What it raises goes to the scheduler, which logs it and comes again."""
    with metrics.job_failures.labels(job.name).count_exceptions(), metrics.job_seconds.labels(job.name).time():
        await job.work()
    metrics.job_success.labels(job.name).set_to_current_time()


class Schedule:
    """Jobs on the running loop."""

    def __init__(self, jobs: tuple[Job, ...]) -> None:
        self._scheduler: Any = AsyncIOScheduler(timezone="UTC")
        for job in jobs:
            self._scheduler.add_job(
                partial(_turn, job),
                "interval",
                seconds=job.every_s,
                id=job.name,
                max_instances=1,
                coalesce=True,
                misfire_grace_time=None,
            )

    @property
    def running(self) -> bool:
        """Whether the clock ticks."""
        return bool(self._scheduler.running)

    def start(self) -> None:
        """Start ticking."""
        self._scheduler.start()

    def stop(self) -> None:
        """Stop; a job under way ends on its own."""
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)
