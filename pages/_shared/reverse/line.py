"""The line on which samples follow the hand. Its protocol: docs/samples-protocol.md.

A connection has one draw at a time, and the latest request wins: it stops the draw before it.
Draws run in a small pool of threads that all connections share, so that the event loop never
waits and visitors share the processor.
"""

import asyncio
import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from pages._shared.keeper import short
from pages._shared.sampledraw import Frame, draw, most
from pages._shared.samplemessages import frames_message, span
from pages._shared.samplemodels import load
from pages._shared.samplestate import Bench, Request, merged
from rgdiff_core.data import DataUnavailable
from rgdiff_core.spec import load_json

__all__ = ["MAX_MESSAGE", "serve"]

MAX_MESSAGE = 1 << 14  # characters
WORKERS = 2  # draws at the same time, of all visitors together
FLUSH = 0.08  # seconds between two messages of one draw
TOO_BIG = 1009  # closing code

_pool = ThreadPoolExecutor(WORKERS, "samples")


class Cancelled(Exception):
    """A newer request, or a closed tab, has made a draw superfluous."""


@dataclass(eq=False)
class Job:
    """One request on its way."""

    seq: int
    message: dict[str, Any]
    cancelled: threading.Event = field(default_factory=threading.Event)

    def look(self) -> None:
        """Raise `Cancelled` where nobody waits any more."""
        if self.cancelled.is_set():
            raise Cancelled


async def serve(socket: WebSocket) -> None:
    """Draw what a browser asks for until it goes."""
    await socket.accept()
    latest: asyncio.Queue[Job] = asyncio.Queue()
    worker = asyncio.create_task(_work(socket, latest))
    job: Job | None = None
    try:
        while True:
            text = await socket.receive_text()
            if job is not None:
                job.cancelled.set()
            if len(text) > MAX_MESSAGE:
                await socket.close(TOO_BIG)
                return
            try:
                job = _job(text)
            except ValueError as error:
                await _say(socket, -1, str(error))
                continue
            latest.put_nowait(job)
    except (WebSocketDisconnect, KeyError):  # closed, or bytes where text belongs
        pass
    finally:
        if job is not None:
            job.cancelled.set()
        worker.cancel()


def _job(text: str) -> Job:
    message = load_json(text)
    if not isinstance(message, dict) or message.get("kind") not in ("draw", "cancel"):
        raise ValueError("the message is neither a 'draw' nor a 'cancel'.")
    seq = message.get("seq")
    if not isinstance(seq, int) or isinstance(seq, bool) or not 0 <= seq < 2**53:
        raise ValueError("seq must be a whole number of at least 0.")
    return Job(seq, message)


async def _work(socket: WebSocket, latest: asyncio.Queue[Job]) -> None:
    """Do one job after another; those that came while one was done count for nothing, but the
    last.
    """
    loop = asyncio.get_running_loop()
    while True:
        job = await latest.get()
        while not latest.empty():
            job = latest.get_nowait()
        if job.message["kind"] == "cancel":
            continue
        packets: asyncio.Queue[bytes | str | None] = asyncio.Queue()

        def put(packet: bytes | str | None, to: asyncio.Queue[Any] = packets) -> None:
            loop.call_soon_threadsafe(to.put_nowait, packet)

        done = loop.run_in_executor(_pool, _run, job, put)
        try:
            while (packet := await packets.get()) is not None:
                if isinstance(packet, bytes):
                    await socket.send_bytes(packet)
                else:
                    await _say(socket, job.seq, packet)
        except (WebSocketDisconnect, RuntimeError):  # the tab was closed while this was sent
            job.cancelled.set()
            return
        finally:
            job.cancelled.set()
        await done


async def _say(socket: WebSocket, seq: int, sentence: str) -> None:
    await socket.send_text(json.dumps({"kind": "problem", "seq": seq, "sentence": sentence}))


def _run(job: Job, put: Callable[[bytes | str | None], None]) -> None:
    """Draw what a job asks for; None ends its packets."""
    try:
        _stream(job, put)
    except Cancelled:
        pass
    except (ValueError, OSError, DataUnavailable, MemoryError) as error:
        put(short(" ".join(str(error).split()) or type(error).__name__))
    except Exception as error:
        put(f"The samples can't be drawn: {type(error).__name__}.")
        raise
    finally:
        put(None)


def _stream(job: Job, put: Callable[[bytes | str | None], None]) -> None:
    request = _asked(job.message)
    job.look()
    source = load(request.setting)
    request = replace(request, n=min(request.n, most(source.denoiser.basis.shape)))
    limits, steps = span(source), request.setting.steps
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
            "seconds": spent,
            "left": spent * (steps - frame.step - 1) / (frame.step + 1),
        }
        put(frames_message(waiting, limits, header))
        waiting.clear()
        flushed = now

    draw(request, show, job.look)


def _asked(message: dict[str, Any]) -> Request:
    """Return what a message asks for, checked as a link is."""
    bench = Bench.from_json(json.dumps(message.get("bench")))
    told = message.get("told")
    if not isinstance(told, dict):
        raise ValueError("told must be the part of the state that the browser owns.")
    return merged(bench, told).request
