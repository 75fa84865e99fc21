"""Visitors beside each other: a short draw while others draw at length, health under a flood.

The live line's server is asked over WebSockets, each visitor from an address of its own. A draw
of 64 fields of φ⁴ 6×6 in 20 steps is timed alone, then while three visitors draw 64 images of
CIFAR-10 in 200 steps; its budget is three times what it takes alone. The health check is timed
alone, then while one visitor sends 36 messages of 15 KB a second, again from the start whenever
the server closes his line. It runs on Linux, where all of 127.0.0.0/8 is this machine.
"""

import json
import statistics
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

from _app import running_app
from _report import ROOT, machine, no_options, percentile, table, write
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin

sys.path.insert(0, str(ROOT))

from pages._samples.state import SamplesState, start
from pages._sampling.models import fitted
from pages._sampling.setting import Setting
from pages._shared.component import unpack

SHORT = start()
LONG = replace(SHORT, setting=fitted(Setting("pretrained/cifar10", steps=200)))
OTHERS = 3
ROUNDS, BUDGET = 20, 3.0
RATE, SIZE = 36, 15_000  # messages a second, bytes of each
SECONDS = 15.0


@contextmanager
def line(url: str, visitor: int) -> Iterator[ClientConnection]:
    """Open the live line as one of several visitors."""
    address = url.replace("http", "ws") + "/live/samples"
    came_from = (f"127.0.0.{visitor + 1}", 0)
    options: dict[str, Any] = {"max_size": None, "max_queue": None, "open_timeout": 60}
    with connect(address, origin=Origin(url), source_address=came_from, **options) as opened:
        yield opened


def asked(bench: SamplesState, seq: int) -> str:
    """Return the request for a draw."""
    told = {"page_state": json.loads(bench.to_json()), "client_state": bench.component()}
    return json.dumps({"kind": "draw", "seq": seq} | told)


def draw(visitor: ClientConnection, seq: int) -> tuple[float, float]:
    """Draw once; return the milliseconds to the first frame and to the last."""
    began = time.perf_counter()
    visitor.send(asked(SHORT, seq))
    first, done = None, False
    while not done:
        answer = visitor.recv(timeout=120)
        if isinstance(answer, bytes):
            first = first or time.perf_counter()
            header, _ = unpack(answer)
            done = header["seq"] == seq and header["done"]
    assert first is not None
    return 1000 * (first - began), 1000 * (time.perf_counter() - began)


def health(url: str, seconds: float) -> list[float]:
    """Ask the health check every 50 ms; return the milliseconds that each answer took."""
    waits, end = [], time.perf_counter() + seconds
    while (began := time.perf_counter()) < end:
        with urllib.request.urlopen(f"{url}/_stcore/health", timeout=60) as answer:
            answer.read()
        waits.append(1000 * (time.perf_counter() - began))
        time.sleep(0.05)
    return waits


def flood(url: str, ended: threading.Event, closed: list[int]) -> None:
    """Send long messages until it ends, on a new line whenever one is closed."""
    message = asked(SHORT, 1)
    message += " " * (SIZE - len(message))
    while not ended.is_set():
        try:
            with line(url, 9) as opened:
                while not ended.wait(1 / RATE):
                    opened.send(message)
        except (ConnectionClosed, OSError) as error:
            closed.append(getattr(getattr(error, "rcvd", None), "code", 0))


def flooded(url: str) -> tuple[list[float], list[int]]:
    """Return the waits of the health check under a flood, and the codes of the closed lines."""
    ended, closed = threading.Event(), []
    other = threading.Thread(target=flood, args=(url, ended, closed))
    other.start()
    try:
        time.sleep(1)
        return health(url, SECONDS), closed
    finally:
        ended.set()
        other.join()


def beside(url: str, look: Callable[[], Any]) -> Any:
    """Return what is seen while other visitors draw at length."""
    with ExitStack() as stack:
        for other in range(OTHERS):
            opened = stack.enter_context(line(url, other))
            opened.send(asked(LONG, 1))
        time.sleep(10)  # the model is read, the first draws are under way
        return look()


def main() -> None:
    """Measure, print a table, write JSON."""
    before = machine()
    with running_app() as app, line(app.url, 8) as visitor:
        draw(visitor, 0)
        time.sleep(10)  # the server reads what the other pages need

        def draws() -> list[tuple[float, float]]:
            return [draw(visitor, seq) for seq in range(1, ROUNDS + 1)]

        alone = draws()
        together = beside(app.url, draws)
        calm = health(app.url, SECONDS)
        stormy, closed = flooded(app.url)
    waits = {
        "φ⁴ alone, first frame": [first for first, _ in alone],
        "φ⁴ alone, drawn": [last for _, last in alone],
        "φ⁴ beside CIFAR-10, first frame": [first for first, _ in together],
        "φ⁴ beside CIFAR-10, drawn": [last for _, last in together],
        "health alone": calm,
        "health under a flood": stormy,
    }
    figures: dict[str, Any] = {
        name: {"n": len(v), "p50": statistics.median(v), "p95": percentile(v, 95), "max": max(v)}
        for name, v in waits.items()
    }
    slower = figures["φ⁴ beside CIFAR-10, drawn"]["p50"] / figures["φ⁴ alone, drawn"]["p50"]
    figures |= {"slower": slower, "budget": BUDGET, "lines closed": closed}
    rows = [(k, f["p50"], f["p95"], f["max"]) for k, f in figures.items() if isinstance(f, dict)]
    print(table(("ms", "p50", "p95", "max"), rows))
    print(f"{slower:.1f} times slower beside {OTHERS} draws of CIFAR-10; budget {BUDGET:.0f}")
    print(f"lines closed under the flood: {len(closed)}, codes {sorted(set(closed))}")
    write("visitors", before, figures)


if __name__ == "__main__":
    no_options(__doc__)
    main()
