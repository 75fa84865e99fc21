"""`rgdiff evaluate`, on a small model in a file: of a lattice, and of a user's own images."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

import rgdiff_core as rg
from rgdiff_core.cli.main import main
from rgdiff_core.denoisers import ModelSpec
from rgdiff_core.evaluation.images.held_out import held_out_bits
from rgdiff_core.lattice import FreeField, hmc
from rgdiff_core.networks import LatticeNet

SIZE = 4
TRUTH = ("--truth", "5000")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Return a folder with a Gaussian model of φ⁴ on 4×4: a network that says nothing yet."""
    home = tmp_path_factory.mktemp("evaluate")
    action = rg.data.action_of("phi4-6x6")
    assert action is not None
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    fields = hmc(action, SIZE, 2000, 200, torch.Generator().manual_seed(0)).configurations
    basis = rg.bases.FourierBasis((1, SIZE, SIZE), momentum="lattice")
    model = ModelSpec(LatticeNet(4, 1)).build(basis, rg.Modes.fit(basis, fields))
    rg.save_model(model, home / "model.safetensors", {"data": "phi4-6x6"})
    np.savez(home / "grey.npz", images=fields[:400, 0].clamp(-1, 1).numpy())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RGDIFF_CACHE", str(home / "cache"))
        patch.setenv("RGDIFF_RUNS", str(home / "runs"))
        rg.data.register_folder(home / "grey.npz")
        patch.chdir(home)
        yield home
    torch.set_num_threads(threads)


def ran(capsys, *words) -> dict:
    """Run a command and return what it tells a program."""
    assert main(["evaluate", *words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_lattice_model_is_measured_against_its_theory(home, capsys):
    words = ["model.safetensors", "--n", "800", "--steps", "2", *TRUTH, "--out", "a.json"]
    report = ran(capsys, *words)
    assert json.loads(Path("a.json").read_text()) == report
    assert report["size"] == SIZE and report["action"] == {"m2": -4.0, "lam": 6.975}

    # by quadrature, on 4×4
    exact = {
        "susceptibility": 0.934973,
        "binder": 0.294358,
        "phi2": 0.1673918,
        "phi4": 0.0557090,
        "energy": 0.0692851,
    }
    for log_z in report["log_z"].values():
        assert abs(log_z["value"] - 3.218329) < 4 * log_z["error"]
    rows = {row["name"]: row for row in report["observables"]}
    for name, known in exact.items():
        for way in ("reweighted", "metropolis", "hmc"):
            found = rows[name][way]
            assert abs(found["value"] - known) < 4 * found["error"], (name, way)
        assert all(math.isfinite(each) for each in rows[name]["deviations"])
    assert rows["binder"]["deviations"][0] < -3  # the Gaussian has none

    # with the same log Z both bounds hold: KL ≥ 0, and the Gaussian is off by as much as it is
    for name in ("reverse_kl", "forward_kl"):
        assert report[name]["value"] > 5 * report[name]["error"]
    ess, acceptance = report["quality"]["ess"]["value"], report["acceptance"]["value"]
    assert 0 < ess < 0.95 and 0 < acceptance < 0.95
    for name, known in (("positive", 0.5), ("magnetization", 0.0)):
        assert abs(report[name]["value"] - known) < 4 * report[name]["error"]


def test_a_samplers_few_steps_are_measured_and_told_to_people(home, capsys):
    words = ["model.safetensors", "--n", "64", "--steps", "3", "--method", "ddim", *TRUTH]
    assert main(["evaluate", *words]) == 0
    said = capsys.readouterr().out
    assert "64 samples of 3 steps of ddim, 3 evaluations each" in said
    assert "KL(p‖q), nats             –" in said
    for word in ("log Z, annealed", "Metropolis τ_int", "correlation_length", "σ"):
        assert word in said


def test_images_get_the_bound_on_held_out_ones(home, capsys):
    words = ["model.safetensors", "--data", "grey", "--n", "30", "--steps", "5", "--seed", "3"]
    report = ran(capsys, *words)
    model = rg.load_model(home / "model.safetensors")
    process = rg.Process(
        model.basis,
        rg.colors.Color.from_json(report["color"]),
        rg.schedules.Schedule.from_json(report["schedule"]),
        model.modes,
    )
    x = rg.data.load("grey", "test").images[:30]
    # an untrained model is the free theory, whose bound is its density
    gaussian = rg.GaussianDenoiser(model.basis, model.modes)
    nats = gaussian.log_density(x, 0.0, process).double().mean()
    known = -float(nats) / (SIZE**2 * math.log(2)) - math.log2(2 / 255)
    assert report["bits_per_dim"]["value"] == pytest.approx(known, abs=0.02)
    assert report["images"] == 30 and report["bits_per_dim"]["error"] > 0


def test_samples_of_images_are_compared_with_held_out_ones(home, capsys):
    words = ["model.safetensors", "--data", "grey", "--n", "40", "--steps", "30", "--flow", "4"]
    report = ran(capsys, *words, "--method", "heun")
    assert report["samples"]["n"] == report["floor"]["n"] == 40
    assert report["method"] == "heun" and report["steps"] == 30
    for found in (report["samples"], report["floor"]):  # the free theory has the data's spectrum
        error = found["spectrum_error"]
        assert error["value"] < 4 * error["error"]
        assert found["sharpness"]["value"] == pytest.approx(1, abs=0.5)
        assert len(found["scale"]) == len(found["relative"])
    flow, bound = report["flow_bits"], report["bits"]
    assert abs(flow["value"] - bound["value"]) < 4 * (flow["error"] + bound["error"])
    assert main(["evaluate", *words]) == 0
    assert "40 samples, 30 steps of dpmpp_2m" in capsys.readouterr().out


def test_one_image_has_no_error():
    model = rg.GaussianDenoiser.fit(rg.bases.FourierBasis((1, 4, 4)), FreeField(1.0, 4).sample(50))
    process = rg.Process(
        model.basis, rg.colors.White(), rg.schedules.LinearGamma(-9.0, 6.0), model.modes
    )
    one = rg.data.ImageSet(torch.zeros(1, 1, 4, 4), None, "", "", 0.0, 1.0)
    with pytest.raises(ValueError, match="1 image has no error"):
        held_out_bits(model, process, one)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["nonsense"], "'nonsense' is no pretrained model"),
        (["model.safetensors", "--out", "a.txt"], "a.txt does not end in .json"),
        (["model.safetensors", "--n", "0"], "n = 0"),
        (["model.safetensors", "--steps", "0"], "steps = 0"),
        (["model.safetensors", "--data", "nowhere"], "nowhere"),
        (["model.safetensors", "--data", "grey", "--flow", "-1"], "flow = -1"),
        (["model.safetensors", "--data", "grey", "--n", "1"], "n = 1"),
    ],
)
def test_errors_are_one_line(home, capsys, words, says):
    assert main(["evaluate", *words]) == 1
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.startswith("rgdiff: ")
    assert says in captured.err and captured.err.count("\n") == 1
