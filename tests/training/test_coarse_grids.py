"""Training on several grids: it learns, its file says so, and it resumes exactly."""

import os
import signal
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import load_file

import rgdiff_core as rg
from rgdiff_core.denoisers.files import load_model
from rgdiff_core.process import Process
from rgdiff_core.training import TrainConfig, train
from rgdiff_core.training.noise_levels import FixedProcess


def test_a_run_on_two_grids_learns_and_resumes_exactly(tmp_path: Path, toy: TrainConfig):
    source = FixedProcess(
        rg.colors.Matched(), rg.schedules.Cutoff(rg.schedules.SigmoidKernel(0.05))
    )
    toy = replace(toy, noise=source, model=replace(toy.model, coarse_grids=1), batch=64)

    def pause(row: Mapping, status: object) -> None:
        del status
        if row["step"] == 20:
            os.kill(os.getpid(), signal.SIGTERM)

    assert train(toy, tmp_path / "whole", device="cpu").state == "finished"
    assert train(toy, tmp_path / "broken", device="cpu", on_point=pause).state == "paused"
    assert train(toy, tmp_path / "broken", resume=True, device="cpu").state == "finished"
    one, other = (
        load_file(tmp_path / run / "checkpoint" / "state-000000040.safetensors")
        for run in ("whole", "broken")
    )
    for key, value in one.items():
        assert torch.equal(value, other[key]), key

    model = load_model(tmp_path / "whole" / "checkpoint" / "model.safetensors")
    assert model.spec.coarse_grids == 1
    process = Process(model.basis, source.color, source.schedule, model.modes)
    times = torch.tensor([0.1, 0.95])
    assert model.halvings(process.vp_marginal(times)).tolist() == [0, 1]
    x = process.perturb(rg.data.load("wells", "test").images[:2], times)
    free = rg.GaussianDenoiser(model.basis, model.modes)
    learnt = model.denoise(x, times, process) - free.denoise(x, times, process)
    assert (learnt.abs().amax((1, 2, 3)) > 1e-4).all()  # on either grid
