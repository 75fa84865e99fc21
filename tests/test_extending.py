"""docs/extending.md: its examples as they stand there, as a user's own file."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from laws import dense, fields

import rgdiff_core as rg
from pages._shared.python_source import spec_source
from rgdiff_core import extensions
from rgdiff_core.bases.spec import BASES, BasisSpec
from rgdiff_core.presets import PRESETS

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "docs/extending.md").read_text(encoding="utf-8")
PARTS = TEXT.split("## A data set")
OWN = "\n\n".join(re.findall(r"^```python\n(.*?)^```", PARTS[0], re.M | re.S))


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory):
    """The user's file, loaded as RGDIFF_EXTENSIONS loads it."""
    path = tmp_path_factory.mktemp("own") / "mine.py"
    path.write_text(OWN, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(extensions.VARIABLE, str(path))
        extensions.load()
        extensions.load()  # only once
    yield path, sys.modules["rgdiff_extension_mine"]
    PRESETS.pop("simple")


def test_the_kernel_is_that_of_the_paper(own):
    kernel = own[1].PauliVillarsKernel(3.0)
    k, cutoff = torch.rand(2, 50, dtype=torch.float64) + 0.1
    expected = (1 + (k / cutoff) ** 2) ** -3
    torch.testing.assert_close(torch.sigmoid(-kernel.gamma(k, cutoff)), expected)
    torch.testing.assert_close(kernel.cutoff(k, kernel.gamma(k, cutoff)), cutoff)
    with pytest.raises(ValueError, match="order = 0 is outside"):
        own[1].PauliVillarsKernel(0)


def test_exported_lines_build_what_an_extension_brought(own):
    schedule = rg.schedules.Cutoff(own[1].PauliVillarsKernel(2.0))
    for spec in (schedule, own[1].ShiftedCosine(), own[1].Shoulder()):
        assert eval(spec_source(spec), {"rg": rg}) == spec


def test_a_process_of_all_four_noises_samples_and_is_read_back(own):
    mine, x = own[1], fields((2, 4, 6))
    basis = BasisSpec("polynomial", decorrelate=True).build(x).double()
    assert isinstance(basis, mine.PolynomialBasis) and repr(basis).startswith("PolynomialBasis(")
    assert BasisSpec.of(basis) == BasisSpec("polynomial", decorrelate=True)
    matrix = dense(basis)
    torch.testing.assert_close(matrix @ matrix.T, torch.eye(48, dtype=torch.float64))
    modes = rg.Modes.fit(basis, x)
    for schedule in (mine.ShiftedCosine(), rg.schedules.Cutoff(mine.PauliVillarsKernel())):
        process = rg.Process(basis, mine.Shoulder(), schedule, modes)
        again = rg.Process.from_json(process.to_json())
        t, noise = torch.linspace(0, 1, len(x), dtype=torch.float64), torch.randn_like(x)
        torch.testing.assert_close(again.perturb(x, t, noise), process.perturb(x, t, noise))
        model = rg.GaussianDenoiser(basis, modes)
        assert rg.sample(model, process, 2, 4, seed=0).isfinite().all()
    snr = mine.ShiftedCosine(2.0).level(0.5, modes).snr
    torch.testing.assert_close(snr, rg.schedules.Cosine().level(0.5, modes).snr / 4)


def test_what_is_registered_is_listed(own):
    assert list(extensions.listed(rg.schedules.Kernel)) == ["Pauli–Villars"]
    assert list(BASES)[5:] == ["polynomial"] and BASES["polynomial"].title == "Polynomials"
    assert extensions.drag_of(own[1].Shoulder).field == "exponent"
    assert PRESETS["simple"].schedule == own[1].ShiftedCosine(2.0)
    with pytest.raises(ValueError, match=r"the basis 'pixel' is the library's"):
        extensions.register_basis("pixel", "Pixels", rg.bases.PixelBasis)


@pytest.mark.parametrize(
    ("content", "says"),
    [(None, "which is no Python file"), ("x = 1 / 0", "does not run: ZeroDivisionError")],
)
def test_a_file_that_cannot_be_used_is_one_sentence(tmp_path, monkeypatch, content, says):
    path = tmp_path / "bad.py"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    monkeypatch.setenv(extensions.VARIABLE, str(path))
    with pytest.raises(ValueError, match=says) as caught:
        extensions.load()
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    assert "rgdiff_extension_bad" not in sys.modules


def test_the_data_set_of_the_documentation_is_built():
    code = re.findall(r"^```python\n(.*?)^```", PARTS[1], re.M | re.S)[0]
    names: dict = {}
    exec(compile(code, "docs/extending.md", "exec"), names)
    records = names["build"](lambda *_: None)
    assert {k: r.images.shape for k, r in records.items()} == {
        "train": (1024, 1, 32, 32),
        "test": (256, 1, 32, 32),
    }
    # ⟨φ²⟩ of the free field: the mean of 1/(k̂² + m²) over all momenta; its error from the fields.
    momentum = rg.bases.FourierBasis((1, 32, 32), "lattice").momentum.double()
    expected = float((1 / (momentum**2 + names["MASS2"])).mean())
    square = (torch.from_numpy(records["train"].images).double() ** 2).mean((1, 2, 3))
    error = float(square.std()) / len(square) ** 0.5
    assert abs(float(square.mean()) - expected) < 5 * error


PAGES = """
import json, sys
from dataclasses import replace
from streamlit.testing.v1 import AppTest
from pages._noising.state import start, with_preset
from pages._shared.menus import BASES, COLORS, KERNELS, SCHEDULES
from rgdiff_core.bases.spec import BasisSpec
from rgdiff_core.schedules import Cutoff

def spec(table, title):
    return next(spec for name, spec in table.values() if name == title)

assert BASES["polynomial"] == "Polynomials"
lab = start("photographs")
side = replace(
    lab.sides[0],
    basis=BasisSpec("polynomial"),
    color=spec(COLORS, "Shoulder"),
    schedule=Cutoff(spec(KERNELS, "Pauli–Villars")),
)
for chosen in (lab.with_side(0, side), with_preset(lab, 0, "simple")):
    at = AppTest.from_file("pages/noising.py", default_timeout=600)
    at.query_params["state"] = chosen.to_json()
    at.run()
    assert not at.exception and not at.error, [e.value for e in at.error]
    shown = {box.label: (box.value, box.options) for box in at.selectbox}
    print(json.dumps(shown, default=lambda kind: kind.__name__))
at = AppTest.from_file(sys.argv[1], default_timeout=600).run()
assert not at.exception, at.exception
print(json.dumps(at.title[0].value))
"""


@pytest.fixture(scope="module")
def shown(own, tmp_path_factory: pytest.TempPathFactory) -> list:
    """Return what the pages show, with the user's file, in a process of their own."""
    home = tmp_path_factory.mktemp("pages")
    code = re.findall(r"^```python\n(.*?)^```", PARTS[1], re.M | re.S)[1]
    (home / "colours.py").write_text(code, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", PAGES, home / "colours.py"],
        cwd=ROOT,
        env=os.environ | {extensions.VARIABLE: str(own[0]), "RGDIFF_CACHE": str(home)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_the_noising_page_lists_them_and_works_with_them(shown):
    first, second, _ = shown
    for label, value, title in (
        ("Basis U", "polynomial", "Polynomials"),
        ("Noise colour S", "Shoulder", "Shoulder"),
        ("Kernel K_Λ(k)", "PauliVillarsKernel", "Pauli–Villars"),
    ):
        assert first[label][0] == value and title in first[label][1]
    assert second["Schedule γ(t)"][0] == "ShiftedCosine"


def test_the_page_of_the_documentation_runs(shown):
    assert shown[2] == "Colours"
