r"""Bases and modes to and from plain dictionaries, tensors as base64 of their compressed bytes."""

import base64
import binascii
import math
import reprlib
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rgdiff_core.bases import (
    Basis,
    CosineBasis,
    FourierBasis,
    PCABasis,
    PixelBasis,
    WaveletBasis,
)
from rgdiff_core.modes import Modes

__all__ = ["basis_from_dict", "basis_to_dict", "modes_from_dict", "modes_to_dict"]

_BASES = {c.__name__: c for c in (PixelBasis, FourierBasis, CosineBasis, WaveletBasis, PCABasis)}
_DTYPES = {"float32": torch.float32, "float64": torch.float64}
_MODES = ("scale", "mean", "variance", "momentum")
MAX_BYTES = 1 << 28


def basis_to_dict(basis: Basis, *, without: Sequence[str] = ()) -> dict[str, Any]:
    """Describe a basis by its kind, shape, options and tensors.

    Arguments:
        without: names of tensors that are kept elsewhere.
    """
    data = {"kind": type(basis).__name__, "shape": list(basis.shape)} | basis.options()
    data["channels"] = _encode(basis.channels)
    if isinstance(basis, PCABasis) and "vectors" not in without:
        data["vectors"] = _encode(basis.vectors)
    return data


def basis_from_dict(data: Any, **kept: Tensor) -> Basis:
    """Rebuild a basis; raises `ValueError` naming an unknown kind or a field that does not fit.

    Arguments:
        kept: tensors by name that were kept elsewhere.
    """
    kind = data.get("kind") if isinstance(data, dict) else data
    if not isinstance(kind, str) or not isinstance(data, dict) or kind not in _BASES:
        known = ", ".join(_BASES)
        raise ValueError(f"unknown basis {reprlib.repr(kind)}; known are {known}.")
    fields: dict[str, Any] = {k: v for k, v in data.items() if k != "kind"}
    for name in ("channels", "vectors"):
        if name in fields:
            fields[name] = _decode(fields[name])
    for name, value in fields.items():
        if not isinstance(value, Tensor) and len(repr(value)) > 100:
            raise ValueError(f"{kind} can't have {name} = {reprlib.repr(value)}.")
    fields |= kept
    try:
        return _BASES[kind](**fields)
    except (AttributeError, OverflowError, TypeError) as error:  # a value of another type
        raise ValueError(f"{kind} can't be built: {error}.") from None


def modes_to_dict(modes: Modes) -> dict[str, Any]:
    """Describe modes by their tensors."""
    return {name: _encode(getattr(modes, name)) for name in _MODES}


def modes_from_dict(data: Any) -> Modes:
    """Rebuild modes; raises `ValueError` where the data do not describe any."""
    if not isinstance(data, dict) or set(data) != set(_MODES):
        raise ValueError(f"modes must have exactly {', '.join(_MODES)}.")
    tensors = {name: _decode(data[name]) for name in _MODES}
    if tensors["scale"] is None:
        raise ValueError("modes need a scale.")
    return Modes(**tensors)  # type: ignore[arg-type]


def _encode(x: Tensor | None) -> dict[str, Any] | None:
    if x is None:
        return None
    array = x.detach().cpu().contiguous().numpy()
    packed = base64.b64encode(zlib.compress(array.tobytes())).decode("ascii")
    return {"dtype": str(array.dtype), "shape": list(array.shape), "zlib": packed}


def _decode(data: Any) -> Tensor | None:
    if data is None:
        return None
    try:
        dtype = _DTYPES[data["dtype"]]
        shape = [int(n) for n in data["shape"]]
        size = math.prod(shape) * dtype.itemsize
        if not 0 <= size <= MAX_BYTES:
            raise ValueError("too large")
        unpacker = zlib.decompressobj()
        raw = unpacker.decompress(base64.b64decode(data["zlib"], validate=True), size + 1)
        array = np.frombuffer(raw, dtype=data["dtype"]).reshape(shape)
    except (KeyError, OverflowError, TypeError, ValueError, binascii.Error, zlib.error) as error:
        raise ValueError(f"a tensor in the JSON can't be read: {str(error)[:100]}.") from None
    return torch.from_numpy(array.copy())
