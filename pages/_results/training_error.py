"""Beside a perfect denoiser's gap: what trained networks add to it, and the Gaussian law."""

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from pages._results.provenance import download
from pages._results.studies import Found, read_all
from pages._shared.tables import columns, pair, table
from rgdiff_core.spec import from_dict
from rgdiff_core.study.lattice.schedule_summary import same_curve
from rgdiff_core.study.lattice.verdict import combined_error

__all__ = ["draw", "gaussian_rows", "trained_rows"]


def draw(theories: Sequence[Found], steps: int) -> None:
    """Draw both tables; nothing of what there is no study of.

    Arguments:
        theories: of `rgdiff study schedules`.
        steps: N.
    """
    studies, _ = read_all()
    if rows := trained_rows(theories, studies, steps):
        st.markdown(
            f"A trained network's {steps} steps lack what a perfect denoiser's lack, the *gap*, "
            "and what the network has not learnt, its *training error*, here that of infinitely "
            "many steps: the distance in the tables below. What a schedule saves in the first is "
            "lost where the network learns it less well."
        )
        told = {
            "theory": st.column_config.TextColumn("theory", pinned=True),
            "arm": st.column_config.TextColumn("method", width=265),
            "schedule": st.column_config.TextColumn("schedule"),
        }
        told |= columns("gap", f"gap in {steps} steps, nats", "%.3f")
        told |= columns("error", "training error, nats", "%.3f")
        table(rows, told)
        download("phi4", "training-error", rows)
    if rows := gaussian_rows(theories, steps):
        st.markdown(
            "**For Gaussian data** the stochastic (shell) sampler's gap is zero in any number of "
            f"steps. DDIM's is not: in {steps} steps of equal log-SNR it is about c (range/N)² "
            "per site. White noise has to pass the log-SNR range Γ of one component and that "
            "between the loudest and the faintest, ln κ, so that it costs ((Γ + ln κ)/Γ)² times "
            "as much as matched noise: it grows as the logarithm of κ, squared. At the best steps "
            "it hardly grows: see *Larger lattices*."
        )
        told = {"theory": st.column_config.TextColumn("theory", pinned=True)}
        told |= {
            name: st.column_config.NumberColumn(title, format=digits)
            for name, title, digits in (
                ("condition", "κ", "%.0f"),
                ("white", "white noise, nats per site", "%.4f"),
                ("matched", "matched noise, nats per site", "%.4f"),
                ("ratio", "ratio", "%.2f"),
                ("limit", "((Γ + ln κ)/Γ)²", "%.2f"),
            )
        }
        st.dataframe(rows, hide_index=True, width="stretch", column_config=told)


def trained_rows(
    theories: Sequence[Found], studies: Mapping[str, Found], steps: int
) -> list[dict[str, Any]]:
    """Return the gap of a perfect denoiser beside each method's training error, where the
    method's process, or a scalar one along the same curve of noise levels, was measured.
    """
    rows = []
    for theory in theories:
        gaps = {row["name"]: row["gap"]["best"][str(steps)] for row in theory["processes"]}
        for arm in studies.get(theory["data"], {}).get("arms", ()):
            name = same_curve(from_dict(arm["color"]), from_dict(arm["schedule"]))
            if name not in gaps:
                continue
            kl = arm["metrics"]["kl"]
            rows.append(
                {
                    "theory": theory["title"],
                    "arm": arm["title"],
                    "schedule": arm["schedule_title"],
                }
                | pair("gap", gaps[name])
                | pair("error", {**kl, "error": combined_error(kl)})
            )
    return rows


def gaussian_rows(theories: Sequence[Found], steps: int) -> list[dict[str, Any]]:
    """Return what steps of DDIM cost Gaussian data of each theory's size and κ."""
    rows = []
    for theory in theories:
        if not theory.get("gaussian_law"):
            continue
        law = theory["gaussian_law"][str(steps)]
        ratio = law["white"] / law["matched"]
        titles = {"theory": theory["title"], "condition": theory["condition"]}
        rows.append(titles | law | {"ratio": ratio})
    return rows
