"""Muon against its formulas, and early snapshots as guides."""

import os
import signal
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from rgdiff_core.cli.main import main
from rgdiff_core.denoisers.files import load_model, read_metadata
from rgdiff_core.networks import UNet, fast_bfloat16
from rgdiff_core.training import TrainConfig, train
from rgdiff_core.training.muon import Float32Muon
from rgdiff_core.training.optimizers import optimizers_for


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_muon_goes_along_the_nearest_orthogonal_matrix(layout):
    """U Vᵀ of the gradient's singular vectors, as (out, in·9), scaled to AdamW's step; its five
    Newton–Schulz iterations leave singular values between 0.7 and 1.2.
    """
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(6, 12, 3), nn.Conv2d(12, 4, 1)).to(memory_format=layout)
    before = [p.detach().clone() for p in network.parameters()]
    config = TrainConfig(optimizer="muon", lr=0.01)
    adamw, muon = optimizers_for(config, list(network.parameters()))
    gradients = [torch.randn_like(p) for p in network.parameters()]
    for parameter, gradient in zip(network.parameters(), gradients, strict=True):
        parameter.grad = gradient.clone()
    muon.step()
    moved = [p.detach() - b for p, b in zip(network.parameters(), before, strict=True)]
    for change, gradient in zip(moved, gradients, strict=True):
        if change.ndim == 1:
            assert not change.any()
            continue
        rows, columns = gradient.flatten(1).shape
        u, _, v = torch.linalg.svd(gradient.flatten(1), full_matrices=False)
        direction = -u.T @ change.flatten(1) @ v.T / (0.01 * 0.2 * max(rows, columns) ** 0.5)
        values = direction.diagonal()
        assert ((values > 0.6) & (values < 1.3)).all()
        torch.testing.assert_close(direction, torch.diag(values), atol=0.05, rtol=0)
    adamw.step()
    assert all((p - b).any() for p, b in zip(network.parameters(), before, strict=True))


def test_muon_is_that_of_torch_where_bfloat16_is_fast():
    bias, kernel = (nn.Parameter(torch.ones(shape)) for shape in ((4,), (4, 3, 3, 3)))
    _, muon = optimizers_for(TrainConfig(optimizer="muon"), [bias, kernel])
    theirs = hasattr(torch.optim, "Muon") and fast_bfloat16(kernel.device)
    assert isinstance(muon, Float32Muon) is not theirs


def unet(toy: TrainConfig) -> TrainConfig:
    """Return the toy with a network of convolutions."""
    return replace(toy, model=replace(toy.model, network=UNet(8, (1,), 1, ())), optimizer="muon")


def test_a_run_with_muon_resumes_exactly(tmp_path: Path, toy: TrainConfig):
    toy = replace(unet(toy), steps=20, evaluations=1, previews=0)

    def pause(row: Mapping, status: object) -> None:
        del status
        if row["step"] == 10:
            os.kill(os.getpid(), signal.SIGTERM)

    assert train(toy, tmp_path / "whole", device="cpu").state == "finished"
    assert train(toy, tmp_path / "broken", device="cpu", on_point=pause).state == "paused"
    assert train(toy, tmp_path / "broken", resume=True, device="cpu").state == "finished"
    name = "checkpoint/state-000000020.safetensors"
    one, other = (load_file(tmp_path / run / name) for run in ("whole", "broken"))
    assert any(key.startswith("optimizer1.") for key in one)
    for key, value in one.items():
        assert torch.equal(value, other[key]), key


def test_early_snapshots_guide_the_model(
    tmp_path: Path, toy: TrainConfig, capsys: pytest.CaptureFixture
):
    assert train(toy, tmp_path, device="cpu").state == "finished"
    home, found = tmp_path / "checkpoint", {}
    for part, step in ((16, 2), (8, 5)):
        path = home / f"snapshot-1-{part}.safetensors"
        assert read_metadata(path)["step"] == str(step)
        found[part] = load_model(path).network.state_dict()
    fresh = tmp_path / "fresh"
    assert train(replace(toy, steps=5, decay="constant"), fresh, device="cpu").step == 5
    assert not (fresh / "checkpoint" / "snapshot-1-16.safetensors").exists()
    last = load_model(home / "model.safetensors").network.state_dict()
    assert any((found[16][k] != found[8][k]).any() for k in last)
    out = tmp_path / "samples.npz"
    command = f"sample {home}/model.safetensors --n 2 --steps 3 --guidance 2 --out {out} --guide"
    assert main([*command.split(), f"{home}/snapshot-1-16.safetensors"]) == 0, capsys.readouterr()
    assert out.is_file()
