"""The models that come with the repository: what their cards say, and that they sample φ⁴."""

import json
import math

import pytest
import torch

import rgdiff_core as rg
from rgdiff_core.denoisers.files import list_pretrained, pretrained_folder
from rgdiff_core.evaluation import held_out, quality
from rgdiff_core.lattice import Phi4, hmc
from rgdiff_core.lattice.observables import changes, observables
from rgdiff_core.pretraining.lattice import PROCESSES
from rgdiff_core.sampling.growth import by_blocks, coarse_fields, grow
from rgdiff_core.spec import from_json
from rgdiff_core.statistics import Estimate
from rgdiff_core.training import load_config

THEORIES = [m.name for m in list_pretrained() if rg.data.action_of(m.data) is not None]
BLOCKS = [name for name in THEORIES if by_blocks(rg.load_pretrained(name))]
MODELS = [name for name in THEORIES if name not in BLOCKS]
LINES = [m.name for m in list_pretrained() if rg.data.line_of(m.data) is not None]
IMAGES = [m.name for m in list_pretrained() if not rg.data.is_lattice(m.data)]


def card(name: str) -> dict:
    return json.loads((pretrained_folder() / name / "card.json").read_text(encoding="utf-8"))


def test_there_are_models():
    assert {"phi4-6x6", "phi4-6x6-broken"} <= set(MODELS)


@pytest.mark.parametrize("name", MODELS)
def test_the_card_belongs_to_the_config_and_the_model(name):
    model, known = rg.load_pretrained(name), card(name)
    assert from_json(known["config"]) == load_config(pretrained_folder() / name / "config.toml")
    assert known["parameters"] == sum(p.numel() for p in model.network.parameters())
    assert known["quality"]["ess"]["value"] > 0.9
    assert known["best"] in PROCESSES


@pytest.mark.parametrize("name", BLOCKS)
def test_the_card_of_a_model_of_blocks_belongs_to_it(name):
    """Fields of a run with another seed have the local observables that the card says."""
    model, known = rg.load_pretrained(name), card(name)
    assert from_json(known["config"]) == load_config(pretrained_folder() / name / "config.toml")
    assert known["parameters"] == sum(p.numel() for p in model.network.parameters())
    row = next(row for row in known["rows"] if row["side"] == model.basis.shape[-1])
    action = rg.data.action_of(known["data"])
    assert isinstance(action, Phi4)
    run = hmc(action, row["side"], 256, 16, torch.Generator().manual_seed(5))
    given = coarse_fields(run.configurations, blocks=True)
    grown = grow(model, given, generator=torch.Generator().manual_seed(6), steps=16)
    truth = observables(run)
    for observable, change in changes(grown, run.configurations).items():
        percent, error = (100 * x / truth[observable].value for x in (change.value, change.error))
        wanted = row["change"][observable]
        scale = 100 / row["truth"][observable]["value"]
        off = math.hypot(error, scale * wanted["error"])
        assert abs(percent - scale * wanted["value"]) < 4.5 * off


@pytest.mark.parametrize("name", IMAGES)
def test_the_card_of_a_model_of_images_belongs_to_it(name):
    model, known = rg.load_pretrained(name), card(name)
    assert from_json(known["config"]) == load_config(pretrained_folder() / name / "config.toml")
    assert known["parameters"] == sum(p.numel() for p in model.network.parameters())
    assert known["best"] in known["scan"]
    report = known["report"]
    assert report["bits"]["value"] < report["free_bits"]["value"]
    for path in (pretrained_folder() / name).iterdir():
        assert path.stat().st_size <= 34 << 20


@pytest.mark.parametrize("name", LINES)
def test_the_card_of_a_model_along_a_line_belongs_to_it(name):
    model, known = rg.load_pretrained(name), card(name)
    assert from_json(known["config"]) == load_config(pretrained_folder() / name / "config.toml")
    assert known["parameters"] == sum(p.numel() for p in model.network.parameters())
    assert model.line is not None and known["points"] == [list(p) for p in model.line.points]
    for row in known["rows"]:
        found, truth = row["quality"]["reweighted"], row["hmc"]
        error = math.hypot(found["error"], truth["error"])
        assert abs(found["value"] - truth["value"]) < 4 * error


@pytest.mark.parametrize("name", MODELS)
def test_samples_have_the_susceptibility_of_monte_carlo(name):
    model, known = rg.load_pretrained(name), card(name)
    process = PROCESSES["matched noise, sigmoid cutoff of width 0.3"].on(model)
    x = rg.sample(model, process, 400, 30, "dpmpp_2m", torch.Generator().manual_seed(0))
    found = rg.lattice.observables(x, n_chains=len(x))["susceptibility"]
    error = math.hypot(found.error, known["hmc"]["error"], 0.02 * found.value)  # 2 %: 30 steps
    assert abs(found.value - known["hmc"]["value"]) < 4 * error


def test_quality_of_a_gaussian_theory_is_perfect():
    """For λ = 0 the free theory is exact: ESS 1, both divergences 0, log Z in closed form."""
    action, size = rg.lattice.Phi4(1.0, 0.0), 4
    basis = rg.bases.FourierBasis((1, size, size), "lattice").double()
    variance = 1 / (2 * (basis.momentum**2 + 1.0))
    modes = rg.Modes(basis.scale, torch.zeros_like(variance), variance, basis.momentum)
    schedule = rg.schedules.LinearGamma(-40.0, 5.0)
    process = rg.Process(basis, rg.colors.Matched(), schedule, modes)
    model = rg.GaussianDenoiser(basis, modes)
    generator = torch.Generator().manual_seed(0)
    found = quality(model, process, action, 200, 2, generator)
    log_z = float(torch.log(math.pi * 2 * variance).sum() / 2)
    assert found.ess.value == pytest.approx(1, abs=1e-6)
    # the action sums in float32, and γ is cut at −40
    assert found.log_z.value == pytest.approx(log_z, abs=1e-5)
    assert found.reverse_kl.value == pytest.approx(0, abs=1e-5)
    x = process.prior_sample(50, generator)
    assert held_out(model, process, action, x, 2, Estimate(log_z, 0.0)).forward_kl.value == (
        pytest.approx(0, abs=1e-5)
    )


def test_names_that_are_none_are_refused():
    for name in ("phi4", "../phi4-6x6", "phi4-6x6/../phi4-6x6"):
        with pytest.raises(ValueError, match="is not a pretrained model; known are"):
            rg.load_pretrained(name)
