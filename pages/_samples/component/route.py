"""The WebSocket route of the Samples page: who may use it.

It imports little, for the server imports it before it answers; `line` has the rest.
"""

import asyncio
import threading
from importlib import import_module

from starlette.routing import WebSocketRoute
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket

from pages._frame.guard import POLICY, Hosts
from pages._samples.component.limits import bound

__all__ = ["PATH", "is_served", "route"]

PATH = "/live/samples"

_served = threading.Event()


class Live:
    """The live line as an ASGI app.

    Arguments:
        hosts: the names of the server, at which alone a page may ask.
    """

    def __init__(self, hosts: Hosts) -> None:
        self.hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one line."""
        socket = WebSocket(scope, receive, send)
        if "origin" not in socket.headers or self.hosts.refusal(socket.headers, live=True):
            await socket.close(POLICY)
            return
        bound(receive)
        line = await asyncio.to_thread(import_module, "pages._samples.component.line")
        await line.serve(socket)


def route(hosts: Hosts, base: str = "") -> WebSocketRoute:
    """Return the route, and remember that it is served.

    Arguments:
        hosts: the names of the server.
        base: the path under which the app is served.
    """
    _served.set()
    return WebSocketRoute(f"/{base.strip('/')}".rstrip("/") + PATH, Live(hosts))


def is_served() -> bool:
    """Tell whether this server has the route."""
    return _served.is_set()
