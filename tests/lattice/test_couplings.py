"""Models along a line of couplings: the free theory in closed form, files, bad input."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

import rgdiff_core as rg
from rgdiff_core.bases import Basis
from rgdiff_core.cli.main import main
from rgdiff_core.denoisers import ModelSpec, NetworkDenoiser
from rgdiff_core.denoisers.conditional import Conditioned
from rgdiff_core.denoisers.files import load_model, read_metadata, save_model
from rgdiff_core.denoisers.modes_line import ModesLine
from rgdiff_core.lattice import Phi4
from rgdiff_core.lattice.line import CouplingLine
from rgdiff_core.likelihood import log_likelihood
from rgdiff_core.networks import LatticeNet, NetworkSpec, UNet
from rgdiff_core.training.losses import Objective, denoising_loss
from rgdiff_core.training.models import DEFAULT
from rgdiff_core.training.noise_levels import Universal

SIZE = 4
BASIS = rg.bases.FourierBasis((1, SIZE, SIZE), "lattice").double()


NET = LatticeNet(8, 1)


def precision(m2: float) -> Tensor:
    """Return 2 (−Δ + m²) of the lattice, (V, V), site by site."""
    sites = np.arange(SIZE**2).reshape(SIZE, SIZE)
    laplacian = -4 * np.eye(SIZE**2)
    for axis in (0, 1):
        for step in (1, -1):
            laplacian[sites.ravel(), np.roll(sites, step, axis).ravel()] += 1
    return torch.from_numpy(2 * (m2 * np.eye(SIZE**2) - laplacian))


def free_variance(m2: float) -> Tensor:
    """Return the variances of the free theory's components."""
    rows = BASIS.analyze(torch.eye(SIZE**2, dtype=torch.float64).view(-1, 1, SIZE, SIZE))
    vectors = rows.flatten(1)  # (V, K)
    covariance = torch.linalg.inv(precision(m2))
    return torch.einsum("vk,vw,wk->k", vectors, covariance, vectors).view(BASIS.shape)


def free_line(points: int = 7) -> ModesLine:
    """Return the exact modes of free theories, λ = 0, with m² from 0.5 to 2."""
    line = CouplingLine(tuple((0.5 + 1.5 * i / (points - 1), 0.0) for i in range(points)))
    modes = []
    for m2, _ in line.points:
        variance = free_variance(m2)
        modes.append(rg.Modes(BASIS.scale, torch.zeros_like(variance), variance, BASIS.momentum))
    return ModesLine(line, tuple(modes))


def model_along(
    line: ModesLine, network: NetworkSpec = NET, learnt: float = 0.0, basis: Basis = BASIS
) -> NetworkDenoiser:
    """Return a model with weights at random; where it has learnt nothing F is 0."""
    model = ModelSpec(network, "variance", line=line.line).build(basis, line).double()
    if learnt:
        for parameter in model.network.parameters():
            torch.nn.init.normal_(parameter, std=learnt)
    return model.requires_grad_(False)


def single() -> Basis:
    """Return the basis in single precision, as files have it."""
    return rg.bases.FourierBasis((1, SIZE, SIZE), "lattice")


def process_of(model: NetworkDenoiser) -> rg.Process:
    schedule = rg.schedules.LinearGamma(-30.0, 6.0)
    return rg.Process(model.basis, rg.colors.White(), schedule, model.modes)


@pytest.mark.parametrize("m2", [0.5, 1.0, 1.25, 2.0])
def test_at_its_couplings_the_score_is_that_of_the_free_theory(m2):
    here = model_along(free_line()).at(m2, 0.0)
    process, x = process_of(here), torch.randn(3, 1, SIZE, SIZE, dtype=torch.float64)
    covariance = torch.linalg.inv(precision(m2))
    for t in (0.2, 0.9):
        marginal = process.marginal(t)
        noise = float(marginal.std.flatten()[0]) ** 2 * torch.eye(SIZE**2, dtype=torch.float64)
        total = float(marginal.alpha.flatten()[0]) ** 2 * covariance + noise
        exact = -torch.linalg.solve(total, x.reshape(3, -1).T).T.reshape(x.shape)
        torch.testing.assert_close(here.score(x, t, process), exact, rtol=1e-9, atol=1e-9)
    # γ = −30 leaves noise of 1e-13 of the power
    log_q = log_likelihood(here, process, x, 2)
    log_p = -Phi4(m2, 0.0)(x) + torch.logdet(precision(m2) / (2 * torch.pi)) / 2
    torch.testing.assert_close(log_q, log_p, rtol=1e-6, atol=1e-6)


def test_between_them_the_error_falls_with_the_fourth_power():
    errors = []
    for points in (13, 25, 49):
        line, worst = free_line(points), 0.0
        for a, b in zip(line.line.points, line.line.points[1:], strict=False):
            m2 = (a[0] + b[0]) / 2
            exact = free_variance(m2)
            found = line.at(line.line.place(m2, 0.0)).variance
            assert found is not None
            worst = max(worst, float((found / exact).log().abs().max()))
        errors.append(worst)
    assert errors[0] < 3e-4
    assert errors[0] > 8 * errors[1] > 64 * errors[2]
    # the mean over components that are left out, twice as far from their neighbours
    assert errors[0] / 10 < free_line(13).spread() < errors[0]


def test_the_gradient_of_the_density_between_couplings_is_the_score():
    here = model_along(free_line()).at(0.7, 0.0)
    process, x = process_of(here), torch.randn(1, 1, SIZE, SIZE, dtype=torch.float64)
    v, h = torch.randn_like(x), 1e-4
    above, below = (log_likelihood(here, process, x + s * h * v, 2) for s in (1, -1))
    slope = float((here.score(x, 0.0, process) * v).sum())
    assert float(above - below) / (2 * h) == pytest.approx(slope, rel=1e-6)


def test_the_loss_of_a_mixed_batch_is_that_of_each_coupling():
    model = model_along(free_line(), learnt=0.2)
    points = torch.tensor([0, 3, 6, 2])
    x, noise = torch.randn(2, 4, 1, SIZE, SIZE, dtype=torch.float64)
    levels = Universal(4).sampler(BASIS, model.modes, Objective(), 0).draw(0, 4)
    whole = denoising_loss(model, x, levels, noise, points)
    for i, point in enumerate(points.tolist()):
        row = slice(i, i + 1)
        here = model.at(*free_line().line.points[point])
        alone = denoising_loss(here, x[row], levels.rows(row), noise[row])
        torch.testing.assert_close(whole.weighted[row], alone.weighted)
        torch.testing.assert_close(whole.gain[row], alone.gain)


@pytest.mark.parametrize("network", [NET, UNet(8, (1, 2), 1, (2,))])
def test_views_share_weights_and_leave_the_model_as_it_was(network):
    model = model_along(free_line(), network, learnt=0.3)
    x = torch.randn(2, 1, SIZE, SIZE, dtype=torch.float64)
    process = process_of(model)
    before = model.denoise(x, 0.5, process)
    one, other = model.at(0.6, 0.0), model.at(1.9, 0.0)
    assert one.network is model.network
    assert (one.couplings, model.couplings) == ((0.6, 0.0), (1.25, 0.0))
    # F itself depends on the couplings, not its Gaussian alone
    c, marginal = BASIS.analyze(x), process.vp_marginal(0.5)
    gaussian = model.gaussian(c, marginal)
    apart = one.network_output(c, marginal, gaussian) - other.network_output(c, marginal, gaussian)
    assert float(apart.abs().max()) > 1e-4
    assert torch.equal(model.denoise(x, 0.5, process), before)
    assert torch.equal(one.at(1.25, 0.0).denoise(x, 0.5, process), before)


def test_a_conditional_sample_keeps_what_is_known_at_any_couplings():
    here = model_along(free_line(), learnt=0.1).at(0.8, 0.0)
    field = torch.randn(1, 1, SIZE, SIZE, dtype=torch.float64)
    known = (BASIS.scale < 0.4).double()
    given = Conditioned(here, field, known)
    x = rg.sample(given, process_of(here), 5, 8, "shell", seed=0)
    kept = known * BASIS.analyze(x - field)
    assert float(kept.abs().max()) < 1e-6


def test_a_file_gives_the_same_model_at_every_coupling(tmp_path: Path):
    model = model_along(free_line(), learnt=0.2, basis=single()).float()
    # written at other couplings than its own: a file knows the line, not a place on it
    save_model(model.at(0.6, 0.0), tmp_path / "model.safetensors")
    read = load_model(tmp_path / "model.safetensors")
    assert (read.line, read.couplings) == (model.line, model.couplings)
    for m2 in (0.5, 0.9, 2.0):
        both = [each.at(m2, 0.0) for each in (model, read)]
        first, second = (rg.sample(each, process_of(each), 2, 3, seed=1) for each in both)
        torch.testing.assert_close(first, second)


def test_a_file_whose_line_is_damaged_is_refused(tmp_path: Path):
    model = model_along(free_line(), basis=single()).float()
    path = tmp_path / "model.safetensors"
    for line, words in (("[]", "0 modes were given for 7 couplings"), ("3", "must be a list")):
        save_model(model, path)
        metadata = read_metadata(path) | {"line": line}
        save_file(load_file(path), path, metadata)
        with pytest.raises(ValueError, match=words):
            load_model(path)


def test_couplings_that_are_not_on_the_line_are_named_with_it():
    model = model_along(free_line())
    for couplings in ((2.5, 0.0), (0.4, 0.0), (1.0, 0.5), (1.0, -0.5)):
        with pytest.raises(
            ValueError, match=re.escape("is outside the line of couplings m² = 0.5 to 2, λ = 0")
        ):
            model.at(*couplings)
    with pytest.raises(ValueError, match="must be a finite number"):
        model.at(float("nan"), 0.0)
    with pytest.raises(ValueError, match="is not conditioned on couplings"):
        rg.load_pretrained("phi4-6x6").at(-4.0, 6.975)


@pytest.mark.parametrize(
    ("points", "words"),
    [
        (((-4.0, 4.0),), "number of couplings = 1 is outside"),
        (((-4.0, 4.0), (-4.0, 4.0)), "ends where it begins"),
        (((-4.0, 4.0), (-3.0, 5.0), (-4.0, 7.0)), "not on the straight line"),
        (((-4.0, 4.0), (-4.0, 8.0), (-4.0, 7.0)), "one after the other"),
        (((-4.0, 4.0), (-4.0, 6.0), (-4.0, 5.0), (-4.0, 7.0)), "one after the other"),
        (((-4.0, -1.0), (-4.0, 7.0)), "λ = -1.0 is outside"),
        (((-4.0, 4.0), (float("inf"), 7.0)), "must be a finite number"),
    ],
)
def test_a_line_that_is_none_is_refused(points, words):
    with pytest.raises(ValueError, match=words):
        CouplingLine(points)


def test_a_line_says_what_is_left_out():
    line = CouplingLine(((-4.0, 4.0), (-4.0, 7.0)))
    assert line.complete(None, 5.0) == (-4.0, 5.0)
    assert line.complete(-4.0, 5.0) == (-4.0, 5.0)
    with pytest.raises(ValueError, match="m² or λ is missing"):
        line.complete(-4.0, None)
    slanted = CouplingLine(((-4.0, 4.0), (-2.0, 8.0)))
    assert slanted.complete(-3.0, None) == (-3.0, 6.0)
    assert slanted.at(slanted.place(-3.5, 5.0)) == (-3.5, 5.0)
    assert CouplingLine.from_json(slanted.to_json()) == slanted


def test_the_command_draws_at_the_couplings_that_it_is_given(tmp_path: Path, capsys):
    model = model_along(free_line(), learnt=0.1, basis=single()).float()
    path, out = tmp_path / "model.safetensors", tmp_path / "out.npz"
    save_model(model, path)
    words = ["sample", str(path), "--n", "4", "--steps", "3", "--out", str(out), "--json"]
    assert main([*words, "--mass2", "0.7", "--coupling", "0"]) == 0
    assert json.loads(capsys.readouterr().out)["couplings"] == [0.7, 0.0]
    here = load_model(path).at(0.7, 0.0)
    with np.load(out) as found:
        assert (float(found["m2"]), float(found["lam"])) == (0.7, 0.0)
        drawn = torch.from_numpy(found["images"])
    process = rg.Process(here.basis, DEFAULT.color, DEFAULT.schedule, here.modes)
    torch.testing.assert_close(drawn, rg.sample(here, process, 4, 3, seed=0))
    for asked, sentence in (
        (["--mass2", "3"], "outside the line of couplings m² = 0.5 to 2, λ = 0"),
        (["--coupling", "0"], "m² or λ is missing"),
    ):
        assert main([*words, *asked]) != 0
        said = capsys.readouterr()
        assert sentence in said.err + said.out and "Traceback" not in said.err
    assert main(["sample", "phi4-6x6", "--coupling", "6", "--out", str(out)]) != 0
    assert "is not conditioned on couplings" in capsys.readouterr().err
