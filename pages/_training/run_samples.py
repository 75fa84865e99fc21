"""Samples from a run's model: pictures, spectrum, observables."""

from pathlib import Path

import streamlit as st
import torch
from torch import Tensor

import rgdiff_core as rg
from pages._sampling.link import open_button
from pages._sampling.models import of_run
from pages._shared import cache, comparisons, plots
from pages._shared.comparisons import Samples
from pages._shared.observables import COMPARED, in_table
from pages._training.run_views import show, source_of
from rgdiff_core.data import ImageSet
from rgdiff_core.denoisers.files import read_metadata
from rgdiff_core.files.stored import reading
from rgdiff_core.sampling import usual_method
from rgdiff_core.spectra.power import power_spectrum
from rgdiff_core.training import runs
from rgdiff_core.training.config import TrainConfig
from rgdiff_core.training.models import config_of
from rgdiff_core.training.runs import Run
from rgdiff_core.training.trainer import preview_process

__all__ = ["sampling"]

NUMBERS = (16, 64, 256, 1024)
MAX_VALUES = 1 << 18  # in all samples together: keeps a large network within minutes


@st.cache_resource(max_entries=8, show_spinner="Sampling …")
def _draw(path: str, changed: int, config: str, n: int, steps: int, seed: int) -> Tensor:
    """Return samples of a model file; `changed` tells versions of the file apart."""
    del changed
    with reading(Path(path)):
        model = rg.load_model(Path(path))
        made = config_of(read_metadata(Path(path))) or TrainConfig.from_json(config)
    process = preview_process(made, model.basis, model.modes)
    generator = torch.Generator().manual_seed(seed)
    return rg.sample(model, process, n, steps, usual_method(process), generator)


@st.fragment
def sampling(run: Run) -> None:
    """Draw the controls and, once asked for, samples from a run's model."""
    st.header("Sample from this run")
    source = source_of(run)
    try:
        path = runs.model_path(run.id)
    except ValueError:
        st.caption("Sampling is available after the first checkpoint.")
        return
    if run.config is None or source is None:
        st.caption("Its data set is not on this machine, or its config can't be read.")
        return
    open_button(lambda: of_run(run.id), "training-open")
    columns = st.columns([2, 2, 2, 2], vertical_alignment="bottom")
    numbers = _numbers(source.images[0].numel())
    usual = min(1, len(numbers) - 1)
    n = columns[0].selectbox("Samples", numbers, usual, key="training-n", help="How many.")
    steps = columns[1].number_input(
        "Steps",
        1,
        200,
        25,
        key="training-steps",
        help="Steps of DPM-Solver++(2M), or of the shell sampler for a discontinuous schedule.",
    )
    seed = columns[2].number_input(
        "Seed", 0, 2**31 - 1, 0, key="training-seed", help="Equal seeds, equal noise."
    )
    asked = st.session_state.setdefault("training-asked", set())
    if columns[3].button("Draw samples", type="primary", width="stretch", key="training-draw"):
        asked.add(run.id)
    if run.id not in asked:
        return
    try:
        changed = path.stat().st_mtime_ns
        x = _draw(str(path), changed, run.config.to_json(), int(n), int(steps), int(seed))
    except (ValueError, OSError) as problem:
        st.warning(str(problem), icon=":material/info:")
        return
    left, right = st.columns(2, gap="large")
    with left:
        show(x[:64], source, f"{len(x)} samples" if len(x) <= 64 else f"64 of {len(x)} samples")
        show(source.images[: min(len(x), 64)], source, "Data")
    with right:
        _spectrum(x, source)
        if rg.data.is_lattice(run.config.data):
            _observables(x, source)
            groups = [Samples("Samples", x, plots.ORANGE)]
            comparisons.distribution(groups, source.images, "training-drawn-distribution")


def _numbers(values: int) -> list[int]:
    """Return how many samples of so many values each can be asked for."""
    most = max(1, MAX_VALUES // values)
    return [n for n in NUMBERS if n <= most] or [most]


def _spectrum(x: Tensor, source: ImageSet) -> None:
    if rg.data.line_of(source.name) is None:
        data = cache.spectrum(source.name, "continuum", cache.FIT_LIMIT)
    else:
        data = power_spectrum(source.images)
    comparisons.spectra([Samples("Samples", x, plots.ORANGE)], data)


def _observables(x: Tensor, source: ImageSet) -> None:
    # Data sets are shuffled: as independent as samples.
    samples, data = (rg.lattice.observables(y, n_chains=len(y)) for y in (x, source.images))
    lines = [
        f"| {in_table(name)} | {plots.bracketed(samples[name])} | {plots.bracketed(data[name])} |"
        for name in COMPARED
    ]
    comparisons.ratios(data, {"Samples": samples}, {"Samples": plots.ORANGE})
    st.markdown("\n".join(("| observable | samples | data (HMC) |", "|:--|--:|--:|", *lines)))
