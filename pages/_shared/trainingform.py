"""The form of a training run: every control is made from the config's own definition."""

import dataclasses
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from types import UnionType
from typing import Any, get_type_hints

import streamlit as st

import rgdiff_core as rg
from pages._shared import cache, datasets, session
from pages._shared.choices import (
    Bind,
    basis_widgets,
    color_number,
    color_widget,
    schedule_number,
    schedule_widgets,
)
from pages._shared.trainingstate import attempt, base, bound, current, preset_of, restore
from rgdiff_core.denoisers import ModelSpec
from rgdiff_core.networks import NETWORKS, NetworkSpec
from rgdiff_core.noises import OneProcess, Universal
from rgdiff_core.training import PRESETS, Setting, TrainConfig, settings
from rgdiff_core.training.config import config_to_toml, parse_config

__all__ = ["fit", "form", "presets", "summary"]

LABELS = {
    "limit": "Images at most",
    "max_minutes": "Minutes at most",
    "lr": "Learning rate",
    "warmup": "Warm-up",
    "weight_decay": "Weight decay",
    "beta2": "β₂",
    "ema": "EMA",
    "log_every": "Points every so many steps",
    "checkpoint_seconds": "Seconds between checkpoints",
}
NOISES: Mapping[type, str] = {Universal: "Universal", OneProcess: "One process"}
HELP = {
    "scaling": "How the network's word enters: times √V (EDM) or times V (a force).",
    "sees": "The Gaussian posterior mean, or the field scaled to unit variance.",
    "told": "The noise level as a function of scale, or one number that tells the time.",
    "reference": "The Gaussian it corrects: the data's spectrum, or the same in all components.",
    "weighting": "What the squared error is weighted by, in time and scale.",
    "times": "Equal slices of time, or of information.",
    "width": "Channels.",
    "depth": "Residual blocks.",
    "kernel": "Side of the convolutions in sites, odd.",
    "multipliers": "Channels at each resolution in units of the width, as 1, 2, 2.",
    "blocks": "Residual blocks at each resolution.",
    "attention": "Sides of the picture at which there is attention, as 16, 8.",
    "dropout": "Share of hidden units that are left out at random.",
    "periodic": "Whether convolutions see the opposite edge.",
}
MODEL: Mapping[str, Mapping[str, str]] = {
    "scaling": {"deviation": "√V", "variance": "V"},
    "sees": {"mean": "posterior mean", "scaled": "scaled field"},
    "told": {"levels": "noise by scale", "time": "time only"},
    "reference": {"spectrum": "the data's spectrum", "isotropic": "isotropic"},
}
OBJECTIVE: Mapping[str, Mapping[str, str]] = {
    "weighting": {
        "unit": "unit variance",
        "simple": "ε (simple)",
        "x0": "x₀",
        "v": "v",
        "elbo": "ELBO",
    },
    "times": {"stratified": "stratified", "importance": "importance-sampled"},
}
OWN = "own numbers"


def form() -> TrainConfig:
    """Draw the form, but for its presets, and return the config."""
    name = datasets.choose(current().data)
    if name != current().data:
        attempt(lambda: replace(current(), data=name))
    config = current()
    groups: dict[str, dict[str, Setting]] = {}
    for field, setting in settings().items():
        groups.setdefault(setting.group, {})[field] = setting
    with st.expander("Process", expanded=True, icon=":material/blur_on:"):
        _process(config)
    with st.expander("Model", icon=":material/hub:"):
        _model(config)
    with st.expander("Budget", expanded=True, icon=":material/timer:"):
        _fields(config, groups["Budget"])
    with st.expander("More settings", icon=":material/tune:"):
        _loss(config)
        for group in ("Optimiser", "Data", "Speed", "Records"):
            st.markdown(f"**{group}**")
            _fields(config, groups[group])
    with st.expander("As a file", icon=":material/data_object:"):
        _file(config)
    return config


def fit(config: TrainConfig) -> str | None:
    """Return the sentence that says why a config does not fit its data, or None where it does."""
    spec = config.basis.to_json()
    try:
        _count(config)
        basis, modes = cache.basis(config.data, spec), cache.modes(config.data, spec)
        if isinstance(config.noise, OneProcess):
            rg.Process(basis, config.noise.color, config.noise.schedule, modes)
    except (ValueError, OSError) as error:
        return str(error)
    return None


def _count(config: TrainConfig) -> int:
    return _parameters(config.model.to_json(), *cache.images(config.data).images.shape[1:])


def _title(data: str) -> str:
    return next((info.title for info in rg.data.available() if info.name == data), data)


@st.cache_data(max_entries=64, show_spinner=False)
def _parameters(model: str, channels: int, height: int, width: int) -> int:
    return ModelSpec.from_json(model).parameters((channels, height, width))


def presets() -> None:
    """Draw the menu of presets."""
    st.selectbox(
        "Preset",
        list(PRESETS),
        index=None,
        format_func=lambda each: PRESETS[each].title,
        placeholder="none: your own settings",
        help="A whole config; every setting at the side may be changed afterwards.",
        **bound(
            "preset",
            preset_of(current()),
            lambda c, name: PRESETS[name].config if name else c,
        ),
    )


def summary(config: TrainConfig) -> None:
    """Say what the config is; where it is no preset, offer the way back to the last one."""
    name = preset_of(config)
    if name is not None:
        st.caption(PRESETS[name].about)
    else:
        st.button(
            f"Reset to “{PRESETS[base()].title}”",
            icon=":material/undo:",
            on_click=lambda: restore(PRESETS[base()].config),
            help="Undo all changes to the preset.",
        )
    st.caption(
        f"{_title(config.data)} · {config.steps:,} steps of {config.batch:,} images · "
        f"{_count(config):,} parameters"
    )


def _process(config: TrainConfig) -> None:
    shape = tuple(cache.images(config.data).images.shape[1:])
    basis_widgets(config.basis, _part(lambda c: c, "basis"), shape)
    noise = config.noise
    kinds: list[Any] = list(dict.fromkeys((*NOISES, type(noise))))
    st.selectbox(
        "Trained on",
        kinds,
        format_func=lambda kind: NOISES.get(kind) or kind.__name__,
        help="Universal: random colours and schedules, so that one model serves all of them.",
        **bound("noise", type(noise), lambda c, kind: replace(c, noise=kind())),
    )
    if isinstance(noise, OneProcess):
        color_widget(noise.color, _part(_one, "color"))
        color_number(noise.color, _part(_one, "color"))
        schedule_widgets(noise.schedule, _part(_one, "schedule"))
        schedule_number(noise.schedule, _part(_one, "schedule"))
    elif isinstance(noise, Universal):
        st.number_input(
            "Processes in a batch",
            1,
            4096,
            help="How many random processes contribute to a batch; a new one enters every step.",
            **bound(
                "processes", noise.processes, lambda c, v: replace(c, noise=Universal(int(v)))
            ),
        )
    _from_noising()


def _one(config: TrainConfig) -> OneProcess:
    return config.noise if isinstance(config.noise, OneProcess) else OneProcess()


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
    if not session.started():
        return
    for name, side in zip("AB", session.current().sides, strict=False):
        noise = OneProcess(side.color, side.schedule)
        st.button(
            f"Take process {name} of the Noising page",
            icon=":material/content_paste_go:",
            help="Basis, colour and schedule as they are set there, with the Λ(t) drawn there.",
            on_click=lambda basis=side.basis, noise=noise: attempt(
                lambda: replace(current(), basis=basis, noise=noise)
            ),
        )


def _model(config: TrainConfig) -> None:
    network = config.model.network
    same = next((name for name, spec in NETWORKS.items() if spec == network), OWN)
    st.selectbox(
        "Network",
        list(dict.fromkeys((*NETWORKS, same))),
        help="By name, from small to large. Lattice networks are periodic and odd under φ → −φ; "
        "for pictures a U-Net's name says its number of parameters.",
        **bound("network", same, lambda c, v: _with_network(c, NETWORKS.get(v))),
    )
    try:
        st.caption(f"{_count(config):,} parameters")
    except ValueError as error:
        st.caption(str(error))
    with st.popover("The network's numbers", icon=":material/straighten:", width="stretch"):
        for field in dataclasses.fields(network):
            _number_of(network, field.name)
    _menus(config, "model", MODEL)


def _with_network(config: TrainConfig, network: NetworkSpec | None) -> TrainConfig:
    if network is None:
        return config
    return replace(config, model=replace(config.model, network=network))


def _number_of(network: NetworkSpec, field: str) -> None:
    """Draw one number of a network; its range is the network's own to check."""
    value = getattr(network, field)

    def make(config: TrainConfig, new: Any) -> TrainConfig:
        now = config.model.network
        if isinstance(new, str):
            new = tuple(_whole(field, word) for word in new.replace(",", " ").split())
        return _with_network(config, replace(now, **{field: new}) if new is not None else now)

    label, told = field.capitalize(), HELP.get(field)
    if isinstance(value, tuple):
        text = ", ".join(map(str, value))
        st.text_input(label, help=told, **bound(f"network-{field}", text, make))
    elif isinstance(value, bool):
        st.toggle(label, help=told, **bound(f"network-{field}", value, make))
    else:
        step = 1 if isinstance(value, int) else 0.05
        st.number_input(label, step=step, help=told, **bound(f"network-{field}", value, make))


def _whole(name: str, word: str) -> int:
    if not word.isdigit():
        raise ValueError(f"{name}: {word[:20]!r} is not a whole number.")
    return int(word)


def _loss(config: TrainConfig) -> None:
    st.markdown("**Loss**")
    _menus(config, "objective", OBJECTIVE)


def _menus(config: TrainConfig, part: str, menus: Mapping[str, Mapping[str, str]]) -> None:
    """Draw the choices of one of the config's specs."""
    for field, titles in menus.items():
        st.selectbox(
            field.capitalize(),
            list(titles),
            format_func=titles.__getitem__,
            help=HELP[field],
            **bound(
                field,
                getattr(getattr(config, part), field),
                lambda c, v, field=field: replace(
                    c, **{part: replace(getattr(c, part), **{field: v})}
                ),
            ),
        )


def _fields(config: TrainConfig, fields: Mapping[str, Setting]) -> None:
    """Draw the plain fields of a group, each by its type and range."""
    hints = get_type_hints(TrainConfig)
    for name, setting in fields.items():
        if name == "data":
            continue
        label = LABELS.get(name, name.replace("_", " ").capitalize())
        common: dict[str, Any] = {"help": setting.help} | bound(
            name, getattr(config, name), lambda c, v, name=name: replace(c, **{name: v})
        )
        if setting.choices:
            st.selectbox(label, setting.choices, **common)
        elif hints[name] is bool:
            st.toggle(label, **common)
        else:
            _number(label, name, setting, hints[name], common)


def _number(label: str, name: str, setting: Setting, hint: Any, common: dict[str, Any]) -> None:
    kind = int if hint in (int, int | None) else float
    default = getattr(TrainConfig(), name)
    digits = int(Decimal(str(default or 1)).as_tuple().exponent)
    st.number_input(
        label,
        None if setting.low is None else kind(setting.low),
        None if setting.high is None else kind(setting.high),
        step=1 if kind is int else 10.0**digits,
        format=None if kind is int else "%.6g",
        placeholder="none" if isinstance(hint, UnionType) else None,
        **common,
    )


def _file(config: TrainConfig) -> None:
    plain = json.dumps(json.loads(config.to_json()), indent=1, ensure_ascii=False)
    with st.container(horizontal=True):
        for kind, text in (("TOML", config_to_toml(config)), ("JSON", plain)):
            st.download_button(
                kind,
                text,
                f"config.{kind.lower()}",
                on_click="ignore",
                icon=":material/download:",
                help="All settings in one file.",
            )
    word = preset_of(config) or "config.toml"
    st.code(f"rgdiff train {word}\nrgdiff runs submit {word}", language="bash")
    st.caption("The same on the command line: train here and now, or queue a run as Start does.")
    st.text_area(
        "Paste a config",
        key="training-pasted",
        placeholder='lr = 3e-3\nmodel.network = "lattice"',
        help="TOML or JSON. What is left out takes its default; a network may be named.",
    )
    st.button("Use what is pasted", icon=":material/content_paste:", on_click=_use_pasted)
    st.file_uploader(
        "Open a config",
        type=["toml", "json"],
        key="training-file",
        on_change=_opened,
        help="A config that was downloaded here or written by hand.",
    )


def _use_pasted() -> None:
    text = st.session_state["training-pasted"]
    if text.strip():
        kind = "json" if text.lstrip().startswith("{") else "toml"
        attempt(lambda: parse_config(text, f"pasted.{kind}"))


def _opened() -> None:
    upload = st.session_state["training-file"]
    if upload is not None:
        attempt(lambda: _read(upload.getvalue(), upload.name))


def _read(data: bytes, name: str) -> TrainConfig:
    try:
        return parse_config(data.decode(), name)
    except UnicodeDecodeError:
        raise ValueError(f"{name} is not a text file.") from None
