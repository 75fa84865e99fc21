"""The table that compares samples with data."""

import pytest

from pages._samples import views
from rgdiff_core.statistics import Estimate


@pytest.mark.parametrize(
    ("away", "mark"),
    [
        (-0.01, "gray[0.0 σ]"),
        (0.01, "gray[0.0 σ]"),
        (-1.26, "gray[−1.3 σ]"),
        (2.9, "gray[+2.9 σ]"),
        (3.1, "red[+3.1 σ]"),
        (-3.1, "red[−3.1 σ]"),
    ],
)
def test_a_distance_is_red_from_three_errors_on_and_nought_has_no_sign(away: float, mark: str):
    shown = views._against(Estimate(away, 1.0), Estimate(0.0, 0.0))
    assert shown.replace(views.NBSP, " ").endswith(mark)


def test_chance_has_a_row_of_its_own():
    assert views._distances([Estimate(0.5, 0.1), Estimate(0.25, 0.2)]) == {
        "spectrum, log distance": ["0.5", "0.25"],
        "the same, expected by chance": ["0.1", "0.2"],
    }
