"""Hybrid Monte Carlo at the critical line: effective configurations a second with and without
clusters, at L = 8, 16, 32, 64.

Effective configurations: trajectories of all chains over 2τ, τ that of M² and of the energy (the
product of nearest neighbours) by the Γ-method, on one thread, in processor time, with the same
number of sites at each L. Plain chains; chains with a Wolff cluster after each trajectory, grown
for eight lattices in a byte; and the same with each lattice's clusters labelled a site at a time,
which are the same chains, of the same τ, but for what a trajectory takes. Rounds in turn, medians.

blackjax with bijx is measured by `hmc.py`, where uv can bring it.
"""

import statistics
import time
from dataclasses import replace
from itertools import islice
from typing import Any

import torch
from _report import machine, no_options, paired, table, write

from rgdiff_core.lattice import HMC, Phi4, Trajectory, cluster, trajectories
from rgdiff_core.lattice.gamma import means
from rgdiff_core.lattice.observables import moments

CRITICAL = Phi4(-4.0, 4.2606)
SIZES = (8, 16, 32, 64)
SITES = 2**16
PLAIN, GROWN, LABELLED = "plain", "clusters", "clusters, labelled"
LENGTHS = {PLAIN: 40, GROWN: 8}  # trajectories, in units of L
THERMALIZATION = 200
ROUNDS, TIMED = 5, 3  # trajectories of a round


def start(size: int) -> Trajectory:
    """Return thermalized chains."""
    run = trajectories(
        CRITICAL,
        size,
        SITES // size**2,
        torch.Generator().manual_seed(size),
        settings=HMC(cluster=1),
        thermalization=THERMALIZATION,
    )
    return next(move for move in run if not move.thermalizing)


def chains_of(first: Trajectory, clusters: int) -> Any:
    """Return the trajectories that follow on a first one."""
    size, generator = first.phi.shape[-1], torch.Generator().manual_seed(1)
    settings = HMC(cluster=clusters)
    return trajectories(
        CRITICAL, size, len(first.phi), generator, settings=settings, start=replace(first)
    )


def taus(first: Trajectory, clusters: int, length: int) -> dict[str, list[float]]:
    """Return the autocorrelation times of M² and of the energy with their errors."""
    moves = islice(chains_of(first, clusters), length)
    series = torch.stack([moments(move.phi)[:, (1, 5)] for move in moves], 1)
    found = means(series.flatten(0, 1), len(first.phi))
    pairs = ((e.tau_int.value, e.tau_int.error) for e in found if e.tau_int is not None)
    return {name: [*pair] for name, pair in zip(("M2", "energy"), pairs, strict=True)}


def seconds(first: Trajectory) -> dict[str, list[float]]:
    """Return the processor seconds of a trajectory of one chain in each round, by sampler."""
    runs = {PLAIN: chains_of(first, 0), GROWN: chains_of(first, 1), LABELLED: chains_of(first, 1)}
    few = cluster.PACKED

    def advance(name: str) -> None:
        cluster.PACKED = len(first.phi) + 1 if name == LABELLED else few
        for _ in islice(runs[name], TIMED):
            pass

    timed = paired({n: lambda n=n: advance(n) for n in runs}, ROUNDS, time.process_time)
    cluster.PACKED = few
    return {name: [s / TIMED / len(first.phi) for s in each] for name, each in timed.items()}


def measured(size: int) -> dict[str, Any]:
    """Return the figures at one size."""
    first = start(size)
    found = {
        name: taus(first, clusters, LENGTHS[name] * size)
        for name, clusters in ((PLAIN, 0), (GROWN, 1))
    }
    found[LABELLED] = found[GROWN]
    figures = {}
    for name, each in seconds(first).items():
        middle = statistics.median(each)
        figures[name] = {
            "chains": len(first.phi),
            "us a trajectory and chain": 1e6 * middle,
            **{f"tau {quantity}": tau for quantity, tau in found[name].items()},
            **{
                f"effective a second, {quantity}": 1 / (2 * tau[0] * middle)
                for quantity, tau in found[name].items()
            },
        }
    return figures


def main() -> None:
    """Measure, print the tables, write the JSON."""
    torch.set_num_threads(1)
    before, compared = machine(), {}
    head = ["µs", "τ M²", "τ E", "eff/s M²", "eff/s E"]
    for size in SIZES:
        compared[f"L = {size}"] = figures = measured(size)
        rows = [
            [
                name,
                row["us a trajectory and chain"],
                *("{:.3g} ± {:.1g}".format(*row[f"tau {q}"]) for q in ("M2", "energy")),
                *(row[f"effective a second, {q}"] for q in ("M2", "energy")),
            ]
            for name, row in figures.items()
        ]
        title = f"L = {size}, {SITES // size**2} chains"
        print(table([title, *head], rows), flush=True)
        write("clusters", before, compared)  # at each size, should it be stopped


if __name__ == "__main__":
    no_options(__doc__)
    main()
