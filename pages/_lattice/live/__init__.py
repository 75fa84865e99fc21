"""The phase diagram with a star that is dragged, and fields that order meanwhile.

The browser asks for the next frame when it has the last one. A frame takes the fields of the
session a few trajectories further at the couplings where the star is now; they are out of
equilibrium while it moves. When it rests, its couplings become the page's theory.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import streamlit as st
import torch
from streamlit.components.v2 import component
from torch import Tensor

from pages._lattice import state
from pages._lattice.quantities import in_symbols
from pages._lattice.state import Theory
from pages._shared import pictures, plots
from pages._shared.component import pack
from rgdiff_core.lattice import HMC, Phi4
from rgdiff_core.lattice.chains import relaxed
from rgdiff_core.spec import check_range, check_whole

__all__ = ["Frame", "Star", "draw", "first", "following", "returned"]

SIZE, CHAINS, TRAJECTORIES = 32, 8, 2
START = 12  # trajectories before the first picture
KEY = "lattice-live"
_HERE = Path(__file__).parent
_CONTAINER = _HERE.parents[1] / "_shared" / "component" / "container.js"
SETTINGS = HMC(cluster=1)


@dataclass(frozen=True)
class Star:
    """Where the browser has the star.

    Attributes:
        m2: m².
        lam: λ.
        seq: Which request this is.
        settled: Whether the star rests.
    """

    m2: float
    lam: float
    seq: int
    settled: bool

    @classmethod
    def read(cls, told: Mapping[str, Any]) -> "Star":
        """Return what the browser says; raises `ValueError` for nonsense."""
        m2, lam, seq = (told.get(name) for name in ("m2", "lam", "seq"))
        if not (isinstance(m2, int | float) and isinstance(lam, int | float)):
            raise ValueError("the map sent no couplings.")
        check_range("m²", m2, -1e3, 1e3)
        check_range("λ", lam, 0, 1e3)
        if not isinstance(seq, int):
            raise ValueError("the map sent no number of its request.")
        check_whole("the number of a request", seq, 0, 2**53)
        return cls(float(m2), float(lam), seq, bool(told.get("settled")))


@dataclass(frozen=True, eq=False)
class Frame:
    """The fields as they are now.

    Attributes:
        fields: (n, L, L).
        star: The couplings that they were moved at last.
        problem: Why they could not be moved, "" where they were.
        returns: How often the star went to the page's theory without being dragged there.
    """

    fields: Tensor
    star: Star
    problem: str = ""
    returns: int = 0


def first(theory: Theory) -> Frame:
    """Return fields from random ones, near those of a theory."""
    noise = 0.3 * torch.randn((CHAINS, SIZE, SIZE), generator=_generator(0))
    star = Star(theory.m2, theory.lam, 0, True)
    return _moved(Frame(noise, star), star, START)


def following(last: Frame, star: Star) -> Frame:
    """Return the next frame, with the fields moved on at the star's couplings."""
    return last if star.seq <= last.star.seq else _moved(last, star, TRAJECTORIES)


def returned(last: Frame, theory: Theory) -> Frame:
    """Return the frame at a theory, with the fields moved to it where the star was elsewhere."""
    if (last.star.m2, last.star.lam) == (theory.m2, theory.lam):
        return last
    star = Star(theory.m2, theory.lam, last.star.seq, True)
    return _moved(replace(last, returns=last.returns + 1), star, START)


def _moved(last: Frame, star: Star, count: int) -> Frame:
    try:
        action = Phi4(star.m2, star.lam)
        generator = _generator(star.seq + (last.returns << 32))
        fields = relaxed(action, last.fields, count, generator, settings=SETTINGS)
    except ValueError as error:
        return replace(last, star=star, problem=in_symbols(str(error)))
    return replace(last, fields=fields, star=star, problem="")


def _generator(number: int) -> torch.Generator:
    return torch.Generator().manual_seed(number)


@st.fragment
def draw(theory: Theory, line: Sequence[tuple[float, float]], known: Sequence[Phi4]) -> None:
    """Draw the map and the fields, answer the browser, and take the theory where it rests.

    Arguments:
        theory: The page's.
        line: (m², λ) along the critical line.
        known: Theories of the literature.
    """
    frame: Frame = st.session_state.get(KEY) or first(theory)
    told = (st.session_state.get(f"{KEY}-component") or {}).get("client_state")
    asked = settled = False
    if told is not None:
        try:
            star = Star.read(told)
            asked = star.seq > frame.star.seq
            settled = asked and star.settled
            frame = following(frame, star)
        except ValueError as error:
            frame = replace(frame, problem=str(error))
    if not asked:
        frame = returned(frame, theory)
    elif settled and frame.problem:  # the star goes back, and the reason stays to be read
        frame = replace(returned(frame, theory), problem=frame.problem)
    st.session_state[KEY] = frame
    _mount(message(frame, theory, line, known), f"{KEY}-component")
    if settled and not frame.problem:
        where = frame.star
        state.attempt(lambda: replace(theory, m2=where.m2, lam=where.lam))
        st.rerun()


def message(
    frame: Frame, theory: Theory, line: Sequence[tuple[float, float]], known: Sequence[Phi4]
) -> bytes:
    """Return what the browser is sent."""
    fields = frame.fields[:, None]
    bound = float(fields.abs().quantile(0.99)) or 1.0
    order = float(fields.mean((1, 2, 3)).abs().mean())
    star = frame.star
    size = "×".join(map(str, fields.shape[-2:]))
    told = f"m² = {star.m2:.3g}, λ = {star.lam:.3g} · ⟨|M|⟩ of these {size} fields: {order:.3f}"
    header = {
        "revision": f"{theory.m2}/{theory.lam}/{frame.returns}",
        "star": [theory.m2, theory.lam],
        "x": [-8, 2],
        "y": [0, 10],
        "line": [[*point] for point in line if point[0] >= -8],
        "known": [[each.m2, each.lam] for each in known],
        "colors": {"line": plots.ORANGE, "star": plots.BLUE, "known": plots.PURPLE},
        "seq": star.seq,
        "told": told.replace("-", "−"),
        "problem": frame.problem,
    }
    return pack(header, {"fields": pictures.pixels(fields, -bound, bound, "diverging")})


@cache
def _component() -> Callable[..., Any]:
    css, html, js = (_HERE / f"live.{kind}" for kind in ("css", "html", "js"))
    script = "\n".join(path.read_text("utf-8") for path in (_CONTAINER, js))
    return component(
        "rgdiff_live", html=html.read_text("utf-8"), css=css.read_text("utf-8"), js=script
    )


def _mount(data: bytes, key: str) -> None:
    _component()(data=data, key=key, on_client_state_change=lambda: None)
