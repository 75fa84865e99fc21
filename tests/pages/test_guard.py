"""Who may talk to the server: names of hosts, origins, what a proxy says, headers of answers."""

from collections.abc import Iterator

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket, WebSocketDisconnect

from pages._frame.guard import HEADERS, Guard, Hosts
from pages._samples.component import route as route_module
from pages._samples.component.route import PATH, route

EVIL = "evil.example:8501"
LOCAL = Hosts.configured("localhost", environment={})
OPEN = Hosts.configured("0.0.0.0", environment={})
NAMED = Hosts.configured(
    "192.168.7.7", ["list.example"], {"RGDIFF_ALLOWED_HOSTS": "Lab.example:81, *.uni.example"}
)
PROXIED = Hosts.configured(
    "localhost", [], {"RGDIFF_ALLOWED_HOSTS": "lab.example", "RGDIFF_TRUSTED_PROXY": "1"}
)


async def asked(request: Request) -> PlainTextResponse:
    return PlainTextResponse(request.headers["host"])


async def stream(socket: WebSocket) -> None:
    await socket.accept()
    await socket.close()


@pytest.fixture(scope="module", autouse=True)
def unserved() -> Iterator[None]:
    """Leave no trace of the routes: other tests ask for a page without them."""
    yield
    route_module._served.clear()


def client(hosts: Hosts, base: str = "") -> TestClient:
    return TestClient(
        Starlette(
            routes=[Route("/", asked), WebSocketRoute("/stream", stream), route(hosts, base)],
            middleware=[Middleware(Guard, hosts=hosts)],
        )
    )


def opens(app: TestClient, path: str, headers: dict[str, str]) -> bool:
    try:
        with app.websocket_connect(path, headers=headers):
            return True
    except WebSocketDisconnect:
        return False


@pytest.mark.parametrize(
    ("hosts", "known", "unknown"),
    [
        (
            LOCAL,
            ("localhost", "LocalHost.:8501", "127.0.0.1:1", "[::1]", "[::1]:8501"),
            (EVIL, "", "localhost.evil.example", "localhost@evil.example", "192.168.7.7", "[::1",
             "localhost:x", "localhost:99999", "localhost/evil", "local host"),
        ),
        (OPEN, ("localhost", "10.1.2.3:8501", "[2001:db8::1]"), (EVIL, "10.1.2.3.evil.example")),
        (
            NAMED,
            ("192.168.7.7:8501", "list.example", "lab.example", "a.b.uni.example"),
            (EVIL, "192.168.7.8", "uni.example", "other.lab.example"),
        ),
        (Hosts.configured("::1", environment={"RGDIFF_ALLOWED_HOSTS": "*"}), (EVIL,), ("",)),
    ],
)  # fmt: skip
def test_only_known_names_are_answered(
    hosts: Hosts, known: tuple[str, ...], unknown: tuple[str, ...]
):
    app = client(hosts)
    for host in known:
        assert app.get("/", headers={"host": host}).text == host
    for host in unknown:
        refused = app.get("/", headers={"host": host})
        assert refused.status_code == 421
        assert "RGDIFF_ALLOWED_HOSTS" in refused.text and refused.text.count("\n") == 1


@pytest.mark.parametrize("path", ["/stream", PATH])
def test_a_page_of_a_name_that_points_here_opens_no_stream(path: str):
    app = client(LOCAL)
    assert not opens(app, path, {"host": EVIL, "origin": f"http://{EVIL}"})
    here = {"host": "localhost:8501"}
    assert opens(app, path, here | {"origin": "http://localhost:8501"})
    for origin in ("http://[::1", f"http://{EVIL}", "http://localhost:9999", "null", "http://",
                   "file://localhost:8501", "http://localhost:8501@evil.example"):  # fmt: skip
        assert not opens(app, path, here | {"origin": origin})


def test_the_route_checks_by_itself():
    app = TestClient(Starlette(routes=[route(LOCAL)]))
    assert not opens(app, PATH, {"host": EVIL, "origin": f"http://{EVIL}"})
    assert not opens(app, PATH, {"host": "localhost"})  # a page tells where it comes from
    assert not opens(app, PATH, {"host": "localhost", "origin": "http://[::1"})
    assert opens(app, PATH, {"host": "localhost", "origin": "http://localhost"})


def test_the_usual_port_need_not_be_written():
    app = client(PROXIED)
    assert opens(app, PATH, {"host": "lab.example:443", "origin": "https://lab.example"})
    assert opens(app, PATH, {"host": "lab.example", "origin": "http://lab.example:80"})
    assert not opens(app, PATH, {"host": "lab.example:80", "origin": "https://lab.example"})


def test_a_proxys_word_for_the_host_counts_where_the_setting_says_so():
    told = {"host": "127.0.0.1:8501", "x-forwarded-host": "lab.example"}
    page = told | {"origin": "https://lab.example"}
    assert client(PROXIED).get("/", headers=told).text == "lab.example"
    assert opens(client(PROXIED), PATH, page)
    assert not opens(client(LOCAL), PATH, page)
    for host, forwarded in ((EVIL, "lab.example"), ("127.0.0.1", EVIL), ("127.0.0.1", "")):
        headers = {"host": host, "x-forwarded-host": forwarded}
        status = client(PROXIED).get("/", headers=headers).status_code
        assert status == (421 if EVIL in headers.values() else 200)


@pytest.mark.parametrize("base", ["lab", "/lab/", "deep/lab"])
def test_the_route_stands_below_the_base_path(base: str):
    headers = {"host": "localhost", "origin": "http://localhost"}
    assert opens(client(LOCAL, base), f"/{base.strip('/')}{PATH}", headers)


def test_every_answer_has_the_headers():
    for status, host in ((200, "localhost"), (421, EVIL)):
        answer = client(LOCAL).get("/", headers={"host": host})
        assert answer.status_code == status
        assert {name: answer.headers[name] for name in HEADERS} == HEADERS


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RGDIFF_ALLOWED_HOSTS", "https://lab.example/"),
        ("RGDIFF_ALLOWED_HOSTS", "lab.example, [::1"),
        ("RGDIFF_TRUSTED_PROXY", "yes"),
    ],
)
def test_a_bad_setting_is_one_sentence(name: str, value: str):
    with pytest.raises(ValueError, match=f"^{name} = .* (no name of a host|neither 0 nor 1)"):
        Hosts.configured("localhost", [], {name: value})
