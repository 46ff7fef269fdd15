"""GitLab's REST API: who asks, where a project is, pages, and refusals as sentences. What is asked for stands in the tools."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

from bot.tools.rest import Limits, Reply, RestClient
from domain.errors import OutcomeUnknown, ToolError

Params = list[tuple[str, str]]

API = "/api/v4"
FIX = "check GITLAB_TOKEN"
PAGE = 100
"""The most that GitLab puts on one page."""

SETTLE_SECONDS = 5.0
"""How long a change that was asked for may take to be seen, where its answer was lost."""

_NEXT = re.compile(r'<([^<>]{1,4000})>\s*;[^,<]*\brel="?next"?')
_FORBIDDEN = re.compile(r"^403 Forbidden\s*-?\s*")
_MOVED = (301, 302, 307, 308)


class Forbidden(ToolError):
    """The token is good and its role, or the project, does not allow it."""


@dataclass(frozen=True)
class Pages:
    """A list as far as it was read. `complete`: there was no more of it."""

    items: tuple[Any, ...]
    complete: bool


class GitLabClient:
    """One GitLab by its URL, also under a relative path. Every method raises Missing (404) or ToolError. Close it at the end.

    A token shows nothing in a URL: it goes as the header that GitLab names for it.
    """

    def __init__(self, url: str, token: str, limits: Limits | None = None, *, settle_s: float = SETTLE_SECONDS) -> None:
        headers = {"PRIVATE-TOKEN": token} if token else {}
        base = url.rstrip("/").removesuffix(API)
        self._rest = RestClient("GitLab", base, fix=FIX, headers=headers, limits=limits or Limits())
        self.settle_s = settle_s

    @property
    def url(self) -> str:
        """Its base URL, without the API's path."""
        return self._rest.url

    async def close(self) -> None:
        """End the connections."""
        await self._rest.close()

    async def get(self, path: str, params: Mapping[str, str] | None = None, *, doing: str, at_most: int = 0) -> Any:
        """The JSON at a path behind /api/v4. `at_most`: bytes; a larger answer is refused with a sentence."""
        reply = await self.send("GET", path, doing=doing, params=params, at_most=at_most)
        if reply.cut:
            raise ToolError(f"GitLab answered with more than {at_most >> 10} KB, asked to {doing}; ask for less.")
        return parsed(reply, doing)

    async def pages(
        self,
        path: str,
        params: Mapping[str, str] | None = None,
        *,
        doing: str,
        most: int = 1,
        size: int = PAGE,
    ) -> Pages:
        """A list: at most so many pages of `size`, by X-Next-Page or, where a list goes by a cursor, by its Link.

        Of a Link only the parameters are taken: the path and the host stay those that were asked.
        """
        asked: Params = [*(params or {}).items(), ("per_page", str(size))]
        items: list[Any] = []
        for _ in range(most):
            reply = await self.send("GET", path, doing=doing, params=asked)
            found = parsed(reply, doing)
            if not isinstance(found, list):
                raise ToolError(f"GitLab answered with something that is no list, asked to {doing}.")
            items += found
            following = _following(reply, asked) if found else []
            if not following:
                return Pages(tuple(items), complete=True)
            asked = following
        return Pages(tuple(items), complete=False)

    async def post(
        self, path: str, body: Mapping[str, Any] | None = None, *, doing: str, allow: tuple[int, ...] = ()
    ) -> Reply:
        """A change. Raises OutcomeUnknown where no answer came, or GitLab failed over it. `allow`: refusals to look at."""
        return await self._change("POST", path, body or {}, doing, allow)

    async def delete(self, path: str, *, doing: str, allow: tuple[int, ...] = ()) -> Reply:
        """Take something away. Raises as `post` does."""
        return await self._change("DELETE", path, None, doing, allow)

    async def graphql(self, query: str, variables: Mapping[str, Any], *, doing: str) -> Mapping[str, Any]:
        """The data that a query answers with, for what REST does not tell. It only ever reads."""
        body = {"query": query, "variables": dict(variables)}
        reply = await self._rest.send("POST", "/api/graphql", doing=doing, body=body, allow=_OWN)
        found = parsed(self._checked(reply, doing), doing)
        data = found.get("data") if isinstance(found, dict) else None
        if not isinstance(data, dict) or found.get("errors"):
            raise ToolError(f"GitLab refuses to {doing}: its GraphQL API does not answer this query.")
        return data

    async def send(
        self,
        method: str,
        path: str,
        *,
        doing: str,
        params: Mapping[str, str] | Params | None = None,
        body: Any = None,
        allow: tuple[int, ...] = (),
        at_most: int = 0,
    ) -> Reply:
        """One request; whatever is no GET changes something. Raises Missing, TargetMoved, OutcomeUnknown or ToolError."""
        reply = await self._rest.send(
            method,
            API + path,
            doing=doing,
            params=params,
            body=body,
            changes=method != "GET",
            allow=(*allow, *_OWN),
            at_most=at_most,
        )
        return reply if reply.status in allow else self._checked(reply, doing)

    async def _change(self, method: str, path: str, body: Any, doing: str, allow: tuple[int, ...]) -> Reply:
        reply = await self.send(method, path, doing=doing, body=body, allow=(*allow, 500))
        if reply.status == 500:
            raise OutcomeUnknown(f"GitLab failed (HTTP 500), asked to {doing}: it may or may not have taken effect.")
        return reply

    def _checked(self, reply: Reply, doing: str) -> Reply:
        """The answer, where it is none of the refusals that GitLab words in its own way."""
        match reply.status:
            case 400 | 422:
                raise ToolError(f"GitLab refuses to {doing} (HTTP {reply.status}): {told(reply)}")
            case 401:
                raise ToolError(_unauthorized(reply))
            case 403:
                raise Forbidden(f"GitLab does not let this agent {doing} (403): {_forbidden(reply)}.")
            case 503:
                raise ToolError(f"GitLab is not ready, or in maintenance: it did not {doing}.", retryable=True)
            case status if status in _MOVED:
                raise self._moved(reply, doing)
        return reply

    def _moved(self, reply: Reply, doing: str) -> ToolError:
        to = reply.headers.get("location", "another address")[:200]
        if to.startswith(f"{self.url}{API}/projects/"):
            return ToolError(f"The project was moved, and GitLab did not {doing}: name it as it is called now.")
        return ToolError(f"GitLab redirects to {to}, asked to {doing}: set GITLAB_URL to its real URL.")


_OWN = (400, 401, 403, 422, 503, *_MOVED)


def project_path(name: str) -> str:
    """The API's path of a project by its full path: /projects/shop%2Fcheckout."""
    return f"/projects/{quote(name, safe='')}"


def parsed(reply: Reply, doing: str) -> Any:
    """An answer's JSON. Raises ToolError."""
    try:
        return reply.json()
    except ValueError as error:
        raise ToolError(f"GitLab answered with something that is not JSON, asked to {doing}.") from error


def told(reply: Reply) -> str:
    """What GitLab says of a refusal, on one line: its message may be a sentence, a list, or lists by field."""
    try:
        found = reply.json()
    except ValueError:
        return reply.message
    message = found.get("message") if isinstance(found, dict) else None
    if isinstance(message, list):
        return "; ".join(map(str, message))[:600]
    if isinstance(message, dict):
        fields = [
            f"{name} {', '.join(map(str, why)) if isinstance(why, list) else why}" for name, why in message.items()
        ]
        return "; ".join(fields)[:600]
    return reply.message


def _following(reply: Reply, asked: Params) -> Params:
    """The parameters of the next page; none where this was the last one."""
    number = reply.headers.get("x-next-page", "")
    if number.isdecimal():
        return [*((name, value) for name, value in asked if name != "page"), ("page", number)]
    found = _NEXT.search(reply.headers.get("link", ""))
    return parse_qsl(urlsplit(found[1]).query) if found else []


def _unauthorized(reply: Reply) -> str:
    said = reply.text[:2000].lower()
    if "revoked" in said:
        return "GitLab does not accept this agent's token (401): it was revoked. Set GITLAB_TOKEN to a new one."
    if "expired" in said:
        return "GitLab does not accept this agent's token (401): it is expired. Set GITLAB_TOKEN to a new one."
    return f"GitLab does not accept this agent's credentials (401): {FIX}."


def _forbidden(reply: Reply) -> str:
    try:
        found = reply.json()
    except ValueError:
        found = None
    if isinstance(found, dict) and found.get("error") == "insufficient_scope":
        needed = " or ".join(str(found.get("scope") or "another").split()[:6])
        return f"the token lacks a scope (insufficient_scope), it takes {needed}"
    why = _FORBIDDEN.sub("", reply.message).strip()
    role = "its role in the project is too low, or the project does not allow it"
    return f"{why}; perhaps {role}" if why else role
