"""What the Noising page says of the information that is left."""

import pytest
import torch
from container import unpack

from pages._noising import messages
from pages._noising.state import NoisingState
from pages._shared.process_choice import ProcessChoice
from pages._shared.process_choice import process as process_of
from rgdiff_core.bases.spec import BasisSpec
from rgdiff_core.colors import White
from rgdiff_core.schedules import Cosine
from rgdiff_core.spectra.power import information_left

pytestmark = pytest.mark.usefixtures("folders")


def test_the_bits_that_are_left_do_not_depend_on_the_basis():
    """White noise on φ⁴, by pixels, wavelets and Fourier modes: the data's full covariance tells
    the same, and no more than components by themselves do; of colour pictures it is not tried.
    """
    sides = tuple(
        ProcessChoice(BasisSpec(name, momentum="lattice"), White(normalize=False), Cosine())
        for name in ("pixel", "fourier")
    )
    lab = NoisingState("phi4-6x6-broken", sides, t=0.2)
    told, _ = unpack(messages.settled_message(lab, 1, "s"))
    pixels, fourier = told["bits"]
    assert pixels == pytest.approx(fourier, rel=1e-4) and pixels > 1
    process = process_of(lab.data, sides[0])
    alone = float(information_left(process, torch.tensor(lab.t)))
    assert alone > 1.02 * pixels
    one = NoisingState("photographs", (ProcessChoice(BasisSpec("pixel"), White(), Cosine()),))
    assert unpack(messages.settled_message(one, 1, "s"))[0]["bits"] == [None]
