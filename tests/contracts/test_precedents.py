"""Earlier incidents alike: by alert, target and words; what became of them; what makes nothing alike."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from domain.actions import Action, Effect, Mode, Target
from domain.alerts import Alert, Incident, Severity
from domain.decisions import Check, ExecutionOutcome
from domain.diagnosis import Confidence, Diagnosis
from domain.events import (
    DiagnosisConcluded,
    Draft,
    ExecutionFinished,
    ExecutionStarted,
    FeedbackGiven,
    IncidentOpened,
    IncidentResolved,
    RunFinished,
    RunStarted,
    VerificationPassed,
)
from domain.feedback import FeedbackCategory, FeedbackVerdict
from domain.memory import words_of
from domain.runs import Origin, RunOutcome, RunSpec
from storage.journal import SqliteJournal, open_journal
from tests.contracts.journal_samples import NOON

CHECKOUT = Target("kubernetes", "production", "shop", "Deployment", "checkout")
CART = replace(CHECKOUT, name="cart")
ALERT = Alert(
    "f1", True, "KubePodCrashLooping", "alertmanager", NOON, Severity.CRITICAL, summary="restarts", target=CHECKOUT
)
MIGRATION = "The migration tax_regions did not run, so checkout exits at its start."


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[SqliteJournal]:
    async with open_journal(tmp_path / "journal.db", "W") as opened:
        yield opened


async def happened(
    journal: SqliteJournal, name: str, alert: Alert, cause: str, *, fixed: bool = False, resolved: bool = True
) -> None:
    incident = Incident(
        f"inc-{name}", "W", name, alert.severity, alert.target, "", NOON,
        firing=(f"{alert.fingerprint}-{name}",), fingerprints=(f"{alert.fingerprint}-{name}",),
    )  # fmt: skip
    spec = RunSpec(f"run-{name}", incident.id, Origin.ALERT, "rules", Mode.PROPOSE, alert.target, alert=alert)
    events = [
        IncidentOpened(incident),
        RunStarted(spec),
        DiagnosisConcluded(Diagnosis(f"{name} is broken.", cause, Confidence.PROVEN, "rules")),
    ]
    if fixed:
        action = Action("kubernetes_rollback", {}, Effect.WRITE, alert.target)
        events += [
            ExecutionStarted(f"exe-{name}", "c1", action, f"exe-{name}", "d"),  # type: ignore[list-item]
            ExecutionFinished(f"exe-{name}", ExecutionOutcome.SUCCEEDED, "rolled back"),  # type: ignore[list-item]
            VerificationPassed(f"exe-{name}", (Check("ready", passed=True),), 5),  # type: ignore[list-item]
        ]
    events.append(RunFinished(RunOutcome.DIAGNOSED, "done"))  # type: ignore[arg-type]
    if resolved:
        events.append(IncidentResolved("ceased"))  # type: ignore[arg-type]
    await journal.append(*(Draft(event, incident_id=incident.id, run_id=spec.id) for event in events))


async def test_the_same_alert_comes_first_then_the_same_rare_words_then_the_same_target(
    journal: SqliteJournal,
) -> None:
    await happened(journal, "words", replace(ALERT, fingerprint="f3", target=CART), MIGRATION)
    await happened(journal, "alert", replace(ALERT, target=CART), "The disk is full.", fixed=True)
    await happened(journal, "target", replace(ALERT, fingerprint="f2", name="Slow"), "A slow query.")
    await happened(
        journal, "other", replace(ALERT, fingerprint="f4", name="Quota", target=CART), "The quota is used up."
    )
    found = await journal.precedents(
        fingerprint="f1", target_key=CHECKOUT.key, text="the migration tax_regions did not run, checkout exits"
    )
    assert [(one.incident_id, one.alike) for one in found] == [
        ("inc-alert", "the same alert"),
        ("inc-words", "like words"),
        ("inc-target", "the same target"),
    ]
    assert (found[0].fix, found[0].outcome) == ("kubernetes_rollback on kubernetes/shop/Deployment/cart", "verified")
    assert (found[2].fix, found[2].outcome) == ("", "")


async def test_an_incident_that_is_open_is_no_precedent_of_itself(journal: SqliteJournal) -> None:
    await happened(journal, "now", ALERT, MIGRATION, resolved=False)
    assert await journal.precedents(fingerprint="f1", target_key=CHECKOUT.key, text=MIGRATION) == []


async def test_what_people_called_wrong_is_told_as_such(journal: SqliteJournal) -> None:
    await happened(journal, "a", ALERT, MIGRATION)
    word = FeedbackGiven("run-a", "U1", FeedbackVerdict.BAD, FeedbackCategory.WRONG_CAUSE, "")
    await journal.append(Draft(word, incident_id="inc-a", run_id="run-a"))
    [one] = await journal.precedents(fingerprint="f1")
    assert one.doubted


async def test_words_that_everybody_uses_make_nothing_alike(journal: SqliteJournal) -> None:
    for n in range(30):
        await happened(
            journal, f"n{n}", replace(ALERT, fingerprint=f"x{n}", target=replace(CART, name=f"s{n}")), "It crashes."
        )
    assert await journal.precedents(text="the pod of payments crashes") == []
    assert await journal.precedents(text="") == []


async def test_the_memory_folds_the_same_again(journal: SqliteJournal) -> None:
    await happened(journal, "a", ALERT, MIGRATION, fixed=True)
    before = await journal.precedents(fingerprint="f1", text=MIGRATION)
    await journal.rebuild()
    assert await journal.precedents(fingerprint="f1", text=MIGRATION) == before


def test_generated_names_and_ordinary_words_are_no_memory() -> None:
    assert words_of("The pod checkout-6f7c9d4b8d-x2x4q was OOMKilled: tax_regions 2.5.0") == (
        "oomkilled",
        "tax_regions",
    )
