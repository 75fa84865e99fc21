"""The tour on other pages than its first."""

from pathlib import Path

import pytest
from patience import PATIENCE
from streamlit.testing.v1 import AppTest

from rgdiff_core.data import ensembles
from rgdiff_core.lattice import EnsembleSpec

ROOT = Path(__file__).resolve().parents[2]


def test_the_last_stop_opens_its_view_from_its_number_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for name in ("RGDIFF_CACHE", "RGDIFF_RUNS"):
        monkeypatch.setenv(name, str(tmp_path / name))
    spec = EnsembleSpec(0.5, 0.0, 4, 800, 800, thermalization=60, thinning=1)
    ensembles.generate(spec)
    at = AppTest.from_file(str(ROOT / "app.py"), default_timeout=PATIENCE)
    at.switch_page("pages/lattice.py")
    at.query_params["tour"] = "9"
    at.run()
    assert not at.exception and not at.error
    assert (at.query_params["tour"], at.query_params["view"]) == ("9", "RG flow")
    assert at.header[0].value == spec.title
