"""An incident from end to end under an auditor's eyes: checkpoints in a file, a branch and a channel, and a host that lies."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from bot.__main__ import main
from bot.anchors import held_by
from domain.events import CheckpointSigned
from storage.copies import read_copies
from storage.keys import public_pem, read_keys
from storage.verify import verify
from tests.contracts.forger import chained, change
from tests.stories.telling import JONAS, Story, telling


def preformatted(message: object) -> str:
    """What stands in a message's preformatted blocks: what a person copies."""
    if isinstance(message, dict):
        if message.get("type") == "rich_text_preformatted":
            return "".join(element["text"] for element in message["elements"]) + "\n"
        return "".join(map(preformatted, message.values()))
    return "".join(map(preformatted, message)) if isinstance(message, list | tuple) else ""


async def reached(story: Story, *places: str) -> int:
    """Sign what is new, and wait until it stands in every place; how many events that is."""
    await story.stage.app.notary.look()
    last = await story.journal.last(CheckpointSigned)

    async def look() -> bool:
        stand = {anchor.place: anchor.size for anchor in await story.journal.anchors()}
        return all(stand.get(place, 0) >= last.event.size for place in places)

    await story.until(look)
    return int(last.event.size)


async def test_an_incident_is_proved_by_copies_that_the_host_does_not_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    subprocess.run(["git", "init", "--quiet", "--bare", tmp_path / "audit.git"], check=True)
    places = (f"file:{tmp_path}/anchors.jsonl", f"git:{tmp_path}/audit.git#checkpoints", "slack:#ops-audit")
    async with telling(tmp_path, AGENT_ANCHORS=",".join(places)) as story:
        await story.begin()
        await story.press(JONAS, await story.approval())
        await story.resolved()
        await story.finished()
        size = await reached(story, *places)
        posted = story.stage.workspace.messages("ops-audit")
        recorded = await story.all_events()
    assert size > 50
    assert f"Checkpoint over {size:,} events" in [message["text"] for message in posted]

    (tmp_path / "slack.txt").write_text("\n".join(map(preformatted, posted)))
    (tmp_path / "public.pem").write_text(public_pem(read_keys(tmp_path / "personal-agent.db.key").public[0]))
    held = [held_by(places[0]), held_by(places[1]), read_copies("file:slack.txt", (tmp_path / "slack.txt").read_text())]
    assert all(size in [copy.checkpoint.size for copy in each.copies] for each in held)

    monkeypatch.chdir(tmp_path)
    audit = ["audit", "verify", "--database", "personal-agent.db", "--key", "public.pem"]
    assert main([*audit, "--anchor", "slack.txt", "--anchor", places[0], "--anchor", places[1]]) == 0
    assert f"git:{tmp_path}/audit.git#checkpoints agrees up to event" in capsys.readouterr().out

    # somebody with the host lets the approval be another person's, chains everything anew and signs it with the key
    key = read_keys("personal-agent.db.key").signing
    voted = next(envelope.seq for envelope in recorded if type(envelope.event).__name__ == "VoteCast")
    change(
        tmp_path / "personal-agent.db",
        lambda rows: chained([row.told(actor="person:U07MARA0001") if row.seq == voted else row for row in rows], key),
    )
    assert verify("personal-agent.db", keys=read_keys("public.pem").public).ok  # by itself the file shows nothing
    for place in places[:2]:
        assert main([*audit, "--anchor", place]) == 1
        assert capsys.readouterr().out.startswith(f"BROKEN at event {voted} of workspace T07ACME0001: ")
    assert main([*audit, "--anchor", "slack.txt"]) == 1  # notes have no trail: they name the span
    assert "are not what was recorded: file:slack.txt holds another checkpoint" in capsys.readouterr().out


async def test_a_channel_that_is_not_there_is_said_to_be_and_hinders_nothing(tmp_path: Path) -> None:
    async with telling(tmp_path, AGENT_ANCHORS=f"slack:#nowhere, file:{tmp_path}/anchors.jsonl") as story:
        await story.begin()
        await story.approval()
        await reached(story, f"file:{tmp_path}/anchors.jsonl")

        async def failed() -> str:
            stand = {anchor.place: anchor.failed for anchor in await story.journal.anchors()}
            return stand.get("slack:#nowhere", "")

        assert await story.until(failed) == "there is no channel #nowhere that the app can see"
        assert not await story.stage.app.readiness()
