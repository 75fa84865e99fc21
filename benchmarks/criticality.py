"""Effective independent samples a second on the way to criticality: hybrid Monte Carlo and models.

Hybrid Monte Carlo: n/(2τ_int) of |M|, on the pretrained models' lattices, and at λ = 4.2606,
m² = −4, on the critical line, as L grows; with and without Wolff's clusters; up to 256 chains side
by side, as many as the models draw samples.
Models: samples with their density, of the probability flow and of 10 steps of the interaction
sampler, n · ESS by weights and n/(2τ_int) by independence Metropolis.

All on one thread, in seconds of the processor. A model's training, which comes on top, is told
beside it, and so is thermalization.
"""

import json
import math
import time
from dataclasses import asdict
from typing import Any

import torch
from _report import ROOT, machine, no_options, table, write

import rgdiff_core as rg
from rgdiff_core.evaluation import flow_metrics, weigh
from rgdiff_core.evaluation.lattice.efficiency import model_efficiency, monte_carlo_efficiency
from rgdiff_core.lattice import HMC, Phi4
from rgdiff_core.likelihood import FoldedError
from rgdiff_core.pretraining.lattice import PROCESSES

MODELS = ("phi4-6x6", "phi4-6x6-broken", "phi4-8x8", "phi4-8x8-critical")
CRITICAL, SIZES = Phi4(-4.0, 4.2606), (8, 16, 32)
CLUSTERS = (0, 1)
SAMPLES, SITES, TRAJECTORIES = 256, 2**16, 1000
WAYS = {"flow, 8 × 4": (None, 8), "interaction, 10": ("interaction", 10)}


def monte_carlo(action: Phi4, size: int) -> dict[str, Any]:
    """Return the efficiency by the number of clusters after each trajectory."""
    found = {}
    for cluster in CLUSTERS:
        efficiency = monte_carlo_efficiency(
            action,
            size,
            TRAJECTORIES * max(1, size // 8),
            min(SAMPLES, SITES // size**2),
            torch.Generator().manual_seed(size),
            settings=HMC(cluster=cluster),
            clock=time.process_time,
        )
        found[f"{cluster} clusters"] = asdict(efficiency)
    return found


def of_model(name: str) -> dict[str, Any]:
    """Return a model's efficiency by how it samples, and what its training took."""
    card = json.loads((ROOT / "pretrained" / name / "card.json").read_text(encoding="utf-8"))
    model, action = rg.load_pretrained(name), rg.data.action_of(card["data"])
    assert action is not None
    noise = PROCESSES[card["best"]]
    process = rg.Process(model.basis, noise.color, noise.schedule, model.modes)
    found: dict[str, Any] = {"process": card["best"], "training, s": card["train_s"]}
    for title, (method, steps) in WAYS.items():
        start = time.process_time()
        generator = torch.Generator().manual_seed(0)
        try:
            drawn = weigh(model, process, action, SAMPLES, steps, generator, method=method)
        except FoldedError as error:
            found[title] = {"folded": str(error)}
            continue
        seconds = time.process_time() - start
        weights, metropolis = model_efficiency(flow_metrics(drawn), seconds)
        found[title] = {"weights": asdict(weights), "Metropolis": asdict(metropolis)}
    size = model.basis.shape[-1]
    return found | {"hybrid Monte Carlo": monte_carlo(action, size), "training on": card["device"]}


def row(name: str, found: dict[str, Any], before: str) -> list[str | float]:
    """Return a line of the table."""
    tau = math.nan if found["tau_int"] is None else found["tau_int"]["value"]
    rate = found["per_second"]
    share = found["effective"]["value"] / found["samples"]
    return [name, tau, share, f"{rate['value']:.3g} ± {rate['error']:.1g}", before]


def main() -> None:
    """Measure, print the tables, write the JSON."""
    torch.set_num_threads(1)
    before = machine()
    models, rows = {}, []
    for name in MODELS:
        if not (ROOT / "pretrained" / name / "card.json").is_file():
            continue
        models[name] = of_model(name)
        for title in WAYS:
            for way in ("weights", "Metropolis"):
                if way in models[name][title]:
                    training = f"{models[name]['training, s']:.0f} s"
                    each = models[name][title][way]
                    rows.append(row(f"{name}, {title}, {way}", each, training))
        for clusters, each in models[name]["hybrid Monte Carlo"].items():
            rows.append(row(f"{name}, HMC, {clusters}", each, f"{each['before']:.1f} s"))
    head = ["", "τ_int", "effective share", "effective samples/s", "before"]
    print(table(head, rows))
    line = {f"L = {size}": monte_carlo(CRITICAL, size) for size in SIZES}
    print(f"\nHybrid Monte Carlo at m² = {CRITICAL.m2:g}, λ = {CRITICAL.lam:g}")
    rows = [
        row(f"{size}, {clusters}", each, f"{each['before']:.1f} s")
        for size, by_cluster in line.items()
        for clusters, each in by_cluster.items()
    ]
    print(table(head, rows))
    write("criticality", before, {"models": models, "critical line, hybrid Monte Carlo": line})


if __name__ == "__main__":
    no_options(__doc__)
    main()
