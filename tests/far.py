"""A device that has no float64, played by the CPU: a stand-in for Apple's MPS.

What lies on the device is a `Far` tensor around one on the CPU that does the arithmetic. A float64
tensor on the device is refused, and so is a cast to float64 on the way from it, as MPS refuses
them. The device is called "meta", the one name that torch knows everywhere and that owns nothing.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

FAR = torch.device("meta")
AS_DATA = (torch.tensor, torch.as_tensor, torch.scalar_tensor)


class Far(Tensor):
    """A tensor on the device."""

    near: Tensor

    @staticmethod
    def __new__(cls, near: Tensor) -> Self:
        if near.dtype in (torch.float64, torch.complex128):
            raise TypeError(f"the device has no {near.dtype}")
        far = Tensor._make_wrapper_subclass(
            cls, near.shape, strides=near.stride(), dtype=near.dtype, device=FAR
        )
        far.near = near
        return far

    def tolist(self) -> Any:
        return self.near.tolist()

    @classmethod
    def __torch_dispatch__(
        cls, func: Callable, types: Sequence, args: tuple = (), kwargs: Mapping | None = None
    ) -> Any:
        return _run(func, args, kwargs or {})


def _run(func: Callable, args: tuple, kwargs: Mapping) -> Any:
    """Compute on the CPU what was called, and put it on the device where it belongs there."""
    given = [each for each in tree_leaves((args, kwargs)) if isinstance(each, Tensor)]
    far = any(isinstance(each, Far) for each in given)
    if kwargs.get("dtype") == torch.float64 and far:
        raise TypeError("the device has no float64, and casts to none on the way from it")
    if kwargs.get("device") is not None:
        far = kwargs["device"].type == FAR.type
        kwargs = {**kwargs, "device": torch.device("cpu")}
    elif func is torch.ops.aten.copy_.default:
        far = isinstance(args[0], Far)
    elif far and func is not torch.ops.aten.index.Tensor:
        strangers = [each for each in given if not isinstance(each, Far) and each.ndim > 0]
        if strangers:
            raise RuntimeError(f"{func} has tensors on two devices")
    made = func(*tree_map(_near, args), **tree_map(_near, kwargs))
    if func._schema.name.endswith("_") and args and isinstance(args[0], Far):
        return args[0]
    return tree_map(lambda x: Far(x) if far and isinstance(x, Tensor) else x, made)


def _near(value: Any) -> Any:
    return value.near if isinstance(value, Far) else value


class _Data(TorchFunctionMode):
    """Makes tensors of Python's numbers on the CPU before they go to the device."""

    def __torch_function__(
        self, func: Callable, types: Sequence, args: tuple = (), kwargs: Mapping | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        place = kwargs.get("device")
        if func in AS_DATA and place is not None and torch.device(place) == FAR:
            made = func(*args, **{**kwargs, "device": torch.device("cpu")})
            return made.to(FAR)
        if func is Tensor.new_tensor and isinstance(args[0], Far):
            return torch.tensor(args[1], dtype=args[0].dtype).to(FAR)
        return func(*args, **kwargs)


class NoFloat64(TorchDispatchMode):
    """Plays the device while it is entered."""

    def __enter__(self) -> Self:
        self.data = _Data()
        super().__enter__()
        self.data.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self.data.__exit__(*error)
        super().__exit__(*error)

    def __torch_dispatch__(
        self, func: Callable, types: Sequence, args: tuple = (), kwargs: Mapping | None = None
    ) -> Any:
        return _run(func, args, kwargs or {})
