"""Ensembles in the making: chains that are advanced, and on disk all that is needed to go on.

What has been measured lies in pieces, `piece-00000.npz` and so on, each written once; `state.npz`,
written after them, holds the chains, the state of the random numbers and how many pieces belong to
it. Both are written beside their place and renamed; zip's checksums tell damage.
"""

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import torch

from rgdiff_core.data import store
from rgdiff_core.data.records import DataUnavailable
from rgdiff_core.files.untrusted import open_npz
from rgdiff_core.lattice import History, Trajectory
from rgdiff_core.lattice.ensembles import Ensemble, EnsembleSpec, Piece, assemble, resume
from rgdiff_core.lattice.hmc import mean_weight
from rgdiff_core.statistics import Estimate

__all__ = ["Progress", "Running", "Watch", "clear", "make", "progress_of", "writing"]

logger = logging.getLogger(__name__)

MAX_BYTES = 2**34  # of a file of our own
PIECE_SECONDS = 3.0
WATCH_SECONDS = 0.25

Progress = Callable[[int, int], None]
"""Called with (trajectories completed, total); an exception that it raises stops."""


@dataclass(frozen=True, eq=False)
class Running(History):
    """The history of a run under way, and how it goes.

    Attributes:
        acceptance: Fraction of proposals accepted; this and the next after thermalization, or
            while it lasts so far.
        exp_delta_h: ⟨e^{-ΔH}⟩, with an infinite error of a single value.
        step_size: The present step.
    """

    acceptance: float
    exp_delta_h: Estimate
    step_size: float


Watch = Callable[[Running], None]
"""Called with the history so far."""


def make(home: Path, spec: EnsembleSpec, progress: Progress, watch: Watch) -> Ensemble:
    """Run the chains of an ensemble to the end, from the start or from the state in a folder.

    The state is saved every few seconds, and when an exception stops the run.

    Raises:
        ValueError: When none of at least 20 proposals was accepted.
        DataUnavailable: When the folder cannot be written.
    """
    run = _ChainRun(home, spec)
    moves = resume(spec, run.last, run.generator)
    try:
        while not run.finished:
            run.add(next(moves))
            progress(*run.done)
            run.look_around(watch)
    except BaseException:
        with suppress(DataUnavailable):
            run.save()
        raise
    run.save()
    watch(run.history)
    assert run.last is not None
    return assemble(spec, Piece.join(run.pieces), run.last.step_size, run.seconds)


def progress_of(home: Path, spec: EnsembleSpec) -> tuple[int, int]:
    """Return how far an unfinished ensemble had come when it was last saved, and how far it is."""
    with suppress(OSError, KeyError, ValueError, TypeError, OverflowError):
        done, total = _read(home / "state.npz")["done"].tolist()
        return int(done), int(total)
    return 0, spec.trajectories


def clear(home: Path) -> None:
    """Remove what was kept for the case of an interruption."""
    for path in (home / "state.npz", *home.glob("piece-*.npz")):
        path.unlink(missing_ok=True)


@contextmanager
def writing(home: Path) -> Iterator[None]:
    """Say in one sentence that a folder cannot be written."""
    try:
        yield
    except OSError as error:
        why = error.strerror or str(error)
        raise DataUnavailable(f"{home} cannot be written: {why}.") from error


class _ChainRun:
    """A run and its folder.

    Attributes:
        pieces: What has been saved.
        last: The last trajectory, None before the first.
        generator: In the state after it, or later where a stop came within a trajectory.
        seconds: How long the run has taken, interruptions left out.
    """

    def __init__(self, home: Path, spec: EnsembleSpec) -> None:
        self.spec = spec
        self.pieces: list[Piece] = []
        self.last: Trajectory | None = None
        self.generator = torch.Generator().manual_seed(spec.seed)
        self.seconds = 0.0
        self._home = home
        self._load()
        self._random = self.generator.get_state()
        self._measured = sum(len(piece.action) - piece.discarded for piece in self.pieces)
        self._discarded = sum(piece.discarded for piece in self.pieces)
        self._moves: list[Trajectory] = []
        self._kept: list[torch.Tensor] = []
        self._clock = self._saved = self._watched = time.monotonic()

    @property
    def finished(self) -> bool:
        """Whether all is measured."""
        return self._measured >= self.spec.measured

    @property
    def done(self) -> tuple[int, int]:
        """Trajectories done, and in all."""
        usual = self.spec.trajectories - self.spec.measured
        return self._measured + self._discarded, self.spec.measured + max(self._discarded, usual)

    @property
    def history(self) -> Running:
        """M and S so far, and how the run goes."""
        pieces = [*self.pieces, *([self._piece()] if self._moves else [])]
        assert self.last is not None  # for there is at least one trajectory
        first = self._discarded if self._measured else 0
        weight = torch.cat([piece.weight for piece in pieces])[first:]
        return Running(
            torch.cat([piece.magnetization for piece in pieces]),
            torch.cat([piece.action for piece in pieces]),
            self._discarded,
            float(torch.cat([piece.accepted for piece in pieces])[first:].double().mean()),
            mean_weight(weight),
            self.last.step_size,
        )

    def add(self, move: Trajectory) -> None:
        """Take a trajectory into account."""
        self.last, self._random = move, self.generator.get_state()
        self._measured += not move.thermalizing
        self._discarded += move.thermalizing
        if not move.thermalizing and self._measured % self.spec.thinning == 0:
            self._kept.append(move.phi)
        self._moves.append(replace(move, phi=move.phi[:0]))

    def look_around(self, watch: Watch) -> None:
        """Save and show where it is time."""
        now = time.monotonic()
        if now - self._watched >= WATCH_SECONDS:
            watch(self.history)
            self._watched = time.monotonic()
        if now - self._saved >= PIECE_SECONDS:
            self.save()

    def save(self) -> None:
        """Write what is new; raises `DataUnavailable` where that fails, the old state stays."""
        # Thermalization by default ends by what it has seen, which the state doesn't hold.
        open_end = self.spec.thermalization is None and self._measured == 0
        if self.last is None or not self._moves or open_end:
            return
        now = time.monotonic()
        self.seconds, self._clock = self.seconds + now - self._clock, now
        piece = self._piece()
        with writing(self._home):
            _write(self._home / f"piece-{len(self.pieces):05d}.npz", _arrays(piece))
            state = {
                **_arrays(self.last),
                "generator": self._random.numpy(),
                "pieces": np.array(len(self.pieces) + 1),
                "seconds": np.array(self.seconds),
                "done": np.array(self.done),
            }
            _write(self._home / "state.npz", state)
        self.pieces.append(piece)
        self._moves, self._kept = [], []
        self._saved = time.monotonic()

    def _piece(self) -> Piece:
        shape = (0, self.spec.n_chains, self.spec.size, self.spec.size)
        dtype = torch.float64 if self.spec.double else torch.float32
        series = ("magnetization", "action", "weight", "accepted")
        return Piece(
            kept=torch.stack(self._kept) if self._kept else torch.empty(shape, dtype=dtype),
            **{name: torch.stack([getattr(m, name) for m in self._moves]) for name in series},
            discarded=sum(move.thermalizing for move in self._moves),
        )

    def _load(self) -> None:
        """Take up the state in the folder; without one, or with a damaged one, start again."""
        try:
            state = _read(self._home / "state.npz")
            count = int(state["pieces"])
            pieces = [_read(self._home / f"piece-{i:05d}.npz") for i in range(count)]
            numbers = {"number": int, "thermalizing": bool, "step_size": float}
            last = {
                f.name: numbers.get(f.name, torch.from_numpy)(state[f.name])
                for f in fields(Trajectory)
            }
            found = [
                Piece(
                    **{
                        f.name: torch.from_numpy(piece[f.name])
                        for f in fields(Piece)
                        if f.name != "discarded"
                    },
                    discarded=int(piece["discarded"]),
                )
                for piece in pieces
            ]
            seconds, trajectory = float(state["seconds"]), Trajectory(**last)
            # Last, for it may fail; what is taken up is then nothing at all.
            self.generator.set_state(torch.from_numpy(state["generator"]))
            self.pieces, self.last, self.seconds = found, trajectory, seconds
        except FileNotFoundError:
            clear(self._home)
        except (OSError, KeyError, ValueError, TypeError, RuntimeError) as error:
            logger.warning("%s is damaged (%s). The run starts again.", self._home, error)
            clear(self._home)


def _arrays(value: Piece | Trajectory) -> dict[str, np.ndarray]:
    """Return the fields of a value as arrays."""
    found = ((f.name, getattr(value, f.name)) for f in fields(value))
    return {k: v.cpu().numpy() if isinstance(v, torch.Tensor) else np.array(v) for k, v in found}


def _write(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    store.replace(path, lambda file: np.savez(file, allow_pickle=False, **arrays))


def _read(path: Path) -> dict[str, np.ndarray]:
    """Read arrays; FileNotFoundError where there is no file, `ValueError` where it is damaged."""
    path.stat()
    with open_npz(path, str(path), MAX_BYTES) as opened:
        return {name: opened.read(name) for name in opened.headers}
