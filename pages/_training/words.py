"""The words of the Training page's form: labels, help, and the entries of its menus."""

from collections.abc import Mapping

import rgdiff_core as rg
from rgdiff_core.training.learned_schedule import LearnedProcess
from rgdiff_core.training.noise_levels import FixedProcess, Universal

__all__ = ["HELP", "MODEL", "NOISES", "OBJECTIVE", "data_title", "label_of", "noise_title"]

LABELS = {
    "limit": "Maximum images",
    "max_minutes": "Time limit (minutes)",
    "optimizer": "Optimizer",
    "lr": "Learning rate",
    "warmup": "Warm-up",
    "weight_decay": "Weight decay",
    "beta2": "β₂",
    "ema": "EMA",
    "ema_half_life": "EMA half-life",
    "class_conditional": "Condition on classes",
    "coupling_conditional": "Condition on couplings",
    "label_dropout": "Share of labels dropped",
    "c_out": "Output scaling",
    "network_input": "Network input",
    "conditioning": "Conditioning on the noise",
    "reference": "Reference Gaussian",
    "group_channels": "Channels per group",
    "head_channels": "Channels per head",
    "added_skips": "Add skip connections",
    "patch": "Patch",
    "level_mean": "Mean of γ",
    "level_std": "Spread of γ",
    "log_every": "Logging interval (steps)",
    "checkpoint_seconds": "Seconds between checkpoints",
}
HELP = {
    "c_out": "What the network's output is multiplied by: √V of each component, V (a force), or "
    "√V of white data (EDM).",
    "network_input": "The Gaussian posterior mean; that of white data, which filters white noise "
    "at no scale; or the field scaled to unit variance.",
    "conditioning": "Noise conditioning passed to the network: the noise level as a function of "
    "scale, that and the data's variance by octave, or one number that stands for the time.",
    "reference": "The Gaussian that the network corrects: with the data's spectrum, or with the "
    "same variance in all components.",
    "weighting": "What the squared error is weighted by, in time and scale; EDM's weights all "
    "scales equally and favours the picture as a whole over fine detail.",
    "times": "Equal slices of time, equal slices of information, or EDM's log-normal noise "
    "levels, of which a tenth is uniform.",
    "level_mean": "Centre of the log-normal noise levels: γ = −log-SNR of white noise.",
    "level_std": "Standard deviation of γ around that centre.",
    "width": "Channels.",
    "depth": "Residual blocks.",
    "kernel": "Side of the convolutions in sites, odd.",
    "multipliers": "Channels at each resolution in units of the width, as 1, 2, 2.",
    "blocks": "Residual blocks at each resolution.",
    "attention": "Sides of the picture at which there is attention, as 16, 8.",
    "dropout": "Share of hidden units that are left out at random.",
    "periodic": "Whether convolutions wrap around to the opposite edge.",
    "patch": "Side of the squares of pixels that are merged into channels: 1 for none; 2 leaves "
    "a quarter of the sites to compute on.",
    "group_channels": "Least number of channels that a normalization averages over; 16 is fast.",
    "head_channels": "For attention; few wide heads are faster than many narrow ones.",
    "added_skips": "Skip connections added to the features, a sixth faster, instead of stacked "
    "on them as more channels.",
}
MODEL: Mapping[str, Mapping[str, str]] = {
    "c_out": {"std": "√V", "variance": "V", "isotropic": "√V of white data"},
    "network_input": {
        "posterior_mean": "posterior mean",
        "isotropic": "posterior mean of white data",
        "whitened": "whitened field",
    },
    "conditioning": {
        "noise_levels": "noise by scale",
        "octave_levels": "noise and variance by octave",
        "time": "time only",
    },
    "reference": {"spectrum": "the data's spectrum", "isotropic": "isotropic"},
}
OBJECTIVE: Mapping[str, Mapping[str, str]] = {
    "weighting": {
        "unit": "unit variance",
        "simple": "ε (simple)",
        "x0": "x₀",
        "v": "v",
        "elbo": "ELBO",
        "edm": "EDM",
        "balanced": "balanced",
    },
    "times": {
        "stratified": "stratified",
        "importance": "importance-sampled",
        "lognormal": "log-normal",
    },
}


NOISES: Mapping[type, str] = {
    Universal: "Universal",
    FixedProcess: "One process",
    LearnedProcess: "One process, schedule learned",
}


def noise_title(kind: type) -> str:
    """Return what a kind of noise that a model is trained on is called."""
    return NOISES.get(kind) or kind.__name__


def data_title(name: str) -> str:
    """Return what a data set is called; its name where it is not known any more."""
    return next((info.title for info in rg.data.available() if info.name == name), name)


def label_of(field: str) -> str:
    """Return what a field of the form is called."""
    return LABELS.get(field, field.replace("_", " ").capitalize())
