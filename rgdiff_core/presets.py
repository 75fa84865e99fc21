r"""Named processes of the literature, each as basis × colour × schedule.

Parameters are the papers' own where `reference` names one; `look` names what to look at while it
runs.
"""

import math
from dataclasses import dataclass

from rgdiff_core.bases.spec import BasisSpec
from rgdiff_core.colors import Color, CurveColor, FreeTheory, Matched, PowerLaw, White
from rgdiff_core.schedules import (
    EDM,
    VE,
    BlurringDiffusion,
    Carosso,
    Cosine,
    Cutoff,
    CutoffPath,
    FlowMatching,
    HardKernel,
    InverseHeat,
    InverseRG,
    LinearBeta,
    LinearGamma,
    Polchinski,
    Schedule,
    Sequential,
    SigmoidKernel,
    SoftConditioning,
    WaveletLevels,
)

__all__ = ["PRESETS", "Preset"]


@dataclass(frozen=True)
class Preset:
    """A process with a name.

    Attributes:
        title: how it is called.
        reference: where it comes from.
        look: a sentence on what to look at.
        basis: U, where.
        color: S, how loud.
        schedule: γ_k(t), when.
    """

    title: str
    reference: str
    look: str
    basis: BasisSpec
    color: Color
    schedule: Schedule


_UNIT = White(normalize=False)
_RGDM_MASS2 = (math.pi / 20) ** 2

PRESETS: dict[str, Preset] = {
    "rg-cutoff": Preset(
        "RG cutoff, matched noise",
        "Gerdes, Welling & Cheng, GUD, 2410.02667",
        "Drag the cutoff Λ: scales finer than Λ have become noise of the data's own spectrum; "
        "coarser ones are still largely intact.",
        BasisSpec("fourier", decorrelate=True),
        Matched(),
        Cutoff(SigmoidKernel(0.1), CutoffPath((0.0, 0.25, 0.6, 1.0), (1.0, 0.62, 0.36, 0.0))),
    ),
    "ddpm": Preset(
        "DDPM / VP",
        "Ho et al., 2006.11239; Song et al., 2011.13456",
        "White noise is flat while the spectrum of images falls off as a power of k: fine scales "
        "drown first although every pixel is treated alike.",
        BasisSpec("pixel"),
        _UNIT,
        LinearBeta(),
    ),
    "cosine": Preset(
        "Cosine",
        "Nichol & Dhariwal, 2102.09672",
        "The same path as DDPM in another time: information leaves more evenly.",
        BasisSpec("pixel"),
        _UNIT,
        Cosine(),
    ),
    "vdm": Preset(
        "Linear log-SNR",
        "Kingma et al., 2107.00630",
        "The heat map falls by the same amount in every second of the animation.",
        BasisSpec("pixel"),
        _UNIT,
        LinearGamma(),
    ),
    "ve": Preset(
        "Variance exploding",
        "Song et al., 2011.13456",
        "The image never shrinks: it is buried under noise of growing amplitude.",
        BasisSpec("pixel"),
        _UNIT,
        VE(),
    ),
    "edm": Preset(
        "EDM",
        "Karras et al., 2206.00364",
        "Variance exploding, with most of the time spent where the picture is decided.",
        BasisSpec("pixel"),
        _UNIT,
        EDM(),
    ),
    "flow-matching": Preset(
        "Flow matching",
        "Lipman et al., 2210.02747; Liu et al., 2209.03003",
        "A straight line from data to noise: each pixel moves at constant speed.",
        BasisSpec("pixel"),
        _UNIT,
        FlowMatching(),
    ),
    "equal-snr": Preset(
        "EqualSNR",
        "Falck et al., 2505.11278",
        "Noise with the data's spectrum: all scales lose their SNR together, the heat map has no "
        "tilt.",
        BasisSpec("fourier", decorrelate=True),
        Matched(),
        Cosine(),
    ),
    "gud-soft": Preset(
        "GUD soft conditioning",
        "Gerdes, Welling & Cheng, 2410.02667",
        "Drag the softness: from all scales at once to one scale after another.",
        BasisSpec("pca"),
        Matched(),
        SoftConditioning(-7.0, 3.0, 0.2, "scale"),
    ),
    "gud-columns": Preset(
        "GUD column by column",
        "Gerdes, Welling & Cheng, 2410.02667",
        "A soft autoregressive scan: the right columns go first and would be generated last.",
        BasisSpec("pixel"),
        White(),
        Sequential("column", 0.3, -13.0, 5.0),
    ),
    "gud-haar": Preset(
        "GUD Haar levels",
        "Gerdes, Welling & Cheng, 2410.02667",
        "Three Haar levels, overlapping: blocks of 2, 4 and 8 pixels dissolve one after another.",
        BasisSpec("wavelet", wavelet="haar", levels=3),
        Matched(),
        WaveletLevels(0.5),
    ),
    "wsgm": Preset(
        "Wavelet score-based (WSGM)",
        "Guth et al., 2208.05003",
        "Whitened wavelet bands strictly one after another: each finer band given the coarser "
        "ones.",
        BasisSpec("wavelet", wavelet="haar"),
        Matched(),
        WaveletLevels(0.0),
    ),
    "hard": Preset(
        "Hard cutoff",
        "the autoregressive limit, as in spectral autoregression (Dieleman 2024)",
        "No overlap at all: at any time each scale is either data or noise. Only the shell step "
        "keeps its variance, and for data that are not Gaussian no number of steps is enough.",
        BasisSpec("fourier"),
        Matched(),
        Cutoff(HardKernel(), CutoffPath((0.0, 0.25, 0.6, 1.0), (1.0, 0.62, 0.36, 0.0))),
    ),
    "inverse-heat": Preset(
        "Inverse heat dissipation",
        "Rissanen, Heinonen & Solin, 2206.13397",
        "Hardly any noise: the picture diffuses like heat until only its mean colour is left.",
        BasisSpec("cosine"),
        _UNIT,
        InverseHeat(),
    ),
    "blurring": Preset(
        "Blurring diffusion",
        "Hoogeboom & Salimans, 2209.05557",
        "Blur and white noise together: fine scales shrink before they drown.",
        BasisSpec("cosine"),
        _UNIT,
        BlurringDiffusion(),
    ),
    "inverse-rg": Preset(
        "Inverse RG (RGDM)",
        "Masuki & Ashida, 2501.09064",
        "Noise over signal, σS/α, is the same in every component: white-noise diffusion in which "
        "each component is shrunk to the free theory's size.",
        BasisSpec("cosine"),
        FreeTheory(_RGDM_MASS2),
        InverseRG(_RGDM_MASS2),
    ),
    "carosso": Preset(
        "Carosso's RG",
        "Carosso, 1904.13057; Cotler & Rezchikov, 2308.12355",
        "The heat equation with noise: it ends in the massless free field, slowest at the "
        "longest waves.",
        BasisSpec("fourier", momentum="lattice"),
        FreeTheory(0.0),
        Carosso(),
    ),
    "polchinski": Preset(
        "Polchinski's flow",
        "Polchinski 1984; Cotler & Rezchikov, 2308.12355",
        "Signal and noise are integrated out together: the field itself shrinks to nothing.",
        BasisSpec("fourier", momentum="lattice"),
        FreeTheory(0.5),
        Polchinski(),
    ),
    "flicker": Preset(
        "Flicker noise (1/f)",
        "Flicker-DDPM, 2606.03393",
        "Noise half-way between white and natural: coarse scales now drown earlier than under "
        "DDPM.",
        BasisSpec("fourier"),
        PowerLaw(1.0),
        LinearBeta(),
    ),
    "blue": Preset(
        "Blue noise",
        "after Huang et al., Blue noise for diffusion models, SIGGRAPH 2024",
        "Noise that lives at fine scales: coarse shapes stay visible for longest.",
        BasisSpec("fourier"),
        PowerLaw(-2.0, cutoff=0.3),
        Cosine(),
    ),
    "bands": Preset(
        "Two bands of noise",
        "after Scimeca et al., 2510.09660 (spectrally anisotropic noise)",
        "Noise that is louder in one band than in the other: drag the step, and see which scales "
        "drown first.",
        BasisSpec("fourier"),
        CurveColor((0.0, 0.25, 0.35, 1.0), (1.5, 1.5, -1.5, -1.5)),
        Cosine(),
    ),
}
