"""Samplers: cost per evaluation over the network's own, and quality at equal numbers of them.

Cost: whole sampling loops of 20 evaluations against as many bare forward passes of the same
network, and against diffusers and azula with the same denoiser; loops taken in turn, one thread.
Budget: 1.05 of the bare passes.

Quality of the deterministic samplers, all from the same start with white noise and a linear
log-SNR: for Gaussian data with CIFAR-10's mean and spectrum, the divergence KL(samples‖data) in
nats, in closed form since the samplers are affine there; for φ⁴ with the pretrained universal
models, the distance of the samples from those of the converged flow, in units of the fields'
deviation.
"""

import statistics
from collections.abc import Callable
from typing import Any

import torch
from _peers import Run, Scalar, azula_samplers, diffusers_loops, our_samplers
from _report import machine, no_options, paired, table, write
from torch import Tensor

import rgdiff_core as rg
from rgdiff_core.process import white_noise
from rgdiff_core.sampling import reverse
from rgdiff_core.training import PRESETS

BUDGET = 1.05
EVALUATIONS, ROUNDS = 20, 9
FEW = (5, 10, 20, 40)
OURS = ["ddim", "dpmpp_2m", "heun", "interaction"]
COSTS = {
    "ours": "rgdiff dpmpp_2m, uniform",
    "interaction": "rgdiff interaction, uniform",
    "diffusers": "diffusers DPMSolverMultistep",
    "diffusers DDIM": "diffusers DDIM",
    "azula": "azula xEAB",
}


def scalar(model: rg.Denoiser) -> Scalar:
    """Return a model with white noise and a linear log-SNR."""
    schedule = rg.schedules.LinearGamma(-9.0, 6.0)
    return Scalar(model, rg.Process(model.basis, rg.colors.White(), schedule, model.modes))


def samplers(peers: Scalar) -> dict[str, Run]:
    """Return all samplers by name."""
    ours = [our_samplers(peers, OURS, grid) for grid in ("uniform", "angle")]
    return {**ours[0], **ours[1], **diffusers_loops(peers), **azula_samplers(peers)}


def start(peers: Scalar, n: int) -> Tensor:
    """Return n fields at t = 1 in units of S."""
    prior = peers.model.prior(peers.process)
    noise = white_noise((n, *peers.model.basis.shape), prior.std, torch.Generator().manual_seed(0))
    return peers.model.basis.synthesize(prior.mean + prior.std * noise) / peers.deviation


def untrained(preset: str) -> rg.NetworkDenoiser:
    """Return a preset's model with random weights: what it computes costs the same."""
    config = PRESETS[preset].config
    images = rg.data.load(config.data, limit=500).images
    basis = config.basis.build(images)
    return config.model.build(basis, rg.Modes.fit(basis, images))


@torch.no_grad()
def cost(model: rg.Denoiser, batch: int) -> dict[str, Any]:
    """Time the loops against the network alone: milliseconds an evaluation, and ratios."""
    assert isinstance(model, rg.NetworkDenoiser)
    peers, every = scalar(model), samplers(scalar(model))
    x = start(peers, batch)
    state = torch.zeros(batch, model.spec.features(model.basis.shape[0]))

    def bare() -> None:
        for _ in range(EVALUATIONS):
            model.network(x, state)

    calls: dict[str, Callable[[], object]] = {"bare": bare}
    for name, title in COSTS.items():
        calls[name] = lambda run=every[title]: run(x, EVALUATIONS)
    seconds = paired(calls, ROUNDS)
    over = {
        name: statistics.median(a / b for a, b in zip(seconds[name], seconds["bare"], strict=True))
        for name in COSTS
    }
    ms = {name: 1e3 * statistics.median(s) / EVALUATIONS for name, s in seconds.items()}
    return {"batch": batch, "ms": ms, "over bare": over}


@torch.no_grad()
def gaussian_quality() -> dict[str, list[float]]:
    """Return KL(samples‖data), nats, by sampler and number of evaluations."""
    shape = (3, 32, 32)
    images = rg.data.load("cifar10", limit=5000).images
    basis = rg.bases.FourierBasis(shape, channels=rg.bases.decorrelation(images))
    model = rg.GaussianDenoiser.fit(basis, images).double()
    peers = scalar(model)
    peers = Scalar(model, peers.process.double())
    prior, modes = model.prior(peers.process), model.modes
    ends = torch.stack((prior.mean, prior.mean + prior.std))  # an affine map by two points
    x = basis.double().synthesize(ends) / peers.deviation

    def divergence(run: Run, evaluations: int) -> float:
        mean, end = basis.analyze(run(x, evaluations).double())
        ratio = (end - mean) ** 2 / modes.variance
        shift = (mean - modes.mean) ** 2 / modes.variance
        return float((ratio + shift - 1 - torch.log(ratio)).sum() / 2)

    return {n: [divergence(run, k) for k in FEW] for n, run in samplers(peers).items()}


@torch.no_grad()
def lattice_quality(name: str, n: int = 256) -> dict[str, list[float]]:
    """Return the distance from the converged flow, in units of the fields' deviation."""
    peers = scalar(rg.load_pretrained(name))
    x = start(peers, n)
    c = peers.process.basis.analyze(x) * peers.deviation
    *_, last = reverse(peers.model, peers.process, c, 160, "rk4")
    deviation = last.x.std()

    def distance(run: Run, evaluations: int) -> float:
        return float((run(x, evaluations) - last.x).square().mean().sqrt() / deviation)

    return {n: [distance(run, k) for k in FEW] for n, run in samplers(peers).items()}


def main() -> None:
    """Measure, print the tables, write the JSON."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    before = machine()
    costs = {
        "φ⁴ 6×6, 64 fields": cost(rg.load_pretrained("phi4-6x6"), 64),
        "CIFAR-10, 16 images": cost(untrained("cifar10-cpu"), 16),
    }
    rows = [[n, c["ms"]["bare"], *(c["over bare"][k] for k in COSTS)] for n, c in costs.items()]
    print(f"{EVALUATIONS} evaluations on one thread, over bare forward passes; budget {BUDGET}")
    print(table(["", "bare, ms", *COSTS], rows))
    quality = {
        "Gaussian with CIFAR-10's spectrum, KL in nats": gaussian_quality(),
        "φ⁴ 6×6, distance from the flow": lattice_quality("phi4-6x6"),
        "φ⁴ 6×6 broken, distance from the flow": lattice_quality("phi4-6x6-broken"),
    }
    for title, found in quality.items():
        print()
        print(table([title, *(f"NFE {k}" for k in FEW)], [[n, *v] for n, v in found.items()]))
    write("sampling", before, {"budget": BUDGET, "nfe": FEW, "cost": costs, "quality": quality})


if __name__ == "__main__":
    no_options(__doc__)
    main()
