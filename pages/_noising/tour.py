"""The states of the Noising page at the stops of the tour: they tell the story from ordinary
diffusion to the renormalization group.
"""

from pages._noising.state import NoisingState
from pages._shared.process_choice import ProcessChoice, choice_of
from rgdiff_core.bases.spec import BasisSpec
from rgdiff_core.colors import FreeTheory, Matched, White
from rgdiff_core.presets import PRESETS
from rgdiff_core.schedules import Cosine, Cutoff, CutoffPath, SigmoidKernel, WaveletLevels

__all__ = ["states"]


def _preset(name: str) -> ProcessChoice:
    preset = PRESETS[name]
    return choice_of(preset.basis, preset.color, preset.schedule)


_FOURIER = BasisSpec("fourier", decorrelate=True)
_LATTICE = BasisSpec("fourier", momentum="lattice")
_PATH = CutoffPath((0.0, 0.25, 0.6, 1.0), (1.0, 0.62, 0.36, 0.0))
_SOFT = ProcessChoice(_FOURIER, Matched(), Cutoff(SigmoidKernel(0.4), _PATH))
_SHARP = ProcessChoice(_FOURIER, Matched(), Cutoff(SigmoidKernel(0.03), _PATH))


def states(images: str) -> tuple[NoisingState, ...]:
    """Return the states of the stops that are on this page, in their order, with a data set of
    colour images for the first five.
    """
    noises = (
        ProcessChoice(_FOURIER, White(), Cosine()),
        ProcessChoice(_FOURIER, Matched(), Cosine()),
    )
    haar = ProcessChoice(BasisSpec("wavelet"), Matched(), WaveletLevels(0.1))
    free = ProcessChoice(_LATTICE, FreeTheory(0.05), Cutoff(SigmoidKernel(0.15), _PATH))
    return (
        NoisingState(images, (_preset("cosine"),), t=0.3),
        NoisingState(images, noises, t=0.45, view="side"),
        NoisingState(images, (_preset("rg-cutoff"),), t=0.4),
        NoisingState(images, (_SOFT, _SHARP), t=0.7, view="wipe"),
        NoisingState(images, (haar,), t=0.45),
        NoisingState("phi4-32x32", (free,), t=0.5),
    )
