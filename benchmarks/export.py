"""Evidence of a run of 500 events inside a large journal: the whole archive, with proofs, page, attestation and signatures.

The aim is one second. The journal grows by an event a second; its Merkle tree is kept as tiles where checkpoints are recorded,
as the service does, and the second figure is the worst case, a journal in which none ever was: then every event is hashed.
Verifying is timed too: by us, and by the script that goes with the archive, in a process of its own.

    python -m benchmarks.export [--events 200000] [--rounds 5] [--json]
"""

from __future__ import annotations

import argparse
import asyncio
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from benchmarks.measure import Figure, at_most, show
from domain.actions import Action, Effect, Mode, Target, digest
from domain.alerts import Alert, Incident, Severity
from domain.decisions import (
    ApprovalRequest,
    ApprovalState,
    ApprovalTerms,
    Check,
    Decision,
    ExecutionOutcome,
    Outcome,
    Verdict,
    Vote,
)
from domain.events import (
    AlertReceived,
    ApprovalRequested,
    CheckpointSigned,
    DecisionMade,
    Draft,
    Event,
    ExecutionFinished,
    ExecutionStarted,
    IncidentOpened,
    MessageSent,
    MessageWanted,
    ModelAsked,
    PolicyLoaded,
    RunFinished,
    RunStarted,
    StepPlanned,
    ToolCallFinished,
    VerificationPassed,
    VoteCast,
)
from domain.runs import Answer, Origin, RunOutcome, RunSpec, ToolCall, ToolResult
from storage import checkpoints, tiles
from storage.evidence import export
from storage.evidence.check import check_file
from storage.journal import SqliteJournal, open_journal

NOW = datetime(2026, 3, 1, tzinfo=UTC)
KEY = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
TARGET = Target("kubernetes", "production", "shop", "Deployment", "cart")
TERMS = ApprovalTerms(("approvers",))
POLICY = "4bd7ddcf" * 8
SIZE = 500


def the_run() -> list[Event]:
    """500 events: an alert, 96 turns of prompt, answer, decision and a read of 4 KB, one change, and Slack messages."""
    alert = Alert("f", True, "CartDown", "alertmanager", NOW, target=TARGET)
    incident = Incident(
        "i1", "bench", "cart is down", Severity.CRITICAL, TARGET, "g", NOW, fingerprints=("f",), firing=("f",)
    )
    spec = RunSpec("r1", "i1", Origin.ALERT, "gpt-5-mini", Mode.PROPOSE, TARGET, alert=alert)
    told: list[Event] = [
        PolicyLoaded(POLICY, ("all",)),
        AlertReceived(alert),
        IncidentOpened(incident),
        RunStarted(spec),
    ]
    for turn in range(96):
        told += _turn(turn)
        told += [MessageWanted("progress:r1", turn + 1, "C1", "", f"step {turn}", ({"type": "divider"},))]
    told += _change()
    told += [MessageSent("progress:r1", turn + 1, "C1", "1.2") for turn in range(SIZE - len(told) - 1)]
    return [*told, RunFinished(RunOutcome.REMEDIATED, "the change was executed and verified", 60_000)]


def _turn(turn: int) -> list[Event]:
    items = [{"name": f"cart-{turn}-{pod}", "ready": True, "restarts": pod, "node": "node-a"} for pod in range(40)]
    text = "\n".join(f"cart-{turn}-{pod}  1/1 ready  Running" for pod in range(40))
    call = ToolCall(f"c{turn}", "kubernetes_list", '{"namespace": "shop", "kind": "Pod"}')
    action = Action("kubernetes_list", {"namespace": "shop", "kind": "Pod"}, Effect.READ, TARGET)
    allowed = Decision(Outcome.ALLOW, "look-anywhere", "Looking changes nothing.", POLICY)
    return [
        ModelAsked(turn + 1, "gpt-5-mini", ({"role": "user", "content": "What now? " * 60},), "t" * 64, "r" * 64),
        StepPlanned(turn + 1, "gpt-5-mini", Answer("Let me look. " * 20, (call,)), 900),
        DecisionMade(call.id, action, allowed, {"args": dict(action.arguments), "calendar": {"hour": 4}, "trust": {}}),
        ToolCallFinished(ToolResult(call.id, call.tool, True, text, f"E{turn}", {"items": items}, 12)),
    ]


def _change() -> list[Event]:
    diff = "\n".join(f"{'-+ '[line % 3]}  line {line}" for line in range(40))
    action = Action("kubernetes_scale", {"name": "cart", "replicas": 6}, Effect.WRITE, TARGET, touches=3, diff=diff)
    decision = Decision(Outcome.ASK, "prod", "A change in production needs a person.", POLICY, TERMS)
    bound = digest(action, POLICY)
    request = ApprovalRequest("a1", "r1", "i1", "w1", action, bound, decision, TERMS, NOW, NOW + timedelta(minutes=30))
    vote = Vote("U1", Verdict.APPROVE, NOW, digest=bound, name="mara")
    return [
        StepPlanned(97, "gpt-5-mini", Answer("Scale it.", (ToolCall("w1", "kubernetes_scale", "{}"),)), 900),
        DecisionMade("w1", action, decision, {"args": dict(action.arguments)}),
        ApprovalRequested(request),
        VoteCast("a1", vote, ApprovalState.APPROVED),
        ExecutionStarted("x1", "w1", action, "x1", bound, "a1"),
        ExecutionFinished("x1", ExecutionOutcome.SUCCEEDED, "Scaled cart to 6.", 20),
        VerificationPassed("x1", (Check("pods ready", True, "6 of 6"),), 5000),
    ]


async def lay(path: Path, events: int) -> None:
    """A journal of so many events, one a second, the run in its middle."""
    clock = Clock()
    async with open_journal(path, "bench", clock=clock.now) as journal:
        await _noise(journal, clock, events // 2)
        for event in the_run():
            loose = isinstance(event, PolicyLoaded | MessageSent)
            shared = isinstance(event, AlertReceived | IncidentOpened)
            await journal.append(
                Draft(event, incident_id="" if loose else "i1", run_id="" if loose or shared else "r1")
            )
        await _noise(journal, clock, events - events // 2, 10_000_000)


class Clock:
    """Goes on by a second per event of others."""

    def __init__(self) -> None:
        self.at = NOW

    def now(self) -> datetime:
        return self.at


async def _noise(journal: SqliteJournal, clock: Clock, count: int, first: int = 0) -> None:
    """What others recorded: messages that Slack took among them, which have to be told from the run's."""
    for start in range(0, count, 500):
        drafts: list[Draft] = []
        for number in range(first + start, first + start + 250):
            drafts.append(Draft(MessageWanted(f"k{number}", 1, "C2", "", "something else " * 20, ())))
            drafts.append(Draft(MessageSent(f"k{number}", 1, "C2", f"{number}.1")))
        await journal.append(*drafts)
        clock.at += timedelta(seconds=len(drafts))


async def checkpoint(path: Path) -> None:
    """As the service records one: it lays the tiles."""
    note = checkpoints.fresh(path, "bench", KEY)
    size = checkpoints.parse(note).size
    with closing(sqlite3.connect(path)) as db:
        frontier = tuple(tiles.frontier(db, "bench", size).to_hex())
    async with open_journal(path, "bench") as journal:
        await journal.append(Draft(CheckpointSigned(note, size, frontier)))


def exported(path: Path, rounds: int) -> tuple[float, export.Evidence, bytes]:
    """Median seconds for the whole archive, and the last one."""
    times: list[float] = []
    for _ in range(rounds):
        began = time.perf_counter()
        evidence = export.of_reference(path, "bench", "r1", KEY, NOW)
        assert evidence is not None
        archive = evidence.archive()
        times.append(time.perf_counter() - began)
    assert evidence.events == SIZE, evidence.events
    return statistics.median(times), evidence, archive


def measured(rounds: int, events: int = 200_000) -> list[Figure]:
    """The figures."""
    with tempfile.TemporaryDirectory() as folder:
        path, zipped = Path(folder) / "agent.db", Path(folder) / "r1.zip"
        asyncio.run(lay(path, events))
        cold, _, _ = exported(path, rounds)
        asyncio.run(checkpoint(path))
        warm, evidence, archive = exported(path, rounds)
        zipped.write_bytes(archive)
        began = time.perf_counter()
        found = check_file(zipped, [KEY.public_key()])
        ours = time.perf_counter() - began
        assert found.ok, found.problem
        (Path(folder) / "verify.py").write_bytes(export.script())
        began = time.perf_counter()
        subprocess.run([sys.executable, "-I", "verify.py", "r1.zip"], cwd=folder, check=True, stdout=subprocess.DEVNULL)
        theirs = time.perf_counter() - began
        page = len(evidence.files["timeline.html"])
    return [
        at_most(f"evidence of a run of {SIZE} events among {events:,}: the archive", warm, 1, "s"),
        Figure("the same where no checkpoint was ever recorded", cold, "s"),
        Figure("its size: archive", len(archive) / 1024, "KiB"),
        Figure("its size: the page, unpacked", page / 1024, "KiB"),
        Figure("verified by us", ours, "s"),
        Figure("verified by the script, Python's start included", theirs, "s"),
    ]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    sys.exit(show(measured(options.rounds, options.events), as_json=options.json))
