"""One model on lattices of many sizes, beside hybrid Monte Carlo, at the critical coupling.

For every size the reference is a run of its own, with clusters. A model draws fields with two
spectra, that of the run and, up to 96×96, that of finite-size scaling from three of 6×6, 8×8,
12×12 and 16×16; where its density
is affordable, its effective sample size is measured too. Fields are grown in two ways: an octave,
from the long waves of the run at the same size; and from 8×8 on, from the long waves of 16×16,
octave by octave. A model in Haar wavelets is given averages of blocks instead of long waves, and
is grown alone. Away from the critical line it is measured at the sizes and couplings at which
flows are compared since 1904.12072.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from rgdiff_core.bases import FourierBasis
from rgdiff_core.bases.modes import MeasuredModes, Modes
from rgdiff_core.denoisers import Denoiser, NetworkDenoiser
from rgdiff_core.evaluation import quality
from rgdiff_core.files.atomic import write_tensors
from rgdiff_core.lattice import HMC, Phi4, hmc, observables
from rgdiff_core.lattice.exponents import log_slope
from rgdiff_core.lattice.sizes import extrapolated
from rgdiff_core.likelihood import FoldedError
from rgdiff_core.sampling import sample
from rgdiff_core.sampling.growth import (
    by_blocks,
    coarse_fields,
    grow,
    rescaled,
    standard_process,
)
from rgdiff_core.seeds import fold_in
from rgdiff_core.spec import check_whole, to_dict
from rgdiff_core.statistics import Estimate
from rgdiff_core.study.cells import Cells
from rgdiff_core.study.lattice.sizes_measures import differences, measured, plain
from rgdiff_core.training.models import open_model

__all__ = [
    "ACTION",
    "FIRST",
    "MODELS",
    "PUBLISHED",
    "SIZES",
    "Numbers",
    "SizeStudy",
    "cell_of",
    "evenly",
    "generator_of",
    "model_of",
    "published_action",
    "reference_cell",
    "title_of",
]

ACTION = Phi4(-4.0, 4.2606)
SIZES = (8, 16, 32, 64, 128)
SMALL = (6, 8, 12)  # whose spectra are extrapolated
LARGER = (8, 12, 16)  # and of lattices too large for those
PUBLISHED = {6: 6.975, 8: 6.008, 10: 5.55, 12: 5.276, 14: 5.113}  # λ by L, Albergo et al.
MODELS = ("phi4-8x8-critical", "phi4-blocks")
FIRST = 16  # that fields of 8×8 are grown to
DENSE = 16  # the largest size whose density is affordable
LEAST = 32  # fields at any size


@dataclass(frozen=True)
class Numbers:
    """How much is computed.

    Attributes:
        reference: fields of hybrid Monte Carlo at 16×16.
        samples: fields of a model, likewise; both fall with the number of sites.
        weighed: fields whose density is computed, at 8×8; a quarter of them at 16×16.
        steps: of the sampler.
    """

    reference: int = 4000
    samples: int = 2000
    weighed: int = 128
    steps: int = 16

    def __post_init__(self) -> None:
        check_whole("reference", self.reference, 128, 10**6)
        check_whole("samples", self.samples, LEAST, 100_000)
        check_whole("weighed", self.weighed, 0, 100_000)
        check_whole("steps", self.steps, 2, 1000)

    def at(self, size: int, count: int) -> int:
        """Return how many fields of this size cost as much as so many at 16×16, at most four
        times as many.
        """
        return max(LEAST, min(4 * count, count * 256 // size**2))


@dataclass(frozen=True)
class SizeStudy:
    """The study's cells.

    Attributes:
        cells: where they are kept.
        numbers: how much is computed.
    """

    cells: Cells
    numbers: Numbers

    def compute(
        self, sizes: tuple[int, ...], models: tuple[str, ...], away: tuple[str, ...] = ()
    ) -> None:
        """Compute what is missing; raises `OutOfTimeError` where that has to wait.

        Arguments:
            away: models that are measured away from the critical line.
        """
        for size in (*SMALL, *sizes):
            self.reference(size)
        whole = [name for name in models if not by_blocks(model_of(name))]
        for size in sizes:
            for name in whole:
                for spectrum in _spectra(size):
                    self.drawn(name, size, spectrum)
            for name in models if size > min(sizes) else ():
                self.grown(name, size)
        for size in (each for each in sizes if each <= DENSE and self.numbers.weighed):
            for name in whole:
                self.weighed(name, size)
        for size in PUBLISHED if self.numbers.weighed else ():
            for name in away:
                self.published(name, size)
        for name in models:
            for size in _ladder(sizes):
                self.chain(name, size)

    def cell(self, name: str) -> dict[str, Any] | None:
        """Return a cell that is there, whatever it was computed from."""
        return self.cells.kept(name)

    def reference(self, size: int, action: Phi4 = ACTION) -> dict[str, Any]:
        """Return the cell of hybrid Monte Carlo; its fields and spectrum lie beside it."""
        n = self.numbers.at(size, self.numbers.reference)
        chains = max(8, min(64, n // 16))
        n -= n % chains
        settings = HMC(cluster=1)
        inputs = _inputs(size=size, n=n, chains=chains, hmc=to_dict(settings))
        inputs["action"] = asdict(action)
        name = reference_cell(size, action)

        def compute() -> dict[str, Any]:
            run = hmc(action, size, n, chains, generator_of(size, 0), settings=settings)
            basis = FourierBasis((1, size, size), "lattice")
            found = MeasuredModes.fit(basis, run.configurations, chains)
            tensors = {"fields": run.configurations[:: max(1, n // 2000)]}
            tensors |= {"error": found.error, "variance": found.modes.variance_for("a spectrum")}
            write_tensors(self.cells.path(name, ".safetensors"), tensors, {})
            tau = run.tau_int.value
            return {"observables": plain(observables(run)), "n": n, "tau_int": tau}

        return self.cells.read_or_compute(name, inputs, compute)

    def modes(self, size: int, spectrum: str = "run") -> MeasuredModes:
        """Return the modes at a size: of the run there, or by scaling from smaller ones."""
        if spectrum == "scaling":
            near = size <= SMALL[-2] * SMALL[-1] // 2  # further on waves are missing
            return extrapolated([self.modes(each) for each in (SMALL if near else LARGER)], size)
        return self._measured_modes(size)

    def _measured_modes(self, size: int, action: Phi4 = ACTION) -> MeasuredModes:
        self.reference(size, action)
        kept = load_file(self.cells.path(reference_cell(size, action), ".safetensors"))
        basis = FourierBasis((1, size, size), "lattice")
        mean = torch.zeros_like(kept["variance"])
        modes = Modes(basis.scale, mean, kept["variance"], basis.momentum)
        return MeasuredModes(modes, kept["error"])

    def fields(self, size: int) -> Tensor:
        """Return fields of the run at a size."""
        self.reference(size)
        return load_file(self.cells.path(f"hmc-{size}", ".safetensors"))["fields"]

    def slope(self, size: int) -> Estimate | None:
        """Return d log⟨|M|⟩/dλ of the run at a size, of its fields that are kept, which are so far
        apart that they count as independent; None where there are none.
        """
        path = self.cells.path(reference_cell(size, ACTION), ".safetensors")
        if not path.is_file():
            return None
        fields = load_file(path)["fields"]
        return log_slope(fields, len(fields))

    def drawn(self, name: str, size: int, spectrum: str) -> dict[str, Any]:
        """Return the cell of a model's samples at a size with a spectrum, which lie beside it."""
        n, steps = self.numbers.at(size, self.numbers.samples), self.numbers.steps
        cell, inputs = cell_of(name, size, spectrum), self._of(name, size, n, spectrum=spectrum)

        def compute() -> dict[str, Any]:
            model = _on(name, size, self.modes(size, spectrum).modes)
            generator = generator_of(size, 1)
            x = sample(model, standard_process(model), n, steps, "interaction", generator)
            write_tensors(self.cells.path(cell, ".safetensors"), {"fields": x}, {})
            return measured(x)

        return self.cells.read_or_compute(cell, inputs, compute)

    def weighed(self, name: str, size: int) -> dict[str, Any]:
        """Return the cell of a model's weights at a size, with the run's spectrum."""
        n = max(4, self.numbers.weighed * 64 // size**2)
        steps = self.numbers.steps
        inputs = self._of(name, size, n)

        def compute() -> dict[str, Any]:
            model = _on(name, size, self.modes(size).modes)
            process, generator = standard_process(model), generator_of(size, 2)
            found = quality(model, process, ACTION, n, steps, generator, method="interaction")
            return asdict(found)

        return self.cells.read_or_compute(cell_of(name, size, "weighed"), inputs, compute)

    def published(self, name: str, size: int) -> dict[str, Any]:
        """Return the cell of a model's samples and weights at a coupling of the literature, with
        the spectrum of a run there.
        """
        action = published_action(size)
        n, weighed = self.numbers.samples, max(4, self.numbers.weighed * 64 // size**2)
        steps, made = self.numbers.steps, self.reference(size, action)["finished"]
        inputs = _inputs(
            size=size, n=n, weighed=weighed, steps=steps, model=_digest(name), run=made
        )
        inputs["action"] = asdict(action)

        def compute() -> dict[str, Any]:
            model = _on(name, size, self._measured_modes(size, action).modes)
            process, generator = standard_process(model), generator_of(size, 4)
            x = sample(model, process, n, steps, "interaction", generator)
            try:
                found = quality(
                    model, process, action, weighed, steps, generator, method="interaction"
                )
                ess = asdict(found)["ess"]
            except FoldedError:  # of a model that never saw such couplings
                ess = None
            return measured(x) | {"ess": ess, "weighed": weighed}

        return self.cells.read_or_compute(cell_of(name, size, "published"), inputs, compute)

    def grown(self, name: str, size: int) -> dict[str, Any]:
        """Return the cell of fields that were grown by an octave from a run's coarse parts."""
        cell, blocks = cell_of(name, size, "grown"), by_blocks(model_of(name))

        def start() -> Tensor:
            return coarse_fields(self.fields(size), blocks=blocks)

        return self._grown(cell, name, size, start, paired=True)

    def chain(self, name: str, size: int) -> dict[str, Any]:
        """Return the cell of fields that were grown from 8×8, which are kept beside it; at 16×16
        that of `grown`.
        """
        if size == FIRST:
            return self.grown(name, size)
        before = self.chain(name, size // 2)
        path = self.cells.path(before["name"], ".safetensors")

        def start() -> Tensor:
            own, larger = self.modes(size // 2).modes, self.modes(size).modes
            blocks = by_blocks(model_of(name))
            return rescaled(load_file(path)["fields"], own, larger, blocks=blocks)

        cell = cell_of(name, size, "chain")
        return self._grown(cell, name, size, start, {"from": before["finished"]})

    def _grown(
        self,
        cell: str,
        name: str,
        size: int,
        start: Callable[[], Tensor],
        before: Mapping[str, Any] | None = None,
        paired: bool = False,
    ) -> dict[str, Any]:
        """Return the cell of fields that are grown from those of `start`.

        Arguments:
            before: what the beginning was computed from.
            paired: whether the beginning is of the run at this size, so that grown fields are
                compared with its own in pairs.
        """
        n, steps = self.numbers.at(size, self.numbers.samples), self.numbers.steps
        inputs = self._of(name, size, n, coarse="evenly of all chains", **(before or {}))

        def compute() -> dict[str, Any]:
            given, modes = start(), self.modes(size).modes
            chosen = evenly(len(given), n)
            generator = generator_of(size, 3)
            x = grow(model_of(name), given[chosen], 1, generator, modes=(modes,), steps=steps)
            write_tensors(self.cells.path(cell, ".safetensors"), {"fields": x}, {})
            pairs = differences(x, self.fields(size)[chosen]) if paired else {}
            return measured(x) | {"paired": pairs}

        return self.cells.read_or_compute(cell, inputs, compute)

    def _of(self, name: str, size: int, n: int, **given: Any) -> dict[str, Any]:
        """Return what a cell of a model is computed from, the run at its size among it."""
        made, steps = self.reference(size)["finished"], self.numbers.steps
        about: dict[str, Any] = {"model": _digest(name), "run": made, "slope": True}
        return _inputs(size=size, n=n, steps=steps, **about, **given)


def published_action(size: int) -> Phi4:
    """Return the theory at which flows of a size are compared in the literature."""
    return Phi4(ACTION.m2, PUBLISHED[size])


def reference_cell(size: int, action: Phi4) -> str:
    """Return the name of a run's cell."""
    return f"hmc-{size}" if action == ACTION else f"hmc-{size}-{action.lam:g}"


def cell_of(name: str, size: int, kind: str) -> str:
    """Return the name of a model's cell; the model's may be a path."""
    return f"{title_of(name)}-{_digest(name)}-{size}-{kind}"


def title_of(name: str) -> str:
    """Return what a model is called in tables: the name of its file without its ending, or where
    that is of every run, the name of the run.
    """
    path = Path(name.removesuffix("/model.safetensors").removesuffix("/checkpoint"))
    return path.name.removesuffix(".safetensors")


def evenly(total: int, n: int) -> Tensor:
    """Return n of the indices 0 … total − 1 in order, evenly spread, or all where there are
    fewer: fields of all chains, of which neighbours are of one.
    """
    return torch.linspace(0, total - 1, min(n, total), dtype=torch.float64).round().long()


def _inputs(**given: Any) -> dict[str, Any]:
    """Return what a cell is computed from, with the theory."""
    return {"action": asdict(ACTION)} | given


def _spectra(size: int) -> tuple[str, ...]:
    """Return the spectra that fields of a size are drawn with: by scaling only where the smaller
    lattices are smaller and have all of its long waves.
    """
    reached = max(SMALL) < size <= LARGER[-2] * LARGER[-1] // 2
    return ("run", "scaling") if reached else ("run",)


def _ladder(sizes: tuple[int, ...]) -> tuple[int, ...]:
    """Return the sizes that fields are grown to from 8×8, as far as there is no gap."""
    found = []
    size = FIRST
    while size in sizes:
        found.append(size)
        size *= 2
    return tuple(found)


def generator_of(size: int, part: int) -> torch.Generator:
    """Return the source of randomness of a part of the study at a size."""
    return torch.Generator().manual_seed(fold_in(4_2606, size, part))


@cache
def model_of(name: str) -> NetworkDenoiser:
    """Return a model by what the study is given, once read."""
    return open_model(name).denoiser


def _on(name: str, size: int, modes: Modes) -> Denoiser:
    return model_of(name).on((1, size, size), modes)


@cache
def _digest(name: str) -> str:
    """Return a digest of a model's weights."""
    digest, model = hashlib.sha256(), model_of(name)
    told = [*model.network.state_dict().values()]
    if by_blocks(model):  # which keeps them on every lattice
        told += [model.modes_variance, model.unit_variance]
    for weight in told:
        digest.update(weight.contiguous().cpu().numpy().tobytes())
    return digest.hexdigest()[:16]
