"""Where in Slack an incident or a run is talked about."""

from __future__ import annotations

from collections.abc import Iterable

from domain.feedback import Quality
from domain.ports import Journal
from domain.report import Report
from handlers import kit

PROGRESS_OF = "progress:"


async def threads(journal: Journal, home: str, about: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The addresses of the threads of incidents and runs, by the id of each pair that names it; `home` is the workspace's.

    A run without an incident has its own progress message. What stands nowhere has no address.
    """
    found: dict[str, str] = {}
    for incident_id, run_id in dict.fromkeys(about):
        link = await _thread(journal, home, incident_id, run_id)
        if link:
            found[incident_id or run_id] = link
    return found


async def _thread(journal: Journal, home: str, incident_id: str, run_id: str) -> str:
    incident = await journal.incident(incident_id) if incident_id else None
    if incident is not None:
        return kit.permalink(home, incident.channel, incident.thread_ts)
    message = await journal.message(f"{PROGRESS_OF}{run_id}") if run_id else None
    return kit.permalink(home, message.channel, message.ts, message.thread_ts) if message else ""


def cases(report: Report) -> list[tuple[str, str]]:
    """The incidents and runs that a report names."""
    best, worst = report.rollup.best, report.rollup.worst
    return [
        *((case.incident_id, case.run_id) for case in (best, worst) if case),
        *((each.incident_id, each.run_id) for each in report.mishaps[:5]),
        *complaints(report.quality),
    ]


def complaints(quality: Quality) -> list[tuple[str, str]]:
    """The incidents and runs of the newest complaints that have words."""
    return [(each.incident_id, each.run_id) for each in quality.complaints if each.reason][:5]
