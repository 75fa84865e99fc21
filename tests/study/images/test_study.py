"""The study of CIFAR-10 through its command, with small random models of photographs."""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from rgdiff_core import data
from rgdiff_core.bases.modes import Modes
from rgdiff_core.bases.spec import BasisSpec
from rgdiff_core.cli.main import main
from rgdiff_core.colors import White
from rgdiff_core.denoisers import ModelSpec
from rgdiff_core.denoisers.files import save_model
from rgdiff_core.evaluation.images.bound import BANDS, EDGES
from rgdiff_core.networks import UNet
from rgdiff_core.schedules import LinearGamma, Schedule
from rgdiff_core.spec import from_dict
from rgdiff_core.study.cells import Cells
from rgdiff_core.study.images.arms import BASELINE, MODELS, UNIVERSAL, scan_arms, universal_arms
from rgdiff_core.study.images.budget import BUDGETS
from rgdiff_core.study.images.study import ImageStudy
from rgdiff_core.study.images.summary import METRICS
from rgdiff_core.training import TrainConfig
from rgdiff_core.training.noise_levels import FixedProcess, Universal

pytestmark = pytest.mark.slow

NETWORK = UNet(8, (1, 2), 1, ())
STANDARD = ModelSpec(NETWORK, network_input="whitened", conditioning="time", reference="isotropic")


def save(path: Path, spec: ModelSpec, basis: BasisSpec, noise, **budget) -> None:
    torch.manual_seed(0)
    images = data.load("photographs", limit=200).images
    config = TrainConfig(data="photographs", basis=basis, model=spec, noise=noise, **budget)
    built = basis.build(images)
    save_model(
        spec.build(built, Modes.fit(built, images)),
        path,
        {"data": "photographs", "config": config.to_json()},
    )


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a dedicated and a universal model."""
    home = tmp_path_factory.mktemp("cifar10")
    basis = BasisSpec(decorrelate=True)
    own = FixedProcess(White(), LinearGamma(-9.0, 5.0))
    save(home / f"{BASELINE}.safetensors", STANDARD, basis, own)
    haar = BasisSpec("wavelet", decorrelate=True)
    save(home / "cifar10-haar.safetensors", ModelSpec(NETWORK), haar, Universal())
    return home


@pytest.fixture(scope="module")
def words(home: Path) -> list[str]:
    """Return the words of the command."""
    files = [f"{name}={home / name}.safetensors" for name in (BASELINE, "cifar10-haar")]
    return [
        *("study", "cifar10", "--models", *files),
        *("--data", "photographs", "--budget", "tiny", "--device", "cpu", "--features"),
        *("--work", str(home / "work"), "--out", str(home / "results"), "--json"),
    ]


@pytest.fixture(scope="module")
def results(home: Path, words: list[str], request: pytest.FixtureRequest) -> dict:
    """Return what the command writes, stopped before the first cell and resumed."""
    patch = pytest.MonkeyPatch()
    request.addfinalizer(patch.undo)
    patch.setenv("RGDIFF_PRETRAINED", str(home / "none"))
    assert main([*words, "--minutes", "0"]) == 0
    assert not list((home / "work").glob("*.json"))
    assert main(words) == 0
    return json.loads((home / "results" / "study-photographs.json").read_text(encoding="utf-8"))


def test_every_arm_has_its_bits(results):
    names = {arm["name"] for arm in results["arms"]}
    expected = {arm.name for arm in (*universal_arms("cifar10-haar"), *scan_arms("cifar10-haar"))}
    assert names == expected | {BASELINE}
    assert results["finished"]
    assert not results["complete"]["failed"]
    assert set(results["missing"]) == set(MODELS) - {BASELINE, "cifar10-haar"}
    for arm in results["arms"]:
        assert set(arm["metrics"]) <= set(METRICS)
        assert arm["metrics"]["bits"]["value"] > 0
        assert len(arm["gain"]) == BANDS
        assert {len(row) for row in arm["left"]} == {len(EDGES) + 1}
        assert isinstance(from_dict(arm["schedule"]), Schedule)


def test_differences_are_paired(results):
    arms = {arm["name"]: arm for arm in results["arms"]}
    base = arms[BASELINE]
    assert base["against_baseline"] is None
    for arm in arms.values():
        if arm is base:
            continue
        change = arm["against_baseline"]["bits"]
        values = [each["metrics"]["bits"]["value"] for each in (arm, base)]
        assert change["value"] == pytest.approx(values[0] - values[1], abs=1e-9)


def test_only_models_of_one_budget_are_compared(tmp_path):
    basis, spec = BasisSpec(decorrelate=True), ModelSpec(NETWORK)
    save(tmp_path / f"{BASELINE}.safetensors", STANDARD, basis, FixedProcess())
    save(tmp_path / "cifar10.safetensors", spec, basis, Universal())
    save(tmp_path / "cifar10-small.safetensors", spec, basis, Universal(), steps=10)
    larger = ModelSpec(UNet(16, (1, 2), 1, ()))
    save(tmp_path / "cifar10-haar.safetensors", larger, BasisSpec("wavelet"), Universal())
    files = {path.stem: path for path in tmp_path.iterdir()}
    study = ImageStudy(files, BUDGETS["tiny"], Cells(tmp_path / "work"), data="photographs")
    compared = {arm.model for arm in study.arms if study.baseline(arm)}
    assert compared == {"cifar10"}


def test_the_best_of_each_kind_is_sampled(results):
    mine = [arm for arm in results["arms"] if arm["model"] == "cifar10-haar"]
    for group in ("white-scalar", "white-component", "matched-scalar", "matched-component"):
        kind = [arm for arm in mine if arm["group"] == group]
        best = min(kind, key=lambda arm: arm["metrics"]["choice_bits"]["value"])
        assert [arm["name"] for arm in kind if arm["headline"]] == [best["name"]]
        assert [row["nfe"] for row in best["samples"]] == results["budget"]["evaluations"]
        assert {"bits_more", "flow_bits", "spectrum_error", "sharpness"} <= set(best["metrics"])


def test_methods_are_searched_alike(results):
    sampled = {arm["name"] for arm in results["arms"] if arm["headline"]}
    assert {row["arm"] for row in results["search"]} == sampled
    for name in sampled:
        rows = [row for row in results["search"] if row["arm"] == name]
        assert len(rows) == 3
        chosen = [row for row in rows if row["chosen"]]
        arm = next(arm for arm in results["arms"] if arm["name"] == name)
        assert {(row["method"], row["grid"]) for row in arm["samples"]} == {
            (row["method"], row["grid"]) for row in chosen
        }


def test_scans_have_a_row_for_each_softness(results):
    (scan,) = results["scans"]
    assert len(scan["rows"]) == len(scan_arms("cifar10-haar"))
    assert all({"bits", "spectrum_error"} <= set(row["metrics"]) for row in scan["rows"])
    (softest,) = (r for r in scan["rows"] if r["color"] == "White" and r["softness"] == 1)
    for row in scan["rows"]:  # paired with white noise at the softest
        change = row["against_standard"]["bits"]
        values = [each["metrics"]["bits"]["value"] for each in (row, softest)]
        assert change["value"] == pytest.approx(values[0] - values[1], abs=1e-9)
    own = softest["against_standard"]["bits"]
    assert (own["value"], own["error"]) == (0, 0)


def test_real_images_are_the_floor_and_pictures_are_written(results, home):
    floor, arms = results["floor"]["metrics"], results["arms"]
    worst = max(arm["metrics"].get("spectrum_error", {"value": 0})["value"] for arm in arms)
    assert floor["spectrum_error"]["value"] < worst
    assert next(row["arm"] for row in results["pictures"]) == "floor"
    for row in results["pictures"]:
        with Image.open(home / "results" / row["file"]) as picture:
            assert picture.size == (8 * 32, 5 * 32)


def test_what_is_finished_is_not_computed_again(results, words, home, monkeypatch, capsys):
    del results
    monkeypatch.setenv("RGDIFF_PRETRAINED", str(home / "none"))
    before = {path: path.stat().st_mtime_ns for path in (home / "work").iterdir()}
    capsys.readouterr()
    assert main([*words, "--minutes", "0"]) == 0
    assert json.loads(capsys.readouterr().out)["complete"]
    assert before == {path: path.stat().st_mtime_ns for path in (home / "work").iterdir()}


@pytest.mark.parametrize("name", [BASELINE, "cifar10-haar"])
def test_one_model_may_be_computed_alone_beside_those_of_the_file(
    name, results, words, home, tmp_path, monkeypatch
):
    monkeypatch.setenv("RGDIFF_PRETRAINED", str(home / "none"))
    path = tmp_path / "study-photographs.json"
    path.write_text(json.dumps(results), encoding="utf-8")
    file = f"{name}={home / name}.safetensors"
    at = words.index("--out") + 1
    alone = [*words[:3], file, *words[5:at], str(tmp_path), *words[at + 1 :]]
    assert main([*alone, "--only", name]) == 0
    found = json.loads(path.read_text(encoding="utf-8"))
    own = ("arms", "command", "complete")
    for part in set(results) - {*own}:
        assert found[part] == results[part], part
    assert found["complete"]["failed"] == []
    # without the baseline's images there are no pairs
    assert found["arms"] == [arm | {"against_baseline": None} for arm in results["arms"]]
    assert found["command"].split("; ")[1].endswith(f"--budget tiny --only {name}")


def test_every_universal_model_has_the_same_kinds_of_process():
    kinds = [[(arm.group, arm.color) for arm in universal_arms(name)] for name in UNIVERSAL]
    assert all(each == kinds[0][: len(each)] for each in kinds[1:])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["nonsense=x"], "is not NAME=FILE"),
        (["cifar10=/nowhere"], "none of the models"),
        (["cifar10=/nowhere", "--only", "cifar10-pca"], "with a name of cifar10-pca."),
    ],
)
def test_wrong_models_are_refused(given, said, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("RGDIFF_PRETRAINED", str(tmp_path))
    words = ["study", "cifar10", "--models", *given, "--work", str(tmp_path / "work")]
    assert main([*words, "--out", str(tmp_path / "out"), "--json"]) == 1
    assert said in capsys.readouterr().err
