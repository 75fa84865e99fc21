"""The table that compares samples with data."""

import pytest

from pages._samples import views
from rgdiff_core.statistics import Estimate


@pytest.mark.parametrize(
    ("away", "mark"),
    [(-0.01, "gray[0.0 σ]"), (0.01, "gray[0.0 σ]"), (-1.26, "gray[−1.3 σ]"), (3.5, "red[+3.5 σ]")],
)
def test_a_distance_of_nought_has_no_sign(away: float, mark: str):
    shown = views._against(Estimate(away, 1.0), Estimate(0.0, 0.0))
    assert shown.replace(views.NBSP, " ").endswith(mark)
