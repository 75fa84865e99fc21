"""What is costly and used by many files of tests: made once for a state of the sources."""

import shutil
import tempfile
import time
from collections.abc import Callable
from functools import cache, partial
from hashlib import sha256
from pathlib import Path

import pytest
from filelock import FileLock

from rgdiff_core import data
from rgdiff_core.bases.fitted import fitted_basis
from rgdiff_core.bases.spec import BasisSpec

__all__ = ["SETS", "cache_with", "kept"]

ROOT = Path(__file__).resolve().parents[1]
OLD = 86400.0  # seconds
SETS = ("photographs", "phi4-6x6", "phi4-6x6-broken")


def kept(name: str, make: Callable[[Path], object]) -> Path:
    """Return a folder that is complete, to be read or copied.

    It is made where there is none, and kept for other processes and the next sessions of pytest.
    """
    path = ROOT / ".pytest_cache" / f"{name}-{_state()}"
    path.parent.mkdir(exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        if not path.is_dir():
            for old in filter(_is_old, path.parent.glob(f"{name}-{'?' * 16}")):
                shutil.rmtree(old, ignore_errors=True)
            with tempfile.TemporaryDirectory(dir=path.parent) as folder:
                make(Path(folder) / name)
                (Path(folder) / name).rename(path)
    return path


def cache_with(folder: Path, *names: str) -> str:
    """Put data sets of the library into a cache folder, and return its path."""
    for name in names:
        shutil.copytree(kept(name, partial(_load, name)), folder, dirs_exist_ok=True)
    return str(folder)


def _load(name: str, folder: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RGDIFF_CACHE", str(folder))
        images = data.load(name).images
        if name == "photographs":  # whose principal components take some seconds to find
            fitted_basis(BasisSpec("pca"), images)


def _is_old(path: Path) -> bool:
    """Tell whether a folder is of no session that still goes on."""
    return path.is_dir() and time.time() - path.stat().st_mtime > OLD


@cache
def _state() -> str:
    """Return a digest of all that the folders depend on."""
    digest = sha256()
    own = (ROOT / "tests" / "tiny_study.py", Path(__file__), ROOT / "uv.lock")
    for each in (*sorted((ROOT / "rgdiff_core").rglob("*.py")), *own):
        digest.update(each.read_bytes())
    return digest.hexdigest()[:16]
