"""The Samples page with a model along a line of couplings: the slider, the link, what is drawn."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from streamlit.testing.v1 import AppTest

import rgdiff_core as rg
from pages._samples import files
from pages._samples.state import SamplesState
from pages._sampling import models
from pages._sampling.setting import Setting
from rgdiff_core.data import sets
from rgdiff_core.data.phi4 import LatticeLine
from rgdiff_core.denoisers import ModelSpec
from rgdiff_core.denoisers.files import pretrained_folder, sha256
from rgdiff_core.denoisers.modes_line import ModesLine
from rgdiff_core.lattice import Phi4
from rgdiff_core.lattice.line import CouplingLine
from rgdiff_core.networks import LatticeNet

ROOT = Path(__file__).resolve().parent.parent.parent
LINE = CouplingLine(((-4.0, 4.0), (-4.0, 5.5), (-4.0, 7.0)))
NAME = "phi4-6x6-line"


@pytest.fixture
def along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Setting:
    """Install a small model along a small line, and return a setting of it."""
    shipped = pretrained_folder()
    listed = json.loads((shipped / "index.json").read_text(encoding="utf-8"))
    spec = LatticeLine(LINE, 4, 60, 30, n_chains=30, thermalization=30, thinning=3)
    small = sets._lattice_line("a small line", spec, "small.")
    monkeypatch.setitem(sets.SETS, NAME, small)  # type: ignore[arg-type]
    for name in ("CACHE", "RUNS", "PRETRAINED"):
        (tmp_path / name).mkdir()
        monkeypatch.setenv(f"RGDIFF_{name}", str(tmp_path / name))
    found = rg.data.load(NAME)
    assert found.labels is not None
    basis = rg.bases.FourierBasis((1, 4, 4), "lattice")
    parts = [found.images[found.labels == i] for i in range(3)]
    modes = ModesLine(LINE, tuple(rg.Modes.fit(basis, part) for part in parts))
    model = ModelSpec(LatticeNet(4, 1), line=LINE).build(basis, modes)
    (tmp_path / "PRETRAINED" / "line").mkdir()
    path = tmp_path / "PRETRAINED" / "line" / "model.safetensors"
    rg.save_model(model, path, {"data": NAME})
    entry = {"name": "line", "title": "Along a line", "data": NAME, "sha256": sha256(path)}
    for each in listed:
        (tmp_path / "PRETRAINED" / each["name"]).symlink_to(shipped / each["name"])
    (tmp_path / "PRETRAINED" / "index.json").write_text(json.dumps([*listed, entry]))
    return Setting("pretrained/line", steps=4)


def visit(setting: Setting) -> AppTest:
    at = AppTest.from_file(str(ROOT / "pages/samples.py"), default_timeout=120)
    at.query_params["state"] = SamplesState(setting, n=4, measured=64).to_json()
    at.run()
    assert not at.exception
    return at


def test_the_slider_draws_at_couplings_that_were_never_trained_on(along: Setting):
    at = visit(along)
    slider = at.slider(key="samples-couplings")
    assert (slider.label, slider.min, slider.max, slider.value) == ("λ", 4.0, 7.0, 5.5)
    assert any("m² = −4, λ = 4 to 7; trained at 4, 5.5, 7" in c.value for c in at.caption)
    slider.set_value(4.6).run()
    assert not at.exception and not at.error
    setting = at.session_state["samples-state"].setting
    assert setting.couplings == (-4.0, 4.6)
    source = models.load(setting)
    assert source.action == Phi4(-4.0, 4.6) and source.denoiser.couplings == (-4.0, 4.6)
    assert torch.equal(source.images.images, rg.data.load_at(NAME, "train", -4.0, 4.6).images)
    assert source.denoiser.network is models.load(along).denoiser.network
    # the lines that are offered draw the same
    bench = at.session_state["samples-state"]
    scope: dict[str, torch.Tensor] = {}
    lines = files.python_lines(bench)
    assert ".at(-4.0, 4.6)" in lines
    exec(lines, scope)
    torch.testing.assert_close(scope["samples"], files.drawn(files.shown(bench)))


def test_a_link_outside_the_line_is_refused_in_one_sentence(along: Setting):
    at = visit(replace(along, couplings=(-4.0, 9.0)))
    (error,) = at.error
    assert "m² = −4, λ = 9 is outside the line of couplings m² = −4, λ = 4 to 7`)" in error.value
