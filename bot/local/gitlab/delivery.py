"""A service that is delivered by hand: a canary first and production after it, and what is waiting to be delivered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from bot.local.gitlab import world
from bot.local.gitlab.engine import Engine
from bot.local.gitlab.model import Outcome, Pipeline, Project, Step, User, now
from bot.local.gitlab.repository import Repository
from bot.local.gitlab.world import JONAS, MARA, PRIYA

PATH = "shop/orders"
CANARY, PRODUCTION = "deploy-canary", "deploy-production"
STEPS = (
    Step("build", "build", "docker build --tag $CI_IMAGE .\ndocker push $CI_IMAGE", 0.8),
    Step("unit", "test", "pytest -q --junitxml=report.xml tests/unit", 1.0),
    Step("contract", "test", "pytest -q --junitxml=report.xml tests/contract", 1.2),
    Step(CANARY, "deploy", "./deploy.sh production --canary", 1.0, True, "production/canary", blocking=True),
    Step(PRODUCTION, "deploy", "./deploy.sh production", 1.4, True, "production", blocking=True, needs=(CANARY,)),
)
UNIT = (
    ("tests.unit.test_orders", "test_an_order_has_a_number"),
    ("tests.unit.test_orders", "test_a_paid_order_cannot_be_changed"),
    ("tests.unit.test_delivery", "test_delivery_is_free_above_fifty"),
    ("tests.unit.test_delivery", "test_an_island_takes_two_days_more"),
)
CONTRACT = (
    ("tests.contract.test_api", "test_the_answer_is_as_the_web_shop_expects_it"),
    ("tests.contract.test_api", "test_an_unknown_order_is_404"),
)
DELIVERY = b'''"""What delivery costs, in cents, and how long it takes, in days."""

FREE_FROM = 5000
COST = 490


def cost(total: int) -> int:
    """Delivery is free from a total on."""
    return 0 if total >= FREE_FROM else COST


def days(country: str, island: bool) -> int:
    """Two days more for an island."""
    return (2 if country == "DE" else 4) + (2 if island else 0)
'''
BROKEN = DELIVERY.replace(b"total >= FREE_FROM", b"total > FREE_FROM + COST")
FAILED = "test_delivery_is_free_above_fifty"
FAILED_LINES = (
    "=================================== FAILURES ===================================",
    f"______________________ {FAILED} _______________________",
    ">       assert cost(5000) == 0",
    "E       assert 490 == 0",
    "",
    "tests/unit/test_delivery.py:9: AssertionError",
    "=========================== short test summary info ============================",
    f"FAILED tests/unit/test_delivery.py::{FAILED} - assert 490 == 0",
    "1 failed, 3 passed in 0.29s",
)
CONFIG = b"timeout_ms: 2000\nretries: 2\npool_size: 20\n"
MIGRATION = b"""-- Addresses get a table of their own, so that an order can have one for the invoice and one for delivery.
BEGIN;

CREATE TABLE addresses (
    id          bigserial PRIMARY KEY,
    customer_id bigint NOT NULL REFERENCES customers (id),
    street      text NOT NULL,
    postcode    text NOT NULL,
    city        text NOT NULL,
    country     char(2) NOT NULL
);

ALTER TABLE orders ADD COLUMN delivery_address_id bigint REFERENCES addresses (id);

INSERT INTO addresses (customer_id, street, postcode, city, country)
SELECT DISTINCT customer_id, street, postcode, city, country FROM orders;

UPDATE orders SET delivery_address_id = addresses.id
FROM addresses
WHERE addresses.customer_id = orders.customer_id AND addresses.street = orders.street;

ALTER TABLE orders ALTER COLUMN delivery_address_id SET NOT NULL;
ALTER TABLE orders DROP COLUMN street, DROP COLUMN postcode, DROP COLUMN city, DROP COLUMN country;

COMMIT;
"""
SLOTS = b"""-- When a customer wants the delivery; nobody has to say.
CREATE TABLE delivery_slots (
    id       bigserial PRIMARY KEY,
    starts   timestamptz NOT NULL,
    ends     timestamptz NOT NULL,
    capacity int NOT NULL DEFAULT 40
);

ALTER TABLE orders ADD COLUMN delivery_slot_id bigint REFERENCES delivery_slots (id);
"""
_COUNTRIES = ("AT", "BE", "BG", "CH", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GB", "GR", "HR", "HU", "IE", "IS", "IT",
              "LT", "LU", "LV", "NL", "NO", "PL", "PT", "RO", "SE", "SI", "SK")  # fmt: skip


def verdict(step: Step, tree: Mapping[str, bytes]) -> Outcome:
    """How a step ends on a tree: of this service, or of the others."""
    if "deploy.sh" not in tree:
        return world.verdict(step, tree)
    if step.name in (CANARY, PRODUCTION):
        return Outcome(lines=(f"deployment rolled out to {step.environment}",))
    if step.name == "unit":
        broken = BROKEN in tree.values()
        tests = tuple((group, name, "assert 490 == 0" if broken and name == FAILED else "") for group, name in UNIT)
        if broken:
            return Outcome("script_failure", 1, FAILED_LINES, tests)
        return Outcome(lines=("....", "4 passed in 0.27s"), tests=tests)
    if step.name == "contract":
        return Outcome(lines=("..", "2 passed in 1.94s"), tests=tuple((group, name, "") for group, name in CONTRACT))
    return Outcome(lines=(f"Successfully tagged {world.CI_IMAGE}",))


def seed(engine: Engine) -> Project:
    """The project with its history: what runs in production is a day and a half old, and main is as it was delivered."""
    project = Project(21, PATH, STEPS, Repository())
    name, day = project.name, 24 * 60
    first = {
        ".gitlab-ci.yml": b"stages: [build, test, deploy]\n",
        "README.md": f"# {name}\n".encode(),
        "deploy.sh": b'#!/bin/sh\nexec helm upgrade "$CI_PROJECT_NAME" ./chart --set image.tag="$CI_COMMIT_SHORT_SHA"\n',
        "migrations/0041_order_numbers.sql": b"ALTER TABLE orders ADD COLUMN number text;\n",
        f"{name}/config.yaml": CONFIG,
        f"{name}/delivery.py": DELIVERY,
    }
    retries = {f"{name}/config.yaml": CONFIG.replace(b"retries: 2", b"retries: 3")}
    _past(engine, project, 9 * day, JONAS, f"{name} as it is", first, delivered=True)
    _past(engine, project, 6 * day, PRIYA, "Retry three times", retries, delivered=True)
    _past(engine, project, 3 * day, PRIYA, "Free delivery from the goods' total", {f"{name}/delivery.py": BROKEN})
    fixed = {f"{name}/delivery.py": DELIVERY, **retries}
    _past(engine, project, 36 * 60, PRIYA, "Free delivery from 50 euros again", fixed, delivered=True)
    world.protect(project)
    return project


def small(engine: Engine, project: Project) -> Pipeline:
    """Two small commits on main that anybody would wave through, and their pipeline, which runs until somebody plays it."""
    name = project.name
    tree = project.repository.commits[project.repository.branches["main"].head].tree
    waits = tree[f"{name}/config.yaml"].replace(b"timeout_ms: 2000", b"timeout_ms: 2500")
    world.push(project, "main", {f"{name}/config.yaml": waits}, "Wait 2.5 s for the warehouse at most", JONAS)
    said = tree["README.md"] + b"\nTakes orders and follows them until they are delivered.\n"
    return _push(engine, project, {"README.md": said}, "Say what the service is for", JONAS)


def with_slots(engine: Engine, project: Project) -> Pipeline:
    """Two commits on main, of some fifty lines with a migration that only adds; and their pipeline.

    Its production may be played at once: who plays decides whether a canary goes first.
    """
    name = project.name
    project.steps = tuple(replace(step, needs=()) for step in project.steps)
    world.push(project, "main", {"migrations/0042_delivery_slots.sql": SLOTS}, "A table for delivery slots", PRIYA)
    return _push(engine, project, {f"{name}/slots.py": _slots()}, "Customers choose a delivery slot", PRIYA)


def with_migration(engine: Engine, project: Project) -> Pipeline:
    """Four commits of one person on main: a migration that drops columns, and several hundred lines; and their pipeline."""
    name = project.name
    world.push(project, "main", {"migrations/0042_addresses.sql": MIGRATION}, "A table for addresses", PRIYA)
    world.push(project, "main", {f"{name}/postcodes.py": _postcodes()}, "Check postcodes of every country", PRIYA)
    world.push(project, "main", {f"{name}/addresses.py": _addresses()}, "Orders refer to an address", PRIYA)
    changed = DELIVERY.replace(b"country: str, island: bool", b"address: Address").replace(
        b'country == "DE"', b'address.country == "DE"'
    )
    return _push(
        engine, project, {f"{name}/delivery.py": changed.replace(b"if island", b"if address.island")},
        "Delivery by the address", PRIYA,
    )  # fmt: skip


def _push(engine: Engine, project: Project, files: Mapping[str, bytes], message: str, user: User) -> Pipeline:
    made = world.push(project, "main", files, message, user)
    return engine.start(project, "main", made.sha, user)


def _past(
    engine: Engine, project: Project, ago: int, author: User, message: str, files: Mapping[str, bytes],
    *, delivered: bool = False,
) -> None:  # fmt: skip
    """One commit so many minutes ago with its pipeline; where it was delivered, canary and production a bit later."""
    at: datetime = now() - timedelta(minutes=ago)
    made = world.push(project, "main", files, message, author, at)
    line = engine.record(project, "main", made.sha, author, at)
    if delivered:
        engine.record_play(line, CANARY, MARA, at + timedelta(minutes=30))
        engine.record_play(line, PRODUCTION, MARA, at + timedelta(minutes=60))


def _slots() -> bytes:
    """One line a delivery hour of the week, and what reads them."""
    days = ("mon", "tue", "wed", "thu", "fri", "sat")
    hours = [f'    ("{day}", {hour}, {hour + 2}),' for day in days for hour in range(8, 20, 2)]
    head = '"""Delivery slots: the hours in which a customer may have an order brought."""\n\nHOURS = (\n'
    tail = """)


def open_slots(day: str, taken: dict[int, int], capacity: int = 40) -> list[tuple[int, int]]:
    \"\"\"The slots of a day that have room left.\"\"\"
    return [(start, end) for name, start, end in HOURS if name == day and taken.get(start, 0) < capacity]
"""
    return (head + "\n".join(hours) + "\n" + tail).encode()


def _postcodes() -> bytes:
    digits = {code: 4 + (number % 3) for number, code in enumerate(_COUNTRIES)}
    lines = [f'    "{code}": re.compile(r"[0-9]{{{digits[code]}}}"),' for code in _COUNTRIES]
    functions = [
        f'\n\ndef is_{code.lower()}(postcode: str) -> bool:\n    """Whether it may be one of {code}."""\n'
        f'    return bool(PATTERNS["{code}"].fullmatch(postcode.strip()))'
        for code in _COUNTRIES
    ]
    head = '"""Postcodes by country."""\n\nimport re\n\nPATTERNS = {\n'
    return (head + "\n".join(lines) + "\n}" + "".join(functions) + "\n").encode()


def _addresses() -> bytes:
    fields = ("street", "postcode", "city", "country")
    checks = [
        f'\n    if not row["{name}"].strip():\n        raise ValueError("an address has no {name}")' for name in fields
    ]
    declared = "".join(f"    {name}: str\n" for name in fields)
    return (
        '"""Addresses of customers."""\n\nfrom dataclasses import dataclass\n\n\n@dataclass(frozen=True)\nclass Address:\n'
        f"    id: int\n{declared}    island: bool = False\n\n\n"
        f"def address(row: dict[str, str]) -> Address:{''.join(checks)}\n"
        f'    return Address(int(row["id"]), {", ".join(f"row[{name!r}]" for name in fields)})\n'
    ).encode()
