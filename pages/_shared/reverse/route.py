"""The WebSocket route of the Samples page: who may use it.

It imports little, for the server imports it before it answers; `line` has the rest.
"""

import asyncio
import threading
from importlib import import_module

from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

from pages._shared.guard import POLICY, Hosts

__all__ = ["PATH", "is_served", "route"]

PATH = "/live/samples"

_served = threading.Event()


def route(hosts: Hosts, base: str = "") -> WebSocketRoute:
    """Return the route, and remember that it is served.

    Arguments:
        hosts: the names of the server, at which alone a page may ask.
        base: the path under which the app is served.
    """
    _served.set()

    async def live(socket: WebSocket) -> None:
        if "origin" not in socket.headers or hosts.refusal(socket.headers, live=True):
            await socket.close(POLICY)
            return
        line = await asyncio.to_thread(import_module, "pages._shared.reverse.line")
        await line.serve(socket)

    return WebSocketRoute(f"/{base.strip('/')}".rstrip("/") + PATH, live)


def is_served() -> bool:
    """Tell whether this server has the route."""
    return _served.is_set()
