"""Networks: symmetries, sizes, and that they start as zero and learn everywhere."""

import numpy as np
import pytest
import torch
from scipy.ndimage import convolve1d
from scrambled import FEATURES, scrambled
from torch import nn

from rgdiff_core.networks import (
    NETWORKS,
    STATE_POINTS,
    LatticeNet,
    OctaveNet,
    UNet,
    meta_count,
)
from rgdiff_core.networks.octaves import from_octave, octaves, seen_from_octave, smooth


@pytest.mark.parametrize("spec", [LatticeNet(8, 2), OctaveNet(8), OctaveNet(8, 2)])
@pytest.mark.parametrize("shape", [(1, 6, 6), (1, 5, 8), (2, 4, 4)])
@pytest.mark.parametrize("features", [FEATURES, 2 * STATE_POINTS + 1])
def test_lattice_networks_are_odd_and_translation_equivariant(spec, shape, features):
    network = scrambled(spec.build(shape, features).double())
    x = torch.randn(3, *shape, dtype=torch.float64)
    state = torch.randn(3, features, dtype=torch.float64)
    y = network(x, state)
    assert y.std() > 0.1
    torch.testing.assert_close(network(-x, state), -y)
    moved = network(x.roll((1, 3), (2, 3)), state)
    torch.testing.assert_close(moved, y.roll((1, 3), (2, 3)))


@pytest.mark.parametrize(("shape", "patch"), [((1, 6, 6), 2), ((2, 6, 9), 3)])
def test_patches_are_equivariant_under_translations_by_themselves(shape, patch):
    network = scrambled(LatticeNet(8, 2, patch=patch).build(shape, FEATURES).double())
    x, state = torch.randn(3, *shape, dtype=torch.float64), torch.zeros(3, FEATURES).double()
    y = network(x, state)
    torch.testing.assert_close(network(-x, state), -y)
    moved = network(x.roll((patch, -patch), (2, 3)), state)
    torch.testing.assert_close(moved, y.roll((patch, -patch), (2, 3)))
    assert (network(x.roll(1, 2), state) - y.roll(1, 2)).std() > 0.01
    torch.testing.assert_close(network(x.tile(1, 1, 2, 2), state), y.tile(1, 1, 2, 2))


def test_without_the_mean_field_a_network_sees_as_far_as_its_convolutions():
    def reach(mean_field: bool) -> torch.Tensor:
        spec = LatticeNet(8, 2, mean_field=mean_field)
        network = scrambled(spec.build((1, 9, 9), FEATURES).double())
        x = torch.randn(1, 1, 9, 9, dtype=torch.float64, requires_grad=True)
        y = network(x, torch.zeros(1, FEATURES).double())
        return torch.autograd.grad(y[0, 0, 4, 4], x)[0][0, 0] != 0

    assert reach(True).all()
    near = torch.zeros(9, 9, dtype=torch.bool)
    near[2:7, 2:7] = True
    assert torch.equal(reach(False), near)


@pytest.mark.parametrize("spec", [LatticeNet(16, 2), OctaveNet(16)])
def test_lattice_networks_are_not_linear_at_the_start(spec):
    network = spec.build((1, 6, 6), FEATURES)
    nn.init.normal_(network.last.weight)
    x, state = torch.randn(64, 1, 6, 6), torch.zeros(64, FEATURES)
    one, two = network(x, state), network(2 * x, state)
    assert (two - 2 * one).std() > 0.05 * one.std()


def test_octaves_end_before_convolutions_wrap_and_reach_far():
    for size in (3, 4, 5, 6, 8, 9, 12, 16, 31, 32, 64):
        last = 2 ** (octaves(size) - 1)
        assert 2 * last + 1 <= size < 4 * last + 1
    network = scrambled(OctaveNet(8).build((1, 16, 16), FEATURES).double())
    x = torch.randn(1, 1, 16, 16, dtype=torch.float64, requires_grad=True)
    y = network(x, torch.zeros(1, FEATURES, dtype=torch.float64))
    (far,) = torch.autograd.grad(y[0, 0, 0, 0], x)
    # beyond what the mean field brings, which is alike at all sites that convolutions don't reach
    assert far[0, 0, 7].std() > 1e-3 * far.abs().max()


def test_the_noise_of_an_octave_is_that_at_so_much_smaller_scales():
    levels = torch.randn(3, 2, STATE_POINTS, dtype=torch.float64)
    scales = np.linspace(0, 1, STATE_POINTS)
    for octave in (0, 1, 2, 5):
        wanted = [[np.interp(scales / 2**octave, scales, row) for row in each] for each in levels]
        np.testing.assert_allclose(from_octave(levels, octave), wanted)
    assert torch.equal(from_octave(levels, None), levels[..., :1].expand_as(levels))


def test_levels_by_octave_move_by_two_points_an_octave():
    levels = torch.randn(3, 4, STATE_POINTS, dtype=torch.float64)  # two channels
    padded = np.pad(levels.numpy(), ((0, 0), (0, 0), (0, STATE_POINTS)), mode="edge")
    for octave in (0, 1, 3, 7, 8, None):
        first = STATE_POINTS - 1 if octave is None else 2 * octave
        wanted = padded[..., first : first + STATE_POINTS].copy()
        wanted[:, 2:] -= np.log(256 if octave is None else 4.0**octave) / 4
        np.testing.assert_allclose(seen_from_octave(levels, octave, 256), wanted)


@pytest.mark.parametrize("shape", [(1, 9, 9), (1, 6, 10)])
def test_smoothing_is_scipys(shape):
    x = torch.randn(2, *shape[1:], 3, dtype=torch.float64)
    for spread in (1, 2):
        kernel = np.zeros(2 * spread + 1)
        kernel[[0, spread, -1]] = 0.25, 0.5, 0.25
        wanted = x.numpy()
        for axis in (1, 2):
            wanted = convolve1d(wanted, kernel, axis=axis, mode="wrap")
        np.testing.assert_allclose(smooth(x, spread), wanted)


def test_the_noise_state_matters():
    for spec, shape in (
        (LatticeNet(8, 2), (1, 6, 6)),
        (OctaveNet(8), (1, 6, 6)),
        (UNet(8, (1, 2), 1, ()), (3, 8, 8)),
    ):
        network = scrambled(spec.build(shape, FEATURES))
        x = torch.randn(2, *shape)
        one, other = (network(x, torch.full((2, FEATURES), v)) for v in (0.0, 1.0))
        assert (one - other).std() > 0.01 * one.std()


def test_a_periodic_unet_is_equivariant_under_translations_it_can_represent():
    network = scrambled(UNet(8, (1, 2), 1, (), periodic=True).build((1, 8, 8), FEATURES).double())
    x = torch.randn(2, 1, 8, 8, dtype=torch.float64)
    state = torch.randn(2, FEATURES, dtype=torch.float64)
    moved = network(x.roll((2, 4), (2, 3)), state)
    torch.testing.assert_close(moved, network(x, state).roll((2, 4), (2, 3)))


@pytest.mark.parametrize("name", NETWORKS)
def test_presets_have_the_size_in_their_name(name):
    if name.startswith("unet"):
        wanted = float(name.split("-")[1].removesuffix("m")) * 1e6
        assert abs(meta_count(NETWORKS[name], (3, 32, 32), 48) / wanted - 1) < 0.2
    else:
        assert meta_count(NETWORKS[name], (1, 6, 6), 16) < 500_000


@pytest.mark.parametrize(
    ("spec", "shape"),
    [
        (LatticeNet(8, 2), (1, 6, 6)),
        (OctaveNet(8), (1, 6, 6)),
        (UNet(8, (1, 2), 1, (8, 4)), (3, 8, 8)),
    ],
)
def test_networks_start_as_zero_and_every_parameter_learns(spec, shape):
    network = spec.build(shape, FEATURES)
    x, state = torch.randn(2, *shape), torch.randn(2, FEATURES)
    assert network(x, state).abs().max() == 0
    scrambled(network)
    (network(x, state) ** 2).mean().backward()
    dead = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    # the symmetric softmax of attention does not see the keys' common bias
    assert [n for n in dead if "project.bias" not in n] == []


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LatticeNet(2, 3), r"width = 2 is outside \[4, 512\]"),
        (lambda: LatticeNet(8, 99), r"depth = 99 is outside \[1, 32\]"),
        (lambda: LatticeNet(8, 2, 4), "kernel = 4 must be odd"),
        (lambda: LatticeNet(8, 2, 9).build((1, 4, 4), 1), "kernel = 9 wraps around"),
        (lambda: LatticeNet(8, 2, patch=9), r"patch = 9 is outside \[1, 8\]"),
        (lambda: LatticeNet(8, 2, patch=2).build((1, 6, 5), 1), "patches of 2×2 sites do not fit"),
        (lambda: LatticeNet(8, 2, patch=4).build((1, 4, 4), 1), "a lattice of 1×1 patches"),
        (lambda: OctaveNet(8, 9), r"depth = 9 is outside \[1, 8\]"),
        (lambda: OctaveNet(8).build((1, 2, 2), 1), "3×3 sites wrap around a lattice of 2×2 sites"),
        (lambda: UNet(20), "width = 20 must be a multiple of 8"),
        (
            lambda: UNet(8, (1, 2, 3)).build((3, 10, 10), 1),
            "do not fit 10×10 pixels: they are not divisible by 4",
        ),
        (lambda: UNet(dropout=1.5), r"dropout = 1.5 is outside \[0, 0.9\]"),
    ],
)
def test_bad_sizes_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
