"""The verdict in sentences, every word of which follows from the numbers."""

from collections.abc import Mapping, Sequence

import streamlit as st

from pages._results import studies as results_studies
from pages._results.headline import joined
from pages._results.studies import Found
from pages._shared.tables import bracketed
from rgdiff_core.study.images import verdict as images_verdict
from rgdiff_core.study.lattice.verdict import (
    Difference,
    LatticeVerdict,
    Outcome,
    combined_error,
    phi4_verdict,
)

__all__ = ["CLAIM", "MEASURE", "METHOD_TITLES", "draw", "image_sentence", "phrase", "sentence"]

CLAIM = (
    "**The claim:** noise with the spectrum of the data, erased scale by scale, makes a better "
    "generative model than standard diffusion, at equal network, steps and seeds."
)
MEASURE = (
    "KL(p‖q) is the distance of the model q from the theory p, in nats per field: how many more "
    "nats a code made for q spends on a field of p than the best code does. 0 is perfect. On φ⁴ "
    "it is absolute, since p is known. Here it is that of the stochastic sampler in infinitely "
    "many steps, by the denoiser's squared error: an upper bound of KL(p‖q). Errors are one "
    "standard error, over seeds and held-out fields. Two methods differ where Student's test says "
    "so at 95 %, with Holm's correction for all; they are equal where the 95 % interval is "
    "inside a margin that was stated beforehand, a tenth of standard diffusion's number; "
    "otherwise they are not distinguishable. In infinitely many steps a perfect network gives "
    "every schedule the same distance, so that schedules can only differ by what the network did "
    "not learn, and by the number of steps."
)
ENOUGH = 2048  # samples: the features' covariance has as many dimensions
METHOD_TITLES: Mapping[str, str] = {
    "interaction": "Interaction",
    "dpmpp_2m": "DPM-Solver++",
    "ancestral": "Ancestral",
}
SIGNS: Mapping[Outcome, tuple[str, str]] = {
    "better": (":material/trending_up:", "green"),
    "worse": (":material/trending_down:", "red"),
    "same": (":material/drag_handle:", "gray"),
    "undecided": (":material/question_mark:", "gray"),
    "unknown": (":material/help:", "gray"),
}


def phrase(difference: Difference, unit: str = "nats") -> str:
    """Return how two arms differ, in words with numbers."""
    size = f"{bracketed(abs(difference.value), difference.error)} {unit}".rstrip()
    sigmas = difference.sigmas
    if difference.outcome == "unknown" or sigmas is None:
        side = "lower" if difference.value < 0 else "higher"
        return f"{side} by {size}; with a single seed, significance cannot be assessed"
    off = f"{size}, {sigmas:.1f} standard errors"
    if difference.outcome in ("same", "undecided"):
        return _unresolved(difference, unit)
    return f"{difference.outcome} by {off}"


def _unresolved(difference: Difference, unit: str) -> str:
    """Return what is known of a difference that no test finds, its value first."""
    low, high = difference.interval or (0.0, 0.0)
    word = "equal" if difference.outcome == "same" else "not distinguishable"
    value = f"{bracketed(difference.value, difference.error)} {unit}".rstrip()
    margin = "" if difference.margin is None else f"margin ±{difference.margin:.2g}, "
    known = f"{value} (95 % interval {low:+.2g} to {high:+.2g}, {margin}Student's test)"
    return f"{word}, {known}".replace("-", "−")


def sentence(verdict: LatticeVerdict) -> str:
    """Return what a theory's numbers say of the claim, and which arm is the best."""
    ours, base = (
        bracketed(arm["metrics"]["kl"]["value"], combined_error(arm["metrics"]["kl"]))
        for arm in (verdict.ours, verdict.baseline)
    )
    text = (
        f"matched noise with a component-wise schedule is at most {ours} nats from the theory, "
        f"standard diffusion {base}: **{phrase(verdict.difference)}**. "
    )
    if verdict.process is not None:
        text += (
            "Of the process alone, against white noise with a scalar schedule and the same "
            f"denoiser: **{phrase(verdict.process)}**. "
        )
    text += _best(verdict) + _in_few_steps(verdict)
    return text if verdict.complete else f"{text} Not all runs are finished yet."


def _best(verdict: LatticeVerdict) -> str:
    metric = verdict.best["metrics"]["kl"]
    number = bracketed(metric["value"], combined_error(metric))
    text = f"The lowest of all methods: {verdict.best['title']}, {number}"
    if verdict.lead is not None and verdict.best is not verdict.ours:
        text += f", against standard diffusion {phrase(verdict.lead)}"
    if verdict.tied:
        text += f"; not distinguishable from it: {'; '.join(verdict.tied)}"
    return f"{text}."


def _in_few_steps(verdict: LatticeVerdict) -> str:
    """Return how far the susceptibility is off in the numbers of steps that were measured."""
    parts = [
        f"{METHOD_TITLES.get(row.method, row.method)} in {joined(list(map(str, row.steps)))} "
        f"steps {_percents(row.ours)} % (standard diffusion {_percents(row.baseline)} %)"
        for row in verdict.few_steps
    ]
    return f" At equal cost, the error of the susceptibility is: {'; '.join(parts)}." * bool(parts)


def _percents(numbers: Sequence[Found]) -> str:
    signs = ("−" if number["value"] < 0 else "+" for number in numbers)
    sizes = (bracketed(abs(number["value"]), combined_error(number)) for number in numbers)
    return ", ".join(f"{sign}{size}" for sign, size in zip(signs, sizes, strict=True))


def image_sentence(study: Found, verdict: images_verdict.ImageVerdict) -> str:
    """Return what CIFAR-10's numbers say of the claim, and which arms are the best."""
    parts = []
    for name, off in verdict.differences.items():
        title, unit = _measure(study, name)
        ours, base = (
            bracketed(arm["metrics"][name]["value"], arm["metrics"][name]["error"])
            for arm in (verdict.ours, verdict.baseline)
        )
        parts.append(
            f"{title} of a model trained on matched noise with a component-wise schedule {ours}, "
            f"of standard diffusion {base}: **{phrase(off, unit)}**"
        )
    best = []
    for name, arm in verdict.best.items():
        number = bracketed(arm["metrics"][name]["value"], arm["metrics"][name]["error"])
        short, _, _ = _measure(study, name)[0].partition(" (")
        best.append(f"by {short} {results_studies.label(arm)}, {number}")
    return (
        f"{'. '.join(parts)}. The two models differ in loss, network input and conditioning as "
        f"well as in the process. The best of all methods: {'; '.join(best)}."
    )


def _measure(study: Found, name: str) -> tuple[str, str]:
    """Return what a measure is called in a sentence, and its unit."""
    steps = study["budget"]["shown"]
    return {
        "bits": ("bits/dim", "bits/dim"),
        "frechet_cifar10": (
            f"Fréchet distance of {_samples(study)} samples in {steps} steps (features of a "
            "classifier trained here, not the Inception FID)",
            "",
        ),
        "frechet_inception": (f"FID of {_samples(study)} samples in {steps} steps", ""),
    }[name]


def _samples(study: Found) -> str:
    """Return how many samples are compared, and what so few say."""
    count = study["budget"]["samples"]
    return f"{count:,}" if count >= ENOUGH else f"{count:,}, too few to rank methods,"


def draw(studies: Mapping[str, Found]) -> None:
    """Draw the claim, and the verdict of every theory and data set."""
    st.markdown(CLAIM, help=MEASURE)
    for study in studies.values():
        with results_studies.shown(study):
            title, (sign, color, text) = results_studies.title_of(study), _verdict(study)
            st.markdown(f":{color}[{sign}] **{title}:** {text}")


def _verdict(study: Found) -> tuple[str, str, str]:
    """Return a sign, its colour, and a sentence."""
    missing = "no verdict yet: a method of the claim has not been measured."
    nothing = ":material/hourglass_empty:", "gray", missing
    if "theory" in study:
        verdict = phi4_verdict(study)
        if verdict is None:
            return nothing
        sign, color = SIGNS[verdict.difference.outcome]
        return sign, color, sentence(verdict)
    found = images_verdict.image_verdict(study)
    if found is None or not found.differences:
        return nothing
    outcomes: list[Outcome] = [off.outcome for off in found.differences.values()]
    outcomes.sort(key=lambda each: each not in ("better", "worse"))  # those that decide first
    mixed = {"better", "worse"} <= set(outcomes)
    sign, color = (":material/swap_vert:", "orange") if mixed else SIGNS[outcomes[0]]
    return sign, color, image_sentence(study, found)
