"""`Process.perturb` against a bare FFT round trip of the same batch: 256 CIFAR-sized fields.

Budget: 1.5 round trips in the Fourier basis. The peer is torch's `irfft2(rfft2(x))`; `ifft2(fft2
(x))` is quoted too. Three settings: one thread; all of them; one thread where freed memory is
kept (glibc otherwise gives it back, and then fresh pages, not arithmetic, are what is timed).
"""

import json
import os
import resource
import statistics
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import torch
from _report import ROOT, machine, paired, table, write

import rgdiff_core as rg

BUDGET = 1.5
SHAPE, BATCH, ROUNDS = (3, 32, 32), 256, 60
PEER = "rfft2 + irfft2"
KEEP = {
    "MALLOC_TRIM_THRESHOLD_": str(2**30),
    "MALLOC_MMAP_THRESHOLD_": str(2**30),
    "MALLOC_TOP_PAD_": str(2**26),
}
SETTINGS: dict[str, tuple[int, dict[str, str]]] = {
    "1 thread": (1, {}),
    "all threads": (os.cpu_count() or 1, {}),
    "1 thread, memory kept": (1, KEEP),
}


def calls() -> dict[str, Callable[[], object]]:
    """Return what is timed: the peers, perturb in each basis, and perturb's parts."""
    x, noise, t = torch.randn(BATCH, *SHAPE), torch.randn(BATCH, *SHAPE), torch.rand(BATCH)
    pca = torch.linalg.qr(torch.randn(3072, 3072))[0]
    bases = {
        "Fourier": rg.bases.FourierBasis(SHAPE),
        "cosine": rg.bases.CosineBasis(SHAPE),
        "wavelet": rg.bases.WaveletBasis(SHAPE),
        "PCA": rg.bases.PCABasis(SHAPE, pca),
        "pixel": rg.bases.PixelBasis(SHAPE),
    }
    color, schedule = rg.colors.PowerLaw(), rg.schedules.Cutoff()
    made = {name: rg.Process(basis, color, schedule) for name, basis in bases.items()}
    fourier = made["Fourier"]
    return {
        PEER: lambda: torch.fft.irfft2(torch.fft.rfft2(x), s=SHAPE[1:]),
        "fft2 + ifft2": lambda: torch.fft.ifft2(torch.fft.fft2(x)).real,
        **{f"perturb, {name}": lambda p=p: p.perturb(x, t) for name, p in made.items()},
        "perturb, Fourier, one t": lambda: fourier.perturb(x, 0.5),
        "perturb, Fourier, noise given": lambda: fourier.perturb(x, t, noise),
        "· analyze, Fourier": lambda: fourier.basis.analyze(x),
        "· marginal at 256 times": lambda: fourier.marginal(t),
        "· drawing the noise": lambda: torch.randn(BATCH, *SHAPE),
    }


def measure(threads: int) -> dict[str, Any]:
    """Time everything: milliseconds, the ratio to the peer of the same round, page faults."""
    torch.manual_seed(0)
    torch.set_num_threads(threads)
    every = calls()
    with torch.inference_mode():
        seconds = paired(every, ROUNDS)
        return {
            name: {
                "ms": 1e3 * statistics.median(seconds[name]),
                "ratio": statistics.median(
                    s / p for s, p in zip(seconds[name], seconds[PEER], strict=True)
                ),
                "faults": _faults(call),
            }
            for name, call in every.items()
        }


def _faults(call: Callable[[], object], times: int = 10) -> float:
    call()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(times):
        call()
    return (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / times


def main() -> None:
    """Run each setting in a separate process, print the table and write the JSON."""
    before, figures = machine(), {}
    for name, (threads, environment) in SETTINGS.items():
        done = subprocess.run(
            [sys.executable, __file__, str(threads)],
            env=os.environ | environment,
            cwd=ROOT,
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
        figures[name] = json.loads(done.stdout)
    names = list(next(iter(figures.values())))
    rows = [[n, *(f[n][key] for f in figures.values() for key in ("ms", "ratio"))] for n in names]
    head = ["", *(part for name in SETTINGS for part in ("ms", f"ratio ({name})"))]
    print(f"{BATCH} fields {SHAPE}, ratio to {PEER}; budget for Fourier {BUDGET}")
    print(table(head, rows))
    write("perturb", before, {"budget": BUDGET, "settings": figures})


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(measure(int(sys.argv[1]))))
    else:
        main()
