"""Documentation is held to the code: settings, commands, metrics, links, dependencies and examples that have to be true."""

from __future__ import annotations

import re
import shlex
import subprocess
import tomllib
from functools import cache
from pathlib import Path

import pytest
import yaml
from dotenv import dotenv_values
from pydantic import SecretStr

from bot import metrics
from bot.__main__ import LAZY, parser
from bot.config import Settings, load
from bot.tools import TOOL_NAMES, schemas
from domain.runs import Budget
from handlers.cards_info import COMMANDS
from handlers.hooks import HOOKS
from handlers.sources import SOURCES
from policies.policy import load as load_policy

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PAGES = sorted(path for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("benchmarks/*.md")))
ABSENT = {"SLACK_CLIENT_ID"}  # named by the documentation because it is no setting
LARGEST_IMAGE = 300 * 1024  # bytes


@cache
def text(name: str) -> str:
    return (ROOT / name).read_text()


def documented_pages() -> list[str]:
    return [str(path.relative_to(ROOT)) for path in PAGES]


def code(page: str) -> list[str]:
    """What stands in backticks, in lines of prose and in shell blocks."""
    body = text(page)
    blocks = re.findall(r"```sh\n(.*?)```", body, re.DOTALL)
    spans = re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", body, flags=re.DOTALL))
    return [*spans, *(re.sub(r"\s+#.*", "", line) for block in blocks for line in block.splitlines())]


def slug(heading: str) -> str:
    """A heading's anchor, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


# --- settings ---------------------------------------------------------------------------------------------------------


def example() -> dict[str, tuple[str, bool, str]]:
    """Setting -> value, whether its line is commented out, and the comment above it (one system's settings share it)."""
    found: dict[str, tuple[str, bool, str]] = {}
    comment, in_a_row = "", False
    for line in text(".env.example").splitlines():
        setting = re.fullmatch(r"(#?)([A-Z][A-Z_]+)=(.*)", line)
        if setting:
            shared = "" if in_a_row and setting[2].startswith("AGENT_") else comment
            found[setting[2]] = (setting[3], bool(setting[1]), shared)
        else:
            words = line if line.startswith("# ") and "---" not in line else ""
            comment = words if in_a_row or not words else comment + words
        in_a_row = bool(setting)
    return found


def test_every_setting_stands_in_the_example_with_words_and_nothing_else_does() -> None:
    assert list(example()) == [name.upper() for name in Settings.model_fields]
    assert [name for name, (_, _, comment) in example().items() if not comment] == []


@pytest.mark.parametrize("name", Settings.model_fields)
def test_the_example_shows_each_default_and_leaves_empty_what_has_none(name: str) -> None:
    default = Settings.model_fields[name].default
    plain = default.get_secret_value() if isinstance(default, SecretStr) else str(default)
    value, commented, _ = example()[name.upper()]
    assert value == plain
    assert commented is bool(plain), "a default is shown as a comment; what you fill in is not one"


def test_the_example_as_it_stands_is_a_valid_file_of_defaults() -> None:
    assert load({}, env_file=ROOT / ".env.example") == Settings()
    assert set(dotenv_values(ROOT / ".env.example")) == {name for name, (_, off, _) in example().items() if not off}


@pytest.mark.parametrize("name", Settings.model_fields)
def test_each_setting_says_what_it_is_where_it_is_declared(name: str) -> None:
    assert len(Settings.model_fields[name].description or "") > 5


def test_every_setting_that_is_named_anywhere_exists() -> None:
    places = [
        *documented_pages(),
        "Dockerfile",
        ".env.example",
        *(f"deploy/{path.name}" for path in ROOT.glob("deploy/*")),
    ]
    known = {name.upper() for name in Settings.model_fields} | ABSENT
    systems = "AGENT|SLACK|OPENAI|PROMETHEUS|ALERTMANAGER|JENKINS|GITLAB|OTEL"
    own = re.compile(rf"(?<![\w/])((?:{systems})_[A-Z_]*[A-Z])\b(?!\s*=\s*\()")
    assert {f"{place}: {name}" for place in places for name in own.findall(text(place)) if name not in known} == set()


# --- commands ---------------------------------------------------------------------------------------------------------


def commands_of(page: str) -> list[list[str]]:
    """What a page says to type after personal-agent, without variables before and redirections behind it."""
    found = [
        re.search(r"(?:^|[\s/])personal-agent ([a-z][^|>&;…]*)", span) for span in code(page) if "docker" not in span
    ]
    return [shlex.split(match[1]) for match in found if match]


@pytest.mark.parametrize("page", documented_pages())
def test_every_command_in_the_documentation_is_one(page: str) -> None:
    for arguments in commands_of(page):
        try:
            parser().parse_args(arguments)
        except SystemExit:
            pytest.fail(f"{page}: personal-agent {shlex.join(arguments)}")


def test_the_readme_names_every_command_and_every_command_has_its_module() -> None:
    named = {arguments[0] for arguments in commands_of("README.md")}
    assert named == {*LAZY, "version"}
    assert {f"{name}.py" for name in LAZY} <= {path.name for path in ROOT.glob("bot/commands/*.py")}


@pytest.mark.parametrize("page", documented_pages())
def test_every_make_target_in_the_documentation_exists(page: str) -> None:
    targets = set(re.findall(r"^([a-z]+):", text("Makefile"), re.MULTILINE))
    assert {match[1] for span in code(page) if (match := re.match(r"make ([a-z]+)", span))} <= targets


@pytest.mark.parametrize("page", documented_pages())
def test_every_slack_command_in_the_documentation_is_one(page: str) -> None:
    named = {match[1] for span in code(page) if (match := re.match(r"/agent ([a-z-]+)", span))}
    assert named <= {name for name, _, _ in COMMANDS}


# --- what operators read ----------------------------------------------------------------------------------------------


def test_every_metric_is_documented_with_its_labels_and_no_other_is() -> None:
    declared = {
        f"{metric._name}{'_total' if metric._type == 'counter' else ''}": metric._labelnames
        for metric in vars(metrics).values()
        if hasattr(metric, "_labelnames")
    }
    rows = re.findall(r"^\| `(personal_agent_\w+)` \| ([\w, ]*)\|", text("docs/operations.md"), re.MULTILINE)
    assert {name: tuple(filter(None, re.split(r",\s*", labels.strip()))) for name, labels in rows} == declared
    mentioned = set(re.findall(r"personal_agent_\w+", "".join(map(text, documented_pages()))))
    assert {re.sub(r"_(count|sum|bucket)$", "", name) for name in mentioned} <= set(declared)


def test_every_address_of_the_http_server_is_documented() -> None:
    named = set(re.findall(r"`[^`]*?(/(?:alerts|hooks)/\w+)", text("docs/operations.md")))
    assert named == {*(f"/alerts/{name}" for name in SOURCES), *(f"/hooks/{name}" for name in HOOKS)}
    for path in ("/healthz", "/readyz", "/metrics", "/slack/events"):
        assert f"{path}`" in text("docs/operations.md")
        assert f'"{path}"' in text("bot/vitals.py") + text("handlers/slack_app.py")


def test_the_budgets_in_the_operators_guide_are_the_budgets() -> None:
    budget = Budget()
    said = (
        f"({budget.steps} steps, {budget.tokens:,} tokens, {budget.cost_micros // 1_000_000} US dollar, "
        f"{budget.seconds // 60} minutes, {budget.actions} changes)"
    )
    assert said in " ".join(text("docs/operations.md").split())


# --- examples ---------------------------------------------------------------------------------------------------------


def test_the_policy_in_the_readme_loads_with_the_real_tools_and_its_own_test_passes() -> None:
    (shown,) = [block for block in re.findall(r"```yaml\n(.*?)```", text("README.md"), re.DOTALL) if "rules:" in block]
    policy = load_policy({"policy.yaml": shown}, schemas(), {"AGENT_APPROVERS": ("@sre",)})
    assert [rule.id for rule in policy.rules if rule.tests] == ["small-changes-in-production"]


def test_every_yaml_example_parses() -> None:
    for page in documented_pages():
        for block in re.findall(r"```yaml[^\n]*\n(.*?)```", text(page), re.DOTALL):
            assert yaml.safe_load(block), page


def test_every_tool_that_is_named_exists() -> None:
    known = {*TOOL_NAMES, *(name.rpartition("_")[0] for name in TOOL_NAMES)}
    for page in documented_pages():
        named = {span for span in code(page) if re.fullmatch(r"kubernetes_\w+", span)}
        assert named <= known, page


# --- links and places -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", documented_pages())
def test_every_relative_link_leads_somewhere(page: str) -> None:
    here = (ROOT / page).parent
    prose = re.sub(r"```.*?```", "", text(page), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", prose):
        if re.match(r"\w+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (here / path).resolve() if path else ROOT / page
        assert file.exists(), f"{page} links to {target}"
        if anchor:
            assert anchor in map(slug, re.findall(r"^#+ (.*)$", file.read_text(), re.MULTILINE)), f"{page}: {target}"


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "docs/decisions.md", "README.md", "docs/operations.md"])
def test_every_file_that_is_named_exists(page: str) -> None:
    paths = [
        span
        for span in code(page)
        if re.fullmatch(r"(bot|handlers|policies|storage|domain|tests|docs|deploy)/[\w./*]+", span)
    ]
    for path in paths:
        assert [*ROOT.glob(path), *ROOT.glob(f"{path}.py")], f"{page} names {path}"


def test_every_page_is_linked_from_the_readme() -> None:
    linked = set(re.findall(r"\]\(((?:docs/)?[\w-]+\.md)\)", text("README.md")))
    assert {str(path.relative_to(ROOT)) for path in PAGES if path.parent.name != "benchmarks"} - {"README.md"} <= linked


def test_pictures_are_small_described_and_used() -> None:
    pictures = {str(path.relative_to(ROOT)) for path in ROOT.glob("docs/images/*")}
    shown = [(page, *found) for page in PAGES for found in re.findall(r"!\[([^\]]*)\]\(([^):]+)\)", page.read_text())]
    used = [(words, str((page.parent / path).relative_to(ROOT))) for page, words, path in shown]
    assert {path for _, path in used} == pictures
    assert all(len(words) > 20 for words, _ in used), "somebody may not see the picture"
    assert {path for path in pictures if (ROOT / path).stat().st_size > LARGEST_IMAGE} == set()


def test_the_first_screen_says_what_it_is_shows_it_and_has_the_two_commands() -> None:
    first = "\n".join(text("README.md").splitlines()[:14])
    assert re.search(r"^# Personal-Agent\n\n[A-Z][^#!]{80,400}\n\n!\[", first)
    assert "make demo" in first
    assert "make test" in first


# --- reasons ----------------------------------------------------------------------------------------------------------


def dependencies() -> list[str]:
    groups = [entry for group in PROJECT["dependency-groups"].values() for entry in group if isinstance(entry, str)]
    return sorted(re.split(r"[<>=~ ;\[]", entry)[0] for entry in (*PROJECT["project"]["dependencies"], *groups))


@pytest.mark.parametrize("name", dependencies())
def test_every_dependency_has_its_reason(name: str) -> None:
    assert re.search(rf"\*\*{re.escape(name)}\*\*", text("docs/decisions.md"), re.IGNORECASE)


def test_every_decision_is_dated_and_at_most_ten_lines_long() -> None:
    entries = re.split(r"^### ", text("docs/decisions.md"), flags=re.MULTILINE)[1:]
    assert len(entries) > 10
    for entry in entries:
        heading, _, body = re.sub(r"^## .*", "", entry, flags=re.MULTILINE).partition("\n")
        assert re.match(r"20\d\d-\d\d-\d\d · \S", heading), heading
        assert 1 <= len(body.strip().splitlines()) <= 10, heading


def test_every_locked_dependency_is_wanted_by_something() -> None:
    names = set(re.findall(r"^([\w.-]+)==", text("requirements.lock"), re.MULTILINE))
    wanted = {
        re.split(r"[<>=~ ;\[]", entry)[0].lower().replace("_", "-") for entry in PROJECT["project"]["dependencies"]
    }
    assert wanted <= {name.lower() for name in names}
    developed = set(re.findall(r"^([\w.-]+==\S+)", text("requirements-dev.lock"), re.MULTILINE))
    for lock in ("requirements.lock", "requirements-build.lock"):
        assert set(re.findall(r"^([\w.-]+==\S+)", text(lock), re.MULTILINE)) <= developed, "tested is what is shipped"


def test_the_changelog_s_newest_version_is_this_one_or_comes_next() -> None:
    newest = re.findall(r"^## \[([^\]]+)\]", text("CHANGELOG.md"), re.MULTILINE)[0]
    assert newest in ("Unreleased", PROJECT["project"]["version"])


def test_nothing_that_is_tracked_is_a_secret_or_a_database() -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    assert [name for name in tracked if name == ".env" or name.endswith((".db", ".pem", ".key"))] == []
