"""All that is worth a GPU's minutes, as one command; `make bench` leaves it out.

    python benchmarks/_gpu.py --minutes 9 --out gpu

In this order, each in a separate process, so that none takes the others with it: the tests
marked `gpu`; samples a second of the shipped model, with and without CUDA graphs, and whether a
trajectory makes the host wait; then the trainings of pretrained/*/config.toml that are named,
until the time is over. A training's averaged weights are kept in 16 bits, in parts of at most 15
MiB; `--join` makes one run folder of them again, which `rgdiff pretrain NAME --work FOLDER`
evaluates and installs. CIFAR-10 has to be in the cache, and the packages of the core installed.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
import zlib
from pathlib import Path

import torch
from _report import ROOT, machine

import rgdiff_core as rg
from rgdiff_core.denoisers.files import load_model, read_metadata, save_model
from rgdiff_core.training import load_config
from rgdiff_core.training.runs.folder import read_status

SETTINGS = {  # where a config is sized for a CPU
    "cifar10-conditional": (
        "steps=12000",
        "batch=512",
        "lr=8e-4",
        "warmup=500",
        "precision=bfloat16",
        "compile=true",
    )
}
NAMES = ("cifar10-conditional", *(f"cifar10-conditional-{x}" for x in ("standard", "matched")))
PART = 15 << 20
SAMPLES, STEPS, ROUNDS = 256, 20, 5
MIN_SECONDS = 60.0  # seconds that a training must have left to be begun


def main() -> None:
    """Run what the options say."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=9, help="for all of it (default 9)")
    parser.add_argument("--out", type=Path, default=Path("gpu"), help="folder (default gpu)")
    parser.add_argument("--names", nargs="*", default=NAMES, help="trainings, in their order")
    parser.add_argument(
        "--join", action="store_true", help="join the parts that lie in the folder"
    )
    parser.add_argument(
        "--sampler", action="store_true", help="only the sampler's benchmark, here"
    )
    chosen = parser.parse_args()
    if chosen.join:
        join(chosen.out)
    elif chosen.sampler:
        print(json.dumps({"machine": machine(), "figures": sampler()}, indent=1))
    else:
        session(chosen.out, chosen.names, time.monotonic() + 60 * chosen.minutes)


def session(out: Path, names: tuple[str, ...], deadline: float) -> None:
    """Run tests, benchmark and trainings until the deadline, whatever becomes of each."""
    out.mkdir(parents=True, exist_ok=True)
    python = [sys.executable, "-u"]
    tests = [*python, "-m", "pytest", "-m", "gpu", "-p", "no:cacheprovider", "tests"]
    run("gpu tests", tests, out / "tests.txt", deadline)
    run("sampler", [*python, __file__, "--sampler"], out / "sampler.json", deadline)
    for name in names:
        if deadline - time.monotonic() < MIN_SECONDS:
            print(f"{name}: no time is left", flush=True)
            continue
        work = out / "runs" / name
        config = ROOT / "pretrained" / name / "config.toml"
        command = [*python, "-m", "rgdiff_core.cli", "train", str(config), "--out", str(work)]
        command += [part for each in SETTINGS.get(name, ()) for part in ("--set", each)]
        run(name, [*command, "--device", "cuda"], out / f"{name}.txt", deadline - 10)
        try:
            split(work, out / name)
        except (OSError, ValueError) as error:
            print(f"{name}: nothing to keep: {error}", flush=True)


def run(name: str, command: list[str], log: Path, deadline: float) -> None:
    """Run a command until the deadline, its output into a file, and say how it ended."""
    begun = time.monotonic()
    with log.open("w", encoding="utf-8") as file:
        process = subprocess.Popen(command, cwd=ROOT, stdout=file, stderr=subprocess.STDOUT)
        try:
            end = f"exit {process.wait(max(1.0, deadline - begun))}"
        except subprocess.TimeoutExpired:
            process.terminate()  # a training then writes its checkpoint
            try:
                end = f"stopped, exit {process.wait(8)}"
            except subprocess.TimeoutExpired:
                process.kill()
                end = "killed"
    last = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-3:]
    print(f"{name}: {end} after {time.monotonic() - begun:.0f} s", *last, sep="\n  ", flush=True)


def sampler() -> dict[str, float | bool]:
    """Return samples a second in bfloat16, plain and with CUDA graphs, and whether a trajectory
    runs without making the host wait.
    """
    model = rg.load_pretrained("cifar10").to("cuda")
    model.autocast = torch.bfloat16
    process = rg.Process(model.basis, rg.colors.White(), rg.schedules.LinearGamma(), model.modes)

    def draw() -> float:
        generator = torch.Generator("cuda").manual_seed(0)
        torch.cuda.synchronize()
        start = time.perf_counter()
        rg.sample(model, process, SAMPLES, STEPS, generator=generator)
        torch.cuda.synchronize()
        return SAMPLES / (time.perf_counter() - start)

    draw()
    figures: dict[str, float | bool] = {"plain": statistics.median(draw() for _ in range(ROUNDS))}
    states = rg.trajectory(model, process, SAMPLES, STEPS)
    next(states)
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in states:
            pass
        figures["host never waits"] = True
    except RuntimeError as error:
        figures["host never waits"] = False
        print(error, file=sys.stderr)
    torch.cuda.set_sync_debug_mode("default")
    model.network.compile(mode="reduce-overhead")
    draw()
    figures["CUDA graphs"] = statistics.median(draw() for _ in range(ROUNDS))
    return figures


def split(work: Path, target: Path) -> None:
    """Keep a run's averaged weights in 16 bits, packed, in parts, with its config and status."""
    path = work / "checkpoint" / "model.safetensors"
    extra = {k: v for k, v in read_metadata(path).items() if k in ("data", "config", "step")}
    small = work / "model-16.safetensors"
    save_model(load_model(path), small, extra, dtype=torch.bfloat16)
    data = small.read_bytes()
    # the high bytes of bfloat16 hold few different values: apart from the low ones they pack well
    packed = zlib.compress(data[0::2] + data[1::2], 6)
    for number, start in enumerate(range(0, len(packed), PART)):
        target.with_suffix(f".part{number}").write_bytes(packed[start : start + PART])
    status = (work / "status.json").read_text(encoding="utf-8")
    target.with_suffix(".status.json").write_text(status, encoding="utf-8")


def join(folder: Path) -> None:
    """Make run folders of the parts in a folder: FOLDER/runs/NAME."""
    for first in sorted(folder.glob("*.part0")):
        parts = sorted(folder.glob(f"{first.stem}.part*"), key=lambda p: int(p.suffix[5:]))
        planes = zlib.decompress(b"".join(p.read_bytes() for p in parts))
        half = (len(planes) + 1) // 2
        data = bytearray(len(planes))
        data[0::2], data[1::2] = planes[:half], planes[half:]
        work = folder / "runs" / first.stem
        (work / "checkpoint").mkdir(parents=True, exist_ok=True)
        (work / "checkpoint" / "model.safetensors").write_bytes(data)
        status = folder / f"{first.stem}.status.json"
        (work / "status.json").write_bytes(status.read_bytes())
        config = load_config(ROOT / "pretrained" / first.stem / "config.toml")
        (work / "config.json").write_text(config.to_json(), encoding="utf-8")
        state = read_status(work)
        print(f"{work}: {state.state if state else 'no status'}")


if __name__ == "__main__":
    main()
