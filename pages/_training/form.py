"""The form of a training run: every control is made from the config's own definition."""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from types import UnionType
from typing import Any, get_type_hints

import streamlit as st

import rgdiff_core as rg
from pages._shared import cache, datasets
from pages._shared.chosen import number
from pages._training.process_form import process_form
from pages._training.state import attempt, base, bound, current, preset_of, restore
from pages._training.words import HELP, MODEL, OBJECTIVE, data_title, label_of
from rgdiff_core.denoisers import ModelSpec
from rgdiff_core.networks import NETWORKS, NetworkSpec
from rgdiff_core.training import PRESETS, FieldInfo, TrainConfig, settings
from rgdiff_core.training.config import config_to_toml, parse_config
from rgdiff_core.training.learned_schedule import LearnedProcess
from rgdiff_core.training.noise_levels import FixedProcess
from rgdiff_core.training.sizes import check_other_sizes
from rgdiff_core.training.state import check_classes

__all__ = ["fit", "form", "presets", "summary"]

OWN = "custom"


def form() -> TrainConfig:
    """Draw the form, but for its presets, and return the config."""
    name = datasets.choose(current().data)
    if name != current().data:
        attempt(lambda: _with_data(current(), name))
    config = current()
    groups: dict[str, dict[str, FieldInfo]] = {}
    for field, setting in settings().items():
        groups.setdefault(setting.group, {})[field] = setting
    with st.expander("Process", expanded=True, icon=":material/blur_on:"):
        process_form(config)
    with st.expander("Model", icon=":material/hub:"):
        _model(config)
        _classes(config, groups["Model"])
    with st.expander("Budget", expanded=True, icon=":material/timer:"):
        _fields(config, groups["Budget"])
    with st.expander("More settings", icon=":material/tune:"):
        _loss(config)
        for group in ("Optimizer", "Data", "Speed", "Records"):
            st.markdown(f"**{group}**")
            _fields(config, groups[group])
    with st.expander("As a file", icon=":material/data_object:"):
        _file(config)
    return config


def _with_data(config: TrainConfig, name: str) -> TrainConfig:
    """Return a config on other data; conditioned on classes only where these have some."""
    classes = config.class_conditional and bool(cache.images(name).class_names)
    return replace(config, data=name, class_conditional=classes)


def fit(config: TrainConfig) -> str | None:
    """Return the sentence that says why a config does not fit its data, or None where it does."""
    spec = config.basis.to_json()
    try:
        check_classes(config, cache.images(config.data))
        check_other_sizes(config)
        config.noise.check(cache.images(config.data).images.shape[1:])
        _count(config)
        basis, modes = cache.basis(config.data, spec), cache.modes(config.data, spec)
        if isinstance(config.noise, LearnedProcess):
            rg.Process(basis, config.noise.color, config.noise.start, modes)
        if isinstance(config.noise, FixedProcess):
            rg.Process(basis, config.noise.color, config.noise.schedule, modes)
    except (ValueError, OSError) as error:
        return str(error)
    return None


def _count(config: TrainConfig) -> int:
    known = cache.images(config.data)
    names = known.class_names if config.class_conditional else ()
    line = known.line if config.coupling_conditional else None
    model = replace(config.model, class_names=names, line=line)
    return _parameters(model.to_json(), *known.images.shape[1:])


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
        placeholder="Custom",
        help="A whole config; every setting in the sidebar may be changed afterwards.",
        **bound(
            "preset",
            preset_of(current()),
            lambda c, name: PRESETS[name].config if name else c,
        ),
    )


def summary(config: TrainConfig, timed: bool) -> None:
    """Say what the config is; where it is no preset, offer the way back to the last one.

    Arguments:
        timed: whether its time was measured here, which holds instead of the preset's.
    """
    name = preset_of(config)
    if name is not None:
        preset = PRESETS[name]
        st.caption(preset.about if timed else f"{preset.about} {preset.takes}")
    else:
        st.button(
            f"Reset to “{PRESETS[base()].title}”",
            icon=":material/undo:",
            on_click=lambda: restore(PRESETS[base()].config),
            help="Undo all changes to the preset.",
        )
    steps = "step" if config.steps == 1 else "steps"
    pictures = "fields" if rg.data.is_lattice(config.data) else "images"
    st.caption(
        f"{data_title(config.data)} · {config.steps:,} {steps} of {config.batch:,} {pictures} · "
        f"{_count(config):,} parameters"
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
    with st.popover("Network hyperparameters", icon=":material/straighten:", width="stretch"):
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

    label, about = label_of(field), HELP.get(field)
    if isinstance(value, tuple):
        text = ", ".join(map(str, value))
        st.text_input(label, help=about, **bound(f"network-{field}", text, make))
    elif isinstance(value, bool):
        st.toggle(label, help=about, **bound(f"network-{field}", value, make))
    else:
        step = 1 if isinstance(value, int) else 0.05
        number(st, label, step, help=about, **bound(f"network-{field}", value, make))


def _whole(name: str, word: str) -> int:
    if not word.isdigit():
        raise ValueError(f"{name}: {word[:20]!r} is not a whole number.")
    return int(word)


def _classes(config: TrainConfig, fields: Mapping[str, FieldInfo]) -> None:
    """Draw what concerns class labels and couplings; where the data have none it is greyed out."""
    known, wanted = cache.images(config.data), config.class_conditional
    for name, off in (
        ("class_conditional", not (known.class_names or wanted)),
        ("label_dropout", not wanted),
        ("coupling_conditional", known.line is None and not config.coupling_conditional),
    ):
        _fields(config, {name: fields[name]}, disabled=off)
    if not known.class_names:
        st.caption(f"{data_title(config.data)} has no class labels to condition on.")


def _loss(config: TrainConfig) -> None:
    st.markdown("**Loss**")
    _menus(config, "objective", OBJECTIVE)
    if config.objective.times == "lognormal":
        for field in ("level_mean", "level_std"):
            number(
                st,
                label_of(field),
                0.1,
                help=HELP[field],
                **bound(
                    field,
                    getattr(config.objective, field),
                    lambda c, v, field=field: replace(
                        c, objective=replace(c.objective, **{field: v})
                    ),
                ),
            )


def _menus(config: TrainConfig, part: str, menus: Mapping[str, Mapping[str, str]]) -> None:
    """Draw the choices of one of the config's specs."""
    for field, titles in menus.items():
        st.selectbox(
            label_of(field),
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


def _fields(
    config: TrainConfig, fields: Mapping[str, FieldInfo], *, disabled: bool = False
) -> None:
    """Draw the plain fields of a group, each by its type and range."""
    hints = get_type_hints(TrainConfig)
    for name, setting in fields.items():
        if name == "data":
            continue
        label = label_of(name)
        common: dict[str, Any] = {"help": setting.help, "disabled": disabled} | bound(
            name,
            getattr(config, name),
            lambda c, v, name=name: replace(c, **{name: v}),
            optional=isinstance(hints[name], UnionType),
        )
        if setting.choices:
            st.selectbox(label, setting.choices, **common)
        elif hints[name] is bool:
            st.toggle(label, **common)
        elif isinstance(value := getattr(config, name), tuple):
            names = bound(
                name,
                ", ".join(value),
                lambda c, v, name=name: replace(c, **{name: tuple(v.replace(",", " ").split())}),
            )
            st.text_input(label, **(common | names))
        else:
            _number(label, name, setting, hints[name], common)


def _number(label: str, name: str, setting: FieldInfo, hint: Any, common: dict[str, Any]) -> None:
    kind = int if hint in (int, int | None) else float
    default = getattr(TrainConfig(), name)
    usual = default or min(1, (setting.high or 100) / 100)
    digits = int(Decimal(str(usual)).as_tuple().exponent)
    number(
        st,
        label,
        1 if kind is int else 10.0**digits,
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
    st.button("Apply pasted config", icon=":material/content_paste:", on_click=_use_pasted)
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
