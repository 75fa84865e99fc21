"""What only a GPU can show: recorded steps, no NaN in attention, samplers that do not wait."""

from dataclasses import replace

import pytest
import torch

import rgdiff_core as rg
from rgdiff_core import colors, schedules
from rgdiff_core.denoisers import ModelSpec
from rgdiff_core.networks import UNet
from rgdiff_core.process import Process
from rgdiff_core.training import TrainConfig
from rgdiff_core.training.state import prepare
from rgdiff_core.training.trainer import fabric_for

pytestmark = pytest.mark.gpu

SMALL = UNet(16, (1, 2), 1, (4, 2), group_channels=16, head_channels=16)


@pytest.fixture
def small(toy: TrainConfig) -> TrainConfig:
    """Return a run of a small U-Net on 4×4 sites."""
    return replace(
        toy, model=ModelSpec(SMALL), precision="float32", steps=300, augmentation="none"
    )


def losses(config: TrainConfig, steps: int, *, graphs: bool) -> torch.Tensor:
    """Return the losses of the first steps of a run."""
    learner, batches, _ = prepare(config, fabric_for("cuda"))
    assert learner.graphs
    learner.graphs = graphs
    found = [learner.learn(batches.draw(step))[0].loss.detach().clone() for step in range(steps)]
    return torch.stack(found).cpu()


def test_recorded_steps_are_the_plain_ones(small: TrainConfig):
    recorded, plain = (losses(small, 20, graphs=graphs) for graphs in (True, False))
    assert recorded.isfinite().all()
    torch.testing.assert_close(recorded, plain, rtol=1e-3, atol=1e-3)


def test_attention_over_64_tokens_stays_finite():
    """cuDNN's fused attention gives NaN there now and then, going backward."""
    network = UNet(32, (1,), 1, (8,), head_channels=32).build((3, 8, 8), 4).cuda()
    optimizer = torch.optim.AdamW(network.parameters(), 1e-3, fused=True)
    for _ in range(300):
        x = torch.randn(32, 3, 8, 8, device="cuda")
        with torch.autocast("cuda", torch.bfloat16):
            out = network(x, torch.zeros(32, 4, device="cuda"))
        optimizer.zero_grad(set_to_none=True)
        (out.float() - torch.tanh(x)).square().mean().backward()
        optimizer.step()
    assert all(p.isfinite().all() for p in network.parameters())


@pytest.mark.parametrize("method", ["dpmpp_2m", "heun", "shell"])
@pytest.mark.parametrize("scale", [1.0, 2.0])
def test_a_trajectory_does_not_wait_for_the_gpu(method: str, scale: float):
    shape = (1, 8, 8)
    basis = rg.bases.FourierBasis(shape).cuda()
    modes = rg.Modes.fit(basis, torch.randn(50, *shape, device="cuda"))
    model = ModelSpec(SMALL, class_names=("one", "other")).build(basis, modes)
    model = model.eval().requires_grad_(False)
    process = Process(basis, colors.Matched(), schedules.Cutoff(), modes)
    labels = torch.tensor([0, 1, -1, 0], device="cuda")

    def states():
        generator = torch.Generator("cuda").manual_seed(0)
        return rg.trajectory(
            model,
            process,
            4,
            6,
            method,
            generator,
            class_labels=labels,
            guidance_scale=scale,
            guidance_interval=(-3.0, 3.0),
        )

    wanted = [state.components for state in states()][-1]
    waiting = states()
    next(waiting)  # the levels are tabulated, which the host waits for
    torch.cuda.set_sync_debug_mode("error")
    try:
        last = [state.components for state in waiting][-1]
    finally:
        torch.cuda.set_sync_debug_mode("default")
    torch.testing.assert_close(last, wanted)
