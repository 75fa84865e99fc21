"""The tour: six prepared states that tell the story, from ordinary diffusion to the
renormalization group.
"""

from dataclasses import dataclass

from pages._noising.state import NoisingState
from pages._shared.process_choice import ProcessChoice
from rgdiff_core.bases.spec import BasisSpec
from rgdiff_core.colors import FreeTheory, Matched, White
from rgdiff_core.presets import PRESETS
from rgdiff_core.schedules import Cosine, Cutoff, CutoffPath, SigmoidKernel, WaveletLevels

__all__ = ["Stop", "stops"]


@dataclass(frozen=True)
class Stop:
    """A state of the page with a title and a few sentences."""

    title: str
    text: str
    state: NoisingState


def _preset(name: str) -> ProcessChoice:
    preset = PRESETS[name]
    return ProcessChoice(preset.basis, preset.color, preset.schedule)


_FOURIER = BasisSpec("fourier", decorrelate=True)
_LATTICE = BasisSpec("fourier", momentum="lattice")
_PATH = CutoffPath((0.0, 0.25, 0.6, 1.0), (1.0, 0.62, 0.36, 0.0))
_SOFT = ProcessChoice(_FOURIER, Matched(), Cutoff(SigmoidKernel(0.4), _PATH))
_SHARP = ProcessChoice(_FOURIER, Matched(), Cutoff(SigmoidKernel(0.03), _PATH))


def stops(images: str) -> tuple[Stop, ...]:
    """Return the six stops, with a data set of colour images for the first five."""
    return (
        Stop(
            "Diffusion",
            "White noise is added to every pixel alike. Yet the spectrum shows that scales are "
            "not alike: images fall "
            "like 1/k², the noise is flat, and so the fine scales drown first. Scrub t and watch "
            "the crossing move.",
            NoisingState(images, (_preset("cosine"),), t=0.3),
        ),
        Stop(
            "Noise colour",
            "A: white noise. B: noise with the data's own spectrum, and the same schedule. Now "
            "all scales lose "
            "their signal together: the heat map has no tilt, and the flow ends in a Gaussian "
            "field that has the data's "
            "spectrum, of which the score is known exactly.",
            NoisingState(
                images,
                (
                    ProcessChoice(_FOURIER, White(), Cosine()),
                    ProcessChoice(_FOURIER, Matched(), Cosine()),
                ),
                t=0.45,
                view="side",
            ),
        ),
        Stop(
            "A moving cutoff",
            "The renormalization group erases information scale by scale. Drag the curve Λ(t): "
            "scales above "
            "it have become noise, scales below it are untouched. Hover over the spectrum to see "
            "one scale alone.",
            NoisingState(images, (_preset("rg-cutoff"),), t=0.4),
        ),
        Stop(
            "Soft to hard",
            "The width of the cutoff leads from diffusion (A, soft: many scales at a time) to "
            "autoregression "
            "(B, sharp: one scale after another, each given the coarser ones). Move the wipe "
            "across the pictures.",
            NoisingState(images, (_SOFT, _SHARP), t=0.7, view="wipe"),
        ),
        Stop(
            "Wavelets",
            "Wavelets are local in space and in scale. Here the levels of a Haar basis go one "
            "after another: "
            "first the finest detail, at last the mean colour, as in block-spin renormalization.",
            NoisingState(
                images,
                (ProcessChoice(BasisSpec("wavelet"), Matched(), WaveletLevels(0.1)),),
                t=0.45,
            ),
        ),
        Stop(
            "φ⁴ theory",
            "Field configurations near the critical point of φ⁴ theory have structure at every "
            "scale. Free-theory noise and a "
            "falling cutoff take them to the Gaussian fixed point: the flow that sampling runs "
            "backwards.",
            NoisingState(
                "phi4-32x32",
                (ProcessChoice(_LATTICE, FreeTheory(0.05), Cutoff(SigmoidKernel(0.15), _PATH)),),
                t=0.5,
            ),
        ),
    )
