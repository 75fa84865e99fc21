"""Pretrained models of images: training, the card, 16-bit weights, and principal components in
files of their own.
"""

import json
import shutil
from pathlib import Path

import pytest
import torch

import rgdiff_core as rg
from rgdiff_core.bases.spec import BasisSpec
from rgdiff_core.cli.main import main
from rgdiff_core.denoisers import ModelSpec
from rgdiff_core.denoisers.pca_files import read_vectors, write_vectors
from rgdiff_core.networks import UNet
from rgdiff_core.pretraining.sheet import read_sheet
from rgdiff_core.training import TrainConfig, load_config, train
from rgdiff_core.training.config import config_to_toml
from rgdiff_core.training.noise_levels import FixedProcess, Universal
from rgdiff_core.training.runs.folder import read_status

NETWORK = UNet(8, (1, 2), 1, ())


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder for pretrained models, with two configs."""
    monkeypatch.setenv("RGDIFF_PRETRAINED", str(tmp_path / "shelf"))
    for name, noise in (("all", Universal(4)), ("one", FixedProcess())):
        config = TrainConfig(
            data="photographs",
            limit=100,
            basis=BasisSpec(decorrelate=True),
            noise=noise,
            model=ModelSpec(NETWORK),
            steps=2,
            batch=8,
            evaluations=1,
            previews=0,
        )
        (tmp_path / "shelf" / name).mkdir(parents=True)
        (tmp_path / "shelf" / name / "config.toml").write_text(config_to_toml(config))
    return tmp_path / "shelf"


@pytest.mark.parametrize(("name", "processes"), [("all", 4), ("one", 1)])
def test_a_model_of_images_is_trained_evaluated_and_installed(
    shelf, tmp_path, capsys, name, processes
):
    sizes = ["--images", "4", "--samples", "20", "--device", "cpu", "--json"]
    words = ["pretrain", name, "--work", str(tmp_path / "run"), *sizes]
    assert main(words) == 0
    card = json.loads(capsys.readouterr().out)
    assert card == json.loads((shelf / name / "card.json").read_text(encoding="utf-8"))
    assert len(card["scan"]) == processes and card["best"] in card["scan"]
    assert card["report"]["samples"]["n"] == card["report"]["floor"]["n"] == 20
    text = (shelf / name / "card.md").read_text(encoding="utf-8")
    assert card["best"] in text and "| quantity | samples | training images |" in text
    first = read_sheet(shelf / name / "samples.png")
    assert main(["pretrain", name, "--sheet", "--device", "cpu"]) == 0
    assert capsys.readouterr().out == f"{shelf / name / 'samples.png'}\n"
    assert torch.equal(read_sheet(shelf / name / "samples.png"), first)
    # what was trained is what was installed, up to 16 bits
    installed = rg.load_pretrained(name)
    trained = rg.load_model(tmp_path / "run" / "checkpoint" / "model.safetensors")
    for mine, its in zip(
        installed.network.parameters(), trained.network.parameters(), strict=True
    ):
        assert mine.dtype == torch.float32
        torch.testing.assert_close(mine, its, rtol=2**-8, atol=1e-6)
    # a finished run is evaluated, not trained again, and installed as it is where it has 16 bits
    own, kept = tmp_path / "run" / "checkpoint" / "model.safetensors", shelf / name
    shutil.copy(kept / "model.safetensors", own)
    before = own.stat().st_mtime_ns
    assert main(words) == 0
    assert own.stat().st_mtime_ns == before
    assert own.read_bytes() == (kept / "model.safetensors").read_bytes()


def test_an_unfinished_run_is_taken_as_it_stands(shelf, tmp_path, capsys):
    work = tmp_path / "run"
    sizes = ["--images", "4", "--samples", "20", "--device", "cpu"]
    asked = ["pretrain", "one", "--unfinished", "--work", str(work), *sizes]
    assert main(asked) == 1
    assert "holds no checkpoint of a run of one." in capsys.readouterr().err
    path = shelf / "one" / "config.toml"
    config = load_config(path, ["steps=100000", "max_minutes=0.001"])
    path.write_text(config_to_toml(config))
    outcome = train(config, work, device="cpu")
    assert outcome.state == "paused"
    assert main(asked) == 0
    card = json.loads((shelf / "one" / "card.json").read_text(encoding="utf-8"))
    assert card["steps"] == outcome.step < 100_000
    assert read_status(work).step == outcome.step
    assert f"{outcome.step:,} steps of\n  8 images" in (shelf / "one" / "card.md").read_text()


@pytest.fixture
def principal(tmp_path: Path):
    """Return a model in principal components, and its file with the basis beside it."""
    images = rg.data.load("photographs", limit=400).images[..., ::4, ::4].contiguous()
    basis = rg.bases.PCABasis.fit(images)
    torch.manual_seed(0)
    model = ModelSpec(UNet(8, (1,), 1, ())).build(basis, rg.Modes.fit(basis, images))
    rg.save_model(model, tmp_path / "model.safetensors", split=True)
    return model, tmp_path / "model.safetensors"


def test_principal_components_come_back(principal):
    model, path = principal
    assert (path.parent / "basis-0.safetensors").is_file()
    read = rg.load_model(path)
    torch.testing.assert_close(read.basis.vectors, model.basis.vectors, rtol=0, atol=3e-5)
    vectors = read.basis.get_buffer("vectors")
    one = vectors @ vectors.T
    torch.testing.assert_close(one, torch.eye(len(one)), rtol=0, atol=2e-6)


def test_many_rows_go_into_several_files(tmp_path, monkeypatch):
    monkeypatch.setattr("rgdiff_core.denoisers.pca_files.PART", 2 * 48 * 20)
    vectors = torch.linalg.qr(torch.randn(48, 48, generator=torch.Generator().manual_seed(0)))[0]
    files = write_vectors(vectors, tmp_path)
    assert list(files) == [f"basis-{i}.safetensors" for i in range(3)]
    torch.testing.assert_close(read_vectors(tmp_path, files), vectors, rtol=0, atol=3e-5)


def test_a_basis_that_is_not_the_models_is_refused(principal):
    _, path = principal
    basis = path.parent / "basis-0.safetensors"
    good = basis.read_bytes()
    basis.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    with pytest.raises(ValueError, match=r"basis-0\.safetensors is damaged"):
        rg.load_model(path)
    basis.unlink()
    with pytest.raises(ValueError, match="which is missing"):
        rg.load_model(path)


@pytest.mark.parametrize("files", [None, {}, {"../other": "0"}, ["basis-0.safetensors"]])
def test_nonsense_instead_of_files_is_refused(tmp_path, files):
    with pytest.raises(ValueError, match="basis"):
        read_vectors(tmp_path, files)
