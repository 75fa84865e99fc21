r"""Bases and modes to and from plain dictionaries, tensors as base64 of their compressed bytes."""

import base64
import binascii
import math
import reprlib
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rgdiff_core.bases import Basis, PCABasis
from rgdiff_core.bases.base import checked_shape
from rgdiff_core.bases.modes import Modes
from rgdiff_core.files.untrusted import inflate

__all__ = ["basis_from_dict", "basis_to_dict", "modes_from_dict", "modes_to_dict"]

_DTYPES = {"float32": torch.float32, "float64": torch.float64}
_MODES = ("scale", "mean", "variance", "momentum")
MAX_BYTES = 1 << 27  # of one tensor: principal components in float64
MAX_COMPONENTS = 1 << 22  # of fields
SMALL = 1 << 16  # numbers that cost nothing to unpack


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
    if not isinstance(kind, str) or not isinstance(data, dict) or kind not in Basis.kinds:
        known = ", ".join(Basis.kinds)
        raise ValueError(f"unknown basis {reprlib.repr(kind)}; known are {known}.")
    fields: dict[str, Any] = {k: v for k, v in data.items() if k != "kind"}
    if math.prod(_shape(fields)) > MAX_COMPONENTS:
        raise ValueError(f"fields of shape {_shape(fields)} have too many components.")
    for name, of in (("channels", lambda shape: shape[0]), ("vectors", math.prod)):
        if fields.get(name) is not None:
            fields[name] = _decode(fields[name], of(_shape(fields)) ** 2)
    for name, value in fields.items():
        if not isinstance(value, Tensor) and len(repr(value)) > 100:
            raise ValueError(f"{kind} can't have {name} = {reprlib.repr(value)}.")
    fields |= kept
    make: Callable[..., Basis] = Basis.kinds[kind]
    try:
        return make(**fields)
    except (AttributeError, OverflowError, TypeError) as error:  # a value of another type
        raise ValueError(f"{kind} can't be built: {error}.") from None


def modes_to_dict(modes: Modes) -> dict[str, Any]:
    """Describe modes by their tensors."""
    return {name: _encode(getattr(modes, name)) for name in _MODES}


def _shape(fields: dict[str, Any]) -> tuple[int, ...]:
    shape = fields.get("shape")
    try:
        return checked_shape(tuple(shape or ()))
    except (OverflowError, TypeError):
        raise ValueError(
            f"shape = {reprlib.repr(shape)} must be three positive integers."
        ) from None


def modes_from_dict(data: Any, shape: Sequence[int] | None = None) -> Modes:
    """Rebuild modes; raises `ValueError` where the data do not describe any.

    Arguments:
        shape: that of the fields; nothing much larger is unpacked.
    """
    most = MAX_COMPONENTS if shape is None else math.prod(shape) + SMALL
    if not isinstance(data, dict) or set(data) != set(_MODES):
        raise ValueError(f"modes must have exactly {', '.join(_MODES)}.")
    tensors = {name: _decode(data[name], most) for name in _MODES}
    if tensors["scale"] is None:
        raise ValueError("modes need a scale.")
    return Modes(**tensors)  # type: ignore[arg-type]


def _encode(x: Tensor | None) -> dict[str, Any] | None:
    if x is None:
        return None
    array = x.detach().cpu().contiguous().numpy()
    packed = base64.b64encode(zlib.compress(array.tobytes())).decode("ascii")
    return {"dtype": str(array.dtype), "shape": list(array.shape), "zlib": packed}


def _decode(data: Any, most: int) -> Tensor | None:
    """Return a tensor of at most so many numbers."""
    if data is None:
        return None
    try:
        dtype = _DTYPES[data["dtype"]]
        shape = [int(n) for n in data["shape"]]
        count = math.prod(shape)
        if not 0 <= count <= min(most, MAX_BYTES // dtype.itemsize):
            raise ValueError(f"too large: its shape is {reprlib.repr(shape)}")
        content = base64.b64decode(data["zlib"], validate=True)
        raw = inflate("its content", content, count * dtype.itemsize)
        array = np.frombuffer(raw, dtype=data["dtype"]).reshape(shape)
    except (KeyError, OverflowError, TypeError, ValueError, binascii.Error) as error:
        detail = str(error).rstrip(".")[:100]
        raise ValueError(f"a tensor in the JSON can't be read: {detail}.") from None
    return torch.from_numpy(array.copy())
