"""The Samples page's browser component: the curve, the sampler, and samples as they are drawn."""

from pathlib import Path

from pages._shared.component import EditorComponent

__all__ = ["mount", "script"]

_COMPONENT = EditorComponent(
    "rgdiff_reverse",
    Path(__file__).parent,
    "reverse.html",
    "reverse.css",
    (
        "state.js",
        "wire.js",
        "film.js",
        "view.js",
        "histogram.js",
        "guidance.js",
        "sampler.js",
        "keys.js",
        "reverse.js",
    ),
)
mount, script = _COMPONENT.mount, _COMPONENT.script
