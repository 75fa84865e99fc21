"""What a researcher types in a notebook."""

import subprocess
import sys
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from laws import fields
from torch import Tensor

import rgdiff_core as rg
from rgdiff_core.bases import Basis
from rgdiff_core.denoisers import TwoSites
from rgdiff_core.denoisers.conditional import Conditioned
from rgdiff_core.denoisers.files import list_pretrained, pretrained_folder
from rgdiff_core.denoisers.guidance import Guided
from rgdiff_core.networks import LatticeNet
from rgdiff_core.schedules import Schedule
from rgdiff_core.training import TrainConfig, load_config, train
from rgdiff_core.training.config import config_to_toml

SHAPE = (1, 6, 6)


@pytest.fixture(scope="module")
def model() -> rg.NetworkDenoiser:
    return rg.load_pretrained("phi4-6x6")


@pytest.fixture(scope="module")
def process(model) -> rg.Process:
    return rg.Process(model.basis, rg.colors.Matched(), rg.schedules.Cutoff(), model.modes)


@dataclass(frozen=True)
class Quadratic(Schedule):
    """γ = a t² + scale − 4, whose β is known."""

    a: float = 9.0

    def gamma_at(self, t: Tensor, modes: rg.Modes) -> Tensor:
        return self.a * t**2 + modes.scale - 4


@pytest.mark.parametrize("times", [(), (1,), (6,)])
def test_a_schedule_of_ones_own_works_at_any_times(process, times):
    """Six times on six columns: a hook without axes of its own would mix them up."""
    t = torch.full(times, 0.5) + 0.1 * torch.arange(torch.Size(times).numel()).reshape(times) / 6
    own = rg.Process(process.basis, rg.colors.White(), Quadratic(), process.modes)
    at = t[..., None, None, None]
    gamma = 9 * at**2 + process.modes.scale - 4
    level = own.level(t)
    torch.testing.assert_close(level.gamma, gamma)
    torch.testing.assert_close(level.alpha**2 + level.sigma**2, torch.ones_like(gamma))
    torch.testing.assert_close(own.schedule.beta(t, own.modes), torch.sigmoid(gamma) * 18 * at)
    assert rg.Process.from_json(own.to_json()).schedule == Quadratic()
    assert rg.sample(rg.GaussianDenoiser(own.basis, own.modes), own, 2, 3).isfinite().all()


def test_the_wrong_hook_is_refused_with_the_right_one():
    with pytest.raises(TypeError, match="write gamma_at"):

        class Wrong(Schedule):
            def gamma(self, t: Tensor | float, modes: rg.Modes) -> Tensor:  # type: ignore[override]
                return 9 * t + modes.scale


def test_an_incomplete_class_is_refused_when_it_is_made():
    class Half(Basis):
        def transform(self, x: Tensor) -> Tensor:
            return x

    with pytest.raises(TypeError, match="abstract method"):
        Half(SHAPE, torch.zeros(SHAPE), torch.zeros(SHAPE), None)


def test_a_kind_that_is_taken_is_refused_and_stays():
    with pytest.raises(ValueError, match=r"'Cosine' is taken by rgdiff_core\.schedules\.scalar"):

        @dataclass(frozen=True)
        class Cosine(Schedule):
            def gamma_at(self, t: Tensor, modes: rg.Modes) -> Tensor:
                return 9 * t + modes.scale

    assert type(Schedule.from_json('{"kind":"Cosine"}')) is rg.schedules.Cosine


def test_a_cell_that_is_run_again_replaces_its_class():
    for a in (1.0, 2.0):

        @dataclass(frozen=True)
        class FromACell(Schedule):
            slope: float = a

            def gamma_at(self, t: Tensor, modes: rg.Modes) -> Tensor:
                return self.slope * t + modes.scale

    found = Schedule.from_json('{"kind":"FromACell"}')
    assert isinstance(found, FromACell) and found.slope == 2


def test_everything_prints_as_one_line(process):
    rotated = rg.bases.PixelBasis((3, 4, 4), channels=torch.eye(3))
    curve = rg.schedules.SoftConditioning(order=tuple(float(i) for i in range(36)))
    long = rg.Process(process.basis, rg.colors.White(), curve)
    shown = {
        process.basis: "FourierBasis((1, 6, 6), momentum='lattice')",
        rotated: "PixelBasis((3, 4, 4), channels decorrelated)",
        rg.bases.WaveletBasis(SHAPE, levels=1): "wavelet='haar', levels=1",
        process: "Matched(normalize=True, strength=1.0), Cutoff(kernel=SigmoidKernel(width=0.1)",
        long: "White(normalize=True), SoftConditioning(…), Modes((1, 6, 6), without data)",
    }
    for value, expected in shown.items():
        assert expected in repr(value)
        assert "\n" not in repr(value) and len(repr(value)) < 350
    assert repr(process).startswith(f"Process({process.basis!r}, ")
    variance = float(process.modes.variance.mean())
    assert repr(process.modes) == f"Modes((1, 6, 6), of data with mean variance {variance:.4g})"


def test_a_denoiser_prints_as_one_line(model):
    count = sum(p.numel() for p in model.network.parameters())
    given = model.at(*model.line.points[0]) if model.line else model
    shown = {
        given: f"NetworkDenoiser({model.basis}, LatticeNet(",
        rg.GaussianDenoiser(model.basis, model.modes): "Modes((1, 6, 6), of data with",
        Guided(model, model, 1.5): f"Guided({model}, scale 1.5, by NetworkDenoiser)",
        Conditioned(model, torch.zeros(2, *SHAPE), torch.tensor(0.5)): "2 fields known to 50%",
        TwoSites(-3.0, 1.5): "TwoSites(m2=-3, lam=1.5, points=101)",
    }
    for value, expected in shown.items():
        assert expected in repr(value)
        assert "\n" not in repr(value) and len(repr(value)) < 350
    assert f"{count:,} parameters, conditioned on noise levels" in repr(model)
    assert repr(model).endswith("trained on phi4-6x6)")


def test_strings_are_paths(tmp_path, monkeypatch, model, process):
    monkeypatch.chdir(tmp_path)
    rg.save_model(model, "m.safetensors")
    again = rg.load_model("m.safetensors")
    x = fields(SHAPE, 2).float()
    torch.testing.assert_close(again(x, 0.5, process), model(x, 0.5, process))
    config = TrainConfig(
        limit=64,
        steps=2,
        batch=8,
        evaluations=1,
        previews=0,
        model=rg.ModelSpec(LatticeNet(4, 1)),
    )
    (tmp_path / "c.toml").write_text(config_to_toml(config), encoding="utf-8")
    assert load_config("c.toml") == config
    assert train(config, "runs/x", device="cpu").state == "finished"
    with pytest.raises(ValueError, match="holds a run already"):
        train(config, "runs/x", device="cpu")
    assert rg.load_model("runs/x/checkpoint/model.safetensors").trained_on == "phi4-6x6"


def test_samples_by_a_seed_with_a_progress_bar(model, process, capsys):
    x = rg.sample(model, process, 3, steps=4, seed=5, progress=True)
    shown = capsys.readouterr().err
    assert "Sampling" in shown and "5/5" in shown
    torch.testing.assert_close(x[:2], rg.sample(model, process, 2, steps=4, seed=5))
    assert capsys.readouterr().err == ""


def test_a_model_is_called(model, process):
    x = process.perturb(fields(SHAPE, 3).float(), 0.4)
    torch.testing.assert_close(model(x, 0.4, process), model.denoise(x, 0.4, process))


def test_a_loaded_model_knows_what_it_was_trained_on(model, tmp_path):
    named = {each.name: each.data for each in list_pretrained()}
    assert model.trained_on == model.card["data"] == named["phi4-6x6"]
    config = load_config(pretrained_folder() / "phi4-6x6" / "config.toml")
    assert model.card["config"]["steps"] == config.steps
    assert not {"basis", "modes", "model", "format"} & set(model.card)
    rg.save_model(model, tmp_path / "m.safetensors", {"data": "mine", "config": "{ no JSON"})
    loaded = rg.load_model(tmp_path / "m.safetensors")
    assert loaded.trained_on == "mine" and loaded.card["config"] == "{ no JSON"
    assert rg.GaussianDenoiser(model.basis, model.modes).trained_on == ""


@pytest.mark.parametrize("data", [torch.zeros(8, *SHAPE), np.zeros((8, *SHAPE))])
def test_a_config_refuses_fields_in_place_of_a_name(data):
    with pytest.raises(ValueError, match=r"not the name of a data set.*register_folder") as caught:
        TrainConfig(data=data)
    assert str(caught.value).count(".") >= 1 and "\n" not in str(caught.value)


def test_one_field_at_several_times(process):
    x, t = fields(SHAPE, 2)[0].float(), torch.linspace(0, 1, 5)
    noise = torch.randn(SHAPE)
    found = process.perturb(x, t, noise)
    assert found.shape == (5, *SHAPE)
    for each, time in zip(found, t, strict=True):
        torch.testing.assert_close(each, process.perturb(x, time, noise))
    drawn = process.perturb(x, t, generator=torch.Generator().manual_seed(1))
    one = process.perturb(x, t[3], generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(drawn[3], one)
    with pytest.raises(ValueError, match="5 times do not fit"):
        process.perturb(x[None], t)


def test_observables_of_a_run_use_its_chains():
    run = rg.lattice.hmc(
        rg.lattice.Phi4(-4, 6.975), 4, 240, 8, torch.Generator().manual_seed(2), thinning=1
    )
    fields = run.configurations
    assert rg.lattice.observables(run) == rg.lattice.observables(fields, n_chains=8)
    action = rg.lattice.Phi4(-4, 6.975)
    dyson = rg.lattice.schwinger_dyson(action, run)
    assert dyson == rg.lattice.schwinger_dyson(action, fields, n_chains=8)
    assert rg.lattice.action_density(action, run, n_chains=240).tau_int is None
    assert rg.lattice.correlator(run) == rg.lattice.correlator(fields, n_chains=8)


def test_the_first_error_bar_imports_little_and_packages_come_when_they_are_asked_for():
    code = """
import sys
import rgdiff_core as rg
later = ("training", "evaluation", "search")
assert not {f"rgdiff_core.{name}" for name in later} & set(sys.modules)
assert set(later) <= set(dir(rg))
before = {name.partition(".")[0] for name in sys.modules}
import torch
generator = torch.Generator().manual_seed(0)
run = rg.lattice.hmc(rg.lattice.Phi4(-4, 6.975), 4, 64, 4, generator, thinning=1)
assert rg.lattice.observables(run)["susceptibility"].error > 0
new = {name.partition(".")[0] for name in sys.modules} - before
assert not new & {"pyerrors", "matplotlib", "autograd", "pandas"}, new
assert rg.training.TrainConfig and rg.evaluation.evaluate_lattice and rg.search.Space
try:
    rg.nothing
except AttributeError as error:
    assert "no attribute 'nothing'" in str(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
