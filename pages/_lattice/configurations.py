"""Configurations as pictures on the Lattice page: browse chains and Monte Carlo time."""

import base64
import html

import numpy as np
import streamlit as st
import torch
from streamlit.delta_generator import DeltaGenerator
from torch import Tensor

from pages._lattice import ensembles, stored
from pages._lattice.state import Theory
from pages._shared import address, pictures, plots
from rgdiff_core.data.ensembles import EnsembleInfo
from rgdiff_core.lattice import Ensemble
from rgdiff_core.lattice.gamma import chain_lengths

__all__ = ["bar", "bound_of", "draw"]

MAX_PICTURES = 48  # pictures on the screen
ACROSS, ALONG = "across chains", "along one chain"
BIG = 480  # side of an enlarged picture, in pixels


def draw(theory: Theory, listed: list[EnsembleInfo], info: EnsembleInfo | None) -> None:
    """Draw the configurations of the chosen ensemble."""
    del theory, listed
    ensemble = ensembles.opened(info)
    if ensemble is None or info is None:
        return
    ensembles.heading(info)
    _browse(info.id, ensemble)
    stored.links(info)


@st.fragment
def _browse(id: str, ensemble: Ensemble) -> None:
    lengths = chain_lengths(len(ensemble.configurations), ensemble.n_chains)
    left, middle, right = st.columns([2, 3, 2], vertical_alignment="bottom")
    way = address.menu(
        left,
        "Show",
        [ACROSS, ALONG],
        default=ACROSS,
        key="browse",
        help="The same Monte Carlo time of many chains, which are independent; or one chain as "
        "time passes, where neighbours are correlated.",
    )
    if way == ACROSS:
        shown, texts = _across(middle, ensemble, lengths)
    else:
        shown, texts = _along(middle, ensemble, lengths)
    bound = bound_of(id)
    smooth = right.checkbox(
        "Smooth",
        False,
        key="smooth",
        bind="query-params",
        help="Let the browser interpolate between sites; off, every site is a square.",
    )
    tiles = pictures.pixels(shown, -bound, bound, "diverging")
    st.html(plots.tiles(tiles, texts, smooth=smooth))
    st.html(bar(bound))
    _enlarged(shown, texts, bound, smooth)


def _across(
    middle: DeltaGenerator, ensemble: Ensemble, lengths: list[int]
) -> tuple[Tensor, list[str]]:
    last = min(lengths) - 1
    time = 0
    if last > 0:
        time = middle.slider(
            "Monte Carlo time",
            0,
            last,
            0,
            key="time",
            bind="query-params",
            help="Which of the kept configurations of every chain.",
        )
    starts = np.cumsum([0, *lengths[:-1]])[:MAX_PICTURES]
    shown = ensemble.configurations[(starts + time).tolist()]
    return shown, [f"chain {i + 1}" for i in range(len(starts))]


def _along(
    middle: DeltaGenerator, ensemble: Ensemble, lengths: list[int]
) -> tuple[Tensor, list[str]]:
    first, second = middle.columns(2)
    chain = first.number_input(
        "Chain", 1, len(lengths), 1, key="chain", bind=address.whole("chain"), help="Which chain."
    )
    last = max(0, lengths[chain - 1] - MAX_PICTURES)
    begin = 0
    if last > 0:
        begin = second.slider(
            "From", 0, last, 0, key="from", bind="query-params", help="The first one shown."
        )
    start = sum(lengths[: chain - 1]) + begin
    count = min(MAX_PICTURES, lengths[chain - 1] - begin)
    shown = ensemble.configurations[start : start + count]
    return shown, [f"time {begin + i}" for i in range(count)]


def _enlarged(shown: Tensor, texts: list[str], bound: float, smooth: bool) -> None:
    label = st.selectbox(
        "Enlarge",
        texts,
        index=0,
        key="lattice-enlarge",
        width=220,
        help="One of the pictures above; the arrow keys go to the next.",
    )
    index = texts.index(label) if label in texts else 0
    picture = pictures.pixels(shown[index : index + 1], -bound, bound, "diverging")
    field = shown[index, 0].double()
    left, right = st.columns([3, 2], vertical_alignment="top")
    left.html(plots.tiles(picture, [label or ""], size=BIG, smooth=smooth))
    right.markdown(
        f"| | |\n|:--|--:|\n| M | {float(field.mean()):+.4f} |\n"
        f"| ⟨φ²⟩ of this field | {float(field.square().mean()):.4f} |\n"
        f"| smallest φ | {float(field.min()):+.3f} |\n| largest φ | {float(field.max()):+.3f} |"
    )
    right.download_button(
        "PNG",
        lambda: pictures.png(pictures.sheet(picture, 1, max(1, 512 // field.shape[-1]))),
        f"{(label or 'field').replace(' ', '-')}.png",
        "image/png",
        icon=":material/download:",
        on_click="ignore",
    )


@st.cache_data(max_entries=64, show_spinner=False)
def bound_of(id: str) -> float:
    """Return |φ| at the ends of the colour map of an ensemble: most fields lie within."""
    fields = ensembles.ensemble(id).configurations
    return float(np.quantile(fields[:: max(1, len(fields) // 500)].abs().numpy(), 0.999)) or 1.0


def bar(bound: float) -> str:
    """Return the colour map as HTML, with its numbers."""
    row = pictures.pixels(torch.linspace(-1, 1, 256).expand(1, 1, 4, 256), -1, 1, "diverging")
    data = base64.b64encode(pictures.png(row[0])).decode()
    text = html.escape(f"−{bound:.3g}"), html.escape(f"+{bound:.3g}")
    style = "height:10px;width:260px;min-width:0;flex:0 1 auto;border-radius:4px"
    return (
        '<div style="display:flex;align-items:center;gap:8px;font-size:0.8rem;opacity:0.85">'
        f'φ <span>{text[0]}</span><img alt="colour map" style="{style}" '
        f'src="data:image/png;base64,{data}"><span>{text[1]}</span></div>'
    )
