r"""Schedules: when each component is erased.

The one primary quantity is γ_k(t) = log(σ_k²/α_k²), the negative log-SNR, which never falls with
t. From it

    α² = r² sigmoid(−γ),    σ² = r² sigmoid(γ),    β = −d/dt log sigmoid(−γ) = sigmoid(γ) dγ/dt.

The magnitude r_k(t) is 1 for variance-preserving processes. A schedule writes `gamma_at`, and
`magnitude_at` where variance is not preserved; everything else follows. γ may be ±∞ at the ends;
`Process` clamps it once. Times t have shape () or (B,), results (*t.shape, C or 1, H, W).
Schedules that act by momentum (heat flows and exact RG) are in `flows`.
"""

import abc
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor

from rgdiff_core.bases.modes import Modes
from rgdiff_core.devices import doubled
from rgdiff_core.spec import Spec, check_range

__all__ = ["GAMMA_CLAMP", "Level", "Schedule", "check_gammas", "everywhere", "per_time"]

GAMMA_CLAMP = 40.0  # beyond ±40 SNRs count as infinite, in `Process`
GAMMA_LIMIT = 1e3


@dataclass(frozen=True, eq=False)
class Level:
    """The noise level of every component at times t.

    Attributes:
        gamma: (*t.shape, C or 1, H, W), the negative log-SNR.
        magnitude: r, of a shape that broadcasts with gamma; 1 for variance-preserving processes.
    """

    gamma: Tensor
    magnitude: Tensor

    @property
    def alpha(self) -> Tensor:
        """Return α = r √sigmoid(−γ)."""
        return self.magnitude * torch.sigmoid(-self.gamma).sqrt()

    @property
    def sigma(self) -> Tensor:
        """Return σ = r √sigmoid(γ)."""
        return self.magnitude * torch.sigmoid(self.gamma).sqrt()

    @property
    def snr(self) -> Tensor:
        """Return α²/σ² = exp(−γ)."""
        return torch.exp(-self.gamma)


def per_time(t: Tensor) -> Tensor:
    """Give times () or (B,) three trailing axes, so that they broadcast against components."""
    return t[..., None, None, None]


def _check_times(t: Tensor) -> None:
    if not torch.is_floating_point(t) or t.ndim > 1:
        raise ValueError(
            f"t must be floating, of shape () or (B,), got {t.dtype}, {tuple(t.shape)}."
        )
    if not ((t >= 0) & (t <= 1)).all():
        worst = float(t.flatten()[(t - 0.5).abs().nan_to_num(torch.inf).argmax()])
        raise ValueError(f"t = {worst:g} is outside [0, 1].")


class Schedule(Spec):
    """A component-wise noise schedule. Derived classes are frozen dataclasses that write
    `gamma_at`.

    A class that overrides `gamma`, the call, is refused with a `TypeError`.

    Attributes:
        continuous: whether γ is a continuous function of t.
    """

    continuous: bool = True

    def __init_subclass__(cls, **kwargs: Any) -> None:
        if "gamma" in vars(cls):
            raise TypeError(
                f"{cls.__name__} overrides gamma, which checks the times and gives them axes: "
                "write gamma_at(self, t, modes), with times of shape (*, 1, 1, 1)."
            )
        super().__init_subclass__(**kwargs)

    @abc.abstractmethod
    def gamma_at(self, t: Tensor, modes: Modes) -> Tensor:
        """Return γ for times (*, 1, 1, 1), of a shape that broadcasts with (*, C or 1, H, W).

        It must not fall with t, and torch must be able to differentiate it.
        """

    def magnitude_at(self, t: Tensor, modes: Modes) -> Tensor:
        """Return r > 0 for times (*, 1, 1, 1), of a shape that broadcasts as that of γ."""
        del modes
        return torch.ones_like(t)

    @final
    def gamma(self, t: Tensor | float, modes: Modes) -> Tensor:
        """Return γ(t), (*t.shape, C or 1, H, W), non-decreasing in t; raises `ValueError` outside
        [0, 1].
        """
        t = _as_times(t, modes)
        _check_times(t)
        value = self.gamma_at(per_time(t), modes)
        return value.expand(*t.shape, *value.shape[-3:]) if value.ndim == t.ndim + 3 else value

    def label(self, modes: Modes) -> Tensor:
        """Return the coordinate (C or 1, H, W), rising from first-kept to first-erased, on which γ
        depends.
        """
        return modes.scale

    def level(self, t: Tensor | float, modes: Modes) -> Level:
        """Return γ and the magnitude at times t, and through them α, σ and the SNR."""
        t = _as_times(t, modes)
        return Level(self.gamma(t, modes), self.magnitude_at(per_time(t), modes))

    def beta(self, t: Tensor | float, modes: Modes) -> Tensor:
        r"""Return β(t) = sigmoid(γ) dγ/dt ≥ 0, (*t.shape, C or 1, H, W), by autodiff in float64.

        At the ends of time, where γ may be infinite, β is taken just inside (0, 1); it is zero for
        a component that is all noise.
        """
        t = _as_times(t, modes)
        gamma, rate = _derivative(self.gamma, t, modes)
        return (torch.sigmoid(gamma) * rate).to(t)

    def magnitude_rate(self, t: Tensor | float, modes: Modes) -> Tensor:
        """Return d log r/dt, (*t.shape, C or 1, H, W); zero for variance-preserving processes."""
        t = _as_times(t, modes)

        def magnitude(t: Tensor, modes: Modes) -> Tensor:
            return self.magnitude_at(per_time(t), modes).expand_as(self.gamma(t, modes))

        value, rate = _derivative(magnitude, t, modes)
        return (rate / value).to(t)


def _derivative(
    function: Callable[[Tensor, Modes], Tensor], t: Tensor, modes: Modes
) -> tuple[Tensor, Tensor]:
    """Return a function of time (*t.shape, C or 1, H, W) and its derivative, both in float64.

    It is zero where the function is infinite. Backward passes pull a weight on every component
    back to t; the pulled value is linear in the weights, and its derivative by them is the
    derivative of every component by t.
    """
    _check_times(t)
    with torch.inference_mode(False), torch.enable_grad():
        time = doubled(t.detach()).clamp(1e-9, 1 - 1e-9).clone().requires_grad_()
        value = function(time, modes.to(time.detach()))
        rate = torch.zeros_like(value)
        if value.requires_grad:
            weight = torch.zeros_like(value, requires_grad=True)
            (pulled,) = torch.autograd.grad(value, time, weight, create_graph=True)
            (rate,) = torch.autograd.grad(pulled.sum(), weight)
    return value.detach(), torch.where(value.detach().isfinite(), rate, 0.0)


def _as_times(t: Tensor | float, modes: Modes) -> Tensor:
    """Return times as a tensor; a number goes to the device of the modes."""
    if isinstance(t, Tensor):
        return t
    return torch.as_tensor(t, dtype=modes.scale.dtype, device=modes.scale.device)


def check_gammas(gamma_min: float, gamma_max: float) -> None:
    """Raise `ValueError` unless −1000 ≤ gamma_min < gamma_max ≤ 1000."""
    check_range("gamma_min", gamma_min, -GAMMA_LIMIT, GAMMA_LIMIT)
    check_range("gamma_max", gamma_max, -GAMMA_LIMIT, GAMMA_LIMIT)
    if gamma_max <= gamma_min:
        raise ValueError(f"gamma_max = {gamma_max:g} must be above gamma_min = {gamma_min:g}.")


def everywhere(gamma: Tensor, modes: Modes) -> Tensor:
    """Give a scalar schedule's (*, 1, 1, 1) the shape (*, C or 1, H, W) of the components."""
    return gamma.expand(*gamma.shape[:-3], *modes.scale.shape)
