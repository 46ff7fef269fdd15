"""The clock's work, by APScheduler: what is done every so often, and what is due weekly in somebody's time zone.

Each job may fail without stopping the others. Nothing that must not be lost rests on it: a job asks the journal what is due.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.base import BaseTrigger
from apscheduler.triggers.combining import OrTrigger
from apscheduler.triggers.interval import IntervalTrigger

from bot import metrics
from domain.weeks import Appointment


@dataclass(frozen=True)
class Job:
    """Something done every so many seconds; a run that is still under way is not started again.

    With `weekly` also at that moment of each week, and at the start: what came due while nobody was there is made up for.
    """

    name: str
    every_s: float
    work: Callable[[], Awaitable[None]]
    weekly: Appointment | None = None


class Weekly(BaseTrigger):  # type: ignore[misc]  # APScheduler has no types
    """Once a week. Its own CronTrigger knows wall clocks only: at a time that comes twice it fires for ever."""

    def __init__(self, appointment: Appointment) -> None:
        self._appointment = appointment

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime:
        """APScheduler's question."""
        return self._appointment.next(previous_fire_time or now)


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
            every = IntervalTrigger(seconds=job.every_s, timezone="UTC")
            at_once = {"next_run_time": datetime.now(UTC)} if job.weekly else {}
            self._scheduler.add_job(
                partial(_turn, job),
                OrTrigger([Weekly(job.weekly), every]) if job.weekly else every,
                id=job.name,
                max_instances=1,
                coalesce=True,
                misfire_grace_time=None,
                **at_once,
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
