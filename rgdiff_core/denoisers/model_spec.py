"""What a learned denoiser is made of, as a spec."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from rgdiff_core.bases import Basis
from rgdiff_core.bases.coarse import MAX_HALVINGS
from rgdiff_core.bases.modes import Modes
from rgdiff_core.denoisers.modes_line import ModesLine
from rgdiff_core.lattice.line import CouplingLine
from rgdiff_core.networks import (
    MAX_PARAMETERS,
    STATE_POINTS,
    LatticeNet,
    NetworkSpec,
    meta_count,
)
from rgdiff_core.spec import Spec, check_range, check_whole

if TYPE_CHECKING:
    from rgdiff_core.denoisers.network import NetworkDenoiser

__all__ = ["ModelSpec"]

MAX_CLASSES = 10_000


@dataclass(frozen=True)
class ModelSpec(Spec):
    """A learned denoiser by its choices.

    Arguments:
        network: the network F.
        c_out: "std" for √V, "variance" for V/d, or "isotropic" for √V̄, V with the mean of the
            reference's variances in place of each.
        network_input: "posterior_mean" for the field U m / d, "isotropic" for the same with the
            mean of the reference's variances in place of each, so that white noise is filtered at
            no scale, or "whitened" for the field of unit variance U(c_in χ) with
            c_in² = 1/(α²Σ + σ²S²).
        conditioning: on the noise: "noise_levels" for its level as a function of scale,
            "octave_levels" for that and the data's variance at two scales an octave, or "time" for
            one number (the mean log level).
        reference: the Gaussian that F corrects, "spectrum" for the data's mean and variances, or
            "isotropic" for their averages over all components (EDM's scalar preconditioning).
        class_names: of the classes that F is conditioned on, none by default.
        line: of the couplings (m², λ) that F, and the Gaussian that it corrects, are conditioned
            on, none by default.
        coarse_grids: how many coarser grids F may run on, each with half the sides of the one
            before; 0 to 8. F is conditioned on the number of halvings, and its weights serve all.
        coarse_snr: ε, the signal-to-noise ratio up to which a component counts as noise, in
            (0, 1].
    """

    former_names: ClassVar[Mapping[str, str]] = {
        "scaling": "c_out",
        "sees": "network_input",
        "told": "conditioning",
    }
    former_values: ClassVar[Mapping[str, Mapping[str, str]]] = {
        "c_out": {"deviation": "std"},
        "network_input": {"mean": "posterior_mean", "scaled": "whitened"},
        "conditioning": {"levels": "noise_levels"},
    }

    network: NetworkSpec = LatticeNet()
    c_out: str = "std"
    network_input: str = "posterior_mean"
    conditioning: str = "noise_levels"
    reference: str = "spectrum"
    class_names: tuple[str, ...] = ()
    line: CouplingLine | None = None
    coarse_grids: int = 0
    coarse_snr: float = 0.01

    def __post_init__(self) -> None:
        for name, known in _CHOICES.items():
            value = getattr(self, name)
            if value not in known:
                raise ValueError(f"{name} = {value!r} is not one of {', '.join(known)}.")
        check_whole("number of classes", len(self.class_names), 0, MAX_CLASSES)
        check_whole("coarse_grids", self.coarse_grids, 0, MAX_HALVINGS)
        check_range("coarse_snr", self.coarse_snr, 0, 1, low_open=True)

    def build(self, basis: Basis, modes: Modes | ModesLine) -> "NetworkDenoiser":
        """Return the denoiser with fresh weights, on the device of the modes."""
        from rgdiff_core.denoisers.network import NetworkDenoiser

        return NetworkDenoiser(basis, modes, self)

    def parameters(self, shape: tuple[int, int, int]) -> int:
        """Return how many parameters the network has for fields (C, H, W), without making it.

        Raises `ValueError` where the fields, on any of the grids, do not fit the network or it is
        too large.
        """
        channels, height, width = shape
        features, classes = self.features(channels), len(self.class_names)
        for halvings in range(1, self.coarse_grids + 1):
            coarse = (channels, height >> halvings, width >> halvings)
            meta_count(self.network, coarse, features, classes)
        count = meta_count(self.network, shape, features, classes)
        if count > MAX_PARAMETERS:
            raise ValueError(
                f"the network has {count / 1e6:.0f} million parameters; at most "
                f"{MAX_PARAMETERS / 1e6:.0f} are allowed."
            )
        return count

    def features(self, channels: int) -> int:
        """Return how many numbers describe noise, couplings and grid to the network."""
        own = (self.line is not None) + (self.coarse_grids > 0)
        return _features(self.conditioning, channels) + own


def _features(conditioning: str, channels: int) -> int:
    """Return how many numbers describe the noise to a network."""
    kinds = {"noise_levels": 1, "octave_levels": 2}
    return kinds[conditioning] * channels * STATE_POINTS if conditioning in kinds else 1


_CHOICES = {
    "c_out": ("std", "variance", "isotropic"),
    "network_input": ("posterior_mean", "isotropic", "whitened"),
    "conditioning": ("noise_levels", "octave_levels", "time"),
    "reference": ("spectrum", "isotropic"),
}
