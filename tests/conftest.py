"""What every test shares: a fixed seed of its own, the devices there are, and a browser."""

import os
import random
import shutil
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Playwright

# The cores are shared with the other processes of pytest-xdist, where there are any.
WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
torch.set_num_threads(max(1, min(4, (os.cpu_count() or 1) // WORKERS)))

# As in the Makefile; where the system has none of these, Playwright starts its own.
CHROMIUM_NAMES = ("chromium", "google-chrome", "google-chrome-stable")

# Chromium must not call home from a closed network, nor ask for a sandbox as root, nor draw as a
# graphics processor would that is not there; its camera is a test picture.
CHROMIUM_FLAGS = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out, unread, the files that `-m browser` or `-m "not browser"` has no tests in."""
    wanted = {"browser": True, "not browser": False}.get(config.option.markexpr)
    is_test = collection_path.name.startswith("test_")
    return True if is_test and wanted not in (None, in_browser(collection_path)) else None


def in_browser(path: Path) -> bool:
    return path.parent == Path(__file__).parent / "browser"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Let files with slow tests, and of the others those with most, be the first, so that no
    process is left with one at the end; leave out what is marked `gpu` where torch sees no device.
    """
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    sizes = Counter(item.path for item in items)
    items.sort(key=lambda item: (item.path not in slow, -sizes[item.path]))
    if not torch.cuda.is_available():
        config.hook.pytest_deselected(items=[each for each in items if for_gpu(each)])
        items[:] = [each for each in items if not for_gpu(each)]


def for_gpu(item: pytest.Item) -> bool:
    return item.get_closest_marker("gpu") is not None


@pytest.fixture
def sigint() -> Iterator[None]:
    """Let SIGINT raise, even where the tests run in the background, where it is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(autouse=True)
def seed() -> Iterator[int]:
    """Give the test a random state of its own, the same in any order, and restore the old one."""
    states = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        random.seed(0)
        np.random.seed(0)
        torch.manual_seed(0)
        yield 0
    random.setstate(states[0])
    np.random.set_state(states[1])


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Let small arrays be computed on one thread, where they are fastest."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def device(request: pytest.FixtureRequest) -> torch.device:
    """Run the test on the CPU, and on the GPU where there is one."""
    return torch.device(request.param)


@pytest.fixture(scope="session")
def playwright() -> "Iterator[Playwright]":
    """Start Playwright once for the whole session."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        yield started


@pytest.fixture(scope="session")
def browser(playwright: "Playwright") -> "Iterator[Browser]":
    """Start one headless Chromium for the whole session: the system's, or else Playwright's."""
    system = next(filter(None, map(shutil.which, CHROMIUM_NAMES)), None)
    chromium = playwright.chromium.launch(
        executable_path=system, args=list(CHROMIUM_FLAGS), chromium_sandbox=False
    )
    yield chromium
    chromium.close()
