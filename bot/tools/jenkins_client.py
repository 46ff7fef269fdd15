"""Jenkins' remote API: who asks, where a job is, crumbs, and refusals as sentences. What is asked for stands in the tools."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlsplit

from bot.tools.rest import Limits, Missing, Reply, RestClient
from domain.errors import ToolError

CRUMB_HEADER = "Jenkins-Crumb"
FIX = "check JENKINS_USER and JENKINS_TOKEN"
SETTLE_SECONDS = 5.0
"""How long a build that was asked for may take to be seen, where its answer was lost."""

START_SECONDS = 3.0
"""How long it is waited for the number of a build that was asked for, so that it stands in the thread."""

_LACKS = re.compile(r"is missing the ([\w ./-]{1,80}?) permission")
_ITEM = re.compile(r"/queue/item/(\d{1,18})/?$")


class JenkinsClient:
    """One Jenkins. With an API token no crumb is needed; with a password one is fetched once Jenkins asks for it.

    `user` is the id of whom the token belongs to: builds that this agent asked for are known by it. Close it at the end.
    """

    def __init__(
        self,
        url: str,
        user: str,
        token: str,
        limits: Limits | None = None,
        *,
        settle_s: float = SETTLE_SECONDS,
        start_s: float = START_SECONDS,
    ) -> None:
        # not aiohttp's own Basic authentication: it would go along to wherever a redirect leads
        login = base64.b64encode(f"{user}:{token}".encode()).decode()
        headers = {"Authorization": f"Basic {login}"} if user or token else {}
        self._rest = RestClient("Jenkins", url, fix=FIX, headers=headers, limits=limits or Limits(), cookies=True)
        self._crumb: dict[str, str] = {}
        self.user, self.settle_s, self.start_s = user, settle_s, start_s
        self.version = ""

    @property
    def url(self) -> str:
        """Its base URL."""
        return self._rest.url

    async def close(self) -> None:
        """End the connections."""
        await self._rest.close()

    async def get(self, path: str, tree: str = "", *, doing: str) -> Any:
        """What `path` exports, of it only what `tree` names. Raises Missing or ToolError."""
        reply = await self.send("GET", f"{path}/api/json", doing=doing, params={"tree": tree} if tree else None)
        return parsed(reply, doing)

    async def maybe(self, path: str, *, doing: str, params: Mapping[str, str] | None = None) -> Any:
        """The JSON at a path that need not exist, such as a plugin's; None where it does not."""
        try:
            return parsed(await self.send("GET", path, doing=doing, params=params), doing)
        except Missing:
            return None

    async def post(
        self, path: str, *, doing: str, form: Mapping[str, str] | None = None, params: Mapping[str, str] | None = None
    ) -> Reply:
        """A change. Renews the crumb once where Jenkins does not take it. Raises OutcomeUnknown where no answer came.

        An answer of 500 is returned too: whether anything was done is for the caller to look at.
        """
        reply = await self._change(path, doing, form, params)
        if _wants_crumb(reply):
            self._crumb = await self._new_crumb(doing)
            reply = await self._change(path, doing, form, params)
        if reply.status == 403:
            raise self._forbidden(reply, doing)
        return reply

    async def _change(
        self, path: str, doing: str, form: Mapping[str, str] | None, params: Mapping[str, str] | None
    ) -> Reply:
        return await self.send(
            "POST", path, doing=doing, params=params, form=form or {}, headers=self._crumb, allow=(302, 303, 403, 500)
        )

    async def _new_crumb(self, doing: str) -> dict[str, str]:
        found = await self.maybe("/crumbIssuer/api/json", doing=doing)
        if not isinstance(found, dict) or not isinstance(found.get("crumb"), str):
            raise ToolError(
                f"Jenkins wants a crumb and issues none, asked to {doing}: use an API token as JENKINS_TOKEN."
            )
        return {str(found.get("crumbRequestField") or CRUMB_HEADER): found["crumb"]}

    async def send(
        self,
        method: str,
        path: str,
        *,
        doing: str,
        params: Mapping[str, str] | None = None,
        form: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        allow: tuple[int, ...] = (),
        at_most: int = 0,
    ) -> Reply:
        """One request; a POST is one that changes something. Raises Missing, OutcomeUnknown or ToolError."""
        reply = await self._rest.send(
            method,
            path,
            doing=doing,
            params=params,
            form=form,
            headers=headers,
            changes=method == "POST",
            allow=(*allow, 403, 503),
            at_most=at_most,
        )
        self.version = reply.headers.get("x-jenkins", self.version)
        if reply.status == 503:
            raise ToolError(f"Jenkins is not ready: it is starting or restarting. It did not {doing}.", retryable=True)
        if reply.status == 403 and 403 not in allow:
            raise self._forbidden(reply, doing)
        return reply

    def _forbidden(self, reply: Reply, doing: str) -> ToolError:
        if _wants_crumb(reply):
            return ToolError(
                f"Jenkins does not take its own crumb, asked to {doing}: use an API token as JENKINS_TOKEN."
            )
        if "Authentication required" in reply.text:
            return ToolError(f"Jenkins lets nobody {doing} who is not logged in (403): {FIX}.")
        lacks = _LACKS.search(reply.text)
        why = f"{self.user} is missing the {lacks[1]} permission" if lacks else reply.message
        return ToolError(f"Jenkins does not let this agent {doing} (403): {why}.")


def job_path(name: str) -> str:
    """The URL path of a job or folder by its full name: /job/shop/job/checkout/job/main."""
    return "".join(f"/job/{quote(part, safe='')}" for part in name.split("/"))


def item_id(reply: Reply) -> int:
    """The queue item that an answer names, 0 where it names none."""
    found = _ITEM.search(urlsplit(reply.headers.get("location", "")).path)
    return int(found[1]) if found else 0


def parsed(reply: Reply, doing: str) -> Any:
    """An answer's JSON. Raises ToolError."""
    try:
        return reply.json()
    except ValueError as error:
        raise ToolError(f"Jenkins answered with something that is not JSON, asked to {doing}.") from error


def _wants_crumb(reply: Reply) -> bool:
    return reply.status == 403 and "No valid crumb" in reply.text
