"""How the program in an image behaves, and what it has written to its log by now."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

MAX_LINES = 1000


@dataclass(frozen=True, slots=True)
class Behaviour:
    """The program in one image. Times are in seconds at speed 1.

    pull_error: the registry's answer when the image cannot be had. crash_exit_code: None for a program that stays
    up; 0 for one that ends well.
    memory_mib: what it uses; over the container's limit it is killed. not_ready: the readiness probe's failure, for
    a program that never becomes ready. dies: the liveness probe's failure, for one that hangs after a while.
    """

    ready_after: float = 1.2
    pull_seconds: float = 0.5
    pull_error: str | None = None
    size_mib: int = 84
    crash_exit_code: int | None = None
    crash_after: float = 0.5
    memory_mib: int = 96
    not_ready: str | None = None
    dies: str | None = None
    log_lines: tuple[str, ...] = ()
    steady_lines: tuple[str, ...] = ()
    steady_seconds: float = 2.0


HEALTHY = Behaviour()


def behaviour_of(image: str, images: dict[str, Behaviour]) -> Behaviour:
    """How an image behaves: by its table entry; an unknown tag of a known repository does not exist;
    a repository that the table does not know holds a healthy program."""
    if image in images:
        return images[image]
    if repository(image) in {repository(known) for known in images}:
        return Behaviour(pull_error=f'failed to resolve reference "{image}": {image}: not found')
    return HEALTHY


def repository(image: str) -> str:
    """An image's name without tag or digest."""
    path, slash, last = image.partition("@")[0].rpartition("/")
    return f"{path}{slash}{last.partition(':')[0]}"


@dataclass(frozen=True, slots=True)
class Line:
    at: datetime
    text: str


@dataclass(slots=True)
class Process:
    """One start of a container: everything its log follows from."""

    behaviour: Behaviour
    started: datetime
    crashing: bool
    speed: float
    ended: datetime | None = None

    def lines(self, now: datetime) -> list[Line]:
        """The log up to `now`, oldest first, at most MAX_LINES."""
        until = min(now, self.ended or now)
        first = [line for line in self._first() if line.at <= until]
        return [*first, *self._steady(until)][-MAX_LINES:]

    def _first(self) -> Iterator[Line]:
        b = self.behaviour
        span = 0.8 * (b.crash_after if self.crashing else b.ready_after) / self.speed
        for i, text in enumerate(b.log_lines):
            yield Line(self.started + timedelta(seconds=span * i / len(b.log_lines)), text)

    def _steady(self, until: datetime) -> Iterator[Line]:
        b = self.behaviour
        if self.crashing or not b.steady_lines:
            return
        start, step = self.started + timedelta(seconds=b.ready_after / self.speed), b.steady_seconds / self.speed
        count = int((until - start).total_seconds() // step) + 1
        for i in range(max(0, count - MAX_LINES), count):
            yield Line(start + timedelta(seconds=i * step), b.steady_lines[i % len(b.steady_lines)])
