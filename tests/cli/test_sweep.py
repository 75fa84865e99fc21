"""`rgdiff sample` and `rgdiff sweep`, on a small model in a file and a small data set."""

import io
import json
import signal
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
import torch

import rgdiff_core as rg
from rgdiff_core.cli import sample
from rgdiff_core.cli.main import main
from rgdiff_core.denoisers import ModelSpec
from rgdiff_core.networks import LatticeNet
from rgdiff_core.sampling import METHODS


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Return a folder with a model of a data set of two wells, and the data set in its cache."""
    home = tmp_path_factory.mktemp("wells")
    chance = np.random.default_rng(0)
    signs = chance.choice((-1.0, 1.0), (600, 1, 4, 4))
    images = 0.5 * signs + 0.1 * chance.standard_normal((600, 1, 4, 4))
    np.savez(home / "wells.npz", images=images.astype(np.float32))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RGDIFF_CACHE", str(home / "cache"))
        patch.setenv("RGDIFF_RUNS", str(home / "runs"))
        patch.setenv("RGDIFF_SWEEPS", f"sqlite:///{home / 'sweeps.db'}")
        rg.data.register_folder(home / "wells.npz")
        fields = rg.data.load("wells").images
        basis = rg.bases.FourierBasis((1, 4, 4), momentum="lattice")
        torch.manual_seed(0)
        model = ModelSpec(LatticeNet(8, 1)).build(basis, rg.Modes.fit(basis, fields))
        torch.nn.init.normal_(model.network.last.weight, std=0.3)
        rg.save_model(model, home / "model.safetensors", {"data": "wells"})
        patch.chdir(home)
        threads = torch.get_num_threads()
        yield home
        torch.set_num_threads(threads)


def ran(capsys, *words) -> dict:
    """Run a command and return what it tells a program."""
    assert main([*words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_sample_writes_numbers_that_repeat(home, capsys):
    options = ["sample", "model.safetensors", "--n", "5", "--steps", "3", "--seed", "7"]
    report = ran(capsys, *options, "--out", "a.npz")
    assert (report["n"], report["steps"], report["method"]) == (5, 3, "dpmpp_2m")
    model = rg.load_model(home / "model.safetensors")
    process = rg.Process(
        model.basis,
        rg.colors.Color.from_json(report["color"]),
        rg.schedules.Schedule.from_json(report["schedule"]),
        model.modes,
    )
    expected = rg.sample(model, process, 5, 3, seed=7)
    assert np.array_equal(np.load("a.npz")["images"], expected.numpy())


@pytest.mark.parametrize("method", METHODS)
def test_a_field_does_not_depend_on_how_many_are_drawn(home, capsys, monkeypatch, method):
    words = ["sample", "model.safetensors", "--steps", "3", "--method", method, "--seed", "2"]

    def drawn(n: int) -> np.ndarray:
        ran(capsys, *words, "--n", str(n), "--out", "c.npz")
        return np.load("c.npz")["images"]

    five = drawn(5)
    np.testing.assert_allclose(drawn(2), five[:2], rtol=0, atol=1e-5)
    monkeypatch.setattr(sample, "TOGETHER", 2 * 16)  # in batches of two fields
    np.testing.assert_allclose(drawn(5), five, rtol=0, atol=1e-5)


def test_sample_draws_the_fields_of_the_samples_page(home, capsys):
    """The page's streams have their formula: sample i of seed s has the seed 1,000,003 s + i."""
    words = ["sample", "model.safetensors", "--steps", "3", "--method", "shell", "--seed", "4"]
    report = ran(capsys, *words, "--n", "3", "--out", "d.npz")
    model = rg.load_model(home / "model.safetensors")
    schedule = rg.schedules.Schedule.from_json(report["schedule"])
    color = rg.colors.Color.from_json(report["color"])
    process = rg.Process(model.basis, color, schedule, model.modes)
    own = [torch.Generator().manual_seed(4 * 1_000_003 + i) for i in range(3)]
    expected = rg.sample(model, process, 3, 3, "shell", own)
    assert np.array_equal(np.load("d.npz")["images"], expected.numpy())


def test_sample_draws_a_picture_with_any_process(home, capsys):
    report = ran(capsys, "sample", "model.safetensors", "--n", "4", "--out", "a.png")
    assert iio.imread("a.png").shape == (44, 44, 3) and report["n"] == 4
    options = ["--process", "hard", "--color", "White", "--grid", "best", "--steps", "4"]
    report = ran(capsys, "sample", "model.safetensors", *options, "--out", "b.npz")
    assert report["method"] == "shell"
    assert json.loads(report["color"])["kind"] == "White"
    assert len(report["grid"]) == 5 and (report["grid"][0], report["grid"][-1]) == (1, 0)
    grid = ["--grid", "1,0.4,0", "--schedule", '{"kind": "Cosine"}', "--out", "b.npz"]
    assert ran(capsys, "sample", "model.safetensors", *grid)["steps"] == 2


@pytest.mark.parametrize("search", ["bound", "sweep"])
def test_sweep_hands_back_a_process_to_sample_from(home, capsys, search):
    budget = ["--rounds", "5"] if search == "bound" else ["--trials", "3", "--images", "40"]
    words = ["sweep", "model.safetensors", "--search", search, "--steps", "3", *budget]
    report = ran(capsys, *words, "--out", f"{search}.json")
    text = Path(f"{search}.json").read_text()
    assert json.loads(text) == report["process"]
    found = rg.Process.from_json(text)
    assert report["held_out"]["n"] == 60
    change = report["held_out"]["change"]["value"]
    after, before = (report["held_out"][name]["value"] for name in ("after", "before"))
    assert change == pytest.approx(after - before)
    drawn = ran(capsys, "sample", "model.safetensors", "--process", f"{search}.json", "--n", "2")
    assert drawn["schedule"] == found.schedule.to_json()
    assert drawn["color"] == found.color.to_json()


class InterruptedTerminal(io.StringIO):
    """A terminal at which Ctrl+C is pressed as soon as there is progress."""

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        if "%" in text:
            signal.raise_signal(signal.SIGINT)
        return super().write(text)


@pytest.mark.usefixtures("sigint")
@pytest.mark.parametrize("search", ["bound", "sweep"])
def test_an_interrupted_sweep_hands_back_what_it_has_and_compares_nothing(
    home, capsys, monkeypatch, search
):
    budget = ["--rounds", "50"] if search == "bound" else ["--trials", "50", "--images", "40"]
    words = ["sweep", "model.safetensors", "--search", search, "--steps", "4", *budget]
    monkeypatch.setattr("sys.stderr", InterruptedTerminal())
    report = ran(capsys, *words, "--out", "interrupted.json")
    assert json.loads(Path("interrupted.json").read_text()) == report["process"]
    assert report["held_out"] is None
    assert report.get("rounds", 0) == 0 and len(report.get("trials", [0])) == 1


def test_a_sweep_goes_on_and_speaks_to_people(home, capsys):
    only = ["--families", "scalar", "--colors", "white,matched", "--study", "mine"]
    words = ["sweep", "model.safetensors", "--search", "sweep", "--steps", "2", *only]
    first = ran(capsys, *words, "--trials", "2", "--images", "40")
    second = ran(capsys, *words, "--trials", "1", "--images", "40")
    assert [t["number"] for t in second["trials"]] == [0, 1, 2]
    assert second["trials"][:2] == first["trials"]
    assert {t["schedule"]["kind"] for t in second["trials"]} == {"LinearGamma"}
    assert {t["color"]["kind"] for t in second["trials"]} <= {"White", "Matched"}
    words += ["--timeout", "0", "--images", "40"]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert "mine: 1 new trials, 4 in all; the best:" in said and "change" in said


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["sample", "nonsense"], "'nonsense' is no pretrained model"),
        (["sample", "none.safetensors"], "there is no model file none.safetensors"),
        (["sample", "model.safetensors", "--out", "a.txt"], "a.txt ends neither in .npz nor"),
        (["sample", "model.safetensors", "--schedule", "Cosin"], "unknown kind 'Cosin'"),
        (["sample", "model.safetensors", "--schedule", "White"], "White is not a Schedule"),
        (["sample", "model.safetensors", "--grid", "fine"], "grid = 'fine' is not one of"),
        (["sample", "model.safetensors", "--grid", "1,0.5"], "not from 1 to 0"),
        (["sample", "model.safetensors", "--n", "0"], "n = 0"),
        (["sample", "model.safetensors", "--process", "none.json"], "none.json"),
        (["sweep", "model.safetensors", "--schedule", "Cosine"], "no control points"),
        (["sweep", "model.safetensors", "--steps", "0"], "steps = 0"),
        (["sweep", "model.safetensors", "--out", "a.txt"], "does not end in .json"),
        (["sweep", "model.safetensors", "--data", "nowhere"], "'nowhere' is not a known data set"),
        (["sweep", "model.safetensors", "--search", "sweep", "--colors", "red"], "colors = 'red'"),
    ],
)
def test_errors_are_one_line(home, capsys, words, says):
    assert main(words) == 1
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.startswith("rgdiff: ")
    assert says in captured.err and captured.err.count("\n") == 1
