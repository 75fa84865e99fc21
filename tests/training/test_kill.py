"""A process that is killed leaves a whole checkpoint, whatever it was doing."""

import subprocess
import sys
from pathlib import Path

# Every moment at which a kill can find something new on the disk: the process ends, with nothing
# flushed or tidied, at its n-th event of the file system, for every n there is.
KILLED = """
import os, sys
from pathlib import Path
import torch
from rgdiff_core.training import TrainConfig
from rgdiff_core.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint

home, config = Path(sys.argv[1]), TrainConfig()

def state(step):
    return Checkpoint(step, float(step), {"weights": torch.full((1000,), float(step))})

def end_at(n):
    left = n
    def hook(event, arguments):
        nonlocal left
        if event.split(".")[0] in ("open", "os", "shutil", "pathlib"):
            left -= 1
            if left < 0:
                os._exit(9)
    sys.addaudithook(hook)

found, step, n = [], 2, 0
save_checkpoint(home, state(1), config)
while True:
    child = os.fork()
    if child == 0:
        end_at(n)
        save_checkpoint(home, state(step), config)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    kept = load_checkpoint(home, config)
    assert kept is not None and kept.step in (step - 1, step), (n, kept)
    assert (kept.tensors["weights"] == kept.step).all() and kept.elapsed == kept.step
    found.append(step - kept.step)
    save_checkpoint(home, state(step), config)  # what was left lying does not disturb
    assert len(list(home.iterdir())) <= 4 and not list(home.glob(".*.part")), list(home.iterdir())
    step, n = step + 1, n + 1
    if code == 0:
        break
    assert code == 9
print(*found)
"""


def test_a_kill_at_any_moment_of_a_save(tmp_path: Path, one_thread: dict[str, str]):
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path)],
        env=one_thread,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    late = [int(word) for word in done.stdout.split()]
    assert len(late) > 8
    assert late[0] == 1  # killed before anything was done: the old one
    assert late[-1] == 0  # not killed: the new one
    assert sorted(late, reverse=True) == late
