"""The lab's own arithmetic in real Chromium, against SciPy and NumPy."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, Page
from scipy.interpolate import PchipInterpolator, RegularGridInterpolator

from pages._noising.component import script
from pages._shared.component import pack

pytestmark = pytest.mark.browser

EXPORTS = (
    "export { clamp, frameOf, gridPosition, insertPoint, linesSentence, lookUp, monotoneCubic, "
    "movePoint, readoutOf, readoutPlace, scaleTicks, unpack, withoutOverlap };"
)


@pytest.fixture(scope="module")
def page(browser: Browser) -> Iterator[Page]:
    """An empty page that holds the lab's functions as `lab`."""
    page = browser.new_page()
    page.evaluate(
        """async (text) => {
            const url = URL.createObjectURL(new Blob([text], { type: "text/javascript" }));
            globalThis.lab = await import(url);
        }""",
        f"{script()}\n{EXPORTS}",
    )
    yield page
    page.close()


def in_browser(page: Page, expression: str, *values: Any) -> Any:
    return page.evaluate(f"(values) => ({expression})(...values)", list(values))


@pytest.mark.parametrize("bands", [1, 2, 8, 14, 50])
def test_few_scales_have_round_ticks_where_they_are_momenta(page: Page, bands: int) -> None:
    nodes = np.sqrt(np.linspace(0, 1, bands)).tolist()
    axis = {"discrete": True, "counted": False}
    ticks = in_browser(page, "lab.scaleTicks", {"axis": axis, "bands": bands, "nodes": nodes})
    assert [text for _, text in ticks] == (["0", "0.5", "1"] if bands > 1 else ["0.00"])
    expected = np.interp([0, 0.5, 1], nodes, (np.arange(bands) + 0.5) / bands)
    assert [place for place, _ in ticks] == pytest.approx(expected[: len(ticks)])
    counted = {"axis": axis | {"counted": True}, "bands": bands, "nodes": nodes}
    numbers = [text for _, text in in_browser(page, "lab.scaleTicks", counted, 4)]
    assert numbers[0] == "1" and len(numbers) <= 4


def test_labels_of_ticks_never_meet_and_the_ends_go_first(page: Page) -> None:
    """58 pixels high, as the map is in a low window."""
    thin = "(places) => lab.withoutOverlap(places, (v) => [58 * v - 7, 58 * v + 7])"
    for count in range(1, 12):
        places = np.linspace(0.05, 0.95, count).tolist()
        kept = sorted(in_browser(page, thin, places))
        assert kept[0] == places[0] and kept[-1] == places[-1]
        assert np.all(np.diff(kept) * 58 >= 14)
    assert sorted(in_browser(page, thin, [0, 0.5, 1])) == [0, 0.5, 1]


@pytest.mark.parametrize(
    ("cutoff", "words"),
    [
        (-1.81, "Λ below all scales"),
        (0.15, "Λ/k_max 0.15"),
        (1, "Λ/k_max 1.00"),
        (3.72, "Λ above all scales"),
    ],
)
def test_a_cutoff_beyond_all_scales_is_told_in_words(page: Page, cutoff, words) -> None:
    side = {"cutoff": "Λ/k_max", "cutoffs": [cutoff, cutoff], "ordinates": 2, "shape": None}
    told = in_browser(page, "(side) => lab.readoutOf(side, {}, 0.3)", side)
    assert told == f"position 0.300 · {words}"
    assert in_browser(page, "lab.readoutOf", {"cutoff": ""}, {}, 0.3) == "position 0.300"


@pytest.mark.parametrize("width", [300, 480, 640])
def test_the_read_out_never_lies_on_the_curve(page: Page, width: int) -> None:
    """Wherever the mark stands, at either edge too, on level, straight and steep curves."""
    place = """(width, points, t, wide) => {
        const frame = lab.frameOf(width, 230);
        const value = lab.monotoneCubic(points);
        return [frame.y(value(t)), frame.x(t), lab.readoutPlace(frame, value, frame.x(t), wide),
            Array.from({ length: width }, (_, x) => [x, frame.y(value(frame.t(x)))])];
    }"""
    wide = 35 * 6.4
    for middle in ([[0.5, 0.5]], [[0.25, 0.62], [0.6, 0.36]], [[0.45, 1], [0.55, 0]]):
        points = [[0, 1], *middle, [1, 0]]
        for t in np.linspace(0, 1, 21).tolist():
            y, x, (left, base), curve = in_browser(page, place, width, points, t, wide)
            under = [at for x, at in curve if left <= x <= left + wide]
            assert not any(base - 10 < at < base + 3 for at in under), (points, t)
            assert left >= 0 and left + wide <= width
            # in the frame, but for a level curve that falls within the read-out's width
            low, high = (16, 190) if width == 640 else (-2, 214)
            assert low <= base <= high
            if x + 9 + wide < width and 30 < y < 200:  # there is room at the mark
                assert (left, base) == pytest.approx((x + 9, y - 12))


def test_a_dotted_line_is_only_mentioned_where_it_is_seen(page: Page) -> None:
    cutoff = [1, 0.5, 0]
    for equal, words in (
        ([[0.25, 0.76], [0.5, 0.5], [1, 0.01]], "On the thick line, the cutoff Λ(t), data and"),
        ([[0.25, 0.9], [0.5, 0.5]], "The thick line is the cutoff Λ(t); on the dotted line data"),
        ([[0.25, 0.9]], "The thick line is the cutoff Λ(t). "),
    ):
        assert in_browser(page, "lab.linesSentence", equal, cutoff, 0.02).startswith(words)
    assert in_browser(page, "lab.linesSentence", [], None, 0.02) == ""


def random_path(rng: np.random.Generator, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Random times and falling ordinates of one path; some of its steps are level."""
    t = np.concatenate([[0.0], np.sort(rng.uniform(0.01, 0.99, size - 2)), [1.0]])
    y = np.sort(rng.uniform(size=size))[::-1].copy()
    level = rng.uniform(size=size - 1) < 0.2
    for i in np.flatnonzero(level):
        y[i + 1] = y[i]
    return t, y


def check_against_scipy(page: Page, t: np.ndarray, y: np.ndarray, times: np.ndarray) -> None:
    points = np.stack([t, y], 1).tolist()
    cubic = "(points, times) => times.map(lab.monotoneCubic(points))"
    ours = in_browser(page, cubic, points, times.tolist())
    np.testing.assert_allclose(ours, PchipInterpolator(t, y)(times), rtol=0, atol=1e-9)


@pytest.mark.parametrize("size", range(2, 13))
def test_monotone_cubic_is_scipys(page: Page, size: int) -> None:
    rng = np.random.default_rng(size)
    times = np.linspace(0, 1, 401)
    for _ in range(20):
        t, y = random_path(rng, size)
        check_against_scipy(page, t, y, times)


def test_monotone_cubic_of_any_values_is_scipys(page: Page) -> None:
    """Also where the points turn: the end slopes are held back as SciPy's are."""
    rng = np.random.default_rng(0)
    times = np.linspace(0, 1, 201)
    for _ in range(50):
        t, _ = random_path(rng, 6)
        y = rng.standard_normal(6)
        check_against_scipy(page, t, y, times)


def test_dragging_keeps_the_path_monotone(page: Page) -> None:
    """A thousand random drags of random points leave times 0.01 apart and ordinates falling."""
    rng = np.random.default_rng(1)
    t, y = random_path(rng, 8)
    t = np.linspace(0, 1, 8)
    moves = [
        [int(i), *place]
        for i, place in zip(
            rng.integers(0, 8, 1000), rng.uniform(-0.5, 1.5, (1000, 2)).tolist(), strict=True
        )
    ]
    paths = in_browser(
        page,
        """(points, moves) => moves.map(([i, t, y]) => {
            points = lab.movePoint(points, i, t, y);
            return points;
        })""",
        np.stack([t, y], 1).tolist(),
        moves,
    )
    paths = np.array(paths)
    assert (np.diff(paths[..., 0]) >= 0.01 - 1e-12).all()
    assert (np.diff(paths[..., 1]) <= 0).all()
    assert (paths[:, 0, 0] == 0).all() and (paths[:, -1, 0] == 1).all()
    assert paths[..., 1].min() >= 0 and paths[..., 1].max() <= 1


def test_every_half_float_arrives(page: Page) -> None:
    """All 65,536 bit patterns, infinities and NaNs too."""
    halves = np.arange(65536, dtype=np.uint16).view(np.float16)
    data = pack({"kind": "test"}, {"halves": halves})
    page.evaluate("(bytes) => { globalThis.bytes = new Uint8Array(bytes); }", list(data))
    values = page.evaluate(
        """() => Array.from(lab.unpack(bytes).take("halves").values, (v) =>
            (Number.isNaN(v) ? "nan" : String(v)))"""
    )
    np.testing.assert_array_equal(
        np.array([float(v.replace("Infinity", "inf")) for v in values], np.float32),
        halves.astype(np.float32),
    )


def test_table_lookup_is_scipys(page: Page) -> None:
    """Linear in the ordinate and in the logarithm of the parameter."""
    rng = np.random.default_rng(2)
    grid = np.geomspace(0.02, 0.5, 5)
    table = rng.standard_normal((5, 9, 3)).astype(np.float32)
    exact = RegularGridInterpolator((np.log(grid), np.linspace(0, 1, 9)), table)
    places = np.stack([rng.uniform(0.02, 0.5, 100), rng.uniform(size=100)], 1)
    places = np.concatenate([places, [[0.02, 0.0], [0.5, 1.0], [grid[2], 0.5]]])
    ours = in_browser(
        page,
        """(grid, table, places) => places.map(([value, u]) => {
            const at = lab.gridPosition({ grid, log: true }, value);
            return Array.from(lab.lookUp(Float32Array.from(table), 9, 3, at, u));
        })""",
        grid.tolist(),
        table.ravel().tolist(),
        places.tolist(),
    )
    places[:, 0] = np.clip(np.log(places[:, 0]), np.log(grid[0]), np.log(grid[-1]))
    np.testing.assert_allclose(ours, exact(places), rtol=0, atol=1e-6)


def test_cut_off_message_says_so(page: Page) -> None:
    data = pack({}, {"a": np.zeros(64, np.float32)})[:-8]
    message = in_browser(
        page,
        """(bytes) => {
            try {
                lab.unpack(new Uint8Array(bytes)).take("a");
            } catch (error) {
                return error.message;
            }
        }""",
        list(data),
    )
    assert message == 'The array "a" of the lab\'s message does not fit.'
