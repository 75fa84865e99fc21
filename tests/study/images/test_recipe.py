"""Recipes of training: a tiny comparison, its file, and that it continues where it was."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import rgdiff_core as rg
from rgdiff_core.cli.main import main
from rgdiff_core.denoisers import ModelSpec
from rgdiff_core.denoisers.files import load_model, pretrained_folder
from rgdiff_core.evaluation import image_bound
from rgdiff_core.evaluation.features import extract, kernel_distance, load_features
from rgdiff_core.evaluation.features.network import Classifier
from rgdiff_core.evaluation.images.bound import EDGES
from rgdiff_core.process import Process
from rgdiff_core.study.images.ablation import MATCHED, WHITE
from rgdiff_core.study.images.recipe import DRAWS, MODEL, RecipeBudget, _drawn
from rgdiff_core.study.images.recipe_arms import ARMS, SIZES, arm, arm_config, process_title, title
from rgdiff_core.study.images.recipe_report import rows

ARM = "tints-small-0.005"


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return [
        *("study", "recipe", "--data", "tints", "--arms", "muon", "--size", "small", "--json"),
        *("--core-minutes", "0.005", "--batch", "4", "--images", "16"),
        *("--work", str(tmp_path_factory.mktemp("work")), "--out"),
        str(tmp_path_factory.mktemp("out")),
    ]


@pytest.fixture(scope="module", autouse=True)
def tints(tmp_path_factory: pytest.TempPathFactory):
    """Register small images of three classes, which differ in brightness."""
    home, chance = tmp_path_factory.mktemp("cache"), np.random.default_rng(0)
    labels = chance.integers(0, 3, 200)
    images = 0.5 * (labels - 1)[:, None, None, None] + 0.1 * chance.standard_normal((200, 3, 8, 8))
    np.savez(home / "tints.npz", images=images.clip(-1, 1).astype(np.float32), labels=labels)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RGDIFF_CACHE", str(home))
        rg.data.register_folder(home / "tints.npz")
        yield


def test_arms_are_trained_once_and_compared_in_pairs(words, capsys):
    assert main([*words, "--minutes", "1e-9"]) == 0
    assert not json.loads(capsys.readouterr().out)["complete"]
    assert main(words) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["complete"]
    (entry,) = json.loads(Path(found["file"]).read_text("utf-8"))["budgets"]
    assert entry["core_minutes"] == 0.005 and entry["arms"] == found["arms"]
    base, muon = found["arms"]
    assert base["band_less_base"] is None and base["config"]["steps"] >= 1
    assert muon["config"]["optimizer"] == "muon"

    work = Path(words[words.index("--work") + 1])
    model = load_model(work / f"{ARM}-muon-0" / "checkpoint" / "model.safetensors")
    process = Process(model.basis, WHITE.color, WHITE.schedule, model.modes)
    test = rg.data.load("tints", "test")
    assert test.labels is not None
    images, labels = test.images[:16], test.labels[:16]
    bound = image_bound(model, process, images, DRAWS, class_labels=labels)
    assert muon["band"]["value"] == pytest.approx(float(bound.between(-4, 4).mean()), abs=1e-6)
    assert muon["bits"]["value"] == pytest.approx(bound.estimate.value, abs=1e-6)
    less = [
        torch.tensor(json.loads((work / f"{ARM}-{name}-0.json").read_text())["result"]["band"])
        for name in ("muon", "base")
    ]
    change = (less[0] - less[1]).double()
    assert muon["band_less_base"]["value"] == pytest.approx(float(change.mean()), abs=1e-6)
    error = float(change.std()) / 16**0.5
    assert muon["band_less_base"]["error"] == pytest.approx(error, rel=1e-3, abs=1e-9)

    shutil.rmtree(work)
    assert main(words) == 0  # from the file alone
    assert json.loads(capsys.readouterr().out)["arms"] == found["arms"]
    assert main([*words, "--base", "balanced"]) == 0
    second = json.loads(capsys.readouterr().out)["arms"]
    assert [each["name"] for each in second] == ["balanced", "balanced+muon"]
    assert [each["band_less_base"] is None for each in second] == [True, False]
    assert second[1]["config"]["objective"]["weighting"] == "balanced"
    assert second[1]["config"]["optimizer"] == "muon"
    at = words.index("--images") + 1
    assert main([*words[:at], "17", *words[at + 1 :]]) == 0
    capsys.readouterr()
    budgets = json.loads(Path(found["file"]).read_text("utf-8"))["budgets"]
    assert [(each["base"], each["images"]) for each in budgets] == [
        ("base", 16),
        ("balanced", 16),
        ("base", 17),
    ]


def test_other_arms_and_seeds_join_those_of_their_budget(words, tmp_path, capsys):
    changed = {"--work": str(tmp_path / "w"), "--out": str(tmp_path)}
    other = [changed.get(before, word) for before, word in zip(["", *words], words, strict=False)]
    at = other.index("--core-minutes")
    other[at : at + 2] = ["--steps", "2"]
    for arms, seeds in ((["muon"], ["0", "1"]), (["matched"], ["0"]), (["muon"], ["2"])):
        other[other.index("--arms") + 1] = arms[0]
        assert main([*other, "--seeds", *seeds]) == 0
        capsys.readouterr()
    path = tmp_path / "recipe-tints.json"
    (entry,) = json.loads(path.read_text("utf-8"))["budgets"]
    assert {arm["name"]: len(arm["steps"]) for arm in entry["arms"]} == {
        "base": 3,
        "muon": 3,
        "matched": 1,
    }
    assert entry["seeds"] == [0, 1, 2] and len(entry["cells"]) == 7
    assert entry["command"].endswith("--seeds 0 1 2 --base base --arms muon matched")
    bands = {
        seed: {
            name: json.loads(
                (tmp_path / "w" / f"tints-small-2-steps-{name}-{seed}.json").read_text()
            )
            for name in ("base", "muon")
        }
        for seed in (0, 1, 2)
    }
    less = [
        np.mean(x["muon"]["result"]["band"]) - np.mean(x["base"]["result"]["band"])
        for x in bands.values()
    ]
    muon, matched = entry["arms"][1:]
    assert muon["band_less_base"]["value"] == pytest.approx(np.mean(less), abs=1e-6)
    assert matched["band_less_base"] is None and matched["bits_less_base"] is not None
    whole = json.loads(path.read_text("utf-8"))
    for cell in whole["budgets"][0]["cells"]:
        config = cell["inputs"]["config"]
        if cell["name"].endswith("-muon-1"):
            config["lr"] *= 2  # of an earlier version
    path.write_text(json.dumps(whole))
    assert main([*other, "--seeds", "0"]) == 0
    (entry,) = json.loads(path.read_text("utf-8"))["budgets"]
    assert [len(arm["steps"]) for arm in entry["arms"]] == [3, 2, 1]
    assert main([*other, "--images", "17", "--seeds", "0"]) == 0
    assert len(json.loads(path.read_text("utf-8"))["budgets"]) == 2


def test_what_images_add_by_level_is_the_gain():
    basis = rg.bases.FourierBasis((1, 8, 8))
    images = torch.rand(40, 1, 8, 8) * 2 - 1
    modes = rg.Modes.fit(basis, images)
    model = ModelSpec().build(basis, modes)
    for parameter in model.network.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    bound = image_bound(model, Process(basis, WHITE.color, WHITE.schedule, modes), images, 4)
    torch.testing.assert_close(bound.by_level.mean(0), bound.gain.sum(0))
    torch.testing.assert_close(bound.by_level.sum(1), bound.bits - bound.free)
    whole = bound.by_level[:, 0] + bound.between(EDGES[0], EDGES[-1]) + bound.by_level[:, -1]
    torch.testing.assert_close(whole, bound.bits - bound.free)
    with pytest.raises(ValueError, match=r"\(-4, 3\) is not an interval between two of -6, -4"):
        bound.between(-4, 3)


def test_every_arm_is_one_change_and_fits_cifar10():
    base = arm_config("base", SIZES["full"], batch=64, seed=0, data="cifar10")
    for size in SIZES.values():
        for name in ARMS:
            made = arm_config(name, size, batch=64, seed=0, data="cifar10")
            assert replace(made.model, class_names=tuple("abcdefghij")).parameters((3, 32, 32))
    for name in ARMS:
        made = arm_config(name, SIZES["full"], batch=64, seed=0, data="cifar10")
        changed = [k for k, v in vars(base).items() if getattr(made, k) != v]
        assert len(changed) == (name != "base"), name


def test_several_changes_are_all_made_in_any_order():
    def made(name: str):
        return arm_config(arm(name), SIZES["small"], batch=8, seed=0, data="cifar10")

    pairs = (("larger", "added"), ("coarse", "larger"), ("added", "coarse"))
    for one, two in (*pairs, ("coarse", "standard"), ("standard", "larger")):
        assert made(f"{one}+{two}") == made(f"{two}+{one}") != made(one)
        assert made(f"{one}+{two}") != made(two)
    assert made("larger+added").model.network == replace(SIZES["small"].larger, added_skips=True)
    assert made("whitened+timed+isotropic") == made("standard")
    assert made("base+muon") == made("muon") and arm("base+muon") == "muon"
    assert arm("base") == "base"
    # of the same thing the later one counts, and is named
    assert made("balanced+muon+likelihood") == made("muon+likelihood")
    assert title("balanced+muon+likelihood") == title("muon+likelihood")
    assert process_title("balanced+muon") == "white noise, our denoiser"
    assert process_title("balanced+muon+equal") == ARMS["equal"]
    assert process_title("muon+isotropic") == "white noise, our denoiser (isotropic reference)"
    assert made("output").model.c_out == "isotropic" != made("base").model.c_out
    assert made("input").model.network_input == "isotropic" != made("base").model.network_input
    assert title("muon+coarse") == f"{ARMS['muon']}; {ARMS['coarse']}"


def test_an_arm_of_one_process_is_judged_in_that_after_as_many_steps(words, tmp_path, capsys):
    changed = {"--core-minutes": "5", "--work": str(tmp_path / "w"), "--out": str(tmp_path)}
    other = [changed.get(before, word) for before, word in zip(["", *words], words, strict=False)]
    other[other.index("--core-minutes")] = "--steps"
    other[other.index("muon")] = "matched"
    assert main([*other, "--seeds", "0", "1"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [each["steps"] for each in found["arms"]] == [[5, 5], [5, 5]]
    (entry,) = json.loads(Path(found["file"]).read_text("utf-8"))["budgets"]
    assert entry["core_minutes"] is None and " --steps 5 --batch 4 " in entry["command"]
    test, bits = rg.data.load("tints", "test"), []
    assert test.labels is not None
    for seed in (0, 1):
        path = tmp_path / "w" / f"tints-small-5-steps-matched-{seed}" / MODEL
        model = load_model(path)
        own, white = (
            image_bound(model, each.on(model), test.images[:16], 8, class_labels=test.labels[:16])
            for each in (MATCHED, WHITE)
        )
        assert abs(own.estimate.value - white.estimate.value) > 0.001
        bits.append(own.estimate.value)
    assert found["arms"][1]["bits"]["value"] == pytest.approx(sum(bits) / 2, abs=1e-5)
    assert found["arms"][1]["bits"]["errors_over"] == "seeds"


def test_samples_are_drawn_in_the_process_of_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The share of them named, and their kernel distance, are those of samples drawn by hand."""
    monkeypatch.setattr("rgdiff_core.study.images.recipe.STEPS", 2)
    (tmp_path / MODEL).parent.mkdir()
    weights = pretrained_folder() / "cifar10-conditional" / "model.safetensors"
    shutil.copy(weights, tmp_path / MODEL)
    base = arm_config("base", SIZES["small"], batch=4, seed=0, data="photographs")
    chosen = RecipeBudget("photographs", "small", 1, 1.0, 4, 16, 40, "cifar10", [0], "base", [])
    found = _drawn(replace(base, noise=MATCHED), tmp_path, chosen, 7)
    model, network = load_model(tmp_path / MODEL), load_features("cifar10")
    assert isinstance(network, Classifier)
    labels = torch.arange(40) % 10
    drawn = rg.sample(
        model,
        MATCHED.on(model),
        40,
        2,
        "dpmpp_2m",
        generator=torch.Generator().manual_seed(7),
        grid="logsnr",
        class_labels=labels,
        guidance_scale=2.0,
    )
    grey = ((drawn.clamp(-1, 1) + 1) * 127.5).round() / 127.5 - 1
    share = float((network.logits(grey).argmax(1) == labels).double().mean())
    assert found["value"] == pytest.approx(share, abs=1e-9)
    real = rg.data.load("photographs", "test").images[:2000]
    wanted = kernel_distance(extract(network, grey), extract(network, real))
    assert found["kernel"]["value"] == pytest.approx(wanted.value, rel=1e-3)


def test_what_was_measured_of_samples_is_compared_in_pairs_of_seeds():
    def cells(*values: float, first: int = 0) -> list[dict]:
        result = {"bits": [1.0, 2.0], "band": [0.0, 1.0], "free_bits": 3.0, "steps": 1}
        about = {"processor_seconds": 1.0, "result": result}
        drawn = [{"value": x, "error": 1.0, "kernel": {"value": -x, "error": 1}} for x in values]
        noise = {"kind": "FixedProcess"}
        return [
            {**about, "inputs": {"config": {"noise": noise, "seed": n}}, "named": {"result": each}}
            for n, each in enumerate(drawn, first)
        ]

    base, other = rows({"base": cells(0.1, 0.5), "base+muon": cells(0.2, 0.8)}, "base")
    assert base["named_less_base"] is None and base["kernel_less_base"] is None
    assert base["named"] == pytest.approx({"value": 0.3, "error": 0.2})
    assert other["named_less_base"] == pytest.approx({"value": 0.2, "error": 0.1})
    assert other["kernel_less_base"] == pytest.approx({"value": -0.2, "error": 0.1})
    _, later = rows({"base": cells(9.0, 0.1, 0.5), "base+muon": cells(0.2, 0.8, first=1)}, "base")
    assert later["named_less_base"] == pytest.approx({"value": 0.2, "error": 0.1})
    (alone,) = rows({"base": cells(0.1)}, "base")
    assert alone["kernel"] == {"value": -0.1, "error": 1}


def test_a_base_may_be_written_in_full(words, capsys):
    assert main([*words, "--base", "base+balanced"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [each["name"] for each in found["arms"]] == ["balanced", "balanced+muon"]
    assert found["arms"][1]["band_less_base"] is not None


def test_less_than_no_time_is_refused(words, capsys):
    assert main([*words, "--minutes", "-5"]) != 0
    assert "minutes = -5.0 is outside [0, " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "value"),
    [("--core-minutes", "0"), ("--images", "3"), ("--arms", "muon+faster")],
)
def test_what_is_out_of_range_is_named(words, option, value, capsys):
    changed = list(words)
    changed[changed.index(option) + 1] = value
    assert main(changed) != 0
    assert value.split("+")[-1] in capsys.readouterr().err


def test_a_tuned_arm_goes_on_from_a_trunk_in_white_noise(words, tmp_path, capsys):
    """It is also judged in matched noise, of which the trunk's weights alone know nothing."""
    changed = {"--core-minutes": "0.02", "--work": str(tmp_path / "w"), "--out": str(tmp_path)}
    other = [changed.get(before, word) for before, word in zip(["", *words], words, strict=False)]
    other[other.index("muon")] = "muon+tuned"
    assert main([*other, "--base", "balanced"]) == 0
    found = json.loads(capsys.readouterr().out)
    entry = json.loads(Path(found["file"]).read_text("utf-8"))["budgets"][0]
    assert entry["command"].endswith("--base balanced --arms muon+tuned")
    base, tuned = found["arms"]
    assert base["matched_bits"] is None and tuned["matched_bits"]["error"] > 0
    (trunk,) = tmp_path.glob("w/*-trunk")
    run = trunk.with_name(trunk.name.removesuffix("-trunk"))
    configs = (each / "config.json" for each in (trunk, run))
    before, after = (json.loads(each.read_text("utf-8")) for each in configs)
    assert before["noise"]["kind"] == "FixedProcess" and after["noise"]["kind"] == "Universal"
    assert before["steps"] + after["steps"] == tuned["steps"][0] and before["steps"] > 0
    assert before["seed"] != after["seed"]  # other images and noise
    weights = (trunk / "checkpoint" / "model.safetensors").read_bytes()
    assert (run / "initial.safetensors").read_bytes() == weights
