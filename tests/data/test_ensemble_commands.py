"""`rgdiff data generate`, `import` and `export`, as a program runs them."""

import json

import numpy as np
import pytest
import torch

from rgdiff_core import data
from rgdiff_core.cli.main import main
from rgdiff_core.lattice import FreeField

SMALL = ["--size", "4", "--n", "200", "--m2", "1", "--lam", "1", "--chains", "10"]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch, one_thread):
    monkeypatch.setenv("RGDIFF_CACHE", str(tmp_path / "cache"))
    return tmp_path


def report(capsys, *words) -> dict:
    """What a command prints for programs, in JSON that every language reads."""
    assert main([str(word) for word in ("data", *words, "--json")]) == 0

    def refuse(text: str) -> None:
        raise AssertionError(f"{text} is no JSON")

    return json.loads(capsys.readouterr().out, parse_constant=refuse)


@pytest.mark.parametrize("ending", ["npz", "h5"])
def test_generate_into_a_file_and_import_it(ending, cache, capsys):
    out = cache / f"out.{ending}"
    told = report(capsys, "generate", out, *SMALL, "--thinning", 3, "--cluster", 1, "--double")
    assert told["file"] == str(out) and told["spec"]["n_chains"] == 10
    assert told["spec"]["hmc"]["cluster"] == 1
    assert 0.5 < told["acceptance"] <= 1
    assert told["tau_int"]["value"] >= 0.5
    for name, exact in (("exp_delta_h", 1), ("schwinger_dyson", 1)):
        assert abs(told[name]["value"] - exact) < 4 * told[name]["error"]
    assert told["observables"]["binder"]["tau_int"]["value"] >= 0.5
    # Written to a file it is not kept as a data set as well.
    assert data.ensembles.stored() == []
    again = report(capsys, "import", out)
    name = again["file"]
    assert name == f"lattice-{told['id']}" and again["observables"] == told["observables"]
    assert data.load(name).images.shape == (180, 1, 4, 4)
    assert data.load(name).images.dtype == torch.float32


def test_generate_a_data_set_and_export_it(cache, capsys):
    told = report(capsys, "generate", *SMALL, "--seed", 5, "--thermalization", 40)
    assert told["file"] in {item.name for item in data.available()}
    assert report(capsys, "export", told["file"], cache / "a.npz")["id"] == told["id"]
    ensemble = data.ensembles.read(told["id"])
    with np.load(cache / "a.npz") as arrays:
        assert np.array_equal(arrays["images"], ensemble.configurations.numpy())
    # Into a file it is read from what is kept, which stays.
    report(capsys, "generate", cache / "b.npz", *SMALL, "--seed", 5, "--thermalization", 40)
    assert len(data.ensembles.stored()) == 1
    assert (cache / "a.npz").read_bytes() == (cache / "b.npz").read_bytes()


def test_people_read_lines(cache, capsys):
    assert main(["data", "generate", str(cache / "a.npz"), *SMALL]) == 0
    text = capsys.readouterr().out
    for word in ("4×4", "acceptance", "⟨exp(−ΔH)⟩", "τ_int", "Schwinger–Dyson", "susceptibility"):
        assert word in text


def test_few_configurations_have_no_observables(cache, capsys):
    told = report(capsys, "generate", cache / "a.npz", "--size", 2, "--n", 3, "--chains", 1)
    assert (told["observables"], told["schwinger_dyson"]) == ({}, None)


def test_import_of_what_was_made_elsewhere(cache, capsys):
    x = FreeField(0.5, 4).sample(300, torch.Generator().manual_seed(2))
    np.savez(cache / "a.npz", cfgs=x[:, 0].numpy())
    arguments = (cache / "a.npz", "--lam", 0, "--chains", 300)
    right = report(capsys, "import", *arguments, "--m2", 0.5)
    wrong = report(capsys, "import", *arguments, "--m2", 1.5)
    assert right["warning"] is None and right["acceptance"] is None
    assert "do not belong to m² = 1.5" in wrong["warning"]
    assert main(["data", "import", str(cache / "a.npz"), "--m2", "1"]) == 1
    assert "--m2 and --lam belong together" in capsys.readouterr().err


def test_import_of_other_conventions(cache, capsys):
    """The same fields as three programs write them are the same ensemble."""
    x = FreeField(0.5, 4).sample(300, torch.Generator().manual_seed(2), dtype=torch.float64)
    fields = x[:, 0].numpy()
    kappa = 1 / 4.5
    for name, factor in (("lattice", 1), ("half", 2**0.5), ("hopping", kappa**-0.5)):
        np.savez(cache / f"{name}.npz", a=factor * fields.reshape(30, 10, 4, 4), b=0 * fields)
    told = {
        name: report(capsys, "import", cache / f"{name}.npz", "--array", "a", *words)
        for name, words in {
            "lattice": ("--m2", 0.5, "--lam", 0),
            "half": ("--m2", 0.5, "--lam", 0, "--convention", "half"),
            "hopping": ("--kappa", kappa, "--lam", 0),
        }.items()
    }
    by_g = report(capsys, "import", cache / "half.npz", "--array", "a", "--m2", 0.5, "--g", 0)
    assert by_g["id"] == told["half"]["id"]
    for each in told.values():
        assert each["warning"] is None and each["spec"]["n_chains"] == 30
        assert each["schwinger_dyson"]["value"] == pytest.approx(
            told["lattice"]["schwinger_dyson"]["value"]
        )
    wrong = report(capsys, "import", cache / "half.npz", "--array", "a", "--m2", 0.5, "--lam", 0)
    assert "times 1/√2 = 0.70711 (convention half) it is" in wrong["warning"]


def test_export_of_a_built_in_set(cache, capsys):
    told = report(capsys, "export", "phi4-6x6", cache / "a.h5")
    assert told["spec"]["n_chains"] == 20_000 and told["warning"] is None
    # The reference value of a long run.
    chi = told["observables"]["susceptibility"]
    assert abs(chi["value"] - 1.06231) < 4 * chi["error"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("generate", "a.txt"), "a.txt does not end in .npz, .h5 or .hdf5"),
        (("generate", "a.npz", "--n", "0"), "n_samples = 0"),
        (("generate", "--chains", "2000"), "n_chains = 2000"),
        (("import", "absent.npz"), "absent.npz does not exist"),
        (("import", "a.npz", "--m2", "1", "--kappa", "1"), "not --m2 and --kappa"),
        (("export", "photographs", "a.npz"), "'photographs' is not a stored set of lattice"),
        (("export", "lattice-0123456789ab", "a.npz"), "is not a stored set of lattice"),
        (("export", "phi4-6x6", "a.txt"), "a.txt does not end in .npz"),
    ],
)
def test_nonsense_is_one_line(words, says, capsys):
    assert main(["data", *words]) == 1
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1
    assert says in captured.err
