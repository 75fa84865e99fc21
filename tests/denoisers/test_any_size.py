"""Models on lattices of another size: what carries over exactly, and what cannot move."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from gaussians import generator
from laws import fields

from rgdiff_core import GaussianDenoiser, ModelSpec, Modes, NetworkDenoiser, load_model, save_model
from rgdiff_core.bases import CosineBasis, FourierBasis, PCABasis
from rgdiff_core.bases.base import Basis, Shape
from rgdiff_core.denoisers import Guided
from rgdiff_core.denoisers.conditional import Conditioned
from rgdiff_core.denoisers.modes_line import ModesLine
from rgdiff_core.lattice.line import CouplingLine
from rgdiff_core.networks import LatticeNet, UNet
from rgdiff_core.process import Marginal

HOME, AWAY = (1, 4, 4), (1, 8, 8)
SPEC = ModelSpec(LatticeNet(8, 2), c_out="variance")
LINE = CouplingLine(((-4.0, 4.0), (-4.0, 5.0), (-4.0, 6.0)))


def modes_on(shape: Shape, height: float = 1.0) -> Modes:
    """Return modes of a free field, Σ = height/(k̂² + 1)."""
    basis = FourierBasis(shape, "lattice")
    variance = height / (basis.momentum**2 + 1)
    return Modes(basis.scale, torch.zeros(shape), variance, basis.momentum)


def trained(spec: ModelSpec = SPEC, height: float = 1.0) -> NetworkDenoiser:
    """Return a model of 4×4 fields whose network does something."""
    modes: Modes | ModesLine = modes_on(HOME, height)
    if spec.line is not None:
        heights = enumerate(spec.line.points, 1)
        modes = ModesLine(spec.line, tuple(modes_on(HOME, n * height) for n, _ in heights))
    model = spec.build(FourierBasis(HOME, "lattice"), modes)
    for weight in model.network.parameters():
        torch.nn.init.normal_(weight, std=0.2, generator=generator(3))
    return model.eval()


def tiled(c: torch.Tensor, model: NetworkDenoiser, other: NetworkDenoiser) -> torch.Tensor:
    """Return the components on 8×8 of fields of 4×4 that are repeated in both directions."""
    return other.basis.analyze(model.basis.synthesize(c).tile(1, 1, 2, 2))


def test_a_network_that_moves_is_shared_and_keeps_its_type():
    model = trained()
    model.network.to(torch.bfloat16)
    other = model.on(AWAY, modes_on(AWAY))
    assert other.network is model.network
    assert {weight.dtype for weight in model.network.parameters()} == {torch.bfloat16}
    assert other.modes_mean.dtype == torch.float32


@pytest.mark.parametrize("c_out", ["std", "variance", "isotropic"])
@pytest.mark.parametrize("network_input", ["posterior_mean", "isotropic", "whitened"])
def test_the_network_makes_the_same_of_a_periodic_field_on_a_larger_lattice(c_out, network_input):
    """White noise and data: with equal variances everywhere, a field of period 4 is a field on
    4×4 for anything translation invariant, and what the model makes of it has period 4 too.
    """
    spec = replace(SPEC, c_out=c_out, network_input=network_input)
    flat = [torch.full(shape, 0.7) for shape in (HOME, AWAY)]
    bases = [FourierBasis(shape, "lattice") for shape in (HOME, AWAY)]
    modes = [
        Modes(b.scale, torch.zeros_like(v), v, b.momentum)
        for b, v in zip(bases, flat, strict=True)
    ]
    model = NetworkDenoiser(bases[0], modes[0], spec, network=trained(spec).network).eval()
    other = model.on(AWAY, modes[1])
    c = torch.randn(5, *HOME, generator=generator(1))
    level = Marginal(torch.tensor(0.8), torch.tensor(0.6))
    small, large = (
        Marginal(*(x.expand(shape) for x in (level.alpha, level.std))) for shape in (HOME, AWAY)
    )
    expected = tiled(model.posterior(c, small).mean, model, other)
    found = other.posterior(tiled(c, model, other), large).mean
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=1e-4)


def test_the_unit_is_that_of_training_and_the_weights_are_shared():
    model = trained()
    other = model.on(AWAY, modes_on(AWAY, 3.0))
    assert other.basis.shape == AWAY and other.network is model.network
    torch.testing.assert_close(other.unit_variance, model.unit_variance)
    # back at home with the same modes it is the same model, to the last bit
    again = other.on(HOME, model.modes)
    c = torch.randn(3, *HOME, generator=generator())
    level = Marginal(torch.full(HOME, 0.8), torch.full(HOME, 0.6))
    assert torch.equal(again.posterior(c, level).mean, model.posterior(c, level).mean)


def test_white_data_have_the_mean_variance_of_where_the_network_is_used():
    model = trained(replace(SPEC, c_out="isotropic", network_input="isotropic"))
    other, seen = model.on(AWAY, modes_on(AWAY, 3.0)), []
    handle = model.network.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    a, n, power = 0.8, 0.36, other.modes_variance.mean()
    level = Marginal(torch.full(AWAY, a), torch.full(AWAY, n**0.5))
    c, white = torch.randn(3, *AWAY, generator=generator()), 1 / (1 / power + a**2 / n)
    assert not torch.isclose(power, model.modes_variance.mean(), rtol=0.1)
    scale = other.c_out(level, other.modes_variance)
    torch.testing.assert_close(scale, white.sqrt().expand(scale.shape), rtol=1e-4, atol=0)
    other.posterior(c, level)
    handle.remove()
    mean = white * (other.modes_mean / power + a * c / n)
    shown = other.basis.synthesize(mean / model.unit_variance.sqrt())
    torch.testing.assert_close(seen[0], shown, rtol=1e-4, atol=1e-5)


def test_a_moved_model_is_kept_in_a_file_with_its_unit(tmp_path: Path):
    model = trained()
    other = model.on(AWAY, modes_on(AWAY, 3.0))
    save_model(other, tmp_path / "away.safetensors")
    save_model(model, tmp_path / "home.safetensors")
    c = torch.randn(3, *AWAY, generator=generator())
    level = Marginal(torch.full(AWAY, 0.8), torch.full(AWAY, 0.6))
    for path, near in (("away", other), ("home", model.on(AWAY, modes_on(AWAY, 3.0)))):
        found = load_model(tmp_path / f"{path}.safetensors")
        moved = found if path == "away" else found.on(AWAY, modes_on(AWAY, 3.0))
        torch.testing.assert_close(
            moved.posterior(c, level).mean, near.posterior(c, level).mean, atol=1e-6, rtol=1e-5
        )


@pytest.mark.parametrize("unit", [[], [0.0], [1e-60], [-1.0], [1.0, 2.0], "x", [None], 3])
def test_a_damaged_unit_is_refused_in_one_sentence(unit, tmp_path: Path):
    from safetensors import safe_open
    from safetensors.torch import load_file, save_file

    path = tmp_path / "away.safetensors"
    save_model(trained().on(AWAY, modes_on(AWAY)), path)
    with safe_open(path, "pt") as file:
        told = file.metadata() | {"unit": json.dumps(unit)}
    save_file(load_file(path), path, told)
    with pytest.raises(ValueError, match="unit"):
        load_model(path)


def test_along_a_line_every_coupling_keeps_its_unit(tmp_path: Path):
    model = trained(replace(SPEC, line=LINE))
    away = ModesLine(LINE, tuple(modes_on(AWAY, 2.0 * n) for n in (1, 2, 3)))
    other = model.on(AWAY, away)
    for lam in (4.0, 4.6, 6.0):
        here, there = model.at(-4, lam), other.at(-4, lam)
        torch.testing.assert_close(there.unit_variance, here.unit_variance, atol=0, rtol=1e-5)
        assert there.couplings == (-4, lam) and there.modes.shape == AWAY
        assert float(there.modes.variance.sum()) > float(here.modes.variance.sum())  # type: ignore[union-attr]
    at = other.at_points(torch.tensor([2, 0]))
    torch.testing.assert_close(
        at.unit_variance.flatten(), model.at_points(torch.tensor([2, 0])).unit_variance.flatten()
    )
    save_model(other, tmp_path / "line.safetensors")
    again = load_model(tmp_path / "line.safetensors").at(-4, 4.6)
    torch.testing.assert_close(again.unit_variance, other.at(-4, 4.6).unit_variance)


def test_guidance_moves_and_what_is_known_of_fields_does_not():
    model = trained()
    guided = Guided(model, GaussianDenoiser(model.basis, model.modes), 2.0)
    moved = guided.on(AWAY, modes_on(AWAY))
    c = torch.randn(3, *AWAY, generator=generator())
    level = Marginal(torch.full(AWAY, 0.8), torch.full(AWAY, 0.6))
    away = model.on(AWAY, modes_on(AWAY))
    free = GaussianDenoiser(away.basis, away.modes).posterior(c, level).mean
    own = away.posterior(c, level).mean
    torch.testing.assert_close(moved.posterior(c, level).mean, 2 * own - free)
    given = Conditioned(model, fields(HOME, 1).float(), torch.ones(()))
    with pytest.raises(ValueError, match="cannot move to 8×8"):
        given.on(AWAY, modes_on(AWAY))


@pytest.mark.parametrize(
    ("shape", "modes", "match"),
    [
        ((1, 7, 7), modes_on((1, 7, 7)), "7 sites is odd"),
        ((1, 8, 8), modes_on(HOME), "not those of FourierBasis"),
        ((2, 8, 8), modes_on(AWAY), "1 channels"),
        ((1, 2, 2), modes_on((1, 2, 2)), "kernel = 5 wraps around"),
        ((1, 0, 8), modes_on(AWAY), "positive integers"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(shape, modes, match):
    model = trained(replace(SPEC, network=LatticeNet(8, 1, 5)))
    with pytest.raises(ValueError, match=match):
        model.on(shape, modes)


def _other_bases() -> list[Basis]:
    pca = PCABasis.fit(fields(HOME, 40).float())
    return [CosineBasis(HOME), pca]


@pytest.mark.parametrize("basis", _other_bases(), ids=lambda basis: type(basis).__name__)
def test_bases_whose_scales_depend_on_the_size_are_refused(basis):
    model = GaussianDenoiser.fit(basis, fields(HOME, 40).float())
    with pytest.raises(ValueError, match="has no counterpart on 8×8"):
        model.on(AWAY, modes_on(AWAY))


def test_a_network_with_attention_is_refused():
    model = ModelSpec(UNet(8, (1,), 1, (4,))).build(FourierBasis(HOME, "lattice"), modes_on(HOME))
    with pytest.raises(ValueError, match="a UNet serves 4×4 fields alone"):
        model.on(AWAY, modes_on(AWAY))
