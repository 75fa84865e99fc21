"""A training step against the bare step of the same network, and against diffusers' training loop.

The bare step is forward, backward, gradient clipping and fused AdamW of the same network on a
fixed input with a squared error: what no trainer can do without. Budget: at most 10 % over it. The
peer is a `diffusers.UNet2DModel` of about equal size in its standard DDPM loop (`add_noise`,
ε-MSE, AdamW, clipping) on the same images and batch. All in one process, one thread, steps taken
in turn.
"""

import statistics
from collections.abc import Callable
from typing import Any

import torch
from _report import machine, no_options, paired, table, write
from diffusers import DDPMScheduler, UNet2DModel
from torch import Tensor, nn

from rgdiff_core.data import load
from rgdiff_core.networks import parameter_count
from rgdiff_core.training import PRESETS, TrainConfig, override
from rgdiff_core.training.state import prepare, tune_malloc
from rgdiff_core.training.trainer import fabric_for

BUDGET = 1.10
PEER_WIDTHS = (16, 32, 32)
CASES: dict[str, tuple[str, int]] = {
    "φ⁴ 6×6, one process": ("phi4-2min", 40),
    "φ⁴ 6×6, universal": ("phi4-10min", 40),
    "CIFAR-10, universal": ("cifar10-cpu", 12),
    "CIFAR-10, standard": ("cifar10-standard", 12),
}


def ours(config: TrainConfig) -> tuple[Callable[[], object], nn.Module, int]:
    """Return the trainer's step, its network, and the number of its conditioning features."""
    learner, batches, _ = prepare(config, fabric_for("cpu"))

    def step() -> object:
        return learner.learn(batches.draw(learner.step))

    return step, learner.network, learner.model.spec.features(learner.model.basis.shape[0])


def bare(network: nn.Module, shape: tuple[int, ...], features: int) -> Callable[[], object]:
    """Return a step that a network can't do without."""
    parameters = list(network.parameters())
    optimizer = torch.optim.AdamW(parameters, lr=1e-4, fused=True)
    x, state, target = torch.randn(shape), torch.randn(shape[0], features), torch.randn(shape)

    def step() -> None:
        loss = ((network(x, state) - target) ** 2).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0, foreach=True)
        optimizer.step()

    return step


def peer(images: Tensor, batch: int) -> tuple[Callable[[], object], nn.Module]:
    """Return a step of diffusers' DDPM training."""
    network = UNet2DModel(
        sample_size=32,
        in_channels=3,
        out_channels=3,
        layers_per_block=1,
        block_out_channels=PEER_WIDTHS,
        norm_num_groups=4,
        attention_head_dim=8,
        down_block_types=("DownBlock2D", "DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D", "UpBlock2D"),
    )
    scheduler = DDPMScheduler(1000)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4)

    def step() -> None:
        clean = images[torch.randint(len(images), (batch,))]
        noise = torch.randn_like(clean)
        times = torch.randint(1000, (batch,))
        noisy = scheduler.add_noise(clean, noise, times)
        predicted = network(noisy, times, return_dict=False)[0]
        loss = nn.functional.mse_loss(predicted, noise)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    return step, network


def main() -> None:
    """Time every case, print the table and write the JSON."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    tune_malloc()
    before, figures, rows = machine(), {}, []
    for title, (preset, rounds) in CASES.items():
        config = override(PRESETS[preset].config, ["limit=2000"])
        step, network, features = ours(config)
        images = load(config.data, limit=2000).images
        shape = (config.batch, *images.shape[1:])
        calls = {"ours": step, "bare": bare(network, shape, features)}
        sizes = {"ours": parameter_count(network)}
        if config.data == "cifar10":
            calls["diffusers"], other = peer(images, config.batch)
            sizes["diffusers"] = parameter_count(other)
        figures[title] = measured(calls, rounds, config.batch) | {"parameters": sizes}
        figure = figures[title]
        rows.append(
            [
                title,
                figure["ms"]["ours"],
                figure["ours / bare"],
                figure.get("ours / diffusers", float("nan")),
                f"{sizes['ours']:,}",
                f"{sizes.get('diffusers', 0):,}",
            ]
        )
    head = ["", "ms a step", "/ bare", "/ diffusers", "parameters", "diffusers'"]
    print(f"a training step on one thread; budget {BUDGET} of the bare step")
    print(table(head, rows))
    write("training", before, {"budget": BUDGET, "cases": figures})


def measured(calls: dict[str, Callable[[], object]], rounds: int, batch: int) -> dict[str, Any]:
    """Time calls in turn: median milliseconds, throughput, median ratios within a round."""
    seconds = paired(calls, rounds)
    found: dict[str, Any] = {
        "ms": {name: 1e3 * statistics.median(values) for name, values in seconds.items()},
        "images_per_s": {n: batch / statistics.median(v) for n, v in seconds.items()},
    }
    for other in calls:
        if other != "ours":
            pairs = zip(seconds["ours"], seconds[other], strict=True)
            found[f"ours / {other}"] = statistics.median(a / b for a, b in pairs)
    return found


if __name__ == "__main__":
    no_options(__doc__)
    main()
