"""The Lattice page's sidebar: the theory, in whichever convention one thinks."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import streamlit as st

from pages._lattice import state
from pages._lattice.quantities import in_symbols
from pages._lattice.state import Theory, bound, current
from pages._shared import address
from pages._shared.chosen import kept, number
from rgdiff_core.lattice import Phi4
from rgdiff_core.lattice.critical import LITERATURE, NamedTheory, critical_coupling, phase

__all__ = ["CONVENTIONS", "named", "sidebar", "title", "where"]

Set = Callable[[Theory, float], Theory]


def sidebar() -> Theory:
    """Draw the controls of the theory, and return it."""
    with st.container(border=True):
        st.markdown("**Theory**")
        if text := state.problem():
            st.error(in_symbols(text), icon=":material/error:")
        _presets()
        theory = current()
        number(
            st,
            "Size L",
            2,
            help="The lattice has L × L sites and periodic boundaries. 6 to 16 are quick; "
            "at 32 and above sampling takes minutes.",
            **bound("size", theory.size, lambda t, v: replace(t, size=v)),
        )
        convention = address.menu(
            st,
            "Couplings",
            list(CONVENTIONS),
            default=next(iter(CONVENTIONS)),
            key="convention",
            help="Three ways to write the same action. Numbers that are typed in one are "
            "translated into the others.",
        )
        CONVENTIONS[convention](theory)
        _translated(theory, convention)
    return theory


def _presets() -> None:
    theory = current()
    titles = {title(each): each for each in LITERATURE}
    shown = (name for name, each in titles.items() if named(each) == theory)

    def take(name: str | None) -> None:
        if name is not None:
            state.attempt(lambda: named(titles[name]))

    st.selectbox(
        "Published parameters",
        list(titles),
        index=None,
        placeholder="Choose one",
        help="Couplings that papers and this program's data sets use. They are marked in "
        "the map of the view *Theory*, where a click chooses any point.",
        **kept("lattice-preset", next(shown, None), take),
    )


def title(point: NamedTheory) -> str:
    """Return a line for a menu."""
    said = not point.size or f"{point.size}x{point.size}" in point.name
    size = "" if said else f"{point.size}×{point.size}, "
    return f"{point.name} · {size}{point.source.split(',')[0]}"


def named(point: NamedTheory) -> Theory:
    """Return a theory of the literature, on its own lattice where it has one."""
    return Theory(point.action.m2, point.action.lam, point.size or current().size)


def _number(
    name: str,
    label: str,
    value: float,
    low: float,
    high: float,
    step: float,
    help: str,
    make: Set,
) -> None:
    """Draw a field for a number and a slider below it, for the same value."""
    number(st, label, step, format="%.6g", help=help, **bound(name, float(f"{value:.12g}"), make))
    st.slider(
        f"{label}, slider",
        min(low, value),
        max(high, value),
        step=step / 5,
        format="%.3f",
        label_visibility="collapsed",
        **bound(f"{name}-slider", float(value), make),
    )


def _plain(theory: Theory) -> None:
    st.caption(
        r"$S=\sum_x\Big[\sum_\mu(\varphi_{x+\mu}-\varphi_x)^2+m^2\varphi_x^2+\lambda\varphi_x^4\Big]$"
    )
    _number(
        "m2",
        "m²",
        theory.m2,
        -8.0,
        2.0,
        0.1,
        "The bare mass squared, in lattice units. The more negative, the more ordered; with "
        "λ = 0 it must be above 0.",
        lambda t, v: replace(t, m2=v),
    )
    _number(
        "lam",
        "λ",
        theory.lam,
        0.0,
        10.0,
        0.1,
        "The coupling, at least 0. At 0 the field is free, and everything has a closed form.",
        lambda t, v: replace(t, lam=v),
    )


def _hopping(theory: Theory) -> None:
    st.caption(
        r"$S=\sum_x\Big[-2\kappa\sum_\mu\phi_x\phi_{x+\mu}+(1-2\lambda)\phi_x^2+\lambda\phi_x^4\Big]$"
    )
    told = theory.action.to_hopping()
    _number(
        "kappa",
        "κ",
        told.kappa,
        0.05,
        0.5,
        0.005,
        "The hopping parameter, above 0: how strongly neighbours agree. λ stays.",
        lambda t, v: t.at(Phi4.from_hopping(v, t.action.to_hopping().lam)),
    )
    _number(
        "hopping-lam",
        "λ of this convention",
        told.lam,
        0.0,
        2.0,
        0.02,
        "The coupling, at least 0; at 0 the field is free, at ∞ the theory is the Ising model. "
        "κ stays.",
        lambda t, v: t.at(Phi4.from_hopping(t.action.to_hopping().kappa, v)),
    )


def _half(theory: Theory) -> None:
    st.caption(
        r"$S=\sum_x\Big[\tfrac12\sum_\mu(\phi_{x+\mu}-\phi_x)^2+\tfrac12m^2\phi_x^2"
        r"+\tfrac{g}{4!}\phi_x^4\Big]$"
    )
    told = theory.action.to_half()
    _number(
        "half-m2",
        "m²",
        told.m2,
        -8.0,
        2.0,
        0.1,
        "The bare mass squared, the same number in both conventions.",
        lambda t, v: t.at(Phi4.from_half(v, t.action.to_half().g)),
    )
    _number(
        "g",
        "g",
        told.g,
        0.0,
        60.0,
        0.5,
        "The coupling, g = 6λ, at least 0.",
        lambda t, v: t.at(Phi4.from_half(t.m2, v)),
    )


CONVENTIONS: Mapping[str, Callable[[Theory], None]] = {
    "m², λ": _plain,
    "κ, λ": _hopping,
    "½: m², g": _half,
}


def _translated(theory: Theory, convention: str) -> None:
    """Draw the same theory in the conventions that are not shown."""
    hopping, half = theory.action.to_hopping(), theory.action.to_half()
    told = {
        "m², λ": f"m² = {theory.m2:.6g}, λ = {theory.lam:.6g}: the page's own, φ",
        "κ, λ": f"κ = {hopping.kappa:.6g}, λ = {hopping.lam:.6g}; "
        f"φ = {hopping.factor:.4g} × its field",
        "½: m², g": f"m² = {half.m2:.6g}, g = {half.g:.6g}; φ = {half.factor:.4g} × its field",
    }
    lines = [text for name, text in told.items() if name != convention]
    st.caption("The same theory:  \n" + "  \n".join(lines).replace("-", "−"))


def where(theory: Theory) -> str:
    """Return a sentence on which side of the critical line the theory is."""
    if theory.lam == 0:
        return "The free theory: everything has a closed form, and measurements stand beside it."
    if theory.m2 >= 0:
        return "For m² ≥ 0 the symmetry φ → −φ is never broken: the **symmetric** phase."
    try:
        critical, side = critical_coupling(theory.m2), phase(theory.action)
    except ValueError:
        return "The critical line is not tabulated in this range."
    return (
        f"At this m² the infinite lattice is critical at λ = {critical:.4g}; λ = "
        f"{theory.lam:.4g} is on the **{side}** side."
    )
