"""What a study's numbers say: who is best, by how much, and where each arm errs.

Nothing is measured here. Everything is computed from the JSON that `rgdiff study` writes, so that
no sentence about the comparison is written by hand.

Two arms differ where Student's test of their difference says so at 95 %, with Holm's correction
for all that is compared with one arm. They are the same where the 95 % interval is inside a margin
that was stated beforehand, a tenth of the baseline's number; where neither holds they are not told
apart, and nothing is claimed. The error holds both the scatter over seeds, paired where both arms
have the same seeds, and that of the held-out fields, which are many; the degrees of freedom of the
sum are Welch's and Satterthwaite's. With a single seed the scatter is not known, and nothing is
said.

References:
    Holm, A simple sequentially rejective multiple test procedure, Scand. J. Stat. 6 (1979) 65.
    Schuirmann, J. Pharmacokinet. Biopharm. 15 (1987) 657 (equivalence by two one-sided tests).
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from scipy import stats

__all__ = [
    "CONFIDENCE",
    "EQUIVALENCE",
    "HIGHER_IS_BETTER",
    "OURS",
    "WHITE",
    "Difference",
    "FewSteps",
    "Outcome",
    "Place",
    "LatticeVerdict",
    "against",
    "between",
    "combined_error",
    "from_baseline",
    "from_white",
    "holm",
    "phi4_verdict",
    "worst_place",
]

CONFIDENCE = 0.95
EQUIVALENCE = 0.1  # margin, as a share of the baseline's number
HIGHER_IS_BETTER = frozenset({"ess", "acceptance"})
OURS = "matched-component"  # the arm that the claim is about
WHITE = "white-scalar"  # the arm that differs from it by the process alone
Outcome = Literal["better", "worse", "same", "undecided", "unknown"]
Found = Mapping[str, Any]


@dataclass(frozen=True)
class Difference:
    """One arm's number less another's.

    Attributes:
        value: the difference.
        error: one standard error, None where it is not known.
        freedom: degrees of freedom of the error.
        higher: whether a higher number is the better one.
        margin: size below which a difference does not matter, None where none was stated.
        adjusted: the p-value with the correction for several comparisons, None without.
        comparisons: number of those that this one was chosen from, for all of which the interval
            holds.
    """

    value: float
    error: float | None
    freedom: float
    higher: bool = False
    margin: float | None = None
    adjusted: float | None = None
    comparisons: int = 1

    @classmethod
    def of(
        cls, value: float, seeds: float | None, fields: float, n: int, higher: bool = False
    ) -> "Difference":
        """Return a difference of which the error over n seeds and that of the fields are known."""
        if seeds is None or n < 2:
            return cls(value, None, 0.0, higher)
        error = math.hypot(seeds, fields)
        freedom = (n - 1) * (error / seeds) ** 4 if seeds > 0 else math.inf
        return cls(value, error, freedom, higher)

    @property
    def sigmas(self) -> float | None:
        """By how many standard errors they differ, None where that is not known."""
        return abs(self.value) / self.error if self.error else None

    @property
    def p_value(self) -> float | None:
        """Student's two-sided p-value of no difference, None where it is not known."""
        return None if self.sigmas is None else float(2 * stats.t.sf(self.sigmas, self.freedom))

    @property
    def interval(self) -> tuple[float, float] | None:
        """Student's 95 % interval, with Bonferroni's correction; None where it is not known."""
        if not self.error:
            return None
        tail = (1 - CONFIDENCE) / 2 / self.comparisons
        half = float(stats.t.isf(tail, self.freedom)) * self.error
        return self.value - half, self.value + half

    @property
    def equivalent(self) -> bool:
        """Whether the whole interval is inside the margin."""
        if self.interval is None or self.margin is None:
            return False
        return max(map(abs, self.interval)) < self.margin

    @property
    def outcome(self) -> Outcome:
        """Whether the first is better, worse, the same within the margin, or undecided."""
        p = self.p_value if self.adjusted is None else self.adjusted
        if p is None:
            return "unknown"
        if p > 1 - CONFIDENCE:
            return "same" if self.equivalent else "undecided"
        return "better" if (self.value > 0) == self.higher else "worse"


@dataclass(frozen=True)
class FewSteps:
    """By how many per cent the susceptibility is off that a sampler draws in few steps.

    Attributes:
        method: the sampler.
        steps: numbers of evaluations of the network, rising.
        ours: of our arm in as many, with value, error and sampling_error.
        baseline: of the baseline, likewise.
    """

    method: str
    steps: tuple[int, ...]
    ours: tuple[Found, ...]
    baseline: tuple[Found, ...]


@dataclass(frozen=True)
class LatticeVerdict:
    """The verdict of a theory's study on the claim.

    Attributes:
        data: name of the data set.
        title: display name.
        ours: an arm, as the study has it.
        baseline: standard diffusion.
        best: the best arm of all.
        difference: of ours from the baseline.
        process: of ours from white noise with a scalar schedule and the same denoiser, None where
            that was not measured.
        lead: of the best arm from the baseline, None where the baseline is the best.
        tied: titles of the arms that can't be told from the best one.
        complete: whether all runs are there.
        few_steps: both at equal cost, by sampler.
    """

    data: str
    title: str
    ours: Found
    baseline: Found
    best: Found
    difference: Difference
    process: Difference | None
    lead: Difference | None
    tied: tuple[str, ...]
    complete: bool
    few_steps: tuple[FewSteps, ...] = ()


@dataclass(frozen=True)
class Place:
    """Where most of an arm's distance sits.

    Attributes:
        band: of the scale, 0 the coarsest.
        level: of the data's log-SNR, 0 the noisiest.
        band_share: share of the whole in that band, over all levels.
        level_share: share of the whole in that level, over all bands.
    """

    band: int
    level: int
    band_share: float
    level_share: float


def combined_error(metric: Found) -> float | None:
    """Return a mean's standard error with that of the held-out fields, None for one seed."""
    if metric.get("error") is None:
        return None
    return math.hypot(metric["error"], metric.get("sampling_error") or 0.0)


def against(arm: Found, name: str) -> Difference | None:
    """Return by how much an arm's metric is off the baseline's, None where that is not known."""
    found = (arm.get("against_baseline") or {}).get(name)
    if found is None:
        return None
    fields, higher = found.get("sampling_error") or 0.0, name in HIGHER_IS_BETTER
    return Difference.of(found["value"], found["error"], fields, found["n"], higher)


def between(found: Found, first: str, second: str, name: str = "kl") -> Difference | None:
    """Return by how much one arm's metric is off another's, paired by seed where both have it.

    None where they have no seed in common. For KL the held-out fields' error is taken for
    independent, which errs on the large side.
    """
    values = [
        {
            run["seed"]: run[name]["value"]
            for run in found["runs"]
            if run["arm"] == arm and name in run
        }
        for arm in (first, second)
    ]
    seeds = sorted(set(values[0]) & set(values[1]))
    if not seeds:
        return None
    pairs = [values[0][seed] - values[1][seed] for seed in seeds]
    arms = {arm["name"]: arm["metrics"].get(name, {}) for arm in found["arms"]}
    fields = math.hypot(*(arms[arm].get("sampling_error") or 0.0 for arm in (first, second)))
    scatter = statistics.stdev(pairs) / len(pairs) ** 0.5 if len(pairs) > 1 else None
    mean, higher = statistics.fmean(pairs), name in HIGHER_IS_BETTER
    return Difference.of(mean, scatter, fields, len(pairs), higher)


def holm(differences: Mapping[str, Difference]) -> dict[str, Difference]:
    """Return the differences with p-values that hold for all of them together."""
    known = {name: p for name, off in differences.items() if (p := off.p_value) is not None}
    found, least = dict(differences), 0.0
    for rank, name in enumerate(sorted(known, key=lambda each: known[each])):
        least = max(least, min(1.0, (len(known) - rank) * known[name]))
        found[name] = replace(differences[name], adjusted=least)
    return found


def from_baseline(found: Found) -> dict[str, Difference]:
    """Return by how much the KL of every other arm is off the baseline's, with Holm's correction
    and the margin of equivalence; empty where the baseline has no run yet.
    """
    arms = {arm["name"]: arm for arm in found["arms"]}
    baseline = arms.get(found["baseline"])
    if baseline is None:
        return {}
    margin = EQUIVALENCE * baseline["metrics"]["kl"]["value"]
    offs = {name: off for name, arm in arms.items() if (off := against(arm, "kl"))}
    return {name: replace(off, margin=margin) for name, off in holm(offs).items()}


def from_white(found: Found) -> dict[str, Difference]:
    """Return by how much the KL of every arm with our denoiser is off that of white noise with a
    scalar schedule and the same denoiser, so that nothing but the process differs; with Holm's
    correction and the margin of equivalence.
    """
    arms = {arm["name"]: arm for arm in found["arms"]}
    if WHITE not in arms:
        return {}
    margin = EQUIVALENCE * arms[WHITE]["metrics"]["kl"]["value"]
    others = (name for name in arms if name not in (WHITE, found["baseline"]))
    offs = {name: off for name in others if (off := between(found, name, WHITE))}
    return {name: replace(off, margin=margin) for name, off in holm(offs).items()}


def phi4_verdict(found: Found) -> LatticeVerdict | None:
    """Return what a theory's results say; None where an arm of the claim has no run yet."""
    arms = {arm["name"]: arm for arm in found["arms"]}
    baseline, ours = arms.get(found["baseline"]), arms.get(OURS)
    if baseline is None or ours is None:
        return None
    offs = from_baseline(found)
    difference = offs.get(OURS)
    if difference is None:
        return None
    best = min(arms.values(), key=lambda arm: arm["metrics"]["kl"]["value"])
    lead = None if best is baseline else offs.get(best["name"])
    pairs = {
        name: off
        for name in arms
        if name != best["name"] and (off := between(found, name, best["name"]))
    }
    if lead is not None:  # which knows that the held-out fields are the same
        pairs[baseline["name"]] = lead
    tied = [
        arms[name]["title"] for name, off in pairs.items() if off.outcome in ("same", "undecided")
    ]
    return LatticeVerdict(
        data=found["theory"]["data"],
        title=found["theory"]["title"],
        ours=ours,
        baseline=baseline,
        best=best,
        difference=difference,
        process=from_white(found).get(OURS),
        lead=lead,
        tied=tuple(tied),
        complete=found["complete"]["runs"] == found["complete"]["of"],
        few_steps=_few_steps(found),
    )


def _few_steps(found: Found) -> tuple[FewSteps, ...]:
    rows = found.get("samplers") or []
    column = "susceptibility_percent"
    known = {(row["arm"], row["method"], row["nfe"]): row[column] for row in rows}
    both = [
        (method, nfe)
        for arm, method, nfe in sorted(known)
        if arm == OURS and (found["baseline"], method, nfe) in known
    ]
    told = []
    for method in dict.fromkeys(row["method"] for row in rows):
        steps = tuple(nfe for name, nfe in both if name == method)
        ours, base = (
            tuple(known[arm, method, nfe] for nfe in steps) for arm in (OURS, found["baseline"])
        )
        if steps:
            told.append(FewSteps(method, steps, ours, base))
    return tuple(told)


def worst_place(table: Sequence[Sequence[float]]) -> Place | None:
    """Return where most of a table by scale (rows) and log-SNR (columns) sits.

    None where the table does not add up to something positive: then noise is all there is.
    """
    total = math.fsum(map(math.fsum, table))
    if total <= 0:
        return None
    rows = [math.fsum(row) / total for row in table]
    columns = [math.fsum(column) / total for column in zip(*table, strict=True)]
    band, level = rows.index(max(rows)), columns.index(max(columns))
    return Place(band, level, rows[band], columns[level])
