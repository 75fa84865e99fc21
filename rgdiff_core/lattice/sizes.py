r"""The spectrum Σ(k; L) on a lattice of another size: from a short run, or from smaller lattices.

A model that moves to another lattice needs the variances of the modes there. They can be measured
(`measured`), at the cost of a short run of hybrid Monte Carlo, or follow from smaller lattices by
finite-size scaling (`extrapolated`). With L₂ the largest known lattice and L₁ the next,

.. math::
    Σ(n; L) = Σ(n; L_2) (L/L_2)^{x_n}, \qquad
    x_n = \log[Σ(n; L_2)/Σ(n; L_1)] / \log(L_2/L_1)

for the waves e^{2πi n·x/L} that are longer than all of L₂, |k_μ| < 2π/L₂: the zero mode's exponent
is γ/ν = 7/4 at the critical point, up to corrections, and 0 far from it. Shorter waves hardly know
of the size: there 1/Σ is interpolated between the momenta of L₂, linearly in
k̂_μ² = 4 sin²(k_μ/2), in which the free field's is linear.

The error of the rule is what it misses where the answer is known: L₂ is predicted from the smaller
lattices, and the root mean square of log(predicted/measured), of long and of short waves, is added
to the statistical error; that of long waves, which lies in the exponent, times
log(L/L₂)/log(L₂/L₁). The third way, to let samples of the model correct the spectrum, is
`rgdiff_core.sampling.fixed_point`.

References:
    Fisher & Barber, Phys. Rev. Lett. 28 (1972) 1516 (finite-size scaling).
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from rgdiff_core.bases import FourierBasis
from rgdiff_core.bases.modes import MeasuredModes, Modes
from rgdiff_core.lattice.action import Phi4
from rgdiff_core.lattice.chains import HMC, STANDARD
from rgdiff_core.lattice.hmc import hmc
from rgdiff_core.spec import check_range, check_whole

__all__ = ["extrapolated", "measured"]

MAX_SIZE = 256
MAX_CHAINS = 64


def measured(
    action: Phi4,
    size: int,
    n: int = 4000,
    generator: torch.Generator | None = None,
    *,
    momentum: str = "lattice",
    settings: HMC = STANDARD,
) -> MeasuredModes:
    """Measure the modes of a theory by a short run of hybrid Monte Carlo.

    Arguments:
        action: the theory.
        size: L, 2 to 256.
        n: configurations, of min(64, n/8) chains, whose spread gives the error; at least 32.
        generator: as of `hmc`.
        momentum: of the Fourier basis.
        settings: as of `hmc`; clusters help near the critical point.

    Raises `ValueError` for a number outside its range.
    """
    check_whole("n", n, 32, 10**6)
    chains = min(MAX_CHAINS, n // 8)
    run = hmc(action, size, n - n % chains, chains, generator, settings=settings)
    basis = FourierBasis((1, size, size), momentum)
    return MeasuredModes.fit(basis, run.configurations.to(basis.scale), chains)


def extrapolated(
    known: Sequence[MeasuredModes], size: int, exponent: float | None = None
) -> MeasuredModes:
    """Predict the modes on a larger lattice from those on smaller ones, of the same theory.

    Arguments:
        known: the modes on square lattices of rising size; two or more, or three where the
            exponents are to be measured.
        size: L, above the largest of them.
        exponent: x of the long waves: γ/ν = 7/4 at the critical point, in [-1, 2]; None for those
            between the two largest lattices.

    Raises `ValueError` for too few lattices, sizes that do not rise, and one so large that the
    smaller lattices lack some of its long waves.
    """
    sizes = [_size(each) for each in known]
    least = 2 if exponent is not None else 3
    if len(known) < least:
        raise ValueError(
            f"{len(known)} lattices are too few: {least} are needed, one to try the rule on."
        )
    if any(a >= b for a, b in zip(sizes, [*sizes[1:], size], strict=True)):
        raise ValueError(f"the sizes {sizes} and L = {size} must rise.")
    check_whole("L", size, 2, MAX_SIZE)
    if exponent is not None:
        check_range("exponent", exponent, -1, 2)
    else:
        check_whole("L", size, 2, sizes[-2] * sizes[-1] // 2)
    variance, error, long = _predicted(known, size, exponent)
    tried, _, tried_long = _predicted(known[:-1], sizes[-1], exponent)
    missed = (tried / _quadrant(known[-1], known[-1].modes.variance)).log()
    far = math.log(size / sizes[-1]) / math.log(sizes[-1] / sizes[-2])
    long_rule, short_rule = (
        missed[waves].square().mean().sqrt() for waves in (tried_long, ~tried_long)
    )
    rule = torch.where(long, far * long_rule, short_rule)
    error = torch.hypot(error, rule)
    like = known[-1].modes
    kind = "lattice" if like.momentum.max() < math.pi else "continuum"
    basis = FourierBasis((1, size, size), kind).to(like.scale)
    whole, error = (_unfolded(x, size).to(like.scale) for x in (variance, error))
    modes = Modes(basis.scale, torch.zeros_like(whole), whole, basis.momentum)
    return MeasuredModes(modes, error)


def _size(known: MeasuredModes) -> int:
    _, height, width = known.modes.shape
    if height != width or known.modes.shape[0] != 1:
        raise ValueError(f"modes of shape {known.modes.shape} are not those of a square lattice.")
    return height


def _predicted(
    known: Sequence[MeasuredModes], size: int, exponent: float | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Return Σ, its statistical relative error, and which waves are long, at the momenta
    0 ≤ n_μ ≤ L/2.
    """
    last, largest = known[-1], _size(known[-1])
    ours, squares = _squares(size), _squares(largest)
    variance = _quadrant(last, last.modes.variance)
    statistical = _quadrant(last, last.error)
    short = 1 / _bilinear(squares, 1 / variance, ours)
    error = _bilinear(squares, statistical, ours)
    near = torch.arange(size // 2 + 1) < size / largest
    long = near[:, None] & near
    count = int(near.sum())
    held = min(_size(each) for each in known[-1 if exponent is not None else -2 :]) // 2
    if count > held + 1:
        raise ValueError(
            f"L = {size} is too large after L = {largest}: the smaller lattices have the waves up "
            f"to n = {held}, and those up to n = {count - 1} are needed."
        )
    corner = slice(0, count), slice(0, count)
    growth = math.log(size / largest)
    if exponent is None:
        before = known[-2]
        step = math.log(largest / _size(before))
        other = _quadrant(before, before.modes.variance)[corner]
        power = (variance[corner] / other).log() / step
        spread = torch.hypot(
            statistical[corner] * (1 + growth / step),
            _quadrant(before, before.error)[corner] * growth / step,
        )
    else:
        power, spread = torch.full((count, count), exponent).double(), statistical[corner]
    short[corner] = variance[corner] * torch.exp(power * growth)
    error[corner] = spread
    return short, error, long


def _quadrant(known: MeasuredModes, values: Tensor | None) -> Tensor:
    """Return what belongs to the momenta 0 ≤ n_μ ≤ L/2, in double precision."""
    if values is None:
        raise ValueError("the modes have no variance: fit them to fields.")
    half = _size(known) // 2 + 1
    return values[0, :half, :half].double().cpu()


def _unfolded(quadrant: Tensor, size: int) -> Tensor:
    """Return what belongs to all momenta, (1, L, L), in the order of `fftfreq`."""
    place = (torch.fft.fftfreq(size, 1 / size).round().long()).abs()
    return quadrant[place][:, place][None]


def _squares(size: int) -> Tensor:
    """Return 4 sin²(πn/L) for 0 ≤ n ≤ L/2."""
    n = torch.arange(size // 2 + 1, dtype=torch.float64)
    return 4 * torch.sin(math.pi * n / size) ** 2


def _bilinear(places: Tensor, values: Tensor, wanted: Tensor) -> Tensor:
    """Interpolate values on a grid, linearly in both directions; beyond it, extrapolate."""
    from scipy.interpolate import RegularGridInterpolator  # slow to load

    axes = (places.numpy(), places.numpy())
    table = RegularGridInterpolator(axes, values.numpy(), bounds_error=False, fill_value=None)  # type: ignore[arg-type]
    points = torch.cartesian_prod(wanted, wanted).numpy()
    return torch.from_numpy(np.asarray(table(points))).reshape(len(wanted), len(wanted))
