"""The line over which samples follow a drag. Its protocol: docs/samples-protocol.md.

A connection has one draw at a time, and the latest request wins: it stops the draw before it. The
event loop never waits for a draw: `lanes` has the threads, and who comes next.
"""

import asyncio
import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from pages._samples.component.limits import IDLE, Allowance, Lines, TooMuch
from pages._samples.messages import frames_message
from pages._samples.state import SamplesState, merged
from pages._sampling.draw import Frame, draw, most
from pages._sampling.models import Source, load
from pages._sampling.parts import affordable, is_short, measured
from pages._sampling.setting import Request
from pages._shared.lanes import LONG, SHORT, Cancelled, Lane, Ticket
from pages._shared.page_state import short
from rgdiff_core.data import DataUnavailable
from rgdiff_core.spec import check_range, load_json

__all__ = ["serve"]

READERS = 4  # threads that read requests, and models
FLUSH = 0.08  # seconds between two messages of one draw
ENOUGH = 1000  # closing code
WITHIN = 10.0  # most seconds that a preview may be asked for in

_readers = ThreadPoolExecutor(READERS, "requests")
_lines = Lines()


@dataclass(eq=False)
class Job:
    """One request on its way.

    Attributes:
        text: the message.
        loop: where its packets are awaited.
        packets: what is sent of it; None ends them.
        seq: its number, −1 while it is not read.
        within: the seconds in which a preview is wanted, None for the whole draw.
        since: when its visitor came to wait.
        begun: whether it is drawn, or was.
        queued: the lane in which it waits, and its ticket.
    """

    text: str
    loop: asyncio.AbstractEventLoop
    packets: asyncio.Queue[bytes | str | None] = field(default_factory=asyncio.Queue)
    seq: int = -1
    within: float | None = None
    since: float = field(default_factory=time.monotonic)
    begun: bool = False
    queued: tuple[Lane, Ticket] | None = None
    cancelled: threading.Event = field(default_factory=threading.Event)

    def look(self) -> None:
        """Raise `Cancelled` where nobody waits any more."""
        if self.cancelled.is_set():
            raise Cancelled

    def cancel(self) -> None:
        """Wait for nothing more of it; called in its loop."""
        self.cancelled.set()
        self.packets.put_nowait(None)
        if self.queued is not None:
            lane, ticket = self.queued
            lane.leave(ticket)

    def put(self, packet: bytes | str | None) -> None:
        """Send a packet; called in any thread."""
        with suppress(RuntimeError):  # its loop has ended, with the server
            self.loop.call_soon_threadsafe(self.packets.put_nowait, packet)

    def say(self, kind: str, **told: Any) -> None:
        """Send a message in words; called in any thread."""
        self.put(json.dumps({"kind": kind, "seq": self.seq} | told))


async def serve(socket: WebSocket) -> None:
    """Draw what a browser asks for until it goes, or asks for too much."""
    await socket.accept()
    visitor = socket.client.host if socket.client else ""
    try:
        with _lines.one_of(visitor):
            await _listen(socket, visitor)
    except TooMuch as error:
        await socket.close(error.code, error.sentence)
    except (WebSocketDisconnect, KeyError):  # closed, or bytes where text belongs
        pass


async def _listen(socket: WebSocket, visitor: str) -> None:
    loop, allowance = asyncio.get_running_loop(), Allowance()
    latest: asyncio.Queue[Job] = asyncio.Queue()
    worker = asyncio.create_task(_work(socket, visitor, latest))
    job: Job | None = None
    try:
        while True:
            try:
                text = await asyncio.wait_for(socket.receive_text(), IDLE)
            except TimeoutError:
                if job is None or job.cancelled.is_set():
                    await socket.close(ENOUGH, "Nothing was asked for a long time.")
                    return
                continue
            allowance.take(text)
            before, job = job, Job(text, loop)
            if before is not None:
                if not (before.begun or before.cancelled.is_set()):  # he waits: it stays his place
                    job.since = before.since
                before.cancel()
            latest.put_nowait(job)
    finally:
        if job is not None:
            job.cancel()
        worker.cancel()


async def _work(socket: WebSocket, visitor: str, latest: asyncio.Queue[Job]) -> None:
    """Do one job after another; those that came while one was done count for nothing, but the
    last.
    """
    while True:
        job = await latest.get()
        while not latest.empty():
            job = latest.get_nowait()
        _readers.submit(_enter, job, visitor)
        try:
            while (packet := await job.packets.get()) is not None:
                if isinstance(packet, bytes):
                    await socket.send_bytes(packet)
                else:
                    await socket.send_text(packet)
        except (WebSocketDisconnect, RuntimeError):  # the tab was closed while this was sent
            return
        finally:
            job.cancel()


def _enter(job: Job, visitor: str) -> None:
    """Read a request, and queue the draw that it asks for."""

    def read() -> None:
        job.look()
        asked = _asked(job)
        if asked is None:
            job.put(None)
            return
        source = load(asked.setting)
        whole = replace(asked, n=min(asked.n, most(source.denoiser.basis.shape)))
        request = whole if job.within is None else affordable(whole, source, job.within)
        lane = SHORT if is_short(request, source) else LONG
        ticket = Ticket(
            visitor,
            lambda: _guarded(job, lambda: _stream(job, request, source, request == whole)),
            lambda place: job.say("queued", place=place),
            job.since,
        )
        job.queued = lane, ticket
        lane.join(ticket)
        if job.cancelled.is_set():
            lane.leave(ticket)

    _guarded(job, read)


def _asked(job: Job) -> Request | None:
    """Return what a message asks for, checked as a link is; None for a cancellation."""
    message = load_json(job.text)
    if not isinstance(message, dict) or message.get("kind") not in ("draw", "cancel"):
        raise ValueError("the message is neither a 'draw' nor a 'cancel'.")
    seq = message.get("seq")
    if not isinstance(seq, int) or isinstance(seq, bool) or not 0 <= seq < 2**53:
        raise ValueError("seq must be a whole number of at least 0.")
    if message["kind"] == "cancel":
        return None
    job.seq = seq
    if (within := message.get("within")) is not None:
        check_range("within", within, 0, WITHIN, low_open=True)
        job.within = within
    bench = SamplesState.from_json(json.dumps(message.get("page_state")))
    client_state = message.get("client_state")
    if not isinstance(client_state, dict):
        raise ValueError("client_state must be the part of the state that the browser owns.")
    return merged(bench, client_state).request


def _guarded(job: Job, work: Callable[[], None]) -> None:
    """Work for a job; what goes wrong ends it with a sentence."""
    try:
        work()
    except Cancelled:
        job.put(None)
    except (ValueError, OSError, DataUnavailable, MemoryError) as error:
        job.say("problem", sentence=short(" ".join(str(error).split()) or type(error).__name__))
        job.put(None)
    except Exception as error:
        job.say("problem", sentence=f"The samples can't be drawn: {type(error).__name__}.")
        job.put(None)
        raise


def _stream(job: Job, request: Request, source: Source, whole: bool) -> None:
    """Draw, and send the frames as they come, with whether they are all that was asked for."""
    job.look()
    job.begun = True
    steps = request.setting.steps
    began = flushed = time.monotonic()
    waiting: list[Frame] = []

    def show(frame: Frame) -> None:
        nonlocal flushed
        waiting.append(frame)
        now, done = time.monotonic(), frame.step == steps
        if not done and now - flushed < FLUSH:
            return
        spent = now - began
        header = {
            "seq": job.seq,
            "steps": steps,
            "done": done,
            "whole": whole,
            "seconds": spent,
            "left": spent * (steps - frame.step - 1) / (frame.step + 1),
        }
        job.put(frames_message(waiting, source, request.setting, header))
        waiting.clear()
        flushed = now

    draw(request, show, job.look)
    measured(request, source, time.monotonic() - began)
    job.put(None)
