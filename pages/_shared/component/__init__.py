r"""What the browser components share: the curve editor, the result channel, stores, container.

The protocol is written down in ``docs/lab-protocol.md``. The JavaScript needs no build step: a
component's files are joined into one module, whose last file has the ``export default``.
"""

import json
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from streamlit.components.v2 import component

__all__ = ["EditorComponent", "mount_result_channel", "mount_layers", "pack"]

EDITOR_SCRIPTS = (
    "container.js",
    "curve.js",
    "tables.js",
    "paint.js",
    "dom.js",
    "history.js",
    "playing.js",
    "keys.js",
    "schedule.js",
    "editor.js",
    "color.js",
    "plot.js",
    "spectrum.js",
)
"""What the editor of the curve needs; a component brings its own state to it."""

_HERE = Path(__file__).parent
_PART = re.compile(r"<!-- (\w+\.html) -->")
_DTYPES = {"f2": "<f2", "f4": "<f4", "u1": "u1"}


def _source(name: str, folder: Path = _HERE) -> str:
    return (folder / name).read_text("utf-8")


@dataclass(frozen=True)
class EditorComponent:
    """A component around the editor of the curve.

    Attributes:
        name: What Streamlit knows it by.
        folder: Where its own files are.
        html: Its page, with a comment `<!-- NAME.html -->` in the place of each part that is
            shared.
        css: Its own style sheet, beside the editor's.
        scripts: Its own files of JavaScript, in their order.
    """

    name: str
    folder: Path
    html: str
    css: str
    scripts: tuple[str, ...]

    def script(self) -> str:
        """Return its JavaScript: the editor and its own files, as one module."""
        own = (_source(name, self.folder) for name in self.scripts)
        return "\n".join((*map(_source, EDITOR_SCRIPTS), *own))

    def mount(
        self, data: bytes, key: str, on_change: Callable[[], None] = lambda: None
    ) -> dict[str, Any] | None:
        """Mount the component with a message.

        Arguments:
            data: The message, as `pack` makes it.
            key: The element's key; keep it, or the component starts again.
            on_change: Called before the script runs again because the state has come to rest.

        Returns:
            The last state that rested, with its ``seq`` and ``revision``; None before the first.
        """
        return _registered(self)(data=data, key=key, on_client_state_change=on_change).get(
            "client_state"
        )


@cache
def _registered(editor: EditorComponent) -> Callable[..., Any]:
    html = _source(editor.html, editor.folder)
    page = _PART.sub(lambda part: _source(part[1]).rstrip("\n"), html)
    style = "\n".join((_source("editor.css"), _source(editor.css, editor.folder)))
    return component(editor.name, html=page, css=style, js=editor.script())


@cache
def _invisible(name: str) -> Callable[..., Any]:
    return component(f"rgdiff_{name}", js=_source(f"{name}.js"))


def mount_result_channel(data: bytes, key: str) -> None:
    """Mount the invisible result channel, which hands a settled message to the lab on the page."""
    _invisible("result_channel")(data=data, key=key)


def mount_layers(data: bytes, key: str) -> None:
    """Mount an invisible store of band images, to which bands messages refer."""
    _invisible("layers")(data=data, key=key)


def pack(header: dict[str, Any], arrays: dict[str, np.ndarray]) -> bytes:
    """Pack a header and arrays into the lab's container.

    An array that is given under several names (the same object) is sent once.

    Arguments:
        header: What JSON can hold; its ``arrays`` entry is written here.
        arrays: float16, float32 or uint8 arrays of any shape, by name.

    Raises:
        ValueError: If an array has another dtype, or the header holds no finite JSON.
    """
    specs: dict[str, dict[str, Any]] = {}
    places: dict[int, int] = {}
    body = bytearray()
    for name, array in arrays.items():
        code = f"{array.dtype.kind}{array.dtype.itemsize}"
        if code not in _DTYPES:
            raise ValueError(
                f"array {name!r} has dtype {array.dtype}, not float16, float32 or uint8"
            )
        if id(array) not in places:
            places[id(array)] = len(body)
            body += np.ascontiguousarray(array, dtype=_DTYPES[code]).tobytes()
            body += bytes(-len(body) % 8)
        specs[name] = {"dtype": code, "shape": list(array.shape), "offset": places[id(array)]}
    try:
        text = json.dumps({**header, "arrays": specs}, allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise ValueError(f"the lab's header holds what JSON cannot: {error}") from error
    text += b" " * (-(4 + len(text)) % 8)
    return struct.pack("<I", len(text)) + text + bytes(body)
