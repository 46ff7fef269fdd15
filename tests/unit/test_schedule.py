"""The clock: a weekly job runs at the start, and at its moment; a time that comes twice holds nobody up."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, time, timedelta

from bot.schedule import Job, Schedule, Weekly
from domain.weeks import Appointment


async def test_a_weekly_job_is_asked_at_the_start_what_was_missed() -> None:
    ran = asyncio.Event()

    async def work() -> None:
        ran.set()

    schedule = Schedule((Job("weekly message", 900.0, work, Appointment(0, time(9), "Europe/Berlin")),))
    schedule.start()
    try:
        async with asyncio.timeout(5):
            await ran.wait()
    finally:
        schedule.stop()


async def test_a_job_that_fails_does_not_stop_the_others_nor_itself() -> None:
    again = asyncio.Event()
    failures = 0

    async def fails() -> None:
        nonlocal failures
        failures += 1
        if failures == 2:
            again.set()
        raise RuntimeError("no")

    schedule = Schedule((Job("fails", 0.05, fails),))
    schedule.start()
    try:
        async with asyncio.timeout(5):
            await again.wait()
        assert schedule.running
    finally:
        schedule.stop()


def test_the_trigger_goes_forward_also_where_the_clocks_show_its_time_twice() -> None:
    trigger = Weekly(Appointment(6, time(2, 30), "Europe/Berlin"))
    now = datetime(2026, 10, 23, tzinfo=UTC)
    moments = [trigger.get_next_fire_time(None, now)]
    for _ in range(3):
        moments.append(trigger.get_next_fire_time(moments[-1], moments[-1] + timedelta(seconds=1)))
    assert moments == [datetime(2026, 10, 25, 0, 30, tzinfo=UTC)] + [
        datetime(2026, 11, day, 1, 30, tzinfo=UTC) for day in (1, 8, 15)
    ]
