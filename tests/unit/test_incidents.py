"""Alerts become incidents: one problem, one incident, one run; and nothing is kept that the disk refused."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from bot.incidents import OpenIncidents
from bot.intake import Intake
from domain.actions import Mode, Target
from domain.alerts import Alert, Severity
from domain.errors import JournalError
from domain.events import AlertReceived, Draft, Envelope, IncidentOpened, IncidentResolved, RunStarted
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


@asynccontextmanager
async def desk(folder: Path) -> AsyncIterator[Desk]:
    async with open_journal(folder / "journal.db", "local") as journal:
        disk = FullDisk(journal)
        index = OpenIncidents(await journal.incidents(open_only=True))
        intake = Intake(
            disk,  # type: ignore[arg-type]  # only what an intake uses of a journal
            index,
            channel=lambda: "C1",
            environment=lambda namespace: "production",
            model="rules",
            mode=lambda: Mode.PROPOSE,
            clock=lambda: datetime.now(UTC),
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
