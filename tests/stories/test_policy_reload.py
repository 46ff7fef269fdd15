"""A policy that is changed while the service runs: a bad one is refused and said, the last good one stays in force."""

from __future__ import annotations

from pathlib import Path

import aiohttp

from bot.app import reload_and_say
from bot.policy_files import read_folder
from domain.events import MessageWanted
from tests.stories.telling import Story, telling

BAD = "args.replicsa > 50"
NAMED = "policy.yaml:{line}: rule no-huge-scale: when, column 5: undefined field 'replicsa' in args; did you mean 'replicas'?"


def folder_of(tmp_path: Path) -> Path:
    folder = tmp_path / "policy"
    folder.mkdir()
    for name, text in read_folder("").items():
        (folder / name).write_text(text)
    return folder


def replace_in(folder: Path, old: str, new: str) -> int:
    """Change the policy; the line that was changed."""
    file = folder / "policy.yaml"
    text = file.read_text()
    file.write_text(text.replace(old, new))
    return text[: text.index(old)].count("\n") + 1


async def reload(story: Story) -> None:
    """The schedule's own job, now."""
    app = story.stage.app
    await reload_and_say(app.policy, app.journal, app.services.chat)
    await app.services.sender.idle()


def said(story: Story, start: str) -> list[str]:
    room = story.stage.workspace
    return [str(m["blocks"]) for m in room.messages("incidents") if m["text"].startswith(start)]


async def ready(story: Story) -> str:
    async with aiohttp.ClientSession() as http, http.get(f"{story.stage.app.url}/readyz") as answer:
        return await answer.text()


async def test_a_refused_bundle_is_said_once_with_file_and_line_and_so_is_its_mending(tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    async with telling(tmp_path, AGENT_POLICY=str(folder)) as story:
        good = story.stage.app.policy.current.hash
        assert said(story, "⚠️") == said(story, "✅") == []
        line = replace_in(folder, "args.replicas > 50", BAD)
        for _ in range(3):
            await reload(story)
        [notice] = said(story, "⚠️")
        problem = NAMED.format(line=line)
        assert "The last good one stays in force" in notice
        assert problem in notice.replace('\\"', '"')
        assert problem in await ready(story)
        assert story.stage.app.policy.current.hash == good
        replace_in(folder, BAD, BAD + " && true")  # still bad, otherwise
        await reload(story)
        assert len(said(story, "⚠️")) == 1, "the same problem in the same place is the same notice"
        replace_in(folder, BAD + " && true", "50 < args.replicas")
        await reload(story)
        assert len(said(story, "✅")) == 1
        assert story.stage.app.policy.current.hash != good
        replace_in(folder, "50 < args.replicas", BAD)
        await reload(story)
        assert len(said(story, "⚠️")) == 2, "bad again after it was fine is news"


async def test_a_restart_with_the_same_bad_policy_says_nothing_again(tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    for start in range(2):
        async with telling(tmp_path, AGENT_POLICY=str(folder)) as story:
            if start == 0:
                replace_in(folder, "args.replicas > 50", BAD)
                await reload(story)
            await story.stage.app.services.sender.idle()
            notices = [m for m in await _messages(story) if m.startswith("policy-refused")]
            assert len(notices) == 1


async def _messages(story: Story) -> list[str]:
    """The keys of the notices that were ever wanted."""
    keys = [event.key for event in await story.recorded(MessageWanted)]
    return [key.removeprefix("notice::") for key in keys if key.startswith("notice::")]
