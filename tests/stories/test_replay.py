"""Replay by the command line, over what the whole service recorded: told again, nothing otherwise, nothing touched."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from bot.__main__ import main
from bot.local.model import KEY, Fault, ModelServer, call
from bot.local.scenarios import SCENARIOS
from tests.stories.telling import MARA, Story, telling
from tests.stories.test_mcp import POLICY as NOTES, SERVERS
from tests.stories.test_model import BACK, DONE, PODS, script, with_model

ROOT = Path(__file__).parents[2]
SERVED = "served"
"""The folder of a run that a served model made; the scenarios' folders are called as they are."""
POLICY = """
groups: {approvers: $AGENT_APPROVERS}
rules:
  - {id: look, decision: allow, match: {effects: [read]}, reason: Looking is free.}
  - {id: frozen, decision: deny, match: {effects: [write, destructive]}, reason: Nothing changes this week.}
"""
GUARDED = """
import io, json, os, sys
from contextlib import redirect_stdout

def refuse(event, arguments):
    network = ("socket.connect", "socket.bind", "socket.sendto", "socket.getaddrinfo", "socket.gethostbyname")
    programs = ("subprocess.Popen", "os.system", "os.exec", "os.fork", "os.posix_spawn")
    own_pair = event == "socket.__new__" and int(arguments[1]) == 1  # the event loop's, within this process
    if event in (*network, *programs) or (event == "socket.__new__" and not own_pair):
        touched.append(event)
        raise RuntimeError(f"touched: {event}")
    if event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+"):
        touched.append(str(arguments[0]))
        raise RuntimeError(f"touched: wrote {arguments[0]}")

from bot.__main__ import main
sys.addaudithook(refuse)
came, touched = [], []
for database, arguments in json.loads(sys.argv[1]):
    os.environ["AGENT_DATABASE"] = database
    with redirect_stdout(io.StringIO()) as out:
        code = main(["replay", *arguments])
    came.append([code, out.getvalue()])
print(json.dumps([came, touched]))
"""
"""Commands in a process in which no socket can be opened, no program started and no file written."""


def environment(**settings: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AGENT_", "SLACK_", "OPENAI_"))}
    return {**kept, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", "AGENT_APPROVERS": "@sre", **settings}


def guarded(commands: Sequence[tuple[Path, Sequence[str]]], **settings: str) -> tuple[list[tuple[int, str]], list[str]]:
    """Each command's exit code and what it printed; and what any of them touched."""
    asked = [[str(folder / "personal-agent.db"), list(arguments)] for folder, arguments in commands]
    done = subprocess.run(
        [sys.executable, "-c", GUARDED, json.dumps(asked)],
        env=environment(**settings),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    came, touched = json.loads(done.stdout)
    return [(code, out) for code, out in came], touched


def printed(folder: Path, *arguments: str, **settings: str) -> bytes:
    """What the command prints, byte by byte."""
    command = [sys.executable, "-m", "bot", "replay", *arguments]
    return subprocess.run(
        command, cwd=folder, env=environment(**settings), stdout=subprocess.PIPE, timeout=60, check=False
    ).stdout


async def finish(story: Story, tool: str | None, *, ends: bool = True) -> None:
    if tool:
        await story.press(MARA, await story.approval())
    await story.finished()
    if ends:
        await story.resolved()


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a folder for each scenario, and one for a run that a served model made, each with its database."""
    folder = tmp_path_factory.mktemp("replay")

    async def play(name: str, tool: str | None) -> None:
        async with telling(folder / name) as story:
            await story.begin(name)
            await finish(story, tool)

    async def served() -> None:
        answers = script(call(PODS, text="I look."), call(BACK), call(("conclude", DONE)))
        async with with_model(folder / SERVED, answers) as (story, _):
            await story.begin()
            await finish(story, "kubernetes_rollback")

    async def all_of_them() -> None:
        for name in (SERVED, *(each.name for each in SCENARIOS)):
            (folder / name).mkdir()
        await asyncio.gather(served(), *(play(each.name, each.expected_tool) for each in SCENARIOS))

    asyncio.run(all_of_them())
    return folder


@pytest.fixture
def frozen(tmp_path: Path) -> str:
    """A policy under which nothing changes."""
    (tmp_path / "frozen").mkdir()
    (tmp_path / "frozen" / "policy.yaml").write_text(POLICY)
    return str(tmp_path / "frozen")


@pytest.fixture
def here(told: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Commands of this process run in the folder of a bad rollout, with the settings of a person who looks at it."""
    for name in [name for name in os.environ if name.startswith(("AGENT_", "SLACK_", "OPENAI_"))]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(told / "bad-rollout")
    monkeypatch.setenv("AGENT_APPROVERS", "@sre")
    return told / "bad-rollout"


def test_today_s_code_makes_nothing_else_of_any_recorded_run_and_touches_nothing(told: Path) -> None:
    commands = [(told / each.name, ("run-", *how)) for each in SCENARIOS for how in (("--code",), ("--model", "rules"))]
    came, touched = guarded(commands)
    assert touched == []
    for (folder, how), (code, out) in zip(commands, came, strict=True):
        assert (code, "no difference" in out, "no output" in out) == (0, True, False), f"{folder.name} {how}: {out}"


def test_a_run_of_a_served_model_is_gone_through_again_without_asking_it(told: Path) -> None:
    [(code, out)], touched = guarded([(told / SERVED, ("run-", "--code"))])
    assert (code, "no difference" in out, touched) == (0, True, []), out


def test_the_guard_of_these_tests_sees_a_model_being_asked(told: Path) -> None:
    settings = {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": "http://127.0.0.1:9/v1"}
    [(code, _)], touched = guarded([(told / SERVED, ("run-", "--model", "other"))], **settings)
    assert (code, bool(touched)) == (1, True)


def test_two_replays_are_the_same_bytes_whatever_the_machine_is_set_to(told: Path, frozen: str) -> None:
    machines = (
        {"PYTHONHASHSEED": "1", "TZ": "Asia/Kathmandu", "LC_ALL": "C"},
        {"PYTHONHASHSEED": "77", "TZ": "America/St_Johns", "LC_ALL": "POSIX", "PYTHONIOENCODING": "latin-1"},
    )
    for arguments in (("run-",), ("run-", "--policy", frozen), ("run-", "--policy", frozen, "--json")):
        first, second = (printed(told / "bad-rollout", *arguments, **machine) for machine in machines)
        assert first == second
        assert len(first) > 500
        assert not first.isascii(), "what the locale would have changed is in it"


def test_a_run_is_told_again(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", "run-"]) == 0
    out = capsys.readouterr().out
    for said in (
        "KubePodCrashLooping",
        "Revision 4 of checkout is bad",
        "ask by the rule change-production",
        "approves",
    ):
        assert said in out
    assert "\x1b" not in out


def test_another_policy_s_flips_are_told_and_end_with_one(
    here: Path, frozen: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["replay", "run-", "--policy", frozen]) == 1
    assert "ask of approvers by change-production → deny by frozen" in capsys.readouterr().out
    assert main(["replay", "run-", "--policy", frozen, "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert {each["kind"] for each in found["differences"]} >= {"decision", "execution", "outcome"}
    assert (found["recorded"]["outcome"], found["replayed"]["outcome"]) == ("remediated", "diagnosed")


def test_the_run_and_what_a_replay_found_are_pages(
    here: Path, frozen: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, found = tmp_path / "run.html", tmp_path / "found.html"
    assert main(["replay", "run-", "--html", str(run)]) == 0
    assert main(["replay", "run-", "--policy", frozen, "--html", str(found)]) == 1
    assert capsys.readouterr().out == f"wrote {run}\nwrote {found}\n"
    assert "Revision 4 of checkout is bad" in run.read_text("utf-8")
    assert "deny by frozen" in found.read_text("utf-8")
    before = [run.read_bytes(), found.read_bytes()]
    main(["replay", "run-", "--html", str(run)])
    main(["replay", "run-", "--policy", frozen, "--html", str(found)])
    assert [run.read_bytes(), found.read_bytes()] == before
    assert main(["replay", "run-", "--html", str(tmp_path)]) == 2
    assert "cannot be written" in capsys.readouterr().err


def test_many_runs_are_a_table_with_totals(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", "--since", "7d", "--model", "rules"]) == 0
    out = capsys.readouterr().out
    assert "1 finished run since" in out
    assert "same cause    1 of 1 (100%" in out
    assert main(["replay", "--since", "7d", "--code", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["totals"]["n"], found["totals"]["same_cause"]["count"], found["totals"]["differing"]) == (1, 1, 0)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ((), 2, "name a RUN, or several by --since"),
        (("run-", "--since", "3d", "--code"), 2, "name a RUN"),
        (("--since", "3d"), 2, "--since needs what is tried"),
        (("--since", "soon", "--code"), 2, "'soon' is not a period"),
        (("run-", "--json"), 2, "--json is for what is tried"),
        (("run-", "--code", "--json", "--html", "x.html"), 2, "ask for one of them"),
        (("--since", "3d", "--code", "--html", "x.html"), 2, "--html is a page of one RUN"),
        (("run-", "--policy", "nowhere"), 2, "nowhere is not a folder"),
        (("run-", "--model", "gpt-x"), 2, "--model gpt-x needs OPENAI_API_KEY"),
        (("run-nobody", "--code"), 1, "there is no run run-nobody"),
    ],
)
def test_what_cannot_be_done_is_a_sentence_and_an_exit_code(
    here: Path, capsys: pytest.CaptureFixture[str], arguments: Sequence[str], code: int, said: str
) -> None:
    assert main(["replay", *arguments]) == code
    assert said in capsys.readouterr().err


async def test_tools_of_mcp_servers_are_as_the_run_remembers_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, frozen: str
) -> None:
    monkeypatch.setenv("NOTES_TOKEN", "n0tes-t0ken-of-the-server")
    (tmp_path / "mcp.yaml").write_text(SERVERS)
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "policy.yaml").write_text(NOTES)
    write = ("mcp_notes_write_note", {"name": "incident-1", "text": "rolled back"})
    drop = ("mcp_notes_drop_everything", {})  # the operator's file does not name it
    answers = script(call(("mcp_notes_find_note", {"name": "runbook"})), call(drop, write), call(("conclude", DONE)))
    settings = {"AGENT_MCP": str(tmp_path / "mcp.yaml"), "AGENT_POLICY": str(tmp_path / "notes")}
    async with with_model(tmp_path, answers, **settings) as (story, _):
        await story.begin()
        await finish(story, "mcp_notes_write_note", ends=False)
    commands = [(tmp_path, ("run-", "--code")), (tmp_path, ("run-", "--policy", frozen))]
    ((code, out), (other, flips)), touched = guarded(commands, **settings)
    assert (code, "no difference" in out, touched) == (0, True, []), out
    assert other == 1
    assert "ask of approvers by notes → deny by frozen" in flips


# --- another model, over the wire ---------------------------------------------------------------------------------------


async def ask(told: Path, answers: Any, *arguments: str, **settings: str) -> tuple[int, str, ModelServer]:
    """The command with a model behind a real server: its exit code, what it printed, and what the server was sent."""
    async with ModelServer(answers) as server:
        given = environment(OPENAI_API_KEY=KEY, OPENAI_BASE_URL=server.url, **settings)
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "bot", "replay", *arguments, "--model", "other",
            cwd=told, env=given, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        out, err = await child.communicate()
        assert b"Traceback" not in err, err
        return child.returncode or 0, out.decode(), server


async def test_another_model_is_asked_with_what_was_recorded_and_set_against_it(told: Path) -> None:
    answers = script(call(PODS), call(BACK), call(("conclude", {**DONE, "evidence": ["E1", "E2", "E3", "E4"]})))
    code, out, server = await ask(told / SERVED, answers, "run-", "--json")
    found = json.loads(out)
    assert code == 1
    assert found["unanswerable"] == []
    assert found["same_action"]["same"] is True
    assert (found["model"]["recorded"], found["model"]["replayed"]) == (["stand-in"], "other")
    assert (found["recorded"]["outcome"], found["replayed"]["outcome"]) == ("remediated", "remediated")
    told_then = [message["content"] for message in server.requests[-1]["messages"] if message["role"] == "tool"]
    assert "Approved by mara" in told_then[-1]
    assert "Verified" in told_then[-1]
    assert {request["model"] for request in server.requests} == {"other"}


async def test_what_the_recording_does_not_hold_is_said_to_the_model_and_counted(told: Path) -> None:
    nodes = ("kubernetes_list", {"kind": "Node"})
    code, out, server = await ask(
        told / SERVED, script(call(nodes), call(("conclude", DONE))), "--since", "7d", "--json"
    )
    found = json.loads(out)
    assert code == 1
    assert (found["totals"]["unanswerable"], found["totals"]["unanswerable_in"]) == (1, 1)
    assert found["runs"][0]["same_action"]["same"] is False
    assert "the recording has no such output" in str(server.requests[-1]["messages"])
    offered = {tool["function"]["name"].partition("_")[0] for tool in server.requests[0]["tools"]}
    assert "jenkins" not in offered, "only systems that the run had are offered"


async def test_a_model_that_does_not_answer_counts_for_nothing(told: Path) -> None:
    code, out, _ = await ask(told / SERVED, script(Fault(500)), "--since", "7d")
    assert code == 1
    assert "other: answered with HTTP 500" in out
    assert "0, 1 more left out" in out
