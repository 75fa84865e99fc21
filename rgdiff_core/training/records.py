"""What a run writes down: its status, its curves, its samples.

config.json       the config
status.json       where it stands: replaced as a whole, about once a second
metrics.jsonl     one JSON object a line, appended; the last line of a step counts
samples/          step-00000500.npz: images (n, C, H, W) and the step
checkpoint/       see `rgdiff_core.training.checkpoint`; model.safetensors is the model
events/           the curves for TensorBoard
request           written by others: "pause" or "cancel"
"""

import json
import math
import os
import socket
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from torch import Tensor

from rgdiff_core.files.atomic import naming, replacing, write_text
from rgdiff_core.files.stored import MAX_NUMBER, is_number, read_json, reading
from rgdiff_core.spec import Spec, check_range, from_dict
from rgdiff_core.training.holding import hold, name_of

__all__ = ["REQUESTS", "STATES", "RunWriter", "Status", "finite", "load_status"]

STATES = ("starting", "running", "paused", "cancelled", "finished", "failed")
REQUESTS = ("pause", "cancel")


@dataclass(frozen=True)
class Status(Spec):
    """Where a run stands.

    Attributes:
        state: one of STATES.
        step: the last that is done.
        steps: of the whole run.
        message: one sentence for people, or nothing.
        pid: of the process that works on it.
        host: on which that runs.
        worker: its name, see `rgdiff_core.training.holding`.
        started: in seconds since 1970.
        updated: in seconds since 1970.
        elapsed_s: seconds of training, over all resumptions.
        eta_s: seconds to go, None where it isn't known.
        images_per_s: throughput of late.
        device: what it runs on.
        loss: of late.
        gain: of late, over the Gaussian: its unit loss less the model's.
        checkpoint_step: of the last checkpoint.
    """

    state: str
    step: int
    steps: int
    message: str = ""
    pid: int = 0
    host: str = ""
    started: float = 0.0
    updated: float = 0.0
    elapsed_s: float = 0.0
    eta_s: float | None = None
    images_per_s: float | None = None
    device: str = ""
    loss: float | None = None
    gain: float | None = None
    checkpoint_step: int = 0
    worker: str = ""


def with_gain(numbers: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return recorded numbers with the gain over the Gaussian, of which older records have the
    negative, the excess.
    """
    if "excess" not in numbers:
        return numbers
    found = {name: value for name, value in numbers.items() if not name.startswith("excess")}
    found |= {"gain": _negative(numbers["excess"])}
    if "excess_error" in numbers:
        found["gain_error"] = numbers["excess_error"]
    if isinstance(numbers.get("by_scale"), list):
        found["by_scale"] = [_negative(value) for value in numbers["by_scale"]]
    return found


def _negative(value: Any) -> Any:
    return -value if is_number(value) else value


def load_status(folder: Path) -> Status:
    """Return where a run stands.

    Raises:
        FileNotFoundError: where nothing has been written yet.
        ValueError: where the file is damaged, with a sentence that names it.
    """
    path = folder / "status.json"
    stored = read_json(path)
    with reading(path):
        stored = with_gain(stored)
        known = {each.name: stored[each.name] for each in fields(Status) if each.name in stored}
        status = from_dict({"kind": "Status"} | known)
        if not isinstance(status, Status) or status.state not in STATES:
            raise ValueError(f"state = {stored['state']!r} is none of {', '.join(STATES)}.")
        for name, value in asdict(status).items():
            if isinstance(value, int | float):
                least = -MAX_NUMBER if name in ("loss", "gain") else 0
                check_range(name, value, least, MAX_NUMBER)
        return status


class RunWriter:
    """The writer of a run folder.

    Arguments:
        folder: made where it is missing.
        since: the step that the run goes on from; later points of the curves are rewritten.

    Raises `ValueError` where another process works on the run.
    """

    def __init__(self, folder: Path, since: int = 0) -> None:
        # not its SummaryWriter, whose thread hangs the run where the disk is full
        from tensorboardX.event_file_writer import EventsWriter

        self.folder = folder
        self.started = time.time()
        (folder / "samples").mkdir(parents=True, exist_ok=True)
        self.lock = hold(folder)
        (folder / "events").mkdir(exist_ok=True)
        self.board = EventsWriter(str(folder / "events" / "events"), f".{os.getpid()}")
        if since:
            self.board.write_event(_event(since + 1, purge=True))
        self.metrics = _appending(folder / "metrics.jsonl", anew=since == 0)

    def close(self) -> None:
        """Flush and close all files, as far as the disk allows."""
        for done in (self.metrics.close, self.board.close, self.lock.release):
            with suppress(OSError):
                done()

    def status(self, status: Status) -> None:
        """Write where the run stands; process, host and times are filled in."""
        known = {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "worker": name_of(os.getpid()),
            "started": self.started,
            "updated": time.time(),
        }
        write_text(self.folder / "status.json", json.dumps(finite(asdict(status) | known)))

    def point(self, row: Mapping[str, Any]) -> None:
        """Append a point of the curves, here and for TensorBoard."""
        row = finite(row)
        with naming(self.folder / "metrics.jsonl"):
            self.metrics.write(json.dumps(row) + "\n")
        with naming(self.folder / "events"):
            self.board.write_event(_event(row["step"], _scalars(row)))
            self.board.flush()

    def samples(self, step: int, images: Tensor) -> None:
        """Keep samples (n, C, H, W)."""
        path = self.folder / "samples" / f"step-{step:08d}.npz"
        with replacing(path) as part, part.open("wb") as file:
            np.savez_compressed(file, images=images.cpu().numpy(), step=step)

    def requested(self) -> str | None:
        """Return what others ask for, and forget it: "pause", "cancel" or None."""
        path = self.folder / "request"
        try:
            text = path.read_bytes().decode("utf-8", "replace").strip()
        except (FileNotFoundError, IsADirectoryError):
            return None
        path.unlink(missing_ok=True)
        return text if text in REQUESTS else None


def _appending(path: Path, *, anew: bool) -> TextIO:
    """Open a file of lines at its end; half a line that a killed process has left is closed."""
    if anew or not path.is_file():
        return path.open("w", encoding="utf-8", buffering=1)
    file = path.open("a", encoding="utf-8", buffering=1)
    with path.open("rb") as written:
        if written.seek(0, os.SEEK_END) and written.seek(-1, os.SEEK_END) >= 0:
            whole = written.read(1) == b"\n"
            file.write("" if whole else "\n")
    return file


def _event(step: int, values: Sequence[tuple[str, float]] = (), *, purge: bool = False) -> Any:
    """Return an event for TensorBoard: values by name, or that later ones are rewritten."""
    from tensorboardX.proto import event_pb2

    known: Any = event_pb2  # made when it is imported
    event = known.Event(wall_time=time.time(), step=step)
    if purge:
        event.session_log.status = known.SessionLog.START
    for name, value in values:
        event.summary.value.add(tag=name, simple_value=value)
    return event


def _scalars(row: Mapping[str, Any], prefix: str = "") -> list[tuple[str, float]]:
    found = []
    for name, value in row.items():
        if isinstance(value, Mapping):
            found += _scalars(value, f"{prefix}{name}/")
        elif isinstance(value, list):
            numbered = {f"{i}": v for i, v in enumerate(value) if v is not None}
            found += _scalars(numbered, f"{prefix}{name}/")
        elif name != "step" and value is not None:
            found.append((f"{prefix}{name}", float(value)))
    return found


def finite(value: Any) -> Any:
    """Return a value of JSON with what is not finite replaced by None."""
    if isinstance(value, Mapping):
        return {name: finite(each) for name, each in value.items()}
    if isinstance(value, list):
        return [finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
