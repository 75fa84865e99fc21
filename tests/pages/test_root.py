"""What a page's head begins with: the server's root, and a style sheet."""

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from pages._frame.root import Root, headed, to_root

PAGE = "<html><head><title>a</title></head><body>" + "x" * 2000 + "</body></html>"


STYLE, TAG = "p { color: red }", '"as-before"'


def client(base: str = "") -> TestClient:
    async def page(request: Request) -> HTMLResponse:
        known = request.headers.get("if-none-match") == TAG
        return HTMLResponse("" if known else PAGE, 304 if known else 200, {"etag": TAG})

    async def text(_) -> PlainTextResponse:
        return PlainTextResponse("<head>")

    routes = [Route("/text", text), Route("/{path:path}", page)]
    middleware = [
        Middleware(Root, base=base, style=STYLE),
        Middleware(GZipMiddleware, minimum_size=10),
    ]
    return TestClient(Starlette(routes=routes, middleware=middleware))


@pytest.mark.parametrize(
    ("base", "path", "depth"),
    [("", "/", 1), ("", "/samples", 1), ("", "/samples/", 2), ("lab", "/lab/samples", 1)],
)
def test_a_page_names_its_root_and_has_its_style(base, path, depth):
    answer = client(base).get(path, headers={"accept": "text/html,*/*"})
    assert answer.content == headed(PAGE.encode(), depth, STYLE)
    assert f"<style>{STYLE}</style>" in answer.text.partition("<title>")[0]
    assert answer.headers["content-length"] == str(len(answer.content))


def test_a_page_that_the_browser_knows_without_the_style_is_sent_again():
    ask = {"accept": "text/html", "if-none-match": TAG}
    answer = client().get("/", headers=ask)
    assert answer.status_code == 200 and STYLE in answer.text and "etag" not in answer.headers


def test_what_is_no_page_is_left_alone():
    assert client().get("/text", headers={"accept": "text/html"}).text == "<head>"
    assert client().get("/samples", headers={"accept": "*/*"}).text == PAGE


@pytest.mark.parametrize("base", ["", "lab", "/a/lab/"])
@pytest.mark.parametrize("query", ["", "?basis=pca&t=0.5", "?next=//evil.example"])
def test_the_name_of_the_first_page_leads_to_the_root_with_its_state(base, query):
    served = TestClient(Starlette(routes=[to_root("noising", base)]))
    root = f"/{base.strip('/')}".rstrip("/") + "/"
    answer = served.get(f"{root}noising{query}", follow_redirects=False)
    assert answer.is_redirect
    assert str(answer.next_request.url) == f"http://testserver{root}{query}"
    assert served.get(f"{root}noising/more", follow_redirects=False).status_code == 404
