"""Films of the noising: made in the background, with a bar and a button that cancels."""

import json

import streamlit as st

from pages._noising import export
from pages._noising.state import NoisingState
from pages._shared import jobs

__all__ = ["films"]

LINE, PREFIX = "films", "film/"
STARTED = "noising-films"  # in the session: the names of the files of films begun, by key
KEPT = 8
KINDS = {"mp4": "Film (MP4)", "gif": "Film (GIF)"}


def films(lab: NoisingState, name: str) -> None:
    """Draw for each kind of film what makes it, or downloads it once it is made; `name` is the
    file's, without its ending.
    """
    keys = {kind: _key(lab, kind) for kind in KINDS}
    started = {k: n for k, n in st.session_state.get(STARTED, {}).items() if jobs.find(k)}
    st.session_state[STARTED] = started
    with st.container(horizontal=True):
        for kind, key in keys.items():
            task = jobs.find(key)
            if task is not None and task.result is not None:
                st.download_button(
                    f"Download the {kind.upper()}",
                    task.result,
                    f"{name}.{kind}",
                    type="primary",
                    on_click="ignore",
                    key=f"film-ready-{kind}",
                )
            else:
                st.button(
                    KINDS[kind],
                    key=f"film-{kind}",
                    icon=":material/movie:",
                    on_click=_begin,
                    args=(lab, kind, name),
                    disabled=not jobs.missing(key),
                    help="From t = 0 to 1. It is made here in some seconds, then downloaded.",
                )
        for key in (key for key in started if key not in keys.values()):
            _earlier(key, started[key])
    listed = list(dict.fromkeys((*keys.values(), *started)))
    busy = any((task := jobs.find(key)) and task.waited_for for key in listed)
    st.fragment(jobs.watch, run_every=0.5 if busy else None)(listed, "films", busy)


def _earlier(key: str, file_name: str) -> None:
    """Draw what downloads a film of an earlier state, once it is made."""
    task = jobs.find(key)
    if task is not None and task.result is not None:
        st.download_button(
            f"Download the earlier {file_name.rsplit('.', 1)[1].upper()}",
            task.result,
            file_name,
            on_click="ignore",
            key=f"earlier-{key}",
        )


def _key(lab: NoisingState, kind: str) -> str:
    """Return what a film is found by: all of the state that it shows."""
    shown = NoisingState(lab.data, lab.sides, lab.images, lab.first, lab.seed)
    return f"{PREFIX}{kind}/{json.dumps(json.loads(shown.to_json()), separators=(',', ':'))}"


def _begin(lab: NoisingState, kind: str, name: str) -> None:
    """Queue a film; the oldest of those that are over are dropped."""
    for task in jobs.listed(PREFIX)[:-KEPT]:
        jobs.forget(task.key)

    def work(task: jobs.Task) -> bytes:
        with task.interruptible():
            return export.noising_film(lab, kind, task.progress)

    key = _key(lab, kind)
    st.session_state[STARTED] = st.session_state.get(STARTED, {}) | {key: f"{name}.{kind}"}
    jobs.begin(LINE, key, KINDS[kind], work)
