"""Alerts become incidents: one problem, one incident, one run; and nothing is kept that the disk refused."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bot.incidents import OpenIncidents, ResolvedIncidents
from bot.intake import STORM, Intake
from bot.waiting import WaitingAlerts
from domain.actions import Mode, Target
from domain.alerts import Alert, Severity
from domain.errors import JournalError
from domain.events import (
    AlertHeld,
    AlertReceived,
    AlertSuppressed,
    Draft,
    Envelope,
    IncidentOpened,
    IncidentResolved,
    RunStarted,
)
from domain.noise import MaintenanceWindow, Suppression
from domain.plane import Receipt
from storage.journal import SqliteJournal, open_journal

AT = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)


def alert(name: str = "a", group: str = "", *, firing: bool = True, **more: Any) -> Alert:
    fields: dict[str, Any] = {
        "name": "KubePodCrashLooping", "source": "alertmanager", "starts_at": AT, "severity": Severity.CRITICAL,
        "labels": {"namespace": "shop", "deployment": f"d-{group or name}"}, "summary": "it crashes",
    }  # fmt: skip
    return Alert(f"f-{name}", firing, **(fields | more), group=group)


@dataclass
class FullDisk:
    """A journal on a disk that can be full; everything else is the real one."""

    journal: SqliteJournal
    full: bool = False

    @property
    def workspace(self) -> str:
        return self.journal.workspace

    async def append(self, *drafts: Draft) -> Sequence[Envelope]:
        if self.full:
            raise JournalError("nothing was recorded: the disk is full (SQLITE_FULL)")
        return await self.journal.append(*drafts)


@dataclass
class Desk:
    journal: SqliteJournal
    disk: FullDisk
    index: OpenIncidents
    intake: Intake

    async def receive(self, *alerts: Alert) -> list[Receipt]:
        return await self.intake.receive(alerts)

    async def events(self, *kinds: type) -> list[Any]:
        return [each.event for each in await self.journal.since(0, 100_000) if isinstance(each.event, kinds)]


class Time:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = AT

    def __call__(self) -> datetime:
        return self.now

    def passes(self, **span: float) -> None:
        self.now += timedelta(**span)


@asynccontextmanager
async def desk(
    folder: Path, time: Callable[[], datetime] = lambda: datetime.now(UTC), windows: Sequence[MaintenanceWindow] = ()
) -> AsyncIterator[Desk]:
    async with open_journal(folder / "journal.db", "local", clock=time) as journal:
        disk = FullDisk(journal)
        index = OpenIncidents(await journal.incidents(open_only=True))
        intake = Intake(
            disk,  # type: ignore[arg-type]  # only what an intake uses of a journal
            index,
            channel=lambda: "C1",
            environment=lambda namespace: "production",
            model="rules",
            mode=lambda: Mode.PROPOSE,
            clock=time,
            resolved=ResolvedIncidents(await journal.resolved_since(AT - timedelta(days=1))),
            waiting=WaitingAlerts(await journal.held()),
            windows=lambda: windows,
        )
        yield Desk(journal, disk, index, intake)


async def test_a_first_alert_opens_an_incident_and_starts_a_run_on_its_target(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        [receipt] = await it.receive(alert())
        incident = await it.journal.incident(receipt.incident_id)
        run = await it.journal.run(receipt.run_id)
        assert incident is not None
        assert run is not None
        assert receipt.opened
        assert (incident.title, incident.channel, incident.firing) == ("d-a: it crashes", "C1", ("f-a",))
        assert str(run.spec.target) == "shop/deployment/d-a"
        assert run.spec.incident_id == incident.id


async def test_a_builds_label_that_is_called_like_a_workloads_does_not_change_what_the_alert_is_about(
    tmp_path: Path,
) -> None:
    build = Target("jenkins", "staging", "shop", "JenkinsJob", "deploy")
    async with desk(tmp_path) as it:
        labels = {"namespace": "payments", "deployment": "payments"}
        [receipt] = await it.receive(replace(alert(), target=build, labels=labels))
        incident = await it.journal.incident(receipt.incident_id)
        assert incident is not None
        assert incident.target == build


async def test_a_thousand_alerts_in_ten_groups_are_ten_incidents_and_ten_runs(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        for start in range(0, 1000, 50):
            await it.receive(*(alert(str(n), f"g{n % 10}") for n in range(start, start + 50)))
        assert len(it.index) == len(await it.events(IncidentOpened)) == len(await it.events(RunStarted)) == 10
        assert len(await it.events(AlertReceived)) == 1000
        assert {incident.alerts for incident in await it.journal.incidents()} == {100}


async def test_a_repeat_counts_and_starts_nothing(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        [first] = await it.receive(alert())
        [again] = await it.receive(alert())
        assert (again.incident_id, again.run_id, again.opened) == (first.incident_id, "", False)
        incident = await it.journal.incident(first.incident_id)
        assert incident is not None
        assert incident.alerts == 2


async def test_only_when_every_alert_has_ceased_is_the_incident_resolved(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        [first, _] = await it.receive(alert("a", "g"), alert("b", "g"))
        await it.receive(alert("a", "g", firing=False))
        assert await it.events(IncidentResolved) == []
        await it.receive(alert("b", "g", firing=False))
        assert [event.reason for event in await it.events(IncidentResolved)] == [
            "alertmanager says that every alert has ceased"
        ]
        assert len(it.index) == 0
        incident = await it.journal.incident(first.incident_id)
        assert incident is not None
        assert not incident.open


async def test_a_problem_that_comes_back_is_a_new_incident_with_a_run_of_its_own(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        [first] = await it.receive(alert())
        await it.receive(alert(firing=False))
        [second] = await it.receive(alert())
        assert second.opened
        assert second.incident_id != first.incident_id
        assert len(await it.events(RunStarted)) == 2


async def test_an_alert_that_ceased_before_it_was_known_is_recorded_and_opens_nothing(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        [receipt] = await it.receive(alert(firing=False))
        assert receipt.incident_id == ""
        assert len(await it.events(AlertReceived)) == 1
        assert await it.journal.incidents() == []


async def test_another_target_of_the_same_group_is_an_incident_of_its_own(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        other = replace(alert("b", "g"), labels={"namespace": "shop", "deployment": "other"})
        await it.receive(alert("a", "g"), other)
        assert len(it.index) == 2


async def test_the_newest_of_what_replaces_one_another_is_an_incident_of_its_own_and_ends_the_one_before(
    tmp_path: Path,
) -> None:
    async with desk(tmp_path) as it:
        [first], [second] = [
            await it.receive(alert(f"pipeline-{n}", "main", replaces=True, summary=f"pipeline {n} waits"))
            for n in (41, 42)
        ]
        assert first.opened
        assert second.opened
        assert first.incident_id != second.incident_id
        assert (await it.events(IncidentResolved)) == [
            IncidentResolved("alertmanager says that pipeline 42 waits takes its place")
        ]
        [again] = await it.receive(alert("pipeline-42", "main", replaces=True))
        assert (again.incident_id, again.opened) == (second.incident_id, False)
        await it.receive(alert("pipeline-42", "main", replaces=True, firing=False))
        assert len(it.index) == 0
        [third] = await it.receive(alert("pipeline-43", "main", replaces=True))
        assert third.opened, "what was resolved a moment ago was another matter"


async def test_a_refused_delivery_leaves_open_what_it_would_have_replaced(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        [first] = await it.receive(alert("pipeline-41", "main", replaces=True))
        it.disk.full = True
        with pytest.raises(JournalError):
            await it.receive(alert("pipeline-42", "main", replaces=True))
        it.disk.full = False
        [again] = await it.receive(alert("pipeline-41", "main", replaces=True))
        assert again.incident_id == first.incident_id


async def test_after_a_restart_a_repeat_joins_what_was_open(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        [first] = await it.receive(alert("a", "g"))
    async with desk(tmp_path) as it:
        [again, joined] = await it.receive(alert("a", "g"), alert("b", "g"))
        assert again.incident_id == joined.incident_id == first.incident_id
        assert len(await it.events(IncidentOpened)) == 1


# --- a disk that refuses ----------------------------------------------------------------------------------------------


async def test_what_the_disk_refused_was_never_opened_and_opens_when_it_is_sent_again(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        it.disk.full = True
        with pytest.raises(JournalError, match="disk is full"):
            await it.receive(alert())
        assert len(it.index) == 0
        it.disk.full = False
        [receipt] = await it.receive(alert())
        assert receipt.opened
        assert len(await it.journal.incidents(open_only=True)) == 1


async def test_a_resolve_that_the_disk_refused_leaves_the_incident_open_and_closes_it_the_next_time(
    tmp_path: Path,
) -> None:
    async with desk(tmp_path) as it:
        [first] = await it.receive(alert())
        it.disk.full = True
        with pytest.raises(JournalError):
            await it.receive(alert(firing=False))
        assert it.index.get(first.incident_id) is not None
        it.disk.full = False
        await it.receive(alert(firing=False))
        assert await it.journal.incidents(open_only=True) == []


async def test_an_incident_opened_and_resolved_within_a_refused_delivery_never_was(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        it.disk.full = True
        with pytest.raises(JournalError):
            await it.receive(alert(), alert(firing=False))
        assert len(it.index) == 0
        it.disk.full = False
        [receipt] = await it.receive(alert())
        assert receipt.opened
        assert await it.journal.incident(receipt.incident_id) is not None


async def test_what_joins_after_a_refused_delivery_is_counted_once(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        [first] = await it.receive(alert("a", "g"))
        it.disk.full = True
        with pytest.raises(JournalError):
            await it.receive(alert("b", "g"))
        it.disk.full = False
        await it.receive(alert("b", "g"))
        incident = await it.journal.incident(first.incident_id)
        assert incident is not None
        assert (incident.alerts, set(incident.firing)) == (2, {"f-a", "f-b"})


# --- what waits -------------------------------------------------------------------------------------------------------


def warning(name: str = "a", *, firing: bool = True, **more: Any) -> Alert:
    return alert(name, severity=Severity.WARNING, firing=firing, **more)


async def dealt_with(it: Desk, name: str = "a") -> str:
    """An incident that was opened and resolved."""
    [receipt] = await it.receive(warning(name))
    await it.receive(warning(name, firing=False))
    return receipt.incident_id


async def test_a_repeat_waits_and_opens_one_incident_when_its_time_is_up(tmp_path: Path) -> None:
    time = Time()
    async with desk(tmp_path, time) as it:
        earlier = await dealt_with(it)
        time.passes(minutes=5)
        [receipt] = await it.receive(warning())
        assert (receipt.incident_id, receipt.repeats) == ("", earlier)
        assert receipt.held_until == AT + timedelta(minutes=15)
        assert await it.intake.release() == []
        time.passes(minutes=10)
        [released] = await it.intake.release()
        assert released.opened
        assert await it.intake.release() == []
        assert len(await it.events(IncidentOpened)) == 2
        assert await it.journal.held() == []


async def test_a_repeat_that_ceases_while_it_waits_opens_nothing_and_is_counted(tmp_path: Path) -> None:
    time = Time()
    async with desk(tmp_path, time) as it:
        await dealt_with(it)
        for _ in range(3):
            time.passes(minutes=1)
            await it.receive(warning())
            await it.receive(warning(firing=False))
        time.passes(hours=1)
        assert await it.intake.release() == []
        assert len(await it.events(IncidentOpened)) == 1
        assert len(await it.events(AlertReceived)) == 8, "not one alert is lost"
        assert [event.why for event in await it.events(AlertSuppressed)] == [Suppression.COOLDOWN] * 3
        assert await it.journal.noise(AT, time.now + timedelta(seconds=1)) == {"cooldown": 3}


async def test_an_alert_that_gets_critical_while_it_waits_opens_at_once(tmp_path: Path) -> None:
    time = Time()
    async with desk(tmp_path, time) as it:
        await dealt_with(it)
        time.passes(minutes=1)
        await it.receive(warning())
        [receipt] = await it.receive(alert("a"))
        assert receipt.opened
        run = await it.journal.run(receipt.run_id)
        assert run is not None
        assert run.spec.model == "rules"
        time.passes(hours=1)
        assert await it.intake.release() == []


async def test_what_waits_survives_a_restart(tmp_path: Path) -> None:
    time = Time()
    async with desk(tmp_path, time) as it:
        await dealt_with(it)
        await it.receive(warning())
    time.passes(minutes=20)
    async with desk(tmp_path, time) as it:
        assert it.intake.held == 1
        [released] = await it.intake.release()
        assert released.opened


async def test_a_refused_delivery_leaves_what_waits_as_it_was(tmp_path: Path) -> None:
    time = Time()
    async with desk(tmp_path, time) as it:
        await dealt_with(it)
        await it.receive(warning())
        it.disk.full = True
        for refused in (warning(firing=False), alert("a"), warning("b")):
            with pytest.raises(JournalError):
                await it.receive(refused)
        time.passes(minutes=20)
        with pytest.raises(JournalError):
            await it.intake.release()
        assert (it.intake.held, len(it.index)) == (1, 0)
        it.disk.full = False
        [released] = await it.intake.release()
        assert released.opened


async def test_maintenance_records_and_opens_only_what_still_fires_when_it_is_over(tmp_path: Path) -> None:
    time = Time()
    window = MaintenanceWindow("mnt-1", "shop", AT, AT + timedelta(hours=1), "Maria")
    async with desk(tmp_path, time, (window,)) as it:
        assert [receipt.incident_id for receipt in await it.receive(alert("a"), alert("b"))] == ["", ""]
        await it.receive(alert("b", firing=False))
        time.passes(minutes=59)
        assert await it.intake.release() == []
        time.passes(minutes=1)
        [released] = await it.intake.release()
        incident = await it.journal.incident(released.incident_id)
        assert incident is not None
        assert incident.firing == ("f-a",)
        assert [event.why for event in await it.events(AlertHeld)] == [Suppression.MAINTENANCE] * 2


# --- storms -----------------------------------------------------------------------------------------------------------


async def test_a_storm_is_a_handful_of_incidents_and_not_one_alert_is_lost(tmp_path: Path) -> None:
    time = Time()
    async with desk(tmp_path, time) as it:
        for start in range(0, 1000, 50):
            time.passes(seconds=1)
            labels = {"namespace": "shop", "node": "worker-3"}
            await it.receive(
                *(warning(str(n), labels={**labels, "deployment": f"d{n}"}) for n in range(start, start + 50))
            )
        incidents = await it.journal.incidents()
        storm = next(incident for incident in incidents if incident.id.startswith(STORM))
        assert len(incidents) == 11
        assert storm.alerts == 990
        assert len(await it.events(AlertReceived)) == 1000
        assert (await it.journal.noise(AT, time.now + timedelta(seconds=1)))["storm"] == 989
        assert len(await it.events(RunStarted)) == 10
        time.passes(seconds=30)
        [receipt] = await it.intake.release()
        run = await it.journal.run(receipt.run_id)
        assert run is not None
        assert str(run.spec.target) == "node/worker-3"
        assert "990 alerts" in run.spec.context
        assert await it.intake.release() == []
        assert len(await it.events(RunStarted)) == 11


async def test_a_storm_resolves_when_its_last_alert_ceases_and_calm_brings_incidents_back(tmp_path: Path) -> None:
    time = Time()
    async with desk(tmp_path, time) as it:
        await it.receive(*(warning(str(n)) for n in range(12)))
        await it.receive(*(warning(str(n), firing=False) for n in range(12)))
        assert [incident.open for incident in await it.journal.incidents()] == [False] * 11
        time.passes(minutes=6)
        [receipt] = await it.receive(warning("new"))
        assert receipt.opened
        assert not receipt.incident_id.startswith(STORM)


async def test_a_refused_storm_leaves_nothing_behind(tmp_path: Path) -> None:
    time = Time()
    async with desk(tmp_path, time) as it:
        it.disk.full = True
        with pytest.raises(JournalError):
            await it.receive(*(warning(str(n)) for n in range(30)))
        assert len(it.index) == 0
        it.disk.full = False
        await it.receive(*(warning(str(n)) for n in range(10)))
        assert len(it.index) == 10
        assert not any(incident.id.startswith(STORM) for incident in await it.journal.incidents())
