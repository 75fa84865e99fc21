"""A step of Muon over the convolutions of networks: torch's, in bfloat16, and ours, in float32.

Training takes the faster, by whether the machine has units for bfloat16
(`rgdiff_core.networks.fast_bfloat16`). One process, one thread, steps taken in turn.
"""

import statistics

import torch
from _report import machine, no_options, paired, table, write
from torch import nn

from rgdiff_core.networks import NETWORKS, fast_bfloat16
from rgdiff_core.training import PRESETS
from rgdiff_core.training.muon import Float32Muon

ROUNDS = 5
FEATURES = 8  # that the networks are conditioned on; no convolution depends on it


def kernels(network: nn.Module) -> list[nn.Parameter]:
    """Return the convolutions of a network as matrices, with gradients."""
    found = [nn.Parameter(p.detach().flatten(1)) for p in network.parameters() if p.ndim == 4]
    for matrix in found:
        matrix.grad = torch.randn_like(matrix)
    return found


def main() -> None:
    """Time the networks of the preset for classes and of `cifar10-conditional`."""
    no_options(__doc__)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    before, figures, rows = machine(), {}, []
    specs = {
        "cifar10-15min": PRESETS["cifar10-15min"].config.model.network,
        "unet-17m-fast": NETWORKS["unet-17m-fast"],
    }
    for name, spec in specs.items():
        own, peers = (kernels(spec.build((3, 32, 32), FEATURES)) for _ in range(2))
        ours = Float32Muon(own, lr=1e-3, weight_decay=0.0)
        theirs = torch.optim.Muon(peers, lr=1e-3, adjust_lr_fn="match_rms_adamw")
        taken = paired({"float32": ours.step, "bfloat16": theirs.step}, ROUNDS)
        ms = {kind: 1e3 * statistics.median(seconds) for kind, seconds in taken.items()}
        ratio = statistics.median(
            a / b for a, b in zip(taken["float32"], taken["bfloat16"], strict=True)
        )
        figures[name] = {"ms": ms, "float32 / bfloat16": ratio}
        rows.append([name, ms["float32"], ms["bfloat16"], ratio])
    fast = fast_bfloat16(torch.device("cpu"))
    print(f"a step of Muon on one thread; bfloat16 is {'fast' if fast else 'emulated'} here")
    print(table(["", "ms float32, ours", "ms bfloat16, torch's", "ratio"], rows))
    write("muon", before, {"fast_bfloat16": fast, "networks": figures})


if __name__ == "__main__":
    main()
