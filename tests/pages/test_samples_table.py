"""The table that compares samples with data."""

import pytest

from pages._samples import views
from rgdiff_core.statistics import Estimate


@pytest.mark.parametrize(
    ("away", "mark"),
    [(-0.01, "gray[0.0\u00a0σ]"), (0.01, "gray[0.0\u00a0σ]"), (-1.26, "gray[−1.3\u00a0σ]")]
    + [(3.5, "red[+3.5\u00a0σ]")],
)
def test_a_distance_of_nought_has_no_sign(away: float, mark: str):
    assert views._against(Estimate(away, 1.0), Estimate(0.0, 0.0)).endswith(mark)
