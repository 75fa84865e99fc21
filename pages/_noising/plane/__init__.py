"""The plane of two sites: density, flow lines and noise, painted while everything is dragged."""

from pathlib import Path

from pages._shared.component import EditorComponent

__all__ = ["mount", "script"]

_COMPONENT = EditorComponent(
    "rgdiff_plane",
    Path(__file__).parent,
    "plane.html",
    "plane.css",
    ("flow.js", "picture.js", "plane.js"),
)
mount, script = _COMPONENT.mount, _COMPONENT.script
