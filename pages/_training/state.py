"""The config of the Training page's form, in the session and in the address bar."""

import json
from collections.abc import Callable
from typing import Any

import streamlit as st

from rgdiff_core.spec import to_dict
from rgdiff_core.training import PRESETS, TrainConfig
from rgdiff_core.training.config import parse_config

__all__ = [
    "attempt",
    "base",
    "bound",
    "current",
    "prepare",
    "preset_of",
    "problem",
    "read",
    "restore",
    "write_link",
]

_CONFIG, _BASE, _PROBLEM, _LINK, _ACTED = (
    f"training-{name}" for name in ("config", "base", "problem", "link", "acted")
)
PARAMETER = "config"
FIRST = "phi4-2min"
MAX_LINK, SENTENCE = 4000, 300  # characters


def prepare() -> None:
    """Take the config from a new address, or the first preset; a bad address changes nothing.

    In the run after a change the address may still be an older one: it counts for nothing, and is
    written anew.
    """
    acted = st.session_state.pop(_ACTED, False)
    if _CONFIG not in st.session_state:
        restore(PRESETS[FIRST].config)
    link = st.query_params.get(PARAMETER)
    if link is not None and link != st.session_state.get(_LINK) and not acted:
        st.session_state[_LINK] = link
        attempt(lambda: read(link))


def read(link: str) -> TrainConfig:
    """Return the config of a link, a preset's name or JSON; raises `ValueError` for nonsense."""
    return PRESETS[link].config if link in PRESETS else parse_config(link, "The link")


def current() -> TrainConfig:
    """Return the present config."""
    return st.session_state[_CONFIG]


def base() -> str:
    """Return the name of the preset that the form showed last."""
    return st.session_state.get(_BASE, FIRST)


def preset_of(config: TrainConfig) -> str | None:
    """Return the name of the preset that a config is, if it is one."""
    same = [name for name, preset in PRESETS.items() if preset.config == config]
    return same[0] if same else None


def restore(config: TrainConfig) -> None:
    """Make the form show a config."""
    st.session_state[_CONFIG] = config
    st.session_state[_ACTED] = True
    st.session_state[_BASE] = preset_of(config) or base()


def attempt(make: Callable[[], TrainConfig]) -> None:
    """Change the config; where that can't be done the old one stays, and a sentence says why."""
    st.session_state[_ACTED] = True
    try:
        restore(make())
    except (ValueError, OSError) as error:
        text = " ".join(str(error).split())
        st.session_state[_PROBLEM] = text if len(text) <= SENTENCE else f"{text[:SENTENCE]} …"


def problem() -> str | None:
    """Return, once, the sentence that says why the last change was refused."""
    return st.session_state.pop(_PROBLEM, None)


def bound(
    name: str, value: Any, make: Callable[[TrainConfig, Any], TrainConfig]
) -> dict[str, Any]:
    """Return a widget's arguments: it shows `value`, and when it changes, `make` gives the new
    config of the present one and the new value.
    """
    key = f"training-form-{name}"
    st.session_state[key] = value

    def changed() -> None:
        attempt(lambda: make(current(), st.session_state[key]))

    return {"key": key, "on_change": changed}


def write_link() -> None:
    """Write the present config into the address bar, if it is not there yet and short enough.

    A preset is written by its name, another config by what differs from the defaults.
    """
    st.session_state.pop(_ACTED, None)
    config = current()
    link = preset_of(config)
    if link is None:
        default = to_dict(TrainConfig())
        told = {name: value for name, value in to_dict(config).items() if value != default[name]}
        link = json.dumps(told, separators=(",", ":"), ensure_ascii=False)
    if len(link) > MAX_LINK:
        st.query_params.pop(PARAMETER, None)
    elif link != st.query_params.get(PARAMETER):
        st.session_state[_LINK] = link
        st.query_params[PARAMETER] = link
