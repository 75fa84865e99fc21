"""The training loop: steps, and what is written down between them.

A run can be stopped at any moment and continues from its last checkpoint as if it had not been:
everything random is a function of the seed and the step. On several processes (`torchrun`) the
same batch is shared out, and the curve is that of one process up to rounding.
"""

import os
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import torch

from rgdiff_core.bases import Basis
from rgdiff_core.bases.modes import Modes
from rgdiff_core.data import is_lattice
from rgdiff_core.denoisers.files import save_model
from rgdiff_core.devices import device_of
from rgdiff_core.files.atomic import write_text
from rgdiff_core.process import Process
from rgdiff_core.sampling import sample, usual_method
from rgdiff_core.schedules import Cutoff, SigmoidKernel
from rgdiff_core.seeds import fold_in
from rgdiff_core.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from rgdiff_core.training.config import TrainConfig
from rgdiff_core.training.measures import CurvePoint, HeldOutEvaluation, RunningMeans
from rgdiff_core.training.noise_levels import FixedProcess
from rgdiff_core.training.records import RunWriter, Status, finite
from rgdiff_core.training.state import prepare, tune_malloc, use_threads
from rgdiff_core.training.warm_start import bring_weights, origin, warm_start

if TYPE_CHECKING:
    from lightning_fabric import Fabric

__all__ = ["Outcome", "fabric_for", "preview_process", "train"]

PREVIEW_IMAGES, PREVIEW_FIELDS, PREVIEW_STEPS = 16, 64, 25
TICK = 1.0  # seconds between two looks at what others ask for
SNAPSHOTS = (16, 8)  # at a sixteenth and an eighth of the steps
LOOK_EVERY = 10  # steps between two looks of several processes, which must look together


@dataclass(frozen=True)
class Outcome:
    """How a run ended: the state of its `Status`, the step, and a sentence where there is one."""

    state: str
    step: int
    message: str = ""


class _Stop(Exception):
    """The run ends before its last step."""

    def __init__(self, state: str, message: str = "") -> None:
        super().__init__(message)
        self.state, self.message = state, message


def fabric_for(device: str) -> "Fabric":
    """Return Lightning Fabric for a device, and for the processes that torchrun has started.

    Raises `ValueError` for a name that no device here has, and for one GPU of several processes.
    """
    from lightning_fabric import Fabric  # imports torch's compiler: half of the time of a start

    place = device_of(device)
    world = int(os.environ.get("WORLD_SIZE", "1"))
    here = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if world > 1 and place.index is not None:
        raise ValueError(f"device = {device!r} is one device for {world} processes: use 'cuda'.")
    accelerator = {"cuda": "gpu"}.get(place.type, place.type)
    strategy = "ddp" if world > 1 else "auto"
    devices = here if place.index is None else [place.index]
    fabric = Fabric(
        accelerator=accelerator, strategy=strategy, devices=devices, num_nodes=world // here
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # advice about unused GPUs
        fabric.launch()
    return fabric


def train(
    config: TrainConfig,
    folder: str | Path,
    *,
    resume: bool = False,
    weights: str | Path | None = None,
    device: str = "auto",
    on_point: Callable[[CurvePoint, Status], None] | None = None,
) -> Outcome:
    """Train a model, writing into a run folder all along.

    Arguments:
        folder: made where it is missing.
        resume: go on from the folder's last checkpoint; otherwise the folder must not have one.
        weights: a model file to start from, of the same network; its optimizer starts afresh.
        device: as of `device_of`.
        on_point: called after each point of the curves, with the row and the status.

    Returns:
        How it ended. A loss that is not finite and a full disk end a run as "failed", with the
        last checkpoint left as it was.

    Raises `ValueError` for a config that does not fit the data, or the checkpoint it would go on
    from.
    """
    folder = Path(folder)
    fabric = fabric_for(device)
    kept = load_checkpoint(folder / "checkpoint", config)
    if kept is not None and not resume:
        raise ValueError(f"{folder} holds a run already: resume it, or choose another folder.")
    if weights is not None and kept is None and fabric.is_global_zero:
        bring_weights(Path(weights), folder)
    fabric.barrier()
    with _signals(run := _TrainingRun(config, folder, fabric, kept, on_point)):
        outcome = run.go()
    if fabric.world_size > 1:  # a process that just left could take the others with it
        torch.distributed.destroy_process_group()
    return outcome


@contextmanager
def _signals(run: "_TrainingRun") -> Iterator[None]:
    """Let SIGTERM and SIGINT pause the run; SIGINT ends one that has not begun its steps."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def pause(number: int, frame: FrameType | None) -> None:
        run.request = "pause"
        if number == signal.SIGINT:  # a second one stops it at once
            before = old[signal.SIGINT]
            signal.signal(number, before)
            if run.now.state == "starting" and callable(before):
                before(number, frame)

    old = {s: signal.getsignal(s) for s in (signal.SIGTERM, signal.SIGINT)}
    for number in old:
        signal.signal(number, pause)
    try:
        yield
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


class _TrainingRun:
    """One run, from its checkpoint to its end."""

    def __init__(
        self,
        config: TrainConfig,
        folder: Path,
        fabric: "Fabric",
        kept: Checkpoint | None,
        on_point: Callable[[CurvePoint, Status], None] | None,
    ) -> None:
        self.config, self.folder, self.fabric = config, folder, fabric
        self.on_point, self.kept = on_point, kept
        self.request: str | None = None
        self.before = kept.elapsed if kept else 0.0
        self.began = self.saved = self.ticked = time.monotonic()
        since = kept.step if kept else 0
        self.records: RunWriter | None = None
        if fabric.is_global_zero:
            folder.mkdir(parents=True, exist_ok=True)
            self.records = RunWriter(folder, since)
            write_text(folder / "config.json", config.to_json())
        self.now = Status("starting", since, config.steps, checkpoint_step=since)
        self.now = replace(self.now, elapsed_s=self.before)

    def go(self) -> Outcome:
        """Run to the end, and say how it ended."""
        state, message = "finished", ""
        try:
            if self.fabric.device.type == "cpu":
                tune_malloc()
                use_threads(self.config)
            torch.backends.cudnn.benchmark = True  # every batch has the same shape
            self._status(message="Loading the data.", device=_describe(self.fabric.device))
            tensors = None if self.kept is None else self.kept.tensors
            self.learner, self.batches, self.material = prepare(self.config, self.fabric, tensors)
            if self.kept is None:
                warm_start((self.learner.model, self.learner.average), self.folder)
            else:
                self.learner.restore(self.kept.tensors, self.kept.step)
                self.batches.restore(self.kept.tensors)
            self.held_out = HeldOutEvaluation(self.config, self.material)
            self._steps()
        except _Stop as stop:
            state, message = stop.state, stop.message
        except OSError as error:
            state, message = "failed", f"{error}; {self._kept()}."
        except KeyboardInterrupt:
            self._status(state="paused" if self.kept else "cancelled", message="Stopped by hand.")
            raise
        except BaseException as error:
            if not _out_of_memory(error):
                self._status(state="failed", message=" ".join(str(error).split())[:500])
                raise
            state = "failed"
            message = f"Not enough memory for a batch of {self.config.batch} with this network."
        finally:
            if self.records is not None:
                self.records.close()
        self._status(state=state, message=message, eta_s=None)
        return Outcome(state, self.now.step, message)

    def _steps(self) -> None:
        config, learner = self.config, self.learner
        self._status(state="running", message="")
        previews = _marks(config.steps, config.previews)
        evaluations = _marks(config.steps, config.evaluations)
        if learner.step == 0 and config.previews:
            self._preview()
        window = RunningMeans(learner, self.material)
        if self.kept is not None:
            window.restore(self.kept.tensors)
        while learner.step < config.steps:
            self.batches.adapt(learner.average, learner.step)
            batch = self.batches.draw(learner.step)
            window.add(*learner.learn(batch), batch.part)
            step = learner.step
            if step % config.log_every == 0 or step == config.steps:
                self._point(window)
                window = RunningMeans(learner, self.material)
            if step in evaluations:
                self._point(window, held_out=True)
            if step in previews:
                self._preview()
            self._snapshot()
            self._look(window)
        self._check(window)
        self._save(window)

    def _look(self, window: RunningMeans) -> None:
        """Once a second: write the status, save where it is time, and do what is asked for."""
        together = self.fabric.world_size > 1
        if together and self.learner.step % LOOK_EVERY:
            return
        ticks = time.monotonic() - self.ticked > TICK or self.request is not None
        # one process decides for all of them, whose clocks and signals differ
        ticks, request, due = self.fabric.broadcast((ticks, *self._due(ticks)))
        if not ticks:
            return
        self.ticked = time.monotonic()
        if due:
            self._check(window)
            self._save(window)
        if request is not None:
            raise _Stop("cancelled" if request == "cancel" else "paused")
        self._status()

    def _due(self, ticks: bool) -> tuple[str | None, bool]:
        """Return what is asked for, and whether it is time for a checkpoint."""
        if not ticks or self.records is None:
            return None, False
        request = self.records.requested() or self.request
        limit = self.config.max_minutes
        if limit is not None and time.monotonic() - self.began > 60 * limit:
            request = request or "pause"
        late = time.monotonic() - self.saved > self.config.checkpoint_seconds
        return request, late or request is not None

    def _check(self, window: RunningMeans) -> None:
        bad = window.first_bad()
        if bad is not None:
            raise _Stop(
                "failed",
                f"The loss was not finite at step {bad}; {self._kept()}. A lower learning rate "
                "may help.",
            )

    def _kept(self) -> str:
        step = self.now.checkpoint_step
        return (
            f"the checkpoint of step {step} is left as it was"
            if step
            else "there was no checkpoint yet"
        )

    def _point(self, window: RunningMeans, *, held_out: bool = False) -> None:
        """Write a point of the curves, of training or of held-out data."""
        self._check(window)
        step = self.learner.step
        if held_out:
            row: CurvePoint = {"step": step, "held_out": self.held_out.evaluate(self.learner)}
        else:
            row = {**window.row(), "elapsed_s": self._elapsed()}
            rate = row["images_per_s"]
            left = (self.config.steps - step) * self.config.batch / rate
            self.now = replace(
                self.now, loss=row["loss"], gain=row["gain"], images_per_s=rate, eta_s=left
            )
        if self.records is not None:
            self.records.point(row)
            if self.on_point is not None:
                self.on_point(finite(row), replace(self.now, step=step))

    def _preview(self) -> None:
        """Sample from the averaged model, with equal noise every time, its classes in turn."""
        if self.records is None:
            return
        process = preview_process(self._made(), self.material.basis, self.material.modes)
        generator = torch.Generator(self.fabric.device).manual_seed(fold_in(self.config.seed, 3))
        method = usual_method(process)
        model = self.learner.average
        small = self.material.basis.shape[-1] <= 16  # enough of them for a histogram
        n = PREVIEW_FIELDS if small and is_lattice(self.config.data) else PREVIEW_IMAGES
        labels = torch.arange(n) % model.num_classes if model.num_classes else None
        images = sample(
            model,
            process,
            n,
            PREVIEW_STEPS,
            method,
            generator,
            class_labels=labels,
        )
        self.records.samples(self.learner.step, images)

    def _save(self, window: RunningMeans) -> None:
        self.saved = time.monotonic()
        step, sums = self.learner.step, window.tensors()
        if self.records is not None:
            home = self.folder / "checkpoint"
            tensors = self.learner.tensors() | self.batches.tensors() | sums
            checkpoint = Checkpoint(step, self._elapsed(), tensors)
            save_checkpoint(home, checkpoint, self.config)
            self.now = replace(self.now, checkpoint_step=step)
            self._save_model(home / "model.safetensors")
        self.now = replace(self.now, checkpoint_step=step)

    def _snapshot(self) -> None:
        """Keep the averaged weights of an early step beside the checkpoint: a guide for later."""
        step, home = self.learner.step, self.folder / "checkpoint"
        for part in SNAPSHOTS:
            if self.records is not None and step and step == self.config.steps // part:
                home.mkdir(exist_ok=True)
                self._save_model(home / f"snapshot-1-{part}.safetensors")

    def _save_model(self, path: Path) -> None:
        """Write the averaged model, with what it was made from."""
        step = str(self.learner.step)
        extra = {"data": self.config.data, "config": self._made().to_json(), "step": step}
        if started_from := origin(self.folder):
            extra["started_from"] = started_from
        save_model(self.learner.average, path, extra)

    def _made(self) -> TrainConfig:
        """Return the config with the process that was learned, where one was."""
        return replace(self.config, noise=self.batches.learned() or self.config.noise)

    def _elapsed(self) -> float:
        return self.before + time.monotonic() - self.began

    def _status(self, **changes: Any) -> None:
        step = self.learner.step if hasattr(self, "learner") else self.now.step
        self.now = replace(self.now, step=step, elapsed_s=self._elapsed(), **changes)
        if self.records is not None:
            try:
                self.records.status(self.now)
            except OSError:
                if self.now.state == "running":
                    raise


def preview_process(config: TrainConfig, basis: Basis, modes: Modes) -> Process:
    """Return the process that a run's samples are drawn with: its own where it has only one."""
    source = config.noise
    if not isinstance(source, FixedProcess):
        source = FixedProcess(schedule=Cutoff(SigmoidKernel(0.3)))
    return Process(basis, source.color, source.schedule, modes)


def _marks(steps: int, n: int) -> frozenset[int]:
    """Return n steps spread over a run, the last among them."""
    return frozenset(max(1, round(steps * (i + 1) / n)) for i in range(n))


def _out_of_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)


def _describe(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU (threads: {torch.get_num_threads()})" if device.type == "cpu" else "mps"
