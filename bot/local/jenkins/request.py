"""One request to the stand-in Jenkins, and what everything that answers it has in common."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from aiohttp import web

from bot.local.jenkins import pages
from bot.local.jenkins.engine import Engine
from bot.local.jenkins.exports import Exports
from bot.local.jenkins.model import Job
from bot.local.jenkins.security import JOB_READ, Caller, Refusal


@dataclass(frozen=True)
class Asked:
    """One request as it was answered: what a test wants to know of it."""

    user: str
    method: str
    path: str
    query: Mapping[str, str]
    form: Mapping[str, str]
    status: int


@dataclass(frozen=True)
class Call:
    """A request on its way: who asks, the parts of its path, and where Jenkins stands."""

    http: web.Request
    caller: Caller
    parts: list[str]
    base: str
    prefix: str
    engine: Engine
    exports: Exports

    @property
    def path(self) -> str:
        return self.http.rel_url.raw_path

    def may_read(self, job: Job) -> bool:
        return self.caller.user.may(JOB_READ, job.full_name)

    def need(self, permission: str, job: str = "") -> None:
        """Raises Refusal (403) where the caller lacks a permission."""
        if not self.caller.user.may(permission, job):
            raise Refusal(403, pages.denied(self.caller.user.id, permission))

    def need_post(self) -> None:
        """Raises Refusal (405) where this is no POST."""
        if self.http.method != "POST":
            raise Refusal(405, pages.error("Method Not Allowed", "This URL requires POST"), {"Allow": "POST"})


def not_found(path: str) -> Refusal:
    """404, as Jenkins says it."""
    return Refusal(404, pages.not_found(path))
