"""Ensembles of lattice configurations on disk: generated once, kept, listed, deleted, imported.

Each has a folder under its id in `ensembles` of the cache folder. While it is being generated the
folder holds the spec, what has been measured in pieces, and the state of the chains; at the end
all of that is replaced by one file, `ensemble.npz`, and a short `about.json` for lists. Every file
is written beside its place and renamed, and carries a checksum. A process that is killed loses
what it did since the last piece, a few seconds; the next one goes on from there, and the result
is bit for bit that of a run without a stop.
"""

import json
import logging
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from rgdiff_core.data import quota, store
from rgdiff_core.data.ensemble_files import arrays_in, export, open_file
from rgdiff_core.data.ensemble_runs import Progress, Watch, clear, make, progress_of, writing
from rgdiff_core.data.records import DataUnavailable
from rgdiff_core.lattice import Phi4
from rgdiff_core.lattice.ensembles import Ensemble, EnsembleSpec, ImportedSpec
from rgdiff_core.spec import from_dict, load_json, to_dict

__all__ = [
    "EnsembleInfo",
    "arrays_in",
    "bring",
    "delete",
    "export",
    "generate",
    "info",
    "is_id",
    "read",
    "stored",
    "unfinished",
]

logger = logging.getLogger(__name__)

WAIT_SECONDS = 0.2
MAX_BYTES = 2**33  # of our own files, whose specs have bounds


@dataclass(frozen=True)
class EnsembleInfo:
    """A line of the list of stored ensembles.

    Attributes:
        id: What `read` and `delete` are given.
        spec: What was asked for, or what is known of an imported ensemble.
        bytes: Size on disk.
        made: When it was finished or imported, in seconds since 1970.
    """

    id: str
    spec: EnsembleSpec | ImportedSpec
    bytes: int
    made: float

    @property
    def title(self) -> str:
        """A short display name."""
        return self.spec.title


def generate(
    spec: EnsembleSpec,
    *,
    progress: Progress | None = None,
    watch: Watch | None = None,
) -> Ensemble:
    """Return an ensemble from the cache, or make it and keep it.

    An unfinished one goes on from its last piece. Where another process is at it already, this one
    waits for it.

    Arguments:
        spec: What is wanted.
        progress: Called with (trajectories completed, total) after each trajectory; an
            exception that it raises stops the run, which can be gone on with, and reaches the
            caller.
        watch: Called a few times a second with the history so far.

    Raises:
        ValueError: When no proposal at all was accepted, or the quota is passed.
        DataUnavailable: When the folder cannot be written, for instance since the disk is full.
    """
    report = progress or (lambda done, total: None)
    home = _home(spec.id)
    with suppress(FileNotFoundError, store.CorruptCache):
        return _open(home)
    quota.check(spec.bytes, f"lattice-{spec.id}")
    with writing(home):
        home.mkdir(parents=True, exist_ok=True)
    with _alone(home, lambda: report(*progress_of(home, spec))):
        try:
            return _open(home)
        except FileNotFoundError:
            pass
        except store.CorruptCache as error:
            logger.warning("%s It is generated again.", error)
        with writing(home):
            _write_json(home / "spec.json", to_dict(spec))
        ensemble = make(home, spec, report, watch or (lambda history: None))
        _keep(home, ensemble)
        return ensemble


def read(id: str) -> Ensemble:
    """Read a stored ensemble.

    Raises:
        ValueError: When there is none of that id.
        DataUnavailable: When its file is damaged.
    """
    try:
        return _open(_home(id))
    except FileNotFoundError:
        raise ValueError(f"there is no ensemble {id!r}.") from None
    except store.CorruptCache as error:
        raise DataUnavailable(f"{error} Delete it, and generate or import it again.") from error


def info(id: str) -> EnsembleInfo | None:
    """Return what is known of a stored ensemble without reading it; None where there is none."""
    home = _home(id)
    try:
        about = load_json((home / "about.json").read_text(encoding="utf-8"))
        spec = from_dict(about["spec"])
        size = (home / "ensemble.npz").stat().st_size
        if isinstance(spec, EnsembleSpec | ImportedSpec):
            return EnsembleInfo(id, spec, size, float(about["made"]))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, KeyError, TypeError, OSError) as error:
        logger.warning("%s is damaged (%s).", home / "about.json", error)
    return None


def stored() -> list[EnsembleInfo]:
    """List the ensembles that are there, the newest first."""
    found = (info(home.name) for home in _homes())
    return sorted((each for each in found if each), key=lambda each: -each.made)


def unfinished() -> list[EnsembleSpec]:
    """List what has been begun, which `generate` goes on with, and is not finished."""
    found = []
    for home in _homes():
        if (home / "spec.json").is_file() and not (home / "ensemble.npz").is_file():
            try:
                text = (home / "spec.json").read_text(encoding="utf-8")
                found.append(EnsembleSpec.from_json(text))
            except (ValueError, OSError) as error:
                logger.warning("%s is damaged (%s).", home / "spec.json", error)
    return found


def delete(id: str) -> None:
    """Delete an ensemble, finished or not.

    Raises:
        ValueError: When there is none of that id, or it is being generated.
    """
    home = _home(id)
    if not home.is_dir():
        raise ValueError(f"there is no ensemble {id!r}.")
    try:
        with FileLock(_lock(home), timeout=0):
            shutil.rmtree(home)
    except Timeout:
        raise ValueError(f"ensemble {id!r} is being generated; stop that first.") from None


def bring(
    path: str | Path,
    action: Phi4 | None = None,
    n_chains: int | None = None,
    *,
    array: str | None = None,
    convention: str | None = None,
) -> Ensemble:
    """Import an ensemble from a .npz, .npy or .h5 file and keep it; all as `open_file`.

    What the file says of itself is not believed: `Ensemble.identity` is the Schwinger–Dyson
    identity, 1 for the right couplings, and `Ensemble.warning` says so where it is not.

    Raises:
        ValueError: As `open_file`, or when the quota of what is brought is passed.
        DataUnavailable: When the copy cannot be written.
    """
    ensemble = open_file(path, action, n_chains, array=array, convention=convention)
    home = _home(ensemble.spec.id)
    quota.check(ensemble.configurations.nbytes, f"lattice-{ensemble.spec.id}")
    with writing(home):
        home.mkdir(parents=True, exist_ok=True)
    with _alone(home, lambda: None):
        _keep(home, ensemble)
    return ensemble


def _homes() -> list[Path]:
    folder = store.cache_folder() / "ensembles"
    return sorted(home for home in folder.iterdir() if home.is_dir()) if folder.is_dir() else []


def is_id(text: str) -> bool:
    """Tell whether a text could be the id of an ensemble: 12 hexadecimal digits."""
    return len(text) == 12 and set(text) <= set("0123456789abcdef")


def _home(id: str) -> Path:
    if not is_id(id):
        raise ValueError(f"id = {id[:40]!r} is not 12 hexadecimal digits.")
    return store.cache_folder() / "ensembles" / id


def _lock(home: Path) -> Path:
    return home.with_suffix(".lock")


@contextmanager
def _alone(home: Path, waiting: Callable[[], None]) -> Iterator[None]:
    """Be the only one, among threads and processes, that writes into a folder."""
    lock = FileLock(_lock(home), thread_local=False)
    while True:
        try:
            lock.acquire(timeout=WAIT_SECONDS)
            break
        except Timeout:
            waiting()
        except OSError as error:
            raise DataUnavailable(f"{home} cannot be written: {error}.") from error
    try:
        yield
    finally:
        lock.release()


def _open(home: Path) -> Ensemble:
    """Read an ensemble; FileNotFoundError where there is none, CorruptCache where it is bad."""
    path = home / "ensemble.npz"
    if not path.is_file():
        raise FileNotFoundError(path)
    try:
        return open_file(path, limit=MAX_BYTES)
    except ValueError as error:
        raise store.CorruptCache(str(error)) from error


def _keep(home: Path, ensemble: Ensemble) -> None:
    """Write an ensemble in its place, and remove what was needed on the way."""
    with writing(home):
        export(ensemble, home / "ensemble.npz")
        about = {"spec": to_dict(ensemble.spec), "made": time.time()}
        _write_json(home / "about.json", about)
        (home / "spec.json").unlink(missing_ok=True)
        clear(home)


def _write_json(path: Path, value: object) -> None:
    text = json.dumps(value, indent=1).encode()
    store.replace(path, lambda file: file.write(text))
