"""From an arm of a study to the other pages: its schedule, its model, its training."""

import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import streamlit as st

import rgdiff_core as rg
from pages._noising.state import NoisingState
from pages._results import studies
from pages._results.studies import Found
from pages._results.titles import titled
from pages._sampling import link as sampling_link
from pages._sampling.setting import MAX_SAMPLES, Setting
from pages._shared.process_choice import ProcessChoice, choice_of
from pages._training import state as training_state
from rgdiff_core.bases.spec import BasisSpec
from rgdiff_core.colors import Color
from rgdiff_core.denoisers.files import load_model, save_model
from rgdiff_core.schedules import Schedule
from rgdiff_core.spec import from_dict
from rgdiff_core.training import TrainConfig, runs

__all__ = ["box", "model_of", "noising", "samples", "side_of", "training"]

FEW = 16  # samples of a large model, which one waits for


def box(
    study: Found,
    arms: Mapping[str, str],
    key: str,
    first: str,
    words: Callable[[Found], str],
    sampler: Callable[[Found], dict[str, Any]] = lambda arm: {},
) -> None:
    """Draw one arm, and the ways from it to other pages.

    Arguments:
        arms: Names and titles.
        key: Of the choice, in the address too.
        first: Name of the arm that is shown first.
        words: What is said of an arm.
        sampler: Method, steps and grid for the Samples page.
    """
    known = {arm["name"]: arm for arm in study["arms"]}
    with st.container(border=True):
        name = st.selectbox(
            "Method",
            list(arms),
            list(arms).index(first) if first in arms else 0,
            key=key,
            bind="query-params",
            format_func=lambda each: arms[each],
            help="Its schedule, its model, and the config that it was trained with.",
        )
        if name is None:
            return
        arm = known[name]
        st.markdown(words(arm))
        with st.container(horizontal=True):
            noising(study, arm, "results-noising")
            samples(study, arm, "results-samples", **sampler(arm))
            training(study, arm, "results-training")
        st.caption(f"On the Samples page: {model_of(study, arm)[1]}.")


def side_of(study: Found, arm: Found) -> ProcessChoice:
    """Return an arm's basis, colour and schedule; raises `ValueError` where a page can't show
    them.
    """
    told = arm["basis"] if isinstance(arm["basis"], dict) else _model(study, arm)["basis"]
    basis, color, schedule = (from_dict(x) for x in (told, arm["color"], arm["schedule"]))
    if (
        isinstance(basis, BasisSpec)
        and isinstance(color, Color)
        and isinstance(schedule, Schedule)
    ):
        return choice_of(basis, color, schedule)
    raise ValueError(f"the process of {arm['title']} can't be read.")


def _model(study: Found, arm: Found) -> Found:
    """Return the config of an arm's pretrained model; raises `ValueError` where there is none."""
    configs = (
        model["config"] for model in study.get("models", ()) if model["name"] == arm["model"]
    )
    config = next(configs, None)
    if not config:
        raise ValueError(f"the file of {arm['model']} does not say what its basis is.")
    return config


def noising(study: Found, arm: Found, key: str) -> None:
    """Draw the button that leads to the Noising page with an arm's process."""
    if not st.button(
        "Open in Noising",
        key=key,
        icon=":material/gradient:",
        help="The same schedule, colour and basis, on the method's training data.",
    ):
        return
    try:
        link = NoisingState(studies.data_of(study), (side_of(study, arm),)).to_json()
    except ValueError as error:
        st.warning(str(error), icon=":material/info:")
        return
    st.switch_page("pages/noising.py", query_params={"state": link})


def model_of(study: Found, arm: Found) -> tuple[str, str]:
    """Return the model that stands for an arm on the Samples page, and what that is in words.

    In this order: the arm's own, where it is pretrained; the one that the study trained, where its
    file is still on this machine; a pretrained universal one of the same data; the free theory.
    """
    data = studies.data_of(study)
    pretrained = {model.name: model for model in rg.list_pretrained()}
    if isinstance(arm["model"], str) and arm["model"] in pretrained:
        return f"pretrained/{arm['model']}", f"the method's own model, *{titled(arm['model'])}*"
    if own_file(study, arm) is not None:
        return "", "the model that the study trained, which becomes a run of yours"
    missing = "because the method's own model file is not available"
    for name, model in pretrained.items():
        if model.data == data:
            return f"pretrained/{name}", f"the universal model *{titled(name)}*, {missing}"
    return f"free/{data}", f"the free theory of its data, {missing}"


def own_file(study: Found, arm: Found) -> Path | None:
    """Return the file of an arm's first model, None where it is not on this machine.

    It is looked for among the results, models/DATA/ARM.safetensors, and in the folder in which
    the study's command works.
    """
    data = studies.data_of(study)
    places = [studies.folder() / "models" / data / f"{arm['name']}.safetensors"]
    words = str(study.get("command", "")).split()
    with suppress(ValueError, IndexError, KeyError):
        budget = Path(words[words.index("--budget") + 1]).name
        work = studies.HOME / "runs" / f"study-{budget}" / data
        places.append(work / f"run-{arm['name']}-{arm['seeds'][0]}.safetensors")
    return next((path for path in places if path.is_file()), None)


def samples(study: Found, arm: Found, key: str, **sampler: Any) -> None:
    """Draw the button that leads to the Samples page with an arm's model and process.

    Arguments:
        sampler: Of the setting there: method, steps, grid.
    """

    def setting() -> Setting:
        model, _ = model_of(study, arm)
        return Setting(model or _registered(study, arm), side_of(study, arm), **sampler)

    large = isinstance(arm["model"], str)  # a model of images, which takes a while
    sampling_link.open_button(setting, key, FEW if large else MAX_SAMPLES)


def _registered(study: Found, arm: Found) -> str:
    """Return the run that an arm's model has become; it becomes one only once."""
    path = own_file(study, arm)
    if path is None:
        raise ValueError(f"the model of {arm['title']} is no longer on this machine.")
    title = f"Study, {studies.title_of(study)}: {arm['title']}"[:80]
    same = [run.id for run in runs.list_runs() if run.title == title and not run.missing]
    return (
        f"run/{same[0] if same else runs.register_model(_told_file(study, arm, path), title).id}"
    )


def _told_file(study: Found, arm: Found, path: Path) -> bytes:
    """Return a model's file that says what it was trained on, as the study knows it."""
    config = _config(study, arm)
    if config is None:
        raise ValueError(f"the study does not say what {arm['title']} was trained on.")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.safetensors"
        save_model(load_model(path), file, {"data": config.data, "config": config.to_json()})
        return file.read_bytes()


def training(study: Found, arm: Found, key: str) -> None:
    """Draw the button that leads to the Training page with an arm's config."""
    config = _config(study, arm)
    if config is not None and st.button(
        "Train it here",
        key=key,
        icon=":material/model_training:",
        help="Fill the Training page's form with the config of its first seed.",
    ):
        link = training_state.told(config)
        st.switch_page("pages/training.py", query_params={"config": link})


def _config(study: Found, arm: Found) -> TrainConfig | None:
    mine = (run["config"] for run in study.get("runs", ()) if run["arm"] == arm["name"])
    with suppress(ValueError):
        config = from_dict(next(mine, None) or _model(study, arm))
        return config if isinstance(config, TrainConfig) else None
    return None
