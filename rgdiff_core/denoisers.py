r"""Denoisers: what the data were, given a noised field.

A denoiser returns the posterior of χ(0) given χ(t), mean and variance, per component. It works in
components of χ/r, where every process preserves variance, and all that it is told of the process
is (α, σS). Score = (α D − χ)/(σ² S²).

For Gaussian data with mean μ and variance Σ the posterior is exact, and with it the score of the
free theory:

    D = μ + αΣ (χ − αμ)/(α²Σ + σ²S²),    V = Σ σ²S²/(α²Σ + σ²S²),    score = −(χ − αμ)/(α²Σ +
    σ²S²).

A learned denoiser adds to that mean what a network F says of the field and of the noise's state:

    D = m + c_out · U†F(U m / d, state),    c_out = √V  or  V/d,

with m and V the Gaussian posterior's mean and variance and d² the mean of Σ. F = 0 is the free
theory. With c_out = √V the regression target of F has unit variance in every component at every
time (EDM's preconditioning, per component); with c_out = V/d, F is the force −∇S_int of
Polchinski's effective interaction at the cutoff that V describes, in units of 1/d.

References:
    Karras et al., 2206.00364 (preconditioning); Polchinski, Nucl. Phys. B 231 (1984) 269.
"""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn

from rgdiff_core.bases import Basis
from rgdiff_core.modes import Modes
from rgdiff_core.networks import MAX_PARAMETERS, LatticeNet, NetworkSpec, meta_count
from rgdiff_core.process import Marginal, Prior, Process
from rgdiff_core.spec import Spec

__all__ = [
    "Denoiser",
    "GaussianDenoiser",
    "ModelSpec",
    "NetworkDenoiser",
    "NoiseState",
    "Posterior",
    "gaussian_posterior",
    "gaussian_score",
]

STATE_POINTS = 16  # of the grid of scales on which a network is told the noise
STATE_LIMIT = 12.0  # |log(n²/Σ)| beyond it changes no posterior


@dataclass(frozen=True, eq=False)
class Posterior:
    """The posterior of the components χ(0): mean (B, C, H, W) and variance, which broadcasts
    against it.
    """

    mean: Tensor
    variance: Tensor


class Denoiser(nn.Module):
    """A denoiser in a basis, with the modes of its data. Derived classes write `posterior`."""

    basis: Basis
    modes_mean: Tensor
    modes_variance: Tensor

    def __init__(self, basis: Basis, modes: Modes) -> None:
        super().__init__()
        if modes.mean is None or modes.variance is None:
            raise ValueError("a denoiser needs the data's mean and variance: use Modes.fit.")
        if modes.shape[1:] != basis.shape[1:] or modes.shape[0] not in (1, basis.shape[0]):
            raise ValueError(f"modes of {modes.shape} do not fit a basis of shape {basis.shape}.")
        self.basis = basis
        for name in ("scale", "mean", "variance", "momentum"):
            self.register_buffer(f"modes_{name}", getattr(modes, name))

    @property
    def modes(self) -> Modes:
        """Return the modes of the data, on the denoiser's device."""
        names = ("scale", "mean", "variance", "momentum")
        return Modes(*(getattr(self, f"modes_{name}") for name in names))

    def posterior(self, c: Tensor, marginal: Marginal) -> Posterior:
        """Return the posterior of χ(0) given components c of χ(t)/r and the marginal of χ/r."""
        raise TypeError(f"{type(self).__name__} does not say what its posterior is.")

    @property
    def free_mean(self) -> Tensor:
        """Return the mean of the free theory that the denoiser corrects, as (C, H, W) or more."""
        return self.modes_mean

    @property
    def free_variance(self) -> Tensor:
        """Return the variances of the free theory that the denoiser corrects, (C, H, W)."""
        return self.modes_variance

    def free(self, c: Tensor, marginal: Marginal) -> Posterior:
        """Return the free theory's posterior."""
        return gaussian_posterior(c, marginal, self.free_mean, self.free_variance)

    def interaction(self, c: Tensor, marginal: Marginal) -> Tensor:
        """Return f = (D − m)/√V, (B, C, H, W): what goes beyond the free theory's posterior N(m,
        V), in units of its deviation; 0 where nothing is uncertain.
        """
        free = self.free(c, marginal)
        beyond = self.posterior(c, marginal).mean - free.mean
        certain = free.variance <= 0
        return torch.where(certain, 0.0, beyond * torch.rsqrt(free.variance + certain))

    def prior(self, process: Process) -> Prior:
        """Return where samples start at t = 1: the process' prior, with the denoiser's data
        statistics where the process has none.
        """
        return process.prior(self.modes)

    def denoise(self, x: Tensor, t: Tensor | float, process: Process) -> Tensor:
        """Return the posterior mean of the data, as fields (B, C, H, W), given fields x at times
        t.
        """
        c = self.basis.analyze(x) / process.level(t).magnitude
        return self.basis.synthesize(self.posterior(c, process.preserved(t)).mean)

    def score(self, x: Tensor, t: Tensor | float, process: Process) -> Tensor:
        """Return the score ∇ log p_t(φ) at fields x (B, C, H, W) and times t, as fields."""
        magnitude = process.level(t).magnitude
        c = self.basis.analyze(x) / magnitude
        return self.basis.synthesize(self.component_score(c, process.preserved(t)) / magnitude)

    def component_score(self, c: Tensor, marginal: Marginal) -> Tensor:
        """Return (α D − χ)/(σ² S²), (B, C, H, W), the score of the components c of χ/r.

        Where there is little noise the two terms cancel to rounding: a denoiser that knows a
        better form writes it.
        """
        mean = self.posterior(c, marginal).mean
        return (marginal.alpha * mean - c) / marginal.std**2


def gaussian_score(c: Tensor, marginal: Marginal, mean: Tensor, variance: Tensor) -> Tensor:
    """Return −(χ − αμ)/(α²Σ + σ²S²) of components c (B, C, H, W), exact at any noise level.

    Arguments:
        mean, variance: of the data's components; they broadcast against (C, H, W).
    """
    return (marginal.alpha * mean - c) / (marginal.alpha**2 * variance + marginal.std**2)


def gaussian_posterior(c: Tensor, marginal: Marginal, mean: Tensor, variance: Tensor) -> Posterior:
    """Return the exact posterior of components c (B, C, H, W) for Gaussian data.

    Arguments:
        mean, variance: of the data's components; they broadcast against (C, H, W).
    """
    alpha, noise = marginal.alpha, marginal.std**2
    total = alpha**2 * variance + noise
    gain = variance / total
    return Posterior(mean + alpha * gain * (c - alpha * mean), gain * noise)


class GaussianDenoiser(Denoiser):
    """The free theory: the exact posterior of Gaussian data with the given mean and variances.

    It serves every process in its basis.
    """

    @classmethod
    def fit(cls, basis: Basis, images: Tensor) -> Self:
        """Fit mean and variances to images (N, C, H, W), N ≥ 2."""
        return cls(basis, Modes.fit(basis, images))

    def posterior(self, c: Tensor, marginal: Marginal) -> Posterior:
        """Return the exact Gaussian posterior."""
        return gaussian_posterior(c, marginal, self.modes_mean, self.modes_variance)

    def component_score(self, c: Tensor, marginal: Marginal) -> Tensor:
        """Return −(χ − αμ)/(α²Σ + σ²S²), exact at any noise level."""
        return gaussian_score(c, marginal, self.modes_mean, self.modes_variance)

    def interaction(self, c: Tensor, marginal: Marginal) -> Tensor:
        """Return zeros: the free theory does not interact."""
        del marginal
        return torch.zeros_like(c)

    def log_density(self, x: Tensor, t: Tensor | float, process: Process) -> Tensor:
        """Return the exact log density (B,), in nats, of fields x at times t."""
        marginal = process.marginal(t)
        variance = marginal.alpha**2 * self.modes_variance + marginal.std**2
        c = self.basis.analyze(x) - marginal.alpha * self.modes_mean
        terms = c**2 / variance + torch.log(2 * torch.pi * variance)
        return -terms.expand(c.shape).flatten(1).sum(1) / 2


@dataclass(frozen=True)
class ModelSpec(Spec):
    """A learned denoiser by its choices.

    Arguments:
        network: the network F.
        scaling: c_out, "deviation" for √V or "variance" for V/d.
        sees: what F is given, "mean" for the field U m, or "scaled" for the field of unit
            variance U(c_in χ) with c_in² = 1/(α²Σ + σ²S²).
        told: what F knows of the noise, "levels" for the noise level as a function of scale, or
            "time" for one number that tells the time (the mean log level).
        reference: the Gaussian that F corrects, "spectrum" for the data's mean and variances, or
            "isotropic" for their averages over all components (EDM's scalar preconditioning).
    """

    network: NetworkSpec = LatticeNet()
    scaling: str = "deviation"
    sees: str = "mean"
    told: str = "levels"
    reference: str = "spectrum"

    def __post_init__(self) -> None:
        for name, known in _CHOICES.items():
            value = getattr(self, name)
            if value not in known:
                raise ValueError(f"{name} = {value!r} is not one of {', '.join(known)}.")

    def build(self, basis: Basis, modes: Modes) -> "NetworkDenoiser":
        """Return the denoiser with fresh weights, on the device of the modes."""
        return NetworkDenoiser(basis, modes, self)

    def parameters(self, shape: tuple[int, int, int]) -> int:
        """Return how many parameters the network has for fields (C, H, W), without making it.

        Raises `ValueError` where the fields do not fit the network or it is too large.
        """
        count = meta_count(self.network, shape, _features(self.told, shape[0]))
        if count > MAX_PARAMETERS:
            raise ValueError(
                f"the network has {count / 1e6:.0f} million parameters; at most "
                f"{MAX_PARAMETERS / 1e6:.0f} are allowed."
            )
        return count


def _features(told: str, channels: int) -> int:
    """Return how many numbers a network is told of the noise."""
    return channels * STATE_POINTS if told == "levels" else 1


_CHOICES = {
    "scaling": ("deviation", "variance"),
    "sees": ("mean", "scaled"),
    "told": ("levels", "time"),
    "reference": ("spectrum", "isotropic"),
}


class NoiseState(nn.Module):
    """What a network is told of the noise: log(n²/Σ), n = σS/α, as a function of scale.

    It is averaged over the components near each of 16 scales, channel by channel; "time" averages
    over all components instead. Values are cut at ±12 and divided by 4.

    Arguments:
        modes: the modes of the data.
        told: "levels" or "time".
    """

    weights: Tensor
    variance: Tensor

    def __init__(self, modes: Modes, told: str) -> None:
        super().__init__()
        if modes.variance is None:
            raise ValueError("the noise's state is told relative to the data's variance.")
        scale = modes.scale.expand_as(modes.variance).flatten(1)  # (C, D)
        if told == "time":
            weights = torch.full_like(scale, 1 / scale.shape[1])[:, None]
        else:
            points = torch.linspace(0, 1, STATE_POINTS).to(scale)
            distance = (points[:, None] - scale[:, None, :]) * (2 * (STATE_POINTS - 1))
            weights = torch.softmax(-(distance**2) / 2, -1)
        self.register_buffer("weights", weights, persistent=False)  # (C, points, D)
        self.register_buffer("variance", modes.variance, persistent=False)
        self.features = _features(told, len(scale))

    def forward(self, marginal: Marginal) -> Tensor:
        """Return the state (B, features) or, for a marginal at one time, (1, features)."""
        ratio = (marginal.std / marginal.alpha) ** 2 / self.variance
        level = torch.log(ratio).clamp(-STATE_LIMIT, STATE_LIMIT) / 4
        level = level.reshape(-1, *self.variance.shape).flatten(2)
        state = torch.einsum("bcd,cpd->bcp", level, self.weights)
        return state.mean(1) if self.features == 1 else state.flatten(1)


class NetworkDenoiser(Denoiser):
    """A Gaussian posterior and a network's correction to it.

    It serves every process in its basis. The variance that it returns is the Gaussian one.

    Arguments:
        basis, modes: as of every denoiser.
        spec: the choices.

    Attributes:
        autocast: the type that the network computes in, None for that of its weights; all around
            it, the basis above all, keeps its own precision.

    Raises `ValueError` where the fields do not fit the network or it is too large.
    """

    reference_mean: Tensor
    reference_variance: Tensor

    def __init__(self, basis: Basis, modes: Modes, spec: ModelSpec) -> None:
        super().__init__(basis, modes)
        mean, variance = self.modes_mean, self.modes_variance
        if spec.reference == "isotropic":
            power = variance.mean() + (mean**2).mean()
            mean, variance = torch.zeros_like(mean), power.expand(variance.shape).clone()
        self.register_buffer("reference_mean", mean)
        self.register_buffer("reference_variance", variance)
        self.spec = spec
        self.state = NoiseState(modes, spec.told)
        spec.parameters(basis.shape)  # refuses what is too large before memory is taken
        self.network = spec.network.build(basis.shape, self.state.features).to(mean)
        self.autocast: torch.dtype | None = None

    def posterior(self, c: Tensor, marginal: Marginal) -> Posterior:
        """Return the corrected mean and the Gaussian variance."""
        gaussian = self.gaussian(c, marginal)
        correction = self.amplitude(gaussian.variance) * self.correction(c, marginal, gaussian)
        return Posterior(gaussian.mean + correction, gaussian.variance)

    def gaussian(self, c: Tensor, marginal: Marginal) -> Posterior:
        """Return the posterior of the Gaussian that the network corrects."""
        return gaussian_posterior(c, marginal, self.reference_mean, self.reference_variance)

    def amplitude(self, variance: Tensor) -> Tensor:
        """Return c_out, given the Gaussian posterior variance V."""
        if self.spec.scaling == "deviation":
            return variance.sqrt()
        return variance / self.reference_variance.mean().sqrt()

    def correction(self, c: Tensor, marginal: Marginal, gaussian: Posterior) -> Tensor:
        """Return U†F, (B, C, H, W): the network's word, before it is scaled by c_out."""
        if self.spec.sees == "mean":
            seen = gaussian.mean / self.reference_variance.mean().sqrt()
        else:
            seen = c * torch.rsqrt(marginal.alpha**2 * self.reference_variance + marginal.std**2)
        field, state = self.basis.synthesize(seen), self.state(marginal)
        with torch.autocast(
            field.device.type, dtype=self.autocast, enabled=self.autocast is not None
        ):
            said = self.network(field, state)
        return self.basis.analyze(said.to(field.dtype))

    def component_score(self, c: Tensor, marginal: Marginal) -> Tensor:
        """Return the Gaussian score plus α c_out U†F/(σ²S²), in which nothing cancels."""
        gaussian = self.gaussian(c, marginal)
        correction = self.amplitude(gaussian.variance) * self.correction(c, marginal, gaussian)
        free = gaussian_score(c, marginal, self.reference_mean, self.reference_variance)
        return free + marginal.alpha * correction / marginal.std**2

    def interaction(self, c: Tensor, marginal: Marginal) -> Tensor:
        """Return c_out U†F/√V, in which nothing cancels."""
        if self.spec.reference != "spectrum":
            return super().interaction(c, marginal)
        gaussian = self.gaussian(c, marginal)
        said = self.correction(c, marginal, gaussian)
        if self.spec.scaling == "deviation":
            return said
        return gaussian.variance.sqrt() / self.reference_variance.mean().sqrt() * said
