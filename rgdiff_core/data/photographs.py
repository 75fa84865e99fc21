"""Natural images without a download: crops of photographs that come with scikit-image.

Each photograph is made smaller by factors of 1 to 8 with an antialiasing filter, and cut at
every scale into squares of 32×32 pixels; the squares overlap at the smaller scales. Whole
photographs go to one split, so that no test crop shares a pixel with a training crop.
"""

import numpy as np
from PIL import Image

from rgdiff_core.data.records import Progress, Record

__all__ = ["SIZE", "SPLITS", "build", "crops"]

SIZE = 32
FACTORS_AND_STRIDES = ((1, 24), (2, 12), (4, 6), (8, 3))
SPLITS = {
    "train": ("astronaut", "chelsea", "motorcycle", "rocket"),
    "test": ("coffee",),
}


def build(progress: Progress) -> dict[str, Record]:
    """Cut both splits; the same on every run, in a shuffled order."""
    total = sum(len(names) for names in SPLITS.values())
    records: dict[str, Record] = {}
    done = 0
    for split, names in SPLITS.items():
        parts = []
        for name in names:
            progress(done, total, f"Cutting the photograph “{name}”")
            parts.append(crops(_photograph(name)))
            done += 1
        images = np.concatenate(parts)
        order = np.random.default_rng(0).permutation(len(images))
        records[split] = Record(images[order], None, _source(names))
    progress(total, total, "Photographs cut")
    return records


def crops(photograph: np.ndarray) -> np.ndarray:
    """Cut a photograph at several scales.

    Arguments:
        photograph: (H, W, 3) uint8.

    Returns:
        Crops, (N, 3, 32, 32) uint8, the finest scale first.
    """
    whole = Image.fromarray(photograph)
    cut = []
    for factor, stride in FACTORS_AND_STRIDES:
        width, height = whole.width // factor, whole.height // factor
        if min(width, height) < SIZE:
            continue
        small = np.asarray(whole.resize((width, height), Image.Resampling.LANCZOS))
        windows = np.lib.stride_tricks.sliding_window_view(small, (SIZE, SIZE), (0, 1))
        cut.append(windows[::stride, ::stride].reshape(-1, 3, SIZE, SIZE))
    return np.concatenate(cut)


def _photograph(name: str) -> np.ndarray:
    """Read one photograph, (H, W, 3) uint8, from the installed scikit-image."""
    import skimage.data

    readers = {
        "astronaut": skimage.data.astronaut,
        "chelsea": skimage.data.chelsea,
        "coffee": skimage.data.coffee,
        "motorcycle": lambda: skimage.data.stereo_motorcycle()[0],
        "rocket": skimage.data.rocket,
    }
    return readers[name]()


def _source(names: tuple[str, ...]) -> str:
    plural = "s" if len(names) > 1 else ""
    listed = ", ".join(f"“{name}”" for name in names)
    return (
        f"Crops of 32×32 at several scales from the photograph{plural} {listed} "
        f"that come{'' if plural else 's'} with scikit-image."
    )
