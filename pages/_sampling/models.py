"""The models to sample from: pretrained ones, runs, and the free theory of the data."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

import rgdiff_core as rg
from pages._sampling.setting import Setting
from pages._shared import cache
from pages._shared.process_choice import choice_of
from rgdiff_core.bases.spec import BasisSpec
from rgdiff_core.data import ImageSet
from rgdiff_core.denoisers import Denoiser, NetworkDenoiser
from rgdiff_core.denoisers.files import pretrained_folder
from rgdiff_core.lattice import Phi4
from rgdiff_core.spectra.power import Spectrum, power_spectrum
from rgdiff_core.training import runs
from rgdiff_core.training.models import open_model, theory_of
from rgdiff_core.training.noise_levels import FixedProcess

__all__ = [
    "Source",
    "file_of",
    "fitted",
    "fixes_basis",
    "has_model",
    "load",
    "menu",
    "of_run",
    "sound",
    "version",
]

MIN_GPU_PARAMETERS = 1_000_000  # parameters from which a GPU is worth its way
MAX_QUICK_WORK = 1 << 25  # parameters times values of a field up to which a draw is soon done


@dataclass(frozen=True, eq=False)
class Source:
    """A model to sample from.

    Attributes:
        denoiser: The model.
        data: The name of the data set that it was made for.
        basis: Its basis, as a choice.
        version: Tells apart files of the same name.
        noise: The one process that it was trained on, None where it serves many.
    """

    denoiser: Denoiser
    data: str
    basis: BasisSpec
    version: str
    noise: FixedProcess | None = None

    @property
    def action(self) -> Phi4 | None:
        """Return the lattice action whose fields it samples, None for other data."""
        return theory_of(self.denoiser, self.data)

    @property
    def has_data(self) -> bool:
        """Tell whether its data set is on this machine."""
        return cache.has(self.data) and not self.other_data

    @property
    def other_data(self) -> str:
        """Return the sentence that says that another set now has its data set's name, or ""."""
        shape, found = tuple(self.denoiser.basis.shape), cache.shape(self.data)
        if found is None or found == shape:
            return ""
        own, other = ("×".join(map(str, each)) for each in (shape, found))
        return (
            f"the model's images are {own}, those of the data set {self.data!r} are {other}: "
            "another set of this name."
        )

    @property
    def images(self) -> ImageSet:
        """Return the first images of its data set; of one along a line of couplings, those of its
        own. Raises a one-line `ValueError` where another set has its name.
        """
        if self.other_data:
            raise ValueError(self.other_data)
        couplings = self.denoiser.couplings
        return (
            cache.images(self.data) if couplings is None else cache.fields(self.data, *couplings)
        )

    def example(self, label: int) -> int:
        """Return the number of the first of its images of a class; 0 for any class (−1), and where
        there are none.
        """
        labels = self.images.labels if label >= 0 and self.has_data else None
        found = [] if labels is None else (labels == label).nonzero().flatten().tolist()
        return found[0] if found else 0

    def of_class(self, label: int) -> Tensor:
        """Return its images (N, C, H, W) of a class; all for any class (−1), and where classes are
        not known.
        """
        images, labels = self.images.images, self.images.labels
        return images if label < 0 or labels is None else images[labels == label]

    def spectrum(self, label: int = -1) -> Spectrum:
        """Return the radial power spectrum of its images of a class, −1 for any."""
        if self.denoiser.couplings is None and label < 0:
            return cache.spectrum(self.data, "continuum", cache.FIT_LIMIT)
        return power_spectrum(self.of_class(label))

    @property
    def precision(self) -> str:
        """Return what the network computes in, "" where there is none."""
        if not isinstance(self.denoiser, NetworkDenoiser):
            return ""
        name = "float32" if self.denoiser.autocast is None else "bfloat16"
        return f"{name} on the {self.denoiser.modes_mean.device.type.upper()}"

    @property
    def quick(self) -> bool:
        """Return whether a visitor can wait for some hundred samples: no large network."""
        parameters = sum(p.numel() for p in self.denoiser.parameters())
        return math.prod(self.denoiser.basis.shape) * parameters <= MAX_QUICK_WORK


def menu() -> Mapping[str, str]:
    """Return what can be sampled from on this machine: names, and titles for people."""
    trained = {f"pretrained/{model.name}": model.title for model in rg.list_pretrained()}
    trained |= {f"run/{run.id}": f"{run.title} · run, {run.state}" for run in _runs()}
    free = {
        f"free/{info.name}": f"{info.title} · free theory"
        for info in rg.data.available()
        if info.cached
    }
    return trained | free


def file_of(model: str) -> Path:
    """Return the file of a pretrained model or of a run's last checkpoint.

    Raises `ValueError` for a run that has none.
    """
    kind, _, name = model.partition("/")
    if kind == "run":
        return runs.model_path(name)
    return pretrained_folder() / name / "model.safetensors"


def _runs() -> list[runs.Run]:
    try:
        return [run for run in runs.list_runs() if run.config is not None and has_model(run.id)]
    except (ValueError, OSError):
        return []


def has_model(run_id: str) -> bool:
    """Tell whether a run has a model's file already."""
    try:
        return runs.model_path(run_id).is_file()
    except ValueError:
        return False


def fixes_basis(model: str) -> bool:
    """Tell whether a model fixes its own basis."""
    return not model.startswith("free/")


def version(model: str) -> str:
    """Return what tells apart files of the same name; raises `ValueError` for an unknown model."""
    kind, _, name = model.partition("/")
    if kind == "pretrained":
        for each in rg.list_pretrained():
            if each.name == name:
                return each.sha256
    elif kind == "run":
        runs.get(name)
        return str(runs.model_path(name).stat().st_mtime_ns)
    elif kind == "free" and cache.has(name):
        return ""
    raise ValueError(f"the model {model[:80]!r} is not on this machine.")


def load(setting: Setting) -> Source:
    """Return the model of a setting; raises a one-line `ValueError` where it can't be
    had.
    """
    model = setting.model
    basis = BasisSpec() if fixes_basis(model) else setting.side.basis
    version_now = version(model)
    if setting.couplings is None:
        return _load(model, version_now, basis.to_json())
    return _at(model, version_now, basis.to_json(), *setting.couplings)


@lru_cache(maxsize=32)
def _at(model: str, version: str, basis: str, m2: float, lam: float) -> Source:
    found = _load(model, version, basis)
    return replace(found, denoiser=found.denoiser.at(m2, lam))


@lru_cache(maxsize=6)
def _load(model: str, version: str, basis: str) -> Source:
    kind, _, name = model.partition("/")
    if kind == "free":
        denoiser: Denoiser = rg.GaussianDenoiser(
            cache.basis(name, basis), cache.modes(name, basis)
        )
        return Source(denoiser, name, BasisSpec.from_json(basis), version)
    opened = open_model(name)
    basis_choice = BasisSpec.of(opened.denoiser.basis)
    noise = opened.trained_on
    return Source(_placed(opened.denoiser), opened.data, basis_choice, version, noise)


def _placed(network: NetworkDenoiser) -> NetworkDenoiser:
    """Move a large network to the GPU, where there is one."""
    large = sum(p.numel() for p in network.parameters()) > MIN_GPU_PARAMETERS
    if large and torch.cuda.is_available():
        network.to("cuda")
    return network.set_precision("auto")


def fitted(setting: Setting) -> Setting:
    """Return a setting with the model's own basis, where it has one."""
    side = replace(setting.side, basis=load(setting).basis)
    return replace(setting, side=side)


def sound(setting: Setting) -> Setting:
    """Return a setting in its model's basis, with a sampler that can take its schedule."""
    setting = fitted(setting)
    jumps = setting.sampler.ode and not setting.side.schedule.continuous
    return replace(setting, method="shell") if jumps else setting


def of_run(run_id: str) -> Setting:
    """Return the setting that suits a run's model: the process that it was trained on, where
    there is only one.
    """
    noise = open_model(run_id).noise
    return sound(Setting(f"run/{run_id}", choice_of(BasisSpec(), noise.color, noise.schedule)))
