"""Who asks, what they may, and the crumbs that a login with a password needs for every change."""

from __future__ import annotations

import base64
import binascii
import hashlib
import secrets
from dataclasses import dataclass, field

from aiohttp import web

from bot.local.jenkins import pages

COOKIE = "JSESSIONID.2d1f8a09"
CRUMB = "Jenkins-Crumb"
READ, ADMINISTER = "Overall/Read", "Overall/Administer"
JOB_READ, JOB_BUILD, JOB_CANCEL = "Job/Read", "Job/Build", "Job/Cancel"
LEAST = frozenset({READ, JOB_READ, JOB_BUILD, JOB_CANCEL})
"""What an agent needs."""


class Refusal(Exception):
    """An answer that ends a request."""

    def __init__(self, status: int, body: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(f"HTTP {status}")
        self.status, self.body, self.headers = status, body, headers or {}


@dataclass
class User:
    """A person or a program. `folders`: where it may do something with jobs; empty means everywhere."""

    id: str
    name: str
    token: str
    password: str
    permissions: frozenset[str] = LEAST
    folders: tuple[str, ...] = ()

    def may(self, permission: str, job: str = "") -> bool:
        """Whether it holds a permission, for a job where one is named."""
        if ADMINISTER in self.permissions:
            return True
        there = not job or not self.folders or any(job == each or job.startswith(f"{each}/") for each in self.folders)
        return permission in self.permissions and there


ANONYMOUS = User("anonymous", "anonymous", "", "", frozenset())


@dataclass(frozen=True)
class Caller:
    """Who makes a request, and how they showed it."""

    user: User
    by_token: bool = False
    session: str = ""


@dataclass
class Security:
    """Jenkins' own user database, matrix authorization and the default crumb issuer."""

    users: list[User] = field(default_factory=list)
    crumbs: bool = True
    _sessions: set[str] = field(default_factory=set)
    _salt: str = field(default_factory=lambda: secrets.token_hex(16))

    def caller(self, http: web.Request) -> Caller:
        """Who asks. Raises Refusal (401) where the password or token is wrong."""
        session = http.cookies.get(COOKIE, "")
        session = session if session in self._sessions else ""
        scheme, _, given = http.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "basic":
            return Caller(ANONYMOUS, session=session)
        try:
            name, _, secret = base64.b64decode(given, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            name, secret = "", ""
        user = next((each for each in self.users if each.id == name), None)
        if user is not None and secret and secret in (user.token, user.password):
            return Caller(user, secret == user.token, session)
        challenge = {"WWW-Authenticate": 'Basic realm="Jenkins"'}
        raise Refusal(401, pages.jetty(401, "Unauthorized", http.path), challenge)

    def open_session(self, caller: Caller) -> str:
        """The caller's session, a new one where there is none."""
        session = caller.session or f"node0{secrets.token_hex(12)}"
        self._sessions.add(session)
        return session

    def forget_sessions(self) -> None:
        """As after a restart: no session and no crumb of before is valid."""
        self._sessions.clear()

    def crumb(self, user: User, session: str) -> str:
        """The crumb of a user within a session."""
        return hashlib.sha256(f"{user.id};127.0.0.1;{session};{self._salt}".encode()).hexdigest()

    def check_crumb(self, http: web.Request, caller: Caller) -> None:
        """Raises Refusal (403) where a change needs a crumb and has no valid one. API tokens need none."""
        if not self.crumbs or caller.by_token:
            return
        given = http.headers.get(CRUMB, "")
        if not caller.session or given != self.crumb(caller.user, caller.session):
            message = "No valid crumb was included in the request"
            raise Refusal(403, pages.jetty(403, message, http.path))
