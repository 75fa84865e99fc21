"""Devices by name, and computations on a device without float64."""

from collections.abc import Iterator
from functools import partial

import pytest
import torch
from far import FAR, Far, NoFloat64
from laws import BASES, fields
from torch import Tensor

import rgdiff_core as rg
from rgdiff_core import devices
from rgdiff_core.devices import device_of, doubled, names
from rgdiff_core.evaluation.images.bound import image_bound
from rgdiff_core.evaluation.lattice.quality import held_out, quality
from rgdiff_core.likelihood import sampler_density
from rgdiff_core.networks import LatticeNet
from rgdiff_core.sampling import GRIDS, METHODS
from rgdiff_core.search.gradient import improve
from rgdiff_core.search.grids import optimal_times
from rgdiff_core.training.trainer import fabric_for

SHAPE = (1, 4, 4)
WRONG = ("mps", "cuda", "cuda:7", "gpu", "cpu:0", "", "CUDA", "xpu", "meta", "cuda:x", "ü" * 500)


@pytest.mark.parametrize("name", WRONG)
def test_a_device_that_is_not_here_is_one_sentence(name):
    if name in names():
        pytest.skip(f"{name} is here")
    for call in (device_of, fabric_for):
        with pytest.raises(
            ValueError, match=r"^device = '.*' is not one of those here: auto, cpu"
        ):
            call(name)


def test_every_name_here_is_a_device():
    for name in names():
        kind = torch.zeros(1, device=device_of(name)).device.type
        assert name in ("auto", kind) or name.startswith(f"{kind}:")
    assert device_of().type == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.fixture
def far(monkeypatch) -> Iterator[torch.device]:
    """Play a device without float64."""
    monkeypatch.setattr(devices, "WITHOUT_FLOAT64", (FAR.type,))
    on_cpu = partial(torch.autocast, "cpu")  # torch has none for a device of this name
    monkeypatch.setattr(torch, "autocast", lambda kind, *how: on_cpu(*how))
    with NoFloat64():
        yield FAR


def test_the_stand_in_has_no_float64(far):
    x = torch.ones(3).to(far)
    assert isinstance(x, Far) and (2 * x).sum().item() == 6
    for cast in (
        x.double,
        lambda: x.to("cpu", torch.float64),
        lambda: torch.zeros(2).double().to(far),
    ):
        with pytest.raises(TypeError):
            cast()
    with pytest.raises(RuntimeError):
        x + torch.ones(3)
    assert torch.equal(doubled(x), torch.ones(3).double())


def made(name: str = "fourier", schedule: rg.schedules.Schedule | None = None):
    """Return a learned model and a process, in float32 on the CPU."""
    basis = BASES[name](SHAPE)
    data = fields(SHAPE, 64).float()
    torch.manual_seed(0)
    model = rg.ModelSpec(LatticeNet(8, 1)).build(basis, rg.Modes.fit(basis, data)).float()
    torch.nn.init.normal_(model.network.last.weight, std=0.3)
    schedule = schedule or rg.schedules.Cutoff(rg.schedules.SigmoidKernel(0.3), gamma_max=6.0)
    process = rg.Process(basis, rg.colors.Matched(), schedule, model.modes)
    return model, process, data


def near(x: Tensor) -> Tensor:
    assert isinstance(x, Far)
    return x.near


@pytest.mark.parametrize(
    ("method", "grid"), [(each, "angle") for each in METHODS] + [("ddim", each) for each in GRIDS]
)
def test_samples_need_no_float64(far, method, grid):
    model, process, _ = made()
    expected = rg.sample(model, process, 2, 4, method, grid=grid, seed=1)
    x = rg.sample(model.to(far), process.to(far), 2, 4, method, grid=grid, seed=1)
    torch.testing.assert_close(near(x), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["pixel", "cosine", "haar", "pca"])
def test_every_basis_works_without_float64(far, name):
    model, process, _ = made(name)
    expected = rg.sample(model, process, 2, 3, seed=1)
    x = rg.sample(model.to(far), process.to(far), 2, 3, seed=1)
    torch.testing.assert_close(near(x), expected, rtol=1e-4, atol=1e-4)


def test_likelihoods_need_no_float64(far):
    model, process, data = made()
    x = data[:2]
    generator = torch.Generator
    calls = {
        "exact": lambda x: rg.log_likelihood(model, process, x, 1),
        "bound": lambda x: rg.elbo(model, process, x, 4, generator().manual_seed(0)),
        "sampler": lambda x: (
            sampler_density(model, process, 2, 2, "ddim", generator().manual_seed(0)).log_density
        ),
    }
    expected = {what: call(x) for what, call in calls.items()}
    model, process, x = model.to(far), process.to(far), x.to(far)
    for what, call in calls.items():
        torch.testing.assert_close(near(call(x)), expected[what], rtol=1e-3, atol=1e-3, msg=what)


def test_evaluation_needs_no_float64(far):
    model, process, data = made()
    action = rg.lattice.Phi4(-4.0, 6.975)
    generator = torch.Generator

    def figures() -> list[float]:
        worth = quality(model, process, action, 32, 1, generator().manual_seed(0))
        held = held_out(model, process, action, data[:4], 1, worth.log_z)
        bound = image_bound(model, process, data[:4].clamp(-1, 1), 2)
        power = rg.spectra.power_spectrum(data.to(process.noise_variance)).power
        return [
            worth.ess.value,
            worth.log_z.value,
            held.nll.value,
            *bound.bits.tolist(),
            *power.tolist(),
        ]

    expected = figures()
    model, process = model.to(far), process.to(far)
    assert figures() == pytest.approx(expected, rel=1e-3)


def test_searches_need_no_float64(far):
    model, process, data = made()

    def found() -> list[float]:
        times = optimal_times(model, process, data[:8], 3, 6)
        *_, last = improve(model, process, data[:8], 3, rounds=1, batch=4)
        return [*times, last.objective.value]

    expected = found()
    model, process = model.to(far), process.to(far)
    assert found() == pytest.approx(expected, rel=1e-3)


def test_a_lattice_is_not_simulated_without_float64(monkeypatch):
    monkeypatch.setattr(devices, "WITHOUT_FLOAT64", ("cpu",))
    with pytest.raises(ValueError, match="a generator on cpu has no float64"):
        rg.lattice.hmc(rg.lattice.Phi4(-4.0, 6.975), 4, 8, generator=torch.Generator())


@pytest.mark.parametrize("wrong", [3, "three", [torch.Generator()]])
def test_what_is_no_generator_is_one_sentence_on_the_lattice(wrong):
    theory = rg.lattice.FreeField(4, 1.0)
    for call in (
        lambda: rg.lattice.hmc(rg.lattice.Phi4(-4.0, 6.975), 4, 8, generator=wrong),
        lambda: theory.sample(2, wrong),
    ):
        with pytest.raises(ValueError, match=r"is not a torch\.Generator"):
            call()
