"""A stand-in GitLab on loopback: the documented REST shapes over a small world whose pipelines run in time.

It knows nothing of who uses it. Its refusals, headers and webhooks are those of the real one.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Callable
from types import TracebackType
from typing import Self

from aiohttp import web

from bot.local.gitlab import delivery, world
from bot.local.gitlab.ci_api import CiApi
from bot.local.gitlab.engine import Engine
from bot.local.gitlab.hooks import Delivery, Hooks
from bot.local.gitlab.model import (
    DEVELOPER,
    Deployment,
    Hook,
    Job,
    MergeRequest,
    Outcome,
    Pipeline,
    Project,
    Token,
    User,
    now,
)
from bot.local.gitlab.repository_api import Writing
from bot.local.gitlab.server import Asked, Fault, Server

__all__ = ["Asked", "Delivery", "Deployment", "GitLab", "Hook", "Job", "Outcome", "Pipeline", "Project", "Token"]


class GitLab:
    """A GitLab for the length of an `async with`.

    port: 0 for a free one. speed: 1 runs at the demo's pace, 10 ten times faster.
    `token` is the agent's: the scope api, and the role Developer in every project. `delivered` is the project that is
    delivered by hand. `on_job` is called whenever a job has begun to run or is over: its status says which.
    """

    def __init__(self, port: int = 0, speed: float = 1.0) -> None:
        self.port = port
        self.hooks = Hooks()
        self.engine = Engine(delivery.verdict, speed, self._on_change)
        self.projects = world.seed(self.engine)
        self.delivered = self.projects[delivery.PATH] = delivery.seed(self.engine)
        self.on_job: Callable[[Job], None] = lambda job: None
        self.tokens: dict[str, Token] = {}
        self.token = self.issue(world.AGENT, dict.fromkeys(self.projects, DEVELOPER)).value
        self._changed = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._server = Server(self.projects, self.tokens, CiApi(self.engine), Writing(self.engine, self.hooks))
        self._runner = web.AppRunner(self._server.application(), access_log=None, shutdown_timeout=0.2)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port)
        await site.start()
        self.port = self._runner.addresses[0][1]
        self._server.base = self.hooks.base = self.url
        self.hooks.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.engine.close()
        await self.hooks.close()
        await self._runner.cleanup()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def asked(self) -> list[Asked]:
        """Every request so far, oldest first; at most the last 5,000."""
        return list(self._server.asked)

    # --- who may come in ----------------------------------------------------------------------------------------------

    def issue(self, user: User, projects: dict[str, int], scopes: tuple[str, ...] = ("api",)) -> Token:
        """A new access token with these roles."""
        token = Token(f"glpat-{secrets.token_urlsafe(15)}", user, scopes, projects)
        self.tokens[token.value] = token
        return token

    def add_hook(self, url: str, *, token: str = "", signing_token: str = "") -> Hook:
        """One webhook for every project."""
        hook = Hook(url, token, signing_token)
        for project in self.projects.values():
            project.hooks.append(hook)
        return hook

    # --- what goes wrong ----------------------------------------------------------------------------------------------

    def fail(self, method: str, path: str, kind: str, times: int = 1) -> None:
        """The next requests whose path matches: `drop` (done, no answer), `hang`, `429`, or another status."""
        self._server.faults.append(Fault(method, re.compile(path), kind, times))

    def throttle(self, limit: int, retry_after: int = 30) -> None:
        """So many requests a minute, then 429."""
        self._server.limit, self._server.retry_after = limit, retry_after

    def break_build(self, path: str = "shop/checkout") -> Pipeline:
        """Priya pushes a commit that breaks a test of checkout."""
        files = {"checkout/tax.py": world.BROKEN_TAX}
        return self.push(path, files, "Unknown regions pay no tax", user=world.PRIYA)

    def flake(self, path: str = "shop/checkout") -> Pipeline:
        """The nightly pipeline of what was pushed and green before: a test of the integration job fails this once."""
        project = self.projects[path]
        project.troubles.setdefault("integration", []).append(world.FLAKED)
        head = project.repository.branches["main"].head
        return self.engine.start(project, "main", head, world.MARA, "schedule")

    def lose_runner(self, path: str = "shop/checkout") -> Pipeline:
        """The runner of a job's pod never comes up."""
        project = self.projects[path]
        project.troubles.setdefault("unit", []).append(world.LOST_RUNNER)
        head = project.repository.branches["main"].head
        return self.engine.start(project, "main", head, world.MARA, "web")

    def release_small(self) -> Pipeline:
        """Two harmless commits to deliver; the pipeline waits at the canary when its tests have passed."""
        return delivery.small(self.engine, self.delivered)

    def release_slots(self) -> Pipeline:
        """Some fifty lines and a migration that only adds to deliver; canary and production both wait to be played."""
        return delivery.with_slots(self.engine, self.delivered)

    def release_with_migration(self) -> Pipeline:
        """Several hundred lines and a migration that drops columns to deliver; the pipeline waits at the canary."""
        return delivery.with_migration(self.engine, self.delivered)

    def push(
        self, path: str, files: dict[str, bytes], message: str, *, branch: str = "main", user: User = world.MARA
    ) -> Pipeline:
        """A commit, and its pipeline."""
        project = self.projects[path]
        made = world.push(project, branch, files, message, user)
        return self.engine.start(project, branch, made.sha, user)

    def merge(self, made: MergeRequest, user: User = world.PRIYA) -> Pipeline:
        """Somebody merges a merge request whose branch has everything of its target, and the pipeline of that."""
        repository = made.project.repository
        tree = dict(repository.commits[repository.branches[made.source].head].tree)
        message = f"Merge branch '{made.source}' into '{made.target}'\n\n{made.title}"
        merged = repository.commit(made.target, tree, message, user.name, f"{user.username}@acme.dev", now())
        made.state = "merged"
        self.hooks.merge_request(made, "merge")
        return self.engine.start(made.project, made.target, merged.sha, user)

    def report_deployment(self, path: str, environment: str, status: str) -> Deployment:
        """A deployment that something outside GitLab CI reports by the API."""
        project = self.projects[path]
        sha, number = project.repository.branches["main"].head, len(project.deployments) + 1
        made = Deployment(900 + number, number, project, environment, sha, "main", world.MARA, now(), None, status)
        project.deployments.append(made)
        self.hooks.deployment(made)
        return made

    async def until(self, holds: Callable[[], bool]) -> None:
        """Waits until this is true; looked at after every change."""
        while not holds():
            self._changed.clear()
            await self._changed.wait()

    async def finished(self, line: Pipeline) -> Pipeline:
        """Waits until a pipeline is over or waits for somebody, and its webhooks are sent."""
        await self.until(lambda: line.status in ("success", "failed", "canceled", "skipped", "manual"))
        await self.hooks.settled()
        return line

    def _on_change(self, line: Pipeline, job: Job | None) -> None:
        if job is None:
            self.hooks.pipeline(line)
        else:
            self.on_job(job)
            for made in line.project.deployments:
                if made.job is job:
                    made.updated_at = now()
                    self.hooks.deployment(made)
        self._changed.set()
