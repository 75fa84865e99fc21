r"""Inverse renormalization: finer fields drawn, given the long waves of coarser ones.

A lattice of side L holds the long waves of one of side 2L: their components, divided by 2, are
those of a field of the same height on L×L (`coarse_fields`). Blocking throws the short waves away;
growing draws them again. To a universal model the long waves are a look at the data that is exact
and the short ones are unknown, so that the conditional distribution is sampled with no
approximation beyond the model's own (`rgdiff_core.denoisers.conditional`).

The waves at the edge of the coarse lattice, |n_μ| = L/2, of which it holds one combination of
+n and −n, are drawn too.

**By blocks.** A model in one level of Haar wavelets inverts Kadanoff's block spins instead: the
averages of blocks of 2×2 sites are given, and the three details of each are drawn. Given the
averages, the details of a theory with interactions between neighbours are a Markov field with the
same conditional law on every lattice of the same couplings, and what they depend on falls off
exponentially with the distance: such a model knows no size and no spectrum. A network runs on a
quarter of the sites.

**More than one octave.** A grown field is a field of the theory, not a blocked one of the next
larger lattice: its waves have the spectrum of their own lattice. Before it is grown on, each wave
is scaled to the spectrum that the blocked fields of the next lattice have: of long waves that is
Σ(n; 2L)/4, of averages

    ¼ Σ_{a ∈ {0, π}²} Σ(k + a; 2L) Π_μ cos²((k_μ + a_μ)/2),    k = πn/L.

At a critical point that is the rescaling of a fixed point, b^{−(d−2+η)/2} with b = 2, with its
corrections wave by wave. What is not Gaussian is taken over as it is.

References:
    Bachtis, Aarts, Di Renzo & Lucini, Phys. Rev. Lett. 128 (2022) 081603 (inverse
    renormalization of φ⁴); Wilson & Kogut, Phys. Rep. 12 (1974) 75 (momentum shells); Kadanoff,
    Physics 2 (1966) 263 (blocks); Guth et al., 2208.05003 (wavelets, octave by octave).
"""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from rgdiff_core.bases import Basis, CoarseGrid, FourierBasis, WaveletBasis
from rgdiff_core.bases.modes import Modes
from rgdiff_core.colors import White
from rgdiff_core.denoisers import Denoiser
from rgdiff_core.denoisers.conditional import Conditioned
from rgdiff_core.denoisers.modes_line import ModesLine
from rgdiff_core.process import Process
from rgdiff_core.sampling.interface import Method
from rgdiff_core.sampling.loop import sample
from rgdiff_core.schedules import Cutoff, LinearGamma, SigmoidKernel
from rgdiff_core.seeds import Generators
from rgdiff_core.spec import check_range, check_whole

__all__ = [
    "OCTAVE",
    "by_blocks",
    "checked_side",
    "coarse_fields",
    "grow",
    "moved",
    "redrawn",
    "rescaled",
    "standard_process",
]

OCTAVE = 2
MAX_SIDE = 256


def grow(
    model: Denoiser,
    coarse: Tensor,
    levels: int = 1,
    generator: Generators = None,
    *,
    modes: Sequence[Modes | ModesLine] = (),
    process: Callable[[Denoiser], Process] | None = None,
    steps: int = 12,
    method: str | Method = "interaction",
) -> Tensor:
    """Draw fields on lattices of twice the side, level after level, whose coarse part is given.

    Arguments:
        model: of a network that moves to other sizes; universal in the Fourier basis, or in Haar
            wavelets, where it has learnt details whose averages are known.
        coarse: (n, 1, L, L) in lattice units: blocked fields of the lattice of side 2L
            (`coarse_fields`), of a model in wavelets averages of blocks.
        levels: octaves, from 1.
        generator: one for all, or one for each field.
        modes: those of the waves on the lattices of side 2L, 4L, …, one for each level; none where
            these are the model's own lattice alone, or for one level of a model in wavelets, which
            needs them for what lies between two levels. Of a model along a line of couplings,
            those at its points.
        process: that samples are drawn with, given the model on a lattice; by default
            `standard_process`.
        steps: of the sampler at each level.
        method: as of `sample`.

    Returns:
        (n, 1, 2^levels L, 2^levels L).

    Raises:
        ValueError: For fields of another shape or with values that are not finite, a side above
            256 at the end, a number of modes that is not that of the levels, modes of
            another lattice, and a model that cannot move or is conditioned on the time alone.
    """
    side, blocks = checked_side(coarse, levels), by_blocks(model)
    process = process or standard_process
    if levels == 1 and not modes and (blocks or OCTAVE * side == model.basis.shape[-1]):
        own = moved(model, (1, OCTAVE * side, OCTAVE * side), None) if blocks else model
        return _octave(own, coarse, generator, process, steps, method)
    if len(modes) != levels:
        sides = ", ".join(str(side * OCTAVE ** (i + 1)) for i in range(levels))
        raise ValueError(
            f"{len(modes)} modes were given for {levels} levels: the spectra on the lattices of "
            f"side {sides} are needed, see lattice.sizes."
        )
    fields, last = coarse, None
    for each in modes:
        shape = (1, OCTAVE * fields.shape[-2], OCTAVE * fields.shape[-1])
        here = moved(model, shape, each)
        now = each if isinstance(each, Modes) else here.modes
        if now.shape != shape:
            raise ValueError(f"the modes of shape {now.shape} are not those of {shape} sites.")
        if last is not None:
            fields = rescaled(fields, last, now, blocks=blocks)
        fields, last = _octave(here, fields, generator, process, steps, method), now
    return fields


def by_blocks(model: Denoiser) -> bool:
    """Tell whether a model grows fields from averages of blocks: one in one level of Haar wavelets
    does.
    """
    basis = model.basis
    return isinstance(basis, WaveletBasis) and (basis.wavelet, basis.levels) == ("haar", 1)


def moved(
    model: Denoiser, shape: tuple[int, int, int], modes: Modes | ModesLine | None
) -> Denoiser:
    """Return a model on another lattice, given the modes of waves there.

    One in Haar wavelets needs none: it keeps the variances of its own lattice. The law of details
    given the averages is the same on both, and so has to be what the network is told.

    Raises `ValueError` as `Denoiser.on`, and where modes are missing.
    """
    if not isinstance(model.basis, WaveletBasis) or not by_blocks(model):
        if modes is None:
            raise ValueError(f"on {shape[1]}×{shape[2]} sites the modes of the waves are needed.")
        return model.on(shape, modes)
    basis, own = model.basis.on(shape), model.modes.variance_for("a model")
    assert isinstance(basis, WaveletBasis)
    kinds = model.basis.kinds_of_components(), basis.kinds_of_components()
    variance = own.new_empty(shape)
    for (rows, columns), (there, across) in zip(*kinds, strict=True):
        variance[:, there, across] = own[:, rows, columns].mean((1, 2), keepdim=True)
    mean = torch.zeros_like(variance)
    return model.on(shape, Modes(basis.scale, mean, variance, basis.momentum))


def coarse_fields(fields: Tensor, *, blocks: bool = False) -> Tensor:
    """Return the coarse part of fields (n, 1, 2L, 2L) as fields (n, 1, L, L) of the same height:
    their long waves, or the averages of blocks.

    Raises `ValueError` for sides that are odd.
    """
    if blocks:
        if fields.shape[-1] % OCTAVE or fields.shape[-2] % OCTAVE:
            raise ValueError(f"blocks of 2×2 sites do not fit fields {tuple(fields.shape)}.")
        return avg_pool2d(fields, OCTAVE)
    basis = FourierBasis((1, fields.shape[-2], fields.shape[-1])).to(fields)
    grid = CoarseGrid(basis, 1).to(fields.device)
    return grid.basis.synthesize(grid.restrict(basis.analyze(fields))) / grid.amplitude


def rescaled(fields: Tensor, own: Modes, larger: Modes, *, blocks: bool = False) -> Tensor:
    """Return fields whose waves have the spectrum of the blocked fields of a larger lattice.

    Arguments:
        fields: (n, 1, L, L), of the modes `own`.
        own: of the waves on L×L.
        larger: of the waves on 2L×2L.
        blocks: whether blocked fields are averages of blocks, not long waves.
    """
    basis = FourierBasis((1, fields.shape[-2], fields.shape[-1])).to(fields)
    spectrum = own.variance_for("a spectrum").to(fields)
    fine = larger.variance_for("a spectrum").to(fields)
    if spectrum.shape != basis.shape or fine.shape[1:] != tuple(2 * n for n in basis.shape[1:]):
        raise ValueError(
            f"modes of {larger.shape} are not those of twice the side of {own.shape}."
        )
    blocked = _spectrum_of_averages(fine) if blocks else _spectrum_of_long_waves(fine)
    return basis.synthesize((blocked / spectrum).sqrt() * basis.analyze(fields))


def _spectrum_of_long_waves(variance: Tensor) -> Tensor:
    """Return the spectrum of the long waves, (1, L, L), of fields with one (1, 2L, 2L)."""
    _, height, width = variance.shape
    grid = CoarseGrid(FourierBasis((1, height, width)), 1).to(variance.device)
    return grid.restrict(variance) / grid.amplitude**2


def _spectrum_of_averages(variance: Tensor) -> Tensor:
    """Return the spectrum of averages of 2×2 sites, (1, L, L), of fields with one (1, 2L, 2L)."""
    sides = variance.shape[1:]
    height, width = (torch.cos(math.pi * torch.arange(n) / n).to(variance) ** 2 for n in sides)
    shown = variance[0] * height[:, None] * width
    aliases = shown.reshape(2, sides[0] // 2, 2, sides[1] // 2)
    return aliases.sum((0, 2))[None] / OCTAVE**2


def redrawn(
    model: Denoiser,
    fields: Tensor,
    cutoff: float,
    generator: Generators = None,
    *,
    process: Process | None = None,
    steps: int = 12,
    method: str | Method = "interaction",
) -> Tensor:
    """Keep the long waves of fields, and draw the others.

    Arguments:
        model: universal, in the Fourier basis, on the fields' lattice.
        fields: (n, 1, L, L) of the theory, in lattice units.
        cutoff: waves up to this share of the largest momentum are kept, in [0, 1]; 0 keeps none.
        generator: one for all, or one for each field.
        process: that samples are drawn with; by default white noise behind a sigmoid cutoff.
        steps: of the sampler.
        method: as of `sample`.

    Returns:
        (n, 1, L, L); equal generators draw equal noise at every cutoff.

    Raises:
        ValueError: For a cutoff outside [0, 1], fields that do not fit the model, and a model that
            is conditioned on the time alone or grows fields by blocks.
    """
    check_range("cutoff", cutoff, 0, 1)
    if by_blocks(model):
        raise ValueError("a model in wavelets has no waves to keep: use one in the Fourier basis.")
    known = ((model.basis.scale <= cutoff) & (cutoff > 0)).to(model.modes_mean)
    conditioned = Conditioned(model, fields, known, generator)
    process = process or standard_process(model)
    return sample(conditioned, process, len(fields), steps, method, generator)


def checked_side(coarse: Tensor, levels: int) -> int:
    """Return the side L of fields that can grow by so many levels.

    Raises `ValueError` for fields of another shape or with values that are not finite, and a side
    above 256 at the end.
    """
    if coarse.ndim != 4 or coarse.shape[1] != 1 or coarse.shape[2] != coarse.shape[3]:
        raise ValueError(f"coarse fields must be (n, 1, L, L), got {tuple(coarse.shape)}.")
    if not coarse.isfinite().all():
        raise ValueError("the coarse fields hold a value that is not a finite number.")
    side = coarse.shape[-1]
    check_whole("levels", levels, 1, 8)
    check_whole("the side after all levels", side * OCTAVE**levels, 4, MAX_SIDE)
    return side


def _octave(
    model: Denoiser,
    coarse: Tensor,
    generator: Generators,
    process: Callable[[Denoiser], Process],
    steps: int,
    method: str | Method,
) -> Tensor:
    """Return fields of twice the side, given their long waves, of a model that is there."""
    grid = CoarseGrid(model.basis, 1).to(coarse.device)
    long = grid.amplitude * grid.basis.analyze(coarse.to(model.modes_mean))
    given = model.basis.synthesize(grid.prolong(long))
    known = grid.prolong(_inner(grid.basis))
    conditioned = Conditioned(model, given, known, generator)
    return sample(conditioned, process(model), len(coarse), steps, method, generator)


def _inner(basis: Basis) -> Tensor:
    """Return 1 for the components of a coarse lattice, 0 for waves at its edge, which an odd one
    does not have, (1, L, L).
    """
    inner = torch.ones(basis.shape).to(basis.scale)
    for axis, side in enumerate(basis.shape[1:], 1):
        if side % 2 == 0 and isinstance(basis, FourierBasis):
            inner.index_fill_(axis, torch.tensor(side // 2, device=inner.device), 0)
    return inner


def standard_process(model: Denoiser) -> Process:
    """Return white noise behind a sigmoid cutoff, for a model on its lattice; of one in Haar
    wavelets without a cutoff, as the details whose averages are given are erased together.
    """
    if by_blocks(model):
        return Process(model.basis, White(), LinearGamma(-9.0, 6.0), model.modes)
    return Process(model.basis, White(), Cutoff(SigmoidKernel(0.3)), model.modes)
