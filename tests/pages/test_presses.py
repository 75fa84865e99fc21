"""A press of a button is passed on with its own message, and with no other."""

from collections.abc import Iterator

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import WebSocketRoute
from starlette.testclient import TestClient, WebSocketTestSession
from starlette.websockets import WebSocket, WebSocketDisconnect
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.Common_pb2 import ChatInputValue, StringTriggerValue
from streamlit.proto.WidgetStates_pb2 import WidgetState

from pages._frame.presses import STREAM, OnePress

PRESSED = [
    WidgetState(id="button", trigger_value=True),
    WidgetState(id="menu", string_trigger_value=StringTriggerValue(data="one")),
    WidgetState(id="component", json_trigger_value="{}"),
    WidgetState(id="chat", chat_input_value=ChatInputValue(data="text")),
]
KEPT = [WidgetState(id="toggle", bool_value=True), WidgetState(id="slider", int_value=3)]


async def echo(socket: WebSocket) -> None:
    await socket.accept()
    try:
        while True:
            await socket.send_bytes(await socket.receive_bytes())
    except WebSocketDisconnect:
        return


@pytest.fixture(scope="module")
def line() -> Iterator[WebSocketTestSession]:
    """Give a line to a server that says again what reaches it."""
    app = Starlette(
        routes=[WebSocketRoute(f"/lab{STREAM}", echo)], middleware=[Middleware(OnePress)]
    )
    with TestClient(app).websocket_connect(f"/lab{STREAM}") as opened:
        yield opened


def message(**asked: object) -> BackMsg:
    made = BackMsg()
    made.rerun_script.query_string = "run=1"
    made.rerun_script.widget_states.widgets.extend(PRESSED + KEPT)
    for name, value in asked.items():
        setattr(made.rerun_script, name, value)
    return made


def reached(line: WebSocketTestSession, sent: BackMsg) -> BackMsg:
    line.send_bytes(sent.SerializeToString())
    found = BackMsg()
    found.ParseFromString(line.receive_bytes())
    return found


@pytest.mark.parametrize("asked", [{}, {"fragment_id": "form"}])
def test_a_press_is_passed_on_with_its_message(line: WebSocketTestSession, asked: dict[str, str]):
    assert reached(line, message(**asked)) == message(**asked)


@pytest.mark.parametrize(
    "asked", [{"is_auto_rerun": True, "fragment_id": "clock"}, {"is_history_navigation": True}]
)
def test_timers_and_the_history_press_nothing(line: WebSocketTestSession, asked: dict[str, bool]):
    found, expected = reached(line, message(**asked)), message(**asked)
    del expected.rerun_script.widget_states.widgets[:]
    expected.rerun_script.widget_states.widgets.extend(KEPT)
    assert found == expected


def test_what_is_no_message_passes_untouched(line: WebSocketTestSession):
    line.send_bytes(b"\xff\xff no message")
    assert line.receive_bytes() == b"\xff\xff no message"
