"""The devices of this machine by name, and double precision where a device has none.

On a device without float64 (Apple's MPS) everything that needs it is computed on the CPU: pass a
tensor to `doubled`, and the result back with `.to(like)`.
"""

import reprlib

import torch
from torch import Tensor

__all__ = ["device_of", "doubled", "has_float64", "hosted", "names", "seeded"]

WITHOUT_FLOAT64 = ("mps",)  # types of devices


def names() -> tuple[str, ...]:
    """Return the names of this machine's devices, and "auto" for the fastest that is tested."""
    cuda = torch.cuda.device_count() if torch.cuda.is_available() else 0
    numbered = tuple(f"cuda:{number}" for number in range(cuda))
    apple = ("mps",) if torch.backends.mps.is_available() else ()
    return ("auto", "cpu", *(("cuda",) if cuda else ()), *numbered, *apple)


def device_of(name: str = "auto") -> torch.device:
    """Return the device of a name: "auto" (a CUDA GPU where there is one, else the CPU), "cpu",
    "cuda", "cuda:1" and so on, or "mps".

    Raises:
        ValueError: For a name that none of this machine's devices has.
    """
    here = names()
    if name not in here:
        raise ValueError(
            f"device = {reprlib.repr(name)} is not one of those here: {', '.join(here)}."
        )
    if name == "auto":
        name = "cuda" if "cuda" in here else "cpu"
    return torch.device(name)


def has_float64(device: torch.device) -> bool:
    """Tell whether a device has float64."""
    return device.type not in WITHOUT_FLOAT64


def hosted(x: Tensor) -> Tensor:
    """Return a tensor as it is, or on the CPU where its device has no float64."""
    return x if has_float64(x.device) else x.cpu()


def doubled(x: Tensor) -> Tensor:
    """Return a tensor in float64, on the CPU where its device has no float64."""
    return hosted(x).double()


def seeded(device: torch.device, seed: int) -> torch.Generator:
    """Return a generator with a seed: on the device, or on the CPU where that has no float64."""
    return torch.Generator(device if has_float64(device) else "cpu").manual_seed(seed)
