"""The real server: whom it answers, on its own paths and on Streamlit's."""

from collections.abc import Iterator
from http.client import HTTPConnection
from urllib.parse import urlsplit

import pytest
from patience import PATIENCE
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from websockets.typing import Origin

from pages._frame.guard import HEADERS
from pages._samples.component.limits import MAX_MESSAGE

pytestmark = pytest.mark.browser

UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
}


def answer(url: str, path: str, headers: dict[str, str]) -> tuple[int, dict[str, str]]:
    """Return the status and the headers of a request."""
    connection = HTTPConnection(urlsplit(url).netloc, timeout=PATIENCE)
    try:
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        return response.status, dict(response.getheaders())
    finally:
        connection.close()


@pytest.mark.parametrize("path", ["/_stcore/stream", "/live/samples"])
def test_a_stream_is_opened_for_pages_of_this_server_only(app_url: str, path: str):
    here = urlsplit(app_url).netloc
    for host, origin, status in (
        (here, app_url, 101),
        ("evil.example:8501", "http://evil.example:8501", 403),
        (here, "http://evil.example:8501", 403),
        (here, "http://[::1", 403),
    ):
        told = {"Host": host, "Origin": origin}
        assert answer(app_url, path, UPGRADE | told)[0] == status, told


@pytest.mark.parametrize("path", ["/", "/_stcore/health", "/_stcore/host-config", "/media/x"])
def test_a_foreign_name_is_refused_on_every_path(app_url: str, path: str):
    status, headers = answer(app_url, path, {"Host": "evil.example:8501"})
    assert status == 421
    status, headers = answer(app_url, path, {})
    assert status != 421
    assert {name.lower(): value for name, value in HEADERS.items()}.items() <= headers.items()


def test_a_message_that_never_ends_is_not_kept(app_url: str):
    line = app_url.replace("http", "ws") + "/live/samples"
    with connect(line, origin=Origin(app_url), open_timeout=PATIENCE) as socket:

        def endless() -> Iterator[str]:
            for _ in range(5):
                yield "x" * MAX_MESSAGE
            socket.recv(timeout=PATIENCE)

        with pytest.raises(ConnectionClosed) as closed:
            socket.send(endless())
    assert closed.value.rcvd is not None and closed.value.rcvd.code == 1009
