"""What the Noising page gives away: the process as JSON and Python, its curves, pictures and
films.
"""

import csv
import io
from collections.abc import Callable, Iterator

import numpy as np
import torch

from pages._noising import data
from pages._noising.state import NoisingState
from pages._shared import cache
from pages._shared.pictures import film, grid, png
from pages._shared.process_choice import process as process_of
from pages._shared.python_source import basis_lines, spec_source, symmetries_source
from rgdiff_core.process import clamped
from rgdiff_core.spectra.bands import split_bands
from rgdiff_core.spectra.power import data_log_snr

__all__ = ["curves_csv", "noising_film", "process_json", "python_lines", "still"]

CURVE_TIMES = 101
FILM_FRAMES = 60


def process_json(lab: NoisingState, index: int) -> str:
    """Return a side's process as JSON, for `rg.Process.from_json`."""
    return process_of(lab.data, lab.sides[index]).to_json()


def curves_csv(lab: NoisingState, index: int) -> str:
    """Return γ, α, σ, S and the data log-SNR over time, for a component at each band's node."""
    process = process_of(lab.data, lab.sides[index])
    bands = split_bands(process)
    times = torch.linspace(0, 1, CURVE_TIMES)
    level = clamped(process.schedule.level(times, process.modes))
    columns = {
        "gamma": level.gamma,
        "alpha": level.alpha,
        "sigma": level.sigma,
        "noise_std": process.color.variance_at(times, process.modes).sqrt(),
        "data_log_snr": data_log_snr(process, times),
    }
    tables = [bands.at_nodes(x).tolist() for x in columns.values()]
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow(["t", "scale", *columns])
    for i, t in enumerate(times.tolist()):
        for b, node in enumerate(bands.nodes.tolist()):
            writer.writerow([f"{x:.6g}" for x in (t, node, *(table[i][b] for table in tables))])
    return file.getvalue()


def python_lines(lab: NoisingState, index: int) -> str:
    """Return the Python lines that rebuild a side's process and its picture at this time."""
    side, n = lab.sides[index], len(data.fields(lab))
    first = min(lab.first, len(cache.images(lab.data).images) - 1)
    return f"""import torch
import rgdiff_core as rg
from rgdiff_core.bases.spec import BasisSpec
from rgdiff_core.process import white_noise
from rgdiff_core.seeds import streams

data = rg.data.load({lab.data!r}, limit={cache.FIT_LIMIT}).images
basis = {basis_lines(side.basis)}.build(data)
process = rg.Process(
    basis,
    {spec_source(side.noise)},
    {spec_source(side.schedule)},
    rg.Modes.fit(basis, data{symmetries_source(lab.data)}),
)
images = data[{first} : {first + n}]
noise = white_noise(images.shape, images, streams({lab.seed}, {n}, {lab.first}))
noised = process.perturb(images, {lab.t!r}, noise)
"""


def still(lab: NoisingState) -> bytes:
    """Return the exact pictures at the present time as PNG, A and B one below the other."""
    return png(_sheet(lab, lab.t))


def noising_film(
    lab: NoisingState, kind: str, progress: Callable[[int, int], None] = lambda done, total: None
) -> bytes:
    """Return the noising from t = 0 to 1 as a film, "gif" or "mp4".

    Arguments:
        progress: Called before each frame with how many are made, and how many there will be.
    """

    def frames() -> Iterator[np.ndarray]:
        for i in range(FILM_FRAMES):
            progress(i, FILM_FRAMES)
            yield _sheet(lab, i / (FILM_FRAMES - 1))

    return film(frames(), kind)


def _sheet(lab: NoisingState, t: float) -> np.ndarray:
    source, x0, eps = cache.images(lab.data), data.fields(lab), data.noise(lab)
    columns = int(np.ceil(np.sqrt(len(x0))))
    scale = max(1, 512 // (columns * x0.shape[-1]))
    rows = [
        grid(
            process_of(lab.data, side).perturb(x0, t, eps),
            source,
            columns=columns,
            scale=scale,
        )
        for side in lab.sides
    ]
    return np.concatenate(rows)
