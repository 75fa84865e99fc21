"""Sampling φ⁴: effective configurations a second, and how far from the memory's speed.

Effective configurations: trajectories of all chains over 2τ, the integrated autocorrelation times
of |M| and of φ² from the same estimator (the Γ-method) for all. This library's default (Omelyan's
integrator), its leapfrog and its clusters, against plain loops of the same leapfrog in NumPy and
torch, with the step that this library's tuning found, and against blackjax with bijx's action,
which uv brings into an environment of its own and which runs beside in a separate process. One
thread each, processor time; and two processors by the clock for blackjax. Rounds in turn, medians
of ratios within a round. The loops of one chain have the τ of the batched one: it is the same
chain. Compiling by JAX is apart.

Scaling: a leapfrog step of this library against the least that memory allows: each step has to
read φ and p and write both, 16 bytes a site in float32, and the floor is the time that a bare axpy
of arrays of the same size (12 bytes a site) takes for as many.
"""

import json
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from _hmc_plain import Run, Setting, numpy_chain, ours, torch_batch, torch_chain
from _report import ROOT, machine, no_options, paired, table, write

from rgdiff_core.lattice import HMC, Leapfrog, Phi4, trajectories
from rgdiff_core.lattice.gamma import means
from rgdiff_core.statistics import Estimate

COUPLINGS = {  # size, λ at m² = -4, seconds a round
    "L = 6, λ = 6.975": (6, 6.975, 0.5),
    "L = 8, λ = 6.008": (8, 6.008, 0.5),
    "L = 16, λ = 4.24": (16, 4.24, 1.0),
    "L = 32, λ = 4.3": (32, 4.3, 3.0),
    "L = 64, λ = 4.3": (64, 4.3, 4.0),
}
SITES = 2**14
ROUNDS = 7
DEFAULT = "rgdiff"
PEERS = ["bijx==1.3.2", "blackjax==1.7.1"]
BUDGETS = {"torch batched": 0.9, "NumPy": 10.0, "blackjax + bijx": 0.8}
FLOOR_BUDGET = 25.0  # L from 8, 64 chains
SAME_CHAIN = {"NumPy": "torch batched", "torch": "torch batched"}


def peer_python() -> list[str]:
    """Return the command of a Python that has the peers, from uv's cache or the network."""
    with_peers = [word for package in PEERS for word in ("--with", package)]
    return [
        str(ROOT / ".cache/uv/bin/uv"),
        "run",
        "--quiet",
        "--no-project",
        *with_peers,
        "python",
    ]


def peers_are_there() -> bool:
    """Tell whether the peers can be had."""
    try:
        subprocess.run([*peer_python(), "-c", "import bijx, blackjax"], check=True)
    except (OSError, subprocess.CalledProcessError):
        return False
    return True


class Peer:
    """blackjax in a separate process."""

    def __init__(self, setting: Setting, cores: int) -> None:
        self.process = subprocess.Popen(
            [*peer_python(), str(ROOT / "benchmarks" / "_hmc_jax.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.compiling = 0.0
        self._send(
            {
                "size": setting.size,
                "m2": setting.action.m2,
                "lam": setting.action.lam,
                "step": setting.step,
                "steps": setting.steps,
                "start": setting.start.tolist(),
                "cores": cores,
            }
        )

    def _send(self, value: object) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(value) + "\n")
        self.process.stdin.flush()

    def __call__(self, count: int) -> Run:
        assert self.process.stdout is not None
        self._send(count)
        answer = json.loads(self.process.stdout.readline())
        self.compiling = answer["compiling"] or self.compiling
        series = np.array(answer["series"])
        return Run(series, answer["cpu"], answer["wall"], answer["accepted"])

    def end(self) -> None:
        """Let the process go."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def setting_of(size: int, lam: float) -> Setting:
    """Return thermalized chains and the leapfrog's step."""
    action = Phi4(-4, lam)
    moves = HMC(integrator=Leapfrog(), cluster=1)
    for move in trajectories(
        action, size, SITES // size**2, torch.Generator().manual_seed(0), settings=moves
    ):
        if not move.thermalizing:
            break
    steps = max(1, round(1 / move.step_size))
    return Setting(action, size, move.phi, 1 / steps, steps)


@dataclass(frozen=True)
class Row:
    """One sampler at one coupling.

    Attributes:
        seconds: Of each round, for one trajectory of one chain; processor time, or by the clock
            where it has two processors.
        tau_m, tau_phi2: Autocorrelation times of |M| and φ², in trajectories.
        accepted: Fraction.
        chains: Side by side.
        compiling: Seconds, not in `seconds`.
    """

    seconds: list[float]
    tau_m: Estimate
    tau_phi2: Estimate
    accepted: float
    chains: int
    compiling: float = 0.0

    def per_second(self, tau: Estimate) -> float:
        """Return effective configurations a second."""
        return 1 / (2 * tau.value * statistics.median(self.seconds))


def measured(runs: list[Run], by_clock: bool, compiling: float) -> Row:
    """Put the rounds of a sampler together."""
    series = np.concatenate([run.series for run in runs])
    length, chains, _ = series.shape
    flat = torch.from_numpy(series).transpose(0, 1).reshape(length * chains, 2)
    taus = [each.tau_int or Estimate(0.5, 0.0) for each in means(flat, chains)]
    each = [(r.wall if by_clock else r.cpu) / len(r.series) / chains for r in runs]
    accepted = float(np.mean([run.accepted for run in runs]))
    return Row(each, taus[0], taus[1], accepted, chains, compiling)


def compare(size: int, lam: float, seconds: float, *, with_peers: bool) -> dict[str, Row]:
    """Run all samplers at one coupling."""
    setting = setting_of(size, lam)
    samplers: dict[str, Callable[[int], Run]] = {
        DEFAULT: ours(setting, HMC()),
        "rgdiff leapfrog": ours(setting, HMC(integrator=Leapfrog())),
        "rgdiff clusters": ours(setting, HMC(cluster=1)),
        "torch batched": torch_batch(setting),
        "torch": torch_chain(setting),
        "NumPy": numpy_chain(setting),
    }
    if with_peers:
        samplers["blackjax + bijx"] = Peer(setting, 1)
        samplers["blackjax + bijx, 2 processors"] = Peer(setting, 2)
    counts = {}
    for name, run in samplers.items():
        run(4)
        trial = run(4)
        counts[name] = max(4, round(seconds * 4 / max(trial.cpu, 1e-4)))
        run(counts[name])
    runs: dict[str, list[Run]] = {name: [] for name in samplers}
    for _ in range(ROUNDS):
        for name, run in samplers.items():
            runs[name].append(run(counts[name]))
    rows = {}
    for name, run in samplers.items():
        compiling = run.compiling if isinstance(run, Peer) else 0.0
        rows[name] = measured(runs[name], "processors" in name, compiling)
        if isinstance(run, Peer):
            run.end()
    return rows


def ratios(rows: Mapping[str, Row], name: str, tau: Callable[[Row], Estimate]) -> float:
    """Return effective configurations a second of this library's default over a sampler's."""
    first, other = rows[DEFAULT], rows[name]
    chain = rows[SAME_CHAIN.get(name, name)]
    pairs = zip(first.seconds, other.seconds, strict=True)
    return statistics.median(b / a for a, b in pairs) * tau(chain).value / tau(first).value


def plain(rows: Mapping[str, Row]) -> dict[str, Any]:
    """Return the figures of one coupling, ready for JSON."""
    figures = {}
    for name, row in rows.items():
        chain = rows[SAME_CHAIN.get(name, name)]
        figures[name] = {
            "us a trajectory and chain": 1e6 * statistics.median(row.seconds),
            "chains": row.chains,
            "accepted": row.accepted,
            "tau |M|": [chain.tau_m.value, chain.tau_m.error],
            "tau phi2": [chain.tau_phi2.value, chain.tau_phi2.error],
            "effective a second, |M|": row.per_second(chain.tau_m),
            "effective a second, phi2": row.per_second(chain.tau_phi2),
            "rgdiff over it, |M|": ratios(rows, name, lambda row: row.tau_m),
            "rgdiff over it, phi2": ratios(rows, name, lambda row: row.tau_phi2),
            "compiling, s": row.compiling,
        }
    return figures


def shown(figures: Mapping[str, Mapping[str, Any]]) -> list[list[str | float]]:
    """Return the rows of the printed table."""
    return [
        [
            name,
            row["us a trajectory and chain"],
            row["accepted"],
            f"{row['tau |M|'][0]:.3g} ± {row['tau |M|'][1]:.1g}",
            f"{row['tau phi2'][0]:.3g} ± {row['tau phi2'][1]:.1g}",
            row["effective a second, |M|"],
            row["effective a second, phi2"],
            row["rgdiff over it, |M|"],
            row["rgdiff over it, phi2"],
            row["compiling, s"],
        ]
        for name, row in figures.items()
    ]


def step_over_floor(size: int, chains: int) -> dict[str, float]:
    """Time this library's leapfrog step, in pieces as its chains take it, against the floor."""
    shape = (min(chains, max(1, (2**15 - 1) // size**2)), size, size)
    pieces = -(-chains // shape[0])
    action, leapfrog = Phi4(-4, 4.24), Leapfrog()
    phi = [0.3 * torch.randn(shape) for _ in range(pieces)]
    momentum = [torch.randn(shape) for _ in range(pieces)]
    sum_ = torch.empty(shape)
    steps = 8
    sites = phi[0].numel() * pieces
    repeats = max(1, round(2e5 / (sites * steps)))

    def step() -> None:
        for _ in range(repeats):
            for x, p in zip(phi, momentum, strict=True):
                leapfrog.integrate(action, x, p, step_size=0.05, n_steps=steps)

    def axpy() -> None:
        for _ in range(repeats * steps):
            for x, p in zip(phi, momentum, strict=True):
                torch.add(x, p, alpha=0.05, out=sum_)

    seconds = paired({"step": step, "axpy": axpy}, ROUNDS, time.process_time)
    per = 1e9 / (repeats * steps * sites)
    over = statistics.median(
        a / (b * 16 / 12) for a, b in zip(seconds["step"], seconds["axpy"], strict=True)
    )
    return {
        "ns a site and step": per * statistics.median(seconds["step"]),
        "ns a site of axpy": per * statistics.median(seconds["axpy"]),
        "over the floor": over,
    }


def main() -> None:
    """Measure, print the tables, write the JSON."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    before = machine()
    if not (with_peers := peers_are_there()):
        print("blackjax and bijx are left out: uv cannot bring them now.")
    compared = {}
    head = [
        "µs",
        "acc.",
        "τ |M|",
        "τ φ²",
        "eff/s |M|",
        "eff/s φ²",
        "ratio |M|",
        "ratio φ²",
        "compile",
    ]
    print("µs for a trajectory of one chain; ratio: effective configurations a second of rgdiff")
    print("over those of the row; budgets:", ", ".join(f"{n} ≥ {b:g}" for n, b in BUDGETS.items()))
    for name, coupling in COUPLINGS.items():
        compared[name] = plain(compare(*coupling, with_peers=with_peers))
        print()
        print(table([name, *head], shown(compared[name])))
    sizes = {f"L = {L}, 64 chains": step_over_floor(L, 64) for L in (4, 8, 16, 32, 64, 128)}
    chains = {f"L = 16, chains: {n}": step_over_floor(16, n) for n in (1, 4, 16, 64, 256, 1024)}
    scaling = sizes | chains
    print(f"\nA leapfrog step over the floor of memory; budget {FLOOR_BUDGET:g} with 64 of L ≥ 8")
    columns = ["ns a site and step", "ns a site of axpy", "over the floor"]
    print(table(["", *columns], [[n, *(f[c] for c in columns)] for n, f in scaling.items()]))
    figures = {
        "budgets": BUDGETS | {"floor": FLOOR_BUDGET},
        "peers": PEERS,
        "effective": compared,
        "scaling": scaling,
    }
    write("hmc", before, figures)


if __name__ == "__main__":
    no_options(__doc__)
    main()
