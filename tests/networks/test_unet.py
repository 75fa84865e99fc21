"""The U-Net's patches, norms, attention and class labels, each against the same thing by hand."""

from dataclasses import replace

import pytest
import torch
from scrambled import FEATURES, scrambled
from torch import nn
from torch.nn.functional import pixel_shuffle, pixel_unshuffle

import rgdiff_core as rg
from rgdiff_core.denoisers import ModelSpec, NetworkDenoiser
from rgdiff_core.networks import (
    NETWORKS,
    LatticeNet,
    UNet,
    fast_bfloat16,
    meta_count,
    network_dtype,
    outweighs_rounding,
    parameter_count,
)

SMALL = UNet(16, (1, 2), 1, (4,), group_channels=16, head_channels=16)
SHAPE = (3, 8, 8)
CONDITIONAL = [(SMALL, SHAPE), (replace(SMALL, patch=2), SHAPE), (LatticeNet(8, 2), (1, 4, 4))]


def batch(shape=SHAPE, n: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(n, *shape, generator=generator)
    return x, torch.randn(n, FEATURES, generator=generator)


def test_patches_are_the_network_of_pixels_merged_by_hand():
    patched = replace(SMALL, patch=2, attention=(2,)).build(SHAPE, FEATURES)
    plain = replace(SMALL, attention=(2,)).build((12, 4, 4), FEATURES)
    scrambled(patched)
    plain.load_state_dict(patched.state_dict())
    x, state = batch()
    by_hand = pixel_shuffle(plain(pixel_unshuffle(x, 2), state), 2)
    torch.testing.assert_close(patched(x, state), by_hand)


@pytest.mark.parametrize("added", [False, True])
def test_every_skip_connection_enters_once_and_in_reverse(added):
    network = scrambled(replace(SMALL, added_skips=added).build(SHAPE, FEATURES))
    made, joined = [], []
    for layer in (network.first, *network.down):
        layer.register_forward_hook(lambda _, __, out: made.append(out))
    for join in network.joins:
        join.register_forward_hook(lambda _, inputs, out: joined.append((*inputs, out)))
    x, state = batch()
    network(x, state)
    assert len(made) == len(joined)
    for (h, skipped, out), kept, join in zip(joined, reversed(made), network.joins, strict=True):
        assert skipped is kept
        if added:
            same = h.shape[1] == skipped.shape[1]
            weight = torch.eye(h.shape[1]) if same else join.match.weight[:, :, 0, 0]
            bias = torch.zeros(h.shape[1]) if same else join.match.bias
            by_hand = torch.einsum("oc,bchw->bohw", weight, skipped) + bias[:, None, None] + h
            torch.testing.assert_close(out, by_hand / 2**0.5)
        else:
            assert torch.equal(out[:, : h.shape[1]], h) and torch.equal(out[:, h.shape[1] :], kept)


def test_added_skips_make_a_smaller_network_and_no_other_weights_have_new_names():
    networks = [replace(SMALL, added_skips=each).build(SHAPE, FEATURES) for each in (False, True)]
    stacked, added = (set(network.state_dict()) for network in networks)
    assert not any(name.startswith("joins") for name in stacked)
    assert {name for name in added if not name.startswith("joins")} <= stacked
    assert parameter_count(networks[1]) < parameter_count(networks[0])


@pytest.mark.parametrize("name", [name for name in NETWORKS if name.startswith("unet")])
def test_named_networks_have_16_channels_in_a_group_and_wide_heads(name):
    with torch.device("meta"):
        network = NETWORKS[name].build((3, 32, 32), 48)
    norms = [m for m in network.modules() if isinstance(m, nn.GroupNorm)]
    assert norms and all(m.num_channels // m.num_groups >= 16 for m in norms)
    heads = [(m.heads, m.project.in_channels) for m in network.modules() if hasattr(m, "heads")]
    assert heads and all(n == 1 or width // n >= 128 for n, width in heads)


@pytest.mark.parametrize("width", [16, 24, 104])
def test_attention_is_the_same_with_gradients_and_without(width):
    """Width 104 has heads of 32 channels that do not divide it, so it has one head."""
    spec = replace(SMALL, width=width, multipliers=(1,), attention=(8,), head_channels=32)
    network = scrambled(spec.build(SHAPE, FEATURES))
    x, state = batch(n=2)
    with torch.no_grad():
        fused = network(x, state)
    torch.testing.assert_close(network(x, state), fused, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("spec", "shape"), CONDITIONAL)
def test_class_labels(spec, shape):
    network = scrambled(spec.build(shape, FEATURES, num_classes=3))
    x, state = batch(shape)
    with torch.no_grad():
        free = network(x, state)
        assert torch.equal(network(x, state, torch.full((4,), -1)), free)
        assert torch.equal(network(x, state, torch.tensor([-1])), free)
        each = torch.stack([network(x, state, torch.tensor([label])) for label in (0, 1, 2)])
        for label in (0, 1, 2):
            assert (each[label] - free).std() > 0.003 * free.std()
        labels = torch.tensor([2, 0, -1, 1])
        mixed = torch.stack([each[2, 0], each[0, 1], free[2], each[1, 3]])
        torch.testing.assert_close(network(x, state, labels), mixed)
        order = torch.tensor([3, 1, 0, 2])
        moved = network(x[order], state[order], labels[order])
        torch.testing.assert_close(moved, mixed[order])


@pytest.mark.parametrize("spec", [*(s for s, _ in CONDITIONAL), NETWORKS["unet-0.3m"]])
@pytest.mark.parametrize("classes", [0, 10])
def test_the_count_of_parameters_is_that_of_the_network(spec, classes):
    real = spec.build((3, 8, 8), FEATURES, num_classes=classes)
    count = meta_count(spec, (3, 8, 8), FEATURES, classes)
    assert count == parameter_count(real)
    assert count - meta_count(spec, (3, 8, 8), FEATURES) == (11 * 4 * spec.width if classes else 0)


def test_the_count_of_a_model_knows_its_classes():
    names = tuple(map(str, range(10)))
    one, other = (ModelSpec(SMALL, class_names=n).parameters(SHAPE) for n in (names, ()))
    assert one - other == 11 * 4 * SMALL.width


@pytest.mark.parametrize(
    ("precision", "network", "dtype"),
    [
        ("auto", LatticeNet(), None),
        ("float32", UNet(), None),
        ("bfloat16", UNet(), torch.bfloat16),
        ("bfloat16", LatticeNet(), torch.bfloat16),
    ],
)
def test_the_precision_of_a_network(precision, network, dtype):
    assert network_dtype(precision, network, torch.device("cpu")) == dtype


def test_bfloat16_must_be_worth_its_rounding():
    assert outweighs_rounding(4.0, 1.0)  # matrix units
    assert not outweighs_rounding(1.0, 1.0)
    assert not outweighs_rounding(1.0, 5.0)  # emulated
    assert not outweighs_rounding(1.29, 1.0) and outweighs_rounding(1.31, 1.0)


def tiny_model() -> NetworkDenoiser:
    """Return a model with weights at random, whose output is as large as the free theory's."""
    generator = torch.Generator().manual_seed(5)
    images = torch.randn(64, *SHAPE, generator=generator).float()
    basis = rg.bases.FourierBasis(SHAPE)
    modes = rg.Modes.fit(basis.float(), images)
    model = ModelSpec(SMALL).build(basis.float(), modes)
    scrambled(model.network)
    return model.eval().requires_grad_(False)


def draw_of(model: NetworkDenoiser) -> torch.Tensor:
    process = rg.Process(model.basis, rg.colors.Matched(), rg.schedules.Cosine(), model.modes)
    return rg.sample(model, process, 16, 6, "dpmpp_2m", seed=1)


def test_a_file_is_read_in_the_precision_that_is_fastest_here(tmp_path):
    model, path = tiny_model(), tmp_path / "model.safetensors"
    rg.save_model(model, path, {})
    read = rg.load_model(path)
    if fast_bfloat16(torch.device("cpu")):
        assert read.autocast == torch.bfloat16
    else:
        assert read.autocast is None
        assert torch.equal(draw_of(read), draw_of(model))
    assert torch.equal(draw_of(read.set_precision("float32")), draw_of(model))


def test_a_draw_in_bfloat16_is_near_that_in_float32():
    """A bfloat16 has 8 bits, so each of 6 evaluations is off by about 2^-8 of what the network
    adds: the samples differ, by at most 5 % of their spread, root mean square.
    """
    model = tiny_model()
    full, half = draw_of(model), draw_of(model.set_precision("bfloat16"))
    assert half.dtype == torch.float32
    apart = ((full - half) ** 2).mean().sqrt() / full.std()
    assert 1e-5 < apart < 0.05


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: UNet(patch=0), r"patch = 0 is outside \[1, 8\]"),
        (lambda: UNet(patch=9), r"patch = 9 is outside \[1, 8\]"),
        (lambda: UNet(group_channels=65), r"group_channels = 65 is outside \[1, 64\]"),
        (lambda: UNet(head_channels=4), r"head_channels = 4 is outside \[8, 512\]"),
        (lambda: UNet(head_channels=16.5), "head_channels = 16.5 must be a whole number"),
        (
            lambda: UNet(8, (1, 2), patch=4).build((3, 12, 12), 1),
            r"patches of 4 pixels and 2 multipliers.* do not fit 12×12 pixels.* by 8",
        ),
        (
            lambda: ModelSpec(class_names=("x",) * 10_001),
            r"number of classes = 10001 is outside \[0, 10000\]",
        ),
    ],
)
def test_bad_values_are_named(make, message):
    with pytest.raises(ValueError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)
