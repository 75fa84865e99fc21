"""Bits per dimension: bins of one grey value, and closed forms."""

import math

import pytest
import torch

from rgdiff_core.likelihood import bits_per_dim, dequantize


@pytest.mark.parametrize("levels", [2, 16, 256])
def test_noise_is_uniform_over_the_bins(levels):
    values = torch.arange(levels, dtype=torch.float64) / (levels - 1) * 2 - 1
    images = values[torch.randint(levels, (200, 3, 8, 8), generator=torch.Generator())]
    noisy = dequantize(images, torch.Generator().manual_seed(1), levels)
    share = (noisy - images) * (levels - 1) / 2 + 0.5  # of the bin
    assert share.min() >= 0 and share.max() <= 1
    n = share.numel()
    for power in (1, 2, 3):
        moment, exact = float((share**power).mean()), 1 / (power + 1)
        error = math.sqrt((1 / (2 * power + 1) - exact**2) / n)
        assert abs(moment - exact) < 5 * error
    back = ((noisy + 1) * (levels - 1) / 2).round() / (levels - 1) * 2 - 1
    torch.testing.assert_close(back, images)


def test_a_stream_for_every_image():
    images = torch.zeros(3, 1, 2, 2)
    streams = [torch.Generator().manual_seed(i) for i in range(3)]
    whole = dequantize(images, streams)
    single = dequantize(images[1:2], [torch.Generator().manual_seed(1)])
    torch.testing.assert_close(whole[1:2], single)
    assert whole.dtype == torch.float32


@pytest.mark.parametrize("levels", [16, 256])
def test_uniform_images_take_all_their_bits(levels):
    """A uniform density over all bins gives every value 1/levels."""
    width = 2 * levels / (levels - 1)  # of all bins together
    log_density = torch.tensor(-3 * 32 * 32 * math.log(width), dtype=torch.float64)
    found = float(bits_per_dim(log_density, (3, 32, 32), levels))
    assert found == pytest.approx(math.log2(levels))


def test_a_gaussian_takes_its_entropy():
    """For a broad Gaussian, bits are the entropy of its values rounded to bins."""
    sigma, levels = 0.2, 256
    edges = torch.arange(levels + 1, dtype=torch.float64)
    edges = (edges - 0.5) * 2 / (levels - 1) - 1
    p = torch.special.ndtr(edges / sigma).diff()
    entropy = -float((p * torch.log2(p)).sum())
    values = (edges[1:] + edges[:-1]) / 2
    draws = torch.multinomial(p, 200_000, True, generator=torch.Generator().manual_seed(3))
    noisy = dequantize(values[draws].reshape(-1, 1, 1, 1), torch.Generator().manual_seed(4))
    normal = torch.distributions.Normal(0.0, sigma)
    bits = bits_per_dim(normal.log_prob(noisy).sum((1, 2, 3)), (1, 1, 1))
    error = float(bits.std() / len(bits) ** 0.5)
    assert abs(float(bits.mean()) - entropy) < 5 * error


def test_bad_levels_are_named():
    with pytest.raises(ValueError, match=r"levels = 1 is outside \[2, 65536\]"):
        dequantize(torch.zeros(1, 1, 2, 2), levels=1)
    with pytest.raises(ValueError, match="levels = 0 is outside"):
        bits_per_dim(torch.zeros(1), (1, 2, 2), 0)
