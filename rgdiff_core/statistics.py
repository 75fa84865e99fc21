"""A number with its standard error."""

import math
from dataclasses import dataclass, replace

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
    def of(cls, values: Tensor) -> "Estimate":
        """Return the mean of independent values (n,), n ≥ 2, with its standard error."""
        return cls(float(values.mean()), float(values.std() / len(values) ** 0.5))

    def scaled(self, factor: float) -> "Estimate":
        """Return the estimate of factor · value; autocorrelation and warning stay."""
        return replace(self, value=factor * self.value, error=abs(factor) * self.error)

    def deviation(self, other: "Estimate") -> float:
        """Return (self − other)/error of the difference, as for independent measurements; 0 where
        neither has an error, nan where a value or an error is.
        """
        error = math.hypot(self.error, other.error)
        return (self.value - other.value) / error if error != 0 else 0.0

    def __str__(self) -> str:
        return f"{self.value:.6g} ± {self.error:.2g}"
