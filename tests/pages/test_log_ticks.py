"""Ticks of logarithmic axes, however little they span."""

import pytest

from pages._results import figures
from pages._shared import plots
from pages._shared.plots import Curve


@pytest.mark.parametrize(
    ("least", "most"),
    [
        (1e-5, 1.0),
        (1e-30, 1.0),
        (0.01, 1.0),
        (0.0085, 0.039),
        (1.0, 2.4),
        (0.0264, 0.0294),
        (1.0, 1.07),
        (1, 999),
    ],
)
def test_there_are_three_to_ten_within_the_axis(least, most):
    ticks, texts = plots.log_ticks(least, most)
    assert 3 <= len(ticks) <= 10 and list(map(float, texts)) == pytest.approx(ticks)
    assert ticks == sorted(ticks) and 0.99 * least < ticks[0] and ticks[-1] < 1.01 * most


@pytest.mark.parametrize(("least", "most"), [(0.0123, 0.0123), (0.01235, 0.01236)])
def test_an_axis_without_round_numbers_has_its_end(least, most):
    assert plots.log_ticks(least, most)[0] == [least]


def test_a_single_point_is_drawn_on_a_logarithmic_axis():
    figure = figures.curves([Curve("a", [8], [0.0123], plots.BLUE)], "steps", "KID", log_y=True)
    assert list(figure.layout.yaxis.tickvals) == [0.0123]


def test_the_axis_of_two_close_points_has_ticks_that_are_seen():
    """Within the error bars, which the axis spans, and a tick for each place in whole numbers."""
    curve = Curve("a", [1_313_600, 1_480_000], [0.0281, 0.0278], plots.BLUE, error=[0.0013] * 2)
    figure = figures.curves([curve], "images", "KID", log_x=True, log_y=True)
    ticks = figure.layout.yaxis.tickvals
    assert len(ticks) >= 3 and min(ticks) >= 0.0265 - 1e-4 and max(ticks) <= 0.0294 + 1e-4
    assert list(figure.layout.xaxis.ticktext) == ["1,313,600", "1,480,000"]
