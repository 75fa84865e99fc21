"""What every basis has, and the simplest one: pixels. The package's docstring has the theory."""

import abc
import math
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from rgdiff_core.devices import doubled

__all__ = [
    "Basis",
    "PixelBasis",
    "Shape",
    "check_fields",
    "check_images",
    "checked_shape",
    "decorrelation",
    "laplacian_diagonal",
    "mix",
    "principal_axes",
    "rotation",
    "same_basis",
]

Shape = tuple[int, int, int]
MAX_SIZE = 1024
CHUNK = 4096  # images at once


def laplacian_diagonal(basis: "Basis", components: Tensor | None = None) -> Tensor:
    """Return the diagonal of −Δ, of the periodic lattice, in a basis: the k² of each component.

    Arguments:
        components: numbers of the flattened components, (n,); None for all.

    Returns:
        (n,), or (C, H, W) for all; in [0, 8].
    """
    count = math.prod(basis.shape)
    chosen = torch.arange(count) if components is None else components
    found = []
    for rows in chosen.split(1024):
        unit = torch.nn.functional.one_hot(rows, count).to(basis.scale)
        x = basis.synthesize(unit.reshape(-1, *basis.shape))
        differences = [x.roll(1, axis) - x for axis in (-2, -1)]
        found.append(torch.stack(differences).square().sum((0, 2, 3, 4)))
    return torch.cat(found).reshape(basis.shape if components is None else (len(chosen),))


def check_images(images: Tensor, least: int = 1) -> None:
    """Raise a one-line `ValueError` unless `images` is (N, C, H, W), finite, with N ≥
    `least`.
    """
    if images.ndim != 4:
        raise ValueError(f"images must have shape (N, C, H, W), got {tuple(images.shape)}.")
    if len(images) < least:
        raise ValueError(f"{len(images)} images are too few: at least {least} are needed here.")
    if not torch.isfinite(images).all():
        raise ValueError("the images contain NaN or infinite values.")


def check_fields(x: Tensor, basis: "Basis") -> None:
    """Raise a one-line `ValueError` unless x is fields (B, C, H, W), B ≥ 1, that fit a basis."""
    if x.ndim == 4 and tuple(x.shape[1:]) == basis.shape and len(x):
        return
    wanted = ", ".join(map(str, basis.shape))
    hint = "; for one field give x[None]" if tuple(x.shape) == basis.shape else ""
    raise ValueError(
        f"fields x must have shape (B, {wanted}) with B ≥ 1, got {tuple(x.shape)}{hint}."
    )


def decorrelation(images: Tensor) -> Tensor:
    """Return the orthonormal (C, C) matrix whose rows are the principal axes of the channels.

    Arguments:
        images: (N, C, H, W). The channels' covariance is taken over images and pixels, in double
            precision where the device has it: two axes may have almost the same variance.

    Returns:
        An axis a stands for ±a, of which the one with Σ_c a_c/4^c > 0 is taken: no axis of
        pictures is near the change of sign.
    """
    check_images(images)
    count, channels = len(images) * images[0, 0].numel(), images.shape[1]
    first, second = doubled(images.new_zeros(channels)), 0.0
    for part in images.split(CHUNK):
        pixels = doubled(part.movedim(1, 0).flatten(1))
        first, second = first + pixels.sum(1), second + pixels @ pixels.T
    mean = first / count
    axes, _ = principal_axes(second / count - mean[:, None] * mean)
    weights = 4.0 ** -torch.arange(channels).to(axes)
    return (axes * torch.where(axes @ weights < 0, -1.0, 1.0)[:, None]).to(images)


def principal_axes(covariance: Tensor) -> tuple[Tensor, Tensor]:
    """Return eigenvectors as rows (largest variance first, largest entry positive) and
    variances.
    """
    variance, vectors = torch.linalg.eigh(covariance)
    rows = vectors.flip(1).T.contiguous()
    largest = rows.gather(1, rows.abs().argmax(1, keepdim=True))
    return rows * torch.where(largest < 0, -1.0, 1.0), variance.flip(0)


class Basis(nn.Module, abc.ABC):
    """An orthogonal change of basis of fields of shape (C, H, W).

    Derived classes write `transform` and `inverse_transform`; JSON names them by their class.

    Attributes:
        shape: (C, H, W).
        scale: (C or 1, H, W), in [0, 1], 0 the coarsest.
        momentum: (C or 1, H, W), |k| ≥ 0 in radians per lattice spacing.
        channels: (C, C) orthonormal rotation of the colour channels, or None.

    Raises `ValueError` for a shape that is not three positive integers, or that the basis can't
    have.
    """

    kinds: ClassVar[dict[str, type["Basis"]]] = {}  # by the name of the class, as in JSON

    scale: Tensor
    momentum: Tensor
    channels: Tensor | None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        owner = cls.kinds.get(cls.__name__, cls).__module__
        if owner != cls.__module__:
            raise ValueError(
                f"the kind {cls.__name__!r} is taken by {owner}: give the class another name."
            )
        cls.kinds[cls.__name__] = cls

    def __init__(
        self, shape: Shape, scale: Tensor, momentum: Tensor, channels: Tensor | None
    ) -> None:
        super().__init__()
        self.shape = shape
        self.register_buffer("scale", scale.to(torch.get_default_dtype()))
        self.register_buffer("momentum", momentum.to(torch.get_default_dtype()))
        self.register_buffer("channels", None if channels is None else rotation(channels, shape))

    def analyze(self, x: Tensor) -> Tensor:
        """Return the components U†x of fields x: (..., C, H, W) → (..., C, H, W)."""
        self._check(x)
        return self.transform(x if self.channels is None else mix(self.channels, x))

    def synthesize(self, c: Tensor) -> Tensor:
        """Return the fields U c of components c: (..., C, H, W) → (..., C, H, W)."""
        self._check(c)
        x = self.inverse_transform(c)
        return x if self.channels is None else mix(self.channels.T, x)

    def _check(self, x: Tensor) -> None:
        if tuple(x.shape[-3:]) != self.shape:
            raise ValueError(f"expected fields (..., {self.shape}), got {tuple(x.shape)}.")
        if not torch.is_floating_point(x):
            raise ValueError(f"fields must be floating-point numbers, got {x.dtype}.")

    @abc.abstractmethod
    def transform(self, x: Tensor) -> Tensor:
        """Return the components of fields (..., C, H, W), whose channels are rotated already."""

    @abc.abstractmethod
    def inverse_transform(self, c: Tensor) -> Tensor:
        """Return the fields (..., C, H, W) of components: the inverse, and transpose, of
        `transform`.
        """

    def __repr__(self) -> str:
        options = "".join(f", {name}={value!r}" for name, value in self.options().items())
        rotated = "" if self.channels is None else ", channels decorrelated"
        return f"{type(self).__name__}({self.shape}{options}{rotated})"

    def coarse(self, shape: Shape) -> "Basis":
        """Return the same basis for fields (C, h, w) of a coarser grid; see `CoarseGrid`.

        Raises `ValueError` where its components belong to no coarser grid.
        """
        raise ValueError(
            f"the components of a {type(self).__name__} belong to no coarser grid, {shape[1]}×"
            f"{shape[2]} for one: use the Fourier or the cosine basis, or wavelets."
        )

    def on(self, shape: Shape) -> "Basis":
        """Return the same basis for fields (C, H, W) of another size, where a scale stands for
        the same waves as here.

        Raises `ValueError` for a basis whose scales depend on the size, and for another number of
        channels.
        """
        raise ValueError(
            f"a {type(self).__name__} of {self.shape[1]}×{self.shape[2]} sites has no counterpart "
            f"on {shape[1]}×{shape[2]}: only pixels, Fourier modes and wavelets have one."
        )

    def _same_channels(self, shape: Shape) -> Shape:
        """Return (C, H, W) as integers; raises `ValueError` for another number of channels."""
        shape = checked_shape(shape)
        if shape[0] != self.shape[0]:
            raise ValueError(f"shape = {shape} does not have the {self.shape[0]} channels.")
        return shape

    def coarse_places(self, side: int, coarse_side: int) -> Tensor:
        """Return where the components of a coarser grid's side stand along a side, (coarse_side,),
        int64.
        """
        del side
        return torch.arange(coarse_side)

    def options(self) -> dict[str, str | int | None]:
        """Return what, beside shape and tensors, is needed to build this basis again."""
        return {}


class PixelBasis(Basis):
    """The identity: components are pixels, as in standard diffusion.

    Arguments:
        shape: (C, H, W).
        channels: orthonormal (C, C) rotation of the channels, from `decorrelation`.
    """

    def __init__(self, shape: Shape, *, channels: Tensor | None = None) -> None:
        shape = checked_shape(shape)
        zero = torch.zeros(1, *shape[1:])
        super().__init__(shape, zero, zero, channels)

    def on(self, shape: Shape) -> Basis:
        """Return the pixels of another size."""
        return PixelBasis(self._same_channels(shape), channels=self.channels).to(self.scale)

    def transform(self, x: Tensor) -> Tensor:
        """Return the fields themselves."""
        return x

    def inverse_transform(self, c: Tensor) -> Tensor:
        """Return the components themselves."""
        return c


def rotation(channels: Tensor, shape: Shape) -> Tensor:
    """Return the (C, C) matrix; raises `ValueError` unless it is orthonormal and fits the
    shape.
    """
    c = shape[0]
    if tuple(channels.shape) != (c, c):
        raise ValueError(f"channels must have shape ({c}, {c}), got {tuple(channels.shape)}.")
    gram = doubled(channels) @ doubled(channels).T
    if not torch.allclose(gram, torch.eye(c).to(gram), atol=1e-4):
        raise ValueError("channels must be an orthonormal matrix.")
    return channels


def same_basis(one: Basis, other: Basis, *, axes: bool = True) -> bool:
    """Tell whether two bases are alike, by what they make of one field that has a part of
    everything.

    Arguments:
        axes: whether their colour axes have to be, too.
    """
    if type(one) is not type(other) or one.shape != other.shape:
        return False
    probe = torch.sin(torch.arange(1.0, 1 + math.prod(one.shape))).reshape(one.shape)
    probe = probe.to(one.scale.device)
    first, second = (x.analyze(probe) if axes else x.transform(probe) for x in (one, other))
    return torch.allclose(first, second, atol=1e-3)


def mix(matrix: Tensor, x: Tensor) -> Tensor:
    """Apply a (C, C) matrix to the channels of fields (..., C, H, W)."""
    return (matrix.to(x.dtype) @ x.flatten(-2)).reshape(x.shape)


def checked_shape(shape: tuple[int, ...]) -> Shape:
    """Return (C, H, W) as integers; raises `ValueError` unless they are in [1, 1024]."""
    # n >= 1 first: it is false for NaN
    if len(shape) != 3 or not all(n >= 1 and (n == math.inf or n == int(n)) for n in shape):
        raise ValueError(f"shape = {tuple(shape)} must be three positive integers (C, H, W).")
    if max(shape) > MAX_SIZE:
        raise ValueError(f"shape = {tuple(shape)} has a side outside [1, {MAX_SIZE}].")
    c, h, w = (int(n) for n in shape)
    return c, h, w
