"""Training configs by name: the presets of the page and of `rgdiff train`."""

from collections.abc import Mapping
from dataclasses import dataclass

from rgdiff_core import schedules
from rgdiff_core.bases.spec import BasisSpec
from rgdiff_core.colors import Matched, White
from rgdiff_core.denoisers import ModelSpec
from rgdiff_core.networks import NETWORKS, LatticeNet, UNet
from rgdiff_core.training.config import TrainConfig
from rgdiff_core.training.losses import Objective
from rgdiff_core.training.noise_levels import FixedProcess, Universal

__all__ = ["PRESETS", "TrainingPreset"]


@dataclass(frozen=True)
class TrainingPreset:
    """A config with a display name, a sentence on what to expect, and one on how long it takes."""

    title: str
    about: str
    takes: str
    config: TrainConfig


_LATTICE = BasisSpec(momentum="lattice")
_IMAGES = BasisSpec(decorrelate=True)
_NOISE_LOSS = Objective("simple")  # on images better than "unit": docs/findings.md
_OBJECTS = Objective("balanced", "lognormal")  # draws more of them: docs/findings.md
_UNIVERSAL = ModelSpec(LatticeNet(24, 3), c_out="variance")

PRESETS: Mapping[str, TrainingPreset] = {
    "phi4-2min": TrainingPreset(
        "φ⁴, one process",
        "A small network for 6×6 fields in the broken phase, trained on matched noise with a "
        "cutoff schedule: samples turn from the free theory into two wells while you watch.",
        "Half a minute to two minutes on two cores.",
        TrainConfig(
            data="phi4-6x6-broken",
            basis=_LATTICE,
            noise=FixedProcess(Matched(), schedules.Cutoff(schedules.SigmoidKernel(0.3))),
            model=ModelSpec(NETWORKS["lattice-small"], c_out="variance"),
            steps=2000,
            batch=128,
            lr=6e-3,
            ema=0.995,
        ),
    ),
    "phi4-10min": TrainingPreset(
        "φ⁴, universal",
        "One network for every schedule and every colour in the Fourier basis, on 6×6 fields of "
        "the symmetric phase.",
        "Three to ten minutes on two cores.",
        TrainConfig(
            data="phi4-6x6",
            basis=_LATTICE,
            noise=Universal(),
            model=_UNIVERSAL,
            steps=10_000,
            batch=128,
            lr=6e-3,
            ema=0.998,
        ),
    ),
    "phi4-line": TrainingPreset(
        "φ⁴, a line of couplings",
        "One universal network for 6×6 fields at every coupling λ from 4 to 7, conditioned on it; "
        "on the Samples page λ is a slider, between the couplings that it was trained on too.",
        "Two to ten minutes on two cores.",
        TrainConfig(
            data="phi4-6x6-line",
            basis=_LATTICE,
            noise=Universal(64, every=7),  # at each of seven couplings
            model=_UNIVERSAL,
            coupling_conditional=True,
            steps=8000,
            batch=126,
            lr=6e-3,
            ema=0.998,
        ),
    ),
    "cifar10-cpu": TrainingPreset(
        "CIFAR-10, small network",
        "A U-Net of 0.3 million parameters: colours and blobs, no objects yet.",
        "Ten to twenty minutes on two cores.",
        TrainConfig(
            data="cifar10",
            basis=_IMAGES,
            noise=Universal(),
            model=ModelSpec(NETWORKS["unet-0.3m"]),
            objective=_NOISE_LOSS,
            steps=4000,
            batch=32,
            lr=2e-3,
            ema=0.998,
            evaluations=5,
            previews=8,
        ),
    ),
    "cifar10-15min": TrainingPreset(
        "CIFAR-10 by class, small network",
        "A U-Net of 0.3 million parameters that is told the class, for every schedule and every "
        "colour: on the Samples page choose a class and a guidance of 3, and drag Λ(t). Expect "
        "shapes and colours of the class, and few objects.",
        "Ten to twenty-five minutes on two cores.",
        TrainConfig(
            data="cifar10",
            basis=_IMAGES,
            noise=Universal(),
            model=ModelSpec(UNet(16, (1, 2, 2), 1, (8,), group_channels=16, head_channels=32)),
            objective=_OBJECTS,
            class_conditional=True,
            steps=5000,
            batch=32,
            lr=1e-3,
            optimizer="muon",
            decay="cooldown",
            ema_half_life=0.05,
            evaluations=5,
            previews=8,
        ),
    ),
    "cifar10-classes": TrainingPreset(
        "CIFAR-10 by class, medium network",
        "A universal U-Net of 1.7 million parameters, conditioned on the ten classes: a first "
        "look at labels and guidance.",
        "About half an hour on two cores without matrix units for bfloat16, and less with them.",
        TrainConfig(
            data="cifar10",
            basis=_IMAGES,
            noise=Universal(),
            model=ModelSpec(
                UNet(48, (1, 2), 1, (8,), patch=2, group_channels=16, head_channels=48)
            ),
            objective=_OBJECTS,
            class_conditional=True,
            steps=3000,
            batch=64,
            lr=1e-3,
            optimizer="muon",
            warmup=300,
            decay="cooldown",
            ema_half_life=0.05,
            evaluations=5,
            previews=8,
        ),
    ),
    "cifar10-gpu": TrainingPreset(
        "CIFAR-10, large network (GPU)",
        "A universal U-Net of 11 million parameters.",
        "Hours on one GPU.",
        TrainConfig(
            data="cifar10",
            basis=_IMAGES,
            noise=Universal(),
            model=ModelSpec(NETWORKS["unet-10m"]),
            objective=_NOISE_LOSS,
            steps=200_000,
            batch=256,
            lr=5e-4,
            warmup=2000,
            ema=0.9999,
            precision="bfloat16",
            compile=True,
            log_every=100,
            checkpoint_seconds=300,
            evaluations=40,
            previews=40,
        ),
    ),
    "cifar10-standard": TrainingPreset(
        "CIFAR-10, standard diffusion",
        "The baseline: white noise in every pixel alike, a network that is given the time "
        "alone, scalar preconditioning, and no Gaussian to start from.",
        "Ten to twenty minutes on two cores.",
        TrainConfig(
            data="cifar10",
            basis=_IMAGES,
            noise=FixedProcess(White(), schedules.Cosine()),
            model=ModelSpec(
                NETWORKS["unet-0.3m"],
                network_input="whitened",
                conditioning="time",
                reference="isotropic",
            ),
            objective=_NOISE_LOSS,
            steps=4000,
            batch=32,
            lr=2e-3,
            ema=0.998,
            evaluations=5,
            previews=8,
        ),
    ),
}
