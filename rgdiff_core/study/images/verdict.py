"""What the numbers of CIFAR-10 say: of the claim, and of results in the literature.

Nothing is measured here: see `lattice.verdict`. Errors are over images. Every model was trained
once, so that what differs between two trainings of one model is not in them; arms that share a
universal model differ in their process alone.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from rgdiff_core.study.lattice.verdict import EQUIVALENCE, Difference

__all__ = [
    "FEATURES",
    "Known",
    "Said",
    "ImageVerdict",
    "apart",
    "frechet_name",
    "from_baseline",
    "image_verdict",
    "known_results",
    "less",
]

Found = Mapping[str, Any]
Table = Sequence[Sequence[float | None]]
Said = Literal["agrees", "disagrees", "can't say"]
OURS = "cifar10-matched"
UNIVERSAL = "cifar10"
FEATURES = ("frechet_inception", "frechet_cifar10")  # the first that was measured is taken
MATCHED_STANDARD = 1.0  # softness at which matched noise has the levels of white, scalar noise


@dataclass(frozen=True)
class ImageVerdict:
    """The study's verdict on the claim.

    Attributes:
        ours: an arm, as the study has it.
        baseline: an arm of the same network and budget.
        differences: of ours from the baseline, by metric.
        best: the best arm of all that are sampled, by metric.
    """

    ours: Found
    baseline: Found
    differences: Mapping[str, Difference]
    best: Mapping[str, Found]


@dataclass(frozen=True)
class Known:
    """A result of the literature beside ours.

    Attributes:
        paper: authors and arXiv number.
        claim: in a sentence.
        said: whether our numbers agree.
        numbers: those that decide: what each is, and {value, error}.
        unit: of them.
    """

    paper: str
    claim: str
    said: Said
    numbers: tuple[tuple[str, Mapping[str, Any]], ...] = ()
    unit: str = ""


def frechet_name(found: Found) -> str | None:
    """Return which Fréchet distance the study has, None where it has none."""
    measured = {name for arm in found["arms"] for name in arm["metrics"]}
    return next((name for name in FEATURES if name in measured), None)


def apart(
    first: Mapping[str, Any], second: Mapping[str, Any], target: float | None = None
) -> Difference:
    """Return the difference of two numbers whose errors are independent; lower is better, or
    nearer to the target where there is one.
    """
    values = [x["value"] if target is None else abs(x["value"] - target) for x in (first, second)]
    errors = [x.get("error") for x in (first, second)]
    known = [x for x in errors if x is not None and math.isfinite(x)]
    error = math.hypot(*known) if len(known) == len(errors) else None
    freedom = min(first.get("n") or 2, second.get("n") or 2) - 1
    return Difference(values[0] - values[1], error, freedom)


def image_verdict(found: Found) -> ImageVerdict | None:
    """Return the study's verdict; None where an arm of the claim was not measured."""
    arms = {arm["name"]: arm for arm in found["arms"]}
    baseline, ours = arms.get(found["baseline"]), arms.get(OURS)
    if baseline is None or ours is None:
        return None
    names = [name for name in ("bits", frechet_name(found)) if name]
    differences, best = {}, {}
    for name in names:
        if name in ours["metrics"] and name in baseline["metrics"]:
            differences[name] = _off(ours, baseline, name)
        measured = [
            arm for arm in found["arms"] if arm["metrics"].get(name, {}).get("value") is not None
        ]
        if measured:
            best[name] = min(measured, key=lambda arm: arm["metrics"][name]["value"])
    return ImageVerdict(ours, baseline, differences, best)


def _off(ours: Found, baseline: Found, name: str) -> Difference:
    """Return a difference, paired by image where the study has paired it."""
    paired = (ours.get("against_baseline") or {}).get(name)
    if paired:
        return Difference(paired["value"], paired["error"], paired["n"] - 1)
    return apart(ours["metrics"][name], baseline["metrics"][name])


def from_baseline(found: Found, name: str) -> dict[str, Difference]:
    """Return by how much a metric of every other arm is off the baseline's, where both have it."""
    arms = {arm["name"]: arm for arm in found["arms"] if name in arm["metrics"]}
    baseline = arms.pop(found["baseline"], None)
    if baseline is None:
        return {}
    return {key: _off(arm, baseline, name) for key, arm in arms.items()}


def less(table: Table | None, other: Table | None) -> list[list[float | None]] | None:
    """Return one table less another, None where either, or an entry of either, is missing."""
    if table is None or other is None:
        return None
    return [
        [None if a is None or b is None else a - b for a, b in zip(*rows, strict=True)]
        for rows in zip(table, other, strict=True)
    ]


def known_results(found: Found) -> list[Known]:
    """Return results of the literature, and whether our numbers agree with them."""
    return [
        _softness(found, "White"),
        _softness(found, "Matched"),
        _order(found),
        _on_par(found),
        _high_frequencies(found),
        _inverse_rg(found),
    ]


GUD = "Gerdes, Welling & Cheng, 2410.02667"
EQUAL_SNR = "Falck et al., 2505.11278"
INVERSE_RG = "Masuki & Ashida, 2501.09064"


def _rows(found: Found, color: str, metric: str) -> list[Found]:
    """Return the scan of softness in the PCA basis, of one colour, the softest last."""
    scan = next((each for each in found["scans"] if each["name"] == "pca-softness"), None)
    rows = scan["rows"] if scan else []
    mine = [row for row in rows if row["color"] == color and metric in row["metrics"]]
    return sorted(mine, key=lambda row: row["softness"])


def _best(rows: Sequence[Found], metric: str) -> Found:
    return min(rows, key=lambda row: row["metrics"][metric]["value"])


def _softness(found: Found, color: str) -> Known:
    """Whether the best softness is that of standard diffusion, or next to it in the scan.

    With white noise that is the softest; with matched noise, ordered by variance, it is 1, where
    every component has the noise level that white noise gives it.
    """
    where = "no offsets" if color == "White" else "those of white noise"
    claim = (
        f"PCA basis, {color.lower()} noise: bits/dim are lowest at about the softness of standard "
        f"diffusion ({where})."
    )
    rows = _rows(found, color, "bits")
    if len(rows) < 3:
        return Known(GUD, claim, "can't say")
    places = [row["softness"] for row in rows]
    wanted = len(places) - 1
    if color == "Matched":
        wanted = min(range(len(places)), key=lambda i: abs(math.log(places[i] / MATCHED_STANDARD)))
    best, standard = _best(rows, "bits"), rows[wanted]
    far = abs(places.index(best["softness"]) - wanted)
    clear = _apart_in_scan(standard, best).outcome == "worse"
    numbers = tuple(
        (f"softness {row['softness']:g}", row["metrics"]["bits"])
        for row in ([standard] if standard is best else [standard, best])
    )
    said: Said = "agrees" if far <= 1 else "disagrees" if clear else "can't say"
    return Known(GUD, claim, said, numbers, "bits/dim")


def _apart_in_scan(first: Found, second: Found) -> Difference:
    """Return the difference in bits of two arms, by their paired differences to the scan's own
    standard diffusion where they have them.
    """
    one, other = ((row.get("against_standard") or {}).get("bits") for row in (first, second))
    if one and other:
        return apart(one, other)
    return apart(first["metrics"]["bits"], second["metrics"]["bits"])


def _order(found: Found) -> Known:
    claim = (
        "PCA basis: which of white and matched noise is better, each at its best softness, is not "
        "the same by likelihood and by Fréchet distance."
    )
    name = frechet_name(found)
    if name is None:
        return Known(GUD, claim, "can't say")
    numbers, outcomes = [], []
    for metric, title in (("bits", "bits/dim"), (name, "Fréchet")):
        scans = [_rows(found, color, metric) for color in ("White", "Matched")]
        if not all(scans):
            return Known(GUD, claim, "can't say")
        white, matched = (_best(rows, metric) for rows in scans)
        both = zip(("white", "matched"), (white, matched), strict=True)
        numbers += [(f"{color}, {title}", row["metrics"][metric]) for color, row in both]
        off = (
            _apart_in_scan(matched, white)
            if metric == "bits"
            else apart(matched["metrics"][metric], white["metrics"][metric])
        )
        outcomes.append(off.outcome)
    if not set(outcomes) <= {"better", "worse"}:
        return Known(GUD, claim, "can't say", tuple(numbers))
    said: Said = "agrees" if outcomes[0] != outcomes[1] else "disagrees"
    return Known(GUD, claim, said, tuple(numbers))


def _headline(found: Found, group: str) -> Found | None:
    """Return the sampled arm of a kind of process, of the universal model in the Fourier basis."""
    mine = (
        arm
        for arm in found["arms"]
        if (arm["model"], arm["group"], arm["headline"]) == (UNIVERSAL, group, True)
    )
    return next(mine, None)


def _two(
    found: Found,
    paper: str,
    claim: str,
    group: str,
    metric: str | None,
    unit: str,
    decide: Callable[[Difference], Said],
    target: float | None = None,
) -> Known:
    """Return a result that compares a kind of process with white, scalar noise."""
    arms = [_headline(found, each) for each in (group, "white-scalar")]
    pair = [(arm or {}).get("metrics", {}).get(metric) for arm in arms]
    if not all(pair) or metric is None:
        return Known(paper, claim, "can't say")
    numbers = tuple((arm["title"], number) for arm, number in zip(arms, pair, strict=True) if arm)
    off = replace(apart(pair[0], pair[1], target), margin=EQUIVALENCE * pair[1]["value"])
    return Known(paper, claim, decide(off), numbers, unit)


def _on_par(found: Found) -> Known:
    claim = "Matched noise with a scalar schedule (EqualSNR) is on par with DDPM by FID."

    def decide(off: Difference) -> Said:
        if off.equivalent:
            return "agrees"
        return "disagrees" if off.outcome in ("better", "worse") else "can't say"

    return _two(
        found,
        EQUAL_SNR,
        claim,
        "matched-scalar",
        frechet_name(found),
        "Fréchet",
        decide,
    )


def _high_frequencies(found: Found) -> Known:
    claim = "EqualSNR is better than DDPM at high frequencies."
    said: Mapping[str, Said] = {"better": "agrees", "worse": "disagrees"}
    return _two(
        found,
        EQUAL_SNR,
        claim,
        "matched-scalar",
        "sharpness",
        "of the data's power in the finest third",
        lambda off: said.get(off.outcome, "can't say"),
        1.0,
    )


def _inverse_rg(found: Found) -> Known:
    claim = "The inverse RG flow (free-theory noise, k/Λ) is better than DDPM at equal steps."
    said: Mapping[str, Said] = {"better": "agrees", "worse": "disagrees"}
    return _two(
        found,
        INVERSE_RG,
        claim,
        "other",
        frechet_name(found),
        "Fréchet",
        lambda off: said.get(off.outcome, "can't say"),
    )
