"""The real Prometheus and Alertmanager from Debian, each on a free port with its data in a test's own folder."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

PROMETHEUS = shutil.which("prometheus")
ALERTMANAGER = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
needs_both = pytest.mark.skipif(
    (PROMETHEUS is None or ALERTMANAGER is None) and not os.environ.get("CI"),
    reason="Prometheus and Alertmanager are not installed",
)


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


@contextmanager
def prometheus(folder: Path, config: str, *more: str) -> Iterator[str]:
    """A running Prometheus; its address. `config` may name its own address as {self}."""
    assert PROMETHEUS is not None, "prometheus must be there in CI"
    port = free_port()
    (folder / "prometheus.yml").write_text(config.replace("{self}", f"127.0.0.1:{port}"))
    arguments = (
        PROMETHEUS, f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}", *more,
    )  # fmt: skip
    with _running(arguments, f"http://127.0.0.1:{port}", folder / "prometheus.log") as url:
        yield url


@contextmanager
def alertmanager(folder: Path, config: str) -> Iterator[str]:
    """A running Alertmanager; its address."""
    assert ALERTMANAGER is not None, "prometheus-alertmanager must be there in CI"
    port = free_port()
    (folder / "alertmanager.yml").write_text(config)
    arguments = (
        ALERTMANAGER, f"--config.file={folder / 'alertmanager.yml'}", f"--storage.path={folder / 'alerts'}",
        "--cluster.listen-address=", f"--web.listen-address=127.0.0.1:{port}",
    )  # fmt: skip
    with _running(arguments, f"http://127.0.0.1:{port}", folder / "alertmanager.log") as url:
        yield url


@contextmanager
def _running(arguments: tuple[str, ...], url: str, log: Path) -> Iterator[str]:
    with log.open("w") as output:
        process = subprocess.Popen(arguments, stderr=output, stdout=output)
        try:
            _until_ready(process, f"{url}/-/ready", log)
            yield url
        finally:
            process.terminate()
            process.wait(timeout=20)


def _until_ready(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    for _ in range(400):
        assert process.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except (urllib.error.URLError, TimeoutError, ConnectionError):
            time.sleep(0.05)
    raise AssertionError(f"{url} does not become ready: {log.read_text()}")
