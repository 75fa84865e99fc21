"""The components' container, taken apart by the protocol's text in `docs/lab-protocol.md`."""

import json
import struct
from typing import Any

import numpy as np

__all__ = ["unpack"]


def unpack(data: bytes) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Take a container apart: its header (without ``arrays``) and its arrays, by name."""
    start = 4 + struct.unpack_from("<I", data)[0]
    header = json.loads(data[4:start])
    arrays = {}
    for name, spec in header.pop("arrays").items():
        count = int(np.prod(spec["shape"], dtype=int))
        flat = np.frombuffer(data, f"<{spec['dtype']}", count, start + spec["offset"])
        arrays[name] = flat.reshape(spec["shape"])
    return header, arrays
