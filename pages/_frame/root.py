"""What the head of every page begins with: where the server's root is, and the app's style sheet.

A style sheet that came with a page's elements would move what is there already. And Streamlit's
browser part asks for the server's health below the address of the page first, and only
then at the root: each direct visit of a page has two requests that fail. It does not search where
the page names the root.
"""

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import RedirectResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["Root", "headed", "to_root"]

HEAD = b"<head>"
UNASKED = (b"accept-encoding", b"if-none-match", b"if-modified-since")


class Root:
    """Middleware that names the root in every page that is sent, and puts a style sheet into it.

    Arguments:
        base: path under which the server answers, "" for its root.
        style: style sheet of every page.
    """

    def __init__(self, app: ASGIApp, base: str = "", style: str = "") -> None:
        self.app = app
        self.style = style
        self.base = [part for part in base.split("/") if part]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        page = scope["type"] == "http" and scope["method"] == "GET"
        if not page or "text/html" not in Headers(scope=scope).get("accept", ""):
            await self.app(scope, receive, send)
            return
        depth = scope["raw_path"].count(b"/") - len(self.base)
        start: Message | None = None
        parts: list[bytes] = []

        async def rewritten(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start" and _is_page(message):
                start = message
            elif start is None:
                await send(message)
            else:
                parts.append(message.get("body", b""))
                if not message.get("more_body"):
                    content = headed(b"".join(parts), depth, self.style)
                    _describe(start, content)
                    await send(start)
                    await send({"type": "http.response.body", "body": content})

        await self.app(_plain(scope), receive, rewritten)


def to_root(name: str, base: str = "") -> Route:
    """Return a route from the name of the first page, which people type, to the root: Streamlit
    serves the first page there alone. What the address says of its state goes along.

    Arguments:
        base: path under which the server answers, "" for its root.
    """

    async def lead(request: Request) -> RedirectResponse:
        query = request.url.query
        # relative, for a proxy may have taken a part of the path off
        return RedirectResponse(f"./?{query}" if query else "./")

    return Route(f"/{base.strip('/')}".rstrip("/") + f"/{name}", lead)


def headed(page: bytes, depth: int, style: str) -> bytes:
    """Return a page that names the root and has a style sheet.

    Arguments:
        depth: how many parts of the page's path lie below the root, at least 1.
    """
    # from the browser's own address, for a proxy may have taken a part of it off
    script = (
        "<script>window.__streamlit = { BACKEND_BASE_URL: location.origin + location.pathname"
        f'.split("/").slice(0, -{max(1, depth)}).join("/") + "/" }};</script>'
    )
    return page.replace(HEAD, HEAD + f"{script}<style>{style}</style>".encode(), 1)


def _is_page(start: Message) -> bool:
    html = Headers(raw=start["headers"]).get("content-type", "").startswith("text/html")
    return html and start["status"] == 200


def _plain(scope: Scope) -> Scope:
    """Return a request for the whole page, uncompressed: a copy that the browser has kept may have
    another head.
    """
    headers = [(name, value) for name, value in scope["headers"] if name not in UNASKED]
    return {**scope, "headers": headers, "extensions": {}}


def _describe(start: Message, content: bytes) -> None:
    """Let the headers of an answer be those of its new content."""
    headers = MutableHeaders(scope=start)
    headers["content-length"] = str(len(content))
    for name in ("etag", "last-modified"):
        del headers[name]
