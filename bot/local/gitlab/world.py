"""The small world: four services of a shop with their history, and what can go wrong in their pipelines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from bot.local.gitlab.engine import Engine
from bot.local.gitlab.model import Outcome, Project, Step, User, now
from bot.local.gitlab.repository import Commit, Repository, Tree

MARA = User(2, "mara", "Mara Lindqvist")
PRIYA = User(3, "priya", "Priya Nair")
JONAS = User(4, "jonas", "Jonas Weber")
AGENT = User(91, "project_7_bot_5f2c", "personal-agent", bot=True)
CI_IMAGE = "registry.acme.dev/shop"

STEPS = (
    Step("build", "build", "docker build --tag $CI_IMAGE .", 1.0),
    Step("lint", "test", "ruff check .", 0.6),
    Step("unit", "test", "pip install --quiet -r requirements.txt\npytest -q --junitxml=report.xml tests/unit", 1.6),
    Step("integration", "test", "pytest -q --junitxml=report.xml tests/integration", 2.0),
    Step("deploy-staging", "deploy", "./deploy.sh staging", 1.2, environment="staging"),
    Step("deploy-production", "release", "./deploy.sh production", 1.6, manual=True, environment="production"),
)
UNIT = (
    ("tests.unit.test_cart", "test_empty_cart_costs_nothing"),
    ("tests.unit.test_tax", "test_total_with_regional_tax"),
    ("tests.unit.test_tax", "test_rounding_is_half_up"),
)
INTEGRATION = (
    ("tests.integration.test_orders", "test_an_order_is_paid_once"),
    ("tests.integration.test_stock", "test_reservation_expires"),
)

TAX = b'''"""Taxes on a cart, in cents."""

RATES = {"DE": 19, "FR": 20, "SE": 25}


def total(net: int, region: str) -> int:
    """What a customer pays: net and tax, rounded half up."""
    return net + (net * RATES[region] + 50) // 100
'''
BROKEN_TAX = TAX.replace(b"net + (net * RATES[region] + 50) // 100", b"net + net * RATES.get(region, 0) // 1000")
TAX_FAILED = (
    "=================================== FAILURES ===================================",
    "_________________________ test_total_with_regional_tax _________________________",
    "",
    "    def test_total_with_regional_tax():",
    ">       assert total(1000, 'DE') == 1190",
    "E       AssertionError: assert 1019 == 1190",
    "E        +  where 1019 = total(1000, 'DE')",
    "",
    "tests/unit/test_tax.py:11: AssertionError",
    "=========================== short test summary info ============================",
    "FAILED tests/unit/test_tax.py::test_total_with_regional_tax - AssertionError: assert 1019 == 1190",
    "1 failed, 2 passed in 0.41s",
)
STOCK_FAILED = (
    "=================================== FAILURES ===================================",
    "___________________________ test_reservation_expires ___________________________",
    "E       AssertionError: reservation 8231 is still held after 2.0 s",
    "",
    "tests/integration/test_stock.py:27: AssertionError",
    "=========================== short test summary info ============================",
    "FAILED tests/integration/test_stock.py::test_reservation_expires - AssertionError: reservation 8231 is still held",
    "1 failed, 1 passed in 4.87s",
)
FLAKED = Outcome(
    "script_failure",
    1,
    STOCK_FAILED,
    (
        ("tests.integration.test_orders", "test_an_order_is_paid_once", ""),
        ("tests.integration.test_stock", "test_reservation_expires", "AssertionError: reservation 8231 is still held"),
    ),
)
LOST_RUNNER = Outcome("runner_system_failure", lines=("prepare environment: waiting for pod running: timed out",))


def verdict(step: Step, tree: Mapping[str, bytes]) -> Outcome:
    """How a step ends on a tree, by what the files say."""
    if step.name == "unit":
        if tree.get("checkout/tax.py") == BROKEN_TAX:
            failure = "AssertionError: assert 1019 == 1190"
            tests = tuple(
                (group, name, failure if name == "test_total_with_regional_tax" else "") for group, name in UNIT
            )
            return Outcome("script_failure", 1, TAX_FAILED, tests)
        return Outcome(lines=("...", "3 passed in 0.38s"), tests=tuple((group, name, "") for group, name in UNIT))
    if step.name == "integration":
        passed = tuple((group, name, "") for group, name in INTEGRATION)
        return Outcome(lines=("..", "2 passed in 4.31s"), tests=passed)
    said = {"build": f"Successfully tagged {CI_IMAGE}", "lint": "All checks passed!"}
    return Outcome(lines=(said.get(step.name, "rolled out"),))


@dataclass(frozen=True)
class _Change:
    """One commit of the history: minutes ago, by whom, what it says, the files it sets, and how its pipeline went.

    `released`: somebody deployed it to production afterwards.
    """

    ago: int
    author: User
    message: str
    files: Mapping[str, bytes]
    troubles: tuple[tuple[str, Outcome], ...] = ()
    retried: bool = False
    released: bool = False


def _history(name: str) -> tuple[_Change, ...]:
    """Green, a commit that breaks a test, its fix, a test that flakes, a runner that is lost, green."""
    day = 24 * 60
    first: Tree = {
        ".gitlab-ci.yml": b"stages: [build, test, deploy, release]\n",
        "README.md": f"# {name}\n".encode(),
        "requirements.txt": b"httpx==0.28.1\n",
        f"{name}/__init__.py": b"",
        f"{name}/config.yaml": b"timeout_ms: 2500\nretries: 3\n",
    }
    taxed: Tree = {"checkout/tax.py": TAX} if name == "checkout" else {}
    broken = (_Change(2 * day + 190, PRIYA, "Look rates up leniently", {"checkout/tax.py": BROKEN_TAX}),
              _Change(2 * day + 150, PRIYA, "Rates are whole percents again", {"checkout/tax.py": TAX}))  # fmt: skip
    return (
        _Change(6 * day, JONAS, f"{name} as it is", {**first, **taxed}, released=True),
        _Change(4 * day, PRIYA, "Wait 2.5 s for payments at most", {f"{name}/config.yaml": b"timeout_ms: 2500\nretries: 2\n"}),
        *(broken if name == "checkout" else ()),
        _Change(
            day + 300, JONAS, "httpx 0.28.2", {"requirements.txt": b"httpx==0.28.2\n"}, (("integration", FLAKED),), retried=True
        ),
        _Change(day, MARA, "Say what the service is for", {"README.md": f"# {name}\n\nOne of the shop's services.\n".encode()},
                (("integration", LOST_RUNNER),), retried=True, released=True),
        _Change(95, PRIYA, "Retry twice", {f"{name}/config.yaml": b"timeout_ms: 2500\nretries: 2\nbackoff_ms: 200\n"}),
    )  # fmt: skip


def seed(engine: Engine) -> dict[str, Project]:
    """The projects by path, each with its history; the branch main is protected."""
    projects = {}
    for number, name in enumerate(("checkout", "payments", "web", "cart"), 7):
        project = Project(number, f"shop/{name}", STEPS, Repository())
        for change in _history(name):
            _apply(engine, project, change)
        protect(project)
        projects[project.path] = project
    return projects


def protect(project: Project) -> None:
    """main takes no push from a Developer, but a merge: who may merge may run its jobs."""
    main = project.repository.branches["main"]
    main.protected = main.developers_can_merge = True


def _apply(engine: Engine, project: Project, change: _Change) -> None:
    at = now() - timedelta(minutes=change.ago)
    made = push(project, "main", change.files, change.message, change.author, at)
    for job, outcome in change.troubles:
        project.troubles.setdefault(job, []).append(outcome)
    line = engine.record(project, "main", made.sha, change.author, at)
    if change.retried:
        engine.record_retry(line, change.author, at + timedelta(minutes=20))
    if change.released:
        engine.record_play(line, "deploy-production", MARA, at + timedelta(minutes=40))


def push(
    project: Project, branch: str, files: Mapping[str, bytes], message: str, author: User, at: datetime | None = None
) -> Commit:
    """A commit on a branch. A branch that is new begins at main."""
    repository = project.repository
    known = repository.branches.get(branch) or repository.branches.get("main")
    start = known.head if known else ""
    tree = {**(dict(repository.commits[start].tree) if start else {}), **files}
    return repository.commit(branch, tree, message, author.name, f"{author.username}@acme.dev", at or now(), start)
