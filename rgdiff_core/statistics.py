"""A number with its standard error."""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

__all__ = ["Estimate"]


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
