"""A number with its standard error, the jackknife, and a moving average."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

__all__ = ["Estimate", "jackknife", "jackknife_error", "moving_average", "random_groups"]


@dataclass(frozen=True)
class Estimate:
    """A measured value and its standard error (one sigma).

    Attributes:
        value: The number.
        error: Its standard error.
        tau_int: Integrated autocorrelation time of the quantity along its Markov chain, in units
            of the spacing of the measurements; ½ where they are independent. None where none was
            estimated.
        warning: Why value or error should not be relied on, in words; None where they can be.
    """

    value: float
    error: float
    tau_int: "Estimate | None" = None
    warning: str | None = None

    @classmethod
    def of(cls, values: Tensor, chains: Tensor | None = None) -> "Estimate":
        """Return the mean of values with its standard error.

        Arguments:
            values: (n,), n ≥ 2.
            chains: (n,) integers, the chain that each is from: values of one chain may be
                correlated, different chains are independent. None where all values are
                independent; a single chain counts as that, for want of others.
        """
        mean, n = values.mean(), len(values)
        number = torch.arange(n)
        if chains is not None:
            number = torch.unique(chains, return_inverse=True)[1]
        count = int(number.max()) + 1
        if count == 1:
            number, count = torch.arange(n), n
        sums = torch.zeros(count).to(values).index_add_(0, number.to(values.device), values - mean)
        spread = sums.square().sum() * (count / (count - 1) if count > 1 else math.nan)
        return cls(float(mean), float(spread.sqrt()) / n)

    def __add__(self, other: "Estimate") -> "Estimate":
        """Return the sum of independent estimates."""
        return Estimate(self.value + other.value, math.hypot(self.error, other.error))

    def __sub__(self, other: "Estimate") -> "Estimate":
        """Return the difference of independent estimates."""
        return Estimate(self.value - other.value, math.hypot(self.error, other.error))

    def ratio(self, other: "Estimate") -> "Estimate":
        """Return self/other of independent estimates, neither of them zero, to first order."""
        value = self.value / other.value
        relative = (self.error / self.value) ** 2 + (other.error / other.value) ** 2
        return Estimate(value, abs(value) * relative**0.5)

    def to_dict(self) -> dict[str, float]:
        """Return value and error by name."""
        return {"value": self.value, "error": self.error}

    def scaled(self, factor: float) -> "Estimate":
        """Return the estimate of factor · value; autocorrelation and warning stay."""
        return replace(self, value=factor * self.value, error=abs(factor) * self.error)

    def deviation(self, other: "Estimate") -> float:
        """Return (self − other)/error of the difference, as for independent measurements; 0 where
        neither has an error, nan where a value or an error is.
        """
        error = math.hypot(self.error, other.error)
        return (self.value - other.value) / error if error != 0 else 0.0

    def rounded(self) -> float:
        """Return the value to two significant digits of its error; to four of its own where the
        error is zero or not finite.
        """
        if not (math.isfinite(self.error) and self.error > 0):
            return float(f"{self.value:.4g}")
        return round(self.value, 1 - math.floor(math.log10(self.error)))

    def __str__(self) -> str:
        return f"{self.value:.6g} ± {self.error:.2g}"


def jackknife(function: Callable[[Tensor], float], groups: Sequence[Tensor]) -> Estimate:
    """Estimate a function of samples, with its error by leaving out one group at a time.

    Arguments:
        function: of the numbers of the samples that are used, rising.
        groups: the numbers of the samples in each, two groups or more: a partition of 0, …, n − 1.

    References:
        Efron, The jackknife, the bootstrap and other resampling plans, SIAM (1982).
    """
    every = torch.cat(list(groups)).sort().values
    without = [function(every[~torch.isin(every, group)]) for group in groups]
    error = jackknife_error(torch.tensor(without, dtype=torch.float64))
    return Estimate(function(every), error)


def random_groups(n: int, groups: int) -> Tensor:
    """Return the number of each of n samples' group, (n,), of equal sizes up to one.

    Groups are random, and the same for equal n: every so many-th sample would be a group of one
    class, where samples take classes in turn, and leaving out a class is not leaving out a sample.
    """
    return torch.randperm(n, generator=torch.Generator().manual_seed(0)) % groups


def jackknife_error(without: Tensor) -> float:
    """Return the standard error √((G − 1) var) from the values (G,) with one group left out."""
    return float((without.var(correction=0) * (len(without) - 1)).sqrt())


def moving_average(values: Tensor, window: int) -> Tensor:
    """Return the mean (n,) of each of values (n,) and of the window − 1 before it; before the
    first one they count as equal to it.

    Raises:
        ValueError: For a window below 1.
    """
    if window < 1:
        raise ValueError(f"window = {window} must be at least 1.")
    return torch.cat((values[:1].expand(window - 1), values)).unfold(0, window, 1).mean(-1)
