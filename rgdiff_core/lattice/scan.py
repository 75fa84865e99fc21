r"""A scan of the phase diagram: observables over a grid of couplings, for several sizes.

Hybrid Monte Carlo alternates with Wolff's clusters, so that the chains stay short where the
correlation length is as large as the lattice. Each point has its own generator, seeded by the
scan's seed and the point's place in it: a scan that was stopped goes on exactly as if it had not
been. What the curves of several sizes say together is in `rgdiff_core.lattice.scaling`.
"""

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import torch

from rgdiff_core.lattice.action import Phi4
from rgdiff_core.lattice.critical import critical_coupling, critical_mass2
from rgdiff_core.lattice.hmc import HMC, hmc
from rgdiff_core.lattice.observables import observables
from rgdiff_core.spec import (
    Spec,
    check_finite,
    check_range,
    check_whole,
    from_dict,
    load_json,
    to_dict,
)
from rgdiff_core.statistics import Estimate

__all__ = ["FULL", "QUICK", "PhaseScan", "ScanPoint", "ScanSpec", "phase_scan", "scan_around"]

VARIED = ("lam", "m2")
MAX_WORK = 10**11  # sites · trajectories of a whole scan, about a day on one core
SITES, MIN_CHAINS = 2**13, 20
SIZES = (4, 128)


@dataclass(frozen=True)
class ScanSpec(Spec):
    """What is scanned, and how long.

    Arguments:
        vary: The coupling that is varied, "lam" or "m2".
        fixed: The value of the other one.
        low: The lower end of the range, in [-100, 200].
        high: The upper end, in [-100, 200].
        points: Values in it, evenly spaced, ends included: 2 to 64.
        sizes: Linear sizes L, one to eight different ones in ascending order, 4 to 128.
        length: Configurations measured in each chain, 20 to 100,000. The number of chains is
            2¹³ sites' worth, at least 20.
        thermalization: In trajectories, as in `hmc`; 20 to 100,000.
        thinning: In trajectories, as in `hmc`; 1 to 1,000.
        settings: How the chains move.
        seed: Of the whole scan, 0 to 2³¹ - 1.

    Raises:
        ValueError: When a number is out of its range, or all of them together ask for too much.
    """

    vary: str = "lam"
    fixed: float = -4.0
    low: float = 3.4
    high: float = 5.1
    points: int = 9
    sizes: tuple[int, ...] = (6, 8, 12, 16)
    length: int = 150
    thermalization: int = 50
    thinning: int = 1
    settings: HMC = HMC(target_acceptance=0.8, cluster=1)
    seed: int = 0

    def __post_init__(self) -> None:
        if self.vary not in VARIED:
            raise ValueError(f"vary = {self.vary!r} is not one of {', '.join(VARIED)}.")
        check_finite("fixed", self.fixed)
        check_range("low", self.low, -100, 200)
        check_range("high", self.high, self.low, 200, low_open=True)
        check_whole("points", self.points, 2, 64)
        if not self.sizes or len(self.sizes) > 8 or list(self.sizes) != sorted(set(self.sizes)):
            raise ValueError(
                f"sizes = {self.sizes} must be one to eight different sizes in ascending order."
            )
        for size in self.sizes:
            check_whole("size", size, *SIZES)
        check_whole("length", self.length, 20, 10**5)
        check_whole("thermalization", self.thermalization, 20, 10**5)
        check_whole("thinning", self.thinning, 1, 1000)
        check_whole("seed", self.seed, 0, 2**31 - 1)
        if self.work > MAX_WORK:
            raise ValueError(
                f"the scan asks for {self.work:.2g} site updates; at most {MAX_WORK:.0g} are "
                "allowed in one scan."
            )
        for value in (self.low, self.high):  # where there is no theory, say so now
            self.action(value)

    @property
    def couplings(self) -> tuple[float, ...]:
        """The values of the varied coupling, ascending."""
        step = (self.high - self.low) / (self.points - 1)
        return (*(self.low + step * index for index in range(self.points - 1)), self.high)

    @property
    def trajectories(self) -> int:
        """Trajectories of each chain at one point."""
        return self.thermalization + self.thinning * self.length

    @property
    def work(self) -> int:
        """Sites times trajectories of the whole scan, to which the time it takes is about
        proportional.
        """
        sites = sum(size**2 * self.chains(size) for size in self.sizes)
        return self.points * sites * self.trajectories

    def chains(self, size: int) -> int:
        """Return the number of chains on a lattice of one size."""
        return max(MIN_CHAINS, SITES // size**2)

    def action(self, coupling: float) -> Phi4:
        """Return the theory at a value of the varied coupling."""
        return Phi4(self.fixed, coupling) if self.vary == "lam" else Phi4(coupling, self.fixed)

    @property
    def published(self) -> float:
        """The critical value of the varied coupling on the infinite lattice, from the
        literature; `ValueError` where none is known.
        """
        critical = critical_coupling if self.vary == "lam" else critical_mass2
        return critical(self.fixed)


QUICK = ScanSpec()
"""For a page: coarse, about half a minute on one core."""

FULL = ScanSpec(
    low=3.7, high=4.8, points=12, sizes=(6, 8, 12, 16, 24, 32), length=1200, thermalization=100
)
"""For a command: fine, about ten minutes on one core."""


def scan_around(
    fixed: float, *, vary: str = "lam", width: float = 0.2, like: ScanSpec = QUICK
) -> ScanSpec:
    """Return a scan whose range is ± width, in units of the critical value, about it.

    Raises:
        ValueError: Where the critical value is not known, or width is not in (0, 1).
    """
    check_range("width", width, 0, 1, low_open=True)
    centre = replace(like, vary=vary, fixed=fixed, low=1.0, high=2.0).published
    half = width * abs(centre)
    return replace(like, vary=vary, fixed=fixed, low=centre - half, high=centre + half)


@dataclass(frozen=True)
class ScanPoint:
    """What was measured on one lattice at one coupling.

    Attributes:
        size: Linear size L.
        coupling: Value of the varied coupling.
        abs_magnetization: As in `observables`.
        susceptibility: As in `observables`.
        connected_susceptibility: As in `observables`.
        binder: As in `observables`.
        phi2: As in `observables`.
        ratio: ξ/L, of the correlation length by its second moment; nan where noise left none.
        acceptance: Of hybrid Monte Carlo.
        exp_delta_h: ⟨e^{-ΔH}⟩, which is 1.
        seconds: How long it took.
    """

    size: int
    coupling: float
    abs_magnetization: Estimate
    susceptibility: Estimate
    connected_susceptibility: Estimate
    binder: Estimate
    phi2: Estimate
    ratio: Estimate
    acceptance: float
    exp_delta_h: Estimate
    seconds: float


def phase_scan(
    spec: ScanSpec,
    *,
    done: Sequence[ScanPoint] = (),
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[ScanPoint]:
    """Measure the points of a scan, one after the other: size by size, couplings ascending.

    Arguments:
        spec: What is scanned.
        done: Points that were measured before, from the first on, as an interrupted scan of the
            same spec left them; they are yielded first, as they are.
        progress: Called with (trajectories completed, total) of the whole scan after
            each trajectory; an exception that it raises cancels the scan and reaches the caller.

    Yields:
        Every point as it is measured.

    Raises:
        ValueError: When `done` are not the first points of this scan.
    """
    places = [(size, value) for size in spec.sizes for value in spec.couplings]
    if [(point.size, point.coupling) for point in done] != places[: len(done)]:
        raise ValueError(f"the {len(done)} points measured before are not the first of this scan.")
    return _points(spec, done, places, progress)


def _points(
    spec: ScanSpec,
    done: Sequence[ScanPoint],
    places: Sequence[tuple[int, float]],
    progress: Callable[[int, int], None] | None,
) -> Iterator[ScanPoint]:
    yield from done
    each, total = spec.trajectories, spec.trajectories * len(places)
    for number, (size, coupling) in enumerate(places[len(done) :], len(done)):

        def report(now: int, _: int, before: int = number * each) -> None:
            if progress is not None:
                progress(before + min(now, each), total)

        generator = torch.Generator().manual_seed(spec.seed * 2**16 + number)
        yield _measure(spec, size, coupling, generator, report)


def _measure(
    spec: ScanSpec,
    size: int,
    coupling: float,
    generator: torch.Generator,
    report: Callable[[int, int], None],
) -> ScanPoint:
    start = time.perf_counter()
    run = hmc(
        spec.action(coupling),
        size,
        spec.chains(size) * spec.length,
        spec.chains(size),
        generator,
        thermalization=spec.thermalization,
        thinning=spec.thinning,
        settings=spec.settings,
        progress=report,
    )
    found = observables(run.configurations, n_chains=run.n_chains)
    return ScanPoint(
        size=size,
        coupling=coupling,
        abs_magnetization=found["abs_magnetization"],
        susceptibility=found["susceptibility"],
        connected_susceptibility=found["connected_susceptibility"],
        binder=found["binder"],
        phi2=found["phi2"],
        ratio=found["correlation_length"].scaled(1 / size),
        acceptance=run.acceptance,
        exp_delta_h=run.exp_delta_h,
        seconds=time.perf_counter() - start,
    )


@dataclass(frozen=True)
class PhaseScan:
    """A scan, complete or not, with what is needed to repeat it.

    Attributes:
        spec: What was scanned.
        points: What was measured, in the order of `phase_scan`.
        command: The command line that made it; empty where there was none.
    """

    spec: ScanSpec
    points: tuple[ScanPoint, ...] = ()
    command: str = ""

    @property
    def complete(self) -> bool:
        """Whether every point has been measured."""
        return len(self.points) == self.spec.points * len(self.spec.sizes)

    def curve(self, size: int) -> tuple[ScanPoint, ...]:
        """Return the points of one size, couplings ascending."""
        return tuple(point for point in self.points if point.size == size)

    def to_json(self) -> str:
        """Write everything as JSON, one point a line; numbers that are undefined become null."""
        lines = ",\n  ".join(json.dumps(_plain(point), allow_nan=False) for point in self.points)
        head = f'"command": {json.dumps(self.command)},\n "spec": {json.dumps(to_dict(self.spec))}'
        return f'{{{head},\n "points": [\n  {lines}\n ]}}\n'

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote; a one-line `ValueError` for anything else."""
        data = load_json(text)
        if not isinstance(data, dict) or not {"spec", "points"} <= data.keys():
            raise ValueError("this is not the JSON of a scan: it has no spec or no points.")
        spec = from_dict(data["spec"])
        if not isinstance(spec, ScanSpec):
            raise ValueError(f"expected a ScanSpec, got a {type(spec).__name__}.")
        if not isinstance(data["points"], list):
            raise ValueError("the points of the scan are not a list.")
        points = tuple(_point(each) for each in data["points"])
        return cls(spec, points, str(data.get("command", "")))


_ESTIMATES = tuple(field.name for field in fields(ScanPoint) if field.type is Estimate)


def _plain(point: ScanPoint) -> dict[str, Any]:
    return {
        field.name: _estimate_out(value) if isinstance(value, Estimate) else value
        for field in fields(point)
        for value in [getattr(point, field.name)]
    }


def _estimate_out(estimate: Estimate) -> dict[str, Any]:
    plain: dict[str, Any] = {
        name: number if math.isfinite(number) else None
        for name, number in (("value", estimate.value), ("error", estimate.error))
    }
    if estimate.tau_int is not None:
        plain["tau_int"] = _estimate_out(estimate.tau_int)
    return plain | ({"warning": estimate.warning} if estimate.warning else {})


def _point(data: Any) -> ScanPoint:
    names = {field.name for field in fields(ScanPoint)}
    if not isinstance(data, dict) or data.keys() != names:
        raise ValueError(f"a point of a scan has the fields {', '.join(sorted(names))}.")
    read: dict[str, Any] = {}
    try:
        for name, value in data.items():
            read[name] = _estimate_in(value) if name in _ESTIMATES else float(value)
    except (TypeError, KeyError, AttributeError, ValueError, OverflowError):
        raise ValueError("a number of a point of the scan cannot be read.") from None
    check_whole("size", read["size"], *SIZES)
    read["size"] = int(read["size"])
    return ScanPoint(**read)


def _estimate_in(data: Mapping[str, Any]) -> Estimate:
    value, error = (math.nan if data[n] is None else float(data[n]) for n in ("value", "error"))
    tau = data.get("tau_int")
    warning = data.get("warning")
    return Estimate(value, error, None if tau is None else _estimate_in(tau), warning)
