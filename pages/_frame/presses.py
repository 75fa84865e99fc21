"""One press of a button is one press, whatever timers do.

Streamlit's browser part keeps a press until it is sent with the next turn of its event loop. Where
a timer reruns a fragment in between, that message carries the press too, and the server carries it
out twice: two runs are started, a step is undone twice. So a press is taken out of what timers and
the browser's history ask for: the message that is its own always follows.
"""

from google.protobuf.message import DecodeError
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState

__all__ = ["OnePress", "without_presses"]

STREAM = "/_stcore/stream"
PRESSES = (
    "trigger_value",
    "string_trigger_value",
    "chat_input_value",
    "json_trigger_value",
)


class OnePress:
    """Middleware that takes presses out of messages that are not theirs."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "websocket" or not scope["path"].endswith(STREAM):
            await self.app(scope, receive, send)
            return

        async def received() -> Message:
            message = await receive()
            content = message.get("bytes")
            return {**message, "bytes": without_presses(content)} if content else message

        await self.app(scope, received, send)


def without_presses(content: bytes) -> bytes:
    """Return a message of the browser, without presses where a timer or the history sends it."""
    message = BackMsg()
    try:
        message.ParseFromString(content)
    except DecodeError:  # Streamlit's own to refuse
        return content
    asked = message.rerun_script
    if not (asked.is_auto_rerun or asked.is_history_navigation):
        return content
    kept = [each for each in asked.widget_states.widgets if not _is_press(each)]
    if len(kept) == len(asked.widget_states.widgets):
        return content
    del asked.widget_states.widgets[:]
    asked.widget_states.widgets.extend(kept)
    return message.SerializeToString()


def _is_press(state: WidgetState) -> bool:
    return state.WhichOneof("value") in PRESSES
