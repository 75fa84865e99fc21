"""The process of a training run's form: basis, and what noise the model is trained on."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import streamlit as st

from pages._shared import cache
from pages._shared.chosen import number
from pages._shared.page_state import state_of
from pages._shared.process_widgets import (
    Bind,
    basis_widgets,
    color_number,
    color_widget,
    schedule_number,
    schedule_widgets,
)
from pages._training.state import attempt, bound, current
from pages._training.words import NOISES, noise_title
from rgdiff_core.training import TrainConfig
from rgdiff_core.training.learned_schedule import LearnedProcess
from rgdiff_core.training.noise_levels import FixedProcess, NoiseSource, Universal

__all__ = ["process_form"]


def process_form(config: TrainConfig) -> None:
    """Draw the choices of the basis and of the noise."""
    shape = tuple(cache.images(config.data).images.shape[1:])
    basis_widgets(config.basis, _part(lambda c: c, "basis"), shape)
    noise = config.noise
    kinds: list[Any] = list(dict.fromkeys((*NOISES, type(noise))))
    st.selectbox(
        "Trained on",
        kinds,
        format_func=noise_title,
        help="Universal: an any-schedule model, conditioned on the noise level at each scale and "
        "trained on random colours and schedules, so that it serves all of them.",
        **bound("noise", type(noise), lambda c, kind: replace(c, noise=kind())),
    )
    if isinstance(noise, FixedProcess | LearnedProcess):
        bind = _part(_noise_as(type(noise)), "color")
        color_widget(noise.color, bind)
        color_number(noise.color, bind)
        learned = isinstance(noise, LearnedProcess)
        schedule = noise.start if learned else noise.schedule
        bind = _part(_noise_as(type(noise)), "start" if learned else "schedule")
        schedule_widgets(schedule, bind, config.basis)
        schedule_number(schedule, bind)
    if isinstance(noise, LearnedProcess):
        _learned(noise)
    elif isinstance(noise, Universal):
        _universal(noise)
    _from_noising()


def _learned(noise: LearnedProcess) -> None:
    number(
        st,
        "Scales",
        1,
        help="At how many scales the schedule is learned; 1 treats all components alike, and "
        "needs a schedule at the start that does.",
        **_of_noise("scales", noise),
    )
    number(
        st,
        "Weight updates per schedule update",
        1,
        help="A schedule update takes about as long as a weight update with 256 images.",
        **_of_noise("every", noise),
    )


def _universal(noise: Universal) -> None:
    number(
        st,
        "Processes in a batch",
        1,
        help="How many random processes contribute to a batch; a new one replaces the oldest.",
        **_of_noise("processes", noise),
    )
    number(
        st,
        "Interval between new processes (steps)",
        1,
        help="1 is the most varied; more steps save the time that a new process takes.",
        **_of_noise("every", noise),
    )
    st.slider(
        "Fraction of processes with a randomized noise spectrum",
        0.0,
        1.0,
        help="Their noise spectrum is a power of the data's, from white to steeper than the data, "
        "or a random curve on it.",
        **_of_noise("curves", noise),
    )


def _of_noise(field: str, noise: NoiseSource) -> dict[str, Any]:
    """Return the arguments of a widget for one number of what a model is trained on."""

    def make(config: TrainConfig, new: Any) -> TrainConfig:
        now = _noise_as(type(noise))(config)
        return replace(config, noise=replace(now, **{field: new}))

    return bound(field, getattr(noise, field), make)


def _noise_as(kind: type[NoiseSource]) -> Callable[[TrainConfig], NoiseSource]:
    """Return what gives a config's noise of a kind, the default where it has another."""
    return lambda config: config.noise if isinstance(config.noise, kind) else kind()


def _part(of: Callable[[TrainConfig], Any], field: str) -> Bind:
    """Keep the values of the widgets of the config's basis, or of its process' colour or
    schedule.
    """

    def bind(what: str, value: Any, make: Callable[[Any, Any], Any]) -> dict[str, Any]:
        def changed(config: TrainConfig, new: Any) -> TrainConfig:
            whole = of(config)
            whole = replace(whole, **{field: make(getattr(whole, field), new)})
            return whole if isinstance(whole, TrainConfig) else replace(config, noise=whole)

        return bound(what, value, changed)

    return bind


def _from_noising() -> None:
    noising = state_of("noising")
    if noising is None:
        return
    for name, side in zip("AB", noising.sides, strict=False):
        noise = FixedProcess(side.noise, side.schedule)
        st.button(
            f"Use process {name} of the Noising page",
            icon=":material/content_paste_go:",
            help="Basis, colour and schedule as they are set there, with the Λ(t) drawn there.",
            on_click=lambda basis=side.basis, noise=noise: attempt(
                lambda: replace(current(), basis=basis, noise=noise)
            ),
        )
