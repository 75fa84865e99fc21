"""The process as JSON: exact round trips, and one sentence for nonsense."""

import base64
import copy
import json
import math
import zlib

import numpy as np
import pytest
import torch
from laws import BASES, COLORS, SCHEDULES, fields, made, name_of

from rgdiff_core import Modes, Process, colors, schedules
from rgdiff_core.bases import FourierBasis

every_schedule = pytest.mark.parametrize("schedule", SCHEDULES, ids=name_of)
FREE, CUTOFF = colors.FreeTheory(), schedules.Cutoff()


def same(a: Process, b: Process) -> None:
    """Check that two processes are one, to the last bit."""
    assert type(a.basis) is type(b.basis) and a.basis.shape == b.basis.shape
    assert a.color == b.color and a.schedule == b.schedule
    for name in ("scale", "mean", "variance", "momentum"):
        x, y = getattr(a.modes, name), getattr(b.modes, name)
        assert (x is None and y is None) or (x.dtype == y.dtype and torch.equal(x, y))
    assert torch.equal(a.noise_variance, b.noise_variance)
    dtype = a.noise_variance.dtype
    x0, noise = torch.randn(2, 3, *a.basis.shape, dtype=dtype)
    t = torch.linspace(0, 1, 3, dtype=dtype)
    assert torch.equal(a.perturb(x0, t, noise), b.perturb(x0, t, noise))
    assert a.to_json() == b.to_json()


@pytest.mark.parametrize("name", BASES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_json_is_exact_for_every_basis(name, dtype):
    shape = (3, 4, 8)
    basis = BASES[name](shape)
    modes = Modes.fit(basis, fields(shape, 30).to(dtype))
    process = Process(basis, colors.PowerLaw(1.3), schedules.Cutoff(), modes)
    same(process, Process.from_json(process.to_json()))
    bare = Process(basis, colors.White(), schedules.Cutoff())
    same(bare, Process.from_json(bare.to_json()))


@pytest.mark.parametrize("schedule", SCHEDULES, ids=name_of)
def test_json_is_exact_for_every_schedule(schedule):
    process = made(schedule=schedule, shape=(1, 8, 8))
    same(process, Process.from_json(process.to_json()))


@pytest.mark.parametrize("color", COLORS[:6], ids=name_of)
def test_json_is_exact_after_a_change_of_precision(color):
    basis = FourierBasis((1, 8, 8))
    process = Process(
        basis, color, schedules.Cutoff(), Modes.fit(basis, fields((1, 8, 8)).float())
    )
    for dtype in (torch.float64, torch.float32):
        process.to(dtype)
        same(process, Process.from_json(process.to_json()))


def packed(x: np.ndarray) -> dict:
    data = base64.b64encode(zlib.compress(x.tobytes())).decode()
    return {"dtype": str(x.dtype), "shape": list(x.shape), "zlib": data}


DEEP: object = 0
for _ in range(300):
    DEEP = [DEEP]
WRONG = [
    *(None, True, 0, -1, 1.5, 10**400, 1e300, math.nan, math.inf, "", "x", [], ["haar"], {}, DEEP),
    *(
        [0, 0, 0],
        [1, 8],
        [1, 8, math.inf],
        [1, 8, math.nan],
        [1, 8, "x"],
        [1, 8, None],
        [10**9] * 3,
    ),
    *({"kind": "Schedule"}, {"kind": ["PixelBasis"]}, {"kind": "PixelBasis", "shape": [1, 2, 2]}),
    *({"kind": "Cosine"}, {"kind": "White"}, {"dtype": "float32", "shape": [1], "zlib": "eA=="}),
    {"dtype": "float32", "shape": [1 << 40], "zlib": "eA=="},
    {"dtype": "float32", "shape": [math.inf], "zlib": "eA=="},
    {"dtype": ["float32"], "shape": [], "zlib": ""},
    packed(np.zeros((1, 4, 4), np.float32)),
    packed(np.full((1, 4, 4), np.nan, np.float32)),
    packed(np.full((4, 4), 0.5)),
    packed(np.ones((3, 4, 4))),
    packed(np.ones((1, 1, 1))),
    packed(np.ones((16, 16))),
]


def spoiled(data: dict) -> list[dict]:
    """Return copies of a JSON object with one place made wrong, left out or added."""
    result = [{**data, key: wrong} for key in data for wrong in WRONG]
    result += [{k: v for k, v in data.items() if k != key} for key in data]
    for key, value in data.items():
        if isinstance(value, dict):
            result += [{**data, key: v} for v in spoiled(value)]
    return [*result, {**data, "unknown": 1}]


@pytest.mark.parametrize("name", ["fourier", "haar", "pca, decorrelated"])
def test_nonsense_json_is_one_sentence(name):
    shape = (2, 4, 4) if "decorrelated" in name else (1, 4, 4)
    process = made(name, colors.FreeTheory(), schedules.Cutoff(), shape)
    refused = 0
    for data in spoiled(json.loads(process.to_json())):
        try:
            read = Process.from_json(json.dumps(data))
            x = read.perturb(torch.ones(2, *read.basis.shape), 0.5, generator=torch.Generator())
            assert torch.isfinite(x).all()
        except ValueError as error:
            refused += 1
            message = str(error)
            assert message.endswith(".") and "\n" not in message and len(message) < 300, message
    assert refused > 300


@pytest.mark.parametrize("text", ["", "[]", "null", "{", "[" * 100_000, '{"kind":"Process"}', "7"])
def test_text_that_is_no_process_is_one_sentence(text):
    with pytest.raises(ValueError, match=r"\.$"):
        Process.from_json(text)


def test_a_copied_process_is_independent():

    process = made()
    twin = copy.deepcopy(process)
    same(process, twin)
    twin.float()
    assert process.modes.scale.dtype == torch.float64 and twin.modes.scale.dtype == torch.float32
