"""One request understood: who asks, of which project, with which parameters; and lists cut into pages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from aiohttp import web

from bot.local.gitlab.errors import ApiError, forbidden, insufficient_scope, invalid_parameters
from bot.local.gitlab.model import DEVELOPER, Project, Token

MOST = 100


@dataclass
class Call:
    """A request to one project: `args` are what its path names, `query` and `body` its parameters."""

    base: str
    path: str
    token: Token
    project: Project
    args: dict[str, str]
    query: dict[str, list[str]]
    body: dict[str, Any] = field(default_factory=dict)

    @property
    def role(self) -> int:
        return self.token.projects.get(self.project.path, 0)

    def changes(self) -> None:
        """This call changes something: it takes the scope `api` and the role Developer."""
        if "api" not in self.token.scopes:
            raise insufficient_scope("api")
        if self.role < DEVELOPER:
            raise forbidden()

    def text(self, name: str, default: str = "") -> str:
        """A parameter of the query or the body."""
        value = self.query.get(name, [self.body.get(name)])[0]
        return default if value is None else value if isinstance(value, str) else str(value)

    def number(self, name: str, default: int) -> int:
        value = self.text(name, str(default))
        if not value.isdecimal():
            raise invalid_parameters(f"{name} is invalid")
        return int(value)

    def truth(self, name: str) -> bool:
        return self.text(name, "false").lower() in ("true", "1")

    def several(self, name: str) -> list[str]:
        return [*self.query.get(f"{name}[]", []), *self.query.get(name, [])]

    def choice(self, name: str, allowed: Sequence[str], default: str = "") -> str:
        value = self.text(name, default)
        if value and value not in allowed:
            raise invalid_parameters(f"{name} does not have a valid value")
        return value

    def required(self, *names: str) -> list[str]:
        """These parameters. All that are missing are told at once."""
        missing = [f"{name} is missing" for name in names if not self.text(name)]
        if missing:
            raise invalid_parameters(*missing)
        return [self.text(name) for name in names]


@dataclass(frozen=True)
class Answer:
    """What a handler gives: a status, a JSON body or text, and headers."""

    body: Any
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


def paged(call: Call, items: Sequence[Any], *, counted: bool = True) -> Answer:
    """One page of a list with GitLab's headers; without counts where the real list leaves them out."""
    size, page = min(MOST, call.number("per_page", 20)), call.number("page", 1)
    if size < 1:
        raise invalid_parameters("per_page has a value not allowed")
    page = max(1, page)
    chosen = list(items[(page - 1) * size : page * size])
    pages = max(1, -(-len(items) // size))
    following = page + 1 if page < pages else 0
    headers = {
        "X-Page": str(page),
        "X-Per-Page": str(size),
        "X-Next-Page": str(following or ""),
        "X-Prev-Page": str(page - 1 if page > 1 else ""),
        "Link": _links(call, {"next": following, "first": 1, "last": pages if counted else 0}),
    }
    if counted:
        headers |= {"X-Total": str(len(items)), "X-Total-Pages": str(pages)}
    return Answer(chosen, headers=headers)


def keyset(call: Call, items: Sequence[Any], identities: Sequence[int]) -> Answer:
    """A page after a cursor, newest first; only a Link says that there is more."""
    size = min(MOST, call.number("per_page", 20))
    before = call.number("cursor", 0) or 2**62
    pairs = [(item, number) for item, number in zip(items, identities, strict=True) if number < before]
    chosen = pairs[:size]
    link = _link(call, "next", {"cursor": str(chosen[-1][1])}) if len(pairs) > size else ""
    return Answer([item for item, _ in chosen], headers={"Link": link} if link else {})


def _links(call: Call, pages: dict[str, int]) -> str:
    return ", ".join(_link(call, name, {"page": str(number)}) for name, number in pages.items() if number)


def _link(call: Call, name: str, new: dict[str, str]) -> str:
    kept = {key: values[0] for key, values in call.query.items()} | new
    return f'<{call.base}{call.path}?{urlencode(kept)}>; rel="{name}"'


async def body_of(http: web.Request) -> dict[str, Any]:
    """The parameters in a body: a JSON object or a form; none is none."""
    if not http.can_read_body:
        return {}
    if http.content_type == "application/json":
        try:
            found = await http.json()
        except ValueError:
            raise ApiError(400, {"error": "The request body is not valid JSON"}) from None
        return found if isinstance(found, dict) else {}
    return dict(await http.post())
