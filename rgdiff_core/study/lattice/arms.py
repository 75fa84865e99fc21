"""The arms of the comparison on φ⁴: what each is, and what may be tuned in it.

Two things that look different can be one process. A denoiser knows n_k = σ_kS_k/α_k alone, so that
matched noise with a schedule offset by −log Σ_k is white noise with a scalar one, and the other
way round: colour and schedule are two names for one function n_k(t). What an arm adds is where in
that space it begins, and which neighbours its search may look at.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from rgdiff_core.bases.spec import BasisSpec
from rgdiff_core.colors import Color, Matched, White
from rgdiff_core.denoisers import ModelSpec
from rgdiff_core.networks import LatticeNet, NetworkSpec
from rgdiff_core.schedules import (
    Cosine,
    Cutoff,
    FlowMatching,
    LinearBeta,
    LinearGamma,
    Schedule,
    SoftConditioning,
)
from rgdiff_core.schedules.kernels import (
    BumpKernel,
    ButterworthKernel,
    ExponentialKernel,
    GaussianKernel,
    LitimKernel,
    SigmoidKernel,
)
from rgdiff_core.spec import Spec
from rgdiff_core.training import TrainConfig
from rgdiff_core.training.losses import Objective
from rgdiff_core.training.noise_levels import FixedProcess

__all__ = [
    "ARMS",
    "BASELINE",
    "ABLATION",
    "REVERSED",
    "SCHEDULE_SCAN",
    "LRS",
    "THEORIES",
    "Arm",
    "Candidate",
    "config",
]

BASELINE = "standard"
THEORIES: Mapping[str, str] = {  # name of the data set: what it is called
    "phi4-6x6-critical": "6×6, critical line",
    "phi4-6x6-broken": "6×6, broken phase",
    "phi4-6x6": "6×6, symmetric phase",
    "phi4-8x8-critical": "8×8, critical line",
}
NETWORK = LatticeNet(24, 3)
LRS = (6e-3, 3e-3, 1.2e-2, 2.4e-2, 4.8e-2)  # the first is what schedules are compared with
LOW, HIGH = -9.0, 6.0  # γ at the ends of a component-wise schedule


@dataclass(frozen=True)
class Candidate(Spec):
    """A schedule with a display name."""

    title: str
    schedule: Schedule


@dataclass(frozen=True)
class Arm(Spec):
    """One side of the comparison.

    Attributes:
        name: in file names.
        title: display name.
        about: one sentence on what is special.
        model: the network's input and reference; its network is that of the budget.
        objective: what is minimized.
        color: of the noise.
        choices: the schedules among which the search chooses; as many in every arm.
    """

    name: str
    title: str
    about: str
    model: ModelSpec
    objective: Objective
    color: Color
    choices: tuple[Candidate, ...]


SCALAR = (
    Candidate("linear log-SNR, −9 to 6", LinearGamma(LOW, HIGH)),
    Candidate("linear log-SNR, −7 to 4", LinearGamma(-7.0, 4.0)),
    Candidate("linear β, 0.1 to 20", LinearBeta()),
    Candidate("cosine", Cosine()),
    Candidate("straight line (flow matching)", FlowMatching()),
)
COMPONENT_WISE = (
    Candidate("sigmoid cutoff of width 0.3", Cutoff(SigmoidKernel(0.3), gamma_max=HIGH)),
    Candidate("sigmoid cutoff of width 1", Cutoff(SigmoidKernel(1.0), gamma_max=HIGH)),
    Candidate("Butterworth cutoff of order 2", Cutoff(ButterworthKernel(2.0), gamma_max=HIGH)),
    Candidate("soft conditioning by variance, 2", SoftConditioning(LOW, HIGH, 2.0, "variance")),
    Candidate("Gaussian cutoff", Cutoff(GaussianKernel(), gamma_max=HIGH)),
)
OURS = ModelSpec(NETWORK, c_out="variance")
STANDARD = ModelSpec(NETWORK, network_input="whitened", conditioning="time", reference="isotropic")

ARMS: Mapping[str, Arm] = {
    arm.name: arm
    for arm in (
        Arm(
            BASELINE,
            "standard diffusion",
            "White noise, scalar schedule and preconditioning, no Gaussian to start from, a "
            "network conditioned on time alone, noise-prediction loss.",
            STANDARD,
            Objective("simple"),
            White(),
            SCALAR,
        ),
        Arm(
            "white-scalar",
            "white noise, scalar schedule",
            "The Gaussian is exact and the network corrects it.",
            OURS,
            Objective(),
            White(),
            SCALAR,
        ),
        Arm(
            "matched-scalar",
            "matched noise, scalar schedule",
            "All components lose their SNR together (EqualSNR).",
            OURS,
            Objective(),
            Matched(),
            SCALAR,
        ),
        Arm(
            "white-component",
            "white noise, component-wise schedule",
            "A cutoff moves through the scales, faster than white noise alone erases them.",
            OURS,
            Objective(),
            White(),
            COMPONENT_WISE,
        ),
        Arm(
            "matched-component",
            "matched noise, component-wise schedule",
            "A cutoff moves through the scales, at the fixed point of the data's own spectrum.",
            OURS,
            Objective(),
            Matched(),
            COMPONENT_WISE,
        ),
    )
}


def config(
    arm: Arm,
    schedule: Schedule,
    data: str,
    *,
    network: NetworkSpec,
    steps: int,
    batch: int,
    lr: float,
    seed: int,
    limit: int,
) -> TrainConfig:
    """Return the training config of an arm; `rgdiff train` would do the same with it."""
    return TrainConfig(
        data=data,
        limit=limit,
        basis=BasisSpec(momentum="lattice"),
        noise=FixedProcess(arm.color, schedule),
        model=replace(arm.model, network=network),
        objective=arm.objective,
        steps=steps,
        batch=batch,
        lr=lr,
        ema=0.995,
        seed=seed,
    )


def _rung(name: str, title: str, model: ModelSpec, objective: Objective) -> Arm:
    return Arm(name, title, "", model, objective, White(), SCALAR[:1])


# From standard diffusion to the white arm, one change at a time; and the loss' weighting alone.
ABLATION: tuple[Arm, ...] = (
    _rung("standard", "standard diffusion", STANDARD, Objective("simple")),
    _rung(
        "gaussian",
        "… that corrects the data's Gaussian",
        replace(STANDARD, reference="spectrum"),
        Objective("simple"),
    ),
    _rung(
        "unit",
        "… with every component's loss in units of its posterior variance",
        replace(STANDARD, reference="spectrum"),
        Objective(),
    ),
    _rung(
        "mean",
        "… with the Gaussian posterior's mean as input",
        replace(STANDARD, reference="spectrum", network_input="posterior_mean"),
        Objective(),
    ),
    _rung(
        "variance",
        "… whose correction is scaled by the posterior variance",
        replace(STANDARD, reference="spectrum", network_input="posterior_mean", c_out="variance"),
        Objective(),
    ),
    _rung(
        "levels",
        "… that is conditioned on the noise level by scale: the white arm",
        OURS,
        Objective(),
    ),
    _rung("bound", "the white arm, trained on the bound", OURS, Objective("elbo", "importance")),
    replace(
        ARMS["matched-component"],
        name="matched-bound",
        title="the matched, component-wise arm, trained on the bound",
        objective=Objective("elbo", "importance"),
    ),
    replace(
        ARMS["matched-component"],
        name="matched-unit",
        title="the matched, component-wise arm",
    ),
)

# The same changes in the other order: what a step is worth depends on those before it.
REVERSED: tuple[Arm, ...] = (
    ABLATION[0],
    _rung(
        "first-levels",
        "… that is conditioned on the noise level by scale",
        replace(STANDARD, conditioning="noise_levels"),
        Objective("simple"),
    ),
    _rung(
        "first-mean",
        "… with the Gaussian posterior's mean as input",
        replace(STANDARD, conditioning="noise_levels", network_input="posterior_mean"),
        Objective("simple"),
    ),
    _rung(
        "first-variance",
        "… whose correction is scaled by the posterior variance",
        replace(OURS, reference="isotropic"),
        Objective("simple"),
    ),
    _rung(
        "first-unit",
        "… with every component's loss in units of its posterior variance",
        replace(OURS, reference="isotropic"),
        Objective(),
    ),
    replace(ABLATION[5], title="… that corrects the data's Gaussian: the white arm"),
)


def _schedule_scan() -> tuple[tuple[str, float, Schedule], ...]:
    cutoffs = [("sigmoid", w, SigmoidKernel(w)) for w in (0.03, 0.1, 0.2, 0.3, 0.5, 1.0, 3.0)]
    cutoffs += [("Butterworth", n, ButterworthKernel(n)) for n in (0.5, 1.0, 2.0, 4.0)]
    cutoffs += [
        ("Gaussian", 0.0, GaussianKernel()),
        ("exponential", 0.0, ExponentialKernel()),
        ("Litim", 0.0, LitimKernel()),
        ("bump", 0.0, BumpKernel()),
    ]
    soft = [
        ("soft conditioning by variance", s, SoftConditioning(LOW, HIGH, s, "variance"))
        for s in (0.5, 1.0, 2.0, 4.0, 16.0)
    ]
    return tuple((k, w, Cutoff(kernel, gamma_max=HIGH)) for k, w, kernel in cutoffs) + tuple(soft)


# Kernels and their one number (0 where there is none): what the local schedule does.
SCHEDULE_SCAN: tuple[tuple[str, float, Schedule], ...] = _schedule_scan()
