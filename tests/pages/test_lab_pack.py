"""The lab's container: what is packed comes back, at the offsets the protocol promises."""

import json
import struct

import numpy as np
import pytest
from container import unpack

from pages._shared.component import pack


@pytest.fixture
def arrays() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(3)
    return {
        "0/data": rng.standard_normal((3, 2, 1, 5, 5)).astype(np.float16),
        "information": rng.standard_normal(7).astype(np.float32),
        "colormap": rng.integers(0, 256, (256, 3), dtype=np.uint8),
        "empty": np.zeros((0, 4), np.float32),
    }


def test_round_trip(arrays: dict[str, np.ndarray]) -> None:
    header = {"kind": "bands", "label": "Λ(t) — cutoff", "nodes": [0.0, 0.5]}
    back, values = unpack(pack(header, arrays))
    assert back == header
    assert values.keys() == arrays.keys()
    for name, array in arrays.items():
        assert values[name].dtype == array.dtype
        np.testing.assert_array_equal(values[name], array)


@pytest.mark.parametrize("padding", range(9))
def test_layout(arrays: dict[str, np.ndarray], padding: int) -> None:
    """Read back by the protocol's text alone, for every alignment of the header."""
    data = pack({"kind": "x" * padding}, arrays)
    (length,) = struct.unpack_from("<I", data)
    assert (4 + length) % 8 == 0
    specs = json.loads(data[4 : 4 + length])["arrays"]
    assert all(spec["offset"] % 8 == 0 for spec in specs.values())
    spec = specs["information"]
    values = struct.unpack_from("<7f", data, 4 + length + spec["offset"])
    np.testing.assert_array_equal(np.array(values, np.float32), arrays["information"])


def test_little_endian_and_order() -> None:
    """Big-endian and Fortran-ordered arrays arrive as the same numbers."""
    array = np.asfortranarray(np.arange(6, dtype=">f4").reshape(2, 3))
    _, values = unpack(pack({}, {"a": array}))
    np.testing.assert_array_equal(values["a"], array)


def test_shared_array_is_sent_once() -> None:
    array = np.ones((1000,), np.float32)
    data = pack({}, {"0/data": array, "1/data": array})
    assert len(data) < 1.2 * array.nbytes
    _, values = unpack(data)
    np.testing.assert_array_equal(values["1/data"], array)


def test_bad_input() -> None:
    with pytest.raises(ValueError, match="'a' has dtype float64"):
        pack({}, {"a": np.zeros(2)})
    with pytest.raises(ValueError, match="JSON"):
        pack({"t": float("nan")}, {})
