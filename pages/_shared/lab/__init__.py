r"""The lab: the browser component that holds everything that is dragged, and its courier.

The protocol is written down in ``docs/lab-protocol.md``. The JavaScript needs no build step: the
files below are joined in this order into one module, whose last file has the ``export default``.
"""

__all__ = [
    "EDITOR_SCRIPTS",
    "SCRIPTS",
    "mount_courier",
    "mount_lab",
    "mount_layers",
    "pack",
    "page",
    "script",
    "source",
    "unpack",
]

import json
import struct
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from streamlit.components.v2 import component

EDITOR_SCRIPTS = (
    "container.js",
    "curve.js",
    "tables.js",
    "paint.js",
    "dom.js",
    "history.js",
    "schedule.js",
    "editor.js",
)
"""What the editor of the curve needs; a component brings its own state to it."""
SCRIPTS = (
    *EDITOR_SCRIPTS,
    "state.js",
    "film.js",
    "controls.js",
    "stage.js",
    "color.js",
    "plots.js",
    "keys.js",
    "lab.js",
)

_HERE = Path(__file__).parent
_DTYPES = {"f2": "<f2", "f4": "<f4", "u1": "u1"}


def source(name: str) -> str:
    """Return the text of one of the lab's files."""
    return (_HERE / name).read_text("utf-8")


def script() -> str:
    """Return the lab's JavaScript: one module, joined from its files."""
    return "\n".join(map(source, SCRIPTS))


def page(html: str) -> str:
    """Return a component's HTML with the editor of the curve in its place."""
    return html.replace("<!-- editor.html -->", source("editor.html"))


@cache
def _component(name: str) -> Callable[..., Any]:
    if name == "lab":
        html = page(source("lab.html"))
        return component("rgdiff_lab", html=html, css=source("lab.css"), js=script())
    return component(f"rgdiff_{name}", js=source(f"{name}.js"))


def mount_lab(data: bytes, key: str, on_change: Callable[[], None]) -> dict[str, Any] | None:
    """Mount the lab with a bands message.

    Arguments:
        data: A bands message, as :func:`pack` makes it.
        key: The element's key; keep it, or the component starts anew.
        on_change: Called before the script runs again because the state has come to rest.

    Returns:
        The last state that rested, with its ``seq`` and ``stamp``; None before the first.
    """
    return _component("lab")(data=data, key=key, on_rest_change=on_change).get("rest")


def mount_courier(data: bytes, key: str) -> None:
    """Mount the invisible courier, which hands a settled message to the lab on the page."""
    _component("courier")(data=data, key=key)


def mount_layers(data: bytes, key: str) -> None:
    """Mount an invisible store of band images, to which bands messages refer."""
    _component("layers")(data=data, key=key)


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


def unpack(data: bytes) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Take a container apart: its header (without ``arrays``) and its arrays, by name.

    Raises:
        ValueError: If the bytes end before the header or an array does.
    """
    if len(data) < 4 or len(data) < 4 + struct.unpack_from("<I", data)[0]:
        raise ValueError(f"a container of {len(data)} bytes ends within its header")
    start = 4 + struct.unpack_from("<I", data)[0]
    header = json.loads(data[4:start])
    arrays = {}
    for name, spec in header.pop("arrays").items():
        count = int(np.prod(spec["shape"], dtype=int))
        first = start + spec["offset"]
        if first + count * int(spec["dtype"][1]) > len(data):
            raise ValueError(
                f"the array {name!r} reaches beyond the container's {len(data)} bytes"
            )
        flat = np.frombuffer(data, _DTYPES[spec["dtype"]], count, first)
        arrays[name] = flat.reshape(spec["shape"])
    return header, arrays
