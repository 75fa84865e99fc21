r"""Markov chains of hybrid Monte Carlo for φ⁴, batched, one trajectory of all chains at a time.

One trajectory draws momenta p ~ N(0, 1), follows Hamilton's equations for H = ½Σp² + S[φ], and
accepts the end point with probability min(1, e^{-ΔH}).

While the chains thermalize the step size is adapted to the target acceptance; it is then frozen,
up to a factor from 0.9 to 1.1 that depends on the number of the trajectory alone and keeps modes
of the free theory from returning to where they started. The exact symmetry φ → -φ is applied at
random to every chain after every trajectory, so that both wells are visited when the symmetry is
broken; Wolff's clusters can be added.

On the CPU chains are advanced in pieces of fewer than 2¹⁵ sites. Torch works on so small an array
in the calling thread, and it fits in the processor's cache: as fast as two threads on an idle
machine, and on a busy one up to twenty times faster, for there threads wait for one another at
every operation. On another device nothing is brought to the host after thermalization, unless
clusters are.

References:
    Hybrid Monte Carlo, Duane, Kennedy, Pendleton, Roweth, Phys. Lett. B 195 (1987) 216.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice

import torch
from torch import Tensor

from rgdiff_core.lattice.action import Phi4
from rgdiff_core.lattice.cluster import wolff
from rgdiff_core.lattice.integrators import Integrator, Omelyan
from rgdiff_core.lattice.thermalization import drifts
from rgdiff_core.seeds import device_for
from rgdiff_core.spec import Spec, check_range, check_whole

__all__ = ["HMC", "Trajectory", "relaxed", "trajectories"]

SIZES = (2, 256)
MAX_SITES = 2**28
MAX_STEPS = 1000
PIECE_SITES = 2**15 - 1
MAX_THERMALIZATION = 8  # in units of the default, whatever the chains do
ROUNDING = 0.1  # of ΔH, that is still small beside 1
GOLDEN = 0.5 * (math.sqrt(5) - 1)


@dataclass(frozen=True)
class HMC(Spec):
    """How hybrid Monte Carlo moves.

    A target of 0.8 would give up to a fifth more for the same work on large lattices; on small
    ones it lets the step size grow until e^{-ΔH} has a tail so heavy that its mean, which is 1,
    is missed by several standard errors.

    Arguments:
        trajectory_length: In molecular dynamics time, in (0, 10]; rounded up to whole steps.
        target_acceptance: Acceptance that the step size is tuned to, 0.5 to 0.99; more where even
            a single step of the whole trajectory has more.
        integrator: Of Hamilton's equations.
        cluster: Wolff updates after each trajectory, 0 to 100; they help near the critical point
            and cost about a trajectory each.
    """

    trajectory_length: float = 1.0
    target_acceptance: float = 0.9
    integrator: Integrator = Omelyan()
    cluster: int = 0

    def __post_init__(self) -> None:
        check_range("trajectory_length", self.trajectory_length, 0, 10, low_open=True)
        check_range("target_acceptance", self.target_acceptance, 0.5, 0.99)
        check_whole("cluster", self.cluster, 0, 100)


STANDARD = HMC()


@dataclass(frozen=True, eq=False)
class Trajectory:
    """All chains after one trajectory.

    Attributes:
        number: 0 for the first.
        thermalizing: Whether it is to be discarded.
        phi: Fields, (n_chains, L, L).
        weight: e^{-ΔH} of the proposal, (n_chains,) float64.
        accepted: Whether the proposal was accepted, (n_chains,) bool.
        magnetization: M, the mean of the field, (n_chains,) float64.
        action: S, (n_chains,) float64.
        step_size: Of the next trajectory, but for the factor of 0.9 to 1.1.
    """

    number: int
    thermalizing: bool
    phi: Tensor
    weight: Tensor
    accepted: Tensor
    magnetization: Tensor
    action: Tensor
    step_size: float


def trajectories(
    action: Phi4,
    size: int,
    n_chains: int,
    generator: torch.Generator | None = None,
    *,
    settings: HMC = STANDARD,
    thermalization: int | None = None,
    dtype: torch.dtype = torch.float32,
    start: Trajectory | Tensor | None = None,
) -> Iterator[Trajectory]:
    """Run hybrid Monte Carlo, one trajectory of all chains at a time, for as long as is asked.

    Arguments:
        action: The theory.
        size: Linear size L of the L×L lattice, 2 to 256.
        n_chains: Independent chains run side by side.
        generator: Source of randomness; its device is where the run happens. By default
            torch's own generator on the CPU.
        settings: How the chains move.
        thermalization: Trajectories to tune and discard, at least 20. By default 100 + 8L, and
            then twice, four or eight times as many while action or |M|, averaged over the chains,
            are not stationary over the second half of them.
        dtype: torch.float32 or torch.float64, the precision of the computation; energies
            are summed in float64 in both.
        start: Fields to start from, (n_chains, L, L), by default random ones about the classical
            vacuum; or a trajectory to go on from: with the same arguments and the generator in
            the state that it had then, exactly as if there had been no stop (but for when
            thermalization by default ends, if it had not).

    Yields:
        The chains after each trajectory, without end.

    Raises:
        ValueError: When a number is out of its range, start has another shape or a value that is
            not finite, or energies are so large that ΔH is lost in rounding errors.
    """
    check_whole("size", size, *SIZES)
    check_whole("n_chains", n_chains, 1, MAX_SITES // size**2)
    if thermalization is not None:
        check_whole("thermalization", thermalization, 20, 10**6)
    if dtype not in (torch.float32, torch.float64):
        raise ValueError(f"dtype = {dtype} is neither torch.float32 nor torch.float64.")
    size, n_chains = int(size), int(n_chains)
    _check_precision(action, size, dtype)
    device = device_for(generator)
    vacuum, step_size = _start(action)
    step_size = min(step_size, settings.trajectory_length)
    shape = (n_chains, size, size)
    if start is None:
        noise = torch.randn(shape, generator=generator, dtype=dtype, device=device)
        start = vacuum + 0.5 * step_size * noise
    if isinstance(start, Tensor):
        start = _first(action, start, step_size)
    start = replace(start, phi=start.phi.to(device, dtype))
    if start.phi.shape != shape:
        raise ValueError(f"start has shape {tuple(start.phi.shape)}; it must be {shape}.")
    if not bool(torch.isfinite(start.phi).all()):
        raise ValueError("start holds a value that is not a finite number.")
    # A separate function, so that errors are raised here and not at the first trajectory.
    return _run(action, start, generator, settings, thermalization)


def relaxed(
    action: Phi4,
    fields: Tensor,
    count: int,
    generator: torch.Generator | None = None,
    *,
    settings: HMC = STANDARD,
) -> Tensor:
    """Return fields some trajectories further, with the step tuned anew from a small one: towards
    equilibrium from wherever they are.

    Arguments:
        action: The theory.
        fields: (B, L, L).
        count: Number of trajectories, 1 to 10,000.
        generator: As in `trajectories`.
        settings: As in `trajectories`.

    Raises:
        ValueError: As `trajectories`.
    """
    check_whole("count", count, 1, 10**4)
    run = trajectories(
        action,
        fields.shape[-1],
        len(fields),
        generator,
        settings=settings,
        thermalization=10**6,
        dtype=fields.dtype,
        start=fields,
    )
    return next(islice(run, count - 1, None)).phi


def _run(
    action: Phi4,
    last: Trajectory,
    generator: torch.Generator | None,
    settings: HMC,
    thermalization: int | None,
) -> Iterator[Trajectory]:
    """Yield trajectories after the last one."""
    usual = default_thermalization(last.phi.shape[-1])
    end = usual if thermalization is None else thermalization
    while thermalization is None and end <= last.number + 1:
        end *= 2
    history: list[tuple[Tensor, Tensor]] = []
    while True:
        last = _advance(action, last, generator, settings)
        if last.thermalizing and last.number >= end:
            recent = zip(*history[-(end // 2) :], strict=True)
            settled = thermalization is not None or not any(map(drifts, map(torch.stack, recent)))
            thermalizing = not settled and end < MAX_THERMALIZATION * usual
            last = replace(last, thermalizing=thermalizing)
            end = 2 * end if thermalizing else end
        if last.thermalizing:
            if last.number < 0.75 * end:
                last = replace(last, step_size=_tuned(last, settings))
            if thermalization is None:
                history.append((last.action, last.magnetization.abs()))
        yield last


def _tuned(last: Trajectory, settings: HMC) -> float:
    """Return a better step size, at most that of a whole trajectory.

    Robbins–Monro in log ε, for three quarters of the time, so that the chains forget the tuning
    before anything is measured.
    """
    surplus = float(last.weight.clamp(max=1).mean()) - settings.target_acceptance
    better = last.step_size * math.exp(surplus / math.sqrt(1 + 0.2 * last.number))
    return min(better, settings.trajectory_length)


def _first(action: Phi4, phi: Tensor, step_size: float) -> Trajectory:
    """Return fields as if a trajectory had led to them."""
    one = torch.ones(len(phi), dtype=torch.float64, device=phi.device)
    return Trajectory(-1, True, phi, one, one > 0, _mean(phi), _total(action, phi), step_size)


def _advance(
    action: Phi4, last: Trajectory, generator: torch.Generator | None, settings: HMC
) -> Trajectory:
    """Advance all chains by one trajectory, by clusters and a random global sign."""
    # Quasi-random, and not drawn, so that no number has to come from the device.
    factor = 0.9 + 0.2 * math.modf((last.number + 1) * GOLDEN)[0]
    n_steps = min(MAX_STEPS, max(1, math.ceil(settings.trajectory_length / last.step_size)))
    chains, sites = len(last.phi), last.phi[0].numel()
    on_host = last.phi.device.type == "cpu"
    n_pieces = min(chains, -(-chains * sites // PIECE_SITES)) if on_host else 1
    integrate = partial(
        settings.integrator.integrate, step_size=factor * last.step_size, n_steps=n_steps
    )
    pieces = zip(last.phi.tensor_split(n_pieces), last.action.tensor_split(n_pieces), strict=True)
    moved = [_move(action, phi, before, integrate, generator) for phi, before in pieces]
    phi, weight, accepted, after = (torch.cat(parts) for parts in zip(*moved, strict=True))
    for _ in range(settings.cluster):
        phi = wolff(phi, generator)
    if settings.cluster:
        after = _total(action, phi)
    return Trajectory(
        number=last.number + 1,
        thermalizing=last.thermalizing,
        phi=phi,
        weight=weight,
        accepted=accepted,
        magnetization=_mean(phi),
        action=after,
        step_size=last.step_size,
    )


def _move(
    action: Phi4,
    phi: Tensor,
    before: Tensor,
    integrate: Callable[[Phi4, Tensor, Tensor], tuple[Tensor, Tensor]],
    generator: torch.Generator | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return fields (B, L, L) of action S (B,) after one trajectory and a random global sign;
    e^{-ΔH}, whether the proposal was accepted, and S, all (B,).
    """
    device, dtype = phi.device, phi.dtype
    momentum = torch.randn(phi.shape, generator=generator, dtype=dtype, device=device)
    uniform = torch.rand((2, len(phi)), generator=generator, dtype=torch.float64, device=device)
    proposal, final = integrate(action, phi, momentum)
    proposed = _total(action, proposal)
    kinetic = 0.5 * (final**2 - momentum**2).sum((-2, -1), dtype=torch.float64)
    # A trajectory that overflows has no weight; it is rejected.
    weight = torch.exp(before - proposed - kinetic).nan_to_num(nan=0.0)
    accept = uniform[0] < weight
    sign = torch.where(uniform[1] < 0.5, -1.0, 1.0).to(dtype)
    phi = torch.where(accept[:, None, None], proposal, phi) * sign[:, None, None]
    return phi, weight, accept, torch.where(accept, proposed, before)


def _total(action: Phi4, phi: Tensor) -> Tensor:
    """Return S of fields (B, L, L), (B,), summed in float64."""
    return action.density(phi).sum((-2, -1), dtype=torch.float64)


def _mean(phi: Tensor) -> Tensor:
    return phi.mean((-2, -1), dtype=torch.float64)


def _check_precision(action: Phi4, size: int, dtype: torch.dtype) -> None:
    """Raise where the energy of the classical vacuum, φ²(8 + |m²|) a site, is so large that the
    rounding errors of V sites add up to a ΔH.
    """
    vacuum, _ = _start(action)
    noise = torch.finfo(dtype).eps * vacuum**2 * (8 + abs(action.m2)) * size
    if noise > ROUNDING:
        raise ValueError(
            f"at m2 = {action.m2:g}, lam = {action.lam:g} energies are too large for {dtype}: "
            f"their rounding errors would reach {noise:.1g}, of at most {ROUNDING}."
        )


def default_thermalization(size: int) -> int:
    """Return how many trajectories are discarded where that is enough."""
    return 100 + 8 * size


def _start(action: Phi4) -> tuple[float, float]:
    """Return the classical vacuum, and a step that is stable about it: ½/ω of the fastest mode."""
    vacuum2 = max(0.0, -action.m2 / (2 * action.lam)) if action.lam > 0 else 0.0
    # λφ² fluctuates about λ times that of the vacuum, or about √λ/3 where φ⁴ is all there is.
    frequency2 = 2 * (8 + abs(action.m2)) + max(
        12 * action.lam * vacuum2, 4 * math.sqrt(action.lam)
    )
    return math.sqrt(vacuum2), 0.5 / math.sqrt(frequency2)
