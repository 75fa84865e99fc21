"""Every option of every command with values that it should not have, as a program of its own:

    python -m tests.cli.battery FOLDER TRIES

FOLDER is for what the commands read and write; TRIES, how many are made, 0 for all. Each is a call
of the command line in a fork, which is stopped after some seconds where it has begun to work. The
last line that is printed is JSON: what became of them.
"""

import argparse
import contextlib
import json
import os
import random
import re
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from rgdiff_core import data
from rgdiff_core.cli import sample, sweep
from rgdiff_core.cli.main import COMMANDS, main
from rgdiff_core.denoisers import ModelSpec
from rgdiff_core.networks import LatticeNet
from rgdiff_core.training import TrainConfig, runs
from rgdiff_core.training.config import config_to_toml
from rgdiff_core.training.runs import queue

MIB = 1 << 20
# Seconds of the processor, or by the clock: until Ctrl+C, and from there until it is a hang.
WORKS, STOPS = (1.0, 10.0), (5.0, 900.0)
GROWTH, ROOM = 300 * MIB, 3 << 30  # bytes that an input may take, and that it can take
LONGEST = 700  # characters of a sentence

# What makes each command's work small: words for its places, then options.
SOUND: dict[str, tuple[list[str], list[str]]] = {
    "data list": ([], []),
    "data fetch": (["phi4-6x6"], []),
    "data add": (["pictures.npz"], []),
    "data delete": (["nothing"], []),
    "data generate": (["made.npz"], ["--size=4", "--n=20", "--m2=1", "--lam=1"]),
    "data import": (["fields.npz"], []),
    "data ising": ([], ["--size=4", "--n=20", "--test=8", "--chains=4"]),
    "data gaussian": ([], ["--size=4", "--n=20", "--test=8"]),
    "data export": (["phi4-6x6", "out.npz"], []),
    "lattice scan": ([], ["--sizes=4,6", "--points=2", "--length=20", "--thermalization=20"]),
    "lattice grow": (["phi4-6x6"], ["--n=2", "--steps=2", "--spectrum=32"]),
    "train": (["config.toml"], ["--out=run"]),
    "sample": (["phi4-6x6"], ["--n=2", "--steps=2"]),
    "evaluate": (["phi4-6x6"], ["--n=20", "--steps=2", "--truth=1000"]),
    "sweep": (["phi4-6x6"], ["--steps=2", "--rounds=1", "--batch=4"]),
    "pretrain": (["small"], ["--work=run", "--samples=8", "--scan-samples=4"]),
    "study phi4": ([], ["--theories=phi4-6x6", "--budget=tiny", "--work=w", "--minutes=0"]),
    "study cifar10": ([], ["--data=pictures", "--budget=tiny", "--work=w", "--minutes=0"]),
    "study ablation": (
        [],
        ["--data=pictures", "--steps=2", "--batch=2", "--points=1", "--width=8", "--images=16"],
    ),
    "study recipe": ([], ["--data=pictures", "--size=tiny", "--minutes=0", "--batch=2"]),
    "study distances": ([], ["--features=cifar10", "--n=40", "--minutes=0", "--work=w"]),
    "study schedules": ([], ["--theories=phi4-12x12-critical", "--batches=1", "--minutes=0"]),
    "study cost": ([], ["--sizes=8", "--out=w"]),
    "study sizes": ([], ["--sizes=8", "--minutes=0", "--work=w"]),
    "study report": (["study.json"], []),
    "features train": ([], ["--data=pictures", "--steps=1", "--batch=2", "--out=f", "--width=8"]),
    "features check": ([], ["--data=pictures", "--n=40", "--batch=20"]),
    "features pack-inception": (["out.pt"], []),
    "runs list": ([], []),
    "runs submit": (["config.toml"], []),
    "runs rename": (["a-run", "title"], []),
    **{
        f"runs {word}": (["a-run"], [])
        for word in ("show", "pause", "resume", "cancel", "delete", "log", "follow", "path")
    },
}
# Options that mean something with others alone, and words that do not fit together.
BESIDE = {
    "sweep": [["--search=sweep", "--trials=1", "--images=8", "--storage=sqlite:///s.db"]],
    "sample": [["--class=0"], ["--guide=free", "--guidance=2"], ["--grid=best"]],
    "evaluate": [["--method=heun"]],
}
TOGETHER = [
    ["sample", "phi4-6x6", "--guidance=2"],
    ["sample", "phi4-6x6", "--class=dog"],
    ["sample", "phi4-6x6", "--guide=free"],
    ["sample", "phi4-6x6", "--guidance-interval", "1", "2"],
    ["sample", "phi4-6x6", "--guide=free", "--guidance=2", "--guidance-interval", "3", "-3"],
    ["sample", "phi4-6x6", "--guide=free", "--guidance=1e308"],
    ["sample", "phi4-6x6", "--mass2=1"],
    ["sample", "phi4-6x6-line", "--mass2=1e308", "--coupling=1e308", "--n=2", "--steps=2"],
    ["sample", "phi4-6x6-line", "--coupling=-1", "--n=2", "--steps=2"],
    ["lattice", "scan", "--low=5", "--high=4"],
    ["lattice", "scan", "--low=5"],
    ["lattice", "scan", "--low=-1e308", "--high=1e308"],
    ["data", "import", "fields.npz", "--m2=1"],
    ["data", "import", "fields.npz", "--m2=1e308", "--lam=1e308"],
    ["data", "import", "fields.npz", "--kappa=0", "--lam=1"],
    ["data", "import", "fields.npz", "--kappa=1e-308", "--lam=1e308"],
    ["data", "import", "fields.npz", "--kappa=-1e-308", "--lam=1"],
    ["data", "import", "fields.npz", "--m2=1", "--g=-1"],
    ["data", "import", "fields.npz", "--m2=1", "--lam=1", "--g=1", "--kappa=1"],
    ["data", "generate", "--n=1000000000", "--size=256"],
    ["data", "generate", "--n=20", "--chains=21"],
    ["train", "config.toml", "--resume", "--from=x", "--out=run"],
    ["train", "config.toml", "--resume"],
    [
        "study",
        "ablation",
        "--data=phi4-6x6",
        "--images=16",
        "--steps=2",
        "--batch=2",
        "--points=5",
    ],
    ["study", "cifar10", "--models", "x=y", "standard=nothing"],
    ["sweep", "phi4-6x6", "--search=sweep", "--storage=postgresql://nobody@localhost:1/x"],
]
WHOLE = ["-1", "0", "1", "1000000000", str(2**31), str(-(2**62)), str(2**62), str(2**63), "0.5"]
REAL = ["-1", "0", "1e9", "-1e9", "1e308", "-1e308", "1e-308", "1e5", "nan"]
NO_NUMBER = ["", "text", "inf", "1e999", "0x10"]
NAMES = ["", "x", "a/b/c", ".", "\udcff", "[", "{", '{"kind":"Cutoff"}', '{"kind":[]}', "nan"]
NAMES += ["ü" * 5000, "-1", "1e308", "1,2,3", "0", "fields.npz", "x.json", "sqlite:///.", "a\nb"]
SETTINGS = ["", "x", "=", "lr", "lr=", "nothing=1", "data=\udcff", "data=x", "noise=1", "steps=[]"]
SETTINGS += [
    f"{name}={value}"
    for name in ("lr", "steps", "batch", "limit", "seed", "ema", "warmup", "previews", "log_every")
    for value in ("-1", "0", "1e308", "1000000000", "text")
]


@dataclass(frozen=True)
class Outcome:
    """What became of a call.

    Attributes:
        status: of its process; negative where a signal ended it.
        said: on the error stream.
        seconds: until it ended.
        growth: bytes of memory that it took.
    """

    status: int
    said: str
    seconds: float
    growth: int

    @property
    def fault(self) -> str:
        """What is wrong with it, nothing where it is as it should be."""
        *before, last = self.said.strip().split("\n")
        if "Traceback" in self.said:
            return "traceback"
        if self.status < 0:
            return "hang"
        if self.growth > GROWTH:
            return "memory"
        if self.status in (1, 130) and (before or not last.startswith("rgdiff: ")):
            return "not one sentence"
        if self.status == 2 and not (before and before[0].startswith("usage: ")):
            return "not one sentence"
        if self.status not in (0, 1, 2, 130) or len(last) > LONGEST:
            return "not one sentence"
        return ""


def tries() -> Iterator[list[str]]:
    """Return the words of every call."""
    yield from TOGETHER
    for command in COMMANDS:
        places, options = SOUND[command.name]
        parser = argparse.ArgumentParser()
        command.entry().options(parser)
        yield [*command.name.split(), *places, *options]
        for also in ([], *BESIDE.get(command.name, [])):
            yield from _of(command.name.split(), places, [*options, *also], parser)


def _of(
    name: list[str], places: list[str], options: list[str], parser: argparse.ArgumentParser
) -> Iterator[list[str]]:
    place = 0
    for each in parser._actions:
        if isinstance(each, argparse._HelpAction):
            continue
        option = each.option_strings[-1:]
        for value in _values(each):
            if not option:
                changed = [*places[:place], value, *places[place + 1 :]]
                yield [*name, *changed, *options]
            elif each.nargs == 0:
                yield [*name, *places, *options, *option]
            elif each.nargs is None:
                yield [*name, *places, *options, f"{option[0]}={value}"]
            else:
                words = [value] if each.nargs in ("+", "*") else [value] * int(each.nargs)
                yield [*name, *places, *options, *option, *words]
        place += not option


def _values(action: argparse.Action) -> list[str]:
    if action.nargs == 0:
        return [""]
    if action.choices is not None:
        return ["", "x", "\udcff", *map(str, action.choices)]
    if action.dest == "overrides":
        return SETTINGS
    return {int: [*WHOLE, *NO_NUMBER], float: [*REAL, *NO_NUMBER]}.get(action.type, NAMES)  # type: ignore[arg-type]


def prepare(home: Path) -> None:
    """Put into a folder what the calls read, and let everything else that they use be in it."""
    for name in ("cache", "runs", "pretrained/small", "at"):
        (home / name).mkdir(parents=True)
    os.environ |= {"RGDIFF_CACHE": str(home / "cache"), "RGDIFF_RUNS": str(home / "runs")}
    queue.FREE_DISK = 1 << 60  # no run starts
    sweep.HELD_OUT = sample.BEST_IMAGES = 8
    at, chance = home / "at", np.random.default_rng(0)
    pictures = chance.integers(0, 256, (80, 32, 32, 3), dtype=np.uint8)
    np.savez(at / "pictures.npz", images=pictures, labels=np.arange(80) % 4)
    np.savez(at / "fields.npz", configurations=chance.normal(size=(40, 4, 4)), m2=1.0, lam=1.0)
    config = TrainConfig(
        data="phi4-6x6", model=ModelSpec(LatticeNet(4, 1)), limit=50, steps=2, batch=2
    )
    (at / "config.toml").write_text(config_to_toml(config))
    (at / "study.json").write_text("{}")
    data.register_folder(at / "pictures.npz")
    data.load("phi4-6x6", limit=1)
    runs.submit(config, "a run")


def attempt(words: list[str], home: Path) -> Outcome:
    """Call the command line in a fork, in a folder of its own."""
    at = home / "try"
    shutil.copytree(home / "at", at)
    with tempfile.TemporaryFile() as said:
        start, before = time.monotonic(), own_memory(os.getpid())
        child = os.fork()
        if child == 0:
            _called(words, at, said.fileno())
        status, most = _ended(child)
        seconds = time.monotonic() - start
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)  # what it has started
        said.seek(0)
        text = said.read().decode(errors="backslashreplace")
    shutil.rmtree(at)
    return Outcome(status, text, seconds, most - before)


def _ended(child: int) -> tuple[int, int]:
    """Wait for a call, or end it; return its status and the most memory in bytes that it held."""
    most, spent = 0, 0.0
    for then, (seconds, longest) in ((signal.SIGINT, WORKS), (signal.SIGKILL, STOPS)):
        start, before = time.monotonic(), spent
        while spent - before < seconds and time.monotonic() - start < longest:
            most, spent = max(most, own_memory(child)), processor_time(child)
            ended, code = os.waitpid(child, os.WNOHANG)
            if ended:
                return os.waitstatus_to_exitcode(code), most
            time.sleep(0.005)
        os.killpg(child, then)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), most


def _called(words: list[str], at: Path, said: int) -> None:
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have turned it off
    os.chdir(at)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(said, 2)
    sys.stdout.reconfigure(encoding="utf-8", errors="strict")  # type: ignore[union-attr]
    sys.stderr.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + ROOM, size + ROOM))
    try:
        status = main(words)
        sys.stdout.flush()
    except SystemExit as error:
        status = int(error.code or 0)
    except BaseException:
        sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]
        status = 70
    sys.stderr.flush()
    os._exit(status)


def own_memory(process: int) -> int:
    """Return the memory in bytes that a process holds for itself, 0 where it has ended."""
    found = re.search(r"RssAnon:\s+(\d+) kB", Path(f"/proc/{process}/status").read_text())
    return int(found[1]) * 1024 if found else 0


def processor_time(process: int) -> float:
    """Return the seconds that a process has computed for, of which there may be no more."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def whole(home: Path, count: int) -> dict[str, object]:
    """Make the tries, print those that end as they should not, and count them all."""
    torch.set_num_threads(1)
    prepare(home)
    every = list(tries())
    chosen = random.Random(0).sample(every, count) if count else every
    ended, faults = Counter[str](), Counter[str]()
    longest, most = 0.0, 0
    for words in chosen:
        found = attempt(words, home)
        ended[str(found.status)] += 1
        longest, most = max(longest, found.seconds), max(most, found.growth)
        if found.fault:
            faults[found.fault] += 1
        if found.fault or found.status not in (1, 2):
            shown = replace(found, said=found.said[-1500:], growth=found.growth // MIB)
            print(json.dumps([found.fault or "accepted", words, repr(shown)]), flush=True)
    return {
        "tries": len(chosen),
        "faults": faults,
        "ended": ended,
        "longest": round(longest, 1),
        "most_mib": most // MIB,
    }


if __name__ == "__main__":
    print(json.dumps(whole(Path(sys.argv[1]), int(sys.argv[2]))))
