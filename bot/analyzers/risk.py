"""The risk of a deployment: named factors, each with its points and what it rests on. Pure; docs/releases.md has the table.

What is not known counts: not as the worst, and never as nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bot.analyzers.fields import plural, short

MOST = 100


@dataclass(frozen=True)
class Factor:
    """One reason why a deployment is more or less risky. `most` is what it can add; `evidence` are ids of stored reads."""

    name: str
    points: int
    most: int
    says: str
    evidence: tuple[str, ...] = ()


@dataclass(frozen=True)
class File:
    """One changed file. `whole`: its diff was read to its end."""

    path: str
    added: int
    removed: int
    diff: str = ""
    whole: bool = True


def total(factors: Iterable[Factor]) -> int:
    """The risk, from 0 to 100."""
    return min(MOST, sum(factor.points for factor in factors))


# --- the diff -------------------------------------------------------------------------------------------------------------

_DOCS = re.compile(r"(?:^|/)(?:docs?/|README|CHANGELOG|LICENSE)|\.(?:md|rst|txt|adoc)$", re.IGNORECASE)
_TESTS = re.compile(r"(?:^|/)(?:tests?|spec|__tests__)/|(?:^|/)test_[^/]+$|[._-](?:test|spec)\.[a-z]+$", re.IGNORECASE)
_DEPENDENCIES = re.compile(
    r"(?:^|/)(?:requirements[^/]*\.txt|[^/]*\.lock|package(?:-lock)?\.json|pnpm-lock\.yaml|go\.(?:mod|sum)|pom\.xml"
    r"|build\.gradle(?:\.kts)?|pyproject\.toml|Gemfile|Cargo\.toml|composer\.json)$"
)
_SETUP = re.compile(
    r"(?:^|/)(?:Dockerfile[^/]*|Containerfile|\.gitlab-ci\.yml|Jenkinsfile|Makefile|Chart\.yaml|values[^/]*\.yaml)$"
    r"|(?:^|/)(?:deploy|k8s|kubernetes|helm|charts|terraform|ansible|infra|config)/|\.(?:tf|tfvars|ini|toml|conf|properties|env)$"
    r"|(?:^|/)config\.[a-z]+$"
)
_MIGRATION = re.compile(
    r"(?:^|/)(?:migrations?|db/migrate|alembic/versions|flyway|liquibase)/|(?:^|/)V\d+__[^/]+\.sql$"
)
_DESTROYS = re.compile(
    r"^\+.*\b(?:DROP\s+(?:TABLE|COLUMN|INDEX|SCHEMA|DATABASE)|TRUNCATE|DELETE\s+FROM|RENAME\s+(?:TO|COLUMN)|SET\s+NOT\s+NULL"
    r"|ALTER\s+COLUMN\s+\S+\s+(?:SET\s+DATA\s+)?TYPE|drop_(?:column|table|index)|rename_(?:column|table)|remove_column"
    r"|RemoveField|DeleteModel|RenameField|RenameModel)",
    re.IGNORECASE | re.MULTILINE,
)
_KINDS = ("infrastructure and configuration", "dependencies", "code", "tests", "documentation")
_KIND_POINTS = {_KINDS[0]: 15, _KINDS[1]: 10, _KINDS[2]: 5, _KINDS[3]: 0, _KINDS[4]: 0}


def kind_of(path: str) -> str:
    """What kind of file it is; the riskiest that fits."""
    if _DEPENDENCIES.search(path):  # before documentation: requirements.txt is none
        return _KINDS[1]
    if _TESTS.search(path):
        return _KINDS[3]
    if _SETUP.search(path):
        return _KINDS[0]
    return _KINDS[4] if _DOCS.search(path) else _KINDS[2]


def size(files: Sequence[File], evidence: tuple[str, ...], *, complete: bool) -> Factor:
    """How much changed: up to 50 lines nothing, up to 300 ten points, up to 1,000 twenty, beyond that thirty."""
    lines = sum(file.added + file.removed for file in files if kind_of(file.path) not in _KINDS[3:])
    points = 0 if lines <= 50 else 10 if lines <= 300 else 20 if lines <= 1000 else 30
    says = f"{plural(lines, 'line')} of code and configuration in {plural(len(files), 'file')}"
    if not complete:
        return Factor("size", 30, 30, f"more than GitLab shows: at least {says}", evidence)
    return Factor("size", points, 30, says, evidence)


def kind(files: Sequence[File], evidence: tuple[str, ...]) -> Factor:
    """The riskiest kind of file that changed."""
    seen = {kind_of(file.path): file.path for file in reversed(files)}
    worst = next((each for each in _KINDS if each in seen), "")
    if not worst:
        return Factor("kind", 0, 15, "nothing changed", evidence)
    return Factor("kind", _KIND_POINTS[worst], 15, f"{worst}: {short(seen[worst], 80)}", evidence)


def migration(files: Sequence[File], evidence: tuple[str, ...]) -> Factor:
    """Whether the database changes: by adding something fifteen points, by what cannot be taken back thirty."""
    found = [file for file in files if _MIGRATION.search(file.path) and kind_of(file.path) != _KINDS[3]]
    if not found:
        return Factor("migration", 0, 30, "no database migration", evidence)
    for file in found:
        if lost := _DESTROYS.search(file.diff):
            said = f"{short(file.path, 80)}: {short(lost[0].lstrip('+ '), 60)}, which a rollback does not bring back"
            return Factor("migration", 30, 30, said, evidence)
    unread = next((file for file in found if not file.diff or not file.whole), None)
    if unread is not None:
        return Factor("migration", 30, 30, f"{short(unread.path, 80)} could not be read to its end", evidence)
    return Factor("migration", 15, 30, f"{short(found[0].path, 80)} adds to the database", evidence)


# --- around it ------------------------------------------------------------------------------------------------------------


def history(total_tests: int, failed: int, pipelines: int, red: int, flaky: int, evidence: tuple[str, ...]) -> Factor:
    """The pipeline's own tests, and how its branch did lately: of `pipelines` that ended `red` failed."""
    if failed:
        return Factor("tests", 30, 30, f"{failed} of {plural(total_tests, 'test')} failed", evidence)
    if not total_tests:
        return Factor("tests", 15, 30, "no test was reported", evidence)
    said = f"{plural(total_tests, 'test')} passed"
    points = 0
    if pipelines and red * 3 >= pipelines:
        points, said = 10, f"{said}; {red} of the last {plural(pipelines, 'pipeline')} failed"
    if flaky:
        points, said = points + 5, f"{said}; {plural(flaky, 'test')} failed and passed on the same commit"
    return Factor("tests", points, 30, said, evidence)


def moment(calendar: Mapping[str, Any]) -> Factor:
    """When it would be deployed, by the policy's calendars: in a freeze twenty points, outside business hours ten, on a
    Friday afternoon five. Without a business calendar nothing is known but the freezes.
    """
    at = f"{calendar.get('date', '')}, {calendar.get('hour', 0)} o'clock"
    if calendar.get("frozen"):
        names = ", ".join(map(str, calendar.get("freezes") or ()))
        return Factor("time", 20, 20, f"in the freeze {short(names, 80)}")
    if calendar.get("business") is False:
        return Factor("time", 10, 20, f"outside business hours ({at})")
    if calendar.get("weekday") == 5 and int(calendar.get("hour", 0)) >= 15:
        return Factor("time", 5, 20, f"on a Friday afternoon ({at})")
    known = "within business hours" if calendar.get("business") else "no business calendar is set"
    return Factor("time", 0, 20, f"{known} ({at})")


def incidents(same: Sequence[str], others: int, evidence: tuple[str, ...]) -> Factor:
    """Open incidents: about the same service twenty points, elsewhere in the environment five."""
    if same:
        return Factor("incidents", 20, 20, f"open on the same service: {short('; '.join(same), 120)}", evidence)
    if others:
        return Factor("incidents", 5, 20, f"{plural(others, 'incident')} open elsewhere in the environment", evidence)
    return Factor("incidents", 0, 20, "none is open", evidence)


def error_budget(remaining: int | None, window: str, evidence: tuple[str, ...]) -> Factor:
    """What is left of it, percent: half and more nothing, under half ten points, under a tenth twenty, none thirty."""
    if remaining is None:
        said = "not known: no objective is set for this project, or nothing was measured"
        return Factor("error budget", 5, 30, said, evidence)
    points = 0 if remaining >= 50 else 10 if remaining >= 10 else 20 if remaining > 0 else 30
    return Factor("error budget", points, 30, f"{remaining} % of it is left over {window}", evidence)
