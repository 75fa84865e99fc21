"""Networks: symmetries, sizes, and that they start as zero and learn everywhere."""

import pytest
import torch
from scrambled import FEATURES, scrambled
from torch import nn

from rgdiff_core.networks import NETWORKS, LatticeNet, UNet, meta_count


@pytest.mark.parametrize("shape", [(1, 6, 6), (1, 5, 8), (2, 4, 4)])
def test_the_lattice_network_is_odd_and_translation_equivariant(shape):
    network = scrambled(LatticeNet(8, 2).build(shape, FEATURES).double())
    x = torch.randn(3, *shape, dtype=torch.float64)
    state = torch.randn(3, FEATURES, dtype=torch.float64)
    y = network(x, state)
    assert y.std() > 0.1
    torch.testing.assert_close(network(-x, state), -y)
    moved = network(x.roll((1, 3), (2, 3)), state)
    torch.testing.assert_close(moved, y.roll((1, 3), (2, 3)))


def test_the_lattice_network_is_not_linear_at_the_start():
    network = LatticeNet(16, 2).build((1, 6, 6), FEATURES)
    nn.init.normal_(network.last.weight)
    x, state = torch.randn(64, 1, 6, 6), torch.zeros(64, FEATURES)
    one, two = network(x, state), network(2 * x, state)
    assert (two - 2 * one).std() > 0.05 * one.std()


def test_the_noise_state_matters():
    for spec, shape in ((LatticeNet(8, 2), (1, 6, 6)), (UNet(8, (1, 2), 1, ()), (3, 8, 8))):
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
    [(LatticeNet(8, 2), (1, 6, 6)), (UNet(8, (1, 2), 1, (8, 4)), (3, 8, 8))],
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
