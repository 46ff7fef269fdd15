"""One channel's queue of messages: what goes next, and when. Times are the event loop's, in seconds."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Pace:
    """Seconds. Slack takes about one message a second and channel; edits of one progress message are droppable."""

    spacing_s: float = 1.1
    edit_s: float = 2.5
    workspace_s: float = 0.1
    backoff_s: float = 0.5
    cap_s: float = 60.0
    probe_s: float = 60.0  # between two looks whether Slack knows this app again

    def after(self, failures: int) -> float:
        """How long to wait after so many failures in a row."""
        return min(self.cap_s, self.backoff_s * 2.0 ** min(failures - 1, 10))


@dataclass
class Item:
    """A message that Slack may not have in its newest revision. `unsure`: an attempt of unknown outcome was made.

    `failures` in a row, the last for the reason `trouble`; `refusals` are those that were about this message alone.
    `unthreaded`: its thread takes no replies, so it goes to the channel itself.
    """

    key: str
    priority: int
    order: int
    not_before: float = 0.0
    unsure: bool = False
    waits_for: str = ""
    failures: int = 0
    refusals: int = 0
    trouble: str = ""
    unthreaded: bool = False

    def back_off(self, pace: Pace, trouble: str) -> None:
        """This message waits, longer after each failure; the others go on."""
        self.failures, self.trouble = self.failures + 1, trouble
        self.not_before = now() + pace.after(self.failures)


@dataclass
class Lane:
    """What waits for one channel. `dead` is Slack's word for why nothing may be written there."""

    channel: str
    items: dict[str, Item] = field(default_factory=dict)
    edited: dict[str, float] = field(default_factory=dict)
    woken: asyncio.Event = field(default_factory=asyncio.Event)
    not_before: float = 0.0
    failures: int = 0
    dead: str = ""
    task: asyncio.Task[None] | None = None
    busy: bool = False

    def put(self, item: Item, edit_gap: float) -> None:
        """Add an item, or make the one that waits more urgent; `edit_gap` is how long after an edit the next may go."""
        known = self.items.setdefault(item.key, item)
        known.priority = item.priority
        known.unsure = known.unsure or item.unsure
        if edit_gap and item.key in self.edited:
            known.not_before = max(known.not_before, self.edited[item.key] + edit_gap)
        self.woken.set()

    def next(self) -> tuple[Item | None, float | None]:
        """The most urgent item that may go now; else how long until one may (None: until something changes)."""
        if self.dead or not self.items:
            return None, None
        moment = now()
        if self.not_before > moment:
            return None, self.not_before - moment
        free = [item for item in self.items.values() if item.waits_for not in self.items]
        ready = [item for item in free if item.not_before <= moment]
        if ready:
            return min(ready, key=lambda item: (item.priority, item.order)), None
        return None, min((item.not_before for item in free), default=moment + 1.0) - moment

    async def sleep(self, seconds: float | None) -> None:
        """Until woken, at most so long."""
        try:
            # not wait_for: in Python 3.11 it loses a cancellation that comes together with the wake-up
            async with asyncio.timeout(seconds):
                await self.woken.wait()
        except TimeoutError:
            return
        finally:
            self.woken.clear()

    def sent(self, item: Item) -> None:
        """Remember when, and forget those long ago."""
        moment = now()
        self.edited = {key: at for key, at in self.edited.items() if moment - at < 60} | {item.key: moment}

    def done(self, item: Item) -> None:
        """Slack has it, or never will."""
        self.items.pop(item.key, None)

    def pause(self, seconds: float) -> None:
        """Nothing goes for so long."""
        self.not_before = max(self.not_before, now() + seconds)

    def back_off(self, pace: Pace) -> None:
        """Wait longer after each failure."""
        self.failures += 1
        self.pause(pace.after(self.failures))

    def revive(self) -> None:
        """The channel can be written to again."""
        self.dead, self.not_before, self.failures = "", 0.0, 0
        self.woken.set()


def now() -> float:
    """The event loop's clock."""
    return asyncio.get_running_loop().time()
