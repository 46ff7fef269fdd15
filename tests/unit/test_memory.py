"""A person's no stands: the same change is not asked again unless what it was said about has changed, and then it says so."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from domain.actions import Target
from domain.alerts import Incident, Severity
from domain.decisions import Approval, Verdict
from domain.diagnosis import Finding
from domain.events import Draft, FindingsReported, IncidentOpened, IncidentResolved, RunStarted, ToolCallRefused
from tests.unit.journeys import Place, calling, concluded, place, spec_of, valve

TURN = calling(("turn", '{"name": "a", "to": 1}'))
AGAIN = calling(("turn", '{"to": 1, "name": "a"}', "again"))


async def denied(spot: Place, reason: str = "not during the sale") -> Approval:
    """The run asks, a person says no."""
    await spot.advance()
    return await spot.vote(Verdict.DENY, reason=reason)


async def refusals(spot: Place) -> list[str]:
    return [event.reason for event in await spot.events(ToolCallRefused)]


async def asked(spot: Place) -> list[Approval]:
    return list(await spot.journal.approvals(pending=True))


async def another_run(spot: Place, incident_id: str, *findings: Finding) -> None:
    """A second run on the same incident."""
    await spot.journal.append(
        Draft(RunStarted(replace(spec_of("run-2"), incident_id=incident_id)), incident_id=incident_id, run_id="run-2"),
        Draft(FindingsReported(findings, 0), incident_id=incident_id, run_id="run-2"),
    )
    spot.run_id = "run-2"


async def opened(spot: Place) -> None:
    incident = Incident("inc-1", "local", "Valve a leaks", Severity.WARNING, Target(), "", spot.now())
    await spot.journal.append(Draft(IncidentOpened(incident), incident_id="inc-1"))


async def test_the_same_change_is_not_asked_again_after_a_no(tmp_path: Path) -> None:
    async with place(tmp_path, TURN, AGAIN, concluded()) as spot:
        await denied(spot)
        await spot.advance()
        [said] = await refusals(spot)
        assert said.startswith("Person U1 denied the same action on the same target: not during the sale.")
        assert await asked(spot) == []
        assert spot.plant.executed == []


async def test_it_is_asked_again_once_the_target_changed_and_the_card_says_who_said_no_and_what_changed(
    tmp_path: Path,
) -> None:
    async with place(tmp_path, TURN, AGAIN, concluded()) as spot:
        await denied(spot)
        spot.plant.version, spot.plant.positions["a"] = 7, 3
        await spot.advance()
        [again] = await asked(spot)
        assert again.request.note.startswith("Person U1 denied this at")
        assert again.request.note.endswith("(“not during the sale”). Changed since: at 0 → 3; version 1 → 7.")
        assert await refusals(spot) == []


async def test_another_change_is_not_covered_by_the_no(tmp_path: Path) -> None:
    other = calling(("turn", '{"name": "a", "to": 2}', "other"))
    async with place(tmp_path, TURN, other, concluded()) as spot:
        await denied(spot)
        await spot.advance()
        [fresh] = await asked(spot)
        assert fresh.request.note == ""


async def test_a_no_binds_later_runs_of_its_incident_until_that_is_resolved(tmp_path: Path) -> None:
    async with place(tmp_path, TURN, concluded(), AGAIN, concluded(), incident_id="inc-1") as spot:
        await opened(spot)
        await denied(spot)
        await spot.advance()
        await another_run(spot, "inc-1")
        await spot.advance()
        assert len(await refusals(spot)) == 1
        await spot.journal.append(Draft(IncidentResolved("ceased"), incident_id="inc-1"))
        spot.model.turns = [AGAIN]
        await spot.start("run-3")
        spot.run_id = "run-3"
        await spot.advance()
        assert len(await asked(spot)) == 1


async def test_a_new_finding_about_the_target_is_changed_evidence_and_one_about_another_is_not(tmp_path: Path) -> None:
    async with place(tmp_path, TURN, concluded(), AGAIN, concluded(), incident_id="inc-1") as spot:
        await opened(spot)
        await denied(spot)
        await spot.advance()
        here = replace(valve({"name": "a"}), environment="production")
        leak = Finding("valve.leak", "Valve a leaks on both sides", "", here)
        elsewhere = Finding("valve.dry", "Valve b is dry", "", replace(here, name="b"))
        well = Finding("valve.fine", "Valve a is painted", "", here, healthy=True)
        await another_run(spot, "inc-1", leak, elsewhere, well)
        await spot.advance()
        [again] = await asked(spot)
        assert again.request.note.endswith("Changed since: Valve a leaks on both sides.")
