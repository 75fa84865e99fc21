"""A model by its name or file, with its data and a process that suits it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rgdiff_core import data
from rgdiff_core.colors import Matched, White
from rgdiff_core.data import ImageSet
from rgdiff_core.denoisers import Denoiser, NetworkDenoiser
from rgdiff_core.denoisers.files import (
    list_pretrained,
    load_model,
    load_pretrained,
    pretrained_folder,
    read_metadata,
)
from rgdiff_core.lattice import Phi4
from rgdiff_core.schedules import Cutoff, LinearGamma, SigmoidKernel
from rgdiff_core.training import TrainConfig, runs
from rgdiff_core.training.config import parse_config
from rgdiff_core.training.noise_levels import FixedProcess
from rgdiff_core.training.warm_start import images_of

__all__ = ["LoadedModel", "config_of", "fields_of", "open_model", "theory_of", "tried_processes"]

DEFAULT = FixedProcess(Matched(), Cutoff(SigmoidKernel(0.3), gamma_max=6.0))


def tried_processes(low: float, high: float) -> dict[str, FixedProcess]:
    """Return what a universal model is tried with, by title: white and matched noise, each with a
    scalar and a component-wise schedule.

    Arguments:
        low: γ at t = 0.
        high: γ at t = 1.
    """
    cutoff = Cutoff(SigmoidKernel(0.3), gamma_min=low, gamma_max=high)
    return {
        f"{name} noise, {title}": FixedProcess(color, schedule)
        for name, color in (("white", White()), ("matched", Matched()))
        for title, schedule in (
            ("linear log-SNR", LinearGamma(low, high)),
            ("sigmoid cutoff of width 0.3", cutoff),
        )
    }


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A model that was asked for by name.

    Attributes:
        name: What it was asked for by.
        denoiser: The model.
        data: The name of its data set, "" where its file does not say.
        noise: The process that it was trained on, or one that suits a universal model.
        trained_on: The one process that it was trained on, None for a universal model.
        images_seen: How many images it was trained on in all, None where its file does not say;
            runs whose batch it does not say are taken to have had the last one's.
    """

    name: str
    denoiser: NetworkDenoiser
    data: str
    noise: FixedProcess
    trained_on: FixedProcess | None = None
    images_seen: int | None = None

    def images(self, split: str, chosen: str | None = None) -> ImageSet:
        """Return its data set, or another; raises `ValueError` where none is known. Of data along
        a line of couplings, those at the model's own.
        """
        name = chosen or self.data
        if not name:
            raise ValueError(f"{self.name} does not say what its data are: use --data NAME.")
        found = fields_of(self.denoiser, name, split)
        shape = tuple(found.images.shape[1:])
        if shape != self.denoiser.basis.shape:
            raise ValueError(
                f"the images of {name} have shape {shape}, those of {self.name} "
                f"{self.denoiser.basis.shape}."
            )
        return found


def theory_of(model: Denoiser, name: str) -> Phi4 | None:
    """Return the action of the lattice fields that a model of a data set samples, None for other
    data.
    """
    if model.couplings is None or data.line_of(name) is None:
        return data.action_of(name)
    return Phi4(*model.couplings)


def fields_of(model: Denoiser, name: str, split: str = "train") -> ImageSet:
    """Return a data set; of one along a line of couplings, what is at those of the model."""
    if model.couplings is None or data.line_of(name) is None:
        return data.load(name, split)
    return data.load_at(name, split, *model.couplings)


def open_model(name: str) -> LoadedModel:
    """Return the model of a pretrained name, a run's id, or a path that ends in .safetensors.

    Raises a one-line `ValueError` where there is none.
    """
    if name.endswith(".safetensors"):
        path = Path(name)
        metadata = read_metadata(path)
        return _opened(name, load_model(path), metadata.get("data", ""), metadata)
    for each in list_pretrained():
        if each.name == name:
            model = load_pretrained(name)
            metadata = read_metadata(pretrained_folder() / name / "model.safetensors")
            return _opened(name, model, each.data, metadata)
    config = next((run.config for run in runs.list_runs() if run.id == name), None)
    if config is None:
        known = ", ".join(each.name for each in list_pretrained())
        raise ValueError(
            f"{name!r} is no pretrained model ({known or 'none on this machine'}), no run with a "
            f"config, and no .safetensors file."
        )
    path = runs.model_path(name)
    return _opened(name, load_model(path), config.data, read_metadata(path), config)


def _opened(
    name: str,
    denoiser: NetworkDenoiser,
    data: str,
    metadata: Mapping[str, str],
    config: TrainConfig | None = None,
) -> LoadedModel:
    config = config_of(metadata) or config
    trained_on = config.noise if config and isinstance(config.noise, FixedProcess) else None
    images = _images_seen(metadata, config)
    return LoadedModel(name, denoiser, data, trained_on or DEFAULT, trained_on, images)


def _images_seen(metadata: Mapping[str, str], config: TrainConfig | None) -> int | None:
    """Return the images of all runs, None where the file does not say or is damaged."""
    try:
        return images_of(metadata, config.batch) or None if config else None
    except ValueError:
        return None


def config_of(metadata: Mapping[str, str]) -> TrainConfig | None:
    """Return the config that a model's file keeps, None where it keeps none that is known."""
    try:
        return parse_config(metadata["config"], "the config of the model")
    except (KeyError, ValueError):
        return None
