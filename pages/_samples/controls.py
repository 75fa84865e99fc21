"""The sidebar of the Samples page: model, basis, colour, schedule, zoom, measurements."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import streamlit as st

from pages._samples.session import bound, take
from pages._samples.state import SamplesState
from pages._sampling.draw import most
from pages._sampling.models import Source, fixes_basis, load, menu
from pages._sampling.parts import affordable
from pages._sampling.setting import MAX_SAMPLES, MEASURED, Request, Setting, Zoom
from pages._shared.chosen import number
from pages._shared.menus import BASES, in_sentence
from pages._shared.process_choice import choice_of
from pages._shared.process_widgets import (
    basis_widgets,
    bind_of,
    color_motion,
    color_widget,
    schedule_widgets,
)
from rgdiff_core.colors import Color
from rgdiff_core.denoisers.guidance import NULL
from rgdiff_core.schedules import Cutoff, Schedule
from rgdiff_core.spec import check_whole

__all__ = ["sidebar", "with_model"]

MAX_SECONDS = 4.0  # seconds that the first draw of a model may take
COUPLING_STEPS = 300  # of the slider from one end of a line to the other


def _setting(change: Callable[[Any, Any], Any]) -> Callable[[SamplesState, Any], SamplesState]:
    return lambda bench, value: replace(bench, setting=change(bench.setting, value))


_bind = bind_of(bound, _setting(lambda s, change: replace(s, side=change(s.side))))


def sidebar(bench: SamplesState, source: Source) -> None:
    """Draw the controls."""
    side, models = bench.setting.side, menu()
    with st.sidebar:
        st.selectbox(
            "Model",
            list(dict.fromkeys((*models, bench.setting.model))),
            format_func=lambda name: models.get(name, name),
            help="Pretrained models, your runs from their first checkpoint on, and the free "
            "theory: the Gaussian with the data's mean and spectrum.",
            **bound("model", bench.setting.model, with_model),
        )
        _couplings(source)
        if fixes_basis(bench.setting.model):
            st.caption(
                f"Its basis is fixed: {in_sentence(BASES[source.basis.name])}. "
                f"The network computes in {source.precision}."
            )
        else:
            shape = source.denoiser.basis.shape
            basis_widgets(side.basis, _bind("basis"), shape)
        _own_process(source, side.noise, side.schedule)
        color_widget(side.color, _bind("color"))
        color_motion(side, _bind)
        schedule_widgets(side.schedule, _bind("schedule"), side.basis)
        if isinstance(side.schedule, Cutoff):
            _ends(side.schedule)
        st.toggle(
            "Keep coarse scales of an image",
            help="Keep the coarse scales of an image of the data set, and generate the rest. The "
            "first image is one of the class that is chosen.",
            **bound(
                "zoom",
                bench.setting.zoom is not None,
                _setting(lambda s, on: replace(s, zoom=_zoom(s, source) if on else None)),
            ),
        )
        _walk(bench)
        _measured(bench, source)


def _zoom(setting: Setting, source: Source) -> Zoom:
    """Return a zoom into an image of the setting's class."""
    return Zoom(source.example(setting.class_label))


def _measured(bench: SamplesState, source: Source) -> None:
    """Draw the number of samples that are measured; where that is no choice, say so."""
    if not source.quick:
        st.selectbox(
            "Measured on",
            ["the samples drawn"],
            key="samples-measured-drawn",
            disabled=True,
            help="This model takes long to draw, so measurements use the samples that are shown, "
            f"at most {most(source.denoiser.basis.shape)}: choose their number under *Samples* "
            "beside the pictures.",
        )
        return
    st.selectbox(
        "Measured on",
        MEASURED,
        format_func=lambda n: f"{n:,} samples",
        help="Number of samples on which spectra and observables are measured after a drag.",
        **bound("measured", bench.measured, lambda b, v: replace(b, measured=v)),
    )


def _walk(bench: SamplesState) -> None:
    """Draw the switch of a walk between two samples, and their numbers."""
    st.toggle(
        "Walk between two samples",
        help="The pictures lead from one sample of this seed to another: the noise turns from the "
        "one's to the other's. Every picture on the way is a sample of the model. Deterministic "
        "samplers walk most smoothly.",
        **bound(
            "walk",
            bench.walk is not None,
            lambda b, on: replace(b, walk=(0, 1) if on else None),
        ),
    )
    if bench.walk is None:
        return
    places = zip(("From sample", "To sample"), st.columns(2), strict=True)
    for end, (label, place) in enumerate(places):
        number(
            place,
            label,
            1,
            help="Its number among the samples of the seed, without a walk.",
            **bound(f"walk-{end}", bench.walk[end] + 1, partial(_with_end, end)),
        )


def _with_end(end: int, bench: SamplesState, number: int) -> SamplesState:
    check_whole("sample", number, 1, MAX_SAMPLES)  # as it is counted here
    first, last = bench.walk or (0, 1)
    return replace(bench, walk=(first, number - 1) if end else (number - 1, last))


def with_model(bench: SamplesState, model: str) -> SamplesState:
    """Return a state with another model: with the process that it was trained on, where there is
    only one, without class and guidance, and with as many samples and steps as are soon drawn.
    """
    setting = replace(
        bench.setting,
        model=model,
        steps=Setting.steps,
        class_label=-1,
        guidance=1.0,
        guide=NULL,
        couplings=None,
    )
    source = load(setting)
    if (own := source.noise) is not None:
        side = choice_of(setting.side.basis, own.color, own.schedule)
        setting = replace(setting, side=side)
    whole = Request(setting, most(source.denoiser.basis.shape), bench.seed)
    found = affordable(whole, source, MAX_SECONDS)
    return replace(bench, setting=found.setting, n=found.n)


def _couplings(source: Source) -> None:
    """Draw the slider of the couplings, for a model along a line of them."""
    line, couplings = source.denoiser.line, source.denoiser.couplings
    if line is None or couplings is None:
        return
    varying = 1 if line.points[0][1] != line.points[-1][1] else 0
    ends = sorted(each[varying] for each in (line.points[0], line.points[-1]))

    def at(value: float) -> tuple[float, float]:
        return line.complete(*((None, value) if varying else (value, None)))

    st.slider(
        ("m²", "λ")[varying],
        *ends,
        step=(ends[1] - ends[0]) / COUPLING_STEPS,
        format="%.4g",
        help=f"The couplings of the fields. The model was trained on {len(line.points)} of them "
        f"on the line {line.title}; in between it interpolates.",
        **bound(
            "couplings",
            couplings[varying],
            _setting(lambda setting, value: replace(setting, couplings=at(value))),
        ),
    )
    seen = ", ".join(f"{point[varying]:g}" for point in line.points)
    st.caption(f"{line.title}; trained at {seen}.".replace("-", "−"))


def _own_process(source: Source, color: Color, schedule: Schedule) -> None:
    """Say that a model knows one process only, where another is chosen, and offer its own."""
    own = source.noise
    if own is None or (own.color, own.schedule) == (color, schedule):
        return
    st.caption(
        ":orange[:material/warning:] This model only works with the process it was trained on."
    )
    st.button("Use its process", on_click=take, args=(own.color, own.schedule))


def _ends(schedule: Cutoff) -> None:
    """Draw the noise levels at which a cutoff schedule begins and ends."""
    left, right = st.columns(2)
    names = (("gamma_min", "γ at t = 0", left), ("gamma_max", "γ at t = 1", right))
    for name, label, place in names:
        number(
            place,
            label,
            0.5,
            help="−log-SNR of every component at that end, at least.",
            **_bind("schedule")(
                name, float(getattr(schedule, name)), lambda s, v, n=name: replace(s, **{n: v})
            ),
        )
