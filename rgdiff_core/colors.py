r"""Noise colours S: how loud the noise is in each component, and so the fixed point that the flow
ends in.

A colour gives the stationary variance S_k² of every component. Colours are normalized so that
mean_k S_k² equals the data's mean variance (1 where there are no data), so that they compare at
equal power; `normalize=False` keeps their bare value. No component ever gets S = 0 or ∞: a
vanishing momentum counts as half the smallest non-zero one where no mass or infrared cutoff of at
least 1e-3 regulates it.

A `MovingColor` changes with time. All that a posterior knows of the noise is the ratio of noise to
signal, S_k²(t) exp γ_k(t), so it is noise of the last colour under a shifted schedule: nothing but
the schedule and the magnitude of the field changes.
"""

import abc
from dataclasses import dataclass

import torch
from torch import Tensor

from rgdiff_core.bases.modes import Modes
from rgdiff_core.schedules.base import Schedule, per_time
from rgdiff_core.schedules.kernels import MAX_POINTS, LinearPath, Path, monotone_cubic
from rgdiff_core.spec import Spec, check_increasing, check_range

__all__ = [
    "BlendedColor",
    "Color",
    "CurveColor",
    "CustomColor",
    "FreeTheory",
    "Matched",
    "MovingColor",
    "PowerLaw",
    "White",
    "check_still",
]


MIN_REGULATOR = 1e-3  # a momentum, below half the smallest one of any lattice that bases have
MAX_LOG_VARIANCE = 30.0  # of a curve: a factor of 1e13 in the variance, to either side


class Color(Spec):
    """A noise colour. Derived classes are frozen dataclasses that write `bare`.

    Attributes:
        normalize: whether the mean variance is set to the data's.
        smooth: whether S is a smooth function of the scale, rather than one number per component.
    """

    normalize: bool
    smooth: bool = True

    @abc.abstractmethod
    def bare(self, modes: Modes) -> Tensor:
        """Return S_k² before normalization, (C or 1, H, W)."""

    def variance(self, modes: Modes) -> Tensor:
        """Return S_k², (C or 1, H, W), all positive and finite."""
        bare = self.bare(modes)
        if not self.normalize:
            return bare
        power = 1.0 if modes.variance is None else modes.variance.mean()
        return bare * (power / bare.mean())

    def variance_at(self, t: Tensor, modes: Modes) -> Tensor:
        """Return S_k² of the noise in the field at times t of shape () or (B,), (*t.shape, C or
        1, H, W).
        """
        variance = self.variance(modes)
        return variance.expand(*t.shape, *variance.shape)

    def effective(self, schedule: Schedule) -> Schedule:
        """Return the schedule that makes noise of the fixed variance S_k² noise of this colour."""
        return schedule


@dataclass(frozen=True)
class White(Color):
    """White noise, S_k² = 1: the standard choice."""

    normalize: bool = True

    def bare(self, modes: Modes) -> Tensor:
        """Return ones."""
        return torch.ones_like(modes.scale)


@dataclass(frozen=True)
class PowerLaw(Color):
    r"""S_k² = (|k|² + k₀²)^{−p/2}; p = 2 is near to natural images, p < 0 is blue noise.

    Arguments:
        exponent: p, in [−8, 8].
        cutoff: k₀ ≥ 0 in radians per lattice spacing.
    """

    exponent: float = 2.0
    cutoff: float = 0.0
    normalize: bool = True

    def __post_init__(self) -> None:
        check_range("exponent", self.exponent, -8, 8)
        check_range("cutoff", self.cutoff, 0, 100)

    def bare(self, modes: Modes) -> Tensor:
        """Return (|k|² + k₀²)^{−p/2}."""
        return _regulated(modes, self.cutoff**2) ** (-self.exponent / 2)


@dataclass(frozen=True)
class FreeTheory(Color):
    r"""S_k² = 1/(k̂² + m²), the propagator of the free field; k̂ is the basis' momentum.

    Arguments:
        mass2: m² ≥ 0 in lattice units.
    """

    mass2: float = 0.1
    normalize: bool = True

    def __post_init__(self) -> None:
        check_range("mass2", self.mass2, 0, 1e6)

    def bare(self, modes: Modes) -> Tensor:
        """Return 1/(k² + m²)."""
        return 1 / _regulated(modes, self.mass2)


@dataclass(frozen=True)
class Matched(Color):
    r"""S_k² = Σ_k^a, a power of the data's own variance; a = 1 in the PCA basis is whitened PCA.

    The strength a leads from white noise (0) to noise that has the data's spectrum (1), and beyond
    to noise that is steeper than the data. The variances are those of `Modes.fit`, moderated where
    images are few.

    Arguments:
        strength: a, in [−3, 3].
    """

    normalize: bool = True
    strength: float = 1.0
    smooth = False

    def __post_init__(self) -> None:
        check_range("strength", self.strength, -3, 3)

    def bare(self, modes: Modes) -> Tensor:
        """Return Σ_k^a; raises `ValueError` where the modes know no data."""
        return modes.variance_for("matched noise") ** self.strength


@dataclass(frozen=True)
class CustomColor(Color):
    """Any variances in [1e-30, 1e30], in the order of the flattened components (C or 1, H, W)."""

    variances: tuple[float, ...]
    normalize: bool = True
    smooth = False

    def __post_init__(self) -> None:
        for value in self.variances:
            check_range("variances", value, 1e-30, 1e30)

    def bare(self, modes: Modes) -> Tensor:
        """Return the given variances; raises `ValueError` where their number does not fit."""
        return modes.per_component("variances", self.variances)


@dataclass(frozen=True)
class CurveColor(Color):
    r"""A drawn spectrum: S_k² = S_base,k² exp v(log s_k), with v through given points.

    Between the points v is a monotone cubic (PCHIP) in the logarithm of the scale s = |k|/|k|_max,
    so that points on a power law are that power law; beyond the first and the last it is constant.
    On white noise, the default, v is the logarithm of the variance itself.

    Arguments:
        scales: 2 to 64 of them, increasing in [0, 1]. One at 0 stands where the zero mode does, at
            half the smallest non-zero scale (at half the next point's where that is lower).
        log_variances: v at these scales, in [−30, 30].
        base: the colour that is drawn on.
        normalize: whether the mean variance stays the data's, whatever is drawn.

    References:
        Fritsch & Butland, SIAM J. Sci. Stat. Comput. 5 (1984) 300.
    """

    scales: tuple[float, ...] = (0.0, 1.0)
    log_variances: tuple[float, ...] = (0.0, 0.0)
    base: Color = White(normalize=False)
    normalize: bool = True

    @property
    def smooth(self) -> bool:  # type: ignore[override]
        """Return whether the base is smooth."""
        return self.base.smooth

    def __post_init__(self) -> None:
        count = len(self.scales)
        if not 2 <= count <= MAX_POINTS or count != len(self.log_variances):
            raise ValueError(
                f"a curve needs 2 to {MAX_POINTS} points, got {count} scales and "
                f"{len(self.log_variances)} log-variances."
            )
        for scale in self.scales:
            check_range("scales", scale, 0, 1)
        check_increasing("scales", self.scales)
        for value in self.log_variances:
            check_range("log_variances", value, -MAX_LOG_VARIANCE, MAX_LOG_VARIANCE)

    def bare(self, modes: Modes) -> Tensor:
        """Return S_base² exp v."""
        return self.base.variance(modes) * self.log_factor(modes.floored_scale()).exp()

    def log_factor(self, scale: Tensor) -> Tensor:
        """Return v, of the shape of `scale`, at scales that are all positive."""
        knots, values = (scale.new_tensor(x) for x in (self.scales, self.log_variances))
        if self.scales[0] == 0:
            knots[0] = torch.minimum(scale.min(), knots[1] / 2)
        knots = knots.log()
        place = scale.log().clamp(knots[0], knots[-1])
        return monotone_cubic(knots, values, place)


@dataclass(frozen=True)
class BlendedColor(Color):
    r"""Between two colours, linearly in the amplitude: S = (1 − w) S₁ + w S₂, with w in [0, 1]."""

    first: Color
    second: Color
    weight: float = 0.5
    normalize: bool = False

    @property
    def smooth(self) -> bool:  # type: ignore[override]
        """Return whether both are smooth."""
        return self.first.smooth and self.second.smooth

    def __post_init__(self) -> None:
        check_range("weight", self.weight, 0, 1)
        for color in (self.first, self.second):
            check_still(color, "a blend of colours")

    def bare(self, modes: Modes) -> Tensor:
        """Return ((1 − w) S₁ + w S₂)²."""
        first, second = (c.variance(modes).sqrt() for c in (self.first, self.second))
        return ((1 - self.weight) * first + self.weight * second) ** 2


@dataclass(frozen=True)
class MovingColor(Color):
    r"""A colour that changes with time, from a start to an end, at every component
    log-linearly.

    log S_k²(t) = y(t) log S_k²(start) + (1 − y(t)) log S_k²(end): noise that is white first and
    blue last, or has the data's spectrum first and none in the end. The field is χ(t) = α χ(0) +
    σ S(t) ε, and `variance`, which processes start to generate from, is that of the end. It is a
    diffusion, and solvable, where the log-SNR of no component rises: dγ_k/dt + d log S_k²/dt ≥ 0.

    Arguments:
        start: S where y = 1.
        end: S where y = 0.
        path: y(t).

    References:
        Huang et al., Blue noise for diffusion models, 2402.04930.
    """

    start: Color = White()
    end: Color = Matched()
    path: Path = LinearPath()
    normalize = False

    @property
    def smooth(self) -> bool:  # type: ignore[override]
        """Return whether both are smooth."""
        return self.start.smooth and self.end.smooth

    def __post_init__(self) -> None:
        for name in ("start", "end"):
            if isinstance(getattr(self, name), MovingColor):
                raise ValueError(f"{name} = MovingColor(…) must be a colour that does not move.")

    def bare(self, modes: Modes) -> Tensor:
        """Return S_k² of the end."""
        return self.end.variance(modes)

    def log_ratio(self, t: Tensor, modes: Modes) -> Tensor:
        """Return log ρ_k = log S_k²(t) − log S_k²(end) at times (*, 1, 1, 1)."""
        start, end = (color.variance(modes).log() for color in (self.start, self.end))
        return self.path.ordinate(t) * (start - end)

    def variance_at(self, t: Tensor, modes: Modes) -> Tensor:
        """Return S_k²(t), (*t.shape, C or 1, H, W)."""
        return self.variance(modes) * self.log_ratio(per_time(t), modes).exp()

    def effective(self, schedule: Schedule) -> Schedule:
        """Return the schedule shifted by log ρ."""
        return _ShiftedSchedule(schedule, self)


@dataclass(frozen=True)
class _ShiftedSchedule(Schedule):
    r"""A schedule for noise of a moving colour, written for noise of the colour's end.

    With ρ_k(t) = S_k²(t)/S_k²(end), both

        γ'_k = γ_k + log ρ_k,    r'_k² = r_k² (sigmoid(−γ_k) + sigmoid(γ_k) ρ_k),

    so that α' = α and σ' S(end) = σ S(t): the same fields.

    Arguments:
        schedule: γ and r.
        color: ρ.
    """

    schedule: Schedule
    color: MovingColor

    @property
    def continuous(self) -> bool:  # type: ignore[override]
        """Return whether the schedule is continuous."""
        return self.schedule.continuous

    def label(self, modes: Modes) -> Tensor:
        """Raise `ValueError`: γ depends on the schedule's label and on ρ."""
        raise ValueError("noise whose colour changes with time has no order of components.")

    def gamma_at(self, t: Tensor, modes: Modes) -> Tensor:
        """Return γ + log ρ."""
        return self.schedule.gamma_at(t, modes) + self.color.log_ratio(t, modes)

    def magnitude_at(self, t: Tensor, modes: Modes) -> Tensor:
        """Return r √(sigmoid(−γ) + sigmoid(γ) ρ)."""
        gamma, ratio = self.schedule.gamma_at(t, modes), self.color.log_ratio(t, modes).exp()
        power = torch.sigmoid(-gamma) + torch.sigmoid(gamma) * ratio
        return self.schedule.magnitude_at(t, modes) * power.sqrt()


def check_still(color: Color, what: str) -> None:
    """Raise `ValueError` where a colour changes with time."""
    if isinstance(color, MovingColor):
        raise ValueError(f"{what} needs a colour that does not change with time, got {color}.")


def _regulated(modes: Modes, mass2: float) -> Tensor:
    """Return |k|² + m², safe to divide by."""
    massless = mass2 < MIN_REGULATOR**2
    k = modes.floored_momentum() if massless else modes.momentum
    return k**2 + mass2
