"""The runs there are: choose one, act on it, bring one along."""

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import streamlit as st

from pages._shared.chosen import kept
from pages._shared.page_state import unlinked, verbatim
from pages._shared.tables import columns, pair, table
from pages._training.run_views import comparison, points, word
from pages._training.state import restore
from pages._training.words import data_title, noise_title
from rgdiff_core.training import TrainConfig, runs
from rgdiff_core.training.config import config_to_toml
from rgdiff_core.training.runs import Run
from rgdiff_core.training.warm_start import start_of, started_from

__all__ = [
    "PARAMETER",
    "actions",
    "at_hand",
    "attempt",
    "choose",
    "details",
    "look_after",
    "overview",
    "under_way",
    "upload",
]

PARAMETER = "run"
_PROBLEM, _UPLOAD = "training-run-problem", "training-upload"
MAX_RUNS = 4  # runs that are compared
GAIN = "validation gain × 1000"
GAIN_HELP = "Over the Gaussian, on held-out data, at the last evaluation of the run."

Result = TypeVar("Result")


def attempt(act: Callable[[], Result]) -> Result | None:
    """Do something to a run, and return what that returns; where it can't be done a sentence says
    why.
    """
    try:
        return act()
    except (ValueError, OSError) as error:
        st.session_state[_PROBLEM] = str(error)
        return None


def look_after() -> None:
    """Look after the queue; where that can't be done a sentence says why."""
    try:
        runs.pump()
    except (ValueError, OSError) as error:
        st.warning(str(error), icon=":material/error:")


def under_way(config: TrainConfig, weights: Path | None) -> bool:
    """Return whether a run of the same settings, from the same weights, waits or runs."""
    try:
        return any(
            run.active and run.config == config and started_from(runs.run_folder(run.id), weights)
            for run in runs.list_runs()
        )
    except (ValueError, OSError):  # of which the page tells where it lists them
        return False


def at_hand(listed: list[Run]) -> Run | None:
    """Return the run to show: that of the address, or the running or newest one; None where there
    are none.
    """
    known = {run.id: run for run in listed}
    running = (run for run in listed if run.state == "running")
    return known.get(st.query_params.get(PARAMETER, "")) or next(iter((*running, *listed)), None)


def choose(listed: list[Run]) -> Run | None:
    """Draw the menu of runs and return the chosen one, None where there are none."""
    message = st.session_state.pop(_PROBLEM, None)
    if message:
        st.warning(message, icon=":material/info:")
    first = at_hand(listed)
    if first is None:
        return None
    known = {run.id: run for run in listed}
    wanted = st.query_params.get(PARAMETER)
    if wanted is not None and wanted not in known:
        st.info(f"There is no run {verbatim(repr(wanted[:60]))} here.", icon=":material/info:")
    if wanted not in known:
        st.query_params[PARAMETER] = first.id  # stays, whichever run begins next

    def show(id: str) -> None:
        if id in known:  # else a title that is no longer true
            st.query_params[PARAMETER] = id

    id = st.selectbox(
        "Run",
        list(known),
        format_func=lambda each: _label(known[each]),
        help="The newest first. Its address is a link to it.",
        **kept("training-run", first.id, show),
    )
    return known[id]


def _label(run: Run) -> str:
    when = time.strftime("%d %b %H:%M", time.localtime(run.created))
    return f"{run.title} · {word(run)} · {when}"


def actions(run: Run) -> None:
    """Draw the buttons for a run."""
    with st.container(horizontal=True):
        if run.active:
            st.button(
                "Pause",
                icon=":material/pause:",
                disabled=run.stopping,
                on_click=lambda: attempt(lambda: runs.pause(run.id)),
                help="Stop after a checkpoint; it can continue later as if never stopped.",
            )
            st.button(
                "Cancel",
                icon=":material/stop:",
                disabled=run.stopping,
                on_click=lambda: attempt(lambda: runs.cancel(run.id)),
                help="Stop after a checkpoint. What has been learnt stays.",
            )
        elif run.state != "finished":
            st.button(
                "Resume",
                icon=":material/play_arrow:",
                disabled=run.missing,
                on_click=lambda: attempt(lambda: runs.resume(run.id)),
                help="Continue from the last checkpoint.",
            )
        _rename(run)
        _delete(run)
        _downloads(run)
        if run.config is not None:
            config = run.config
            st.button(
                "Use its settings",
                icon=":material/settings_backup_restore:",
                on_click=lambda: restore(config),
                help="Fill the form in the sidebar with this run's config.",
            )


def _rename(run: Run) -> None:
    with st.popover("Rename", icon=":material/edit:"):
        key = f"training-title-{run.id}"
        st.text_input(
            "Title",
            run.title,
            key=key,
            max_chars=80,
            on_change=lambda: attempt(lambda: runs.rename(run.id, st.session_state[key])),
        )


def _delete(run: Run) -> None:
    if run.state == "running":
        return
    with st.popover("Delete", icon=":material/delete:"):
        st.markdown("Its checkpoints, curves and samples go with it.")
        st.button(
            "Delete this run",
            type="primary",
            key=f"training-delete-{run.id}",
            on_click=lambda: attempt(lambda: _remove(run.id)),
        )


def _remove(run_id: str) -> None:
    runs.delete(run_id)
    st.query_params.pop(PARAMETER, None)


def _downloads(run: Run) -> None:
    try:
        path = runs.model_path(run.id)
    except ValueError:
        return
    name = f"{run.id}.safetensors"
    st.download_button(
        "Model",
        path.read_bytes,
        name,
        on_click="ignore",
        icon=":material/download:",
        help="The averaged weights with all that is needed to use them, one safetensors file: "
        "`rg.load_model(path)`.",
    )


def overview(listed: list[Run]) -> None:
    """Draw the table of runs, refreshed every other second while one is active, and the
    comparison of some of them.
    """
    st.header("All runs")
    busy = any(run.active for run in listed)
    st.fragment(_table, run_every=2.0 if busy else None)(busy)
    _compare(listed)


def _table(busy: bool) -> None:
    try:
        listed = runs.list_runs()
    except (ValueError, OSError) as error:
        st.error(str(error), icon=":material/error:")
        return
    if busy and not any(run.active for run in listed):
        st.rerun()  # without a timer
    titles = {name: data_title(name) for name in {run.config.data for run in listed if run.config}}
    table(
        [_line(run, titles) for run in listed],
        {
            "run": st.column_config.TextColumn("run", width="medium"),
            "progress": st.column_config.ProgressColumn(
                "progress", format="percent", min_value=0, max_value=1
            ),
        }
        | columns("gain", GAIN, "%.1f", GAIN_HELP),
    )


@st.fragment
def _compare(listed: list[Run]) -> None:
    names = {run.id: run for run in listed}
    key = "training-compare"
    st.session_state[key] = [each for each in st.session_state.get(key, []) if each in names]
    chosen = st.multiselect(
        "Compare",
        list(names),
        max_selections=MAX_RUNS,
        key=key,
        format_func=lambda each: _label(names[each]),
        help=f"Up to {MAX_RUNS} runs on the same axes, and what differs between their configs.",
        placeholder="Choose runs",
    )
    if chosen:
        comparison([names[each] for each in chosen])


def _line(run: Run, titles: Mapping[str, str]) -> dict[str, object]:
    status = run.status
    return {
        "run": run.title,
        "state": run.state,
        "progress": min(1.0, status.step / max(1, status.steps)) if status else 0.0,
        "step": status.step if status else 0,
        **_gain(run),
        "data": titles[run.config.data] if run.config else "?",
        "trained on": noise_title(type(run.config.noise)) if run.config else "?",
        "begun": time.strftime("%Y-%m-%d %H:%M", time.localtime(run.created)),
        "id": run.id,
    }


def _gain(run: Run) -> dict[str, float | None]:
    """Return what the last evaluation on held-out data found; None where there was none."""
    held_out = None if run.missing else points(run.id)[1]
    last = held_out[-1]["held_out"] if held_out else {}
    return pair("gain", {"value": last.get("gain"), "error": last.get("gain_error")}, 1000)


def details(run: Run) -> None:
    """Draw what else is known of a run: its log, its config, where it comes from."""
    with st.expander("Log, config and origin", icon=":material/receipt_long:"):
        st.code(runs.log_tail(run.id) or "The log is empty.", language=None)
        if run.config is not None:
            st.json(json.loads(run.config.to_json()), expanded=1)
            st.download_button(
                "Config (TOML)",
                config_to_toml(run.config),
                f"{run.id}.toml",
                on_click="ignore",
                icon=":material/download:",
                help="Accepted by `rgdiff train` and `rgdiff runs submit`.",
            )
        try:
            if first := start_of(runs.run_folder(run.id)):
                st.caption(f"Started from the weights of {unlinked(first)}.")
            st.json(runs.origin(run.id), expanded=False)
        except (OSError, ValueError) as error:
            st.caption(f"Its origin is unknown: {error}")
        st.caption(f"On disk: `{run.id}` in the folder of runs; `rgdiff runs path {run.id}`.")


def upload() -> None:
    """Draw the place for a model from elsewhere."""
    with st.popover("Import a model", icon=":material/upload:", width="stretch"):
        st.file_uploader(
            "A model file",
            type=["safetensors"],
            key=_UPLOAD,
            on_change=_uploaded,
            help="A .safetensors file that was downloaded from a Training page.",
        )


def _uploaded() -> None:
    file = st.session_state[_UPLOAD]
    if file is not None:
        attempt(lambda: _register(file.getvalue(), file.name))


def _register(data: bytes, name: str) -> None:
    run = runs.register_model(data, name.removesuffix(".safetensors"))
    st.query_params[PARAMETER] = run.id
