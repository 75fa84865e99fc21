"""The running app and a real Chromium, for the benchmarks that drive the pages."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
from _report import ROOT
from playwright.sync_api import Browser, Page, sync_playwright

__all__ = ["App", "chromium", "running_app", "tab"]

CHROMIUM_NAMES = ("chromium", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
)
PATIENCE = 60  # seconds


@dataclass(frozen=True)
class App:
    """A server that answers: its address, when its process started (`time.monotonic`), and how
    many seconds later it was up.
    """

    url: str
    process: psutil.Process
    started: float
    up_after: float

    def memory(self) -> float:
        """Return the resident memory of the server and its children, in MiB."""
        every = [self.process, *self.process.children(recursive=True)]
        return sum(process.memory_info().rss for process in every) / 2**20


@contextmanager
def running_app() -> Iterator[App]:
    """Start the app on a free port and stop it in the end; raises `RuntimeError` with its log."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    url = f"http://localhost:{port}"
    options = [f"--server.port={port}", "--server.headless=true"]
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        started = time.monotonic()
        with log.open("wb") as output:
            server = subprocess.Popen(
                [sys.executable, "-m", "streamlit", "run", "app.py", *options],
                cwd=ROOT,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            _wait(f"{url}/_stcore/health", server, log)
            yield App(url, psutil.Process(server.pid), started, time.monotonic() - started)
        finally:
            server.terminate()
            try:
                server.wait(10)
            except subprocess.TimeoutExpired:
                server.kill()


def _wait(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and server.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=1):
                return
        except OSError:
            time.sleep(0.02)
    raise RuntimeError(f"the app did not start: {log.read_text(errors='replace')[-2000:]}")


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start a headless Chromium: the system's, or else Playwright's own."""
    system = next(filter(None, map(shutil.which, CHROMIUM_NAMES)), None)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=system,
            args=list(FLAGS),
            chromium_sandbox=hasattr(os, "geteuid") and os.geteuid() != 0,
        )
        yield browser
        browser.close()


@contextmanager
def tab(browser: Browser) -> Iterator[Page]:
    """Open a tab of a laptop's size with a session of its own."""
    page = browser.new_page(
        viewport={"width": 1440, "height": 1000},
        reduced_motion="reduce",  # else the Noising page opens moving
    )
    page.set_default_timeout(1000 * PATIENCE)
    yield page
    page.close()
