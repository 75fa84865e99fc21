"""U-Nets: how fast they train and evaluate, against diffusers' of equal size, and what takes time.

Training: forward and backward, mean squared error, of batches of 32 images of CIFAR-10's size on
all cores, channels last in memory, in float32 and, where the processor has units for it, in
bfloat16 by autocast. The networks take turns, so that ratios within a round travel between
machines. An evaluation is a forward pass without gradients; its cost is the time of all cores. The
breakdown is of a step of the trainer's, in the faster precision, by the profiler's own times of
operations: what the 1×1 convolutions of attention take counts as convolutions.
"""

import argparse
import math
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from _report import machine, paired, table, write
from diffusers.models.unets.unet_2d import UNet2DModel
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from rgdiff_core.bases import FourierBasis
from rgdiff_core.bases.modes import Modes
from rgdiff_core.colors import White
from rgdiff_core.denoisers import ModelSpec
from rgdiff_core.networks import NETWORKS, UNet, fast_bfloat16, parameter_count
from rgdiff_core.process import Process, white_noise
from rgdiff_core.schedules import LinearGamma
from rgdiff_core.training.losses import NoiseBatch, denoising_loss, weights
from rgdiff_core.training.state import tune_malloc

SHAPE, FEATURES, BATCH, ROUNDS = (3, 32, 32), 48, 32, 3
BEFORE = "7 M as it was"
OURS = {
    BEFORE: UNet(64, (1, 2, 2), 2, (16, 8)),
    "unet-7m": NETWORKS["unet-7m"],
    "unet-17m": NETWORKS["unet-17m"],
    "unet-17m-fast": NETWORKS["unet-17m-fast"],
}
PEERS = {"diffusers 7 M": (64, 128, 144), "diffusers 17 M": (96, 192, 224)}
PRECISIONS: Mapping[str, torch.dtype | None] = {"float32": None, "bfloat16": torch.bfloat16}
KINDS = {  # of operations in the profile, by parts of their names; the first that fits
    "convolutions": ("conv",),
    "norms": ("norm",),
    "attention": ("softmax", "attention", "bmm"),
}


@dataclass(frozen=True, eq=False)
class Contestant:
    """A network and how it is called on images."""

    network: nn.Module
    call: Callable[[Tensor], Tensor]


def ours(spec: UNet) -> Contestant:
    """Return one of our networks; its weights are drawn, for it starts at zero."""
    network = _drawn(spec.build(SHAPE, FEATURES))
    return Contestant(network, lambda x: network(x, torch.zeros(len(x), FEATURES)))


def peer(widths: tuple[int, ...]) -> Contestant:
    """Return diffusers' network of our depth, with attention at 8×8."""
    network = UNet2DModel(
        sample_size=SHAPE[-1],
        in_channels=SHAPE[0],
        out_channels=SHAPE[0],
        layers_per_block=2,
        block_out_channels=widths,
        norm_num_groups=math.gcd(*widths, 16),
        attention_head_dim=widths[-1],
        down_block_types=("DownBlock2D", "DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D", "UpBlock2D"),
    ).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    return Contestant(network, lambda x: network(x, torch.zeros(len(x)), return_dict=False)[0])


def _drawn(network: nn.Module) -> nn.Module:
    for parameter in network.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.02)
    return network


def training(one: Contestant, batch: int, dtype: torch.dtype | None) -> Callable[[], object]:
    """Return a forward and backward pass."""
    x, target = (torch.randn(batch, *SHAPE) for _ in range(2))
    x = x.to(memory_format=torch.channels_last)

    def step() -> None:
        one.network.zero_grad(set_to_none=True)
        with torch.autocast("cpu", dtype=dtype, enabled=dtype is not None):
            out = one.call(x)
        (out.float() - target).square().mean().backward()

    return step


def evaluation(one: Contestant, batch: int, dtype: torch.dtype | None) -> Callable[[], object]:
    """Return a forward pass without gradients."""
    x = torch.randn(batch, *SHAPE).to(memory_format=torch.channels_last)

    def step() -> None:
        with (
            torch.no_grad(),
            torch.autocast("cpu", dtype=dtype, enabled=dtype is not None),
        ):
            one.call(x)

    return step


def breakdown(spec: UNet, batch: int, dtype: torch.dtype | None) -> dict[str, float]:
    """Return what the parts of a step of our training take, in ms.

    The loss is what a whole step takes beyond the network and the optimizer.
    """
    basis, images = FourierBasis(SHAPE), torch.randn(64, *SHAPE)
    modes = Modes.fit(basis, images)
    model = ModelSpec(network=spec).build(basis, modes)
    _drawn(model.network)
    model.autocast = dtype
    process = Process(basis, White(), LinearGamma(), modes)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)

    def step() -> None:
        x = images[:batch]
        times = torch.rand(len(x))
        marginal = process.vp_marginal(times)
        levels = NoiseBatch(marginal, weights("unit", process, times, modes, marginal))
        optimizer.zero_grad(set_to_none=True)
        denoising_loss(model, x, levels, white_noise(x.shape, x)).loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0, foreach=True)
        optimizer.step()

    whole, bare = profiled(step), profiled(training(ours(spec), batch, dtype))
    loss = sum(whole.values()) - whole["optimizer"] - sum(bare.values())
    return bare | {"loss": loss, "optimizer": whole["optimizer"]}


def profiled(step: Callable[[], object]) -> dict[str, float]:
    """Return the milliseconds of a step's second call by kinds of operations."""
    step()
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        step()
    found = dict.fromkeys((*KINDS, "optimizer", "the rest"), 0.0)
    for event in seen.key_averages():
        found[_kind(event.key)] += event.self_cpu_time_total / 1e3
    return found


def _kind(name: str) -> str:
    lower = name.lower()
    if "adam" in lower or "foreach" in lower:
        return "optimizer"
    named = (kind for kind, parts in KINDS.items() if any(part in lower for part in parts))
    return next(named, "the rest")


def extensions() -> list[str]:
    """Return the processor's units that matter here: of vectors and matrices."""
    flags = next(
        (
            line.split(":", 1)[1].split()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("flags")
        ),
        [],
    )
    return [flag for flag in flags if flag.startswith(("amx", "avx512_bf16", "avx512f", "avx2"))]


def measured(
    batch: int, rounds: int, precisions: Mapping[str, torch.dtype | None]
) -> dict[str, Any]:
    """Return the figures of all networks in these precisions."""
    contestants = {name: ours(spec) for name, spec in OURS.items()}
    contestants |= {name: peer(widths) for name, widths in PEERS.items()}
    figures: dict[str, Any] = {
        "batch": batch,
        "parameters": {name: parameter_count(one.network) for name, one in contestants.items()},
    }
    both = [(name, precision) for name in contestants for precision in precisions]
    steps, passes = (
        {
            f"{name}, {precision}": make(contestants[name], batch, precisions[precision])
            for name, precision in both
        }
        for make in (training, evaluation)
    )
    seconds = paired(steps, rounds)
    figures["training images/s"] = {n: batch / statistics.median(v) for n, v in seconds.items()}
    first = seconds[f"{BEFORE}, float32"]
    figures["times as fast as before"] = {
        name: statistics.median(a / b for a, b in zip(first, values, strict=True))
        for name, values in seconds.items()
    }
    spent = paired(passes, rounds, time.process_time)
    figures["evaluation core-ms per image"] = {
        name: 1e3 * statistics.median(values) / batch for name, values in spent.items()
    }
    return figures


def main(batch: int, rounds: int, emulated: bool) -> None:
    """Measure, print the tables and write the JSON."""
    torch.manual_seed(0)
    tune_malloc()
    fast = fast_bfloat16(torch.device("cpu"))
    before = machine() | {"extensions": extensions(), "bfloat16_is_fast": fast}
    both = fast or emulated
    if not both:
        print("bfloat16 is emulated here and left out: see --emulated")
    figures = measured(batch, rounds, PRECISIONS if both else {"float32": None})
    rows = [
        [
            name,
            f"{figures['parameters'][name.split(', ')[0]]:,}",
            rate,
            figures["times as fast as before"][name],
            figures["evaluation core-ms per image"][name],
        ]
        for name, rate in figures["training images/s"].items()
    ]
    print(table(["", "parameters", "images/s", "/ before", "core-ms an evaluation"], rows))
    dtype = torch.bfloat16 if fast else None
    parts = {name: breakdown(spec, batch, dtype) for name, spec in OURS.items()}
    precision = "bfloat16" if fast else "float32"
    figures |= {"breakdown in ms": parts, "breakdown's precision": precision}
    print(f"\na training step in {precision}, ms by kinds of operations")
    rows = [[kind, *(parts[name][kind] for name in OURS)] for kind in parts[BEFORE]]
    print(table(["", *OURS], rows))
    write("network", before, figures)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--batch", type=int, default=BATCH)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument(
        "--emulated",
        action="store_true",
        help="measure bfloat16 even where the processor has no units for it (minutes more)",
    )
    chosen = parser.parse_args()
    main(chosen.batch, chosen.rounds, chosen.emulated)
