r"""The choice of a basis as a spec: what a permalink or a config says, before there are data.

`BASES` is the one table of bases: their names, and all that differs between them before there is
a shape.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

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

__all__ = ["BASES", "BasisKind", "BasisSpec"]


@dataclass(frozen=True)
class BasisKind:
    """What is known of a basis before there are data.

    Attributes:
        title: For people, as in menus.
        make: Its class, or what is called like it: with a shape (C, H, W), its options and
            `channels`, by name.
        options: The fields of `BasisSpec` that it has.
        scale: What the scale of its components is, beside an axis.
        fit: Called in place of `make`, with images (N, C, H, W) and `channels`, where the basis
            depends on them.
    """

    title: str
    make: Callable[..., Basis]
    options: tuple[str, ...] = ()
    scale: str = "|k| / k_max"
    fit: Callable[..., Basis] | None = None


BASES: dict[str, BasisKind] = {  # by name; `extensions.register_basis` adds to it
    "pixel": BasisKind("Pixels", PixelBasis),
    "fourier": BasisKind("Fourier modes", FourierBasis, ("momentum",)),
    "cosine": BasisKind("Cosines", CosineBasis, ("momentum",)),
    "wavelet": BasisKind("Wavelets", WaveletBasis, ("wavelet", "levels"), "wavelet level"),
    "pca": BasisKind(
        "Principal components", PCABasis, (), "rank / number of components", PCABasis.fit
    ),
}


@dataclass(frozen=True)
class BasisSpec(Spec):
    """Which basis, to be built for given images.

    Arguments:
        name: of `BASES`.
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
        if self.name not in BASES:
            raise ValueError(f"basis = {self.name!r} is not one of {', '.join(BASES)}.")

    @property
    def title(self) -> str:
        """What the basis is called."""
        return BASES[self.name].title

    @classmethod
    def of(cls, basis: Basis) -> Self:
        """Return the spec of a basis; what it was fitted to is no part of it.

        Raises `ValueError` for a basis that is not in `BASES`.
        """
        found = (name for name, kind in BASES.items() if kind.make is type(basis))
        name = next(found, None)
        if name is None:
            known = ", ".join(BASES)
            raise ValueError(f"{type(basis).__name__} is not the class of one of {known}.")
        options: dict[str, Any] = basis.options()
        mine = {option: options[option] for option in BASES[name].options}
        return cls(name, decorrelate=basis.channels is not None, **mine)

    def describes(self, basis: Basis) -> bool:
        """Tell whether a basis is of this choice."""
        found = BasisSpec.of(basis)
        same = all(
            getattr(self, key) in (None, getattr(found, key)) for key in BASES[found.name].options
        )
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
        kind = BASES[self.name]
        if kind.fit is not None:
            return kind.fit(images, channels=channels)
        options = {option: getattr(self, option) for option in kind.options}
        return kind.make((c, h, w), **options, channels=channels)
