"""Cards of pretrained models along a line of couplings: how good they are at couplings that they
were trained on, and in between.
"""

import itertools
import platform
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from rgdiff_core import data
from rgdiff_core.denoisers import NetworkDenoiser
from rgdiff_core.evaluation import FlowMetrics, quality
from rgdiff_core.lattice import Phi4, hmc, observables
from rgdiff_core.lattice.line import CouplingLine
from rgdiff_core.spec import load_json
from rgdiff_core.statistics import Estimate
from rgdiff_core.terminal import duration
from rgdiff_core.training import TrainConfig
from rgdiff_core.training.noise_levels import FixedProcess

__all__ = ["LineCard", "LineRow", "line_card", "line_markdown"]

HMC_SAMPLES = 20_000  # at each of the couplings
Say = Callable[[str], None]


@dataclass(frozen=True)
class LineRow:
    """A model at couplings that it was not trained on.

    Attributes:
        m2: m².
        lam: λ.
        quality: of weighed samples.
        hmc: susceptibility from a fresh hybrid Monte Carlo run.
    """

    m2: float
    lam: float
    quality: FlowMetrics
    hmc: Estimate


@dataclass(frozen=True)
class LineCard:
    """All that is known of a pretrained model along a line of couplings.

    Attributes:
        name: of the model.
        title: for people.
        data: name of the data set.
        command: that made it.
        config: its training config, JSON.
        parameters: of the network.
        steps: of its training.
        train_s: seconds that these took.
        device: on which.
        points: the couplings (m², λ) that it was trained on.
        spread: the error of the spectrum between them, as of `ModesLine.spread`.
        best: the process, by name, of the largest effective sample size in the scan.
        scan: quality by process at the middle of the line, few samples each.
        rows: in the middle between each two of these points.
    """

    name: str
    title: str
    data: str
    command: str
    config: str
    parameters: int
    steps: int
    train_s: float
    device: str
    points: tuple[tuple[float, float], ...]
    spread: float
    best: str
    scan: Mapping[str, FlowMetrics]
    rows: tuple[LineRow, ...]


def line_card(
    name: str,
    config: TrainConfig,
    model: NetworkDenoiser,
    work: Path,
    processes: Mapping[str, FixedProcess],
    budget: tuple[int, int, int],
    say: Say,
) -> LineCard:
    """Evaluate a model along its line and return its card.

    Arguments:
        work: its run's folder.
        processes: that are tried at the middle of the line, by name.
        budget: samples at each of the couplings, samples of each process in the scan, steps of the
            density's integrator.
    """
    line = model.modes_line
    if line is None:
        raise ValueError(f"{name} is not conditioned on couplings.")
    n, few, steps = budget
    generator = torch.Generator().manual_seed(config.seed)

    def measured(m2: float, lam: float, noise: FixedProcess, n: int) -> FlowMetrics:
        here = model.at(m2, lam)
        return quality(here, noise.on(here), Phi4(m2, lam), n, steps, generator)

    scan: dict[str, FlowMetrics] = {}
    for title, noise in processes.items():
        scan[title] = measured(*line.line.middle, noise, few)
        say(f"{title}: ESS {scan[title].ess}")
    best = max(scan, key=lambda title: scan[title].ess.value)
    rows = []
    for a, b in itertools.pairwise(line.line.places):
        m2, lam = line.line.at((a + b) / 2)
        found = measured(m2, lam, processes[best], n)
        run = hmc(Phi4(m2, lam), model.basis.shape[-1], HMC_SAMPLES, generator=generator)
        chi = observables(run.configurations, n_chains=run.n_chains)["susceptibility"]
        rows.append(LineRow(m2, lam, found, chi))
        say(f"m² = {m2:g}, λ = {lam:g}: ESS {found.ess}, χ {found.reweighted}, Monte Carlo {chi}")
    status = load_json((work / "status.json").read_text(encoding="utf-8"))
    return LineCard(
        name=name,
        title=next(item.title for item in data.available() if item.name == config.data),
        data=config.data,
        command=f"rgdiff pretrain {shlex.quote(name)}",
        config=config.to_json(),
        parameters=sum(p.numel() for p in model.network.parameters()),
        steps=config.steps,
        train_s=status["elapsed_s"],
        device=f"{status['device']}, {platform.machine()}",
        points=line.line.points,
        spread=line.spread(),
        best=best,
        scan=scan,
        rows=tuple(rows),
    )


def line_markdown(card: LineCard) -> str:
    """Write a card for people."""
    line = CouplingLine(card.points)
    rows = "\n".join(
        f"| {row.m2:g} | {row.lam:g} | {row.quality.ess} | "
        f"{row.quality.reverse_kl} | {row.quality.susceptibility} | {row.quality.reweighted} | "
        f"{row.hmc} |"
        for row in card.rows
    )
    scan = "\n".join(f"| {title} | {each.ess} |" for title, each in card.scan.items())
    first = card.rows[0].quality
    return f"""# {card.name}: {card.title}

A universal denoiser in the Fourier basis, conditioned on the couplings: one network for every
schedule, every colour and every theory on the line {line.title}.

- **Data**: φ⁴ at {len(card.points)} couplings, `{card.data}`, generated by hybrid Monte Carlo:
  {", ".join(f"({m2:g}, {lam:g})" for m2, lam in card.points)}.
- **In between** the spectrum of the free theory is a cubic spline of log Σ in the place on the
  line. A point that is left out is missed by {card.spread:.1%}, the statistical error of its own
  spectrum included.
- **Budget**: {card.parameters:,} parameters, {card.steps:,} steps, {duration(card.train_s)} on
  {card.device}; the seed is in `config.toml`.
- **Command**: `{card.command}`

At couplings that it was **not** trained on, in the middle between two that it was, the probability
flow of *{card.best}* has, with {first.n} samples at each and {first.nfe} evaluations for each of
them (errors are one standard error; all numbers are in `card.json`):

| m² | λ | ESS | KL(q\\|p), nats | χ of the samples | χ, reweighted | χ, Monte Carlo |
|--:|--:|:--|:--|:--|:--|:--|
{rows}

The scan over processes at the middle of the line, {next(iter(card.scan.values())).n} samples each:

| process | ESS |
|:--|:--|
{scan}
"""
