"""What the Samples page draws and gives away: every sampler, files, Python lines."""

import io
import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from container import unpack

from pages._samples import files
from pages._samples.messages import drawn_message
from pages._samples.state import SamplesState, merged, start
from pages._sampling.setting import Setting, Zoom
from pages._shared.process_choice import ProcessChoice
from rgdiff_core.bases.spec import BasisSpec
from rgdiff_core.colors import FreeTheory
from rgdiff_core.sampling import GRIDS, METHODS
from rgdiff_core.schedules import Cosine

pytestmark = pytest.mark.usefixtures("folders")

SMALL = replace(start(), n=6, measured=64)


@pytest.mark.parametrize(
    "setting",
    [
        Setting(method="ddim", eta=0.5, steps=3),
        Setting(method="shell", steps=3, grid="angle", zoom=Zoom(1, 0.5, 0.1)),
        Setting(
            "free/phi4-6x6",
            ProcessChoice(BasisSpec("wavelet"), FreeTheory(), Cosine()),
            steps=4,
        ),
    ],
)
def test_the_python_lines_draw_the_same_samples(setting: Setting):
    for walk in (None, (2, 0)):
        bench = SamplesState(setting, n=3, seed=4, walk=walk)
        names: dict[str, Any] = {}
        exec(files.python_lines(bench), names)
        assert torch.equal(names["samples"], files.drawn(bench.request))


def test_a_walk_leads_from_one_sample_to_another():
    """Neighbours on the way are closer to each other than its ends."""
    whole = files.drawn(replace(SMALL, n=6).request)
    way = files.drawn(replace(SMALL, n=6, walk=(4, 1)).request)
    torch.testing.assert_close(way[[0, -1]], whole[[4, 1]], rtol=0, atol=1e-4)
    steps = (way[1:] - way[:-1]).flatten(1).norm(dim=1)
    assert steps.min() > 0 and steps.max() < (way[-1] - way[0]).norm()


def test_the_files_hold_the_samples():
    bench = replace(SMALL, n=3)
    samples = files.drawn(bench.request)
    with np.load(io.BytesIO(files.numbers(bench))) as file:
        assert np.array_equal(file["samples"], samples.numpy())
        assert np.array_equal(file["fields"][-1], samples.numpy())
        assert file["times"][0] == 1 and file["times"][-1] == 0 and len(file["times"]) == 21
        assert json.loads(str(file["settings"])) == json.loads(bench.request.to_json())
    assert files.picture(bench).startswith(b"\x89PNG")


def test_without_the_live_line_the_server_draws():
    bench = replace(SMALL, n=3)
    header, arrays = unpack(drawn_message(bench.request, 4, "revision"))
    assert header["done"] and header["seq"] == 4 and header["of"] == list(range(21))
    assert arrays["x"].shape == (21, 3, 1, 6, 6)
    assert np.array_equal(arrays["x"][-1], arrays["denoised"][-1])


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("grid", GRIDS)
def test_every_sampler_and_grid_draws(method: str, grid: str):
    told = SMALL.component() | {"n": 2, "method": method, "grid": grid}
    assert files.drawn(merged(SMALL, told).request).shape == (2, 1, 6, 6)
