"""The command line as a person and as CI use it: exit codes, sentences, never a traceback."""

from __future__ import annotations

import asyncio
import csv
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.stories.telling import MARA, telling

COMMANDS = (
    (), ("serve",), ("demo",), ("doctor",), ("runs",), ("replay",), ("audit",), ("audit", "verify"), ("audit", "export"),
    ("policy",), ("policy", "check"), ("policy", "explain"), ("roi",), ("slack",), ("slack", "manifest"),
    ("db",), ("db", "migrate"), ("version",),
)  # fmt: skip


def agent(*arguments: str, folder: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run the command line in a folder without a .env; whatever it does, it shows no traceback."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("AGENT_", "SLACK_", "OPENAI_"))
    }
    environment |= {"PYTHONPATH": str(Path(__file__).parents[2])} | settings
    done = subprocess.run(
        [sys.executable, "-m", "bot", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "Traceback" not in done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the database that a story left."""
    folder = tmp_path_factory.mktemp("story")

    async def tell() -> None:
        async with telling(folder) as story:
            await story.begin()
            await story.press(MARA, await story.approval())
            await story.finished()
            await story.resolved()

    asyncio.run(tell())
    return folder


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_each_command_explains_itself(command: tuple[str, ...], tmp_path: Path) -> None:
    done = agent(*command, "--help", folder=tmp_path)
    assert (done.returncode, done.stdout.startswith("usage: personal-agent")) == (0, True)


@pytest.mark.parametrize(
    ("arguments", "settings", "code", "said"),
    [
        ((), {}, 2, "command"),
        (("sevre",), {}, 2, "invalid choice"),
        (("runs",), {"AGENT_DATABSE": "x.db"}, 2, "AGENT_DATABSE is not a setting; did you mean AGENT_DATABASE?"),
        (("serve",), {}, 2, "SLACK_BOT_TOKEN is not set"),
        (("roi", "--since", "soon"), {}, 2, "'soon' is not a period; write 24h, 7d or 4w"),
        (("roi", "baseline", "none.csv"), {}, 2, "none.csv: No such file or directory"),
        (("demo", "--scenario", "flood"), {}, 2, "there is no flood; the scenarios are bad-rollout"),
        (("policy", "explain", "none.json"), {}, 2, "none.json"),
        (("runs",), {}, 1, "there is no database at personal-agent.db"),
        (("audit", "verify"), {}, 1, "there is no database at personal-agent.db"),
        (("policy", "check"), {"AGENT_POLICY": "nowhere"}, 2, "nowhere is not a folder"),
    ],
)
def test_what_cannot_be_done_is_a_sentence_and_an_exit_code(
    arguments: tuple[str, ...], settings: dict[str, str], code: int, said: str, tmp_path: Path
) -> None:
    done = agent(*arguments, folder=tmp_path, **settings)
    assert (done.returncode, said in done.stdout + done.stderr) == (code, True), done.stderr


def test_the_version_and_the_manifest_are_printed(tmp_path: Path) -> None:
    assert agent("version", folder=tmp_path).stdout.strip().count(".") == 2
    for profile in ("minimal", "private", "agent"):
        manifest = yaml.safe_load(agent("slack", "manifest", "--profile", profile, folder=tmp_path).stdout)
        assert manifest["features"]["slash_commands"][0]["command"] == "/agent"


def test_the_policy_is_checked_tested_and_explained(tmp_path: Path) -> None:
    checked = agent("policy", "check", folder=tmp_path)
    assert (checked.returncode, checked.stdout.startswith("fine: ")) == (0, True)
    assert "nobody can approve" in checked.stdout
    tested = agent("policy", "test", folder=tmp_path)
    assert (tested.returncode, "FAILED" in tested.stdout) == (0, False)
    action = {"tool": "kubernetes_scale", "args": {"namespace": "shop", "name": "web", "replicas": 51}}
    (tmp_path / "action.json").write_text(json.dumps(action))
    explained = agent("policy", "explain", "action.json", folder=tmp_path)
    assert explained.stdout.startswith("deny (rule no-huge-scale)")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "p.yaml").write_text("rules: [{id: a, decision: maybe}]")
    refused = agent("policy", "check", "--policy", "bad", folder=tmp_path)
    assert (refused.returncode, "p.yaml:1" in refused.stderr) == (1, True)


def test_runs_lists_them_and_shows_one_step_by_step(told: Path) -> None:
    listed = agent("runs", folder=told).stdout
    assert "remediated" in listed
    run = listed.split()[0]
    steps = agent("runs", run, folder=told).stdout
    for kind in ("RunStarted", "FindingsReported", "ApprovalRequested", "VoteCast", "ExecutionStarted", "RunFinished"):
        assert kind in steps
    rows = [json.loads(line) for line in agent("runs", run, "--json", folder=told).stdout.splitlines()]
    assert [row["seq"] for row in rows] == sorted(row["seq"] for row in rows)
    missing = agent("runs", "run-none", folder=told)
    assert (missing.returncode, "there is no run run-none" in missing.stderr) == (1, True)


def test_a_runbook_is_drafted_from_an_incident_and_can_be_read_again(told: Path) -> None:
    incident = next(part for part in agent("runs", "--json", folder=told).stdout.split('"') if part.startswith("inc-"))
    books = told / "books"
    books.mkdir(exist_ok=True)
    written = agent("runbook", incident, "-o", str(books / "checkout.md"), folder=told)
    assert (written.returncode, "read it before you merge it" in written.stdout) == (0, True)
    text = (books / "checkout.md").read_text()
    assert "## What fixed it" in text
    assert "`kubernetes_rollback` on shop/deployment/checkout" in text
    checked = agent("runbook", "check", folder=told, AGENT_RUNBOOKS=str(books))
    assert (checked.returncode, "name=checkout" in checked.stdout) == (0, True)
    missing = agent("runbook", "inc-none", folder=told)
    assert (missing.returncode, "there is no incident inc-none" in missing.stderr) == (1, True)
    assert agent("runbook", "check", folder=told).returncode == 2


def test_roi_separates_what_is_measured_from_what_is_estimated(told: Path) -> None:
    shown = agent("roi", folder=told).stdout
    assert shown.index("measured") < shown.index("estimated")
    assert re.search(r"Changes verified +1  n = 1", shown)
    figures = json.loads(agent("roi", "--since", "24h", "--json", folder=told).stdout)
    counted, measured = figures["counted"], figures["measured"]
    assert [counted[name]["value"] for name in ("executions", "verified", "incidents")] == [1, 1, 1]
    assert (
        measured["to_first_finding"]["value"] <= measured["to_diagnosis"]["value"] <= measured["to_approval"]["value"]
    )
    assert measured["to_approval"]["value"] < measured["to_verified"]["value"]
    assert figures["estimated"]["net"]["note"] == "remediation 35 min (assumed)"


def test_roi_shows_the_rows_behind_a_figure_writes_tables_and_draws(told: Path) -> None:
    rows = agent("roi", "--figure", "to_verified", "--csv", "rows.csv", folder=told).stdout
    assert re.search(r"Alert to verified: [\d.]+ s \(measured\)", rows)
    assert "1 row; computed from them: " in rows
    [row] = csv.DictReader((told / "rows.csv").read_text().splitlines())
    journal = [json.loads(line) for line in agent("runs", row["run"], "--json", folder=told).stdout.splitlines()]
    [unit] = [event for event in journal if event["seq"] == int(row["seq"])]
    assert str(unit["body"]["unit"]["to_verified_ms"]) == row["value"]
    wrong = agent("roi", "--figure", "to_verify", folder=told)
    assert (wrong.returncode, "did you mean to_verified?" in wrong.stderr) == (2, True)
    drawn = agent("roi", "--csv", "all.csv", "--chart", "week.png", "--json", folder=told)
    figures = {row["name"]: row for row in csv.DictReader((told / "all.csv").read_text().splitlines())}
    assert int(figures["net"]["value"]) == json.loads(drawn.stdout)["estimated"]["net"]["value"]
    assert (told / "week.png").read_bytes()[:4] == b"\x89PNG"
    nowhere = agent("roi", "--csv", "no/where.csv", folder=told)
    assert (nowhere.returncode, nowhere.stderr) == (
        2,
        "personal-agent roi: cannot write no/where.csv: No such file or directory\n",
    )


def test_old_incidents_become_the_baseline_and_a_new_setting_is_said_to_wait_for_the_service(
    told: Path, tmp_path: Path
) -> None:
    shutil.copytree(told, tmp_path / "own")
    rows = [f"2025-03-0{n}T12:00Z,2025-03-0{n}T12:{n}0Z" for n in range(1, 6)] * 2
    (tmp_path / "own" / "old.csv").write_text("\n".join(["opened,resolved", *rows]))
    done = agent("roi", "baseline", "old.csv", folder=tmp_path / "own")
    assert re.search(r"remediation +30.0 min  history, n = 10", done.stdout)
    shown = agent("roi", "--figure", "replaced", folder=tmp_path / "own", AGENT_BASELINES="diagnosis=20m")
    assert "remediation 30 min (history, n = 10)" in shown.stdout
    told_so = agent("roi", folder=tmp_path / "own", AGENT_BASELINES="diagnosis=20m").stderr
    assert told_so.startswith("AGENT_BASELINES is new")
    (tmp_path / "own" / "old.csv").write_text("opened,resolved\n2025-03-01,2025-02-01\n")
    refused = agent("roi", "baseline", "old.csv", folder=tmp_path / "own")
    assert (refused.returncode, "line 2: it was resolved before it was opened" in refused.stderr) == (1, True)
    other = agent("roi", "baseline", "old.csv", "--workspace", "T0", folder=tmp_path / "own")
    assert (other.returncode, "the database has T07ACME0001" in other.stderr) == (2, True)


def test_the_database_is_brought_up_to_date_and_is_then(tmp_path: Path) -> None:
    first = agent("db", "migrate", folder=tmp_path)
    assert (first.returncode, "applied 0001_journal.sql" in first.stdout) == (0, True)
    assert agent("db", "migrate", folder=tmp_path).stdout.strip() == "personal-agent.db is up to date"


def test_an_intact_chain_verifies_and_a_changed_row_is_named(told: Path, tmp_path: Path) -> None:
    fine = agent("audit", "verify", folder=told)
    assert (fine.returncode, "events verified, head" in fine.stdout) == (0, True)
    path = tmp_path / "copy.db"
    with sqlite3.connect(told / "personal-agent.db") as source, sqlite3.connect(path) as copy:
        source.backup(copy)
        for (trigger,) in copy.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall():
            copy.execute(f'DROP TRIGGER "{trigger}"')
        copy.execute("UPDATE event_bodies SET body = body || ' ' WHERE seq = 20")
    broken = agent("audit", "verify", "--database", str(path), folder=tmp_path)
    assert (broken.returncode, broken.stdout.startswith("BROKEN at event 20 ")) == (1, True), broken.stdout
