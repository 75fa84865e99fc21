r"""The forward process: where, how loud and when information is erased.

Component by component, with χ = U†φ, colour S_k and schedule γ_k(t),

    dχ_k = (ṙ_k/r_k − ½ β_k) χ_k dt + r_k √β_k S_k dw,        χ_k(t) = α_k(t) χ_k(0) + σ_k(t) S_k
    ε_k.

Only this module knows basis, colour and schedule together. γ is clamped here, and only here, to
±40: SNRs beyond e^{40} count as infinite, and all numbers stay safe in float32. A colour that
changes with time is one of fixed S and shifted γ (`MovingColor.effective`): all that is said here
of γ, r and β is of the shifted one.
"""

import itertools
import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Protocol, Self

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from rgdiff_core.bases import Basis
from rgdiff_core.bases.modes import Modes
from rgdiff_core.bases.serialize import (
    basis_from_dict,
    basis_to_dict,
    modes_from_dict,
    modes_to_dict,
)
from rgdiff_core.bases.spec import BasisSpec
from rgdiff_core.colors import Color, MovingColor
from rgdiff_core.schedules import Level, Schedule
from rgdiff_core.schedules.base import GAMMA_CLAMP
from rgdiff_core.seeds import Generators, Walk, check_generators
from rgdiff_core.spec import Spec, from_dict, load_json, to_dict

__all__ = ["Generators", "Marginal", "Prior", "Process", "ProcessSpec", "clamped", "white_noise"]

CHECKED_TIMES = 129  # at which a moving colour must not raise the SNR
CHECKED_VALUES = 1 << 20  # of γ at once
CHECKED_STEP = 1e-5
GAMMA_SLACK = 1e-11  # for rounding
MAX_REPR = 160  # characters of a colour or schedule within a process
_MODES = ("scale", "mean", "variance", "momentum")


@dataclass(frozen=True, eq=False)
class Marginal:
    """χ(t) = alpha · χ(s) + std · ε per component; both (*t.shape, C or 1, H, W)."""

    alpha: Tensor
    std: Tensor

    def total_variance(self, variance: Tensor) -> Tensor:
        """Return T = α²Σ + σ²S² of data of variance Σ, which broadcasts against (C, H, W)."""
        return self.alpha**2 * variance + self.std**2

    def posterior_variance(self, variance: Tensor) -> Tensor:
        """Return V = Σσ²S²/T of Gaussian data of variance Σ, likewise."""
        return variance * self.std**2 / self.total_variance(variance)


@dataclass(frozen=True, eq=False)
class Prior:
    """The Gaussian N(mean, std²) of the components at t = 1; both broadcast to (C, H, W)."""

    mean: Tensor
    std: Tensor


def white_noise(shape: Sequence[int], like: Tensor, generator: Generators = None) -> Tensor:
    """Draw white noise (n, C, H, W) on the device and in the dtype of `like`.

    Arguments:
        generator: one generator for all, or n of them, one stream per sample, so that a sample
            does not depend on the batch it is drawn in; or a walk between two streams.
    """
    check_generators(generator, shape[0])
    if isinstance(generator, Walk):
        first, last = (white_noise(shape, like, x) for x in (generator.first, generator.last))
        angles = generator.angles.to(like).reshape(-1, *[1] * (len(shape) - 1))
        return angles.cos() * first + angles.sin() * last
    if generator is None or isinstance(generator, torch.Generator):
        device = like.device if generator is None else generator.device
        return torch.randn(*shape, generator=generator, dtype=like.dtype, device=device).to(like)
    noise = torch.empty(*shape, dtype=like.dtype, device=generator[0].device)
    for row, each in zip(noise, generator, strict=True):
        row.normal_(generator=each)
    return noise.to(like)


def clamped(level: Level) -> Level:
    """Return a level with γ clamped to ±40."""
    return Level(level.gamma.clamp(-GAMMA_CLAMP, GAMMA_CLAMP), level.magnitude)


def _knots(spec: Spec) -> Iterator[float]:
    """Yield the knots in time of a spec and of all in it, and the middles between them."""
    times = getattr(spec, "times", ())
    yield from times
    yield from (sum(pair) / 2 for pair in itertools.pairwise(times))
    for field in fields(spec):
        if isinstance(inner := getattr(spec, field.name), Spec):
            yield from _knots(inner)


def _check_falling(color: MovingColor, schedule: Schedule, modes: Modes) -> None:
    """Raise `ValueError`, naming the worst component and time, where a log-SNR rises from one time
    to the next: evenly spaced ones, knots and middles, each with one just behind it.
    """
    knots = torch.tensor([*_knots(color), *_knots(schedule)], dtype=torch.float64)
    times = torch.cat([torch.linspace(0, 1, CHECKED_TIMES).double(), knots])
    times = torch.cat([times, times + CHECKED_STEP]).clamp_max(1).unique()
    like = modes.scale.cpu().double()  # not every device has float64
    times, precise, flow = times.to(like), modes.to(like), color.effective(schedule)
    number = max(1, CHECKED_VALUES // math.prod(modes.shape))
    rises = []
    for start in range(0, len(times) - 1, number):
        some = times[start : start + number + 1]
        # from infinite to infinite there is no change
        change = flow.gamma(some, precise).diff(dim=0).nan_to_num(0.0).flatten(1)
        rate = torch.where(change < -GAMMA_SLACK, change, 0.0) / some.diff()[:, None]
        rises.append(rate.min(1))
    least, place = (torch.cat(each) for each in zip(*rises, strict=True))
    if not (least < 0).any():
        return
    first = int((least <= 0.999 * least.min()).nonzero()[0])
    index = tuple(map(int, torch.unravel_index(place[first], modes.shape)))
    scale, when = float(modes.scale.expand(modes.shape)[index]), float(times[first])
    raise ValueError(
        f"the colour changes too fast for {_brief(schedule)}: at t = {when:.2f} the log-SNR of "
        f"component {index}, of scale {scale:.2f}, would rise at a rate of "
        f"{-float(least[first]):.2g}, but may only fall; take closer colours, or a schedule that "
        "adds noise to all components all the time."
    )


def _brief(spec: Spec) -> str:
    """Return a spec as Python writes it, without its numbers where they are many."""
    text = repr(spec)
    return text if len(text) <= MAX_REPR else f"{type(spec).__name__}(…)"


class Process(nn.Module):
    r"""A component-wise diffusion process.

    Arguments:
        basis: U, where.
        color: S, how loud.
        schedule: γ_k(t), when.
        modes: scales and, where known, data mean and variance of the components; default: no data
            statistics.

    Raises `ValueError` where the colour or the schedule needs data that the modes do not have, and
    where a colour that changes with time would raise the SNR of a component.
    """

    noise_variance: Tensor
    modes: Modes

    def __init__(
        self, basis: Basis, color: Color, schedule: Schedule, modes: Modes | None = None
    ) -> None:
        super().__init__()
        modes = Modes.of(basis) if modes is None else modes
        if modes.shape[1:] != basis.shape[1:] or modes.shape[0] not in (1, basis.shape[0]):
            raise ValueError(f"modes of {modes.shape} do not fit a basis of shape {basis.shape}.")
        self.basis, self.color, self.schedule = basis, color, schedule
        for name in _MODES:
            self.register_buffer(f"modes_{name}", getattr(modes, name), persistent=False)
        self._flow = color.effective(schedule)
        self._derive()
        schedule.gamma(torch.zeros((), dtype=modes.scale.dtype, device=modes.scale.device), modes)
        if isinstance(color, MovingColor):
            _check_falling(color, schedule, modes)

    def __repr__(self) -> str:
        parts = (self.basis, _brief(self.color), _brief(self.schedule), self.modes)
        return f"Process({', '.join(map(str, parts))})"

    def _derive(self) -> None:
        """Set what follows from the buffers."""
        self.modes = Modes(*(getattr(self, f"modes_{name}") for name in _MODES))
        self.noise_variance = self.color.variance(self.modes)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Move or convert the buffers (`.to`, `.double`, `.cuda` all end here), and what follows
        from them.
        """
        super()._apply(fn, recurse)
        self._derive()
        return self

    def _times(self, t: Tensor | float) -> Tensor:
        like = self.noise_variance
        return torch.as_tensor(t, dtype=like.dtype, device=like.device)

    def level(self, t: Tensor | float) -> Level:
        """Return γ, clamped to ±40, and the magnitude at times t of shape () or (B,)."""
        return clamped(self._flow.level(self._times(t), self.modes))

    def beta(self, t: Tensor | float) -> Tensor:
        """Return β = sigmoid(γ) dγ/dt ≥ 0 at times () or (B,), (*t.shape, C or 1, H, W)."""
        return self._flow.beta(self._times(t), self.modes)

    def marginal(self, t: Tensor | float) -> Marginal:
        """Return .alpha and .std = σS of χ(t) given χ(0): (*t.shape, C or 1, H, W)."""
        level = self.level(t)
        return Marginal(level.alpha, level.sigma * self.noise_variance.sqrt())

    def vp_marginal(self, t: Tensor | float) -> Marginal:
        """Return the marginal of χ/r, which preserves variance: what denoisers and samplers work
        with.
        """
        level = self.level(t)
        level = Level(level.gamma, torch.ones_like(level.magnitude))
        return Marginal(level.alpha, level.sigma * self.noise_variance.sqrt())

    def transition(self, s: Tensor | float, t: Tensor | float) -> Marginal:
        r"""Return the exact transition χ(t) = alpha χ(s) + std ε from s to t ≥ s.

        α_{t|s} = α_t/α_s and σ²_{t|s} = σ_t² − α²_{t|s} σ_s², both from softplus(γ) so that
        nothing cancels; they compose.
        """
        s, t = self._times(s), self._times(t)
        if not (s <= t).all():
            raise ValueError(
                f"a transition runs forward: s = {s.tolist()} is beyond t = {t.tolist()}."
            )
        first, last = self.level(s), self.level(t)
        fall = (softplus(first.gamma) - softplus(last.gamma)).clamp_max(0)
        ratio = last.magnitude / first.magnitude
        std = last.magnitude * torch.sqrt(-torch.expm1(fall) * self.noise_variance)
        return Marginal(ratio * torch.exp(fall / 2), std)

    def perturb(
        self,
        x0: Tensor,
        t: Tensor | float,
        noise: Tensor | None = None,
        *,
        generator: Generators = None,
    ) -> Tensor:
        """Return φ(t) of fields x0 (B, C, H, W) at times () or (B,).

        One field (C, H, W) at times (T,) gives (T, C, H, W): with the same noise at all of them.

        Arguments:
            noise: white noise in field space, of the shape of x0; default: drawn from `generator`.
        """
        t = self._times(t)
        if t.ndim == 1 and x0.ndim != 3 and (x0.ndim != 4 or len(t) != len(x0)):
            raise ValueError(f"{len(t)} times do not fit fields {tuple(x0.shape)}.")
        if noise is not None and noise.shape != x0.shape:
            raise ValueError(f"noise {tuple(noise.shape)} does not fit fields {tuple(x0.shape)}.")
        return self.basis.synthesize(self._noised(x0, t, noise, generator))

    def _noised(
        self, x0: Tensor, t: Tensor, noise: Tensor | None, generator: Generators
    ) -> Tensor:
        """Return χ(t). A separate function, so that its memory is free again before synthesis:
        fresh pages cost more than the arithmetic.
        """
        c = self.basis.analyze(x0)
        # U†ε is white where ε is, so fresh noise needs no transform
        eps = white_noise(x0.shape, c, generator) if noise is None else self.basis.analyze(noise)
        marginal = self.marginal(t)
        return (marginal.alpha * c).addcmul_(marginal.std, eps)

    def prior(self, otherwise: Modes | None = None) -> Prior:
        """Return mean and standard deviation of the components at t = 1.

        N(α₁μ, α₁²Σ + σ₁²S²): slow components may still carry signal. Without data statistics the
        signal is taken to be like the noise, of mean 0 and variance S².

        Arguments:
            otherwise: modes whose data statistics are used where the process has none of its own.
        """
        last, modes = self.marginal(1.0), self.modes
        if modes.variance is None and otherwise is not None:
            modes = otherwise
        variance = self.noise_variance if modes.variance is None else modes.variance
        std = last.total_variance(variance).sqrt()
        mean = torch.zeros_like(std) if modes.mean is None else last.alpha * modes.mean
        return Prior(mean, std)

    def prior_sample(self, n: int, generator: Generators = None) -> Tensor:
        """Draw n fields (n, C, H, W) from the Gaussian prior at t = 1."""
        prior = self.prior()
        eps = white_noise((n, *self.basis.shape), prior.std, generator)
        return self.basis.synthesize(prior.mean + prior.std * eps)

    def drift(self, t: Tensor | float) -> Tensor:
        """Return f = d log α/dt = ṙ/r − ½β of dχ = f χ dt + g dw, (*t.shape, C or 1, H, W)."""
        t, modes = self._times(t), self.modes
        return self._flow.magnitude_rate(t, modes) - self._flow.beta(t, modes) / 2

    def diffusion(self, t: Tensor | float) -> Tensor:
        """Return g = r √β S of dχ = f χ dt + g dw, (*t.shape, C or 1, H, W)."""
        return self.level(t).magnitude * torch.sqrt(self.beta(t) * self.noise_variance)

    def reverse_drift(self, x: Tensor, t: Tensor | float, score: Tensor) -> Tensor:
        """Return f φ − g² score, the drift of the reverse SDE, in field space (B, C, H, W).

        Arguments:
            x: fields (B, C, H, W).
            score: ∇ log p_t at them, (B, C, H, W).

        References:
            Anderson, Stoch. Proc. Appl. 12 (1982) 313; Song et al., 2011.13456, eq. 6.
        """
        c, s = self.basis.analyze(x), self.basis.analyze(score)
        return self.basis.synthesize(self.drift(t) * c - self.diffusion(t) ** 2 * s)

    def to_json(self) -> str:
        """Write basis, colour, schedule and modes as JSON; `from_json` gives the same process
        back.
        """
        data = {
            "kind": "Process",
            "basis": basis_to_dict(self.basis),
            "color": to_dict(self.color),
            "schedule": to_dict(self.schedule),
            "modes": modes_to_dict(self.modes),
        }
        return json.dumps(data, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read a process; raises a one-line `ValueError` for anything that is not one."""
        data = load_json(text)
        if not isinstance(data, dict) or data.get("kind") != "Process":
            raise ValueError("the JSON does not describe a process (kind 'Process').")
        color, schedule = from_dict(data.get("color")), from_dict(data.get("schedule"))
        if not isinstance(color, Color):
            raise ValueError(f"{type(color).__name__} is not a colour.")
        if not isinstance(schedule, Schedule):
            raise ValueError(f"{type(schedule).__name__} is not a schedule.")
        basis = basis_from_dict(data.get("basis"))
        modes = modes_from_dict(data.get("modes"), basis.shape)
        return cls(basis, color, schedule, modes)


class _Model(Protocol):
    """What has a basis and the statistics of the data in it, as denoisers do."""

    @property
    def basis(self) -> Basis: ...

    @property
    def modes(self) -> Modes: ...


@dataclass(frozen=True)
class ProcessSpec(Spec):
    """A process before there are data.

    Arguments:
        basis: U, where.
        color: S, how loud.
        schedule: γ_k(t), when.
    """

    basis: BasisSpec
    color: Color
    schedule: Schedule

    def build(self, images: Tensor, *, symmetries: str = "none") -> Process:
        """Return the process with the statistics of images (N, C, H, W), in their dtype.

        Arguments:
            symmetries: of the images' law, "none" or "lattice", as of `Modes.fit`.

        Raises:
            ValueError: Where the basis cannot have the images' shape.
        """
        basis = self.basis.build(images).to(images)
        modes = Modes.fit(basis, images, symmetries=symmetries)
        return Process(basis, self.color, self.schedule, modes)

    def on(self, model: _Model) -> Process:
        """Return the process in a model's basis, with the statistics of the model's data.

        Raises:
            ValueError: Where the model's basis is another.
        """
        if not self.basis.describes(model.basis):
            raise ValueError(f"the model's basis {model.basis} is not the process' {self.basis}.")
        return Process(model.basis, self.color, self.schedule, model.modes)
