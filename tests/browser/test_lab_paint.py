"""What the lab paints, against NumPy and SciPy on the same message."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, Page
from scipy.interpolate import PchipInterpolator, RegularGridInterpolator

from pages._noising.component import script
from pages._shared.component import pack

pytestmark = pytest.mark.browser

BANDS, IMAGES, SIZE = 5, 3, 4
WIDTHS = np.geomspace(0.02, 0.5, 4)
EXPONENTS = np.linspace(0.0, 3.0, 3)
MOTION = (
    (0.0, 0.2, 0.7, 1.0),
    (1.0,),
)  # the last colour's share in the noise of A and B, over time
ORDINATES = np.linspace(0.0, 1.0, 9)
SCALES = [0.1, 0.25, 0.5, 0.75, 1.0]
WEIGHTS = np.linspace(0.0, 1.0, 6)

SCRIPT = """
export function paint(bytes, settled, state) {
  const message = readBands(bytes);
  const size = message.images.size;
  const field = new Float32Array(size);
  const all = (layers) => Array.from({ length: message.images.n }, (_, i) => {
    addUp(layers, i * size, size, field);
    return Array.from(field);
  });
  const moments = message.sides.map((side, i) =>
    momentOf(message, side, state.sides[i], state.t));
  return {
    sides: message.sides.map((side, i) => all(layersOf(message, side, moments[i]))),
    blend: all(blendLayers(message, readSettled(settled).blend, state)),
    logSnr: moments.map((moment) => Array.from(moment.logSnr)),
    bits: moments.map((moment) => moment.total),
    cutoff: moments[0].cutoff,
  };
}

export function kept(sizes) {
  document.rgdiffDecoded = new Map();
  sizes.forEach(([id, share]) => keepDecoded(id, { bytes: share * DECODED_BYTES }));
  return [...document.rgdiffDecoded.keys()];
}
"""


@dataclass(frozen=True)
class Message:
    """A bands message with random tables, and its arrays."""

    data: bytes
    stores: dict[str, bytes]
    settled: bytes
    arrays: dict[str, np.ndarray]


@pytest.fixture(scope="module")
def message() -> Message:
    rng = np.random.default_rng(7)
    layers = (BANDS, IMAGES, 3, SIZE, SIZE)
    arrays: dict[str, np.ndarray] = {"information": np.linspace(0, 20, 81).astype(np.float32) ** 2}
    sides = []
    for i, path in enumerate((True, False)):
        parameters = len(WIDTHS) if path else 1
        tables = {
            "data": rng.standard_normal(layers).astype(np.float16),
            "noise": rng.standard_normal(layers).astype(np.float16),
            "alpha": rng.uniform(size=(parameters, len(ORDINATES), BANDS)),
            "sigma": rng.uniform(size=(parameters, len(ORDINATES), BANDS)),
            "noise2": rng.standard_normal(layers).astype(np.float16),
            "tint": rng.uniform(0.1, 2, (len(EXPONENTS), len(MOTION[i]), 2, BANDS)),
            "motion": np.array(MOTION[i]),
            "share": rng.uniform(0.1, 0.3, (len(EXPONENTS), BANDS)),
            "data_power": rng.uniform(0.1, 2, BANDS),
            "noise_power": rng.uniform(0.1, 2, (len(EXPONENTS), len(MOTION[i]), BANDS)),
        }
        if path:
            for name in ("front", "cutoff"):
                tables[name] = rng.uniform(size=(parameters, len(ORDINATES)))
        for name, table in tables.items():
            half = name in ("data", "noise", "noise2")
            arrays[f"{i}/{name}"] = table if half else table.astype(np.float32)
        shape = {"name": "width", "label": "w", "help": "", "grid": WIDTHS.tolist(), "log": True}
        tint = {"name": "p", "label": "p", "help": "", "grid": EXPONENTS.tolist(), "log": False}
        sides.append(
            {
                "title": "A",
                "data": f"{i}/data",
                "noise": [f"{i}/noise", f"{i}/noise2"],
                "curve": {
                    "floor": 0.1,
                    "keep": True,
                    "scales": SCALES,
                    "points": [[0, 0], [1, 0]],
                    "points_max": 12,
                },
                "axis": {"label": "k", "discrete": False},
                "nodes": np.linspace(0, 1, BANDS).tolist(),
                "counts": [1, 4, 9, 16, 18],
                "path": path,
                "points_max": 12,
                "shape": shape if path else None,
                "tint": tint,
                "presets": {},
                "note": "",
            }
        )
    header = {
        "kind": "bands",
        "revision": "1",
        "images": {
            "n": IMAGES, "channels": 3, "height": SIZE, "width": SIZE, "low": -1, "high": 1,
            "colormap": "rgb",
        },
        "information": {"low": -40, "high": 40},
        "sides": sides,
        "state": {},
    }  # fmt: skip
    blend = {
        f"blend/{name}": rng.uniform(size=(len(WEIGHTS), len(ORDINATES), BANDS)).astype(np.float32)
        for name in ("alpha", "sigma")
    }
    stores = {
        name: pack({"kind": "layers", "id": name}, {"layers": arrays[name]})
        for name in arrays
        if name.endswith(("/data", "/noise", "/noise2"))
    }
    tables = {name: array for name, array in arrays.items() if name not in stores}
    settled = {"kind": "settled", "seq": 0, "revision": "1", "t": 0.0, "sides": 2}
    settled["blend"] = {"weights": len(WEIGHTS)}
    return Message(pack(header, tables), stores, pack(settled, blend), {**arrays, **blend})


@pytest.fixture(scope="module")
def page(browser: Browser, message: Message) -> Iterator[Page]:
    page = browser.new_page()
    page.evaluate(
        """async ([text, bands, stores, settled]) => {
            document.rgdiffLayers = new Map(Object.entries(stores).map(([id, bytes]) =>
                [id, { id, bytes: new Uint8Array(bytes), layers: null }]));
            const url = URL.createObjectURL(new Blob([text], { type: "text/javascript" }));
            const lab = await import(url);
            globalThis.paint = (state) =>
                lab.paint(new Uint8Array(bands), new Uint8Array(settled), state);
            globalThis.kept = lab.kept;
        }""",
        [
            f"{script()}\n{SCRIPT}",
            list(message.data),
            {name: list(data) for name, data in message.stores.items()},
            list(message.settled),
        ],
    )
    yield page
    page.close()


@pytest.mark.parametrize(
    ("sizes", "kept"),
    [
        ([("a", 0.4), ("b", 0.4), ("c", 0.2)], ["a", "b", "c"]),
        ([("a", 0.4), ("b", 0.4), ("c", 0.4)], ["b", "c"]),
        ([("a", 0.4), ("b", 0.4), ("a", 0.4), ("c", 0.4)], ["a", "c"]),
        ([("a", 0.4), ("b", 1.5)], []),
    ],
)
def test_of_decoded_images_the_last_are_kept_up_to_their_bytes(page: Page, sizes, kept):
    assert page.evaluate("kept", sizes) == kept
    page.evaluate("() => { document.rgdiffDecoded = new Map(); }")


STATES = [
    {
        "t": t,
        "blend": blend,
        "sides": [
            {
                "points": [[0, 1], [0.2, 0.7], [0.6, 0.65], [1, 0.1]],
                "shape": width,
                "tint": tint,
                "curve": [[0, 1.0], [0.4, -0.5], [0.8, 0.2], [1, blend]],
                "keep": t < 0.6,
            },
            {
                "points": [[0, 1], [1, 0]],
                "shape": None,
                "tint": 3.0 - tint,
                "curve": [[0, 0], [1, 0]],
                "keep": True,
            },
        ],
    }
    for t, blend, width, tint in [
        (0.0, 0.0, 0.02, 0.0),
        (0.13, 0.31, 0.05, 0.7),
        (0.5, 0.5, 0.1, 1.5),
        (0.87, 0.95, 0.37, 2.9),
        (1.0, 1.0, 0.5, 3.0),
    ]
]


def at(table: np.ndarray, axes: list[np.ndarray], place: list[float]) -> np.ndarray:
    """Multilinear interpolation; an axis of one entry does not matter."""
    if len(table) == 1:
        table, axes, place = table[0], axes[1:], place[1:]
    return RegularGridInterpolator(axes, table)(place)[0]


def side_at(message: Message, i: int, state: dict[str, Any]) -> dict[str, np.ndarray]:
    own = state["sides"][i]
    get = {name[2:]: a for name, a in message.arrays.items() if name.startswith(f"{i}/")}
    t = state["t"]
    u = PchipInterpolator(*np.array(own["points"]).T)(t) if i == 0 else t
    place = [np.log(own["shape"] or 1.0), u]
    axes = [np.log(WIDTHS), ORDINATES]
    row = {name: at(get[name], axes, place) for name in ("alpha", "sigma")}
    gamma = 2 * np.log(get["sigma"].astype(np.float64) / get["alpha"])
    row["gamma"] = at(gamma, axes, place)
    moving = {name: np.moveaxis(get[name], 1, 0) for name in ("tint", "noise_power")}
    times = np.linspace(0, 1, len(MOTION[i]))
    tint = {n: at(table, [times, EXPONENTS], [t, own["tint"]]) for n, table in moving.items()}
    tint["share"] = at(get["share"], [EXPONENTS], [own["tint"]])
    scales, values = np.array(own["curve"]).T
    factor = np.exp(PchipInterpolator(np.log(np.maximum(scales, 0.1)), values)(np.log(SCALES)))
    if own["keep"] and values.any():
        factor = factor / (tint["share"] * factor).sum()
    factor = factor ** np.interp(t, times, MOTION[i]) if len(times) > 1 else factor
    tint["tint"] = tint["tint"] * np.sqrt(factor)
    tint["noise_power"] = tint["noise_power"] * factor
    layers = {name: get[name].astype(np.float64) for name in ("data", "data_power")}
    layers["noise"] = np.stack([get["noise"], get["noise2"]]).astype(np.float64)
    cutoff = {"cutoff": at(get["cutoff"], axes, place)} if i == 0 else {}
    return row | tint | layers | cutoff


@pytest.mark.parametrize("state", STATES, ids=lambda state: f"t={state['t']}")
def test_painted_fields_and_tables(page: Page, message: Message, state: dict[str, Any]) -> None:
    """Fields to 1/4 of a grey level (negligible bands are left out), tables to float32."""
    ours = page.evaluate("(state) => paint(state)", state)
    level = 2 / 255
    sides = [side_at(message, i, state) for i in (0, 1)]
    for i, side in enumerate(sides):
        field = np.einsum("b,bnchw->nchw", side["alpha"], side["data"])
        field += np.einsum("rb,rbnchw->nchw", side["sigma"] * side["tint"], side["noise"])
        np.testing.assert_allclose(
            ours["sides"][i], field.reshape(IMAGES, -1), rtol=0, atol=level / 4
        )
        log_snr = -side["gamma"] + np.log(side["data_power"] / side["noise_power"])
        np.testing.assert_allclose(ours["logSnr"][i], log_snr, rtol=0, atol=1e-5)
        table = np.interp(log_snr, np.linspace(-40, 40, 81), message.arrays["information"])
        assert ours["bits"][i] == pytest.approx(np.dot([1, 4, 9, 16, 18], table), rel=1e-5)
    assert ours["cutoff"] == pytest.approx(sides[0]["cutoff"], abs=1e-6)


@pytest.mark.parametrize("state", STATES, ids=lambda state: f"w={state['blend']}")
def test_painted_blend(page: Page, message: Message, state: dict[str, Any]) -> None:
    """Data of A, and the two noises mixed before they are scaled."""
    ours = page.evaluate("(state) => paint(state)", state)["blend"]
    w, t = state["blend"], state["t"]
    alpha, sigma = (
        at(message.arrays[f"blend/{name}"], [WEIGHTS, ORDINATES], [w, t])
        for name in ("alpha", "sigma")
    )
    a, b = (side_at(message, i, state) for i in (0, 1))
    mixed = np.einsum("rb,rbnchw->bnchw", (1 - w) * a["tint"], a["noise"])
    mixed += np.einsum("rb,rbnchw->bnchw", w * b["tint"], b["noise"])
    field = np.einsum("b,bnchw->nchw", alpha, a["data"]) + np.einsum("b,bnchw->nchw", sigma, mixed)
    np.testing.assert_allclose(ours, field.reshape(IMAGES, -1), rtol=0, atol=2 / 255 / 4)
