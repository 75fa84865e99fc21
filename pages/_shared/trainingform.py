"""The form of a training run: every control is made from the config's own definition."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import UnionType
from typing import Any, get_type_hints

import streamlit as st

from pages._shared import datasets
from pages._shared.menus import BASES, COLORS, KERNELS, SCHEDULES
from rgdiff_core.networks import NETWORKS
from rgdiff_core.noises import OneProcess, Universal
from rgdiff_core.schedules import Cutoff
from rgdiff_core.training import PRESETS, Setting, TrainConfig, settings
from rgdiff_core.training.config import parse_config

__all__ = ["PRESETS", "current", "form", "problem", "restore"]

_CONFIG, _PRESET, _PROBLEM, _FILE = (
    f"training-{name}" for name in ("config", "preset", "problem", "file")
)
FIRST = "phi4-2min"
UNIVERSAL, ONE = "Universal", "One process"
HELP = {
    "network": "The network's size. Lattice networks are periodic and odd under φ → −φ.",
    "scaling": "How the network's word enters: times √V (EDM) or times V (a force).",
    "sees": "The Gaussian posterior mean, or the field scaled to unit variance.",
    "told": "The noise level as a function of scale, or one number that tells the time.",
    "reference": "The Gaussian it corrects: the data's spectrum, or the same in all components.",
    "weighting": "What the squared error is weighted by, in time and scale.",
    "times": "Equal slices of time, or of information.",
}


def current() -> TrainConfig:
    """Return the present config."""
    if _CONFIG not in st.session_state:
        st.session_state[_CONFIG] = PRESETS[FIRST].config
        st.session_state[_PRESET] = FIRST
    return st.session_state[_CONFIG]


def problem() -> str | None:
    """Return the sentence about the last thing that could not be done, once."""
    return st.session_state.pop(_PROBLEM, None)


def restore(config: TrainConfig) -> None:
    """Make the form show a config."""
    st.session_state[_CONFIG] = config
    same = [name for name, preset in PRESETS.items() if preset.config == config]
    st.session_state[_PRESET] = same[0] if same else None


def _attempt(change: Callable[[], TrainConfig]) -> None:
    """Change the config; where that can't be done the old one stays, and a sentence says why."""
    try:
        restore(change())
    except (ValueError, TypeError) as error:
        st.session_state[_PROBLEM] = str(error)


def form() -> TrainConfig:
    """Draw the form and return the config."""
    config = current()
    _presets()
    name = datasets.choose(config.data)
    if name != config.data:
        _attempt(lambda: replace(current(), data=name))
        config = current()
    _process(config)
    _model(config)
    grouped: dict[str, dict[str, Setting]] = {}
    for field, setting in settings().items():
        grouped.setdefault(setting.group, {})[field] = setting
    with st.expander("Budget", expanded=True, icon=":material/timer:"):
        _fields(config, grouped["Budget"])
    with st.expander("More settings", icon=":material/tune:"):
        for group in ("Optimiser", "Data", "Speed", "Records"):
            st.markdown(f"**{group}**")
            _fields(config, grouped[group])
    _file(config)
    return current()


def _presets() -> None:
    key = "training-preset-menu"
    st.session_state[key] = st.session_state.get(_PRESET)

    def chosen() -> None:
        name = st.session_state[key]
        if name is not None:
            restore(PRESETS[name].config)

    name = st.selectbox(
        "Preset",
        list(PRESETS),
        key=key,
        on_change=chosen,
        format_func=lambda each: PRESETS[each].title,
        placeholder="Changed: choose one to go back to it",
        help="A whole config. Anything below may be changed afterwards.",
    )
    if name is not None:
        st.caption(PRESETS[name].about)


def _menu(
    label: str, options: dict[str, Any] | list[str], value: str, key: str, **more: Any
) -> Any:
    """Draw a menu that shows `value`; return what is chosen now."""
    st.session_state[key] = value
    return st.selectbox(label, list(options), key=key, **more)


def _process(config: TrainConfig) -> None:
    with st.expander("Process", expanded=True, icon=":material/blur_on:"):
        _choice("Basis", BASES, config.basis.name, "basis", _set_basis, "Where the noise acts.")
        one = isinstance(config.noise, OneProcess)
        _choice(
            "Trained on",
            {UNIVERSAL: UNIVERSAL, ONE: ONE},
            ONE if one else UNIVERSAL,
            "noise",
            _set_noise,
            "Universal: random colours and schedules, so that one model serves all of them.",
        )
        if isinstance(config.noise, OneProcess):
            noise = config.noise
            titles = {title: title for title, _ in COLORS.values()}
            now = COLORS[type(noise.color)][0] if type(noise.color) in COLORS else "Matched"
            _choice("Noise colour", titles, now, "color", _set_color, "How loud the noise is.")
            titles = {title: title for title, _ in SCHEDULES.values()}
            known = type(noise.schedule) in SCHEDULES
            now = SCHEDULES[type(noise.schedule)][0] if known else "Cutoff Λ(t)"
            _choice("Schedule", titles, now, "schedule", _set_schedule, "When it is erased.")
            if isinstance(noise.schedule, Cutoff):
                titles = {title: title for title, _ in KERNELS.values()}
                now = KERNELS[type(noise.schedule.kernel)][0]
                _choice("Kernel", titles, now, "kernel", _set_kernel, "The cutoff's shape.")
        _from_noising()


def _from_noising() -> None:
    from pages._shared import session

    if not session.started():
        return
    side = session.current().sides[0]
    st.button(
        "Take the Noising page's process",
        icon=":material/content_paste_go:",
        help="Basis, colour and schedule A as they are set there.",
        on_click=lambda: _attempt(
            lambda: replace(
                current(), basis=side.basis, noise=OneProcess(side.color, side.schedule)
            )
        ),
    )


def _choice(
    label: str,
    options: Mapping[str, str],
    value: str,
    name: str,
    setter: Callable[[str], TrainConfig],
    help: str,
) -> None:
    key = f"training-{name}-menu"
    st.session_state[key] = value
    st.selectbox(
        label,
        list(options),
        key=key,
        help=help,
        format_func=lambda each: options[each],
        on_change=lambda: _attempt(lambda: setter(st.session_state[key])),
    )


def _set_basis(name: str) -> TrainConfig:
    config = current()
    return replace(config, basis=replace(config.basis, name=name))


def _set_noise(kind: str) -> TrainConfig:
    return replace(current(), noise=Universal() if kind == UNIVERSAL else OneProcess())


def _one() -> OneProcess:
    noise = current().noise
    return noise if isinstance(noise, OneProcess) else OneProcess()


def _set_color(title: str) -> TrainConfig:
    color = next(color for each, color in COLORS.values() if each == title)
    return replace(current(), noise=replace(_one(), color=color))


def _set_schedule(title: str) -> TrainConfig:
    schedule = next(schedule for each, schedule in SCHEDULES.values() if each == title)
    return replace(current(), noise=replace(_one(), schedule=schedule))


def _set_kernel(title: str) -> TrainConfig:
    kernel = next(kernel for each, kernel in KERNELS.values() if each == title)
    one = _one()
    if not isinstance(one.schedule, Cutoff):
        return current()
    return replace(current(), noise=replace(one, schedule=replace(one.schedule, kernel=kernel)))


def _model(config: TrainConfig) -> None:
    with st.expander("Model", icon=":material/hub:"):
        names = {name: name for name in NETWORKS}
        same = [name for name, spec in NETWORKS.items() if spec == config.model.network]
        now = same[0] if same else "as in the config"
        options = names if same else {now: now, **names}
        _choice("Network", options, now, "network", _set_network, HELP["network"])
        for part, spec, table in (
            ("model", config.model, _MODEL),
            ("objective", config.objective, _OBJECTIVE),
        ):
            for field, options in table.items():
                _choice(
                    field.capitalize(),
                    options,
                    getattr(spec, field),
                    field,
                    lambda value, part=part, field=field: _nested(part, field, value),
                    HELP[field],
                )


_MODEL = {
    "scaling": {"deviation": "√V", "variance": "V"},
    "sees": {"mean": "posterior mean", "scaled": "scaled field"},
    "told": {"levels": "noise by scale", "time": "time only"},
    "reference": {"spectrum": "the data's spectrum", "isotropic": "isotropic"},
}
_OBJECTIVE = {
    "weighting": {
        "unit": "unit variance",
        "simple": "ε (simple)",
        "x0": "x₀",
        "v": "v",
        "elbo": "ELBO",
    },
    "times": {"stratified": "stratified", "importance": "importance-sampled"},
}


def _set_network(name: str) -> TrainConfig:
    config = current()
    if name not in NETWORKS:
        return config
    return replace(config, model=replace(config.model, network=NETWORKS[name]))


def _nested(part: str, field: str, value: str) -> TrainConfig:
    config = current()
    return replace(config, **{part: replace(getattr(config, part), **{field: value})})


def _fields(config: TrainConfig, fields: dict[str, Setting]) -> None:
    """Draw the plain fields of a group, each by its type."""
    hints = get_type_hints(TrainConfig)
    for name, setting in fields.items():
        if name == "data":
            continue
        key, hint = f"training-field-{name}", hints[name]
        st.session_state[key] = getattr(config, name)
        label = name.replace("_", " ").capitalize()
        common: dict[str, Any] = {
            "key": key,
            "help": setting.help,
            "on_change": lambda name=name, key=key: _attempt(
                lambda: replace(current(), **{name: st.session_state[key]})
            ),
        }
        if setting.choices:
            st.selectbox(label, setting.choices, **common)
        elif hint is bool:
            st.toggle(label, **common)
        else:
            whole = hint in (int, int | None)
            empty = isinstance(hint, UnionType)
            st.number_input(
                label,
                step=1 if whole else None,
                format=None if whole else "%g",
                placeholder="none" if empty else None,
                **common,
            )


def _file(config: TrainConfig) -> None:
    with st.expander("As a file", icon=":material/data_object:"):
        text = json.dumps(json.loads(config.to_json()), indent=1, ensure_ascii=False)
        st.download_button(
            "Config (JSON)",
            text,
            "config.json",
            "application/json",
            on_click="ignore",
            icon=":material/download:",
            help="`rgdiff train config.json` trains the same.",
        )
        st.code("rgdiff train config.json", language="bash")
        st.file_uploader(
            "Open a config",
            type=["json", "toml"],
            key=_FILE,
            on_change=_opened,
            help="A config that was downloaded here or written by hand.",
        )


def _opened() -> None:
    upload = st.session_state[_FILE]
    if upload is not None:
        _attempt(lambda: _read(upload.getvalue(), upload.name))


def _read(data: bytes, name: str) -> TrainConfig:
    try:
        return parse_config(data.decode(), name)
    except UnicodeDecodeError:
        raise ValueError(f"{name} is not a text file.") from None
