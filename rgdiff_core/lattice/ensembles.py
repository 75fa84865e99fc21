"""Ensembles: what hybrid Monte Carlo is asked for, as a spec, and what it gives, as a value.

A spec names its ensemble: the same numbers make the same configurations, whenever and however
often the run is interrupted on the way. `rgdiff_core.data.ensembles` keeps ensembles on disk.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import cached_property

import torch
from torch import Tensor

from rgdiff_core.lattice.action import Phi4
from rgdiff_core.lattice.chains import (
    HMC,
    MAX_SITES,
    SIZES,
    Trajectory,
    default_thermalization,
    trajectories,
)
from rgdiff_core.lattice.conventions import cure
from rgdiff_core.lattice.gamma import MIN_SAMPLES, chain_lengths
from rgdiff_core.lattice.hmc import acceptance, mean_weight
from rgdiff_core.lattice.observables import schwinger_dyson
from rgdiff_core.lattice.thermalization import History, autocorrelation_time
from rgdiff_core.spec import Spec, check_range, check_whole
from rgdiff_core.statistics import Estimate

__all__ = ["Ensemble", "EnsembleSpec", "ImportedSpec", "Piece", "assemble", "resume"]

MAX_SAMPLES = 10**6
MAX_HISTORY = 2**24  # numbers in each series of the history
SUSPICIOUS, UNSURE = 4, 12  # standard errors; where these may be too small themselves


@dataclass(frozen=True)
class EnsembleSpec(Spec):
    """An ensemble of φ⁴ configurations by hybrid Monte Carlo.

    Arguments:
        m2: As of `Phi4`.
        lam: As of `Phi4`.
        size: L, 2 to 256.
        n_samples: Configurations in all, 1 to 1,000,000, of at most 2²⁸ sites together.
        n_chains: Independent chains, 1 to n_samples; their lengths differ by one at most.
        thermalization: Trajectories discarded, at least 20; by default as many as it takes.
        thinning: Trajectories from one kept configuration of a chain to the next, from 1.
        hmc: How the chains move.
        double: Whether in float64, instead of float32.
        seed: Of all random numbers, 0 to 2⁶³ − 1.

    Raises:
        ValueError: When a number is out of its range.
    """

    m2: float
    lam: float
    size: int
    n_samples: int = 1000
    n_chains: int = 20
    thermalization: int | None = None
    thinning: int = 5
    hmc: HMC = HMC()
    double: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        _check_couplings(self.m2, self.lam)
        _check_numbers(self.size, self.n_samples, self.n_chains)
        if self.thermalization is not None:
            check_whole("thermalization", self.thermalization, 20, 10**6)
        check_whole("thinning", self.thinning, 1, 10**5)
        check_whole("seed", self.seed, 0, 2**63 - 1)
        if self.trajectories * self.n_chains > MAX_HISTORY:
            raise ValueError(
                f"{self.trajectories} trajectories of {self.n_chains} chains are "
                f"{self.trajectories * self.n_chains}; at most {MAX_HISTORY} are allowed."
            )

    @property
    def action(self) -> Phi4:
        """The theory."""
        return Phi4(self.m2, self.lam)

    @property
    def trajectories(self) -> int:
        """Trajectories of each chain, with the usual thermalization where none is given."""
        discarded = self.thermalization or default_thermalization(self.size)
        return discarded + self.measured

    @property
    def bytes(self) -> int:
        """Size of the configurations."""
        return self.n_samples * self.size**2 * (8 if self.double else 4)

    @property
    def measured(self) -> int:
        """Trajectories of each chain after thermalization."""
        return self.thinning * -(-self.n_samples // self.n_chains)

    @property
    def id(self) -> str:
        """What the ensemble is called: 12 hexadecimal digits of the SHA-256 of the JSON."""
        return _digest(self)

    @property
    def title(self) -> str:
        """A short display name."""
        return _title(self)


@dataclass(frozen=True)
class ImportedSpec(Spec):
    """An ensemble that was made elsewhere.

    Arguments:
        m2: As of `Phi4`.
        lam: As of `Phi4`.
        size: As of `EnsembleSpec`.
        n_samples: As of `EnsembleSpec`.
        n_chains: As of `EnsembleSpec`.
        source: Name of the file that it came from.
        digest: SHA-256 of the configurations, in hexadecimal.
    """

    m2: float
    lam: float
    size: int
    n_samples: int
    n_chains: int
    source: str
    digest: str

    def __post_init__(self) -> None:
        _check_couplings(self.m2, self.lam)
        _check_numbers(self.size, self.n_samples, self.n_chains)

    @property
    def action(self) -> Phi4:
        """The theory that the configurations are said to belong to."""
        return Phi4(self.m2, self.lam)

    @property
    def id(self) -> str:
        """What the ensemble is called: 12 hexadecimal digits of the SHA-256 of the JSON."""
        return _digest(self)

    @property
    def title(self) -> str:
        """A short display name."""
        return f"{_title(self)} from {self.source}"


@dataclass(frozen=True, eq=False)
class Ensemble:
    """Configurations with where they come from.

    Attributes:
        spec: What was asked for, or what is known of an imported ensemble.
        configurations: Fields in lattice units, (n, 1, L, L), those of one chain side by side.
        acceptance: Fraction of proposals accepted after thermalization. This and all below is
            None for an imported ensemble.
        exp_delta_h: ⟨e^{-ΔH}⟩ after thermalization, which is 1.
        step_size: The tuned step.
        history: M and S of every chain after every trajectory.
        seconds: How long the run took, interruptions left out.
    """

    spec: EnsembleSpec | ImportedSpec
    configurations: Tensor
    acceptance: float | None = None
    exp_delta_h: Estimate | None = None
    step_size: float | None = None
    history: History | None = None
    seconds: float | None = None

    @property
    def n_chains(self) -> int:
        """Number of independent chains."""
        return self.spec.n_chains

    @cached_property
    def tau_int(self) -> Estimate | None:
        """Autocorrelation time of |M| in trajectories; None for an imported ensemble."""
        if self.history is None:
            return None
        return autocorrelation_time(self.history.measured.magnetization.abs())

    @cached_property
    def identity(self) -> Estimate | None:
        """The left side of the Schwinger–Dyson identity, 1 where the action is the right one;
        None for too few configurations.
        """
        n = len(self.configurations)
        if n < (2 if self.n_chains == n else MIN_SAMPLES):
            return None
        return schwinger_dyson(self.spec.action, self.configurations, n_chains=self.n_chains)

    @cached_property
    def warning(self) -> str | None:
        """A sentence where the ensemble is not what it should be, else None; it says which usual
        factor would heal it.
        """
        found, spec = self.identity, self.spec
        if found is not None:
            most = UNSURE if found.warning else SUSPICIOUS
            # Equal configurations have no error at all; this is reported too.
            if abs(found.value - 1) > most * found.error:
                healing = cure(spec.action, self.configurations, self.n_chains, most)
                return (
                    f"the configurations do not belong to m² = {spec.m2:g}, λ = {spec.lam:g}: "
                    f"the Schwinger–Dyson identity gives {found} instead of 1; {healing}."
                )
        return None if self.history is None else self.history.warning


@dataclass(frozen=True, eq=False)
class Piece:
    """A stretch of a run: what it adds, and all that is needed to go on from its end.

    Attributes:
        kept: Configurations to keep, (r, n_chains, L, L).
        magnetization: As in `Trajectory`, of t trajectories, (t, n_chains).
        action: As in `Trajectory`, of t trajectories, (t, n_chains).
        weight: As in `Trajectory`, of t trajectories, (t, n_chains).
        accepted: As in `Trajectory`, of t trajectories, (t, n_chains).
        discarded: How many of the t belong to thermalization.
    """

    kept: Tensor
    magnetization: Tensor
    action: Tensor
    weight: Tensor
    accepted: Tensor
    discarded: int

    @classmethod
    def join(cls, pieces: "list[Piece]") -> "Piece":
        """Join stretches that follow on one another, at least one."""
        series = (f.name for f in fields(cls) if f.name != "discarded")
        joined = {name: torch.cat([getattr(piece, name) for piece in pieces]) for name in series}
        return cls(**joined, discarded=sum(piece.discarded for piece in pieces))

    @property
    def history(self) -> History:
        """M and S, trajectory by trajectory."""
        return History(self.magnetization, self.action, self.discarded)


def resume(
    spec: EnsembleSpec, last: Trajectory | None, generator: torch.Generator
) -> Iterator[Trajectory]:
    """Run the chains of an ensemble without end, from the start or from where they were.

    Arguments:
        last: The trajectory to go on from; the generator is then in the state that it had.
        generator: Source of randomness, seeded with `spec.seed` where there is no last one.
    """
    return trajectories(
        spec.action,
        spec.size,
        spec.n_chains,
        generator,
        settings=spec.hmc,
        thermalization=spec.thermalization,
        dtype=torch.float64 if spec.double else torch.float32,
        start=last,
    )


def assemble(spec: EnsembleSpec, run: Piece, step_size: float, seconds: float) -> Ensemble:
    """Make an ensemble of a whole run.

    Raises:
        ValueError: When none of at least 20 proposals was accepted.
    """
    weight, accepted = run.weight[run.discarded :], run.accepted[run.discarded :]
    lengths = chain_lengths(spec.n_samples, spec.n_chains)
    chains = [run.kept[:length, chain] for chain, length in enumerate(lengths)]
    return Ensemble(
        spec=spec,
        configurations=torch.cat(chains)[:, None],
        acceptance=acceptance(accepted, step_size),
        exp_delta_h=mean_weight(weight),
        step_size=step_size,
        history=run.history,
        seconds=seconds,
    )


def _check_couplings(m2: float, lam: float) -> None:
    check_range("m2", m2, -1e6, 1e6)
    check_range("lam", lam, 0, 1e6)
    Phi4(m2, lam)


def _check_numbers(size: int, n_samples: int, n_chains: int) -> None:
    check_whole("size", size, *SIZES)
    check_whole("n_samples", n_samples, 1, MAX_SAMPLES)
    check_whole("n_chains", n_chains, 1, n_samples)
    if n_samples * size**2 > MAX_SITES:
        raise ValueError(
            f"n_samples = {n_samples} of size {size} are {n_samples * size**2} sites; "
            f"at most {MAX_SITES} are allowed."
        )


def _digest(spec: Spec) -> str:
    # Read back, so that m2 = -4 and m2 = -4.0, which are equal, are written alike.
    text = Spec.from_json(spec.to_json()).to_json()
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _title(spec: EnsembleSpec | ImportedSpec) -> str:
    couplings = f"m² = {spec.m2:g}, λ = {spec.lam:g}".replace("-", "−")
    return f"φ⁴ {spec.size}×{spec.size}, {couplings}, {spec.n_samples} configurations"
