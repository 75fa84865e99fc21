"""The renormalization group backwards, on the Lattice page: fields that grow octave by octave."""

import math
from collections.abc import Sequence

import streamlit as st
from torch import Tensor

from pages._lattice import configurations, growth, model_menu
from pages._lattice.growth import HALF, MAX_SIDE, Fields, Growth, Octave
from pages._lattice.state import Theory
from pages._sampling import models
from pages._shared import address, comparisons, jobs, pictures, plots
from pages._shared.observables import SYMBOLS
from pages._shared.plots import Curve
from rgdiff_core.data.ensembles import EnsembleInfo

__all__ = ["draw"]

SHOWN, TILE = 2, 190  # fields, and the side of a picture in pixels
STARTS, OCTAVES = (4, 8, 16), (1, 2, 3, 4, 5)
MEASURED = ("susceptibility", "binder", "correlation_length", "phi2", "energy")
COLORS = (plots.ORANGE, plots.BLUE, plots.GREEN, plots.PURPLE, plots.GREY)  # of octaves


def draw(theory: Theory, listed: list[EnsembleInfo], info: EnsembleInfo | None) -> None:
    """Draw the choice of what is grown, and the octaves that are there."""
    del listed, info
    st.header("The renormalization group, backwards")
    st.markdown(
        "The renormalization group discards short-wavelength (fine) modes. A universal model "
        "draws them again: with the **long-wavelength (coarse) modes** of a field as a "
        "condition, it samples the rest on a lattice of **twice the side**, octave after octave, "
        "also on sizes that it was never trained on. A model of *inverse block spins* is given "
        "the **averages of 2×2 blocks** instead and draws the details of each. Each lattice is "
        "compared with HMC of the same size. *Universal* means an any-schedule model, conditioned "
        "on the noise level at each scale; it has nothing to do with universality classes."
    )
    listed_models = model_menu.listed(growth.grows).items()
    menu = {name: each for name, each in listed_models if name.split("/")[0] != "free"}
    if not menu:
        st.info(
            "There is no model on this machine that can grow fields: train a universal lattice "
            "network on Fourier modes on the Training page.",
            icon=":material/rocket_launch:",
        )
        return
    wanted = _chosen(menu, theory)
    if wanted is None:
        return
    _, action = menu[wanted.model]
    if action != theory.action:
        st.caption(
            f"Fields of the model's own theory, m² = {action.m2:g}, λ = {action.lam:g}, not of "
            "the one in the sidebar.".replace("-", "−")
        )
    task = growth.find(wanted)
    if task is None or (task.ended and not task.result):
        st.button(
            "Grow",
            type="primary",
            icon=":material/potted_plant:",
            on_click=growth.begin,
            args=(wanted,),
            help="In the background, with progress; it can be cancelled.",
        )
    busy = task is not None and task.waited_for
    octaves: Sequence[Octave] = (task and (task.result or task.live)) or ()
    st.fragment(_progress, run_every=1.0 if busy else None)(wanted, busy, len(octaves))
    if octaves:
        _pictures(octaves)
        _table(octaves)
        _spectra(octaves)
    if octaves and len(octaves) == wanted.octaves and not octaves[0].blocks:
        _take_over(wanted, octaves)


def _chosen(menu: model_menu.Menu, theory: Theory) -> Growth | None:
    """Draw the menus and return what they say, None where that does not exist."""
    first, second, third = st.columns([3, 1, 2], vertical_alignment="bottom")
    help = "A universal model of a lattice network; what it was trained on is in its name."
    model = model_menu.choose(first, menu, theory, "grown", help)
    start = address.menu(
        second,
        "From side",
        STARTS,
        default=8,
        key="grow-from",
        help="Side of the coarse fields: the coarse modes, or block averages, of HMC fields on "
        "twice the side.",
    )
    most = int(math.log2(MAX_SIDE // start))
    octaves = address.menu(
        third,
        "To side",
        OCTAVES[:most],
        default=2,
        key="grow-octaves",
        format_func=lambda n: f"{start * 2**n}",
        help="The side is doubled until then. Each octave costs four times the one before.",
    )
    if model is None:
        return None
    try:
        return Growth(model, models.version(model), start, octaves)
    except ValueError as error:
        st.error(str(error), icon=":material/error:")
        return None


def _progress(wanted: Growth, busy: bool, drawn: int) -> None:
    """Draw how far the work is, and the page again when more octaves are there than are drawn."""
    task = growth.find(wanted)
    if task is None:
        st.info(
            "Press **Grow**: up to 32×32 it takes about half a minute, most of it HMC to compare "
            "with.",
            icon=":material/rocket_launch:",
        )
        return
    jobs.watch([task.key], "grow", busy)
    if len(task.live or ()) > drawn:
        st.rerun()


def _bound(fields: Tensor) -> float:
    """Return |φ| at the ends of the colour map: most sites lie within."""
    return float(fields.abs().flatten().kthvalue(int(0.999 * fields.numel()) or 1).values) or 1.0


def _pictures(octaves: Sequence[Octave]) -> None:
    """Draw the same fields ever finer, from the left to the right."""
    bound, numbers = _bound(octaves[0].reference.x), growth.lineage(octaves, SHOWN)
    shown = [("given", octaves[0].given[numbers[0]])]
    shown += [
        (f"drawn in {plots.short(each.grown.seconds)} s", each.grown.x[own])
        for each, own in zip(octaves, numbers, strict=True)
    ]
    for column, (what, fields) in zip(st.columns(len(shown)), shown, strict=True):
        side = fields.shape[-1]
        tiles = pictures.pixels(fields, -bound, bound, "diverging")
        captions = [f"{side}×{side}, field {i + 1}" for i in range(len(tiles))]
        column.html(plots.tiles(tiles, captions, f"{side}×{side}, {what}", size=TILE))
    st.html(configurations.bar(bound))


def _table(octaves: Sequence[Octave]) -> None:
    rows = []
    for each in octaves:
        side = each.grown.x.shape[-1]
        for name, found in (("grown", each.grown), ("HMC", each.reference)):
            row = {"lattice": f"{side}×{side}", "fields": f"{name}, {len(found.x):,}"}
            for quantity in MEASURED:
                row[SYMBOLS[quantity]] = _told(found, each.reference, quantity)
            rows.append(row | {"seconds": plots.short(found.seconds)})
    st.dataframe(rows, hide_index=True, width="stretch")
    for each in octaves:
        _warn(f"At {each.grown.x.shape[-1]}×{each.grown.x.shape[-1]}", each.grown, each.reference)
    st.caption(
        "After a number of grown fields: by how many standard errors it differs from HMC, in "
        "chains that the fields were not grown from. "
        "In the first octave the coarse part is given, and with it most of χ, U₄ and ξ: what "
        "the model is responsible for there are ⟨φ²⟩ and E. From the second octave on, the "
        "coarse part is that of the fields before, and errors add up."
    )


def _told(found: Fields, reference: Fields, name: str) -> str:
    here, there = found.observables[name], reference.observables[name]
    text, off = plots.bracketed(here), here.deviation(there)
    if found is not reference and math.isfinite(off):
        text += f", {off:+.1f} σ"
    return text.replace("-", "−")


def _warn(where: str, found: Fields, reference: Fields) -> None:
    """Warn where so few fields dominate errors that a small deviation says nothing."""
    wild = growth.dominated(found, reference)
    titles = [SYMBOLS[name] for name in MEASURED if name in wild]
    if titles:
        st.warning(
            f"{where}, a few of the model's fields dominate the error of {', '.join(titles)}: "
            f"per field it is over {growth.HEAVY:.0f} times that of HMC, so that a small "
            "deviation in σ is not agreement.",
            icon=":material/warning:",
        )


def _spectra(octaves: Sequence[Octave]) -> None:
    """Draw the spectra of grown fields over hybrid Monte Carlo's and, below, their ratios."""
    curves, ratios = [], []
    for each, color in zip(octaves, COLORS, strict=False):
        side = each.grown.x.shape[-1]
        there, here, title = each.reference.spectrum, each.grown.spectrum, f"{side}×{side}"
        points = {"points": True, "error": here.error}
        curves.append(Curve(f"HMC, {title}", there.momentum, there.power, color))
        curves.append(Curve(f"grown, {title}", here.momentum, here.power, color, **points))
        ratios.append(comparisons.quotient(f"grown, {title}", color, here, there))
    figure = plots.log_log(curves, "k̂ in radians per lattice spacing", "power per mode")
    plots.add_ratios(figure, ratios, "grown / HMC")
    alt = "Spectra of grown fields and of HMC, and their ratio"
    st.plotly_chart(figure, key="grow-spectra", config=plots.BAR, alt=alt)


@st.fragment
def _take_over(wanted: Growth, octaves: Sequence[Octave]) -> None:
    st.subheader("Where the model takes over")
    left, right = st.columns([1, 3], vertical_alignment="bottom")
    sides = wanted.sides
    side = address.menu(
        left,
        "Lattice",
        sides,
        default=sides[0],
        key="grow-at",
        format_func=lambda side: f"{side}×{side}",
        help="HMC fields on this lattice.",
    )
    cutoff = right.slider(
        "Modes kept, up to this fraction of k_max",
        0.0,
        1.0,
        0.4,
        0.05,
        key="grow-cutoff",
        bind="query-params",
        help="Long-wavelength modes stay as they are, the model draws the short-wavelength ones, "
        "with the same noise at every cutoff. At 0 it draws all.",
    )
    octave = octaves[sides.index(side) if side in sides else 0]
    try:
        x = growth.taken_over(wanted, octave.origin.shape[-1], cutoff, octave)
    except ValueError as error:
        st.error(str(error), icon=":material/error:")
        return
    drawn = Fields.of(x, min(len(x), HALF), 0.0)
    _side_by_side(octave.beginning, x, drawn, octave.reference)


def _side_by_side(own: Tensor, x: Tensor, drawn: Fields, reference: Fields) -> None:
    bound = _bound(reference.x)
    left, middle, right = st.columns([2, 2, 3])
    for column, fields, title in (
        (left, own, "HMC"),
        (middle, x, "its coarse modes, and the model's fine ones"),
    ):
        tiles = pictures.pixels(fields[:SHOWN], -bound, bound, "diverging")
        captions = [f"{title}, field {i + 1}" for i in range(len(tiles))]
        column.html(plots.tiles(tiles, captions, title, size=TILE))
    rows = [
        {"": SYMBOLS[name], "drawn": _told(drawn, reference, name)}
        | {"HMC": _told(reference, reference, name)}
        for name in MEASURED
    ]
    right.dataframe(rows, hide_index=True, width="stretch")
    with right:
        _warn("Here", drawn, reference)
    right.caption(
        f"Means over {len(x)} fields; HMC is of other chains than the modes they were grown from."
    )
