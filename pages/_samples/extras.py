"""Below the measurements of the Samples page: nearest data, and what can be taken along."""

import json
from dataclasses import replace

import streamlit as st
import torch

from pages._samples import files as samples_files
from pages._samples.messages import coloured
from pages._samples.state import SamplesState
from pages._sampling.draw import given
from pages._sampling.models import load
from pages._sampling.turns import drawn
from pages._shared import cache, plots
from rgdiff_core.evaluation import nearest

__all__ = ["files", "neighbours", "zoomed"]

NEAREST = 7


def zoomed(bench: SamplesState) -> None:
    """Draw the image of a zoom, what is given of it, and samples with their mean."""
    request, source = replace(samples_files.shown(bench), walk=None), load(bench.setting)
    parts = given(request, source)
    if parts is None:
        return
    (image, known), basis, x = parts, source.denoiser.basis, drawn(request)
    look = basis.synthesize(known * basis.analyze(image.to(known))).cpu()
    shown = torch.cat((image, look, x.mean(0, keepdim=True), x[:4]))
    names = ["the image", "kept scales", "mean of all", *(f"sample {i + 1}" for i in range(4))]
    st.html(plots.tiles(coloured(shown, source), names[: len(shown)]))
    st.caption(
        "The given scales are the same in all samples, and the rest is drawn from the model's "
        "conditional distribution: variation between samples reflects what the image does not "
        "determine. They are samples given this image, so they need not agree with the data below."
    )


def neighbours(bench: SamplesState) -> None:
    """Draw the data nearest to the chosen sample."""
    source = load(bench.setting)
    if not source.has_data:
        return
    lattice = source.action is not None
    if not st.toggle(
        f"Nearest training {'fields' if lattice else 'images'} of the chosen sample",
        key="samples-nearest",
        help="Has the model learnt or memorized? Choose a sample by clicking it, or with "
        "the keys , and .",
    ):
        return
    either = lattice and st.checkbox(
        "φ and −φ are alike",
        True,
        key="samples-either",
        help="The action has a Z2 symmetry: compare with both signs.",
    )
    x = drawn(samples_files.shown(bench))
    sample = min(bench.chosen, len(x) - 1)
    images = cache.images(source.data, None).images
    found = nearest(x[sample : sample + 1], images, NEAREST, either_sign=either)
    near = images[found.index[0]] * found.sign[0][:, None, None, None]
    tiles = coloured(torch.cat((x[sample : sample + 1], near)), source)
    words = [
        f"{distance:.3g}{' (−φ)' if sign < 0 else ''}"
        for distance, sign in zip(found.distance[0].tolist(), found.sign[0].tolist(), strict=True)
    ]
    st.html(plots.tiles(tiles, [f"sample {sample + 1}", *words]))
    st.caption(
        f"Beside the sample: the nearest of {len(images):,}, with their root mean square distance."
    )


def files(bench: SamplesState) -> None:
    """Draw what can be taken along."""
    with st.expander("Export and share: link, PNG, npz, Python", icon=":material/download:"):
        st.caption(
            "The address bar already holds everything: copy it, and the page opens in this state."
        )
        name = f"rgdiff-{bench.setting.model.replace('/', '-')}-seed{bench.seed}"
        settings = json.dumps(json.loads(bench.request.to_json()), indent=1, ensure_ascii=False)
        with st.container(horizontal=True):
            st.download_button(
                "Samples (PNG)", lambda: samples_files.picture(bench), f"{name}.png"
            )
            st.download_button(
                "Fields and times (npz)",
                lambda: samples_files.numbers(bench),
                f"{name}.npz",
                help="samples, fields and x̂0 on the way with their times, settings as JSON.",
            )
            st.download_button("Settings (JSON)", settings, f"{name}.json")
        st.code(samples_files.python_lines(bench), language="python", wrap_lines=True)
