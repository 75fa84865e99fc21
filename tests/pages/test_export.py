"""What the Noising page gives away, read back by other means."""

import csv
import io
import subprocess
from dataclasses import replace
from itertools import product
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
import torch
from apptest import finished
from imageio_ffmpeg import get_ffmpeg_exe
from noisingpage import healthy, rest, state, visit
from PIL import Image, ImageSequence
from torch.testing import assert_close

import rgdiff_core as rg
from pages._noising import data as noising_data
from pages._noising import export, films
from pages._noising.state import NoisingState, start, with_second
from pages._shared import cache, jobs
from pages._shared.process_choice import ProcessChoice
from pages._shared.process_choice import process as process_of
from rgdiff_core.bases.spec import BasisSpec
from rgdiff_core.colors import Matched
from rgdiff_core.presets import PRESETS
from rgdiff_core.schedules import LinearGamma

LATTICE, COLOR = "phi4-6x6", "photographs"
SMOOTH = ProcessChoice(BasisSpec("pixel"), Matched(), LinearGamma(-8.0, 5.0))

pytestmark = pytest.mark.usefixtures("folders")


def of(preset: str, data: str = LATTICE, **values: object) -> NoisingState:
    """Return a state with a preset, with as many levels as the images allow."""
    chosen = PRESETS[preset]
    side = ProcessChoice(chosen.basis, chosen.color, chosen.schedule)
    return noising_data.fitting(replace(NoisingState(data, (side,)), **values))


def exact(lab: NoisingState, index: int = 0) -> torch.Tensor:
    process = process_of(lab.data, lab.sides[index])
    return process.perturb(noising_data.fields(lab), lab.t, noising_data.noise(lab))


def run(lines: str) -> dict:
    names: dict = {}
    exec(lines, names)
    return names


@pytest.mark.parametrize("preset", PRESETS)
def test_the_python_lines_give_the_page_s_picture(preset):
    lab = of(preset, t=0.4, images=5, first=2, seed=3)
    assert_close(run(export.python_lines(lab, 0))["noised"], exact(lab), rtol=0, atol=1e-6)


@pytest.mark.parametrize("first", [0, 3, 10**6])
def test_the_python_lines_of_side_b_in_colour(first):
    lab = replace(with_second(start(COLOR)), t=0.7, images=4, first=first, seed=1)
    names = run(export.python_lines(lab, 1))
    assert names["noised"].shape[1:] == (3, 32, 32)
    assert_close(names["noised"], exact(lab, 1), rtol=0, atol=1e-6)
    assert (exact(lab, 0) - names["noised"]).abs().max() > 0.1


@pytest.mark.parametrize("preset", PRESETS)
def test_the_json_is_the_process(preset):
    lab = of(preset)
    text = export.process_json(lab, 0)
    process = rg.Process.from_json(text)
    assert process.to_json() == text
    assert process.schedule == lab.sides[0].schedule and process.color == lab.sides[0].color
    x0, eps = noising_data.fields(lab), noising_data.noise(lab)
    assert torch.equal(process.perturb(x0, lab.t, eps), exact(lab))


@pytest.mark.parametrize("preset", PRESETS)
def test_the_csv_has_the_process_levels(preset):
    lab = of(preset)
    process = process_of(lab.data, lab.sides[0])
    rows = list(csv.DictReader(io.StringIO(export.curves_csv(lab, 0))))
    table = {name: np.array([float(row[name]) for row in rows]) for name in rows[0]}
    assert list(table) == ["t", "scale", "gamma", "alpha", "sigma", "noise_std", "data_log_snr"]
    times = np.unique(table["t"])
    assert len(times) == export.CURVE_TIMES and (times[0], times[-1]) == (0, 1)
    assert all(np.isfinite(column).all() for column in table.values())
    for t in (0.0, 0.3, 1.0):
        level = process.level(torch.tensor(t))
        now = table["t"] == t
        for name in ("gamma", "alpha", "sigma"):
            values = getattr(level, name).flatten()
            near = (torch.from_numpy(table[name][now])[:, None] - values).abs().amin(1)
            assert (near <= 1e-5 * values.abs().max().clamp(min=1)).all()
    noise = table["noise_std"][table["t"] == 0]
    assert noise.min() >= process.noise_variance.sqrt().min() * 0.9999
    assert noise.max() <= process.noise_variance.sqrt().max() * 1.0001
    snr = np.log(table["alpha"].clip(1e-30) / table["sigma"].clip(1e-30)) * 2
    calm = np.abs(table["gamma"]) < 12
    np.testing.assert_allclose(-table["gamma"][calm], snr[calm], atol=2e-3)


def sheet(x: torch.Tensor, columns: int, scale: int, low: float, high: float) -> np.ndarray:
    """Return fields (n, 3, H, W) side by side with a gap of one field pixel about each."""
    n, _, h, w = x.shape
    rows = -(-n // columns)
    out = np.full((rows * (h + 1) + 1, columns * (w + 1) + 1, 3), 255.0)
    for i, (row, column) in zip(range(n), product(range(rows), range(columns)), strict=False):
        at = (1 + row * (h + 1), 1 + column * (w + 1))
        field = ((x[i] - low) / (high - low)).clamp(0, 1).movedim(0, -1).numpy()
        out[at[0] : at[0] + h, at[1] : at[1] + w] = 255 * field
    return out.repeat(scale, 0).repeat(scale, 1)


def test_the_png_is_the_exact_picture():
    lab = of("rg-cutoff", COLOR, images=5, t=0.4)
    picture = iio.imread(export.still(lab))[..., :3]
    expected = sheet(exact(lab), 3, 5, -1, 1)
    assert picture.dtype == np.uint8 and picture.shape == expected.shape
    assert np.abs(picture - expected).max() <= 0.51


def test_the_png_of_two_sides_has_a_above_b():
    lab = replace(with_second(start(COLOR)), images=4, t=0.4)
    picture = iio.imread(export.still(lab))[..., :3]
    expected = np.concatenate([sheet(exact(lab, i), 2, 8, -1, 1) for i in (0, 1)])
    assert picture.shape == expected.shape and np.abs(picture - expected).max() <= 0.51


def test_lattice_fields_are_blue_white_and_red():
    lab = of("polchinski", LATTICE, images=1, t=0.0)
    picture = iio.imread(export.still(lab)).astype(int)
    source = cache.images(LATTICE)
    scale = 512 // 6
    inner = picture[scale:-scale:scale, scale:-scale:scale]
    x = exact(lab)[0, 0].numpy()
    limit = max(abs(source.low), source.high)
    warmth = inner[..., 0] - inner[..., 2]  # red less blue
    strong = np.abs(x) > 0.2 * limit
    assert strong.any() and (np.sign(warmth[strong]) == np.sign(x[strong])).all()


def read_film(film: bytes, kind: str, folder: Path) -> np.ndarray:
    if kind == "gif":
        return iio.imread(film, extension=".gif")
    (folder / "film.mp4").write_bytes(film)
    size = (34 * 8, 67 * 8, 3)
    command = [get_ffmpeg_exe(), "-i", "film.mp4", "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    raw = subprocess.run(command, cwd=folder, capture_output=True, check=True).stdout
    return np.frombuffer(raw, np.uint8).reshape(-1, *size)


@pytest.mark.parametrize("kind", ["gif", "mp4"])
def test_a_film_begins_with_the_data_and_ends_with_the_noise(kind, tmp_path):
    """To what H.264 and 256 colours leave: 4 and 8 grey levels on average, 12 and 16 of coloured
    noise.
    """
    lab = NoisingState(COLOR, (SMOOTH,), images=2)
    frames = read_film(export.noising_film(lab, kind), kind, tmp_path)
    height, width, scale = 33 + 1, 2 * 33 + 1, 512 // 64 // (2 if kind == "gif" else 1)
    assert frames.shape == (export.FILM_FRAMES, height * scale, width * scale, 3)
    for frame, x, most in (
        (frames[0], noising_data.fields(lab), 8 if kind == "gif" else 4),
        (frames[-1], exact(replace(lab, t=1.0)), 16 if kind == "gif" else 12),
    ):
        assert np.abs(frame - sheet(x, 2, scale, -1, 1)).mean() < most
    motion = np.abs(np.diff(frames.astype(float), axis=0)).mean((1, 2, 3))
    assert (motion[20:55] > 0.1).all()


def test_a_gif_lasts_three_seconds_even_where_nothing_moves():
    film = export.noising_film(of("hard", LATTICE, images=1), "gif")
    with Image.open(io.BytesIO(film)) as gif:
        durations = [frame.info["duration"] for frame in ImageSequence.Iterator(gif)]
    assert sum(durations) == 50 * export.FILM_FRAMES
    assert len(durations) < export.FILM_FRAMES


def test_a_film_is_made_in_the_background_and_stops_at_once():
    lab = NoisingState(COLOR, (SMOOTH,), images=4, seed=7)
    films._begin(lab, "mp4", "film")
    task = finished(jobs.find(films._key(lab, "mp4")))
    assert task.error == "" and task.result == export.noising_film(lab, "mp4")
    assert films._key(lab, "mp4") == films._key(replace(lab, t=0.1, speed=2.0), "mp4")
    other = replace(lab, seed=8)
    films._begin(other, "mp4", "film")
    task = jobs.find(films._key(other, "mp4"))
    assert task is not None
    task.stop.set()
    assert finished(task).result is None and task.done < export.FILM_FRAMES and task.error == ""


def test_a_film_after_a_drag_shows_what_was_dragged():
    lab = replace(start(LATTICE), images=1)
    at = healthy(visit(lab))
    points = [[[0, 1], [0.5, height], [1, 0]] for height in (0.9, 0.1)]
    own = state(at).component()["sides"][0]
    rest(at, sides=[own | {"points": points[0]}])
    at.button(key="film-gif").click().run()
    dragged = state(at)
    task = finished(jobs.find(films._key(dragged, "gif")))
    assert task.result == export.noising_film(dragged, "gif") != export.noising_film(lab, "gif")
    rest(at, sides=[own | {"points": points[1]}])
    labels = [each.proto.label for each in at.get("download_button")]
    assert "Download the earlier GIF" in labels and "Download the GIF" not in labels
