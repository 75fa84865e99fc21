"""Growing lattices by blocks: details of blocks drawn, given their averages."""

from typing import Self

import pytest
import torch
from gaussians import DenseGaussian, generator
from torch import Tensor

from rgdiff_core import GaussianDenoiser, Marginal, ModelSpec, Modes
from rgdiff_core.bases import FourierBasis, WaveletBasis
from rgdiff_core.bases.base import Shape
from rgdiff_core.lattice import FreeField
from rgdiff_core.networks import LatticeNet
from rgdiff_core.renormalization import BlockSpin
from rgdiff_core.sampling.growth import by_blocks, coarse_fields, grow, moved, redrawn, rescaled

M2 = 0.3


def waves(side: int) -> Modes:
    """Return the modes of the waves of the free field of mass² 0.3."""
    basis = FourierBasis((1, side, side), "lattice")
    variance = 1 / (2 * (basis.momentum**2 + M2))
    return Modes(basis.scale, torch.zeros_like(variance), variance, basis.momentum)


def free_fields(side: int, n: int, seed: int = 0) -> Tensor:
    """Draw free fields exactly, from the propagator and white noise."""
    noise = torch.randn(n, 1, side, side, generator=generator(seed))
    variance = waves(side).variance_for("the free field")
    return FourierBasis((1, side, side)).synthesize(variance.sqrt() * noise)


def haar(side: int) -> WaveletBasis:
    return WaveletBasis((1, side, side), levels=1)


def diagonal(side: int) -> GaussianDenoiser:
    """Return the model of the free field without correlations between its wavelets."""
    return GaussianDenoiser.fit(haar(side), free_fields(side, 2000), symmetries="lattice")


def networked() -> ModelSpec:
    return ModelSpec(LatticeNet(8, 1, patch=2))


class FreeInWavelets(DenseGaussian):
    """The free field in Haar wavelets with all their correlations: of the one size that it has."""

    def __init__(self, side: int):
        basis = haar(side).double()
        elements = basis.synthesize(torch.eye(side**2).double().reshape(-1, 1, side, side))
        parts = FourierBasis((1, side, side)).double().analyze(elements).flatten(1)
        power = waves(side).variance_for("the free field").double().flatten()
        super().__init__(basis, (parts * power) @ parts.T)
        self.register_buffer("modes_scale", basis.scale)
        self.register_buffer("modes_variance", self.covariance.diagonal().reshape(1, side, side))

    def on(self, shape: Shape, modes: object) -> Self:
        assert shape == self.basis.shape
        return self


@pytest.mark.parametrize("method", ["interaction", "heun"])
def test_averages_of_the_free_field_grow_back_into_it(method):
    """The covariance of all pairs of sites is the free one, within 5.5 standard errors."""
    n, side = 4000, 4
    model = FreeInWavelets(side)
    averages = coarse_fields(free_fields(side, n).double(), blocks=True)
    grown = grow(model, averages, 1, generator(1), modes=(waves(side),), steps=40, method=method)
    u = FourierBasis((1, side, side)).analyze(grown.float()).flatten(1).double()
    exact = waves(side).variance_for("the free field").double().flatten()
    found = (u.T @ u) / n
    error = (exact[:, None] * exact * (1 + torch.eye(side**2)) / n).sqrt()
    assert ((found - torch.diag(exact)).abs() < 5.5 * error).all()


def test_the_averages_of_a_grown_field_are_those_it_was_given():
    spec, side = networked(), 8
    model = spec.build(haar(side), diagonal(side).modes).eval()
    for weight in model.network.parameters():
        torch.nn.init.normal_(weight, std=0.1, generator=generator(3))
    given = coarse_fields(free_fields(16, 5), blocks=True)
    grown = grow(model, given, 1, generator(), modes=(waves(16),), steps=4)
    torch.testing.assert_close(torch.nn.functional.avg_pool2d(grown, 2), given, atol=1e-5, rtol=0)
    details = haar(16).analyze(grown)[..., 8:, 8:]
    assert 0.5 < details.std() / haar(16).analyze(free_fields(16, 500))[..., 8:, 8:].std() < 2
    at_home = grow(model, coarse_fields(free_fields(8, 5), blocks=True), steps=2)
    assert at_home.shape == (5, 1, 8, 8)


def test_on_another_lattice_details_are_drawn_by_the_same_law():
    """A network that does something, on a field of period 8: its details there have period 8."""
    model = networked().build(haar(8), diagonal(8).modes).eval()
    for weight in model.network.parameters():
        torch.nn.init.normal_(weight, std=0.2, generator=generator(3))
    other = moved(model, (1, 16, 16), waves(16))
    fields, clean = free_fields(8, 3), torch.zeros(1, 8, 8)
    clean[:, :4, :4] = 1
    level = Marginal(torch.ones(1, 8, 8), 0.7 * (1 - clean) + 1e-6)
    large = torch.zeros(1, 16, 16)
    large[:, :8, :8] = 1
    there = Marginal(torch.ones(1, 16, 16), 0.7 * (1 - large) + 1e-6)
    found = model.basis.synthesize(model.posterior(model.basis.analyze(fields), level).mean)
    c = other.basis.analyze(fields.tile(1, 1, 2, 2))
    tiled = other.basis.synthesize(other.posterior(c, there).mean)
    torch.testing.assert_close(tiled, found.tile(1, 1, 2, 2), atol=1e-5, rtol=1e-4)
    assert (found - fields).std() > 0.1


def test_rescaled_fields_have_the_spectrum_of_averages():
    n = 4000
    found = rescaled(free_fields(8, n), waves(8), waves(16), blocks=True)
    averages = coarse_fields(free_fields(16, n, 1), blocks=True)
    basis = FourierBasis((1, 8, 8))
    ratio = basis.analyze(found).square().mean(0) / basis.analyze(averages).square().mean(0)
    assert ((ratio - 1).abs() < 5.5 * (4 / n) ** 0.5).all()


def test_two_octaves_keep_the_long_distances_of_the_theory():
    """The susceptibility is that of the averages that were given, scaled to the last lattice."""
    n = 3000
    given = coarse_fields(free_fields(8, n), blocks=True)
    grown = grow(diagonal(4), given, 2, generator(1), modes=(waves(8), waves(16)), steps=4)
    chi = 256 * grown.mean((1, 2, 3)).square()
    assert abs(chi.mean() - FreeField(M2, 16).susceptibility) < 4 * chi.std() / n**0.5


def test_waves_of_a_block_model_cannot_be_kept():
    assert by_blocks(diagonal(8))
    assert not by_blocks(GaussianDenoiser(FourierBasis((1, 8, 8)), waves(8)))
    with pytest.raises(ValueError, match="has no waves to keep"):
        redrawn(diagonal(8), free_fields(8, 3), 0.5, generator())


@pytest.mark.parametrize(
    ("modes", "match"),
    [
        ((waves(8), waves(8)), r"of shape \(1, 8, 8\) are not those of \(1, 16, 16\)"),
        ((waves(4), waves(16)), r"of shape \(1, 4, 4\) are not those of \(1, 8, 8\)"),
        ((waves(8), Modes(torch.zeros(1, 16, 16))), "a spectrum needs the data's"),
        ((waves(8),), "1 modes were given for 2 levels"),
        ((), "0 modes were given for 2 levels"),
    ],
)
def test_spectra_that_do_not_fit_are_refused(modes, match):
    with pytest.raises(ValueError, match=match):
        grow(diagonal(4), torch.zeros(2, 1, 4, 4), 2, generator(), modes=modes)


def test_averages_are_those_of_block_spins_and_odd_sides_have_none():
    fields = free_fields(8, 3).double()
    torch.testing.assert_close(coarse_fields(fields, blocks=True), BlockSpin().coarse(fields, 4))
    with pytest.raises(ValueError, match=r"blocks of 2×2 sites do not fit fields \(1, 1, 5, 5\)"):
        coarse_fields(torch.zeros(1, 1, 5, 5), blocks=True)


def test_one_octave_of_blocks_needs_no_spectrum():
    given = coarse_fields(free_fields(16, 3), blocks=True)
    grown = [
        grow(diagonal(4), given, 1, generator(1), modes=m, steps=2) for m in ((), (waves(16),))
    ]
    assert torch.equal(*grown)
    with pytest.raises(ValueError, match="are not those of"):
        grow(diagonal(4), given, 1, generator(), modes=(waves(8),))
    with pytest.raises(ValueError, match="3 modes were given for 1 levels"):
        grow(diagonal(4), given, 1, generator(), modes=(waves(16),) * 3)
    with pytest.raises(ValueError, match="the modes of the waves are needed"):
        moved(GaussianDenoiser(FourierBasis((1, 8, 8), "lattice"), waves(8)), (1, 16, 16), None)


@pytest.mark.parametrize(
    ("wavelet", "side", "match"),
    [("haar", 8, "not those of WaveletBasis"), ("db2", 8, "not those of WaveletBasis")],
)
def test_wavelets_that_cannot_move_are_refused(wavelet, side, match):
    basis = WaveletBasis((1, 8, 8), wavelet, 2)
    model = GaussianDenoiser.fit(basis, free_fields(8, 50), symmetries="lattice")
    with pytest.raises(ValueError, match=match):
        moved(model, (1, side, side), waves(side))
