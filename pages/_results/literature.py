"""Results of the literature, and whether the numbers here agree with them."""

import streamlit as st

from pages._results.provenance import below
from pages._results.studies import Found
from pages._shared.tables import bracketed
from rgdiff_core.study.images.verdict import Known, known_results

__all__ = ["draw"]

CONFIRMED = ":green[:material/check:] **Confirmed here**"
CONTRADICTED = ":red[:material/close:] **Contradicted here**"
UNDECIDED = ":gray[:material/help:] **Not decided here: the difference is within the errors**"
UNMEASURED = ":gray[:material/help:] **Not decided here: not measured**"


def draw(study: Found) -> None:
    """Draw what is confirmed, what is contradicted, and what is not decided."""
    known = known_results(study)
    for title in (CONFIRMED, CONTRADICTED, UNDECIDED, UNMEASURED):
        if mine := [each for each in known if _title(each) == title]:
            st.markdown("\n".join([title, "", *map(_line, mine)]))
    st.caption(
        "A difference counts where it lies outside Student's 95 % interval; on par means that the "
        "whole interval lies within a tenth of the number it is compared with. Our networks are "
        "smaller than those of the papers, and were trained for a shorter time."
    )
    below(
        study,
        "known",
        [{"paper": each.paper, "claim": each.claim, "here": each.said} for each in known],
        "ARM.bits, ARM.samples-STEPS",
    )


def _title(known: Known) -> str:
    if known.said == "can't say":
        return UNDECIDED if known.numbers else UNMEASURED
    return CONFIRMED if known.said == "agrees" else CONTRADICTED


def _line(known: Known) -> str:
    numbers = "; ".join(
        f"{title}: {bracketed(number['value'], number.get('error'))}"
        for title, number in known.numbers
    )
    unit = f" ({known.unit})" if numbers and known.unit else ""
    return f"- {known.claim} *{known.paper}.* {numbers}{unit}"
