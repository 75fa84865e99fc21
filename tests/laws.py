"""One list of implementations of each idea: every law of the battery holds for every entry.

Add a basis, colour, kernel, path or schedule here and it is tested.
"""

import math
from collections.abc import Callable

import torch
from scipy.stats import norm
from torch import Tensor

from rgdiff_core import bases, colors, schedules
from rgdiff_core.bases import Basis
from rgdiff_core.bases.modes import Modes
from rgdiff_core.process import Process
from rgdiff_core.schedules import kernels

__all__ = [
    "BASES",
    "COLORS",
    "KERNELS",
    "PATHS",
    "SCHEDULES",
    "assert_moments",
    "assert_within",
    "covariance_error",
    "dense",
    "fields",
    "fitted",
    "name_of",
]

Shape = tuple[int, int, int]
Make = Callable[[Shape], Basis]


def fields(shape: Shape, n: int = 40, seed: int = 0) -> Tensor:
    """Return n fields in double precision, with a mean, correlated in space and over channels."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn((n, *shape), generator=generator, dtype=torch.float64)
    x = x + 0.7 * x.roll(1, -1) + 0.5 * x.roll(1, -2)
    return 0.4 * (x + 0.8 * x.mean(1, keepdim=True)) + 0.1


def decorrelated(make: Callable[..., Basis]) -> Make:
    return lambda shape: make(shape, channels=bases.decorrelation(fields(shape)))


BASES: dict[str, Make] = {
    "pixel": bases.PixelBasis,
    "fourier": bases.FourierBasis,
    "fourier lattice": lambda shape: bases.FourierBasis(shape, "lattice"),
    "cosine": bases.CosineBasis,
    "cosine lattice": lambda shape: bases.CosineBasis(shape, "lattice"),
    "haar": bases.WaveletBasis,
    "db3, one level": lambda shape: bases.WaveletBasis(shape, "db3", 1),
    "pca": lambda shape: bases.PCABasis.fit(fields(shape, 60)),
    "pca of few": lambda shape: bases.PCABasis.fit(fields(shape, 3)),
    "pixel, decorrelated": decorrelated(bases.PixelBasis),
    "fourier, decorrelated": decorrelated(bases.FourierBasis),
    "cosine, decorrelated": decorrelated(bases.CosineBasis),
    "haar, decorrelated": decorrelated(bases.WaveletBasis),
    "pca, decorrelated": lambda shape: bases.PCABasis.fit(
        fields(shape, 60), channels=bases.decorrelation(fields(shape))
    ),
}

COLORS = [
    colors.White(),
    colors.PowerLaw(),
    colors.PowerLaw(-1.0, 0.3),
    colors.FreeTheory(),
    colors.FreeTheory(0.0),
    colors.Matched(),
    colors.CustomColor(tuple(1.0 + i % 5 for i in range(64))),
    colors.BlendedColor(colors.White(), colors.Matched(), 0.3),
    colors.Matched(strength=0.4),
    colors.Matched(strength=1.5),
    colors.CurveColor((0.0, 0.3, 1.0), (2.0, 0.0, -2.0)),
    colors.CurveColor((0.05, 0.5), (-1.0, 1.0), colors.FreeTheory(), normalize=False),
    *(type(c)(normalize=False) for c in (colors.White(), colors.PowerLaw(), colors.FreeTheory())),
    colors.MovingColor(colors.PowerLaw(0.2), colors.PowerLaw(-0.2), kernels.CosinePath()),
]

KERNELS = [
    kernels.SigmoidKernel(),
    kernels.HardKernel(),
    kernels.GaussianKernel(),
    kernels.ExponentialKernel(),
    kernels.LitimKernel(),
    kernels.BumpKernel(),
    kernels.ButterworthKernel(),
]

PATHS = [
    kernels.CutoffPath(),
    kernels.CutoffPath((0.0, 0.37, 0.71, 1.0), (1.0, 0.93, 0.1, 0.0)),
    kernels.CutoffPath((0.0, 0.3, 0.31, 1.0), (1.0, 0.4, 0.4, 0.0)),
    kernels.LinearPath(),
    kernels.CosinePath(),
    kernels.ExponentialPath(),
    kernels.LogarithmicPath(),
]

SCHEDULES = [
    schedules.LinearBeta(),
    schedules.Cosine(),
    schedules.LinearGamma(),
    schedules.LearnedGamma((0.3,), (0.0, 0.37, 1.0), ((-9.0, -1.0, 5.0),)),
    schedules.LearnedGamma(
        (0.0, 0.2, 0.9),
        (0.0, 0.37, 0.71, 1.0),
        ((-9.0, -9.0, -2.0, 4.0), (-11.0, -3.0, 2.0, 5.0), (-6.0, 1.0, 1.0, 7.0)),
    ),
    schedules.VE(),
    schedules.EDM(),
    schedules.FlowMatching(),
    *(schedules.Cutoff(kernel) for kernel in KERNELS),
    *(schedules.Cutoff(kernels.SigmoidKernel(0.05), path) for path in PATHS[1:]),
    schedules.Cutoff(kernels.GaussianKernel(), PATHS[1], -40.0, 40.0),
    schedules.SoftConditioning(),
    *(schedules.SoftConditioning(order=o) for o in ("variance", "column", "row", "level")),
    schedules.SoftConditioning(softness=0.05, order=tuple(float(i) for i in range(64))),
    schedules.Sequential(),
    schedules.Sequential("column", 0.0),
    schedules.WaveletLevels(),
    schedules.InverseHeat(),
    schedules.BlurringDiffusion(),
    schedules.Carosso(),
    schedules.Polchinski(),
    schedules.InverseRG(),
    schedules.BlendedSchedule(schedules.Cosine(), schedules.Polchinski(), 0.3),
]


def name_of(spec: object) -> str:
    """Name a spec in a test's identifier."""
    return repr(spec)[:60]


def fitted(shape: Shape = (3, 8, 8), name: str = "fourier") -> tuple[Basis, Modes]:
    """Return a basis in double precision and the modes of `fields` in it."""
    basis = BASES[name](shape).double()
    return basis, Modes.fit(basis, fields(shape, 100))


def dense(basis: Basis, dtype: torch.dtype = torch.float64) -> Tensor:
    """Return U† as a dense (D, D) matrix whose rows are components."""
    d = math.prod(basis.shape)
    unit = torch.eye(d, dtype=dtype).reshape(d, *basis.shape)
    return basis.analyze(unit).reshape(d, d).T


def covariance_error(covariance: Tensor, n: int) -> Tensor:
    """Return each entry's standard error in the covariance of n Gaussian draws of known mean."""
    variance = covariance.diagonal()
    return torch.sqrt((variance[:, None] * variance + covariance**2) / n)


def assert_within(estimate: Tensor, truth: Tensor, error: Tensor) -> None:
    """Assert that no estimate is too many standard errors off.

    The limit is what the largest of so many passes as rarely as one Gaussian passes 5 of them.
    """
    z = ((estimate - truth) / error).abs()
    limit = norm.isf(norm.sf(5) / z.numel())
    assert torch.isfinite(z).all()
    assert float(z.max()) < limit, f"{float(z.max()):.1f} standard errors, limit {limit:.1f}"


def assert_moments(x: Tensor, mean: Tensor, covariance: Tensor) -> None:
    """Assert mean and covariance of Gaussian draws (n, C, H, W), each entry within its errors."""
    flat = x.flatten(1).double()
    assert_within(flat.mean(0), mean, torch.sqrt(covariance.diagonal() / len(x)))
    centred = flat - mean
    measured = centred.T @ centred / len(x)
    assert_within(measured, covariance, covariance_error(covariance, len(x)))


FREE, CUTOFF = colors.FreeTheory(), schedules.Cutoff()


def made(
    name: str = "fourier lattice",
    color: colors.Color = FREE,
    schedule: schedules.Schedule = CUTOFF,
    shape: tuple[int, int, int] = (2, 4, 4),
) -> Process:
    """Return a double-precision process with the statistics of 60 made-up fields."""
    basis = BASES[name](shape)
    return Process(basis, color, schedule, Modes.fit(basis, fields(shape, 60))).double()
