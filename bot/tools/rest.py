"""A JSON API over HTTP: one session, time and size limits, and refusals as sentences that a person can act on.

Jenkins, GitLab, Prometheus and Alertmanager are spoken to through this; what is particular to each stands in its own file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from domain.errors import OutcomeUnknown, SettingsError, TargetMoved, ToolError

MAX_BYTES = 32 * 1024 * 1024
"""The largest answer that is read; more is a refusal with a sentence, never a full memory."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")
_UNSETTLED = (502, 504)  # a gateway that gave up says nothing of the write behind it


class Missing(ToolError):
    """There is no such thing there."""


@dataclass(frozen=True)
class Limits:
    """Time limits of one request, seconds."""

    connect: float = 3.0
    read: float = 10.0


@dataclass(frozen=True)
class Reply:
    """An HTTP answer. Header names are in lower case. `cut`: there was more than was to be read."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: bool = False

    @property
    def text(self) -> str:
        """The body as text; what is not UTF-8 becomes U+FFFD."""
        return self.body.decode("utf-8", "replace")

    def json(self) -> Any:
        """The body as JSON. Raises ValueError."""
        return json.loads(self.body)

    @property
    def message(self) -> str:
        """What the server says of a refusal, on one line: the usual fields of a JSON error, else the start of the text."""
        try:
            found = self.json()
        except ValueError:
            found = None
        said = self.text[:2000]
        if isinstance(found, dict):
            said = next((str(found[key]) for key in ("message", "error", "error_description") if found.get(key)), said)
        line = _CONTROL.sub(" ", re.sub(r"<[^>]{0,200}>", " ", said)).strip()
        return (line if len(line) <= 600 else line[:599] + "…") or f"HTTP {self.status}"


class RestClient:
    """One system behind a base URL. Every method raises ToolError with a sentence; `close` it at the end.

    `system` is its name in sentences, `fix` what to look at where it refuses the credentials. `headers` carry them.
    `cookies`: whether a session that the system opens is kept, also where it is known by its address only.
    Redirects are not followed: a credential goes where it was meant and nowhere else.
    """

    def __init__(
        self,
        system: str,
        base_url: str,
        *,
        fix: str,
        headers: Mapping[str, str] | None = None,
        limits: Limits = Limits(),
        cookies: bool = False,
    ) -> None:
        if not re.match(r"https?://[^/\s]+", base_url):
            raise SettingsError(f"{system}: {base_url!r} is not an http or https URL")
        self.system, self.url, self._fix = system, base_url.rstrip("/"), fix
        self._headers, self._limits, self._cookies = dict(headers or {}), limits, cookies
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """End the connections."""
        if self._session is not None:
            await self._session.close()

    async def get(self, path: str, params: Any = None, *, doing: str, headers: Mapping[str, str] | None = None) -> Any:
        """The JSON behind a path. `doing` completes the sentence "GitLab refuses to …"."""
        reply = await self.send("GET", path, doing=doing, params=params, headers=headers)
        try:
            return reply.json()
        except ValueError as error:
            raise ToolError(f"{self.system} answered with something that is not JSON, asked to {doing}.") from error

    async def send(
        self,
        method: str,
        path: str,
        *,
        doing: str,
        params: Any = None,
        body: Any = None,
        form: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        changes: bool = False,
        allow: tuple[int, ...] = (),
        at_most: int = 0,
    ) -> Reply:
        """One request. Statuses of 400 and more raise, those in `allow` do not. `at_most`: bytes that are read of the answer.

        Raises Missing (404), TargetMoved (409, 412: nothing was done), OutcomeUnknown (`changes`, and no answer came or only a
        gateway's), ToolError otherwise.
        """
        try:
            reply = await self._request(method, path, params, body, form, headers, at_most)
        except aiohttp.ClientConnectorError as error:
            raise ToolError(
                f"{self.system} at {self.url} cannot be reached ({_cause(error)}); nothing was sent.", retryable=True
            ) from error
        except (aiohttp.ClientError, TimeoutError) as error:
            raise self._unanswered(doing, _cause(error), changes=changes) from error
        if reply.status < 300 or reply.status in allow:
            return reply
        raise self._refusal(doing, reply, changes=changes)

    async def _request(
        self,
        method: str,
        path: str,
        params: Any,
        body: Any,
        form: Mapping[str, str] | None,
        headers: Mapping[str, str] | None,
        at_most: int,
    ) -> Reply:
        if self._session is None:  # made on the loop that it is used on
            timeout = aiohttp.ClientTimeout(
                total=self._limits.connect + self._limits.read,
                sock_connect=self._limits.connect,
                sock_read=self._limits.read,
            )
            jar = aiohttp.CookieJar(unsafe=True) if self._cookies else aiohttp.DummyCookieJar()
            self._session = aiohttp.ClientSession(headers=self._headers, timeout=timeout, cookie_jar=jar)
        async with self._session.request(
            method,
            self.url + path,
            params=params,
            json=body,
            data=form,
            headers=headers,
            allow_redirects=False,
        ) as response:
            content = await self._read(response, at_most)
            kept = {key.lower(): value for key, value in response.headers.items()}
            if at_most and len(content) > at_most:
                response.close()  # the rest is not wanted: it would have to be read before the connection is used again
                return Reply(response.status, content[:at_most], kept, cut=True)
            return Reply(response.status, content, kept)

    async def _read(self, response: aiohttp.ClientResponse, at_most: int) -> bytes:
        parts, size = [], 0
        async for part in response.content.iter_chunked(1 << 16):
            parts.append(part)
            size += len(part)
            if 0 < at_most < size:
                break
            if size > MAX_BYTES:
                raise ToolError(f"{self.system} answered with more than {MAX_BYTES >> 20} MB; ask for less.")
        return b"".join(parts)

    def _refusal(self, doing: str, reply: Reply, *, changes: bool) -> ToolError:
        match reply.status:
            case 401:
                return ToolError(f"{self.system} does not accept this agent's credentials (401): {self._fix}.")
            case 403:
                return ToolError(f"{self.system} does not let this agent {doing} (403): {reply.message}. {self._fix}.")
            case 404:
                return Missing(f"{self.system} cannot {doing}: there is no such thing, or this agent may not see it.")
            case 409 | 412:
                return TargetMoved(
                    f"{self.system} did not {doing}, because it changed in the meantime: {reply.message}"
                )
            case 429:
                wait = reply.headers.get("retry-after", "")
                soon = f"in {wait} s" if wait.isdecimal() else "soon"
                return ToolError(
                    f"{self.system} is turning requests away (429) and did not {doing}; try again {soon}.",
                    retryable=True,
                )
            case status if status < 400:
                to = reply.headers.get("location", "another address")[:200]
                return ToolError(
                    f"{self.system} redirects to {to} (HTTP {status}), asked to {doing}: set its real base URL."
                )
            case status if status in _UNSETTLED:
                return self._unanswered(doing, f"HTTP {status}", changes=changes)
            case status if status >= 500:
                return ToolError(
                    f"{self.system} failed (HTTP {status}), asked to {doing}: {reply.message}", retryable=True
                )
            case status:
                return ToolError(f"{self.system} refuses to {doing} (HTTP {status}): {reply.message}")

    def _unanswered(self, doing: str, cause: str, *, changes: bool) -> ToolError:
        if changes:
            return OutcomeUnknown(
                f"{self.system} was asked to {doing} and no answer came ({cause}): it may or may not have taken effect."
            )
        return ToolError(f"{self.system} did not answer, asked to {doing} ({cause}).", retryable=True)


def _cause(error: BaseException) -> str:
    return "time limit" if isinstance(error, TimeoutError) else str(error)[:200] or type(error).__name__
