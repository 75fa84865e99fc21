"""Sources of randomness: one generator for a batch, or a stream for each of its samples.

A seed has a million streams, of which number i belongs to sample i. So a sample depends neither on
how many are drawn nor on the batches they are drawn in, and no two seeds share a stream. A walk
leads from one stream to another.
"""

import math
import random
import reprlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from rgdiff_core.devices import has_float64
from rgdiff_core.spec import check_whole

__all__ = [
    "Generators",
    "MAX_SEED",
    "STREAMS",
    "Walk",
    "check_generators",
    "check_walk",
    "device_for",
    "fold_in",
    "source",
    "stream",
    "streams",
    "walk",
]

STREAMS = 1_000_003  # of a seed
MAX_SEED = 2**63 // STREAMS - 1


@dataclass(frozen=True, eq=False)
class Walk:
    r"""Noise on the way from one stream to another: sample i has cos θ_i ε + sin θ_i ε'.

    Whatever θ is, that is white noise again, so that every sample on the way is one of the model,
    with a stochastic sampler too.

    Attributes:
        first: of ε, a generator for each sample, all in the same state.
        last: of ε', likewise.
        angles: θ, (n,) float64, from 0 to π/2.
    """

    first: Sequence[torch.Generator]
    last: Sequence[torch.Generator]
    angles: torch.Tensor


Generators = torch.Generator | Sequence[torch.Generator] | Walk | None


def stream(seed: int, number: int) -> torch.Generator:
    """Return one stream of a seed, on the CPU.

    Raises:
        ValueError: For a seed or a number outside its range.
    """
    check_whole("seed", seed, 0, MAX_SEED)
    check_whole("the number of a sample", number, 0, STREAMS - 1)
    return torch.Generator().manual_seed(STREAMS * int(seed) + int(number))


def streams(seed: int, n: int, first: int = 0) -> list[torch.Generator]:
    """Return the streams of n samples of a seed, of which the first has the number `first`.

    Raises:
        ValueError: For a seed or a number outside its range.
    """
    return [stream(seed, first + i) for i in range(n)]


def walk(seed: int, n: int, first: int, last: int) -> Walk:
    """Return the noise of n samples on the way from sample number `first` of a seed to sample
    number `last`, in equal turns; both ends are among them, of one sample the first.

    Raises:
        ValueError: For a seed or a number outside its range, and for equal numbers: noise that
            turns to itself would not be white on the way.
    """
    check_walk(first, last)
    begin, end = ([stream(seed, number) for _ in range(n)] for number in (first, last))
    return Walk(begin, end, torch.linspace(0, math.pi / 2, n, dtype=torch.float64))


def check_walk(first: int, last: int) -> None:
    """Check that a walk leads to another sample; raises `ValueError` where it does not."""
    if first == last:
        raise ValueError(
            f"a walk from sample {first + 1} to itself leads nowhere: choose another."
        )


def check_generators(generator: Generators, n: int) -> None:
    """Check that a source of randomness is None, one generator, n of them on one device, or a walk
    of n samples.

    Raises:
        ValueError: For anything else.
    """
    if isinstance(generator, Walk):
        for each in (generator.first, generator.last):
            check_generators(each, n)
        if generator.angles.shape != (n,):
            raise ValueError(f"{len(generator.angles)} angles were given for {n} samples.")
        return
    if generator is None or isinstance(generator, torch.Generator):
        return
    if not isinstance(generator, Sequence) or not all(
        isinstance(each, torch.Generator) for each in generator
    ):
        raise ValueError(
            f"generator = {reprlib.repr(generator)} is neither a torch.Generator nor a list of "
            "them, one for each sample."
        )
    if len(generator) != n:
        raise ValueError(f"{len(generator)} generators were given for {n} samples.")
    if len(devices := {str(each.device) for each in generator}) > 1:
        raise ValueError(f"the generators are on several devices, {', '.join(sorted(devices))}.")


def device_for(generator: torch.Generator | None) -> torch.device:
    """Return where the numbers of a generator come to be, the CPU without one: a device that has
    float64.

    Raises:
        ValueError: For what is no generator, and for a device without float64.
    """
    if generator is None:
        return torch.device("cpu")
    if not isinstance(generator, torch.Generator):
        raise ValueError(f"generator = {reprlib.repr(generator)} is not a torch.Generator.")
    if not has_float64(generator.device):
        raise ValueError(f"a generator on {generator.device} has no float64: use one on the CPU.")
    return generator.device


def source(n: int, generator: Generators, seed: int | None) -> Generators:
    """Return the randomness of n samples: that of a generator, or the streams of a seed.

    Raises:
        ValueError: For both at once, and for values that are neither.
    """
    if seed is None:
        if isinstance(generator, int | float):
            raise ValueError(f"generator = {generator!r} is a number: pass seed={generator!r}.")
        check_generators(generator, n)
        return generator
    if generator is not None:
        raise ValueError(f"seed = {reprlib.repr(seed)} and a generator exclude each other.")
    return streams(seed, n)


def fold_in(*numbers: int) -> int:
    """Return a seed (63 bits) from several whole numbers, each of which matters."""
    return random.Random(":".join(map(str, numbers))).getrandbits(63)
