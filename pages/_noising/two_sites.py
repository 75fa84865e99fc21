"""Two sites: φ⁴ at its smallest, where density, flow and noise are pictures in the plane."""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import streamlit as st
import torch
from torch import Tensor

import rgdiff_core as rg
from pages._noising.plane import mount
from pages._shared.component import pack
from pages._shared.curve_messages import curve_tables, side_header, side_name
from pages._shared.page_state import DraggedState, json_address
from pages._shared.process_choice import ProcessChoice, dragged, turned
from pages._shared.process_widgets import bind_of, color_widget, schedule_widgets
from rgdiff_core.bases.spec import BasisSpec
from rgdiff_core.colors import Matched
from rgdiff_core.denoisers import TwoSites
from rgdiff_core.schedules import Cutoff, SigmoidKernel
from rgdiff_core.spec import Spec, check_range
from rgdiff_core.spectra.bands import split_bands

__all__ = ["Plane", "merged", "message", "section"]

KEY = "plane"
POINTS = 71  # of the grid that is painted, in each direction
LINES = 24
GOLDEN = math.pi * (3 - math.sqrt(5))  # turn between neighbours of a sunflower


@dataclass(frozen=True)
class Plane(Spec):
    """What the plane shows.

    Arguments:
        side: colour and schedule; the basis is that of the two modes.
        m2: mass² of the theory.
        lam: coupling λ of the theory.
        t: time.
    """

    side: ProcessChoice = ProcessChoice(
        BasisSpec(momentum="lattice"), Matched(), Cutoff(SigmoidKernel(0.3), gamma_max=6.0)
    )
    m2: float = -3.0
    lam: float = 1.5
    t: float = 0.3

    def __post_init__(self) -> None:
        check_range("m2", self.m2, -6, 4)
        check_range("lam", self.lam, 0.5, 8)
        check_range("t", self.t, 0, 1)
        if (self.side.basis.name, self.side.basis.momentum) != ("fourier", "lattice"):
            raise ValueError("two sites have one basis, that of their two Fourier modes.")
        if self.side.start is not None:
            raise ValueError("start of the colour: on two sites the noise keeps one colour, None.")

    def component(self) -> dict[str, Any]:
        """Return the part that the browser owns."""
        own = dragged(self.side)
        return {"t": self.t, "sides": [{name: own[name] for name in ("points", "shape", "tint")}]}


def merged(plane: Plane, report: dict[str, Any]) -> Plane:
    """Return the state with the part that the browser owns; raises `ValueError` for nonsense."""
    try:
        side, t = turned(plane.side, report["sides"][0]), float(report["t"])
    except (IndexError, KeyError, TypeError) as error:
        raise ValueError(f"the state of the plane can't be read: {error!r}.") from None
    return replace(plane, side=side, t=t)


def _process(plane: Plane, theory: TwoSites) -> rg.Process:
    return rg.Process(theory.basis, plane.side.color, plane.side.schedule, theory.modes)


def _of_both(table: Tensor) -> Tensor:
    """Return a table (..., bands) for each of the two modes, which may be one band."""
    return table.expand(*table.shape[:-1], 2) if table.shape[-1:] == (1,) else table


def _check(plane: Plane) -> None:
    _process(plane, TwoSites(plane.m2, plane.lam, POINTS))


_page = DraggedState("two-sites", json_address(Plane.from_json, "plane"), _check, KEY, merged)


@st.cache_resource(max_entries=8, show_spinner=False)
def message(plane_json: str, revision: str) -> bytes:
    """Return what the browser paints a state from, under a revision."""
    plane = Plane.from_json(plane_json)
    theory = TwoSites(plane.m2, plane.lam, POINTS)
    proc = _process(plane, theory)
    bands = split_bands(proc)
    tables = {
        name: _of_both(table) for name, table in curve_tables(plane.side, proc, bands).items()
    }
    tint, colors = plane.side.drag_parameters()[1], [plane.side.color]
    if tint is not None:
        colors = [tint.turn(colors[0], value) for value in tint.grid(tint.value(colors[0]))]
    spread = torch.stack([color.variance(theory.modes).sqrt().flatten() for color in colors])
    arrays = tables | {
        "spread": spread,
        "axis": theory.axis,
        "density": theory.density,
        "variance": theory.modes_variance.flatten(),
        "starts": _sunflower(LINES),
    }
    header = {
        "kind": "plane",
        "revision": revision,
        "state": plane.component(),
        "sides": [side_header(plane.side, proc, bands) | {"name": side_name(plane.side)}],
    }
    return pack(header, {name: x.numpy().astype(np.float32) for name, x in arrays.items()})


def _sunflower(n: int) -> torch.Tensor:
    """Return points (n, 2) that are spread as a Gaussian of unit variance is, at its quantiles."""
    index = torch.arange(n, dtype=torch.float64)
    radius = torch.sqrt(-2 * torch.log1p(-(index + 0.5) / n))
    return torch.stack((radius * torch.cos(GOLDEN * index), radius * torch.sin(GOLDEN * index)), 1)


def _sidebar(plane: Plane) -> None:
    bind = bind_of(_page.bound, lambda p, change: replace(p, side=change(p.side)))
    with st.sidebar:
        st.slider(
            "m²",
            -6.0,
            4.0,
            step=0.1,
            help="Below 0 there are two wells, on the diagonal φ₁ = φ₂.",
            **_page.bound("m2", plane.m2, lambda p, v: replace(p, m2=v)),
        )
        st.slider(
            "λ",
            0.5,
            8.0,
            step=0.1,
            help="The strength of the interaction.",
            **_page.bound("lam", plane.lam, lambda p, v: replace(p, lam=v)),
        )
        color_widget(plane.side.color, bind("color"))
        schedule_widgets(plane.side.schedule, bind("schedule"), plane.side.basis)


@st.fragment
def _picture() -> None:
    _page.rested(mount(message(_page.sent(), _page.revision()), KEY))
    if text := _page.problem():
        st.error(text, icon=":material/error:")
    _page.write_link()


def section() -> None:
    """Draw the plane with its controls."""
    _page.prepare(Plane)
    _sidebar(_page.current())
    _picture()
    st.caption(
        "φ⁴ on two sites, where everything is exact: the density by quadrature, its score, and "
        "with it the lines along which the probability flow carries noise to data. The noise has "
        "a width along each of the two modes, k = 0 (both sites alike) and k = π (opposite); its "
        "colour is the shape of the ring, and Λ(t) decides which mode is lost first."
    )
