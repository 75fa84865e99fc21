"""Kill −9 at random moments: what was there is sound, and ends as if nothing had been.

RGDIFF_KILLS says how many kills each campaign has; by hand some hundreds.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

KILLS = os.environ.get("RGDIFF_KILLS", "6")
SETUP = """
import json, os, random, shutil, signal, sys, time
from dataclasses import replace
from pathlib import Path
import torch
torch.set_num_threads(1)
from safetensors.torch import load_file
from rgdiff_core import cli, data
from rgdiff_core.training import TrainConfig, train
from rgdiff_core.training.checkpoint import load_checkpoint

home, kills, chance = Path(sys.argv[1]), int(sys.argv[2]), random.Random(0)

def begun(act):
    child = os.fork()
    if child == 0:
        os.setsid()
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        os._exit(act() or 0)
    return child

def ended(child):
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

def whole(act):
    start = time.monotonic()
    assert ended(begun(act)) == 0
    return time.monotonic() - start

def killed(act, longest):
    child = begun(act)
    time.sleep(chance.uniform(0, longest))
    try:
        os.kill(child, signal.SIGKILL)
    except ProcessLookupError:
        pass
    return ended(child) == -signal.SIGKILL
"""
WORKER = (
    SETUP
    + """
from rgdiff_core.choice import BasisSpec
from rgdiff_core.denoisers import ModelSpec
from rgdiff_core.networks import LatticeNet
from rgdiff_core.training import trainer

config = TrainConfig(basis=BasisSpec(momentum="lattice"), model=ModelSpec(LatticeNet(4, 1)),
    limit=200, steps=120, batch=8, log_every=5, evaluations=2, previews=2, checkpoint_seconds=0.1)
trainer.TICK = 0.05  # looks, and with them checkpoints, often
TIMES = ("elapsed_s", "images_per_s")

def run(folder):
    def act():
        return train(config, folder, resume=True, device="cpu").state != "finished"
    return act

def result(folder):
    rows = {}
    for line in (folder / "metrics.jsonl").read_text().splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue  # half a line that a kill has left
        rows[row["step"], "held_out" in row] = {k: v for k, v in row.items() if k not in TIMES}
    home = folder / "checkpoint"
    kept = load_checkpoint(home, config)
    samples = {p.name: p.read_bytes() for p in (folder / "samples").glob("*.npz")}
    return rows, kept.tensors, load_file(home / "model.safetensors"), samples

def same(one, other):
    tensors = all(a.keys() == b.keys() and all(a[k].equal(b[k]) for k in a)
                  for a, b in zip(one[1:3], other[1:3], strict=True))
    return one[0] == other[0] and one[3].keys() == other[3].keys() and tensors

data.load(config.data, limit=config.limit)  # made once
longest = whole(run(home / "unkilled"))
wanted, done, finished, equal, lost = result(home / "unkilled"), 0, 0, 0, 0
while done < kills or not finished:
    folder, before = home / f"run-{finished}", 0
    while done < kills and killed(run(folder), longest):
        done += 1
        kept = load_checkpoint(folder / "checkpoint", config)  # raises where it is damaged
        step = kept.step if kept else 0
        lost += step < before
        before = step
    whole(run(folder))
    finished += 1
    equal += same(result(folder), wanted)
    shutil.rmtree(folder)
print(json.dumps({"kills": done, "finished": finished, "equal": equal, "lost": lost}))
"""
)


def campaign(program: str, home: Path, environment: dict[str, str]) -> dict[str, int]:
    """Carry out a campaign in a process of its own, and return what it counted."""
    done = subprocess.run(
        [sys.executable, "-c", program, str(home), KILLS],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
def test_a_killed_run_ends_as_if_it_had_not_been(tmp_path: Path, one_thread: dict[str, str]):
    found = campaign(WORKER, tmp_path, one_thread)
    assert found["kills"] >= int(KILLS)
    assert found["lost"] == 0
    assert found["equal"] == found["finished"] >= 1
