"""What the cards of all pretrained models begin with."""

import platform
import shlex
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rgdiff_core import data
from rgdiff_core.denoisers import NetworkDenoiser
from rgdiff_core.denoisers.files import read_metadata
from rgdiff_core.files.stored import read_json
from rgdiff_core.training import TrainConfig
from rgdiff_core.training.warm_start import steps_of

__all__ = ["CardHead"]


@dataclass(frozen=True)
class CardHead:
    """What a model is, and what it cost.

    Attributes:
        name: of the model.
        title: its display name.
        data: name of its data set.
        command: the command that makes it.
        config: its training config, JSON.
        parameters: how many the network has.
        steps: of training.
        train_s: training time in seconds.
        device: on which it was trained.
        steps_before: of the runs whose weights it started from, the latest first.
    """

    name: str
    title: str
    data: str
    command: str
    config: str
    parameters: int
    steps: int
    train_s: float
    device: str
    steps_before: tuple[int, ...]

    @property
    def all_steps(self) -> str:
        """The steps, and those of the runs before."""
        total, runs = sum(self.steps_before), len(self.steps_before)
        earlier = "an earlier run" if runs == 1 else f"{runs} earlier runs"
        return f"{self.steps:,} steps" + (f" after {total:,} of {earlier}" if runs else "")

    @staticmethod
    def fields_of(
        name: str, config: TrainConfig, model: NetworkDenoiser, work: Path, title: str = ""
    ) -> dict[str, Any]:
        """Return the fields of a card's head by name, those of a run.

        Arguments:
            work: the run's folder.
            title: default: that of the data.
        """
        status = read_json(work / "status.json")
        metadata = read_metadata(work / "checkpoint" / "model.safetensors")
        steps = steps_of({"step": str(config.steps), **metadata})
        of_data = next(item.title for item in data.available() if item.name == config.data)
        return asdict(
            CardHead(
                name=name,
                title=title or of_data,
                data=config.data,
                command=f"rgdiff pretrain {shlex.quote(name)}",
                config=config.to_json(),
                parameters=sum(p.numel() for p in model.network.parameters()),
                steps=steps[0],
                train_s=status["elapsed_s"],
                device=f"{status['device']}, {platform.machine()}",
                steps_before=tuple(steps[1:]),
            )
        )
