"""Who and what is in the workspace when it starts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Role = Literal["member", "guest", "external", "deactivated", "bot"]


@dataclass(frozen=True)
class Person:
    """A human account. `team_id` is set for people of another workspace."""

    id: str
    name: str
    real_name: str
    title: str
    role: Role = "member"
    color: str = "4a154b"
    team_id: str | None = None


@dataclass(frozen=True)
class Bot:
    """An installed app: its bot user, its bot id and its app id."""

    user_id: str
    bot_id: str
    app_id: str
    name: str
    color: str = "1264a3"


@dataclass(frozen=True)
class Channel:
    """A channel and the names of the people and bots in it."""

    id: str
    name: str
    topic: str
    members: tuple[str, ...]
    is_private: bool = False
    is_ext_shared: bool = False


@dataclass(frozen=True)
class Group:
    """A user group: `handle` without the @."""

    id: str
    handle: str
    name: str
    members: tuple[str, ...]


@dataclass(frozen=True)
class Command:
    command: str
    description: str
    usage_hint: str


@dataclass(frozen=True)
class Shortcut:
    callback_id: str
    name: str
    type: str = "message"


@dataclass(frozen=True)
class Seed:
    """The whole starting state. Members are named by `Person.name` and `Bot.name`."""

    team_id: str
    team_name: str
    team_domain: str
    app: Bot
    bots: tuple[Bot, ...]
    people: tuple[Person, ...]
    channels: tuple[Channel, ...]
    groups: tuple[Group, ...]
    commands: tuple[Command, ...]
    shortcuts: tuple[Shortcut, ...]


_STAFF = ("mara", "jonas", "priya")

DEFAULT_SEED = Seed(
    team_id="T07ACME0001",
    team_name="Acme",
    team_domain="acme",
    app=Bot("U07AGENT001", "B07AGENT001", "A07AGENT001", "Agent", "0b7a75"),
    bots=(Bot("U07ALERTMG1", "B07ALERTMG1", "A07ALERTMG1", "Alertmanager", "c0392b"),),
    people=(
        Person("U07MARA0001", "mara", "Mara Lindqvist", "Site reliability engineer, on call", color="7b1fa2"),
        Person("U07JONAS001", "jonas", "Jonas Weber", "SRE lead", color="1565c0"),
        Person("U07PRIYA001", "priya", "Priya Nair", "Developer, checkout", color="2e7d32"),
        Person("U07GITA0001", "gita", "Gita Guest", "Contractor", "guest", "ef6c00"),
        Person("U0EXTERN001", "ext", "Ext Ernal", "Support at a supplier", "external", "6d4c41", "T0SUPPLIER1"),
        Person("U07OLAF0001", "olaf", "Old Olaf", "Left the company", "deactivated", "757575"),
    ),
    channels=(
        Channel("C07INCIDNT1", "incidents", "One thread per incident", (*_STAFF, "gita", "Agent")),
        Channel("C07ALERTS01", "alerts", "What the monitors say", (*_STAFF, "Agent", "Alertmanager")),
        Channel("C07GENERAL1", "general", "Everybody", (*_STAFF, "gita", "ext", "Agent"), is_ext_shared=True),
        Channel("C07OPSAUD01", "ops-audit", "Decisions and their reasons", ("jonas", "Agent")),
    ),
    groups=(
        Group("S07SRE00001", "sre", "Site reliability", ("mara", "jonas")),
        Group("S07SRELEAD1", "sre-leads", "SRE leads", ("jonas",)),
    ),
    commands=(Command("/agent", "Ask the incident agent", "help | diagnose <alert> | status | incidents | roi"),),
    shortcuts=(Shortcut("diagnose_message", "Diagnose with agent"),),
)
