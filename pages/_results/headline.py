"""What the page opens with: one sentence, and one figure of methods by data sets."""

from collections import Counter
from collections.abc import Mapping, Sequence

import plotly.graph_objects as go
import streamlit as st

from pages._results import figures
from pages._results.figures import Mark
from pages._results.studies import Found, shown, title_of
from pages._shared import plots
from pages._shared.tables import bracketed
from rgdiff_core.study.headline import Effect, effects
from rgdiff_core.study.lattice.verdict import OURS, Difference, Outcome, from_white

__all__ = ["draw", "joined", "nearest", "sentence"]

Effects = Mapping[str, Sequence[Effect]]  # by the name of the data set
METHODS: Mapping[str, tuple[str, str]] = {  # noise and schedule
    "white-scalar": ("white noise", "scalar schedule"),
    "matched-scalar": ("matched noise", "scalar schedule"),
    "white-component": ("white noise", "component-wise schedule"),
    "matched-component": ("matched noise", "component-wise schedule"),
    "other": ("free-theory noise", "inverse RG schedule"),
}
ROWS: Mapping[str, str] = {key: ",<br>".join(each) for key, each in METHODS.items()}
COLORS = (plots.BLUE, plots.GREEN, plots.ORANGE, plots.PURPLE, plots.GREY)
NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
OUTCOMES: Mapping[Outcome, str] = {
    "better": "better",
    "same": "equal",
    "undecided": "not distinguishable",
    "unknown": "not yet comparable",
    "worse": "worse",
}
TWICE = 100.0  # per cent above standard diffusion's distance, where the axis ends


def draw(studies: Mapping[str, Found]) -> None:
    """Draw the sentence and the figure of all that is there; nothing where there is nothing."""
    known: dict[str, Sequence[Effect]] = {}
    for name, study in studies.items():
        with shown(study):
            known[name] = effects(study)
    known = {name: found for name, found in known.items() if found}
    if not known:
        return
    alone = {
        title_of(studies[name]): off
        for name in known
        if "theory" in studies[name] and (off := from_white(studies[name]).get(OURS))
    }
    by_title = {title_of(studies[name]): known[name] for name in known}
    st.markdown(f"{nearest(by_title)} {sentence(by_title, alone)}")
    lattice = [
        each for name, found in known.items() if "theory" in studies[name] for each in found
    ]
    images = [found for name, found in known.items() if "theory" not in studies[name]]
    places = iter(st.columns(bool(lattice) + len(images), gap="medium"))
    if lattice:
        with next(places):
            _lattice(lattice)
    for found in images:
        with next(places):
            _images(found)


def nearest(known: Effects) -> str:
    """Return which method has the lowest number on which data sets, told apart from the next or
    not.
    """
    sets: dict[str, list[str]] = {}
    for title, found in known.items():
        least = min(found, key=lambda each: each.difference.value)
        ahead = least.difference.value < 0
        name = (
            f"{', '.join(METHODS[least.method])}, our denoiser" if ahead else "standard diffusion"
        )
        sets.setdefault(name, []).append(title)
    parts = [
        f"**{name}** on {titles[0] if len(titles) == 1 else _sets(len(titles))}"
        for name, titles in sets.items()
    ]
    return f"Nearest to the data, by the number alone: {'; '.join(parts)}."


def sentence(known: Effects, alone: Mapping[str, Difference] | None = None) -> str:
    """Return how the claimed method came out against standard diffusion, and which other method
    is better most often.

    Arguments:
        known: Effects by what the data set is called.
        alone: By how much the claimed process is off white noise with the same denoiser.
    """
    ours = {title: each for title, found in known.items() for each in found if each.claimed}
    if not ours:
        return "Matched noise with a component-wise schedule has not been measured yet."
    text = (
        f"Compared with standard diffusion on {_sets(len(ours))}, matched noise with a "
        "component-wise schedule is "
        f"**{_outcomes({title: each.difference for title, each in ours.items()})}**"
    )
    wins = Counter(
        method
        for found in known.values()
        for method in {
            each.method
            for each in found
            if not each.claimed and each.difference.outcome == "better"
        }
    )
    for method, _ in wins.most_common(1):
        noise, schedule = METHODS[method]
        text += (
            f". {noise.capitalize()} with a {schedule} and our denoiser (its reference, loss, "
            f"input and conditioning) is **{_outcomes(_of_method(known, method))}**"
        )
    if alone:
        text += (
            f". On {_sets(len(alone))}, compared with white noise, a scalar schedule and the same "
            f"denoiser, so that only the process differs, it is **{_outcomes(alone)}**"
        )
    return f"{text}."


def _of_method(known: Effects, method: str) -> Mapping[str, Difference]:
    """Return a method's difference on every data set, the first where several were trained."""
    found = {
        title: [each.difference for each in effects if each.method == method]
        for title, effects in known.items()
    }
    return {title: offs[0] for title, offs in found.items() if offs}


def _sets(count: int) -> str:
    return f"{_number(count)} data set{'s' * (count != 1)}"


def _outcomes(offs: Mapping[str, Difference]) -> str:
    """Return which outcomes were found on which data sets."""
    return joined([part for outcome in OUTCOMES if (part := _part(outcome, offs))])


def _part(outcome: Outcome, offs: Mapping[str, Difference]) -> str:
    """Return on which data sets an outcome was found, "" where on none."""
    found = [title for title, off in offs.items() if off.outcome == outcome]
    if not found:
        return ""
    where = found[0] if len(found) == 1 else _number(len(found))
    return f"{OUTCOMES[outcome]} on {where}"


def _number(count: int) -> str:
    return NUMBERS[count] if count < len(NUMBERS) else str(count)


def joined(parts: Sequence[str]) -> str:
    """Return "a", "a and b" or "a, b and c"."""
    return " and ".join(filter(None, (", ".join(parts[:-1]), parts[-1])))


def _lattice(found: Sequence[Effect]) -> None:
    """Draw the methods by theories, in per cent of standard diffusion's distance."""
    marks = [
        Mark(each.method, each.trained, *each.percent, _about(each, "nats")) for each in found
    ]
    figure = figures.forest(
        marks, ROWS, COLORS, "φ⁴: change of the distance, %", limits=(-TWICE, TWICE), unit="%"
    )
    _show(figure, "results-headline-lattice")
    st.caption(
        "Distance of the model from the theory, an upper bound of KL(p‖q), relative to that of "
        "standard diffusion, which is the line at 0; −100 % would be perfect. All methods but "
        "standard diffusion have our denoiser, which differs in its reference (the exact Gaussian "
        "score), loss, input and conditioning. Bars: one standard error of the "
        "difference, over seeds and held-out fields, in per cent of standard diffusion's "
        "distance. An arrow at the edge marks what lies beyond it."
    )


def _images(found: Sequence[Effect]) -> None:
    """Draw the methods on images, in bits per dimension."""
    marks = [
        Mark(
            each.method,
            each.trained,
            each.difference.value,
            each.difference.error or 0.0,
            _about(each, "bits/dim"),
        )
        for each in found
    ]
    figure = figures.forest(marks, ROWS, COLORS, "CIFAR-10: change of bits/dim")
    _show(figure, "results-headline-images")
    st.caption(
        "Bits per dimension minus those of standard diffusion, the line at 0; lower is better. "
        "Bars: one standard error over test images, smaller than the marks. Each model was "
        "trained once, and they differ in loss, network input and conditioning too: the part "
        "due to the process alone is under *CIFAR-10*, *Ablation*."
    )


def _show(figure: go.Figure, key: str) -> None:
    st.plotly_chart(
        figure,
        key=key,
        config=plots.BAR,
        alt="Methods compared with standard diffusion, which is at 0, with error bars",
    )


def _about(each: Effect, unit: str) -> str:
    off = each.difference
    size = bracketed(off.value, off.error)
    return f"{each.title}<br>{each.trained}: {size} {unit}, {OUTCOMES[off.outcome]}"
