"""The training loop: steps, and what is written down between them.

A run can be stopped at any moment and goes on from its last checkpoint as if it had not been:
everything random is a function of the seed and the step. On several processes (`torchrun`) the
same batch is shared out, and the curve is that of one process up to rounding.
"""

import os
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor

from rgdiff_core.bases import Basis
from rgdiff_core.losses import by_scale, denoising_loss
from rgdiff_core.modes import Modes
from rgdiff_core.noises import OneProcess, mix
from rgdiff_core.process import Process
from rgdiff_core.sampling import sample
from rgdiff_core.schedules import Cutoff, SigmoidKernel
from rgdiff_core.training.batches import Batches
from rgdiff_core.training.checkpoint import (
    Checkpoint,
    load_checkpoint,
    save_checkpoint,
    write_text,
)
from rgdiff_core.training.config import TrainConfig
from rgdiff_core.training.records import Records, Status, finite
from rgdiff_core.training.state import Learner, Material, keep_memory, learning_rate, prepare
from rgdiff_core.weights import save_model

__all__ = ["DEVICES", "Outcome", "fabric_for", "preview_process", "train"]

DEVICES = ("auto", "cpu", "cuda", "mps")
PREVIEW_IMAGES, PREVIEW_STEPS = 16, 25
TICK = 1.0  # seconds between two looks at what others ask for

Row = Mapping[str, Any]


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


def fabric_for(device: str) -> Fabric:
    """Return Lightning Fabric for a device, and for the processes that torchrun has started."""
    if device not in DEVICES:
        raise ValueError(f"device = {device!r} is not one of {', '.join(DEVICES)}.")
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError("device = 'cuda', but torch sees no CUDA device.")
    world = int(os.environ.get("WORLD_SIZE", "1"))
    here = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    accelerator = {"cuda": "gpu"}.get(device, device)
    strategy = "ddp" if world > 1 else "auto"
    fabric = Fabric(
        accelerator=accelerator, strategy=strategy, devices=here, num_nodes=world // here
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # advice about unused GPUs
        fabric.launch()
    return fabric


def train(
    config: TrainConfig,
    folder: Path,
    *,
    resume: bool = False,
    device: str = "auto",
    on_point: Callable[[Row, Status], None] | None = None,
) -> Outcome:
    """Train a model, writing into a run folder all along.

    Arguments:
        folder: made where it is missing.
        resume: go on from the folder's last checkpoint; otherwise the folder must not have one.
        device: "auto", "cpu", "cuda" or "mps".
        on_point: called after each point of the curves, with the row and the status.

    Returns:
        How it ended. A loss that is not finite and a full disk end a run as "failed", with the
        last checkpoint left as it was.

    Raises `ValueError` for a config that does not fit the data, or the checkpoint it would go on
    from.
    """
    fabric = fabric_for(device)
    kept = load_checkpoint(folder / "checkpoint", config)
    if kept is not None and not resume:
        raise ValueError(f"{folder} holds a run already: resume it, or choose another folder.")
    run = _Run(config, folder, fabric, kept, on_point)
    with _signals(run):
        return run.go()


@contextmanager
def _signals(run: "_Run") -> Iterator[None]:
    """Let SIGTERM and SIGINT pause the run."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def pause(number: int, frame: object) -> None:
        del number, frame
        run.wish = "pause"

    old = {s: signal.signal(s, pause) for s in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


class _Run:
    """One run, from its checkpoint to its end."""

    def __init__(
        self,
        config: TrainConfig,
        folder: Path,
        fabric: Fabric,
        kept: Checkpoint | None,
        on_point: Callable[[Row, Status], None] | None,
    ) -> None:
        self.config, self.folder, self.fabric = config, folder, fabric
        self.on_point, self.kept = on_point, kept
        self.wish: str | None = None
        self.before = kept.elapsed if kept else 0.0
        self.began = self.saved = self.ticked = time.monotonic()
        since = kept.step if kept else 0
        self.records: Records | None = None
        if fabric.is_global_zero:
            folder.mkdir(parents=True, exist_ok=True)
            write_text(folder / "config.json", config.to_json())
            self.records = Records(folder, since)
        self.now = Status("starting", since, config.steps, checkpoint_step=since)
        self.now = replace(self.now, device=_describe(fabric.device), elapsed_s=self.before)

    def go(self) -> Outcome:
        """Run to the end, and say how it ended."""
        state, message = "finished", ""
        try:
            self._status(message="Loading the data.")
            if self.fabric.device.type == "cpu":
                keep_memory()
            self.learner, self.batches, self.material = prepare(self.config, self.fabric)
            if self.kept is not None:
                self.learner.restore(self.kept.tensors, self.kept.step)
            self.held_out = _HeldOut(self.config, self.material)
            self._steps()
        except _Stop as stop:
            state, message = stop.state, stop.message
        except OSError as error:
            step = self.now.checkpoint_step
            state, message = "failed", f"{error}. The checkpoint of step {step} is left as it was."
        except BaseException as error:
            self._status(state="failed", message=" ".join(str(error).split())[:500])
            raise
        finally:
            if self.records is not None:
                self.records.close()
        self._status(state=state, message=message, eta_s=None)
        return Outcome(state, self.now.step, message)

    def _steps(self) -> None:
        config, learner = self.config, self.learner
        self._status(state="running", message="")
        previews, evaluations = (
            _marks(config.steps, n) for n in (config.previews, config.evaluations)
        )
        if learner.step == 0 and config.previews:
            self._preview()
        window = _Window(learner, self.material)
        while learner.step < config.steps:
            window.add(*learner.learn(self.batches.draw(learner.step)))
            step = learner.step
            if step % config.log_every == 0 or step == config.steps:
                self._point(window)
                window = _Window(learner, self.material)
            if step in evaluations:
                self._point(window, held_out=True)
            if step in previews:
                self._preview()
            self._look(window)
        self._check(window)
        self._save()

    def _look(self, window: "_Window") -> None:
        """Once a second: write the status, save where it is time, and do what is asked for."""
        now = time.monotonic()
        if self.fabric.world_size > 1:
            if self.learner.step % self.config.log_every:
                return
            now = float(self.fabric.broadcast(now))
            self.wish = self.fabric.broadcast(self.wish)
        if now - self.ticked < TICK and self.wish is None:
            return
        self.ticked = now
        if self.records is not None:
            self.wish = self.records.requested() or self.wish
        self.wish = self.fabric.broadcast(self.wish) if self.fabric.world_size > 1 else self.wish
        limit = self.config.max_minutes
        if limit is not None and self._elapsed() - self.before > 60 * limit:
            self.wish = self.wish or "pause"
        if self.wish is not None or now - self.saved > self.config.checkpoint_seconds:
            self._check(window)
            self._save()
        if self.wish is not None:
            raise _Stop("cancelled" if self.wish == "cancel" else "paused")
        self._status()

    def _check(self, window: "_Window") -> None:
        bad = window.first_bad()
        if bad is not None:
            raise _Stop(
                "failed",
                f"The loss was not finite at step {bad}; the checkpoint of step "
                f"{self.now.checkpoint_step} is left as it was. A lower learning rate may help.",
            )

    def _point(self, window: "_Window", *, held_out: bool = False) -> None:
        """Write a point of the curves, of training or of held-out data."""
        self._check(window)
        step = self.learner.step
        if held_out:
            row: Row = {"step": step, "held_out": self.held_out.evaluate(self.learner)}
        else:
            row = {**window.row(), "elapsed_s": self._elapsed()}
            rate = row["images_per_s"]
            left = (self.config.steps - step) * self.config.batch / rate
            self.now = replace(
                self.now, loss=row["loss"], excess=row["excess"], images_per_s=rate, eta_s=left
            )
        if self.records is not None:
            self.records.point(row)
            if self.on_point is not None:
                self.on_point(finite(row), replace(self.now, step=step))

    def _preview(self) -> None:
        """Sample from the averaged model, with the same noise every time."""
        if self.records is None:
            return
        process = preview_process(self.config, self.material.basis, self.material.modes)
        generator = torch.Generator(self.fabric.device).manual_seed(mix(self.config.seed, 3))
        method = "dpmpp_2m" if process.schedule.continuous else "shell"
        images = sample(
            self.learner.average, process, PREVIEW_IMAGES, PREVIEW_STEPS, method, generator
        )
        self.records.samples(self.learner.step, images)

    def _save(self) -> None:
        self.saved = time.monotonic()
        step = self.learner.step
        if self.records is not None:
            home = self.folder / "checkpoint"
            checkpoint = Checkpoint(step, self._elapsed(), self.learner.tensors())
            save_checkpoint(home, checkpoint, self.config)
            extra = {"data": self.config.data, "config": self.config.to_json(), "step": str(step)}
            save_model(self.learner.average, home / "model.safetensors", extra)
        self.now = replace(self.now, checkpoint_step=step)

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


class _Window:
    """Sums between two points of the curves, kept on the device."""

    def __init__(self, learner: Learner, learned: Material) -> None:
        self.learner, self.modes = learner, learned.modes
        self.start, self.since = learner.step, time.monotonic()
        self.loss = self.unit = self.norm = torch.zeros((), device=learned.train.device)
        self.excess = torch.zeros(learned.train.shape[1:], device=learned.train.device)
        self.bad = torch.full((), -1, device=learned.train.device)

    def add(self, terms: Any, norm: Tensor) -> None:
        loss = terms.loss.detach()
        self.loss = self.loss + loss
        self.unit = self.unit + terms.unit.mean()
        self.norm = self.norm + norm
        self.excess += terms.excess.mean(0)
        here = torch.where(loss.isfinite(), -1, self.learner.step)
        self.bad = torch.where(self.bad < 0, here, self.bad)

    def first_bad(self) -> int | None:
        """Return the first step at which any process' loss was not finite."""
        never = 1 << 62
        found = self.gathered(torch.where(self.bad < 0, never, self.bad))
        return None if int(found.min()) == never else int(found.min())

    def gathered(self, value: Tensor) -> Tensor:
        """Return the values of all processes, (world, …)."""
        fabric = self.learner.fabric
        if fabric.world_size == 1:
            return value[None]
        found = fabric.all_gather(value)
        if not isinstance(found, Tensor):
            raise TypeError("all_gather of a tensor returned something else.")
        return found

    def row(self) -> Row:
        """Return the means since the last point."""
        steps = self.learner.step - self.start
        config = self.learner.config
        sums = (self.loss, self.unit, self.norm, self.excess)
        loss, unit, norm, excess = (self.gathered(x).mean(0) / steps for x in sums)
        return {
            "step": self.learner.step,
            "loss": float(loss),
            "unit": float(unit),
            "excess": float(excess.mean()),
            "by_scale": by_scale(excess[None], self.modes).tolist(),
            "lr": learning_rate(config, self.learner.step - 1),
            "grad_norm": float(norm),
            "images_per_s": steps * config.batch / max(1e-9, time.monotonic() - self.since),
        }


class _HeldOut:
    """The averaged model on the test split, with the same noise every time."""

    def __init__(self, config: TrainConfig, learned: Material) -> None:
        self.images, self.modes = learned.test, learned.modes
        sampler = config.noise.sampler(learned.basis, learned.modes, config.objective, 4)
        batches = Batches(learned.test, sampler, len(learned.test), "none", 5)
        self.noise, self.levels = (b := batches.draw(0)).noise, b.levels
        self.chunk = 256

    @torch.no_grad()
    def evaluate(self, learner: Learner) -> dict[str, Any]:
        """Return the excess over the Gaussian, its standard error over images, and by scale."""
        parts = []
        for start in range(0, len(self.images), self.chunk):
            rows = slice(start, start + self.chunk)
            levels, noise = self.levels.rows(rows), self.noise[rows]
            parts.append(denoising_loss(learner.average, self.images[rows], levels, noise).excess)
        excess = torch.cat(parts)
        each = excess.mean((1, 2, 3))
        return {
            "excess": float(each.mean()),
            "excess_error": float(each.std() / len(each) ** 0.5),
            "by_scale": by_scale(excess, self.modes).tolist(),
        }


def preview_process(config: TrainConfig, basis: Basis, modes: Modes) -> Process:
    """Return the process that a run's samples are drawn with: its own where it has only one."""
    source = config.noise
    if not isinstance(source, OneProcess):
        source = OneProcess(schedule=Cutoff(SigmoidKernel(0.3)))
    return Process(basis, source.color, source.schedule, modes)


def _marks(steps: int, n: int) -> frozenset[int]:
    """Return n steps spread over a run, the last among them."""
    return frozenset(max(1, round(steps * (i + 1) / n)) for i in range(n))


def _describe(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type} ({torch.get_num_threads()} threads)" if device.type == "cpu" else "mps"
