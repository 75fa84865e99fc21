"""Ctrl+C ends a command, wherever it comes, and at once the second time."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from patience import PATIENCE

from rgdiff_core.cli.interrupts import AGAIN, INTERRUPTED, STOPPED, interruptible

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.usefixtures("sigint")


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)
    for _ in range(10_000):  # the handler is called between two of these
        pass


class Dropped:
    """An interrupt comes where Python drops what is raised."""

    def __del__(self) -> None:
        interrupt()


class Named:
    """An interrupt comes where Python 3.11 makes it the cause of another error."""

    def __set_name__(self, owner: type, name: str) -> None:
        interrupt()


def wait() -> None:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        time.sleep(0.01)


def test_one_that_comes_while_the_libraries_are_imported_is_one_line(tmp_path: Path):
    """In the place of PyTorch is a module that interrupts the process that imports it."""
    (tmp_path / "torch.py").write_text(
        f"import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep({PATIENCE})\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "rgdiff", "data", "list"],
        env=os.environ | {"PYTHONPATH": os.pathsep.join((str(tmp_path), str(ROOT)))},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout, done.stderr) == (INTERRUPTED, "", f"{STOPPED}\n")


@pytest.mark.parametrize(
    "come", [interrupt, lambda: Dropped() and None, lambda: type("Owner", (), {"x": Named()})]
)
def test_an_interrupt_ends_the_work(come: Callable[[], None]):
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), interruptible():
        come()
        wait()
    assert signal.getsignal(signal.SIGINT) == before


def test_a_dropped_one_is_not_forgotten_where_the_work_ends_first():
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), interruptible():
        Dropped()
    assert signal.getsignal(signal.SIGINT) == before
    time.sleep(2 * AGAIN)  # nothing comes any more


def test_a_second_one_ends_the_process_without_anyone_to_hear():
    child = os.fork()
    if child == 0:
        read, write = os.pipe()
        os.close(read)
        os.dup2(write, 2)
        try:
            with interruptible():
                try:
                    interrupt()
                except KeyboardInterrupt:
                    interrupt()
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == INTERRUPTED


def test_a_second_one_ends_the_process():
    with tempfile.TemporaryFile() as said:
        child = os.fork()
        if child == 0:
            os.dup2(said.fileno(), 2)
            with interruptible():
                try:
                    interrupt()
                except KeyboardInterrupt:
                    interrupt()
            os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == INTERRUPTED
        said.seek(0)
        assert said.read().decode() == f"{STOPPED}\n"


def test_a_reader_that_leaves_early_is_no_traceback():
    """As `rgdiff data list | head -1`."""
    words = [sys.executable, "-m", "rgdiff", "data", "list"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        said = process.stderr.read()
        assert (process.wait(), said) == (1, b"")
