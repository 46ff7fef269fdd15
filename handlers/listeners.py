"""The list of listeners. A new Slack surface is a file with a `register` and a line here."""

from __future__ import annotations

from slack_bolt.async_app import AsyncApp

from handlers import (
    approvals,
    authority,
    commands,
    evidence,
    feedback,
    figures,
    home,
    inbox,
    lifecycle,
    mentions,
    scans,
)
from handlers.services import Services

LISTENERS = (
    inbox.register,  # first: durable before everything
    commands.register,
    mentions.register,
    approvals.register,
    authority.register,
    feedback.register,
    figures.register,
    evidence.register,
    scans.register,
    home.register,
    lifecycle.register,
    lifecycle.register_rest,  # last: what nobody listens to is acknowledged too
)


def register(app: AsyncApp, services: Services) -> None:
    """Every listener, specific ones first."""
    for add in LISTENERS:
        add(app, services)
