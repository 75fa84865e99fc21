"""The ensembles that are stored: their list, and what can be done with one."""

import tempfile
import time
from dataclasses import replace
from pathlib import Path

import streamlit as st

from pages._lattice import ensembles as lattice_ensembles
from pages._lattice import state as lattice_state
from pages._noising import state as noising_state
from pages._training import state as training_state
from rgdiff_core.data import DataUnavailable, ensembles
from rgdiff_core.data.ensemble_files import ENDINGS
from rgdiff_core.data.ensembles import EnsembleInfo
from rgdiff_core.lattice import EnsembleSpec, ImportedSpec, Phi4
from rgdiff_core.lattice.conventions import CONVENTIONS
from rgdiff_core.training import PRESETS

__all__ = ["links", "remove", "table"]

_PROBLEM, _REFUSED = "lattice-stored-problem", "lattice-file-problem"
_FILE, _ARRAYS = "lattice-file", "lattice-file-arrays"
_CONVENTIONS = {
    "lattice": "(∂φ)² + m²φ² + λφ⁴, this page's",
    "half": "½(∂φ)² + ½m²φ² + g/4! φ⁴: times 1/√2",
    "hopping": "−2κ φφ′ + (1 − 2λ)φ² + λφ⁴: times √κ",
}
MIN_SIZE = 4  # L of a data set of the other pages
QUICK = 2**26  # bytes up to which a file is read for its autocorrelation time


def table(listed: list[EnsembleInfo], info: EnsembleInfo | None) -> None:
    """Draw the list, what can be done with the chosen ensemble, and the place to bring one."""
    left, right = st.columns([5, 2], vertical_alignment="bottom")
    left.header("Stored ensembles")
    with right:
        _upload()
    if text := st.session_state.pop(_PROBLEM, None):
        st.error(text, icon=":material/error:")
    if not listed:
        st.info(
            "None yet. Press **Start**: at L = 16 a thousand configurations take some seconds.",
            icon=":material/rocket_launch:",
        )
        return
    key = "lattice-rows"

    def picked() -> None:
        rows = st.session_state[key].selection.rows
        if rows:
            lattice_state.pin(listed[rows[0]].id)

    st.dataframe(
        [_line(each) for each in listed],
        key=key,
        on_select=picked,
        selection_mode="single-row",
        hide_index=True,
        width="stretch",
        height=min(320, 38 + 35 * len(listed)),
        column_config={
            "τ": st.column_config.NumberColumn(
                "τ of |M|", format="%.1f", help="In trajectories; empty where it isn't known."
            ),
            "MB": st.column_config.NumberColumn(format="%.1f"),
            "m²": st.column_config.NumberColumn(format="%.5g"),
            "λ": st.column_config.NumberColumn(format="%.5g"),
        },
    )
    if info is not None:
        _actions(info)


def _line(info: EnsembleInfo) -> dict[str, object]:
    spec = info.spec
    return {
        "L": spec.size,
        "m²": spec.m2,
        "λ": spec.lam,
        "configurations": spec.n_samples,
        "chains": spec.n_chains,
        "τ": lattice_ensembles.tau(info.id) if info.bytes < QUICK else None,
        "MB": info.bytes / 1e6,
        "made": time.strftime("%Y-%m-%d %H:%M", time.localtime(info.made)),
        "from": spec.source if isinstance(spec, ImportedSpec) else "here",
        "id": info.id,
    }


def _actions(info: EnsembleInfo) -> None:
    st.markdown(f"**{info.title}** · `{info.id}`")
    with st.container(horizontal=True):
        action = info.spec.action
        st.button(
            "Use its couplings",
            icon=":material/my_location:",
            on_click=lattice_state.restore,
            args=(lattice_state.Theory(action.m2, action.lam, info.spec.size),),
            help="Set the couplings in the sidebar to those of this ensemble.",
        )
        for ending, mime in ((".npz", "application/zip"), (".h5", "application/x-hdf5")):
            st.download_button(
                ending,
                lambda ending=ending: _file(info.id, ending),
                f"phi4-{info.id}{ending}",
                mime,
                icon=":material/download:",
                on_click="ignore",
                help="Configurations, couplings, history and all numbers of the run.",
            )
        with st.popover("Delete", icon=":material/delete:"):
            st.markdown(f"This deletes its configurations. {_afterwards(info)}")
            st.button(
                "Delete this ensemble",
                type="primary",
                key=f"lattice-delete-{info.id}",
                on_click=remove,
                args=(info.id,),
            )
    links(info)


def _afterwards(info: EnsembleInfo) -> str:
    """Return whether the configurations can be had again once they are deleted, as a sentence."""
    if isinstance(info.spec, EnsembleSpec):
        return "The same settings regenerate them."
    return "They were imported and cannot be regenerated."


def links(info: EnsembleInfo) -> None:
    """Draw the ways to the other pages, with this ensemble as their data set."""
    name, size = f"lattice-{info.id}", info.spec.size
    if size < MIN_SIZE or size % 2:
        st.caption(f"The other pages take lattices of an even L from {MIN_SIZE} on.")
        return
    with st.container(horizontal=True):
        for title, page, query, icon in (
            ("Noising", "noising", {"state": noising_state.start(name).to_json()}, "gradient"),
            ("Spectra", "spectra", {"data": name}, "show_chart"),
            ("Training", "training", {"config": _config(name)}, "model_training"),
        ):
            if st.button(
                f"Open in {title}",
                key=f"lattice-open-{page}",
                icon=f":material/{icon}:",
                help=f"As a data set of the {title} page; it is in every page's menu.",
            ):
                st.switch_page(f"pages/{page}.py", query_params=query)


def _config(name: str) -> str:
    """Return what the Training page's address says of the first preset with other data."""
    return training_state.told(replace(PRESETS[training_state.FIRST].config, data=name))


def _file(id: str, ending: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = ensembles.export(lattice_ensembles.ensemble(id), Path(folder) / f"ensemble{ending}")
        return path.read_bytes()


def remove(id: str) -> None:
    """Delete an ensemble, finished or not; where that can't be done a sentence says why."""
    try:
        ensembles.delete(id)
    except (ValueError, OSError) as error:
        st.session_state[_PROBLEM] = str(error)


def _upload() -> None:
    with st.popover("Import an ensemble", icon=":material/upload:", width="stretch"):
        st.caption(
            "A .npz or .h5 file that was downloaded here, or one of another program, .npy too: "
            "an array (n, L, L) or (chains, n, L, L), and its couplings as numbers."
        )
        foreign = st.checkbox(
            "The file contains no couplings: use those in the sidebar",
            key="lattice-foreign",
            help="m² and λ of the theory in the sidebar. The Schwinger–Dyson identity then "
            "tells whether they fit.",
        )
        convention = st.selectbox(
            "Normalization of its fields",
            list(CONVENTIONS),
            None,
            key="lattice-foreign-convention",
            format_func=lambda name: _CONVENTIONS[name],
            placeholder="as the file says",
            help="The action that they belong to. By default hopping where the file gives κ, "
            "half where it gives g of g/4!, else that of this page.",
        )
        chains = st.number_input(
            "Chains",
            1,
            100_000,
            None,
            key="lattice-foreign-chains",
            placeholder="as the file says",
            help="Where the file doesn't say it; those of one chain stand together in it.",
        )
        if names := st.session_state.get(_ARRAYS):
            array = st.selectbox("Array", names, key="lattice-foreign-array")
        else:
            array = None
        action = lattice_state.current().action if foreign else None
        given = (action, chains, array, convention)
        st.file_uploader(
            "File",
            type=[ending[1:] for ending in ENDINGS],
            key=_FILE,
            on_change=_uploaded,
            args=(given,),
            label_visibility="collapsed",
        )
        st.button(
            "Import",
            on_click=_uploaded,
            args=(given,),
            disabled=st.session_state[_FILE] is None,
            width="stretch",
            help="Once more, after a change above.",
        )
        # Here, for the page below is covered.
        if text := st.session_state.get(_REFUSED):
            st.error(text, icon=":material/error:")


def _uploaded(given: tuple[Phi4 | None, int | None, str | None, str | None]) -> None:
    file = st.session_state[_FILE]
    st.session_state[_ARRAYS], st.session_state[_REFUSED] = [], None
    if file is None:
        return
    action, chains, array, convention = given
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / Path(file.name).name
        try:
            path.write_bytes(file.getvalue())
            names = list(ensembles.arrays_in(path))
            st.session_state[_ARRAYS] = names if len(names) > 1 else []
            array = array if array in st.session_state[_ARRAYS] else None
            found = ensembles.bring(path, action, chains, array=array, convention=convention)
        except (ValueError, OSError, DataUnavailable) as error:
            st.session_state[_REFUSED] = str(error).replace(f"{folder}/", "")
            return
    lattice_state.pin(found.spec.id)
    if found.warning:
        st.session_state[_REFUSED] = f"Imported, with a warning: {found.warning}"
