"""Results of the literature, and whether the numbers here agree with them."""

from collections.abc import Mapping

import streamlit as st

from pages._results.provenance import below, bracketed
from pages._results.studies import Found
from rgdiff_core.study.images.verdict import Known, Said, known_results

__all__ = ["draw"]

SIGNS: Mapping[Said, str] = {
    "agrees": ":green[:material/check: agrees]",
    "disagrees": ":red[:material/close: disagrees]",
    "can't say": ":gray[:material/help: can't say]",
}


def draw(study: Found) -> None:
    """Draw the table."""
    known = known_results(study)
    st.markdown(
        "| what was reported | here | the numbers that decide |\n|:--|:--|:--|\n"
        + "\n".join(map(_row, known))
    )
    st.caption(
        "A difference counts where it is outside of Student's 95 % interval; on par means that "
        "the whole interval is within a tenth of the number that is compared with. What was not "
        "measured can't be said. Our networks are smaller, and trained for less, than those of "
        "the papers."
    )
    below(
        study,
        "known",
        [{"paper": each.paper, "claim": each.claim, "here": each.said} for each in known],
        "ARM.bits, ARM.samples-STEPS",
    )


def _row(known: Known) -> str:
    numbers = "; ".join(
        f"{title}: {bracketed(number['value'], number.get('error'))}"
        for title, number in known.numbers
    )
    unit = f" ({known.unit})" if numbers and known.unit else ""
    return f"| {known.claim} *{known.paper}* | {SIGNS[known.said]} | {numbers or '–'}{unit} |"
