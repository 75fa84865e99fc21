"""The verdict in sentences, every word of which follows from the numbers."""

from collections.abc import Mapping

import streamlit as st

from pages._shared.resultsdata import Found
from pages._shared.resultsorigin import bracketed
from rgdiff_core.study.verdict import Difference, Outcome, Verdict, combined_error, phi4_verdict

__all__ = ["CLAIM", "MEASURE", "draw", "phrase", "sentence"]

CLAIM = (
    "**The claim:** noise with the spectrum of the data, erased scale by scale, makes a better "
    "generative model than standard diffusion, at equal network, steps and seeds."
)
MEASURE = (
    "KL(p‖q) is the distance of the model q from the theory p, in nats per field: how many more "
    "nats a code made for q spends on a field of p than the best code does. 0 is perfect. On φ⁴ "
    "it is absolute, since p is known. Here it is that of the stochastic sampler in infinitely "
    "many steps, by the denoiser's squared error. Errors are one standard error, over seeds and "
    "held-out fields; two arms differ where their difference is outside of Student's 95 % "
    "interval."
)
SIGNS: Mapping[Outcome, tuple[str, str]] = {
    "better": (":material/trending_up:", "green"),
    "worse": (":material/trending_down:", "red"),
    "same": (":material/drag_handle:", "gray"),
    "unknown": (":material/help:", "gray"),
}


def phrase(difference: Difference, unit: str = "nats") -> str:
    """Return how two arms differ, in words with numbers."""
    size = bracketed(abs(difference.value), difference.error)
    sigmas = difference.sigmas
    if difference.outcome == "unknown" or sigmas is None:
        side = "lower" if difference.value < 0 else "higher"
        return f"{side} by {size} {unit}; with one seed nobody can say whether that means anything"
    off = f"{size} {unit}, {sigmas:.1f} standard errors"
    if difference.outcome == "same":
        return f"no difference within errors ({off})"
    return f"{difference.outcome} by {off}"


def sentence(verdict: Verdict) -> str:
    """Return what a theory's numbers say of the claim, and which arm is the best."""
    ours, base = (
        bracketed(arm["metrics"]["kl"]["value"], combined_error(arm["metrics"]["kl"]))
        for arm in (verdict.ours, verdict.baseline)
    )
    text = (
        f"matched noise with a component-wise schedule is {ours} nats from the theory, standard "
        f"diffusion {base}: **{phrase(verdict.difference)}**. "
    )
    text += _best(verdict)
    return text if verdict.complete else f"{text} Not all runs are there yet."


def _best(verdict: Verdict) -> str:
    metric = verdict.best["metrics"]["kl"]
    number = bracketed(metric["value"], combined_error(metric))
    text = f"The lowest of all arms: {verdict.best['title']}, {number}"
    if verdict.lead is not None and verdict.best is not verdict.ours:
        text += f", against standard diffusion {phrase(verdict.lead)}"
    if verdict.tied:
        text += f"; within errors of it: {'; '.join(verdict.tied)}"
    return f"{text}."


def draw(studies: Mapping[str, Found]) -> None:
    """Draw the claim, and the verdict of every theory."""
    st.markdown(CLAIM, help=MEASURE)
    for study in studies.values():
        verdict = phi4_verdict(study)
        title = study["theory"]["title"]
        if verdict is None:
            st.markdown(f":gray[:material/hourglass_empty:] **φ⁴, {title}:** no verdict yet.")
            continue
        sign, color = SIGNS[verdict.difference.outcome]
        st.markdown(f":{color}[{sign}] **φ⁴, {title}:** {sentence(verdict)}")
