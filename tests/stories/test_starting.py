"""What the service takes up when it starts, by whichever way Slack reaches it."""

from __future__ import annotations

from pathlib import Path

from bot.app import running
from bot.commands.stage import QUICK, settings_for
from bot.config import Settings
from bot.local.cluster import Cluster
from bot.local.workspace import Workspace
from domain.events import ApprovalRequested, Draft, MessageWanted, PayloadReceived
from handlers.chat import approval_key, progress_key
from handlers.payloads import key_of, surface_of
from handlers.slack_app import connect
from handlers.standing import EVENT_TYPE
from storage.journal import open_journal
from tests.slack_harness import request_of


def given(folder: Path, w: Workspace, cluster: Cluster, **more: str) -> Settings:
    cluster.write_kubeconfig(folder / "kubeconfig")
    return settings_for(w, folder / "kubeconfig", folder / "personal-agent.db", **more)


async def test_what_a_crash_left_is_handled_where_slack_comes_by_http_as_well(tmp_path: Path) -> None:
    async with Workspace() as w, Cluster() as cluster:
        settings = given(tmp_path, w, cluster, SLACK_APP_TOKEN="", SLACK_SIGNING_SECRET=w.signing_secret)
        said = {"text": f"<@{w.bot_user_id}>", "user": w.user("mara"), "channel": w.channel("incidents")}
        event = {"type": "app_mention", "ts": "1700000000.000100", "event_ts": "1700000000.000100", **said}
        payload = {"type": "event_callback", "team_id": w.team_id, "event_id": "Ev1", "event": event}
        async with open_journal(settings.agent_database, w.team_id) as journal:
            await journal.append(Draft(PayloadReceived(key_of(payload), surface_of(payload), payload)))
        async with running(settings, pace=QUICK):
            pass  # its end waits for the work that its start took up
        assert "Ask me something" in str(w.ephemerals("mara"))


async def test_cards_that_stood_in_slack_before_the_crash_are_not_posted_again(tmp_path: Path) -> None:
    async with Workspace() as w, Cluster() as cluster:
        settings, channel = given(tmp_path, w, cluster), w.channel("incidents")
        connection = await connect(w.bot_token, w.api_url)
        async with open_journal(settings.agent_database, w.team_id) as journal:
            for number in range(5):
                request = request_of(f"a{number}", incident_id="")
                key = approval_key(request.card)
                older = MessageWanted(key, 1, channel, progress_key("r1"), "an older state", (), 1)
                await journal.append(Draft(ApprovalRequested(request)), Draft(older))
                said = {"id": key, "workspace": w.team_id, "revision": 1}
                metadata = {"event_type": EVENT_TYPE, "event_payload": said}
                await connection.posting.chat_postMessage(channel=channel, text=older.text, metadata=metadata)
        async with running(settings, pace=QUICK) as app:
            await app.services.sender.idle()
        assert len(w.messages("incidents")) == 5
