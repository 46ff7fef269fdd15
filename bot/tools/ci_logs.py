"""CI logs: the step that failed, what it said of it, and the tests that failed. Pure, for GitLab's and Jenkins' markers.

A job's last lines are seldom its failure: clean-up, artifacts and after-scripts follow it. Nothing is masked here because
redaction follows, so lines are only ever cut between words and an excerpt is one text: half a secret would pass it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

LARGEST = 4 * 1024 * 1024
"""Characters that are looked at: of a longer log its first quarter and its last three quarters of this."""

MOST_ERRORS, MOST_TESTS, MOST_LINES, LONGEST_LINE = 12, 50, 60, 500

_LOOKED_AT = 2000  # characters of a line that are searched for words
_NOTE = re.compile(r"\x1b\[8mha:[^\x1b\n]*\x1b\[0m")  # Jenkins' annotations: base64 between two colours
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b\n]*(?:\x07|\x1b\\)|\x1b[@-Z\\-_]?")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_STAMP = re.compile(
    r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z) [0-9a-f]{2}[OE]([ +])|\[\d{4}-\d\d-\d\dT[\d:.]{8,15}Z\] "
)
_MARKER = re.compile(r"section_(start|end):\d{1,12}:([\w.-]{1,200})(?:\[[^\]\r\n]{0,200}\])?\r?(?:\x1b\[0K)?")
_ECHOED = re.compile(r"\x1b\[32;1m\$ ")
_COMMAND = re.compile(r"(?:\[[^\]]{1,80}\] )?(?:\$|\+{1,3}) (\S.*)")
_STAGE = re.compile(r"(?:\[[^\]]{1,80}\] )?\[Pipeline\] \{ \((?:Branch: )?(.{1,200})\)$")
_STAGE_END = re.compile(r"(?:\[[^\]]{1,80}\] )?\[Pipeline\] // (?:stage|parallel)$")
_MACHINERY = re.compile(r"(?:\[[^\]]{1,80}\] )?\[Pipeline\] ")
_PIPELINE_ENDS = "[Pipeline] End of Pipeline"
_BRANCH_FAILED = re.compile(r"Failed in branch (.{1,200})$")
_LOST = re.compile(r"AgentOfflineException|ChannelClosedException")  # a script was at work when its machine went away
_STAGES = re.compile(r"\[Pipeline\] \{ \((?:Branch: )?(.{1,200})\)\s*$", re.MULTILINE)
_THROWN = re.compile(r"ERROR: (?!script returned exit code)\S|(?:[a-z]\w*\.)+\w*(?:Exception|Error)(?:: |$)")
_SKIPPED = re.compile(r'Stage "(.{1,200})" skipped due to earlier failure')
_NOT_WANTED = re.compile(r'Stage "(.{1,200})" skipped due to when conditional')

_AFTER = frozenset(
    {
        *("after_script", "upload_artifacts_on_failure", "upload_artifacts_on_success", "archive_cache"),
        *("archive_cache_on_failure", "cleanup_file_variables", "clear_worktree", "Declarative: Post Actions"),
        "Post-build Actions",
    }
)
"""What runs whether or not the job failed, and says nothing of why."""

_END = re.compile(
    r"(?:ERROR|WARNING): Job failed(?: \(system failure\))?: (?P<gitlab>.*)"
    r"|ERROR: script returned exit code (?P<jenkins>\d{1,10})"
    r"|(?P<freestyle>Build step '.{1,200}' marked build as failure)"
    r"|Finished: (?P<finished>FAILURE|ABORTED|UNSTABLE|NOT_BUILT)"
)
_FINE = re.compile(r"Job succeeded$|Finished: SUCCESS$")
_EXIT = re.compile(r"exit (?:code|status):? (\d{1,10})")

_ERROR = re.compile(
    r"\b(?:error|fatal|panic|exception|traceback|failed|failure|denied|refused|cannot|unable to|undefined reference"
    r"|no such file|not found|out of memory|killed|segmentation fault|npm err!)(?!\w)"
    r"|\w(?:Error|Exception)\b|^E   |^✕|^✗|^--- FAIL",
    re.IGNORECASE,
)
_NO_ERROR = re.compile(
    r"\b(?:0|no) (?:errors?|failures?|failed)\b|\b(?:errors?|failures?|failed)[:=] ?0\b|\bxfailed\b|\berror[-_ ]?(?:handl|free)"
    r"|\bif (?:it )?fail|\bretry(?:ing)? on (?:error|failure)|^\[INFO\]",
    re.IGNORECASE,
)
_INFRASTRUCTURE = re.compile(
    r"Job failed \(system failure\).*|execution took longer than .*|no space left on device"
    r"|Cannot connect to the Docker daemon.*|runner system failure|prepare environment: .*|Cannot contact [\w.-]{1,100}: .*"
    r"|ChannelClosedException|ClosedChannelException|agent (?:went offline|was removed|is offline|disconnected).*"
    r"|toomanyrequests: .*|TLS handshake timeout|Temporary failure in name resolution|i/o timeout"
    r"|received unexpected HTTP status: 5\d\d.*|The requested URL returned error: 5\d\d"
    r"|unexpected disconnect while reading sideband packet|dial tcp .*: connect: connection refused"
)

_TESTS = (
    re.compile(r"(?:FAILED|ERROR) (?P<name>\S+\.py::\S.*?)(?: - .*)?$"),  # pytest
    re.compile(r"(?:FAIL|ERROR): (?P<name>\w+ \([\w.]+\))"),  # unittest
    re.compile(r"\s*--- FAIL: (?P<name>\S+) \("),  # go
    re.compile(r"test (?P<name>\S+) \.\.\. FAILED$"),  # cargo
    re.compile(r"(?P<name>[\w.$]+ > .{1,200}?) FAILED$"),  # gradle
    re.compile(
        r"\[ERROR\] +(?P<name>[\w.$]+\.\w+(?:\(\))?)(?::\d+)? .*(?:expected|Exception|Error|»|<<< (?:FAIL|ERR))"
    ),
    re.compile(r"rspec (?P<name>\./\S+:\d+)"),
    re.compile(r"\s*● (?P<name>.{1,200} › .{1,200})$"),  # jest
    re.compile(r"not ok \d+ (?:- )?(?P<name>[^#]{1,200})(?:#.*)?$"),  # TAP
    re.compile(r"\d+\) (?P<name>[\w\\]+::\w+)"),  # phpunit
)
_MAY_BE_A_TEST = re.compile(r"FAIL|ERROR|rspec|●|not ok|::")


@dataclass(frozen=True)
class Step:
    """A stretch of a log: the section or stage it stands in, the command that was echoed, and what it said.

    `section` and `command` are empty where the log names none. `start` is its first line, from 1.
    """

    section: str
    command: str
    start: int
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Failure:
    """Why a job failed, as far as its log tells.

    `line` is where the first error line stands, from 1, and `excerpt` the text around it; `end` is how the runner words
    the end, `exit_code` what it says of the command, None where it says nothing. `infrastructure` is the line that blames the
    machinery rather than the code, empty where none does. `cut` means that the middle of the log was not looked at.
    """

    section: str
    command: str
    line: int
    errors: tuple[str, ...]
    tests: tuple[str, ...]
    excerpt: str
    end: str = ""
    exit_code: int | None = None
    infrastructure: str = ""
    cut: bool = False

    @property
    def step(self) -> str:
        """The failing step in words: the command where one was echoed, else the section."""
        return self.command or self.section


def find_failure(log: str) -> Failure | None:
    """The failing step of a job's log; None where the log says that the job succeeded, or says nothing at all."""
    text, cut = _bounded(log)
    steps = read_steps(text)
    lines = [line for step in steps for line in step.lines]
    end = next((found for line in reversed(lines[-400:]) if (found := _END.match(line))), None)
    if not lines or (end is None and any(_FINE.match(line) for line in lines[-40:])):
        return None
    failed = _thrown(text) or _failing(steps, unstable=bool(end and end["finished"] == "UNSTABLE"))
    errors = [(n, line) for n, line in enumerate(failed.lines) if _is_error(line)]
    first = errors[0][0] if errors else max(0, len(failed.lines) - MOST_LINES // 2)
    blamed = [found for line in (*failed.lines, *lines[-40:]) if (found := _INFRASTRUCTURE.search(line[:_LOOKED_AT]))]
    return Failure(
        section=failed.section,
        command=shortened(failed.command),
        line=failed.start + first,
        errors=_chosen((line for _, line in errors), MOST_ERRORS),
        tests=failed_tests(line for step in steps if step.section not in _AFTER for line in step.lines),
        excerpt=_around(failed.lines, first),
        end=shortened(end[0]) if end else "",
        exit_code=_exit_code(lines),
        infrastructure=shortened(blamed[0][0]) if blamed else "",
        cut=cut,
    )


def read_steps(log: str) -> list[Step]:
    """The log's steps in order: one for each section, stage and echoed command. Empty ones are left out."""
    scribe = _Scribe(echoes=bool(_ECHOED.search(log)))
    for raw in log.split("\n"):
        scribe.take(raw)
    return scribe.finish()


def failed_tests(lines: Iterable[str]) -> tuple[str, ...]:
    """The names of failed tests as pytest, unittest, go, cargo, gradle, maven, rspec, jest, TAP and phpunit print them."""
    found: dict[str, None] = {}
    for line in lines:
        if len(line) <= 1000 and _MAY_BE_A_TEST.search(line):
            match = next((match for pattern in _TESTS if (match := pattern.match(line))), None)
            if match:
                found[match["name"].strip()] = None
    return tuple(list(found)[:MOST_TESTS])


def plain(line: str) -> str:
    """A line as a terminal would leave it standing: no colours or control characters, the last state of a rewritten one."""
    line = _ESCAPES.sub("", _NOTE.sub("", line)) if "\x1b" in line else line
    line = line.rstrip("\r").rpartition("\r")[2]
    return line if line.isprintable() else _CONTROL.sub("", line)


def shortened(line: str, limit: int = LONGEST_LINE) -> str:
    """At most so many characters, cut between words and never within one; a word that is too long is left out whole."""
    if len(line) <= limit:
        return line
    kept = line[: limit + 1]
    kept = kept[: max(kept.rfind(" "), kept.rfind("\t"), 0)].rstrip()
    return f"{kept} … ({len(line)} characters)".lstrip()


class _Scribe:
    """Reads a log line by line and keeps the steps. The innermost section that is open names a line's place."""

    def __init__(self, *, echoes: bool) -> None:
        self._echoes = echoes  # a runner that colours the commands it echoes: other lines with a dollar are output
        self._sections: list[str] = []
        self._steps: list[Step] = []
        self._lines: list[str] = []
        self._command, self._start, self._number = "", 1, 0

    def take(self, raw: str) -> None:
        """One line with its markers, colours and time stamps."""
        self._number += 1
        stamp = _STAMP.match(raw)
        if stamp:
            raw = raw[stamp.end() :]
        place = 0
        for marker in _MARKER.finditer(raw) if "section_" in raw else ():
            self._say(raw[place : marker.start()])
            self._turn(marker[1], marker[2])
            place = marker.end()
        rest = raw[place:]
        if place == 0 or rest.strip():
            self._say(rest, continued=bool(stamp and stamp[2] == "+"))

    def finish(self) -> list[Step]:
        """The steps, once every line was taken."""
        self._close()
        return self._steps

    def _say(self, raw: str, *, continued: bool = False) -> None:
        line = plain(raw)
        if not line:
            if raw == "" and self._lines:
                self._lines.append("")
            return
        if continued and self._lines:
            self._lines[-1] += line
            return
        if self._is_machinery(line):
            return
        command = _COMMAND.match(line) if not self._echoes or _ECHOED.search(raw) else None
        if command:
            self._close(command[1])
        self._lines.append(line)
        if (end := _END.match(line)) and end["freestyle"]:  # publishers follow, whatever the build came to
            self._turn("start", "Post-build Actions")

    def _is_machinery(self, line: str) -> bool:
        """Jenkins' own lines: a stage that begins or ends, or nothing of interest."""
        if "[Pipeline]" not in line:
            return False
        if stage := _STAGE.match(line):
            self._turn("start", stage[1])
        elif _STAGE_END.match(line) and self._sections:
            self._turn("end", self._sections[-1])
        return bool(_MACHINERY.match(line))

    def _turn(self, way: str, name: str) -> None:
        self._close()
        if way == "start":
            self._sections.append(name)
        elif name in self._sections:  # those within it that were never ended end with it
            del self._sections[self._sections.index(name) :]

    def _close(self, command: str = "") -> None:
        if any(self._lines):
            section = self._sections[-1] if self._sections else ""
            self._steps.append(Step(section, self._command, self._start, tuple(self._lines)))
        self._lines, self._command, self._start = [], command, max(1, self._number)


def _bounded(log: str) -> tuple[str, bool]:
    if len(log) <= LARGEST:
        return log, False
    head, tail = log[: LARGEST // 4], log[-LARGEST * 3 // 4 :]
    return f"{head[: head.rfind(chr(10)) + 1]}{tail[tail.find(chr(10)) + 1 :]}", True


def _failing(steps: list[Step], *, unstable: bool = False) -> Step:
    """The last step that ran before the job gave up: no after-thought, no stage that was skipped, not the runner's end.

    A build that is only unstable goes on after its failed tests: there it is the step that names them. A branch that Jenkins
    says has failed is where its last step failed, whatever ran beside it.
    """
    skipped = next((n for n, step in enumerate(steps) if any(_SKIPPED.match(line) for line in step.lines)), len(steps))
    before = [step for step in steps[:skipped] if step.section not in _AFTER and any(map(_speaks, step.lines))]
    telling = [step for step in before if failed_tests(step.lines)] if unstable else []
    placed = [step for step in before if step.section or step.command]
    failed = (telling or placed or before or steps)[-1]
    branch = next((match[1] for step in steps for line in step.lines if (match := _BRANCH_FAILED.match(line))), "")
    return replace(failed, section=branch) if branch else failed


def _thrown(text: str) -> Step | None:
    """What a pipeline threw itself, where no script of it failed: an error step, a mistake in its own code. It stands behind
    the pipeline's end, and belongs to the stage that ran last.
    """
    at = text.rfind(_PIPELINE_ENDS)
    lines = [plain(_STAMP.sub("", raw)) for raw in text[at:].split("\n")[1:]] if at >= 0 else []
    first = next((n for n, line in enumerate(lines) if _THROWN.match(line)), None)
    if first is None or _exit_code(lines) is not None or any(map(_LOST.search, lines)):
        return None
    if lines[first] in text[:at]:
        return None  # a step said so before, and more
    idle = {match[1] for match in _SKIPPED.finditer(text[:at])}
    ran = [name for name in _STAGES.findall(text[:at]) if name not in _AFTER and name not in idle]
    return Step(ran[-1] if ran else "", "", text.count("\n", 0, at) + first + 2, tuple(lines[first:]))


def _speaks(line: str) -> bool:
    return bool(line.strip()) and not any(each.match(line) for each in (_END, _BRANCH_FAILED, _NOT_WANTED))


def _is_error(line: str) -> bool:
    start = line[:_LOOKED_AT]
    return bool(_ERROR.search(start)) and not _NO_ERROR.search(start) and not _END.match(start)


def _exit_code(lines: list[str]) -> int | None:
    for line in reversed(lines[-400:]):
        if match := _END.match(line):
            if match["jenkins"]:
                return int(match["jenkins"])
            if code := _EXIT.search(line[:_LOOKED_AT]):
                return int(code[1])
    return None


def _chosen(lines: Iterable[str], most: int) -> tuple[str, ...]:
    """The first and the last of them, without repetitions: the first names the cause, the last what came of it."""
    unique = list(dict.fromkeys(shortened(line.strip()) for line in lines))
    return tuple(unique) if len(unique) <= most else (*unique[: most - most // 3], *unique[-(most // 3) :])


def _around(lines: tuple[str, ...], first: int) -> str:
    start = max(0, first - MOST_LINES // 4)
    return "\n".join(shortened(line) for line in lines[start : start + MOST_LINES]).rstrip()
