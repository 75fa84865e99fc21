"""A number with its standard error."""

import math
from dataclasses import dataclass

from torch import Tensor

__all__ = ["Estimate"]


@dataclass(frozen=True)
class Estimate:
    """A measured value and its standard error (one sigma)."""

    value: float
    error: float

    @classmethod
    def of(cls, values: Tensor) -> "Estimate":
        """Return the mean of independent values (n,), n ≥ 2, with its standard error."""
        return cls(float(values.mean()), float(values.std() / len(values) ** 0.5))

    def deviation(self, other: "Estimate") -> float:
        """Return (self − other)/error of the difference, as for independent measurements; 0 where
        neither has an error.
        """
        error = math.hypot(self.error, other.error)
        return (self.value - other.value) / error if error > 0 else 0.0

    def __str__(self) -> str:
        return f"{self.value:.6g} ± {self.error:.2g}"
