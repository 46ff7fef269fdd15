"""Short-lived permissions an interaction gives the app: trigger ids and response URLs."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from .clock import Clock

TRIGGER_SECONDS = 3.0
HOOK_SECONDS = 30 * 60.0
HOOK_USES = 5


@dataclass
class Trigger:
    """Lets the app open one modal for `user`; `view_id` is the modal it was pressed in."""

    user: str
    at: float
    view_id: str | None = None
    used: bool = False


@dataclass
class Hook:
    """A response URL: where its messages go, and the message it may replace."""

    user: str
    channel: str
    at: float
    message_ts: str | None = None
    uses: int = 0


class Triggers:
    """Hands out trigger ids and response URLs, and says whether they still count."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._triggers: dict[str, Trigger] = {}
        self._hooks: dict[str, Hook] = {}

    def trigger(self, user: str, view_id: str | None = None) -> str:
        """A new trigger id for what `user` has just done."""
        trigger_id = f"{secrets.randbelow(10**13)}.{secrets.randbelow(10**13)}.{secrets.token_hex(16)}"
        self._triggers[trigger_id] = Trigger(user, self._clock.now(), view_id)
        return trigger_id

    def use(self, trigger_id: str) -> Trigger | str:
        """The trigger, now used up, or the error code for why it does not count."""
        trigger = self._triggers.get(trigger_id)
        if trigger is None:
            return "invalid_trigger_id"
        if trigger.used:
            return "exchanged_trigger_id"
        if self._clock.now() - trigger.at > TRIGGER_SECONDS:
            return "expired_trigger_id"
        trigger.used = True
        return trigger

    def hook(self, user: str, channel: str, message_ts: str | None = None) -> str:
        """The path of a new response URL."""
        key = secrets.token_hex(12)
        self._hooks[key] = Hook(user, channel, self._clock.now(), message_ts)
        return f"/hooks/{key}"

    def answer(self, key: str) -> Hook | str:
        """The hook, with one use counted, or the error code for why it is spent."""
        hook = self._hooks.get(key)
        if hook is None or self._clock.now() - hook.at > HOOK_SECONDS:
            return "expired_url"
        if hook.uses >= HOOK_USES:
            return "used_url"
        hook.uses += 1
        return hook
