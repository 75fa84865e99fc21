"""The arms of `rgdiff study recipe`: a base, and changes of it by name."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from rgdiff_core.bases.spec import BasisSpec
from rgdiff_core.denoisers import ModelSpec
from rgdiff_core.networks import UNet
from rgdiff_core.study.images.ablation import MATCHED, SCALAR, STANDARD, WHITE
from rgdiff_core.training import TrainConfig
from rgdiff_core.training.losses import Objective
from rgdiff_core.training.noise_levels import Universal

__all__ = [
    "ARMS",
    "BASE",
    "SIZES",
    "TUNED",
    "Networks",
    "arm",
    "arm_config",
    "on",
    "process_title",
    "title",
]

BASE, TUNED = "base", "tuned"


@dataclass(frozen=True)
class Networks:
    """The networks of one size: the base, one that works on merged pixels, and a larger one."""

    base: UNet
    unshuffled: UNet
    larger: UNet


SIZES = {
    "small": Networks(
        UNet(16, (1, 2, 2), 1, (8,), group_channels=16, head_channels=32),
        UNet(32, (1, 2), 1, (8,), patch=2, group_channels=16, head_channels=64),
        UNet(24, (1, 2, 3), 1, (8,), group_channels=12, head_channels=72),
    ),
    "full": Networks(
        UNet(64, (1, 2, 2), 2, (8,), group_channels=16, head_channels=128),
        UNet(128, (1, 2), 2, (8,), patch=2, group_channels=16, head_channels=128),
        UNet(96, (1, 2, 2), 2, (8,), group_channels=16, head_channels=192),
    ),
}
ARMS = {  # name: what it changes
    BASE: "EDM's weights and log-normal times, labels, AdamW, white noise",
    "unit": "the loss in units of the posterior variance, at uniform times",
    "balanced": "weights halfway between EDM's and those of the unit loss, log-normal times",
    "likelihood": "the weights of the bound, at times of equal information",
    "unlabelled": "without class labels",
    "muon": "Muon for the convolutions",
    "unshuffled": "pixels merged into patches of 2×2",
    "added": "skip connections added instead of stacked",
    "larger": "a larger network",
    "standard": "standard diffusion: whitened input, conditioned on time, isotropic reference",
    "whitened": "whitened input",
    "timed": "conditioned on time",
    "isotropic": "isotropic reference",
    "output": "isotropic output scaling",
    "input": "isotropic input",
    "equal": "matched noise, linear log-SNR (EqualSNR)",
    "matched": "matched noise, sigmoid cutoff of width 0.3",
    "universal": "random processes instead of white noise",
    TUNED: "white noise for half of the steps, random processes from these weights on",
    "coarse": "coarse grids where the fine components are noise",
}
AS_STANDARD = {
    name: getattr(STANDARD, name) for name in ("network_input", "conditioning", "reference")
}
DENOISERS = ("whitened", "timed", "isotropic", "output", "input")  # one part of ours for another
PROCESSES = {"standard", "equal", "matched", "universal", TUNED}
ALIKE = (  # changes of the same thing: a later one takes the place of an earlier one
    {"unit", "balanced", "likelihood"},
    {"unshuffled", "larger"},
    {"equal", "matched", "universal", TUNED},
)


def arm(name: str) -> str:
    """Return the name of an arm, or of several changes "a+b"; raises `ValueError` for others."""
    for change in name.split("+"):
        if change not in ARMS:
            raise ValueError(f"{change!r} is no arm; those are: {', '.join(ARMS)}.")
    return "+".join(_changes(name)) or BASE


def on(base: str, name: str) -> str:
    """Return the arm that makes the changes of a name to another arm."""
    if name in (BASE, base):
        return base
    return name if base == BASE else f"{base}+{name}"


def title(name: str) -> str:
    """Return what an arm changes in all."""
    changes = _changes(name)
    kept = [
        each
        for place, each in enumerate(changes)
        if not any({each, later} <= alike for later in changes[place + 1 :] for alike in ALIKE)
    ]
    return "; ".join(ARMS[each] for each in kept or [BASE])


def process_title(name: str) -> str:
    """Return the noise and the denoiser of an arm in words: what it changes of them, else those of
    the base.
    """
    changes = _changes(name)
    changed = [ARMS[each].partition(":")[0] for each in changes if each in PROCESSES]
    parts = ", ".join(ARMS[each] for each in changes if each in DENOISERS)
    return "; ".join(changed or ["white noise, our denoiser"]) + (parts and f" ({parts})")


def _changes(name: str) -> list[str]:
    return [change for change in dict.fromkeys(name.split("+")) if change != BASE]


def arm_config(name: str, networks: Networks, *, batch: int, seed: int, data: str) -> TrainConfig:
    """Return an arm's config, but for the number of steps; "a+b" makes both changes."""
    found = TrainConfig(
        data=data,
        basis=BasisSpec(decorrelate=True),
        noise=WHITE,
        model=ModelSpec(networks.base),
        objective=Objective("edm", "lognormal"),
        class_conditional=True,
        batch=batch,
        lr=1e-3,
        decay="cooldown",
        ema_half_life=0.05,
        evaluations=1,
        previews=0,
        seed=seed,
    )

    def with_network(config: TrainConfig, network: UNet) -> TrainConfig:
        own = config.model.network
        assert isinstance(own, UNet)
        network = replace(network, added_skips=network.added_skips or own.added_skips)
        return replace(config, model=replace(config.model, network=network))

    changes: Mapping[str, Callable[[TrainConfig], TrainConfig]] = {
        "unit": lambda c: replace(c, objective=Objective("unit", "stratified")),
        "balanced": lambda c: replace(c, objective=Objective("balanced", "lognormal")),
        "likelihood": lambda c: replace(c, objective=Objective("elbo", "importance")),
        "unlabelled": lambda c: replace(c, class_conditional=False),
        "muon": lambda c: replace(c, optimizer="muon"),
        "unshuffled": lambda c: with_network(c, networks.unshuffled),
        "added": lambda c: with_network(c, replace(c.model.network, added_skips=True)),  # type: ignore[arg-type]
        "larger": lambda c: with_network(c, networks.larger),
        "standard": lambda c: replace(c, model=replace(c.model, **AS_STANDARD)),
        "whitened": lambda c: replace(c, model=replace(c.model, network_input="whitened")),
        "timed": lambda c: replace(c, model=replace(c.model, conditioning="time")),
        "isotropic": lambda c: replace(c, model=replace(c.model, reference="isotropic")),
        "input": lambda c: replace(c, model=replace(c.model, network_input="isotropic")),
        "output": lambda c: replace(c, model=replace(c.model, c_out="isotropic")),
        "equal": lambda c: replace(c, noise=SCALAR),
        "matched": lambda c: replace(c, noise=MATCHED),
        "universal": lambda c: replace(c, noise=Universal()),
        TUNED: lambda c: replace(c, noise=Universal()),
        "coarse": lambda c: replace(c, model=replace(c.model, coarse_grids=2)),
    }
    for change in _changes(name):
        found = changes[change](found)
    return found
