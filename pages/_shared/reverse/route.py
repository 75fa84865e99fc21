"""The WebSocket route of the Samples page: who may use it.

It imports little, for the server imports it before it answers; `line` has the rest.
"""

import asyncio
import threading
from importlib import import_module
from urllib.parse import urlsplit

from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

__all__ = ["PATH", "is_served", "route"]

PATH = "/live/samples"
POLICY = 1008  # closing code

_served = threading.Event()


def route() -> WebSocketRoute:
    """Return the route, and remember that it is served."""
    _served.set()
    return WebSocketRoute(PATH, _live)


def is_served() -> bool:
    """Tell whether this server has the route."""
    return _served.is_set()


def _same_origin(socket: WebSocket) -> bool:
    """Tell whether the page that asks comes from this very host."""
    origin, host = socket.headers.get("origin"), socket.headers.get("host")
    return bool(origin and host) and urlsplit(origin).netloc == host


async def _live(socket: WebSocket) -> None:
    if not _same_origin(socket):
        await socket.close(POLICY)
        return
    line = await asyncio.to_thread(import_module, "pages._shared.reverse.line")
    await line.serve(socket)
