"""The study of φ⁴ at less than its smallest budget, for its own tests and those of its readers."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from rgdiff_core.cli.main import main
from rgdiff_core.study import BUDGETS
from tests.kept import kept

__all__ = ["BUDGET", "DATA", "FIGURES", "command", "study_folder", "study_text"]

DATA = "phi4-6x6"
FIGURES = (
    "Training steps",
    "Sampling steps",
    "Ablation",
    "Map of schedules",
    "Error by scale and noise level",
)
BUDGET = replace(
    BUDGETS["tiny"],
    n_eval_fields=32,
    search_n_eval_fields=16,
    trajectories=2,
    bound=16,
    levels_per_image=1,
    flow_test=4,
    flow_samples=4,
    n_observable_samples=16,
    n_ess_samples=4,
    reference=400,
    ablation=(DATA,),
    schedule_scan=(DATA,),
)


def command(folder: Path) -> list[str]:
    """Return the words of the study's command that keeps all in a folder's `work` and `results`.

    Where it is carried out, `BUDGET` has to stand for "tiny".
    """
    words = ["study", "phi4", "--theories", DATA, "--budget", "tiny"]
    return [*words, "--work", str(folder / "work"), "--out", str(folder / "results")]


def study_folder() -> Path:
    """Return the folder of a study that is complete, to be read or copied."""
    return kept("study", _carry_out)


def study_text() -> str:
    """Return what is in the study's file of results."""
    return (study_folder() / "results" / f"study-{DATA}.json").read_text(encoding="utf-8")


def _carry_out(folder: Path) -> None:
    threads = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(BUDGETS, "tiny", BUDGET)  # type: ignore[arg-type]
        assert main(command(folder)) == 0
    torch.set_num_threads(threads)
