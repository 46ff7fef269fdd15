"""What is shipped: a wheel that carries its data and starts anywhere, and an image that holds no more than it must."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
DATA = {".sql", ".yaml", ".html", ".css", ".js", ".svg", ".json", ".typed"}
PAGE = """
import asyncio, urllib.request
from bot.local.workspace import Workspace

async def main():
    async with Workspace() as workspace:
        print((await asyncio.to_thread(urllib.request.urlopen, workspace.url)).status)

asyncio.run(main())
"""


# --- the wheel --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from what git tracks, as a clone would build it."""
    source, built = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in tracked():
        target = source / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((ROOT / name).read_bytes())
    pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(built), str(source))
    (only,) = built.glob("*.whl")
    return only


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a fresh venv that has the wheel, and the locked dependencies from the outer one."""
    folder = tmp_path_factory.mktemp("venv")
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin" / "python"
    pip("--python", str(python), "install", "--no-deps", str(wheel))
    (packages,) = folder.glob("lib/python3*/site-packages")
    outer = next(path for path in sys.path if path.endswith("site-packages"))
    (packages / "dependencies.pth").write_text(f"{outer}\n")
    return python


def tracked() -> list[str]:
    """The files of the distribution that git knows, also those added since the last commit."""
    names = subprocess.run(
        ["git", "ls-files", "--cached", "pyproject.toml", "README.md", "LICENSE", *packages()],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [name for name in names.stdout.splitlines() if (ROOT / name).exists()]


def packages() -> list[str]:
    return [name.rstrip("*") for name in PROJECT["tool"]["setuptools"]["packages"]["find"]["include"]]


def pip(*arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PIP_NO_INDEX": "1"},
    )
    assert done.returncode == 0, done.stderr


def run(python: Path, *arguments: str, folder: Path) -> str:
    """What a command prints, run where no checkout is near."""
    done = subprocess.run(
        [python, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": os.environ["PATH"], "HOME": str(folder)},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_wheel_holds_every_tracked_file_of_the_packages_and_nothing_else(wheel: Path) -> None:
    inside = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert inside == {name for name in tracked() if "/" in name}
    assert {Path(name).suffix for name in inside} >= DATA - {".json"}
    for needed in ("storage/schema.sql", "policies/default/policy.yaml", "domain/py.typed"):
        assert needed in inside


def test_the_wheel_says_its_license_and_what_it_needs(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    (metadata,) = (archive.read(name).decode() for name in archive.namelist() if name.endswith("/METADATA"))
    assert "License-Expression: MIT" in metadata
    assert any(name.endswith("licenses/LICENSE") for name in archive.namelist())
    assert len(re.findall(r"^Requires-Dist:", metadata, re.MULTILINE)) == len(PROJECT["project"]["dependencies"])


def test_installed_elsewhere_it_finds_its_policy_its_schema_and_its_page(installed: Path, tmp_path: Path) -> None:
    where = run(installed, "-c", "import bot; print(bot.__file__)", folder=tmp_path)
    assert str(ROOT) not in where
    assert run(installed, "-m", "bot", "policy", "check", folder=tmp_path).startswith("fine: ")
    assert "up to date" in run(installed, "-m", "bot", "db", "migrate", folder=tmp_path)
    assert run(installed, "-c", PAGE, folder=tmp_path).strip() == "200"


def test_the_command_is_installed_under_its_name(installed: Path, tmp_path: Path) -> None:
    command = installed.with_name("personal-agent")
    printed = subprocess.run([command, "version"], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert printed.strip() == PROJECT["project"]["version"]


# --- the image --------------------------------------------------------------------------------------------------------


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile as (instruction, arguments); continued lines joined, comments left out."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    split = (line.strip().partition(" ") for line in text.splitlines() if line.strip())
    return [(name, " ".join(rest.split())) for name, _, rest in split]


def stages() -> list[list[tuple[str, str]]]:
    found: list[list[tuple[str, str]]] = []
    for instruction in instructions():
        if instruction[0] == "FROM":
            found.append([])
        found[-1].append(instruction)
    return found


def of(stage: list[tuple[str, str]], name: str) -> list[str]:
    return [rest for instruction, rest in stage if instruction == name]


def test_the_image_installs_nothing_that_is_not_locked_with_a_hash() -> None:
    commands = [part for rest in of(instructions(), "RUN") for part in rest.split(" && ")]
    installs = [part for part in commands if re.search(r"pip (install|wheel|download)", part)]
    assert installs
    for part in installs:
        assert "--no-cache-dir" in part
        assert "--require-hashes" in part or "--no-deps" in part, part
        assert "wheel " not in part or "--no-build-isolation" in part, f"{part} would fetch its build tools unlocked"


def test_every_line_of_the_locks_has_a_hash_and_an_exact_version() -> None:
    for lock in ROOT.glob("requirements*.lock"):
        entries = re.split(r"\n(?=[^\s#])", lock.read_text().strip())
        assert all(re.match(r"[\w.\[\]-]+==[\w.]+", entry) and "--hash=sha256:" in entry for entry in entries), lock


def test_the_final_layer_has_no_build_tools_and_runs_as_nobody_in_particular() -> None:
    *_, final = stages()
    assert len(stages()) == 2
    assert final[0][1].startswith("python:3.13-slim")
    assert [rest for rest in of(final, "COPY") if "--from=build" not in rest] == []
    assert not any(re.search(r"pip (install|wheel)|apt|gcc|setuptools", rest) for rest in of(final, "RUN"))
    assert "/site-packages/pip" in of(final, "RUN")[0], "the base image's own pip goes too"
    assert of(final, "USER") == ["10001:10001"]
    after = [name for name, _ in final[final.index(("USER", "10001:10001")) :]]
    assert "RUN" not in after
    assert "COPY" not in after


def test_the_image_serves_keeps_its_data_and_says_whether_it_is_well() -> None:
    *_, final = stages()
    assert of(final, "ENTRYPOINT") == ['["personal-agent"]']
    assert of(final, "CMD") == ['["serve"]']
    assert of(final, "VOLUME") == ["/data"]
    settings = dict(part.split("=", 1) for rest in of(final, "ENV") for part in rest.split())
    assert settings["AGENT_HOST"] == "0.0.0.0"
    assert settings["AGENT_DATABASE"].startswith("/data/")
    (check,) = of(final, "HEALTHCHECK")
    command = json.loads(check[check.index("[") :])
    assert command[0] == "python"
    compile(command[-1], "healthcheck", "exec")
    assert "/healthz" in command[-1]


def test_the_image_s_settings_ask_for_a_webhook_token(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bot", "serve"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "AGENT_HOST": "0.0.0.0"},
    )
    assert done.returncode == 2
    assert "AGENT_ALERT_TOKEN" in done.stderr


def test_the_build_context_holds_what_the_image_copies_and_no_secrets() -> None:
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert "\n*\n" in (ROOT / ".dockerignore").read_text(), "nothing unless it is named"
    build, _ = stages()
    copied = {name for rest in of(build, "COPY") for name in rest.split()[:-1]}
    assert copied == allowed
    assert set(packages()) <= copied
