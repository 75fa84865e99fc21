"""Kill −9 at random moments: what was there is sound, and ends as if nothing had been.

RGDIFF_KILLS says how many kills each campaign has: by hand, some hundreds. The suite has a kill at
every moment of a save (test_kill) and one of a run that is resumed (test_trainer).
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
KILLS = os.environ.get("RGDIFF_KILLS", "0")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(0),
    pytest.mark.skipif(KILLS == "0", reason="by hand: RGDIFF_KILLS=50"),
]
SETUP = """
import json, os, random, shutil, signal, sys, time
from dataclasses import replace
from pathlib import Path
import torch
torch.set_num_threads(1)
from safetensors.torch import load_file
from rgdiff_core import data
from rgdiff_core.cli import main as cli
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
from rgdiff_core.bases.spec import BasisSpec
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


COMMANDS = (
    SETUP
    + """
import os
from hashlib import sha256
from rgdiff_core.denoisers import ModelSpec
from rgdiff_core.networks import LatticeNet
from rgdiff_core.cli import lattice
from rgdiff_core.pretraining import lattice as pretraining
from rgdiff_core.study import Study, summary
from rgdiff_core.study.cells import Cells
from rgdiff_core.study.lattice.plan import plan
from rgdiff_core.study.lattice.executor import Execution, carried_out
from rgdiff_core.training import trainer
from rgdiff_core.training.config import config_to_toml
from rgdiff_core.denoisers.files import read_metadata
from tests.tiny_study import BUDGET, DATA

TIMES = ("seconds", "processor_seconds", "processor_minutes", "finished", "elapsed", "command")
nothing = lambda *words: None
SCAN = ["lattice", "scan", "--sizes", "4,6", "--points", "4", "--length", "20",
    "--thermalization", "20"]
SMALL = replace(BUDGET, seeds=1, steps=4, checkpoints=1, ablation=(), schedule_scan=())
PRETRAINED = TrainConfig(data="phi4-6x6", model=ModelSpec(LatticeNet(4, 1)), limit=200, steps=60,
    batch=8, checkpoint_seconds=0.1, evaluations=1, previews=1)
trainer.TICK = 0.05
pretraining.HMC_SAMPLES = 500

def timeless(told):
    if isinstance(told, dict):
        return {k: timeless(v) for k, v in told.items() if k not in TIMES}
    return [timeless(v) for v in told] if isinstance(told, list) else told

def study(place):
    theory = Study(DATA, SMALL, Cells(place / "work", nothing))
    assert carried_out(plan([DATA], SMALL), {DATA: theory}, Execution(1, None, nothing, nothing))
    (place / "study.json").write_text(json.dumps(timeless(summary(theory)), sort_keys=True))

def scan(place):
    return cli.main([*SCAN, "--out", str(place / "scan.json")])

def pretrain(place):
    os.environ["RGDIFF_PRETRAINED"] = str(place / "pretrained")
    home = place / "pretrained" / "small"
    home.mkdir(parents=True, exist_ok=True)
    (home / "config.toml").write_text(config_to_toml(PRETRAINED))
    few = {"samples": 8, "scan_samples": 4, "steps": 2}
    pretraining.pretrain("small", place / "work", **few, device="cpu", say=nothing)

def fetch(place):
    os.environ["RGDIFF_CACHE"] = str(place / "cache")
    return cli.main(["data", "fetch", "phi4-6x6"])

def digest(path):
    if path.suffix == ".json":
        return json.dumps(timeless(json.loads(path.read_text())), sort_keys=True)
    if path.suffix == ".safetensors":  # whose header lists its metadata in any order
        tensors = sorted(load_file(path).items())
        return [sorted(read_metadata(path).items()), [(k, v.tolist()) for k, v in tensors]]
    return sha256(path.read_bytes()).hexdigest()

def found(place):
    name = {"study": "study.json", "scan": "scan.json", "fetch": "cache/**/*.npy",
            "pretrain": "pretrained/small/model.safetensors"}[which]
    paths = sorted(path for path in place.glob(name) if path.is_file())
    assert paths
    return [(path.relative_to(place), digest(path)) for path in paths]

which = sys.argv[3]
act = {"study": study, "scan": scan, "pretrain": pretrain, "fetch": fetch}[which]

def at(place):
    place.mkdir(exist_ok=True)
    return lambda: act(place)

if which != "fetch":
    data.load("phi4-6x6", limit=1)
longest = whole(at(home / "unkilled"))
wanted, done, finished, equal, lost = found(home / "unkilled"), 0, 0, 0, 0
while done < kills or not finished:
    place = home / f"try-{finished}"
    while done < kills and killed(at(place), longest / 4):  # so that each meets many
        done += 1
    whole(at(place))
    finished += 1
    equal += found(place) == wanted
    shutil.rmtree(place)
print(json.dumps({"kills": done, "finished": finished, "equal": equal, "lost": lost}))
"""
)


SERVERS = (
    SETUP
    + """
from rgdiff_core.training import runs
from rgdiff_core.training.runs import queue

queue.FREE_DISK = 1 << 60  # nothing starts
os.environ["RGDIFF_RUNS"] = str(home)
said = os.open(home.parent / "said", os.O_CREAT | os.O_WRONLY | os.O_APPEND)

def serve(number):
    def act():
        luck = random.Random(number)
        while True:
            made = runs.submit(TrainConfig(), "a run").id
            os.write(said, f"+{made}\\n".encode())
            listed = [run.id for run in runs.list_runs()]
            other = luck.choice(listed)
            try:
                act = luck.choice((runs.cancel, runs.resume, runs.delete))
                if act is runs.delete:
                    os.write(said, f"-{other}\\n".encode())
                act(other)
                runs.rename(luck.choice(listed), "another title")
            except ValueError:
                pass  # the other server was there first
    return act

done = 0
while done < kills:
    pair = [begun(serve(done + number)) for number in range(2)]
    time.sleep(chance.uniform(0, 0.5))
    for child in pair:
        os.kill(child, signal.SIGKILL)
    done += sum(ended(child) == -signal.SIGKILL for child in pair)
    runs.pump()
    known = {run.id: run for run in runs.list_runs()}
    words = (home.parent / "said").read_text().split()
    there = {word[1:] for word in words if word[0] == "+"}
    gone = {word[1:] for word in words if word[0] == "-"}
    lost = (there - gone) - known.keys()
    bad = [run for run in known.values() if run.problems or (run.missing and run.id not in gone)]
    folders = {path.name for path in home.iterdir() if path.is_dir() and path.name[0] != "."}
    assert not lost and not bad and folders <= known.keys(), (lost, bad)
states = {run.state for run in known.values()} - {"queued", "cancelled"}
print(json.dumps({"kills": done, "submitted": len(there), "lost": len(lost), "odd": len(states)}))
"""
)


def campaign(program: str, home: Path, environment: dict[str, str], *words: str) -> dict[str, int]:
    """Carry out a campaign in a separate process, and return what it counted."""
    done = subprocess.run(
        [sys.executable, "-c", program, str(home), KILLS, *words],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    print(*words, done.stdout)
    return json.loads(done.stdout.splitlines()[-1])


def test_a_killed_run_ends_as_if_it_had_not_been(tmp_path: Path, one_thread: dict[str, str]):
    found = campaign(WORKER, tmp_path, one_thread)
    assert found["kills"] >= int(KILLS)
    assert found["lost"] == 0
    assert found["equal"] == found["finished"] >= 1


@pytest.mark.parametrize("which", ["fetch", "scan", "study", "pretrain"])
def test_a_killed_command_ends_as_if_it_had_not_been(
    tmp_path: Path, one_thread: dict[str, str], which: str
):
    found = campaign(COMMANDS, tmp_path, one_thread, which)
    assert found["kills"] >= int(KILLS)
    assert found["equal"] == found["finished"] >= 1


def test_two_servers_that_are_killed_lose_no_run(tmp_path: Path, one_thread: dict[str, str]):
    (tmp_path / "runs").mkdir()
    found = campaign(SERVERS, tmp_path / "runs", one_thread)
    assert found["kills"] >= int(KILLS) and found["submitted"] > 0
    assert found["lost"] == 0
