"""A running app for the browser tests, with a cache folder of its own and no need of a network."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from labpage import new_tab
from patience import PATIENCE
from playwright.sync_api import Browser, Page, expect

from tests.kept import SETS, cache_with

expect.set_options(timeout=1000 * PATIENCE)

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def app_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start app.py on a free port, and return its address, without a slash at the end."""
    with running("app.py", tmp_path_factory.mktemp("app")) as url:
        yield url


@pytest.fixture(scope="module")
def own_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start app.py for one file of tests: what still runs in its background ends with them."""
    with running("app.py", tmp_path_factory.mktemp("own")) as url:
        yield url


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """Open a tab."""
    tab = new_tab(browser, [], (1440, 1000))
    yield tab
    tab.close()


@pytest.fixture(scope="module")
def faults() -> Iterator[list[str]]:
    """Collect what the console complains of; at the end there must be nothing."""
    texts: list[str] = []
    yield texts
    assert texts == []


@pytest.fixture(scope="module")
def lasting_tab(browser: Browser, faults: list[str]) -> Iterator[Page]:
    """Open a high tab for all tests of a file."""
    tab = new_tab(browser, faults, (1440, 1400))
    yield tab
    tab.close()


@contextmanager
def running(script: str, folder: Path) -> Iterator[str]:
    """Start the app with a cache and runs of its own, give its address, and stop it."""
    app, url = started(script, folder)
    try:
        yield url
    finally:
        app.terminate()
        app.wait(PATIENCE)


def started(script: str, folder: Path) -> tuple[subprocess.Popen[bytes], str]:
    """Start the app with a cache and runs in a folder; return its process and its address."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", script, f"--server.port={port}"]
    cache = cache_with(folder / "cache", *SETS)
    log, url = folder / "log", f"http://localhost:{port}"
    with log.open("wb") as output:
        app = subprocess.Popen(
            [*command, "--server.headless=true", "--server.fileWatcherType=none"],
            cwd=ROOT,
            env=os.environ | {"RGDIFF_CACHE": cache, "RGDIFF_RUNS": str(folder / "runs")},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        _wait(f"{url}/_stcore/health", app, log)
    except BaseException:
        app.kill()
        app.wait()
        raise
    return app, url


def _wait(url: str, app: subprocess.Popen, log: Path) -> None:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and app.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=PATIENCE):
                return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError(f"the app did not start: {log.read_text(errors='replace')[-2000:]}")
