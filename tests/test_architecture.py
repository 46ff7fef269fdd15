"""The structure's rules that import-linter cannot express, and import-linter itself. Each list here is meant to be short.

A rule that fails names the place. What is broken is the code, not the list: an entry is added only with its reason.
"""

from __future__ import annotations

import ast
import re
import statistics
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("bot", "handlers", "policies", "storage", "domain")

BROAD_EXCEPTS = {
    # HTTP and Slack entry
    "bot/app.py:problems": "/readyz answers 'not ready' whatever the database does",
    "handlers/intake.py:on_alerts": "a webhook gets an answer, the log the traceback",
    "handlers/commands.py:_answer": "a person gets a sentence, the log the traceback",
    "handlers/services.py:_guarded": "a person gets a sentence, the log the traceback",
    "handlers/sender.py:_run": "a channel's lane outlives a bug",
    # the run loop
    "bot/otel.py:export": "a trace is a view of the record, and must not disturb what is recorded",
    "bot/plane.py:_advance": "one run's surprise must not stop the others",
    "bot/agent/execute.py:run": "a call that may have left is looked for, whatever broke; the log has the traceback",
    "bot/narrator.py:_tell": "one incident's surprise must not freeze the messages of all",
    # strangers
    "bot/tools/mcp_session.py:_own": "whatever breaks in an MCP server and its client is a sentence for who called it",
    # the last guards: whatever breaks in them must not become an execution or a leak
    "policies/gate.py:decide": "a gate that fails denies",
    "policies/redaction.py:text": "what cannot be examined is withheld",
    "policies/redaction.py:json": "what cannot be examined is withheld",
    # what is tried on recorded runs
    "bot/replay/rerun.py:_advance": "today's code failing on a recorded run is what a replay is for to find",
    # undo and raise again: nothing is swallowed
    "storage/journal.py:_write": "every append of the batch that failed is told, with the error",
    "bot/workers.py:in_turn": "every step of the sweep has its turn, and the errors go on together",
    "bot/intake.py:_record": "what was placed in memory is taken back, and the error goes on",
    "storage/database.py:transaction": "ROLLBACK, and the error goes on",
}
LAZY = {
    "bot/app.py:bot.models.openai": "openai takes half a second to import, and the rules need it not",
}
READS_THE_ENVIRONMENT = {
    "bot/config.py": "the one place that reads settings",
    "bot/tools/__init__.py": "KUBERNETES_SERVICE_HOST is how a pod knows that it is one; nobody sets it",
    "bot/replay/terminal.py": "NO_COLOR is how a person asks every program for no colours",
    "bot/commands/doctor.py": "looks for variables that would get in the way",
    "handlers/slack_app.py": "hides Slack's variables from slack_bolt, which would read them on its own",
}
PURE = {"domain": {"rfc8785"}, "policies": {"cel_expr_python", "google", "yaml"}}
PURE_STANDARD = {
    *("__future__", "base64", "collections", "contextlib", "dataclasses", "datetime", "difflib", "enum", "fnmatch"),
    *("functools", "hashlib", "hmac", "ipaddress", "itertools", "json", "math", "re", "string", "types", "typing"),
    *("unicodedata", "urllib", "zoneinfo", "abc", "operator", "textwrap", "bisect", "binascii", "html", "uuid"),
}
AT_HOME = {
    "kubernetes": "bot/tools/kubernetes",
    "slack_sdk": "handlers/",
    "slack_bolt": "handlers/",
    "aiosqlite": "storage/",
    "sqlite3": "storage/",
    "apscheduler": "bot/schedule.py",
    "prometheus_client": "bot/metrics.py",
    "mcp": "bot/tools/mcp_session.py",
    "jsonschema": "bot/tools/mcp_tools.py",
    "openai": ("bot/models/openai.py", "bot/commands/doctor.py"),
    "opentelemetry": "bot/otel.py",
    "dotenv": "bot/config.py",
    "cel_expr_python": "policies/",
    "rfc8785": "domain/canonical.py",
}
LATER = re.compile(r"\b(TO[D]O|FIX[M]E|X{3}|HAC[K])\b")


@cache
def modules() -> dict[str, ast.Module]:
    """Every module of the product, by its path."""
    paths = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
    return {str(path.relative_to(ROOT)): ast.parse(path.read_text()) for path in paths}


def lines(path: Path) -> int:
    """Lines that hold something."""
    return sum(1 for line in path.read_text().splitlines() if line.strip())


def functions() -> Iterator[tuple[str, int]]:
    """Every function's place and length, its decorators left out and its docstring counted."""
    for path, tree in modules().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield f"{path}:{node.name}", (node.end_lineno or node.lineno) - node.lineno + 1


def imported(node: ast.AST, package: str) -> list[str]:
    """The modules that an import statement names: `from a import b` names a.b where that is one of ours."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        base = ".".join(package.split(".")[: len(package.split(".")) - node.level + 1]) if node.level else ""
        origin = ".".join(filter(None, (base, node.module)))
        return [_module(f"{origin}.{alias.name}") or origin for alias in node.names]
    return []


def _module(name: str) -> str:
    """The name, if a module of ours has it."""
    path = name.replace(".", "/")
    return name if f"{path}.py" in modules() or f"{path}/__init__.py" in modules() else ""


def package_of(path: str) -> str:
    """The package that a module stands in, which its relative imports start from."""
    return path.rpartition("/")[0].replace("/", ".")


def imports(path: str, tree: ast.AST | None = None) -> set[str]:
    """Everything that a module, or a part of it, imports."""
    return {name for node in ast.walk(tree or modules()[path]) for name in imported(node, package_of(path))}


def import_time(path: str) -> set[str]:
    """What importing a module imports at once: not what stands in a function or under TYPE_CHECKING."""
    found: set[str] = set()
    todo: list[ast.AST] = list(modules()[path].body)
    while todo:
        node = todo.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            continue
        found.update(imported(node, package_of(path)))
        todo.extend(ast.iter_child_nodes(node))
    return found


def inside_functions(path: str) -> set[str]:
    """What a module imports only when one of its functions is called."""
    return {
        name
        for function in ast.walk(modules()[path])
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for name in imports(path, function)
    }


def top(name: str) -> str:
    return name.split(".")[0]


# --- who knows whom ---------------------------------------------------------------------------------------------------


def test_the_import_contracts_of_pyproject_hold() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_domain_and_policies_import_nothing_that_does_input_output_or_knows_the_time() -> None:
    for path in modules():
        package = top(path.replace("/", "."))
        if package in PURE:
            allowed = PURE_STANDARD | PURE[package] | {"domain", package}
            assert {top(name) for name in imports(path)} <= allowed, path


def test_every_foreign_library_stays_at_home() -> None:
    for path in modules():
        for library in {top(name) for name in imports(path)} & set(AT_HOME):
            homes = AT_HOME[library]
            assert path.startswith(homes), f"{path} imports {library}, which belongs to {homes}"


def test_the_stand_in_world_knows_nothing_of_ours_but_the_block_limits() -> None:
    for path in modules():
        ours = {name for name in imports(path) if top(name) in PACKAGES}
        if path.startswith("bot/local/"):
            assert all(f"{name}.".startswith(("bot.local.", "handlers.blocks.")) for name in ours), path
        if path.startswith("handlers/blocks/"):
            assert all(f"{name}.".startswith("handlers.blocks.") for name in ours), (
                f"{path}: a way round the rule above"
            )


def test_the_product_does_not_import_its_stand_in_world_outside_the_demo() -> None:
    for path in modules():
        if not path.startswith(("bot/local/", "bot/commands/")):
            assert not any(f"{name}.".startswith("bot.local.") for name in imports(path)), path


def test_no_import_cycles() -> None:
    names = {path.removesuffix(".py").removesuffix("/__init__").replace("/", "."): path for path in modules()}
    graph = {name: (import_time(path) & set(names)) - {name} for name, path in names.items()}
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " -> ".join((*trail[trail.index(name) :], name))
        if name not in done:
            for other in sorted(graph[name]):
                visit(other, (*trail, name))
            done.add(name)

    for name in sorted(graph):
        visit(name, ())


def test_our_own_modules_are_imported_inside_functions_only_where_listed() -> None:
    found = {f"{path}:{name}" for path in modules() for name in inside_functions(path) if _module(name)}
    assert found == set(LAZY)


def test_only_the_command_line_imports_modules_by_name() -> None:
    by_name = [path for path, tree in modules().items() if "importlib.import_module" in ast.unparse(tree)]
    assert set(by_name) == {"bot/__main__.py", "bot/tools/kubernetes_client.py"}  # its own, and the kubernetes client


def test_only_the_listed_places_read_the_environment() -> None:
    found = {path for path, tree in modules().items() if re.search(r"\bos\.(environ|getenv)", ast.unparse(tree))}
    assert found == set(READS_THE_ENVIRONMENT)


# --- size -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("package", PACKAGES)
def test_no_module_is_longer_than_five_hundred_lines(package: str) -> None:
    sizes = {path: len((ROOT / path).read_text().splitlines()) for path in modules() if path.startswith(f"{package}/")}
    assert {path: size for path, size in sizes.items() if size > 500} == {}


def test_half_of_the_modules_are_at_most_a_hundred_and_twenty_lines() -> None:
    assert statistics.median(lines(ROOT / path) for path in modules()) <= 120


def test_no_function_is_longer_than_sixty_lines_and_half_are_at_most_ten() -> None:
    assert {place: size for place, size in functions() if size > 60} == {}
    assert statistics.median(size for _, size in functions()) <= 10


def test_the_tests_are_a_specification_in_size_too() -> None:
    # the stand-in world is what the tests and the demo are played on: it counts on neither side
    product = sum(lines(ROOT / path) for path in modules() if not path.startswith("bot/local/"))
    tests = sum(lines(path) for path in (ROOT / "tests").rglob("*.py"))
    assert tests / product >= 0.9, f"{tests} test lines for {product} product lines: {tests / product:.2f}"


# --- errors -----------------------------------------------------------------------------------------------------------


def _broad(handler: ast.ExceptHandler) -> bool:
    names = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(name is None or ast.unparse(name) in ("Exception", "BaseException") for name in names)


def test_broad_excepts_stand_only_at_the_listed_boundaries() -> None:
    found: set[str] = set()
    for path, tree in modules().items():
        for function in ast.walk(tree):
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                own = [node for node in ast.walk(function) if isinstance(node, ast.ExceptHandler) and _broad(node)]
                nested = [
                    node for node in ast.walk(function) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
                ]
                inner = {id(node) for other in nested if other is not function for node in ast.walk(other)}
                found.update(f"{path}:{function.name}" for node in own if id(node) not in inner)
    assert found == set(BROAD_EXCEPTS)


def test_a_broad_except_of_everything_raises_again() -> None:
    for path, tree in modules().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ExceptHandler) and (node.type is None or "BaseException" in ast.unparse(node.type)):
                assert isinstance(node.body[-1], ast.Raise), f"{path}:{node.lineno} swallows a cancellation"


def test_nobody_raises_a_bare_exception() -> None:
    for path, tree in modules().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Raise) and node.exc is not None:
                assert not re.match(r"(Base)?Exception\b", ast.unparse(node.exc)), f"{path}:{node.lineno}"


# --- words ------------------------------------------------------------------------------------------------------------


def test_every_module_says_what_it_is_for_and_so_does_every_public_name_of_the_core() -> None:
    silent = []
    for path, tree in modules().items():
        if not ast.get_docstring(tree):
            silent.append(path)
        if path.startswith(("domain/", "policies/", "storage/")):
            named = [
                node for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
            ]
            silent += [f"{path}:{node.name}" for node in named if node.name[0] != "_" and not ast.get_docstring(node)]
    assert silent == []


def test_no_variable_takes_a_package_s_name() -> None:
    for path, tree in modules().items():
        for node in ast.walk(tree):
            name = node.id if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) else ""
            name = node.arg if isinstance(node, ast.arg) else name
            assert name == "bot" or name not in PACKAGES, f"{path}: {name}"  # a bot is a person's opposite in Slack


def test_nothing_is_left_for_later_in_a_comment() -> None:
    kinds = ("*.py", "*.md", "*.js", "*.css", "*.sql", "*.yaml", "*.toml", "Makefile", "Dockerfile")
    tracked = subprocess.run(["git", "ls-files", *kinds], cwd=ROOT, capture_output=True, text=True, check=True)
    left = [
        name for name in tracked.stdout.split() if (ROOT / name).exists() and LATER.search((ROOT / name).read_text())
    ]
    assert left == []


# --- tests ------------------------------------------------------------------------------------------------------------


def test_no_test_folder_hides_a_package() -> None:
    folders = {path.name for path in (ROOT / "tests").rglob("*") if path.is_dir() and "node_modules" not in path.parts}
    assert not folders & set(PACKAGES)
    assert (ROOT / "tests" / "__init__.py").exists()


USED_WHERE_INSTALLED = {
    "tests/contracts/test_cluster_clients.py": "kubectl, somebody else's client of the stand-in cluster",
    "tests/contracts/test_evidence.py": "openssl, somebody else's check of a signature",
    "tests/contracts/test_workspace_clients.py": "Node 20 with npm, for Slack's JavaScript client",
}
"""Programs that no machine must have: their tests say so where they are missing, also under CI=true."""


def test_tests_replace_nothing_of_the_product_and_skip_only_what_ci_must_have() -> None:
    banned = re.compile(r"unittest\.mock|monkeypatch\.setattr|mocker\.|mark\.(xfail|skip)\b|importor[s]kip")
    for path in sorted((ROOT / "tests").rglob("*.py")):
        text = path.read_text()
        assert not banned.search(text), path
        if path == Path(__file__) or path.relative_to(ROOT).as_posix() in USED_WHERE_INSTALLED:
            continue
        if "pytest.skip(" in text or "skipif(" in text:
            assert '"CI"' in text, f"{path}: under CI=true an absent program is a failure"
