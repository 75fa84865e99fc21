"""The Spectra page, alone and through the router."""

import io
import json
import math
import re

import numpy as np
import pytest
import torch
from apptest import healthy, page_at
from streamlit.testing.v1 import AppTest

import rgdiff_core as rg
from pages._shared import plots
from rgdiff_core.statistics import Estimate

MASS2 = 0.5
SENTENCE = "levels = 7 is outside [1, 4] for (16, 16) pixels."
VIEWS = ("Noise in pictures", "Basis functions", "Variance by scale")
BASES = ("Pixels", "Fourier modes", "Cosines", "Wavelets", "Principal components")


@pytest.fixture(scope="module", autouse=True)
def own_sets(tmp_path_factory: pytest.TempPathFactory):
    """Register free fields with P(k) = 0.02/(k² + 0.5), and one of them alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RGDIFF_CACHE", str(tmp_path_factory.mktemp("cache")))
        basis = rg.bases.FourierBasis((3, 16, 16))
        variance = 0.02 / (basis.momentum**2 + MASS2)
        x = rg.spectra.draw_noise(basis, variance, 400, torch.Generator().manual_seed(11))
        for name, images in (("own-free", x), ("own-single", x[:1])):
            file = io.BytesIO()
            np.savez(file, images=images.numpy())
            rg.data.register_upload(name, {f"{name}.npz": file.getvalue()})
        yield


def start(script: str = "pages/spectra.py", **link: str | list[str]) -> AppTest:
    """Run the page with an address' query."""
    return page_at(script, **{"data": "own-free"} | link)


def table(at: AppTest) -> str:
    return next(m.value for m in at.markdown if "χ²/dof" in m.value)


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("basis", BASES)
def test_every_view_shows_every_basis(basis, view):
    at = healthy(start(basis=basis, view=view).run())
    assert not at.info
    assert len(at.get("plotly_chart")) == 1 + (view == "Variance by scale")
    pictures = sum(h.proto.body.count("<img") for h in at.get("html"))
    assert (pictures > 10) == (view != "Variance by scale")


def test_the_router_leads_here():
    at = start("app.py")
    at.run()
    healthy(at.switch_page("pages/spectra.py").run())
    assert at.title[0].value == "Spectra"


def test_the_fit_finds_the_mass_of_free_fields():
    numbers = re.search(r"m² = ([\d.]+)\((\d+)\) \| ([\d.]+)", table(healthy(start().run())))
    assert numbers is not None
    mass2, error, chi2 = numbers[1], int(numbers[2]), float(numbers[3])
    decimals = len(mass2.partition(".")[2])
    assert abs(float(mass2) - MASS2) < 4 * error / 10**decimals
    assert chi2 < 3  # mean 1, standard deviation 0.5 of the 9 degrees of freedom


def test_the_fits_values_can_be_taken():
    at = healthy(start().run())
    button = next(b for b in at.button if "from the fits" in b.label)
    healthy(button.click().run())
    shown = re.search(r"m² = ([\d.]+)\(", table(at))
    assert shown is not None
    assert at.number_input(key="m2").value == pytest.approx(float(shown[1]), abs=1e-3)


def test_a_mass_that_is_nothing_is_taken_as_zero():
    """A fit that ends at the bound leaves 10⁻²¹: two digits of its error are taken."""
    assert Estimate(5.67e-21, 0.0123).rounded() == 0
    assert Estimate(0.123456, 0.0123).rounded() == 0.123
    assert Estimate(1234.5, 210.0).rounded() == 1230
    assert Estimate(0.1234567, math.nan).rounded() == 0.1235


def test_the_fits_range_is_set_by_hand():
    at = healthy(start().run())
    whole = table(at)
    healthy(at.slider(key="fit_from").set_value(1.0).run())
    assert "1 ≤" in table(at) and table(at) != whole
    healthy(start(fit_from="2.5", fit="1.0").run())  # nothing is left, and the page says so


def test_a_link_restores_the_page():
    at = healthy(
        start(
            basis="Wavelets",
            wavelet="db4",
            levels="2",
            p="1.3",
            measured="100",
            momentum="lattice",
        ).run()
    )
    assert at.selectbox(key="basis").value == "Wavelets"
    assert at.selectbox(key="wavelet").value == "db4"
    assert at.selectbox(key="levels").value == 2
    assert at.number_input(key="p").value == 1.3
    assert at.select_slider(key="measured").value == 100
    assert at.selectbox(key="dataset-menu").value == "own-free"


def test_nonsense_in_a_link_leaves_the_page_whole():
    link = {"basis": "sine", "p": "nan", "m2": "-1", "measured": "7", "view": "x", "range": "9"}
    at = healthy(start(data="nothing", **link).run())
    assert "nothing" in at.warning[0].value
    assert at.selectbox(key="dataset-menu").value == "photographs"
    assert at.selectbox(key="basis").value == "Fourier modes"
    assert at.number_input(key="m2").value == 0.1


def test_a_single_image_has_a_spectrum_and_one_sentence_for_the_rest():
    at = healthy(start(data="own-single").run())
    assert len(at.get("plotly_chart")) == 1
    assert any("No fit" in info.value for info in at.info)


def test_a_range_without_shells_has_no_fit_but_all_the_noise():
    at = healthy(start(fit="0.5").run())
    assert [info.value.split(":")[0] for info in at.info] == ["No fit"]
    assert len(json.loads(at.get("plotly_chart")[0].proto.spec)["data"]) == 5


def test_levels_that_the_images_do_not_have_are_one_sentence():
    at = healthy(start(basis="Wavelets", levels="7").run())
    assert [info.value for info in at.info] == [
        "levels = 7 is outside [1, 4] for (16, 16) pixels."
    ]


def test_curves_have_a_place_for_zero_and_keep_their_values():
    figure = plots.log_log(
        [
            plots.Curve("data", [0, 0.5, 2], [3, 2, 1], plots.GREEN, points=True, error=[1, 1, 1]),
            plots.Curve("band", [0.5, 2], [2, 1], plots.BLUE, low=[1, 0.5], high=[4, 2]),
        ],
        "k",
        "P",
    )
    data, band, line = figure.data
    assert list(data.x) == [0.25, 0.5, 2] and list(data.y) == [3, 2, 1]
    assert list(data.error_y.array) == [1, 1, 1]
    assert list(band.x) == [0.5, 2, 2, 0.5] and list(band.y) == [4, 2, 0.5, 1]
    assert line.mode == "lines"
    assert figure.layout.xaxis.ticktext[0] == "0" and figure.layout.xaxis.tickvals[0] == 0.25


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (2.88577, 0.0038, "2.8858(38)"),
        (12.3, 1.5, "12.3(15)"),
        (1234.5, 42.0, "1234(42)"),
        (0.123456, math.inf, "0.123"),
        (1.0, math.nan, "1"),
    ],
)
def test_errors_have_two_digits(value, error, text):
    assert plots.in_brackets(value, error) == text


def test_tiles_escape_and_describe():
    made = plots.tiles(np.zeros((2, 4, 4, 3), np.uint8), ["<b>", "c"])
    assert made.count("<img") == 2 and "<b>" not in made and 'alt="&lt;b&gt;"' in made
