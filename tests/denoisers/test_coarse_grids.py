"""Coarse grids: the restriction is exact, and a network on them is a denoiser within its bound."""

import math
from dataclasses import replace

import pytest
import torch
from laws import dense, fields, fitted
from torch import Tensor
from torch.nn.functional import avg_pool2d
from torch.utils.flop_counter import FlopCounterMode

import rgdiff_core as rg
from rgdiff_core.bases import CoarseGrid, CosineBasis, FourierBasis, PixelBasis, WaveletBasis
from rgdiff_core.bases.modes import Modes
from rgdiff_core.denoisers import ModelSpec, NetworkDenoiser
from rgdiff_core.networks import LatticeNet, Network, UNet
from rgdiff_core.process import Marginal, Process
from rgdiff_core.training.losses import NoiseBatch, denoising_loss

SHAPE = (1, 8, 8)
GRIDS = {
    "fourier": lambda shape: FourierBasis(shape),
    "fourier lattice": lambda shape: FourierBasis(shape, "lattice"),
    "cosine": lambda shape: CosineBasis(shape),
    "haar": lambda shape: WaveletBasis(shape),
    "db3": lambda shape: WaveletBasis(shape, "db3"),
}
CUTOFF = rg.schedules.Cutoff(rg.schedules.SigmoidKernel(0.05))
SPEC = ModelSpec(LatticeNet(8, 1), coarse_grids=2)


def model_of(spec: ModelSpec, shape=SHAPE, seed: int = 0) -> NetworkDenoiser:
    """Return a model of made-up fields with random weights."""
    basis, modes = fitted(shape)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = spec.build(basis, modes).double()
        for parameter in model.network.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
    return model


@pytest.mark.parametrize("halvings", [1, 2])
@pytest.mark.parametrize("name", GRIDS)
def test_restriction_and_prolongation_are_adjoint_and_white_noise_stays_white(name, halvings):
    basis = GRIDS[name]((2, 8, 16)).double()
    grid = CoarseGrid(basis, halvings)
    assert grid.basis.shape == (2, 8 >> halvings, 16 >> halvings)
    c, d = fields((2, 8, 16), 3), fields(grid.basis.shape, 3, seed=1)
    torch.testing.assert_close((grid.restrict(c) * d).sum(), (c * grid.prolong(d)).sum())
    assert torch.equal(grid.restrict(grid.prolong(d)), d)
    assert torch.equal(grid.prolong(grid.restrict(c)), c * ~grid.fine)
    # the whole way from field to field, as a matrix: its rows are orthonormal
    pixels = torch.eye(math.prod(basis.shape), dtype=torch.float64).reshape(-1, *basis.shape)
    columns = grid.basis.synthesize(grid.restrict(basis.analyze(pixels))).flatten(1)
    torch.testing.assert_close(columns.T @ columns, torch.eye(columns.shape[1]).double())


def test_a_coarse_field_is_the_field_at_fewer_sites():
    y, x = torch.arange(8.0).double()[:, None], torch.arange(16.0).double()
    wave = torch.cos(2 * torch.pi * (3 * x / 16 + y / 8) + 0.3)[None]
    basis = FourierBasis((1, 8, 16)).double()
    grid = CoarseGrid(basis, 1)
    found = grid.basis.synthesize(grid.restrict(basis.analyze(wave)))
    torch.testing.assert_close(found, 2 * wave[:, ::2, ::2])
    wave = torch.cos(torch.pi * 3 * (x + 0.5) / 16)[None, None] * torch.ones(1, 8, 1)
    basis = CosineBasis((1, 8, 16)).double()
    grid = CoarseGrid(basis, 1)
    found = grid.basis.synthesize(grid.restrict(basis.analyze(wave)))
    centre = torch.cos(torch.pi * 3 * (x[:8] + 0.5) / 8)
    torch.testing.assert_close(found, (2 * centre).expand(1, 4, 8))
    basis, noise = WaveletBasis((1, 8, 16)).double(), fields((1, 8, 16), 3)
    grid = CoarseGrid(basis, 2)
    found = grid.basis.synthesize(grid.restrict(basis.analyze(noise)))
    torch.testing.assert_close(found, 4 * avg_pool2d(noise, 4))


@pytest.mark.parametrize("name", GRIDS)
def test_the_coarse_process_is_a_process(name):
    """With the scales, colour and schedule of the components that are left."""
    basis, shape = GRIDS[name](SHAPE).double(), SHAPE
    modes = Modes.fit(basis, fields(shape))
    grid = CoarseGrid(basis, 1)
    schedule = rg.schedules.LearnedGamma(
        (0.0, 0.5, 1.0), (0.0, 1.0), ((-9.0, 5.0), (-7.0, 6.0), (-5.0, 8.0))
    )
    kept = (modes.scale, modes.mean, modes.variance, modes.momentum)
    coarse_modes = Modes(*(grid.restrict(x) for x in kept if x is not None))
    whole = Process(basis, rg.colors.White(normalize=False), schedule, modes).marginal(0.4)
    coarse = Process(grid.basis, rg.colors.White(normalize=False), schedule, coarse_modes)
    torch.testing.assert_close(coarse.marginal(0.4).alpha, grid.restrict(whole.alpha))
    torch.testing.assert_close(coarse.marginal(0.4).std, grid.restrict(whole.std))


class Exact(Network):
    """The exact correction to the free theory at one noise level, on each grid: matrices on the
    whitened field by the number of its sites.
    """

    def __init__(self, matrices: dict[int, Tensor]) -> None:
        super().__init__()
        self.matrices = matrices

    def forward(self, x: Tensor, state: Tensor, class_labels: Tensor | None = None) -> Tensor:
        del state, class_labels
        return (x.flatten(1) @ self.matrices[x[0].numel()].T).reshape(x.shape)


def correlated(n: int) -> Tensor:
    """Return a covariance of n components, with correlations of about ±0.5 between neighbours."""
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(n, n, generator=generator, dtype=torch.float64)
    near = torch.exp(-((torch.arange(n)[:, None] - torch.arange(n)) ** 2) / 2.0)
    mixed = near * torch.sign(x + x.T)
    deviation = (1 + torch.arange(n).double()) ** -0.5
    found = mixed @ mixed.T + torch.eye(n)
    return deviation[:, None] * found * deviation


def exact(basis, covariance: Tensor, marginal: Marginal) -> Tensor:
    """Return the matrix, on fields, from whitened components to (D − m)/√V, by dense algebra."""
    alpha, noise = marginal.alpha.flatten(), marginal.std.flatten() ** 2
    total = torch.diag(noise) + alpha[:, None] * covariance * alpha
    gain = torch.linalg.solve(total, alpha[:, None] * covariance).T
    own = covariance.diagonal()
    free = alpha * own / (alpha**2 * own + noise)
    deviation = (own * noise / (alpha**2 * own + noise)).sqrt()
    beyond = (gain - torch.diag(free)) / deviation[:, None] * total.diagonal().sqrt()
    turn = dense(basis)
    return turn.T @ beyond @ turn


def test_for_correlated_gaussian_data_it_is_exact_within_the_bound():
    """The full denoiser, the coarse one, and how far they are apart, by dense linear algebra."""
    basis = FourierBasis(SHAPE).double()
    n = math.prod(SHAPE)
    order = torch.argsort(basis.scale.flatten(), stable=True)
    covariance = torch.empty(n, n, dtype=torch.float64)
    covariance[order[:, None], order] = correlated(n)
    own = covariance.diagonal()
    modes = Modes(basis.scale, torch.zeros(SHAPE).double(), own.reshape(SHAPE), basis.momentum)
    process = Process(basis, rg.colors.White(), CUTOFF, modes)
    spec = ModelSpec(LatticeNet(8, 1), network_input="whitened", coarse_grids=1, coarse_snr=0.05)
    coarse = spec.build(basis, modes).double()
    full = replace(spec, coarse_grids=0).build(basis, modes).double()
    times = torch.linspace(0, 1, 101, dtype=torch.float64)
    first = int(coarse.halvings(process.vp_marginal(times)).argmax())  # the last before the switch
    marginal = process.vp_marginal(times[first])
    grid = coarse.grids[0]
    assert isinstance(grid, CoarseGrid)
    fine = grid.fine.flatten()
    some = covariance[~fine][:, ~fine]
    place = grid.prolong(torch.arange(16.0).reshape(1, 4, 4)).flatten()[~fine].long()
    inner = torch.empty_like(some)
    inner[place[:, None], place] = some  # in the coarse basis' own order
    kept = Marginal(grid.restrict(marginal.alpha), grid.restrict(marginal.std))
    whole, part = exact(basis, covariance, marginal), exact(grid.basis, inner, kept)
    full.network, coarse.network = Exact({n: whole}), Exact({16: part})

    units = torch.eye(n, dtype=torch.float64).reshape(n, *SHAPE)
    one, other = (m.posterior(units, marginal).mean.flatten(1).T for m in (full, coarse))
    alpha, noise = marginal.alpha.flatten(), marginal.std.flatten() ** 2
    total = torch.diag(noise) + alpha[:, None] * covariance * alpha
    torch.testing.assert_close(one, torch.linalg.solve(total, alpha[:, None] * covariance).T)
    apart = torch.einsum("ki,ij,kj->k", one - other, total, one - other)
    snr = (alpha**2 * own / noise)[fine]
    assert 0.01 < snr.max() <= 0.05
    variance = own * noise / (alpha**2 * own + noise)
    assert (apart[fine] <= variance[fine]).all()
    assert (apart[~fine] <= variance[~fine] * torch.log1p(snr).sum()).all()

    # the law of the components at this time, coarse ones by themselves, against the true one
    split = total.clone()
    split[fine] = split[:, fine] = 0
    split[fine, fine] = total[fine, fine]
    kl = (torch.linalg.slogdet(split)[1] - torch.linalg.slogdet(total)[1]) / 2
    assert 0 < kl <= torch.log1p(snr).sum() / 2


def test_the_bound_takes_each_component_at_its_switch():
    basis, modes = fitted(SHAPE)
    spec = replace(SPEC, coarse_grids=1)
    process = Process(basis, rg.colors.White(), rg.schedules.LinearGamma(-8, 8), modes)
    grid = CoarseGrid(basis, 1)
    assert modes.variance is not None
    variance = modes.variance.masked_select(grid.fine)
    # the loudest fine component reaches ε first, and takes all of them along
    expected = torch.log1p(0.01 * variance / variance.max()).sum() / 2
    found = spec.build(basis, modes).double().coarse_bound(process, 2001)
    assert found == pytest.approx(float(expected), rel=1e-2)
    assert replace(SPEC, coarse_grids=0).build(basis, modes).coarse_bound(process) == 0


@pytest.mark.parametrize("c_out", ["std", "variance", "isotropic"])
@pytest.mark.parametrize("network_input", ["posterior_mean", "isotropic", "whitened"])
def test_a_mixed_batch_is_one_call_for_each_grid(network_input, c_out):
    model = model_of(replace(SPEC, network_input=network_input, c_out=c_out))
    process = Process(model.basis, rg.colors.Matched(), CUTOFF, model.modes)
    t = torch.tensor([0.95, 0.1, 0.83, 1.0, 0.85, 0.05], dtype=torch.float64)
    c, marginal = fields(SHAPE, 6), process.vp_marginal(t)
    assert set(model.halvings(marginal).tolist()) == {0, 1, 2}
    calls = []
    model.network.register_forward_pre_hook(lambda _, given: calls.append(given[0].shape))
    found = model.posterior(c, marginal).mean
    assert sorted(calls) == sorted({*calls}) and len(calls) == 3
    for i in range(6):
        alone = model.posterior(c[i : i + 1], process.vp_marginal(t[i])).mean
        torch.testing.assert_close(found[i : i + 1], alone)
    free = model.free(c, marginal).mean
    coarse, grid = model.halvings(marginal) > 0, CoarseGrid(model.basis, 1)
    fine = grid.fine & coarse[:, None, None, None]
    assert torch.equal(found.masked_select(fine), free.masked_select(fine))


def test_gradients_pass_every_grid():
    """The loss of a batch is the mean of those of its fields, and so are the gradients."""
    model = model_of(SPEC)
    process = Process(model.basis, rg.colors.Matched(), CUTOFF, model.modes)
    t = torch.tensor([0.95, 0.1, 0.83], dtype=torch.float64)
    x, noise, marginal = fields(SHAPE, 3), fields(SHAPE, 3, seed=1), process.vp_marginal(t)
    batch = NoiseBatch(marginal, torch.ones_like(noise))
    parameters = list(model.network.parameters())

    def gradients(rows: slice) -> tuple[Tensor, ...]:
        loss = denoising_loss(model, x[rows], batch.rows(rows), noise[rows]).loss
        return torch.autograd.grad(loss, parameters)

    alone = [gradients(slice(i, i + 1)) for i in range(3)]
    for together, *each in zip(gradients(slice(None)), *alone, strict=True):
        torch.testing.assert_close(together, sum(each) / 3)


def test_where_all_is_signal_it_is_the_full_network():
    """To the last bit; and that of a model without coarse grids, with the weight of the grid's
    feature left out.
    """
    plain, wrapped = model_of(replace(SPEC, coarse_grids=0)), model_of(SPEC)
    state = wrapped.network.state_dict()
    plain.network.load_state_dict(state | {"embed.0.weight": state["embed.0.weight"][:, :-1]})
    process = Process(plain.basis, rg.colors.White(), rg.schedules.LinearGamma(), plain.modes)
    marginal, c = process.vp_marginal(torch.full((4,), 0.05).double()), fields(SHAPE, 4)
    assert not wrapped.halvings(marginal).any()
    gaussian = wrapped.gaussian(c, marginal)
    field = wrapped.basis.synthesize(gaussian.mean / wrapped.modes_variance.mean().sqrt())
    levels = wrapped.state(marginal, wrapped.unit_variance)
    bare = wrapped.network(field, torch.cat((levels, torch.zeros_like(levels[:, :1])), 1))
    found = wrapped.network_output(c, marginal, gaussian)
    assert torch.equal(found, wrapped.basis.analyze(bare))
    torch.testing.assert_close(found, plain.network_output(c, marginal, gaussian))


def test_samplers_and_likelihoods_take_it():
    """A network of zeros is the free theory on every grid."""
    model = model_of(SPEC).requires_grad_(False)
    torch.nn.init.zeros_(next(p for n, p in model.network.named_parameters() if "last" in n))
    gaussian = rg.GaussianDenoiser(model.basis, model.modes)
    process = Process(model.basis, rg.colors.Matched(), CUTOFF, model.modes)
    one, other = (rg.sample(m, process, 3, 6, "dpmpp_2m", seed=0) for m in (model, gaussian))
    torch.testing.assert_close(one, other)
    x, models = fields(SHAPE, 3), (model, gaussian)
    one, other = (rg.elbo(m, process, x, 6) for m in models)
    torch.testing.assert_close(one, other)
    signs = (torch.Generator().manual_seed(0) for _ in models)
    one, other = (
        rg.log_likelihood(m, process, x, 1, "hutchinson", g)
        for m, g in zip(models, signs, strict=True)
    )
    torch.testing.assert_close(one, other)


def test_a_coarse_evaluation_costs_a_quarter():
    shape = (1, 32, 32)
    model = model_of(ModelSpec(UNet(8, (1, 2), 1, (8,)), coarse_grids=2), shape)
    process = Process(model.basis, rg.colors.Matched(), CUTOFF, model.modes)
    c, cost = fields(shape, 2), {}
    for t in (0.02, 0.8, 0.95):
        marginal = process.vp_marginal(t)
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            model.posterior(c, marginal)
        flops = dict(counter.get_flop_counts()["Global"])
        cost[int(model.halvings(marginal))] = flops[torch.ops.aten.convolution]
    assert cost[1] == pytest.approx(cost[0] / 4, rel=0.01)
    assert cost[2] == pytest.approx(cost[0] / 16, rel=0.01)


@pytest.mark.parametrize(
    ("change", "basis", "sentence"),
    [
        ({}, PixelBasis(SHAPE), "PixelBasis belong to no coarser grid, 4×4 for one"),
        ({"coarse_grids": 4}, FourierBasis(SHAPE), "kernel = 3 wraps around a lattice of 1×1"),
        ({"network": UNet(8, (1, 2, 2), 1)}, FourierBasis(SHAPE), "do not fit 2×2 pixels"),
        ({}, WaveletBasis(SHAPE, levels=1), "2×2 is too coarse for 1-level wavelets on 8×8"),
        ({"network": UNet(8, (1,), 1)}, FourierBasis((1, 8, 6)), "8×6 pixels cannot be halved 2"),
    ],
)
def test_what_does_not_fit_is_a_sentence(change, basis, sentence):
    modes = Modes.fit(basis, fields(basis.shape).float())
    with pytest.raises(ValueError, match=sentence):
        replace(SPEC, **change).build(basis, modes)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"coarse_grids": 9}, r"coarse_grids = 9 is outside \[0, 8\]"),
        ({"coarse_snr": 0.0}, r"coarse_snr = 0.0 is outside \(0, 1\]"),
    ],
)
def test_values_out_of_range_are_named(change, sentence):
    with pytest.raises(ValueError, match=sentence):
        replace(SPEC, **change)
