"""Nearest images, distances of spectra and of estimates, against NumPy, SciPy and plain sums."""

import math

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist

from rgdiff_core.evaluation import nearest
from rgdiff_core.spectra.power import log_distance, power_spectrum
from rgdiff_core.statistics import Estimate


def test_nearest_images_are_those_of_all_distances():
    x, images = torch.randn(5, 2, 4, 3), torch.randn(9000, 2, 4, 3)
    found = nearest(x, images, 6)
    every = cdist(x.flatten(1).double(), images.flatten(1).double()) / math.sqrt(24)
    order = np.argsort(every, 1)[:, :6]
    assert np.array_equal(found.index, order)
    assert np.allclose(found.distance, np.take_along_axis(every, order, 1), rtol=1e-4)
    assert (found.sign == 1).all()


def test_either_sign_finds_what_is_upside_down():
    images = torch.randn(50, 1, 4, 4)
    found = nearest(-images[7:9], images, 1, either_sign=True)
    assert found.index.flatten().tolist() == [7, 8]
    assert found.sign.flatten().tolist() == [-1, -1]
    assert found.distance.max() < 1e-3


@pytest.mark.parametrize(
    ("shape", "count"), [((1, 1, 4, 3), 1), ((1, 1, 4, 4), 0), ((1, 1, 4, 4), 4)]
)
def test_what_does_not_fit_is_one_sentence(shape: tuple[int, ...], count: int):
    with pytest.raises(ValueError, match=r"fit|count"):
        nearest(torch.zeros(shape), torch.zeros(3, 1, 4, 4), count)


def test_the_distance_of_spectra_is_that_of_their_scale_and_chance_otherwise():
    x = torch.randn(400, 1, 16, 16)
    one = power_spectrum(x)
    assert log_distance(power_spectrum(math.e * x), one).value == pytest.approx(2, abs=1e-4)
    other = log_distance(power_spectrum(torch.randn(400, 1, 16, 16)), one)
    # the mean square of n standard normal numbers has a deviation of √(2/n)
    assert (other.value / other.error) ** 2 == pytest.approx(
        1, abs=4 * (2 / len(one.power)) ** 0.5
    )
    with pytest.raises(ValueError, match="bins"):
        log_distance(one, power_spectrum(torch.randn(4, 1, 8, 8)))


def test_estimates_of_means_and_their_deviation():
    values = torch.tensor([1.0, 2.0, 3.0, 6.0], dtype=torch.float64)
    mean = Estimate.of(values)
    assert mean.value == 3 and mean.error == pytest.approx(np.std(values.numpy(), ddof=1) / 2)
    assert Estimate(5, 3).deviation(Estimate(0, 4)) == 1
    assert Estimate(5, 0).deviation(Estimate(0, 0)) == 0
    assert math.isnan(Estimate(5, math.nan).deviation(Estimate(0, 1)))
