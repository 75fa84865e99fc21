r"""The choice of a basis as a spec: what a permalink or a config says, before there are data."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from rgdiff_core.bases import (
    Basis,
    CosineBasis,
    FourierBasis,
    PCABasis,
    PixelBasis,
    WaveletBasis,
    check_images,
    decorrelation,
)
from rgdiff_core.spec import Spec

__all__ = ["BASES", "BasisSpec", "add_basis"]

_NAMES: dict[type[Basis], str] = {
    PixelBasis: "pixel",
    FourierBasis: "fourier",
    CosineBasis: "cosine",
    WaveletBasis: "wavelet",
    PCABasis: "pca",
}
_ADDED: dict[str, Callable[..., Basis]] = {}
_OPTIONS = ("momentum", "wavelet", "levels")
BASES = tuple(_NAMES.values())


def add_basis(name: str, make: Callable[..., Basis]) -> None:
    """Let a `BasisSpec` name another basis.

    Arguments:
        make: from a shape (C, H, W) and `channels`, as the class itself.

    Raises `ValueError` where the name is the library's.
    """
    if name in BASES:
        raise ValueError(f"the basis {name!r} is the library's: give yours another name.")
    _ADDED[name] = make


@dataclass(frozen=True)
class BasisSpec(Spec):
    """Which basis, to be built for given images.

    Arguments:
        name: "pixel", "fourier", "cosine", "wavelet", "pca", or one of `add_basis`.
        momentum: "continuum" or "lattice", for Fourier and cosine.
        wavelet: a name from `orthogonal_wavelets()`, for wavelets.
        levels: number of wavelet levels; None for all.
        decorrelate: rotate the colour channels to their principal axes first.
    """

    name: str = "fourier"
    momentum: str = "continuum"
    wavelet: str = "haar"
    levels: int | None = None
    decorrelate: bool = False

    def __post_init__(self) -> None:
        known = (*BASES, *_ADDED)
        if self.name not in known:
            raise ValueError(f"basis = {self.name!r} is not one of {', '.join(known)}.")

    @classmethod
    def of(cls, basis: Basis) -> "BasisSpec":
        """Return the choice that gives a basis.

        Raises:
            ValueError: For a basis that has no name.
        """
        added = (name for name, make in _ADDED.items() if make is type(basis))
        name = _NAMES.get(type(basis)) or next(added, None)
        if name is None:
            raise ValueError(f"{type(basis).__name__} has no name: give it one with add_basis.")
        given = basis.options()
        options: dict[str, Any] = {key: given[key] for key in _OPTIONS if key in given}
        return cls(name, decorrelate=basis.channels is not None, **options)

    def describes(self, basis: Basis) -> bool:
        """Tell whether a basis is of this choice."""
        found = BasisSpec.of(basis)
        options = [key for key in _OPTIONS if key in basis.options()]
        same = all(getattr(self, key) in (None, getattr(found, key)) for key in options)
        decorrelate = self.decorrelate and basis.shape[0] > 1
        return same and (self.name, decorrelate) == (found.name, found.decorrelate)

    def build(self, images: Tensor) -> Basis:
        """Return the basis for images (N, C, H, W), which PCA and decorrelation are fitted to.

        Raises `ValueError` where the basis can't have these images' shape, or PCA has fewer than
        two of them.
        """
        check_images(images)
        c, h, w = images.shape[1:]
        channels = decorrelation(images) if self.decorrelate and c > 1 else None
        if self.name in _ADDED:
            return _ADDED[self.name]((c, h, w), channels=channels)
        if self.name == "pixel":
            return PixelBasis((c, h, w), channels=channels)
        if self.name == "fourier":
            return FourierBasis((c, h, w), self.momentum, channels=channels)
        if self.name == "cosine":
            return CosineBasis((c, h, w), self.momentum, channels=channels)
        if self.name == "wavelet":
            return WaveletBasis((c, h, w), self.wavelet, self.levels, channels=channels)
        return PCABasis.fit(images, channels=channels)
