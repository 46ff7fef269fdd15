"""A stand-in Slack workspace on loopback, for the demonstration and the tests."""

from .clock import Clock
from .seed import DEFAULT_SEED, Bot, Channel, Command, Group, Person, Seed, Shortcut
from .state import WorkspaceError
from .web_api import ApiCall
from .workspace import Workspace

__all__ = [
    "DEFAULT_SEED",
    "ApiCall",
    "Bot",
    "Channel",
    "Clock",
    "Command",
    "Group",
    "Person",
    "Seed",
    "Shortcut",
    "Workspace",
    "WorkspaceError",
]
