"""Pictures put one upon another as they are read, with what there is to say of them."""

from dataclasses import dataclass

import numpy as np

from rgdiff_core.data.arrays import MAX_IMAGES
from rgdiff_core.data.pictures import ROUNDING, Picture
from rgdiff_core.files.untrusted import VARIABLE, Refused, max_bytes, mib

__all__ = ["Stack", "TooMany"]


class TooMany(Refused):
    """The pictures pass the limit of images or of bytes together."""


@dataclass(frozen=True)
class _Kind:
    """What a picture is like: its channels, its bits if not 8, the least of its floats."""

    channels: int
    bits: int
    low: float | None


class Stack:
    """Pictures of one size in one array, which is as wide as its widest picture needs.

    Grey becomes colour where there is a picture in colour, and 8 bits become floats where there
    are floats.
    """

    def __init__(self, side: int) -> None:
        self._side = side
        self._images = self._room(1, np.dtype(np.uint8))
        self._kinds: list[_Kind] = []

    def __len__(self) -> int:
        return len(self._kinds)

    def check(self, count: int) -> None:
        """Refuse so many pictures; raises `TooMany` where there can be no room."""
        if count > len(self._images):
            raise TooMany(
                f"{count} images of {self._side}×{self._side} are too many; at most {MAX_IMAGES} "
                f"images and {mib(max_bytes())} are allowed ({VARIABLE})."
            )

    def add(self, picture: Picture) -> None:
        """Put a picture on top; raises `TooMany` where there is no room."""
        pixels = picture.pixels
        channels = max(self._images.shape[1], len(pixels))
        dtype = np.promote_types(self._images.dtype, pixels.dtype)
        if (channels, dtype) != (self._images.shape[1], self._images.dtype):
            wider = self._room(channels, dtype)
            if len(self) <= len(wider):
                wider[: len(self)] = self._images[: len(self)]
            self._images = wider
        self.check(len(self) + 1)
        self._images[len(self)] = pixels
        low = float(pixels.min()) if pixels.dtype.kind == "f" else None
        self._kinds.append(_Kind(len(pixels), picture.bits, low))

    def cut(self, count: int) -> None:
        """Take away all but the first so many pictures."""
        del self._kinds[count:]

    def images(self) -> np.ndarray:
        """Return (N, C, side, side), uint8, or float32 in [-1, 1]; nothing is added after that."""
        channels = max(kind.channels for kind in self._kinds)
        images = self._images[: len(self), :channels]
        lows = [kind.low for kind in self._kinds]
        if all(low is None for low in lows):
            return images.astype(np.uint8, copy=False)
        for image, low in zip(images, lows, strict=True):
            if low is None:
                image /= 255
            if low is None or not self._signed:
                image *= 2
                image -= 1
        return np.clip(images, -1, 1, out=images)

    def notes(self) -> list[str]:
        """Say which levels are black and white, where pixels have other than 8 bits."""
        floats = any(kind.low is not None for kind in self._kinds)
        notes = [
            f"Pixels of {bits} bits from 0 (black) to {2**bits - 1} (white)."
            for bits in sorted({kind.bits for kind in self._kinds if kind.low is None} - {0})
        ]
        if floats:
            notes.append(f"Floats from {-1 if self._signed else 0} (black) to 1 (white).")
        return notes

    @property
    def _signed(self) -> bool:
        return any(kind.low is not None and kind.low < -ROUNDING for kind in self._kinds)

    def _room(self, channels: int, dtype: np.dtype) -> np.ndarray:
        """Return all the room that is allowed, which takes no memory before it is filled."""
        each = channels * self._side**2 * dtype.itemsize
        shape = (min(MAX_IMAGES, max_bytes() // each), channels, self._side, self._side)
        return np.empty(shape, dtype)
