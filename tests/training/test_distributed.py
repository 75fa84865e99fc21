"""Two processes are one: the same curve and the same weights, up to rounding."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
import torch
from lightning_fabric import Fabric
from patience import PATIENCE

from rgdiff_core.training import TrainConfig, train
from rgdiff_core.training.checkpoint import load_checkpoint
from rgdiff_core.training.noise_levels import Universal
from rgdiff_core.training.state import prepare


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def words(config: TrainConfig, folder: Path) -> list[str]:
    """Return the words of the command line of a run; it writes the config for it."""
    path = folder.with_suffix(".json")
    path.write_text(config.to_json(), encoding="utf-8")
    return ["train", str(path), "--out", str(folder), "--device", "cpu"]


# Both processes of a run, as torchrun starts them, from one that has imported what is slow.
BOTH = """
import os, sys
import lightning_fabric, rgdiff_core.training
from rgdiff_core.cli.main import main
children = []
for rank in "01":
    if (child := os.fork()) == 0:
        os.environ |= {"RANK": rank, "LOCAL_RANK": rank}
        sys.exit(main(sys.argv[1:]))
    children.append(child)
ends = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
sys.exit(max(map(abs, ends)))
"""


def launched(port: int) -> dict[str, str]:
    """Return what torchrun tells two processes, but for their ranks."""
    told = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "TORCHELASTIC_RUN_ID": "test"}
    return told | {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "GROUP_RANK": "0"}


def losses(folder: Path) -> dict[int, tuple[float, float, float]]:
    found = {}
    for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        if "held_out" not in row:
            found[row["step"]] = (row["loss"], row["gain"], row["grad_norm"])
    return found


def assert_same(one: Path, other: Path, config: TrainConfig) -> None:
    ours, theirs = losses(one), losses(other)
    assert list(ours) == list(theirs) == [5, 10, 15, 20, 25, 30, 35, 40]
    for step in ours:
        assert ours[step] == pytest.approx(theirs[step], rel=1e-4, abs=1e-5)
    kept = [load_checkpoint(folder / "checkpoint", config) for folder in (one, other)]
    assert kept[0] is not None and kept[1] is not None and kept[0].step == kept[1].step == 40
    assert kept[0].tensors.keys() == kept[1].tensors.keys()
    for name, value in kept[0].tensors.items():
        if name.startswith(("network.", "average.")):
            torch.testing.assert_close(value, kept[1].tensors[name], rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_two_processes_give_the_curve_of_one(tmp_path: Path, toy: TrainConfig, one_thread):
    toy = replace(toy, noise=Universal(8))
    train(toy, tmp_path / "one", device="cpu")
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2"]
    launcher += ["--master-addr=127.0.0.1", f"--master-port={free_port()}"]
    done = subprocess.run(
        [*launcher, "-m", "rgdiff_core.cli", *words(toy, tmp_path / "two")],
        env=one_thread,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("finished at step 40") == 1  # of the two one speaks
    assert_same(tmp_path / "one", tmp_path / "two", toy)


@pytest.mark.slow
def test_two_processes_pause_together_and_one_goes_on(tmp_path: Path, toy, one_thread):
    """A request stops both at the same step; the rest is done by one, and the curve is that of
    one.
    """
    toy = replace(toy, steps=4000, decay="constant", previews=0, evaluations=1)
    folder = tmp_path / "two"
    with subprocess.Popen(
        [sys.executable, "-c", BOTH, *words(toy, folder)],
        env=one_thread | launched(free_port()),
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as both:
        try:
            deadline = time.monotonic() + PATIENCE
            while not (folder / "metrics.jsonl").is_file() or not losses(folder):
                assert both.poll() is None and time.monotonic() < deadline
                time.sleep(0.05)
            (folder / "request").write_text("pause", encoding="utf-8")
            _, said = both.communicate(timeout=PATIENCE)
        finally:
            if both.poll() is None:
                os.killpg(both.pid, signal.SIGKILL)
    assert both.returncode == 0, said[-4000:]
    told = json.loads((folder / "status.json").read_text(encoding="utf-8"))
    assert told["state"] == "paused" and 0 < told["step"] == told["checkpoint_step"] < 4000
    end = (told["step"] // 5 + 3) * 5

    def stop(row, status) -> None:
        del status
        if row["step"] == end:
            os.kill(os.getpid(), signal.SIGTERM)

    assert train(toy, folder, resume=True, device="cpu", on_point=stop).step == end
    assert train(toy, tmp_path / "one", device="cpu", on_point=stop).step == end
    ours, theirs = losses(folder), losses(tmp_path / "one")
    assert list(ours) == list(theirs)
    early = [step for step in ours if step <= 40]
    for step in early:
        assert ours[step] == pytest.approx(theirs[step], rel=1e-4, abs=1e-5)


def test_a_batch_that_cannot_be_shared_is_one_sentence(toy: TrainConfig):
    three = SimpleNamespace(world_size=3, global_rank=0, device=torch.device("cpu"))
    with pytest.raises(
        ValueError, match=r"^batch = 16 can't be shared out evenly to 3 processes\.$"
    ):
        prepare(toy, cast(Fabric, three))
