"""Stored samples: in the message of a model whose draws take long, and in the gallery."""

from pathlib import Path

import numpy as np
import pytest
import torch
from container import unpack
from PIL import Image
from samplespage import SMALL, at_bench, state, visit

from pages._samples import stored
from pages._samples.messages import samples_message
from pages._samples.state import SamplesState
from pages._sampling.draw import most
from pages._sampling.models import load, sound
from pages._sampling.setting import Setting
from rgdiff_core.denoisers.files import pretrained_folder
from rgdiff_core.pretraining.sheet import read_sheet, write_sheet
from rgdiff_core.training import runs

pytestmark = pytest.mark.usefixtures("folders")

LARGE = "pretrained/cifar10"
MINE = "20260101-000000-mine"


def arrays(model: str) -> dict[str, np.ndarray]:
    bench = SamplesState(sound(Setting(model)), n=4)
    return unpack(samples_message(bench.to_json(), "s", True))[1]


def shelf_with_own(folder: Path, name: str) -> Path:
    """Fill a folder with the shipped models, one of them as files of its own, and return that."""
    shipped = pretrained_folder()
    for entry in shipped.iterdir():
        if entry.name != name:
            (folder / entry.name).symlink_to(entry)
    (folder / name).mkdir()
    for entry in (shipped / name).iterdir():
        (folder / name / entry.name).write_bytes(entry.read_bytes())
    return folder / name


def test_a_model_whose_draws_take_long_comes_with_stored_samples(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    sheet = read_sheet(pretrained_folder() / "cifar10" / "samples.png")
    assert sheet.shape == (16, 3, 32, 32) and sheet.float().std() > 30
    assert np.array_equal(arrays(LARGE)["stored"], sheet.numpy())
    small = shelf_with_own(tmp_path, "phi4-6x6")
    write_sheet(small / "samples.png", torch.zeros(16, 1, 6, 6, dtype=torch.uint8))
    monkeypatch.setenv("RGDIFF_PRETRAINED", str(tmp_path))
    assert stored.stored_fields("pretrained/phi4-6x6") is not None
    assert "stored" not in arrays("pretrained/phi4-6x6")  # drawn as soon as it is asked for


def test_a_runs_last_preview_is_stored():
    folder = runs.run_folder(MINE) / "samples"
    folder.mkdir(parents=True)
    for step in (10, 20):
        images = np.full((4, 1, 2, 2), step, np.float32)
        np.savez(folder / f"step-{step:08d}.npz", step=step, images=images)
    assert torch.equal(stored.stored_fields(f"run/{MINE}"), torch.full((4, 1, 2, 2), 20.0))
    (folder / "step-00000020.npz").write_bytes(b"PK")
    assert stored.stored_fields(f"run/{MINE}") is None


def test_the_gallery_shows_the_sheets_that_are_whole_and_leads_to_their_models(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    damaged = shelf_with_own(tmp_path, "cifar10-standard") / "samples.png"
    damaged.write_bytes(damaged.read_bytes()[:2000])
    monkeypatch.setenv("RGDIFF_PRETRAINED", str(tmp_path))
    at = at_bench(SMALL)
    shown = {each.key: each for each in at.button if str(each.key).startswith("gallery-")}
    assert f"gallery-{LARGE}" in shown and "gallery-pretrained/cifar10-standard" not in shown
    assert not any(each.disabled for each in shown.values())
    at = shown[f"gallery-{LARGE}"].click().run()
    assert not at.exception and not at.error
    assert state(at).setting.model == LARGE
    assert at.button(key=f"gallery-{LARGE}").disabled


def test_a_model_that_takes_long_is_measured_on_what_is_drawn():
    quick = at_bench(SMALL)
    assert not quick.selectbox(key="samples-measured").disabled
    at = visit(state=SamplesState(sound(Setting(LARGE, steps=1)), n=2).to_json())
    assert not at.exception
    menu = at.selectbox(key="samples-measured-drawn")
    assert menu.disabled and menu.value == "the samples drawn"
    shape = load(Setting(LARGE)).denoiser.basis.shape
    assert f"at most {most(shape)}:" in menu.help
    assert "samples-measured" not in {each.key for each in at.selectbox}


@pytest.mark.parametrize("channels", [1, 3])
def test_a_sheet_is_read_as_it_was_written(tmp_path: Path, channels: int):
    images = torch.randint(0, 256, (16, channels, 6, 5), dtype=torch.uint8)
    write_sheet(tmp_path / "s.png", images)
    assert torch.equal(read_sheet(tmp_path / "s.png"), images)


@pytest.mark.parametrize(
    ("size", "mode"), [((130, 128), "RGB"), ((128, 128), "RGBA"), ((4096, 4), "L")]
)
def test_a_picture_that_is_no_sheet_is_one_sentence(tmp_path: Path, size, mode: str):
    path = tmp_path / "s.png"
    Image.new(mode, size).save(path)
    with pytest.raises(ValueError, match=r"s\.png can't be read: .*(4×4|RGBA)"):
        read_sheet(path)
