"""Sets of lattice fields other than φ⁴: the Ising model, and Gaussian random fields.

A spec says what a set holds and names it: the same numbers make the same fields.
"""

import hashlib
from abc import abstractmethod
from dataclasses import dataclass

import numpy as np
import torch

from rgdiff_core.data.records import DataUnavailable, Progress, Record, quiet
from rgdiff_core.lattice.gamma import chain_lengths
from rgdiff_core.lattice.ising import CRITICAL_BETA, Ising, field_of
from rgdiff_core.lattice.random_fields import GaussianField
from rgdiff_core.spec import Spec, check_whole

__all__ = [
    "PREFIX",
    "FieldSet",
    "GaussianSet",
    "ImportedIsingSet",
    "IsingSet",
    "check_sites",
]

PREFIX = "fields-"
"""What the names of these sets begin with, followed by their id."""

MAX_FIELDS = 10**6
MAX_SITES = 2**26  # of both splits
BLOCK = 256  # Gaussian fields that are drawn at once
SPLITS = ("train", "test")


class FieldSet(Spec):
    """A set of fields on a periodic square lattice, whose law has all its symmetries: those of
    the square, translations, and φ → −φ.
    """

    @property
    @abstractmethod
    def size(self) -> int:
        """L."""

    @property
    @abstractmethod
    def count(self) -> int:
        """Fields of both splits together."""

    @property
    @abstractmethod
    def title(self) -> str:
        """A short display name."""

    @property
    @abstractmethod
    def description(self) -> str:
        """One or two sentences."""

    @abstractmethod
    def build(self, progress: Progress = quiet) -> dict[str, Record]:
        """Generate both splits, the same every time on one machine.

        Raises:
            DataUnavailable: For a set that was made elsewhere.
        """

    @property
    def shape(self) -> tuple[int, int, int]:
        """(1, L, L)."""
        return 1, self.size, self.size

    @property
    def bytes(self) -> int:
        """Size of the fields."""
        return 4 * self.count * self.size**2

    @property
    def name(self) -> str:
        """What the set is called: 12 hexadecimal digits of the SHA-256 of the JSON."""
        # Read back, so that 2 and 2.0, which are equal, are written alike.
        text = Spec.from_json(self.to_json()).to_json()
        return PREFIX + hashlib.sha256(text.encode()).hexdigest()[:12]


@dataclass(frozen=True)
class IsingSet(FieldSet):
    """Spins of the Ising model with uniform noise, by cluster updates.

    Arguments:
        model: β and L.
        n_train: Fields of the training split, 2 to 1,000,000, all together at most 2²⁶ sites.
        n_test: Fields of the test split, likewise, of chains of their own.
        n_chains: Independent chains of each split, at most as many as it has fields.
        thinning: As of `Ising.sample`.
        seed: Of all random numbers, 0 to 2³¹ − 1.
    """

    model: Ising = Ising()
    n_train: int = 8000
    n_test: int = 2000
    n_chains: int = 400
    thinning: int = 5
    seed: int = 0

    def __post_init__(self) -> None:
        _check_counts(self.n_train, self.n_test, self.model.size)
        check_whole("n_chains", self.n_chains, 1, MAX_FIELDS)
        check_whole("thinning", self.thinning, 1, 1000)
        check_whole("seed", self.seed, 0, 2**31 - 1)

    @property
    def size(self) -> int:
        return self.model.size

    @property
    def count(self) -> int:
        return self.n_train + self.n_test

    @property
    def title(self) -> str:
        return f"Ising {self.size}×{self.size}, {_where(self.model)}"

    @property
    def description(self) -> str:
        return (
            f"{self.n_train} configurations of the Ising model at {_where(self.model)}, generated "
            "by cluster updates. Spins ±1 have uniform noise of width 1, so that the density of a "
            "field is the probability of its spins, which are its signs."
        )

    def build(self, progress: Progress = quiet) -> dict[str, Record]:
        found = {}
        for stage, (split, count) in enumerate(
            zip(SPLITS, (self.n_train, self.n_test), strict=True)
        ):
            text = f"Generating {count} Ising configurations {self.size}×{self.size} ({split})"

            def report(done: int, total: int, stage: int = stage, text: str = text) -> None:
                progress(round(1000 * (stage + done / total)), 2000, text)

            generator = torch.Generator().manual_seed(2 * self.seed + stage)
            chains = min(self.n_chains, count)
            spins = self.model.sample(
                count, chains, generator, thinning=self.thinning, progress=report
            )
            order = torch.randperm(count, generator=generator)
            numbers = np.repeat(np.arange(chains), chain_lengths(count, chains))
            source = (
                f"Ising configurations on a periodic {self.size}×{self.size} lattice at "
                f"{_where(self.model)}, with uniform noise in (−½, ½), generated on this machine "
                f"by cluster updates ({split} chains)."
            )
            field = field_of(spins[order], generator).numpy()
            found[split] = _ising_record(field, source, numbers[order.numpy()])
        return found


@dataclass(frozen=True)
class GaussianSet(FieldSet):
    """Independent Gaussian random fields.

    Arguments:
        field: The law.
        n_train: As of `IsingSet`.
        n_test: As of `IsingSet`.
        seed: As of `IsingSet`.
    """

    field: GaussianField = GaussianField()
    n_train: int = 8000
    n_test: int = 2000
    seed: int = 0

    def __post_init__(self) -> None:
        _check_counts(self.n_train, self.n_test, self.field.size)
        check_whole("seed", self.seed, 0, 2**31 - 1)

    @property
    def size(self) -> int:
        return self.field.size

    @property
    def count(self) -> int:
        return self.n_train + self.n_test

    @property
    def title(self) -> str:
        return f"Gaussian {self.size}×{self.size}, {self.field.spectrum.title}"

    @property
    def description(self) -> str:
        return (
            f"{self.n_train} independent Gaussian random fields, {self.field.spectrum.title}; "
            f"their entropy is {self.field.entropy / self.size**2:.4f} nats per site."
        )

    def build(self, progress: Progress = quiet) -> dict[str, Record]:
        parts: dict[str, list[np.ndarray]] = {split: [] for split in SPLITS}
        done = 0
        for stage, (split, count) in enumerate(
            zip(SPLITS, (self.n_train, self.n_test), strict=True)
        ):
            generator = torch.Generator().manual_seed(2 * self.seed + stage)
            for start in range(0, count, BLOCK):
                some = min(BLOCK, count - start)
                progress(done, self.count, f"Drawing {count} Gaussian random fields ({split})")
                parts[split].append(self.field.sample(some, generator).numpy())
                done += some
        progress(done, self.count, "Gaussian random fields")
        fields = {split: np.concatenate(each) for split, each in parts.items()}
        bound = float(np.quantile(np.abs(fields["train"]), 0.999))
        source = (
            f"Gaussian random fields on a periodic {self.size}×{self.size} lattice, "
            f"{self.field.spectrum.title}, drawn on this machine"
        )
        return {
            split: Record(each, None, f"{source} ({split}).", -bound, bound)
            for split, each in fields.items()
        }


@dataclass(frozen=True)
class ImportedIsingSet(FieldSet):
    """Spins of the Ising model that were made elsewhere, with uniform noise.

    Arguments:
        model: β and L, as the file or the user says.
        n_samples: Configurations, 2 to 1,000,000 of at most 2²⁶ sites together.
        n_chains: Independent chains, 1 to n_samples.
        source: Name of the file.
        digest: SHA-256 of the spins, in hexadecimal.
    """

    model: Ising
    n_samples: int
    n_chains: int
    source: str
    digest: str

    def __post_init__(self) -> None:
        check_whole("n_samples", self.n_samples, 2, MAX_FIELDS)
        check_whole("n_chains", self.n_chains, 1, self.n_samples)
        check_sites(self.n_samples, self.model.size)

    @property
    def size(self) -> int:
        return self.model.size

    @property
    def count(self) -> int:
        return self.n_samples

    @property
    def title(self) -> str:
        return f"Ising {self.size}×{self.size}, {_where(self.model)}, from {self.source}"

    @property
    def description(self) -> str:
        return (
            f"{self.n_samples} configurations of the Ising model at {_where(self.model)}, "
            f"{self.n_chains} chains, from {self.source}, with uniform noise of width 1."
        )

    def build(self, progress: Progress = quiet) -> dict[str, Record]:
        raise DataUnavailable(f"{self.title}: its file has to be imported again.")

    def records(self, spins: torch.Tensor, n_train: int) -> dict[str, Record]:
        """Return both splits of spins (n, L, L), those of one chain side by side."""
        generator = torch.Generator().manual_seed(0)
        numbers = np.repeat(np.arange(self.n_chains), chain_lengths(len(spins), self.n_chains))
        found = {}
        for split, part in (("train", slice(n_train)), ("test", slice(n_train, None))):
            chosen, chains = spins[part], numbers[part]
            order = torch.randperm(len(chosen), generator=generator)
            field = field_of(chosen[order], generator).numpy()
            found[split] = _ising_record(field, self.description, chains[order.numpy()])
        return found


def _where(model: Ising) -> str:
    if abs(model.beta - CRITICAL_BETA) < 1e-9:
        return "the critical point"
    return f"β = {model.beta:g}"


def _ising_record(field: np.ndarray, source: str, chains: np.ndarray) -> Record:
    return Record(field, None, source, -1.5, 1.5, chains)


def _check_counts(n_train: int, n_test: int, size: int) -> None:
    check_whole("n_train", n_train, 2, MAX_FIELDS)
    check_whole("n_test", n_test, 2, MAX_FIELDS)
    check_sites(n_train + n_test, size)


def check_sites(count: int, size: int) -> None:
    """Raise `ValueError` where so many fields have more sites than a set may hold."""
    if count * size**2 > MAX_SITES:
        raise ValueError(
            f"{count} fields of {size}×{size} are {count * size**2} sites; at most {MAX_SITES} "
            "are allowed."
        )
