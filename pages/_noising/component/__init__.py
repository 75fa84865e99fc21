"""The lab: the Noising page's browser component, which holds everything that is dragged."""

from pathlib import Path

from pages._shared.component import EditorComponent

__all__ = ["mount", "script"]

_COMPONENT = EditorComponent(
    "rgdiff_lab",
    Path(__file__).parent,
    "lab.html",
    "lab.css",
    (
        "state.js",
        "film.js",
        "present.js",
        "controls.js",
        "stage.js",
        "plots.js",
        "keys.js",
        "lab.js",
    ),
)
mount, script = _COMPONENT.mount, _COMPONENT.script
