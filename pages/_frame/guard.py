"""Who may talk to the server: the names under which it answers, and the pages that may ask.

A page from elsewhere can point its own name at this machine (DNS rebinding); a browser then takes
the server for a part of that page. So every request must name the server by a known name, and a
WebSocket must come from a page of that very name. It imports little, for the server imports it
before it answers.
"""

import ipaddress
import os
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["HEADERS", "POLICY", "Guard", "Hosts"]

ALLOWED, PROXY = "RGDIFF_ALLOWED_HOSTS", "RGDIFF_TRUSTED_PROXY"
LOCAL = ("localhost", "127.0.0.1", "::1")
EVERYWHERE = ("0.0.0.0", "::", "")
PORTS = {"http": 80, "https": 443}
SHOWN = 80  # characters of a name that is refused
MISDIRECTED = 421
POLICY = 1008  # closing code
HEADERS = {
    "Content-Security-Policy": "frame-ancestors 'self'",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "SAMEORIGIN",
}


def _split(url: str) -> SplitResult | None:
    """Return the parts of an address; None where it is none."""
    try:
        parts = urlsplit(url)
        known = bool(parts.hostname) and parts.port != 0  # the port is checked where it is read
    except ValueError:
        return None
    return parts if known and "@" not in parts.netloc else None


def _name(host: str) -> str | None:
    """Return the name in HOST[:PORT], in lower case; None where it is no such text."""
    parts = _split(f"//{host}")
    if parts is None or parts.path or parts.query or parts.fragment:
        return None
    return (parts.hostname or "").rstrip(".") or None


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _same(origin: str, host: str) -> bool:
    """Tell whether an origin, SCHEME://HOST[:PORT], is that of a host, HOST[:PORT]."""
    page, here = _split(origin), _split(f"//{host}")
    if page is None or here is None or page.scheme not in PORTS:
        return False
    usual = PORTS[page.scheme]
    return (page.hostname, page.port or usual) == (here.hostname, here.port or usual)


@dataclass(frozen=True)
class Hosts:
    """The names under which the server answers.

    Attributes:
        names: in lower case; "*.example.org" stands for all names below it, "*" for all names.
        addresses: whether it answers under every numeric address too. No page from elsewhere can
            have one as its name.
        proxy: whether the name that a proxy reports for a request is trusted.
    """

    names: frozenset[str] = frozenset(LOCAL)
    addresses: bool = False
    proxy: bool = False

    @classmethod
    def configured(
        cls,
        address: str | None,
        listed: Iterable[str] = (),
        environment: Mapping[str, str] = os.environ,
    ) -> "Hosts":
        """Return the names of a server: local ones, that of its address, and those of settings.

        Arguments:
            address: where the server listens.
            listed: further names.
            environment: where `RGDIFF_ALLOWED_HOSTS` and `RGDIFF_TRUSTED_PROXY` are looked up.

        Raises:
            ValueError: for a setting that can't be read.
        """
        everywhere = (address or "") in EVERYWHERE
        own = socket.gethostname() if everywhere else address or ""
        names = {*LOCAL, own.strip("[]").lower(), *(name.strip().lower() for name in listed)}
        for each in filter(None, map(str.strip, environment.get(ALLOWED, "").split(","))):
            name = "*" if each == "*" else _name(each)
            if name is None:
                raise ValueError(
                    f"{ALLOWED} = {each[:SHOWN]!r} is no name of a host, such as lab.example.org "
                    "or *.example.org."
                )
            names.add(name)
        told = environment.get(PROXY, "0")
        if told not in ("0", "1"):
            raise ValueError(f"{PROXY} = {told[:SHOWN]!r} is neither 0 nor 1.")
        return cls(frozenset(names), everywhere, told == "1")

    def knows(self, host: str) -> bool:
        """Tell whether the server answers under the name in HOST[:PORT]."""
        name = _name(host)
        if name is None:
            return False
        below = {"*" + name[i:] for i, letter in enumerate(name) if letter == "."}
        return bool({"*", name, *below} & self.names) or (self.addresses and _is_address(name))

    def asked(self, headers: Headers) -> str:
        """Return the host that a request asks for, as the browser wrote it."""
        forwarded = headers.get("x-forwarded-host") if self.proxy else None
        return (forwarded or headers.get("host", "")).rsplit(",", 1)[-1].strip()

    def refusal(self, headers: Headers, live: bool = False) -> str | None:
        """Return the sentence that refuses a request; None where it is in order.

        Arguments:
            live: whether it is for a WebSocket, which any page can open.
        """
        for host in (*(headers.getlist("host") or [""]), self.asked(headers)):
            if not self.knows(host):
                return (
                    f"This server does not answer under the name {host[:SHOWN]!r}; the setting "
                    f"{ALLOWED} adds names."
                )
        origin = headers.get("origin")
        if live and origin is not None and not _same(origin, self.asked(headers)):
            return f"The page {origin[:SHOWN]!r} is not one of this server."
        return None


class Guard:
    """Middleware that refuses what `Hosts` does not know, and sends `HEADERS` with all answers."""

    def __init__(self, app: ASGIApp, hosts: Hosts) -> None:
        self.app = app
        self.hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers, live = Headers(scope=scope), scope["type"] == "websocket"
        refused = self.hosts.refusal(headers, live)
        if refused is not None and live:
            await send({"type": "websocket.close", "code": POLICY, "reason": ""})
            return
        answer: ASGIApp = self.app
        if refused is not None:
            answer = PlainTextResponse(refused + "\n", MISDIRECTED)
        await answer(_named(scope, self.hosts.asked(headers)), receive, _covered(send))


def _named(scope: Scope, host: str) -> Scope:
    """Return a request that asks for a host by the browser's name for it."""
    others: list[Any] = [(key, value) for key, value in scope["headers"] if key != b"host"]
    return {**scope, "headers": [(b"host", host.encode("latin-1")), *others]}


def _covered(send: Send) -> Send:
    async def covered(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return covered
