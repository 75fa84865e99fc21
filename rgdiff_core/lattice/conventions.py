r"""How others write φ⁴: the names of their couplings, and the normalization of their fields.

A convention is one of the fields, given by the factor that makes them those of `Phi4`:

- lattice, S = Σ [Σ_μ (∂_μ φ)² + m² φ² + λ φ⁴]: 1;
- half, S = Σ [½ Σ_μ (∂_μ φ)² + ½ m² φ² + (g/4!) φ⁴], where g/4! = λ/4: 1/√2;
- hopping, S = Σ [−2κ Σ_μ φ_x φ_{x+μ} + (1 − 2λ) φ² + λ φ⁴]: √κ.
"""

import math
import unicodedata
from collections.abc import Callable, Mapping

from torch import Tensor

from rgdiff_core.lattice.action import Phi4
from rgdiff_core.lattice.gamma import estimate
from rgdiff_core.lattice.observables import dyson_terms
from rgdiff_core.statistics import Estimate

__all__ = ["CONVENTIONS", "Numbers", "cure", "field_factor", "theory"]

CONVENTIONS: Mapping[str, Callable[[Phi4], float]] = {
    "lattice": lambda action: 1.0,
    "half": lambda action: action.to_half().factor,
    "hopping": lambda action: action.to_hopping().factor,
}
"""Of each convention the factor by which its fields are multiplied to be those of `Phi4`."""

_SPELLINGS = {
    "m2": "m2 msq msqr msquared mass2 masssq masssqr masssquared m02 baremass2 baremasssquared",
    "lam": "lam lamb lambd lambda lamda lmbda lmbd λ lam0 lambda0 λ0 barelambda",
    "g": "g g0",
    "kappa": "kappa κ hopping hoppingparameter",
    "beta": "beta β inversetemperature",
    "temperature": "T temperature",
    "n_chains": "nchains nchain chains numchains numberofchains",
}
_NAMES = {word: name for name, words in _SPELLINGS.items() for word in words.split()}


def field_factor(convention: str, action: Phi4) -> float:
    """Return the factor by which fields of a convention are multiplied to be those of `Phi4`.

    Raises:
        ValueError: For an unknown convention, or where hopping has no κ for the action.
    """
    if convention not in CONVENTIONS:
        known = ", ".join(CONVENTIONS)
        raise ValueError(f"convention = {convention[:40]!r} is none of {known}.")
    return CONVENTIONS[convention](action)


class Numbers:
    """What a file's numbers say of its configurations, under the names of any program.

    Arguments:
        numbers: By name, mass2 and lambda for instance; None for what is not one number.
    """

    def __init__(self, numbers: Mapping[str, float | None]) -> None:
        self._found: dict[str, dict[str, float | None]] = {}
        for spelling, value in numbers.items():
            if (name := _name(spelling)) is not None:
                self._found.setdefault(name, {})[spelling] = value

    def get(self, name: str) -> float | None:
        """Return a number by our name, a key of `_SPELLINGS`; None where it is missing.

        Raises:
            ValueError: When two spellings disagree, or it is not one number.
        """
        given = self._found.get(name, {})
        for spelling, value in given.items():
            if value is None:
                raise ValueError(f"{spelling} in it is not a single number")
        if len({repr(value) for value in given.values()}) > 1:
            several = " and ".join(f"{spelling} = {value}" for spelling, value in given.items())
            raise ValueError(f"it gives {several}")
        return next(iter(given.values()), None)

    @property
    def convention(self) -> str:
        """That of the fields: hopping with a κ, half with a g and no λ, else lattice."""
        if "kappa" in self._found:
            return "hopping"
        return "half" if "g" in self._found and "lam" not in self._found else "lattice"

    def action(self) -> Phi4 | None:
        """Return the theory, None where a coupling is missing.

        Raises:
            ValueError: As `get`, and when both m² and κ are given, or there is no such theory.
        """
        m2, lam, g, kappa = (self.get(name) for name in ("m2", "lam", "g", "kappa"))
        return theory(m2=m2, lam=lam, g=g, kappa=kappa)


def theory(
    *,
    m2: float | None = None,
    lam: float | None = None,
    g: float | None = None,
    kappa: float | None = None,
) -> Phi4 | None:
    """Return the theory of m² and λ, m² and g, or κ and λ; None where one of them is missing.

    Raises:
        ValueError: When both m² and κ are given, or there is no such theory.
    """
    if m2 is not None and kappa is not None:
        raise ValueError(f"m2 = {m2:g} and kappa = {kappa:g} are both given; one is needed")
    if kappa is not None and lam is not None:
        return Phi4.from_hopping(kappa, lam)
    if m2 is not None and lam is not None:
        return Phi4(m2, lam)
    if m2 is not None and g is not None:
        return Phi4.from_half(m2, g)
    return None


def _name(spelling: str) -> str | None:
    """Return what a number is called here: m_sq, m² and mass^2 are m2; None for all others."""
    plain = "".join(c for c in unicodedata.normalize("NFKC", spelling) if c.isalnum())
    # Capitals alone may mean something else: M2 is often a magnetization squared.
    return _NAMES.get(plain.lower() if len(plain) > 2 else plain)


def cure(action: Phi4, configurations: Tensor, n_chains: int, most: float) -> str:
    """Say which usual change would make configurations belong to their theory, where they do not.

    Arguments:
        action: The theory that they are said to belong to.
        configurations: As of `observables`.
        n_chains: As of `observables`.
        most: Standard errors up to which the Schwinger–Dyson identity counts as fulfilled.

    Returns:
        The end of a sentence about the identity; it names the change that fulfils it best.
    """
    changes = _changes(action)
    values: list[Estimate] = estimate(
        dyson_terms(action, configurations),
        n_chains,
        lambda mean: [a**2 * mean[0] + a**4 * b * mean[1] for a, b in changes],
    )
    healed = {
        change: (abs(value.value - 1) / value.error, value)
        for change, value in zip(changes, values, strict=True)
        if value.error > 0 and abs(value.value - 1) <= most * value.error
    }
    if not healed:
        return "no usual normalization of fields and couplings makes it 1"
    best = min(healed, key=lambda change: healed[change][0])
    return f"{changes[best]} it is {healed[best][1]}"


def _changes(action: Phi4) -> dict[tuple[float, float], str]:
    """Return, by the factors of fields and of λ, what a usual mistake is healed by, in words."""
    half = math.sqrt(0.5)
    found = {
        (half, 1.0): f"with the fields times 1/√2 = {half:.5g} (convention half)",
        (1 / half, 1.0): f"with the fields times √2 = {1 / half:.5g}",
    }
    try:
        root = action.to_hopping().factor
    except ValueError:
        root = 1.0
    found |= {
        (root, 1.0): f"with the fields times √κ = {root:.5g} (convention hopping)",
        (1 / root, 1.0): f"with the fields times 1/√κ = {1 / root:.5g}",
    }
    for factor, word in ((1 / 6, "/6"), (4.0, "·4")):
        lam = f"λ{word} = {action.lam * factor:.5g}"
        found |= {
            (1.0, factor): f"with {lam}",
            (half, factor): f"with {lam} and the fields times 1/√2 = {half:.5g} (convention half)",
        }
    return found
