"""The factors of a deployment's risk: what each adds, and that what is not known is never nothing."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from bot.analyzers.risk import (
    File,
    error_budget,
    history,
    incidents,
    kind,
    kind_of,
    migration,
    moment,
    size,
    total,
)

E1 = ("E1",)
CODE = File("checkout/tax.py", 10, 5, "+rate = 19")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("checkout/tax.py", "code"),
        ("src/testing.py", "code"),
        ("tests/unit/test_tax.py", "tests"),
        ("web/src/cart.spec.ts", "tests"),
        ("requirements.txt", "dependencies"),
        ("web/package-lock.json", "dependencies"),
        ("uv.lock", "dependencies"),
        ("Dockerfile", "infrastructure and configuration"),
        (".gitlab-ci.yml", "infrastructure and configuration"),
        ("deploy/values-production.yaml", "infrastructure and configuration"),
        ("checkout/config.yaml", "infrastructure and configuration"),
        ("terraform/main.tf", "infrastructure and configuration"),
        ("README.md", "documentation"),
        ("docs/deploying.rst", "documentation"),
    ],
)
def test_a_file_has_a_kind_by_its_path(path: str, expected: str) -> None:
    assert kind_of(path) == expected


@pytest.mark.parametrize(("lines", "points"), [(0, 0), (50, 0), (51, 10), (300, 10), (301, 20), (1000, 20), (1001, 30)])
def test_size_counts_lines_in_steps(lines: int, points: int) -> None:
    assert size([File("a.py", lines, 0)], E1, complete=True).points == points


def test_tests_and_documentation_make_nothing_larger() -> None:
    assert size([File("tests/test_a.py", 5000, 0), File("README.md", 900, 0)], E1, complete=True).points == 0


def test_a_diff_that_was_not_shown_whole_counts_as_the_largest() -> None:
    assert size([CODE], E1, complete=False).points == 30


def test_the_riskiest_kind_counts() -> None:
    assert kind([File("README.md", 1, 0), CODE], E1).points == 5
    assert kind([CODE, File("go.sum", 1, 0), File("Dockerfile", 1, 0)], E1).points == 15
    assert kind([File("docs/a.md", 1, 0)], E1).points == 0


@pytest.mark.parametrize(
    ("path", "diff", "points"),
    [
        ("db/migrate/0042_regions.sql", "+CREATE TABLE regions (code text);", 15),
        ("shop/migrations/0003_region.py", '+    migrations.AddField("cart", "region")', 15),
        ("shop/migrations/0003_region.py", '+    migrations.RemoveField("cart", "country")', 30),
        ("db/migrate/0042_regions.sql", "+ALTER TABLE carts DROP COLUMN country;", 30),
        ("db/migrate/0042_regions.sql", "+alter table carts alter column total type bigint;", 30),
        ("db/migrate/0042_regions.sql", "-DROP TABLE carts;\n+CREATE TABLE carts (id int);", 15),
        ("db/migrate/0042_regions.sql", "", 30),
        ("tests/migrations/test_0042.py", "+DROP TABLE carts", 0),
        ("checkout/tax.py", "+DROP TABLE carts", 0),
    ],
)
def test_a_migration_counts_and_most_where_a_rollback_does_not_bring_it_back(path: str, diff: str, points: int) -> None:
    assert migration([CODE, File(path, 1, 1, diff)], E1).points == points


@pytest.mark.parametrize(
    ("arguments", "points"),
    [
        ((40, 0, 20, 2, 0), 0),
        ((40, 0, 20, 7, 0), 10),
        ((40, 0, 20, 7, 1), 15),
        ((40, 0, 0, 0, 1), 5),
        ((0, 0, 20, 0, 0), 15),
        ((40, 1, 20, 0, 0), 30),
    ],
)
def test_the_tests_and_their_history_count(arguments: tuple[int, int, int, int, int], points: int) -> None:
    assert history(*arguments, E1).points == points


@pytest.mark.parametrize(
    ("calendar", "points"),
    [
        ({"business": True, "frozen": False, "weekday": 3, "hour": 11}, 0),
        ({"business": True, "frozen": False, "weekday": 5, "hour": 14}, 0),
        ({"business": True, "frozen": False, "weekday": 5, "hour": 15}, 5),
        ({"business": False, "frozen": False, "weekday": 3, "hour": 22}, 10),
        ({"business": True, "frozen": True, "freezes": ["year end"], "weekday": 3, "hour": 11}, 20),
        ({"frozen": False, "weekday": 6, "hour": 3}, 0),
        ({}, 0),
    ],
)
def test_the_time_counts_by_the_policys_calendars(calendar: dict[str, object], points: int) -> None:
    assert moment(calendar).points == points


def test_an_incident_on_the_same_service_counts_more_than_one_elsewhere() -> None:
    assert [
        incidents(same, others, E1).points for same, others in ((["KubePodCrashLooping"], 3), ([], 2), ([], 0))
    ] == [20, 5, 0]


@pytest.mark.parametrize(
    ("remaining", "points"), [(100, 0), (50, 0), (49, 10), (10, 10), (9, 20), (1, 20), (0, 30), (-40, 30), (None, 5)]
)
def test_the_error_budget_counts_by_what_is_left(remaining: int | None, points: int) -> None:
    assert error_budget(remaining, "30d", E1).points == points


@given(
    st.lists(
        st.builds(File, st.text(max_size=60), st.integers(0, 9999), st.integers(0, 9999), st.text(max_size=200)),
        max_size=20,
    ),
    st.booleans(),
    st.dictionaries(st.sampled_from(["business", "frozen"]), st.booleans()),
    st.integers(-1000, 1000),
)
def test_no_factor_exceeds_its_own_most_and_the_risk_not_a_hundred(
    files: list[File], complete: bool, calendar: dict[str, bool], remaining: int
) -> None:
    factors = (
        size(files, E1, complete=complete),
        kind(files, E1),
        migration(files, E1),
        moment(calendar),
        error_budget(remaining, "30d", E1),
    )
    assert all(0 <= factor.points <= factor.most for factor in factors)
    assert 0 <= total(factors) <= 100
