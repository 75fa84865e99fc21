"""The config of the Training page's form, in the session and in the address bar."""

import json
import reprlib

import streamlit as st

from pages._shared.page_state import Address, PageState
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
    "told",
    "write_link",
]

_BASE = "training-base"
PARAMETER = "config"
FIRST = "phi4-2min"
MAX_LINK = 4000  # characters


def read(link: str) -> TrainConfig:
    """Return the config of a link, a preset's name or JSON; raises `ValueError` for nonsense."""
    if link in PRESETS:
        return PRESETS[link].config
    if not link.lstrip().startswith("{"):
        known = ", ".join(PRESETS)
        raise ValueError(f"{PARAMETER} = {reprlib.repr(link)} is neither JSON nor one of {known}.")
    return parse_config(link, "The link")


def told(config: TrainConfig) -> str:
    """Return what differs from the defaults, as a link has it."""
    default = to_dict(TrainConfig())
    own = {name: value for name, value in to_dict(config).items() if value != default[name]}
    return json.dumps(own, separators=(",", ":"), ensure_ascii=False)


def _write(config: TrainConfig) -> dict[str, str]:
    """Return a preset's name, or what differs from the defaults; nothing where it is too long."""
    link = preset_of(config) or told(config)
    return {PARAMETER: link} if len(link) <= MAX_LINK else {}


_page = PageState(
    "training-form", Address((PARAMETER,), lambda link, config: read(link[PARAMETER]), _write)
)
attempt, bound, current = _page.attempt, _page.bound, _page.current
problem, restore, write_link = _page.problem, _page.change, _page.write_link


def prepare() -> None:
    """Take the config from a new address, or the first preset; a bad address changes nothing."""
    _page.prepare(lambda: PRESETS[FIRST].config)


def base() -> str:
    """Return the name of the preset that the form shows, or showed last."""
    name = preset_of(current()) or st.session_state.get(_BASE, FIRST)
    st.session_state[_BASE] = name
    return name


def preset_of(config: TrainConfig) -> str | None:
    """Return the name of the preset that a config is, if it is one."""
    same = [name for name, preset in PRESETS.items() if preset.config == config]
    return same[0] if same else None
