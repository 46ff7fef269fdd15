"""The stage: the whole service against the stand-in world on loopback. `demo` plays on it, and so do the story tests."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from bot.app import App, running
from bot.config import Settings, load
from bot.local.cluster import Cluster
from bot.local.gitlab import GitLab
from bot.local.monitor import Monitor
from bot.local.prometheus import Prometheus
from bot.local.scenarios_ci import OBJECTIVES
from bot.local.workspace import DEFAULT_SEED, Seed, Workspace
from handlers.lane import Pace
from handlers.manifest import manifest

QUICK = Pace(spacing_s=0.05, edit_s=0.4, workspace_s=0.01, backoff_s=0.1)
"""The stand-in workspace has no rate limits to respect; real Slack gets the default pace."""


@dataclass(frozen=True)
class Stage:
    """Everything that plays together."""

    workspace: Workspace
    cluster: Cluster
    monitor: Monitor
    app: App
    ci: Ci | None = None


@dataclass(frozen=True)
class Ci:
    """A GitLab, and a Prometheus that measures what it deploys."""

    gitlab: GitLab
    prometheus: Prometheus


def settings_for(workspace: Workspace, kubeconfig: Path, database: Path, **more: str) -> Settings:
    """The settings of a service against a stand-in world: explicit, whatever the environment holds."""
    given = {
        "SLACK_BOT_TOKEN": workspace.bot_token,
        "SLACK_APP_TOKEN": workspace.app_token,
        "SLACK_API_URL": workspace.api_url,
        "KUBECONFIG": str(kubeconfig),
        "AGENT_DATABASE": str(database),
        "AGENT_PORT": "0",
        "AGENT_CHANNEL": "#incidents",
        "AGENT_ALERT_BOTS": f"#alerts={DEFAULT_SEED.bots[0].bot_id}",
        "AGENT_ALERT_TOKEN": secrets.token_hex(16),
        "AGENT_APPROVERS": "@sre",
        "AGENT_ENVIRONMENTS": "shop=production,staging-*=staging",
    }
    return load({**given, **more}, env_file=None)


@asynccontextmanager
async def stage(
    folder: Path,
    *,
    port: int = 0,
    speed: float = 1.0,
    interval_s: float = 0.5,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    seed: Seed = DEFAULT_SEED,
    ci: bool = False,
    **more: str,
) -> AsyncIterator[Stage]:
    """Raise the curtain. `folder` holds the database and the kubeconfig; `more` are further settings.

    `ci` brings a GitLab and a Prometheus on as well.
    """
    async with (
        AsyncExitStack() as stack,
        Workspace(seed, port=port, manifest=manifest("minimal")) as workspace,
        Cluster(speed=speed) as cluster,
    ):
        kubeconfig = folder / "kubeconfig"
        cluster.write_kubeconfig(kubeconfig)
        systems = await stack.enter_async_context(_ci(speed)) if ci else None
        told = _settings_of(systems, folder) if systems else {}
        settings = settings_for(workspace, kubeconfig, folder / "personal-agent.db", **(more | told))
        async with running(settings, pace=QUICK, clock=clock) as app:
            token = settings.agent_alert_token.get_secret_value()
            if systems is not None:
                systems.gitlab.add_hook(f"{app.url}/hooks/gitlab", token=token)
            webhook = f"{app.url}/alerts/alertmanager"
            async with Monitor(cluster.url, cluster.admin_token, webhook, token, interval=interval_s) as monitor:
                yield Stage(workspace, cluster, monitor, app, systems)


@asynccontextmanager
async def _ci(speed: float) -> AsyncIterator[Ci]:
    async with GitLab(speed=speed) as gitlab, Prometheus() as prometheus:
        yield Ci(gitlab, prometheus)


def _settings_of(ci: Ci, folder: Path) -> dict[str, str]:
    objectives = folder / "objectives.yaml"
    objectives.write_text(OBJECTIVES)
    return {
        "GITLAB_URL": ci.gitlab.url,
        "GITLAB_TOKEN": ci.gitlab.token,
        "PROMETHEUS_URL": ci.prometheus.url,
        "AGENT_OBJECTIVES": str(objectives),
    }


@asynccontextmanager
async def folder_for(*, keep: bool) -> AsyncIterator[Path]:
    """Where a demo's files go: thrown away at the end, or kept in the working directory."""
    if keep:
        kept = Path.cwd() / "personal-agent-demo"
        kept.mkdir(exist_ok=True)
        yield kept
    else:
        with tempfile.TemporaryDirectory(prefix="personal-agent-") as name:
            yield Path(name)
