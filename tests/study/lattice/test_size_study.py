"""The study of sizes: its command at a small budget, and what stands in its file."""

import json
import math
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from rgdiff_core import GaussianDenoiser, ModelSpec, save_model
from rgdiff_core.bases import WaveletBasis
from rgdiff_core.cli.main import main
from rgdiff_core.colors import White
from rgdiff_core.lattice.chains import relaxed
from rgdiff_core.lattice.sizes import extrapolated
from rgdiff_core.networks import LatticeNet
from rgdiff_core.process import Process
from rgdiff_core.sampling import sample
from rgdiff_core.schedules import LinearGamma
from rgdiff_core.study.cells import Cells
from rgdiff_core.study.lattice import sizes_relaxed, sizes_steps
from rgdiff_core.study.lattice.sizes import (
    ACTION,
    LARGER,
    SMALL,
    Numbers,
    SizeStudy,
    cell_of,
    evenly,
    generator_of,
    published_action,
    title_of,
)
from rgdiff_core.study.lattice.sizes_cost import cost_rows
from rgdiff_core.study.lattice.sizes_measures import OBSERVABLES, measured
from rgdiff_core.study.lattice.sizes_relaxed import compute_relaxed, relaxed_rows
from rgdiff_core.study.lattice.sizes_steps import enough, steps_rows
from rgdiff_core.study.lattice.sizes_summary import summary
from rgdiff_core.training.models import open_model

MODEL = "phi4-8x8-critical"
WORDS = ["study", "sizes", "--sizes", "8", "16", "32", "--reference", "128"]
WORDS += ["--samples", "32", "--weighed", "0", "--steps", "4"]


@pytest.fixture(scope="module", autouse=True)
def _little() -> Iterator[None]:
    """Let the study try few numbers of steps and of trajectories."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sizes_steps, "STEPS", (2, 4))
        patch.setattr(sizes_steps, "MOST", 8)
        patch.setattr(sizes_relaxed, "COUNTS", (0, 1, 3))
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return where the study of a model is, and of one of blocks that has learnt nothing."""
    home = tmp_path_factory.mktemp("sizes")
    basis = WaveletBasis((1, 4, 4), levels=1)
    modes = GaussianDenoiser.fit(basis, torch.randn(99, 1, 4, 4), symmetries="lattice").modes
    save_model(ModelSpec(LatticeNet(4, 1, patch=2)).build(basis, modes), home / "b.safetensors")
    assert main([*_words(home), f"--out={home}"]) == 0
    return home


def _words(home: Path) -> list[str]:
    return [*WORDS, "--models", MODEL, str(home / "b.safetensors"), f"--work={home / 'w'}"]


def test_every_kind_of_sample_stands_beside_the_run_with_its_distance(folder: Path):
    found = json.loads((folder / "sizes-phi4.json").read_text("utf-8"))
    assert found["complete"] and [at["size"] for at in found["sizes"]] == [8, 16, 32]
    drawn = ["run", "scaling", "grown"]
    assert _kinds(found, MODEL) == [["run"], drawn, [*drawn, "chain"]]
    assert _kinds(found, "b") == [[], ["grown"], ["grown", "chain"]]
    for at in found["sizes"]:
        truth = at["reference"]["observables"]
        for row in (row for row in at["rows"] if row["model"] == MODEL):
            for name in OBSERVABLES:
                own = row["observables"][name]
                error = (own["error"] ** 2 + truth[name]["error"] ** 2) ** 0.5
                expected = (own["value"] - truth[name]["value"]) / error
                if row["kind"] in ("grown", "chain") and name not in ("phi2", "energy"):
                    expected = None  # of long waves, which the fields were given
                elif row["kind"] == "grown":
                    expected = _of_pairs(folder / "w", at["size"], name)
                assert own["deviation"] == pytest.approx(expected)
    # of 20,000 fields of a run without clusters: 11.75 ± 0.06
    chi = found["sizes"][0]["reference"]["observables"]["susceptibility"]
    assert abs(chi["value"] - 11.75) < 4.5 * (chi["error"] ** 2 + 0.06**2) ** 0.5


def _of_pairs(work: Path, size: int, name: str) -> float:
    """The mean difference to the fields that long waves were taken of, in standard errors."""
    run, x = (
        load_file(work / f"{cell}.safetensors")["fields"].double().numpy()
        for cell in (f"hmc-{size}", cell_of(MODEL, size, "grown"))
    )
    chosen = np.round(np.linspace(0, len(run) - 1, len(x))).astype(int)

    def local(y: np.ndarray) -> np.ndarray:
        both = (np.roll(y, 1, axis) * y for axis in (-1, -2))
        return (y**2 if name == "phi2" else np.add(*both) / 2).mean((1, 2, 3))

    change = local(x) - local(run[chosen])
    return change.mean() / (change.std(ddof=1) / len(x) ** 0.5)


def _kinds(found: dict, model: str) -> list[list[str]]:
    rows = ([row for row in at["rows"] if row["model"] == model] for at in found["sizes"])
    return [[row["kind"] for row in each] for each in rows]


def test_averages_of_blocks_are_those_of_the_run(folder: Path):
    digest = cell_of(str(folder / "b.safetensors"), 16, "grown")
    grown, run = (
        load_file(folder / "w" / f"{name}.safetensors")["fields"] for name in (digest, "hmc-16")
    )
    averages = torch.nn.functional.avg_pool2d(run[evenly(len(run), len(grown))], 2)
    torch.testing.assert_close(
        torch.nn.functional.avg_pool2d(grown, 2), averages, atol=1e-5, rtol=0
    )


def test_the_cost_of_a_grown_field_adds_up_its_octaves_and_a_field_of_monte_carlo(folder: Path):
    found = json.loads((folder / "sizes-phi4.json").read_text("utf-8"))["cost"]
    ways = {(row["way"], row["model"], row["size"]): row["seconds"] for row in found}
    assert all(0 < seconds < 60 for seconds in ways.values())
    assert {size for way, model, size in ways if (way, model) == ("drawn", MODEL)} == {8, 16, 32}
    assert not [way for way, model, _ in ways if (way, model) == ("drawn", "b")]
    for model, path in ((MODEL, MODEL), ("b", str(folder / "b.safetensors"))):
        octaves = [
            json.loads((folder / "w" / f"{cell_of(path, size, 'cost')}.json").read_text("utf-8"))
            for size in (16, 32)
        ]
        parts = [each["result"]["octave"] for each in octaves]
        assert ways["chain", model, 16] == pytest.approx(ways["clusters", None, 16] + parts[0])
        assert ways["chain", model, 32] == pytest.approx(ways["chain", model, 16] + parts[1])


def test_steps_are_compared_with_many_from_the_same_noise(folder: Path):
    found = json.loads((folder / "sizes-phi4.json").read_text("utf-8"))["steps"]
    ways = {(row["model"], row["way"], row["size"]): row for row in found}
    drawn = {
        (size, way) for model, way, size in ways if model == MODEL and way in sizes_steps.WAYS
    }
    assert drawn == {(size, way) for size in (8, 16, 32) for way in sizes_steps.WAYS}
    assert {way for model, way, _ in ways if model == "b"} <= {"octave", "chain"}
    row = ways[MODEL, "white", 8]
    study = SizeStudy(Cells(folder / "w", lambda text: None), Numbers(128, 32, 0, 4))
    model = open_model(MODEL).denoiser.on((1, 8, 8), study.modes(8).modes)
    process = Process(model.basis, White(), LinearGamma(-9.0, 6.0), model.modes)
    few, many = (
        sample(model, process, 16, n, "interaction", generator_of(8, 6), grid=grid)
        for n, grid in ((4, row["grid"]), (8, "uniform"))
    )
    change = (few**2).mean((1, 2, 3)) - (many**2).mean((1, 2, 3))
    stored = row["changes"]["4"]["phi2"]
    assert stored["value"] == pytest.approx(float(change.mean() / (many**2).mean()), rel=1e-3)
    error = float(change.std() / 4 / (many**2).mean())
    assert stored["error"] == pytest.approx(error, rel=1e-3)


def test_octaves_add_up_by_their_share_of_the_sites(folder: Path, tmp_path: Path):
    """Of a model that is off by 4 % and 1/4 % in 2 and 4 steps, as 1/N⁴, 2 · 4^¼ are enough."""
    digest = cell_of(MODEL, 16, "steps-octave")
    cell = json.loads((folder / "w" / f"{digest}.json").read_text("utf-8"))
    cell["result"] = {
        "uniform": {
            str(n): {"phi2": {"value": sign * x, "error": 0.1}, "energy": {"value": 0, "error": 0}}
            for n, x, sign in ((2, 0.04, -1), (4, 0.0025, 1))
        }
    }
    for size in (16, 32, 64):
        name = cell_of(MODEL, size, "steps-octave")
        (tmp_path / f"{name}.json").write_text(json.dumps(cell), "utf-8")
    study = SizeStudy(Cells(tmp_path, lambda text: None), Numbers(128, 32, 0, 4))
    rows = list(steps_rows(study, (16, 32, 64), (MODEL,)))
    each, chain = ([r["enough"] for r in rows if r["way"] == way] for way in ("octave", "chain"))
    assert each == pytest.approx([8**0.5] * 3)
    assert chain == pytest.approx([8**0.5 * x for x in (1, 1.25, 1.3125)])
    assert [r for r in steps_rows(study, (32, 64), (MODEL,)) if r["way"] == "chain"] == []


@pytest.mark.parametrize(
    ("worst", "expected"),
    [
        ({2: 0.001, 4: 0.0001}, 2.0),
        ({2: 0.1, 4: 0.02}, None),
        ({2: 0.005, 4: 0.02, 8: 0.005}, 2**2.5),  # a zero crossing is no accuracy
        ({2: math.nan, 4: 0.001}, 4.0),
        ({2: 0.02, 4: math.nan}, None),
        ({2: 0.02, 4: 0.0}, 4.0),
    ],
)
def test_enough_is_where_all_more_steps_are_right_too(worst: dict, expected: float | None):
    changed = {str(n): {"phi2": {"value": -x, "error": 0.0}} for n, x in worst.items()}
    found = enough(changed)
    assert found == (None if expected is None else pytest.approx(expected))


def test_trajectories_begin_at_the_fields_of_the_model(folder: Path):
    found = json.loads((folder / "sizes-phi4.json").read_text("utf-8"))
    rows = {
        (row["model"], row["kind"], row["size"], row["trajectories"]): row
        for row in found["relaxed"]
    }
    kinds = {key[:3] for key in rows if key[0] == MODEL}
    assert kinds == {
        *((MODEL, "run", size) for size in (8, 16, 32)),
        *((MODEL, "grown", size) for size in (16, 32)),
        (MODEL, "chain", 32),
    }
    for at in found["sizes"]:
        for own in (row for row in at["rows"] if row["kind"] in ("run", "chain")):
            first = rows.get((own["model"], own["kind"], at["size"], 0))
            if first is not None:
                for name in OBSERVABLES:
                    assert first["observables"][name]["value"] == pytest.approx(
                        own["observables"][name]["value"]
                    )
                assert first["seconds"] == 0
    start = load_file(folder / "w" / f"{cell_of(MODEL, 16, 'grown')}.safetensors")["fields"]
    for count in (1, 3):
        x = relaxed(ACTION, start[:, 0], count, generator_of(16, 8))
        row = rows[MODEL, "grown", 16, count]
        assert row["observables"]["phi2"]["value"] == pytest.approx(float((x**2).mean()))
        assert row["seconds"] > 0 and row["n"] == len(x)


def test_fields_that_ran_away_are_said_to_diverge(folder: Path, tmp_path: Path):
    shutil.copytree(folder / "w", tmp_path / "w")
    path = tmp_path / "w" / f"{cell_of(MODEL, 16, 'run')}.safetensors"
    fields = load_file(path)["fields"]
    fields[0, 0, 0, 0], fields[1] = math.nan, 1e20
    save_file({"fields": fields}, path)
    study = SizeStudy(Cells(tmp_path / "w", lambda text: None), Numbers(128, 32, 0, 4))
    (tmp_path / "w" / f"{cell_of(MODEL, 16, 'relaxed-run')}.json").unlink()
    compute_relaxed(study, (16,), (MODEL,))
    (row,) = (each for each in relaxed_rows(study, (16,), (MODEL,)) if each[0]["kind"] == "run")
    assert row[0]["trajectories"] == 0 and row[1]["phi2"]["value"] > 1e12
    found = measured(fields)["observables"]
    assert all(math.isfinite(each["value"]) for each in found.values())


def test_where_an_octave_is_missing_a_chain_has_no_cost(folder: Path, tmp_path: Path):
    """The times of 32×32 stand in for those of 64×64."""
    for size, own in ((16, 16), (32, 32), (64, 32)):
        for here, there in (
            (f"cost-hmc-{size}", f"cost-hmc-{own}"),
            (cell_of(MODEL, size, "cost"), cell_of(MODEL, own, "cost")),
        ):
            shutil.copy(folder / "w" / f"{there}.json", tmp_path / f"{here}.json")
    study = SizeStudy(Cells(tmp_path, lambda text: None), Numbers(128, 32, 0, 4))
    chains = [
        [row["size"] for row in cost_rows(study, sizes, (MODEL,)) if row["way"] == "chain"]
        for sizes in ((16, 32, 64), (16, 64), (32, 64))
    ]
    assert chains == [[16, 32, 64], [16], []]


def test_exponents_are_those_of_two_sizes_and_none_that_was_given(folder: Path):
    found = json.loads((folder / "sizes-phi4.json").read_text("utf-8"))
    kinds = {row["kind"]: row for row in found["exponents"] if row["model"] in (None, MODEL)}
    assert list(kinds) == ["hmc", "run", "scaling", "grown", "chain"]
    at = {each["size"]: each for each in found["sizes"]}
    for kind, row in kinds.items():
        assert row["sizes"] == [16, 32]
        drawn = {"scaling": ("gamma/nu",), "run": ("gamma/nu",)}
        given = ({"hmc": ()} | drawn).get(kind, ("gamma/nu", "beta/nu"))
        assert all((row[name] == "given") == (name in given) for name in ("gamma/nu", "beta/nu"))
        if kind == "hmc":
            chi = [_observables(at[size], kind)["susceptibility"] for size in (16, 32)]
            expected = math.log(chi[1]["value"] / chi[0]["value"], 2)
            assert row["gamma/nu"]["value"] == pytest.approx(expected)
            error = math.hypot(*(x["error"] / x["value"] for x in chi)) / math.log(2)
            assert row["gamma/nu"]["error"] == pytest.approx(error)
    slopes = []
    for size in (16, 32):
        x = load_file(folder / "w" / f"hmc-{size}.safetensors")["fields"].double()
        m, quartic = x.mean((1, 2, 3)).abs().numpy(), (x**4).sum((1, 2, 3)).numpy()
        slopes.append(np.cov(m, quartic, bias=True)[0, 1] / m.mean())
    assert kinds["hmc"]["1/nu"]["value"] == pytest.approx(math.log2(slopes[1] / slopes[0]))


def test_other_numbers_without_time_to_compute_leave_what_is_there(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    words = [*_words(folder), f"--out={tmp_path}", "--minutes=0"]
    words[words.index("--reference") + 1] = "256"
    assert main(words) == 0
    assert "stopped; rerun to continue" in capsys.readouterr().out
    found = json.loads((tmp_path / "sizes-phi4.json").read_text("utf-8"))
    assert found["exponents"][0]["kind"] == "hmc"


def _observables(at: dict, kind: str) -> dict:
    if kind == "hmc":
        return at["reference"]["observables"]
    rows = (row for row in at["rows"] if (row["model"], row["kind"]) == (MODEL, kind))
    return next(row["observables"] for row in rows)


def test_couplings_of_the_literature_have_runs_of_their_own(tmp_path: Path):
    study = SizeStudy(Cells(tmp_path, lambda text: None), Numbers(128, 32, 8, 4))
    study.published(MODEL, 6)
    assert study.cell("hmc-6-6.975") is not None and study.cell("hmc-6") is None
    assert summary(study, (), (MODEL,))["published"] == []  # not asked for
    (row,) = summary(study, (), (), (MODEL,))["published"]
    assert (row["model"], row["size"], row["lam"]) == (MODEL, 6, 6.975)
    assert 0.3 < row["ess"]["value"] <= 1 and row["ess"]["n"] == 14
    chi = row["observables"]["susceptibility"]
    truth = study.reference(6, published_action(6))["result"]["observables"]["susceptibility"]
    assert chi["percent"] == pytest.approx(100 * (chi["value"] / truth["value"] - 1))
    # of 20,000 fields without clusters: 1.026 ± 0.002
    assert abs(truth["value"] - 1.026) < 4.5 * (truth["error"] ** 2 + 0.002**2) ** 0.5


def test_long_waves_are_taken_from_all_chains_of_the_run(folder: Path):
    run, grown = (
        load_file(folder / "w" / f"{name}.safetensors")["fields"].mean((1, 2, 3))
        for name in ("hmc-16", cell_of(MODEL, 16, "grown"))
    )
    assert (len(run), len(grown)) == (128, 32)  # of 8 chains
    torch.testing.assert_close(grown, run[np.round(np.linspace(0, 127, 32)).astype(int)])


@pytest.mark.parametrize(("total", "n", "chains"), [(2000, 1333, 64), (1000, 520, 62), (9, 20, 3)])
def test_fields_of_all_chains_are_chosen(total: int, n: int, chains: int):
    chosen = evenly(total, n)
    assert len(chosen) == len(set(chosen.tolist())) == min(n, total)
    each = torch.bincount(chosen * chains // total, minlength=chains)
    assert each.max() - each.min() <= 2


def test_models_are_called_by_names_that_tell_them_apart():
    names = ("runs/a/checkpoint/model.safetensors", "pretrained/b/model.safetensors", "x/c", "d")
    assert [title_of(name) for name in names] == ["a", "b", "c", "d"]
    assert title_of("results/models/phi4-critical/e.safetensors") == "e"


def test_the_spectrum_of_the_largest_lattice_is_extrapolated_from_larger_ones(tmp_path: Path):
    """48×48 is as far as three small lattices have the waves for."""
    study = SizeStudy(Cells(tmp_path, lambda text: None), Numbers(reference=128))
    for size in (*SMALL, *LARGER):
        study.reference(size)
    for size, known in ((48, SMALL), (64, LARGER)):
        wanted = extrapolated([study.modes(each) for each in known], size).modes.variance
        found = study.modes(size, "scaling").modes.variance
        assert found is not None and wanted is not None
        torch.testing.assert_close(found, wanted)
        assert found.shape == (1, size, size) and (found > 0).all()


def test_what_is_finished_is_not_computed_again(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    before = (folder / "sizes-phi4.json").read_text("utf-8")
    words = [*_words(folder), f"--out={tmp_path}", "--minutes=0"]
    assert main(words) == 0
    assert (tmp_path / "sizes-phi4.json").read_text("utf-8") == before
    told = capsys.readouterr().out
    assert "complete" in told and " s\n" not in told.replace("stopped", "")


def test_a_study_that_was_stopped_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    words = [*WORDS, f"--work={tmp_path / 'w'}", f"--out={tmp_path}", "--minutes=0"]
    assert main(words) == 0
    assert "stopped; rerun to continue" in capsys.readouterr().out
    assert json.loads((tmp_path / "sizes-phi4.json").read_text("utf-8"))["sizes"] == []


@pytest.mark.parametrize(
    "options", [["--reference=1"], ["--samples=0"], ["--steps=1"], ["--models", "none"]]
)
def test_options_that_do_not_fit_are_refused(
    options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    words = ["study", "sizes", "--sizes=8", *options, f"--work={tmp_path}", f"--out={tmp_path}"]
    if options == ["--models", "none"]:
        words += ["--reference=128", "--minutes=0.001"]
    assert main(words) in (0, 1)
    told = capsys.readouterr()
    assert "Traceback" not in told.err
    assert len(told.err.splitlines()) <= 1


def test_larger_lattices_get_fewer_fields():
    numbers = Numbers(reference=1000, samples=400)
    assert [numbers.at(L, 400) for L in (6, 8, 16, 32, 64)] == [1600, 1600, 400, 100, 32]
