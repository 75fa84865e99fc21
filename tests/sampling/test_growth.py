"""Growing lattices: exact for Gaussian fields, and what is given is kept."""

import pytest
import torch
from gaussians import generator

import rgdiff_core as rg
from rgdiff_core import GaussianDenoiser, ModelSpec, Modes, Process, sample
from rgdiff_core.bases import CosineBasis, FourierBasis
from rgdiff_core.colors import Matched
from rgdiff_core.lattice import FreeField, observables
from rgdiff_core.networks import LatticeNet
from rgdiff_core.renormalization.coarse import MomentumShell
from rgdiff_core.sampling.growth import coarse_fields, grow, redrawn, rescaled
from rgdiff_core.schedules import Cutoff

M2 = 0.3


def free_modes(side: int) -> Modes:
    """Return the modes of the free field of mass² 0.3."""
    basis = FourierBasis((1, side, side), "lattice")
    variance = 1 / (2 * (basis.momentum**2 + M2))
    return Modes(basis.scale, torch.zeros_like(variance), variance, basis.momentum)


def free_model(side: int) -> GaussianDenoiser:
    return GaussianDenoiser(FourierBasis((1, side, side), "lattice"), free_modes(side))


def free_fields(side: int, n: int, seed: int = 0) -> torch.Tensor:
    """Draw free fields exactly, from the propagator and white noise."""
    modes, basis = free_modes(side), FourierBasis((1, side, side), "lattice")
    assert modes.variance is not None
    eps = torch.randn(n, 1, side, side, generator=generator(seed))
    return basis.synthesize(modes.variance.sqrt() * eps)


@pytest.mark.parametrize("side", [6, 8])
def test_blocked_fields_grow_back_into_the_free_field(side):
    """Every component of the grown fields has the free propagator, within 5 standard errors."""
    n = 3000
    coarse = coarse_fields(free_fields(side, n))
    grown = grow(free_model(4), coarse, 1, generator(1), modes=(free_modes(side),), steps=6)
    c = FourierBasis((1, side, side)).analyze(grown)
    exact = free_modes(side).variance
    assert exact is not None
    ratio = c.square().mean(0) / exact
    assert ((ratio - 1).abs() < 5 * (2 / n) ** 0.5).all()
    correlation = torch.corrcoef(c.flatten(1).T)
    off = correlation - torch.diag(correlation.diagonal())
    assert off.abs().max() < 5.5 / n**0.5  # of 2016 pairs


def test_two_octaves_have_the_observables_of_the_free_field():
    n = 1500
    coarse = coarse_fields(free_fields(8, n))
    ladder = (free_modes(8), free_modes(16))
    grown = rg.lattice.grow(free_model(4), coarse, 2, generator(1), modes=ladder, steps=6)  # type: ignore[attr-defined]
    assert grown.shape == (n, 1, 16, 16)
    found, exact = observables(grown, n_chains=n), FreeField(M2, 16)
    for name in ("susceptibility", "phi2", "phi4", "energy", "binder"):
        assert abs(found[name].value - getattr(exact, name)) < 4 * found[name].error, name


def test_the_long_waves_of_a_grown_field_are_those_it_was_given():
    spec = ModelSpec(LatticeNet(8, 1), c_out="variance")
    model = spec.build(FourierBasis((1, 4, 4), "lattice"), free_modes(4)).eval()
    for weight in model.network.parameters():
        torch.nn.init.normal_(weight, std=0.1, generator=generator(3))
    coarse = coarse_fields(free_fields(8, 5))
    grown = grow(model, coarse, 1, generator(), modes=(free_modes(8),), steps=3)
    inner = [0, 1, 3]  # of 4×4; wave 2 is at the edge, and half of it is lost
    kept, given = (FourierBasis((1, 4, 4)).analyze(x) for x in (coarse_fields(grown), coarse))
    torch.testing.assert_close(kept[..., inner, :][..., inner], given[..., inner, :][..., inner])
    # another implementation of the same blocking, but for the edge
    other = FourierBasis((1, 4, 4)).analyze(MomentumShell().coarse(grown.double(), 4))
    torch.testing.assert_close(
        other[..., inner, :][..., inner].float(), kept[..., inner, :][..., inner]
    )


def test_rescaled_fields_have_the_spectrum_of_blocked_ones():
    n = 4000
    found = rescaled(free_fields(8, n), free_modes(8), free_modes(16))
    blocked = coarse_fields(free_fields(16, n, 1))
    basis = FourierBasis((1, 8, 8))
    ratio = basis.analyze(found).square().mean(0) / basis.analyze(blocked).square().mean(0)
    assert ((ratio - 1).abs() < 5.5 * (4 / n) ** 0.5).all()


def test_a_field_does_not_depend_on_the_batch_it_is_grown_in():
    coarse = coarse_fields(free_fields(8, 3))

    def drawn(rows: slice) -> torch.Tensor:
        streams = [generator(i) for i in range(3)][rows]
        return grow(free_model(4), coarse[rows], 1, streams, modes=(free_modes(8),), steps=2)

    torch.testing.assert_close(drawn(slice(3))[1:2], drawn(slice(1, 2)))


@pytest.mark.parametrize(
    ("coarse", "levels", "modes", "match"),
    [
        (torch.zeros(2, 1, 5, 5), 1, (free_modes(8),), "not those of FourierBasis"),
        (torch.zeros(2, 4, 4), 1, (free_modes(8),), r"must be \(n, 1, L, L\)"),
        (torch.full((2, 1, 4, 4), torch.nan), 1, (free_modes(8),), "not a finite number"),
        (torch.zeros(2, 1, 4, 4), 2, (free_modes(8),), "1 modes were given for 2 levels"),
        (torch.zeros(2, 1, 4, 4), 0, (), "levels = 0"),
        (torch.zeros(2, 1, 4, 4), 8, (), "side after all levels"),
        (torch.zeros(2, 1, 4, 4), 1, (free_modes(16),), "not those of FourierBasis"),
    ],
)
def test_what_cannot_grow_is_refused(coarse, levels, modes, match):
    with pytest.raises(ValueError, match=match):
        grow(free_model(4), coarse, levels, generator(), modes=modes)


def test_a_model_that_cannot_move_or_knows_the_time_alone_is_refused():
    cosine = GaussianDenoiser(CosineBasis((1, 4, 4)), free_modes(4))
    with pytest.raises(ValueError, match="has no counterpart"):
        grow(cosine, torch.zeros(1, 1, 4, 4), modes=(free_modes(8),))
    spec = ModelSpec(LatticeNet(8, 1), conditioning="time")
    model = spec.build(FourierBasis((1, 8, 8), "lattice"), free_modes(8))
    with pytest.raises(ValueError, match="conditioned on the time alone"):
        grow(model, torch.zeros(1, 1, 4, 4))


def test_on_the_models_own_lattice_other_modes_are_those_that_count():
    n, factor = 2000, 3.0
    own = free_modes(8)
    assert own.variance is not None
    louder = Modes(own.scale, own.mean, factor * own.variance, own.momentum)
    coarse = torch.zeros(n, 1, 4, 4)
    grown = grow(free_model(8), coarse, generator=generator(1), modes=(louder,), steps=6)
    short = FourierBasis((1, 8, 8)).analyze(grown).square().mean(0)[0, 4] / own.variance[0, 4]
    assert ((short / factor - 1).abs() < 4.5 * (2 / n) ** 0.5).all()


def test_on_the_models_own_lattice_no_modes_are_needed():
    grown = grow(free_model(8), coarse_fields(free_fields(8, 4)), generator=generator(), steps=2)
    assert grown.shape == (4, 1, 8, 8)
    process = Process(free_model(8).basis, Matched(), Cutoff(), free_modes(8))
    assert sample(free_model(8), process, 1, 2, "interaction").shape == grown[:1].shape


def test_short_waves_that_are_redrawn_are_those_of_the_free_field_and_long_ones_stay():
    """Kept waves stay as they were, the others have the free propagator and forget what they
    were, within 5 standard errors.
    """
    n, cutoff, model = 3000, 0.5, free_model(8)
    x = free_fields(8, n)
    found = redrawn(model, x, cutoff, generator(1), steps=6)
    before, after = (model.basis.analyze(each) for each in (x, found))
    kept = (model.basis.scale <= cutoff).expand(model.basis.shape)
    assert kept.any() and not kept.all()
    assert torch.allclose(after[:, kept], before[:, kept], atol=1e-5)
    exact = free_modes(8).variance
    assert exact is not None
    ratio = after.square().mean(0) / exact
    assert ((ratio - 1).abs() < 5 * (2 / n) ** 0.5)[~kept].all()
    overlap = (after * before).mean(0) / exact
    assert (overlap.abs() < 5 / n**0.5)[~kept].all()


def test_a_cutoff_at_0_keeps_nothing_and_one_outside_is_refused():
    model, x = free_model(4), free_fields(4, 2)
    drawn = redrawn(model, x, 0.0, generator(1), steps=6)
    assert torch.equal(drawn, redrawn(model, -x, 0.0, generator(1), steps=6))
    assert torch.allclose(redrawn(model, x, 1.0, steps=6), x, atol=1e-5)
    with pytest.raises(ValueError, match=r"cutoff = 1.5 is outside \[0, 1\]"):
        redrawn(model, x, 1.5)
