"""The training loop: it learns, it goes on exactly where it stopped, and it fails well."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from curves import rows
from patience import PATIENCE
from torch import Tensor

import rgdiff_core as rg
from rgdiff_core.cli.main import main
from rgdiff_core.denoisers.files import load_model, read_metadata
from rgdiff_core.networks import UNet
from rgdiff_core.training import TrainConfig, measure, train
from rgdiff_core.training.checkpoint import load_checkpoint
from rgdiff_core.training.losses import denoising_loss
from rgdiff_core.training.noise_levels import Universal
from rgdiff_core.training.records import RunWriter, Status


def status(folder: Path) -> Mapping:
    return json.loads((folder / "status.json").read_text(encoding="utf-8"))


def tensors(folder: Path, config: TrainConfig) -> Mapping[str, Tensor]:
    kept = load_checkpoint(folder / "checkpoint", config)
    assert kept is not None
    return kept.tensors


def at(step: int, act):
    """Return what calls `act` once, after the point of a step."""

    def on_point(row: Mapping, now: Status) -> None:
        if row["step"] == step and "held_out" not in row:
            act()

    return on_point


def pause() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def test_it_learns_two_wells(tmp_path: Path, learning: TrainConfig):
    outcome = train(learning, tmp_path, device="cpu")
    assert (outcome.state, outcome.step) == ("finished", 200)
    first, last = (np.load(tmp_path / f"samples/step-{s:08d}.npz")["images"] for s in (0, 200))
    assert first.shape == last.shape == (16, 1, 4, 4)
    # how far sites are from ±0.5: a Gaussian of the same width before, the wells' own width after
    far = [np.abs(np.abs(x) - 0.5).mean() for x in (first, last)]
    assert far[0] > 0.25
    assert far[1] < 0.1
    held_out = rows(tmp_path)[200, True]["held_out"]
    assert held_out["gain"] > 3 * held_out["gain_error"] > 0


def test_the_held_out_gain_is_that_of_the_model_in_the_file(tmp_path: Path, learning: TrainConfig):
    train(learning, tmp_path, device="cpu")
    path = tmp_path / "checkpoint" / "model.safetensors"
    model = load_model(path)
    assert read_metadata(path)["data"] == "wells"
    images = rg.data.load("wells", "test").images.repeat(100, 1, 1, 1)
    sampler = learning.noise.sampler(model.basis, model.modes, learning.objective, 77)
    levels = sampler.draw(0, len(images))
    with torch.no_grad():
        gain = denoising_loss(model, images, levels, torch.randn_like(images)).gain
    told = rows(tmp_path)[200, True]["held_out"]
    # the same mean over other noise: within four errors, those of 40 images
    assert abs(float(gain.mean()) - told["gain"]) < 4 * told["gain_error"]
    assert told["gain_error"] < abs(told["gain"])


def test_what_a_run_writes(tmp_path: Path, toy: TrainConfig):
    train(toy, tmp_path, device="cpu")
    assert TrainConfig.from_json((tmp_path / "config.json").read_text()) == toy
    now = status(tmp_path)
    assert now["state"] == "finished"
    assert now["step"] == now["steps"] == now["checkpoint_step"] == 40
    assert now["pid"] == os.getpid()
    assert now["eta_s"] is None
    found = rows(tmp_path)
    assert [s for s, held_out in found if not held_out] == [5, 10, 15, 20, 25, 30, 35, 40]
    assert [s for s, held_out in found if held_out] == [20, 40]
    point = found[40, False]
    assert len(point["by_scale"]) == 8
    bands = [v for v in point["by_scale"] if v is not None]
    assert min(bands) <= point["gain"] <= max(bands)
    # unit is 1 for the Gaussian, up to chance: 16 × 5 × 16 squares of normal numbers
    assert abs(point["unit"] + point["gain"] - 1) < 5 * (2 / 1280) ** 0.5


def test_the_curves_are_there_for_tensorboard(tmp_path: Path, toy: TrainConfig):
    from tensorboardX.proto import event_pb2

    train(toy, tmp_path, device="cpu")
    (path,) = (tmp_path / "events").iterdir()
    data, events = path.read_bytes(), []
    while data:  # a record: length (8 bytes), its checksum (4), the event, its checksum (4)
        length = int.from_bytes(data[:8], "little")
        events.append(event_pb2.Event.FromString(data[12 : 12 + length]))
        data = data[16 + length :]
    losses = {e.step: v.simple_value for e in events for v in e.summary.value if v.tag == "loss"}
    told = {s: row["loss"] for (s, held_out), row in rows(tmp_path).items() if not held_out}
    assert losses == pytest.approx(told, rel=1e-6)
    assert any(v.tag == "held_out/gain" for e in events for v in e.summary.value)


@pytest.mark.parametrize("kind", ["one process", "universal", "dropout"])
def test_a_resumed_run_equals_an_unbroken_one(tmp_path: Path, toy: TrainConfig, kind: str):
    if kind == "universal":
        toy = replace(toy, noise=Universal(8))
    if kind == "dropout":
        toy = replace(toy, model=replace(toy.model, network=UNet(8, (1,), 1, (), 0.3)))
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    train(toy, whole, device="cpu")
    torch.manual_seed(99)  # of no consequence
    paused = train(toy, broken, device="cpu", on_point=at(15, pause))
    assert (paused.state, paused.step) == ("paused", 15)
    assert status(broken)["checkpoint_step"] == 15
    torch.manual_seed(98)
    assert train(toy, broken, resume=True, device="cpu").state == "finished"
    assert rows(broken) == rows(whole)
    ours, theirs = tensors(broken, toy), tensors(whole, toy)
    assert ours.keys() == theirs.keys()
    assert {k.partition(".")[0] for k in ours} >= {"network", "average", "optimizer"}
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert torch.equal(*(torch.from_numpy(_last_samples(f)) for f in (whole, broken)))


def _last_samples(folder: Path) -> np.ndarray:
    return np.load(folder / "samples" / "step-00000040.npz")["images"]


def test_another_seed_is_another_run(tmp_path: Path, toy: TrainConfig):
    for seed in (0, 1):
        train(replace(toy, seed=seed), tmp_path / str(seed), device="cpu")
    one, other = (rows(tmp_path / str(seed)) for seed in (0, 1))
    assert all(one[key] != other[key] for key in one)


def test_killed_at_once_and_resumed(tmp_path: Path, toy: TrainConfig, one_thread: dict[str, str]):
    toy = replace(toy, steps=20_000, checkpoint_seconds=0.1, decay="constant", previews=0)
    (tmp_path / "toy.json").write_text(toy.to_json())
    command = [sys.executable, "-m", "rgdiff_core.cli", "train", str(tmp_path / "toy.json")]
    out = tmp_path / "run"
    started = subprocess.Popen(
        [*command, "--out", str(out), "--device", "cpu"],
        env=one_thread,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + PATIENCE
        while not (out / "checkpoint" / "state.json").is_file():
            assert started.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
    finally:
        started.send_signal(signal.SIGKILL)
        started.wait()
    assert status(out)["state"] == "running"  # nobody was left to say otherwise
    kept = load_checkpoint(out / "checkpoint", toy)
    assert kept is not None
    assert kept.step > 0
    with (out / "metrics.jsonl").open("a") as file:
        file.write('{"step": 1')  # as a kill in the middle of a line would leave it
    end = (kept.step // 5 + 4) * 5
    seen = []
    train(
        toy,
        out,
        resume=True,
        device="cpu",
        on_point=lambda row, now: (seen.append(row), pause()) if row["step"] >= end else None,
    )
    whole = tmp_path / "whole"
    train(toy, whole, device="cpu", on_point=at(end, pause))
    lines = (out / "metrics.jsonl").read_text().splitlines()
    assert lines.count('{"step": 1') == 1
    resumed = [json.loads(line) for line in lines[lines.index('{"step": 1') + 1 :]]
    assert resumed[0]["step"] > kept.step
    told = {r["step"]: r["loss"] for r in resumed if (r["step"] - kept.step) >= 5}
    unbroken = {s: row["loss"] for (s, _), row in rows(whole).items()}
    assert end in told
    assert told == {step: unbroken[step] for step in told}


def test_cancel_by_request(tmp_path: Path, toy: TrainConfig):
    def ask() -> None:
        (tmp_path / "request").write_text("cancel\n")
        time.sleep(1.1)  # it looks once a second

    outcome = train(toy, tmp_path, device="cpu", on_point=at(10, ask))
    assert outcome.state == status(tmp_path)["state"] == "cancelled"
    assert outcome.step == status(tmp_path)["checkpoint_step"] == 10
    assert not (tmp_path / "request").exists()


def test_time_is_up(tmp_path: Path, toy: TrainConfig):
    short = replace(toy, max_minutes=1 / 60)
    outcome = train(short, tmp_path, device="cpu", on_point=at(5, lambda: time.sleep(1.1)))
    assert (outcome.state, outcome.step) == ("paused", 5)
    longer = replace(toy, max_minutes=10.0)  # which a resumed run may change
    assert train(longer, tmp_path, resume=True, device="cpu").state == "finished"


def test_a_loss_that_is_not_finite(tmp_path: Path, toy: TrainConfig, capsys):
    wild = replace(toy, lr=1.0, warmup=0, clip=1e6)
    kept = train(wild, tmp_path, device="cpu", on_point=lambda row, now: None)
    assert kept.state == "failed"
    assert "not finite at step" in kept.message
    assert "there was no checkpoint yet" in kept.message
    assert status(tmp_path)["state"] == "failed"
    assert status(tmp_path)["message"] == kept.message
    assert not (tmp_path / "checkpoint" / "state.json").exists()
    (tmp_path / "wild.json").write_text(wild.to_json())
    out = str(tmp_path / "again")
    assert main(["train", str(tmp_path / "wild.json"), "--out", out, "--device", "cpu"]) == 1
    said = capsys.readouterr().err.splitlines()
    assert [line for line in said if line.startswith("rgdiff: ")] == said[-1:]


def test_a_full_disk(tmp_path: Path, toy: TrainConfig):
    train(toy, tmp_path / "whole", device="cpu")
    run = tmp_path / "run"
    train(toy, run, device="cpu", on_point=at(15, pause))
    allowed = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1500, allowed[1]))  # no file may be longer

    try:
        outcome = train(toy, run, resume=True, device="cpu", on_point=at(20, fill))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, allowed)
    assert outcome.state == status(run)["state"] == "failed"
    assert "checkpoint of step 15 is left as it was" in outcome.message
    assert "\n" not in outcome.message
    kept = load_checkpoint(run / "checkpoint", toy)
    assert kept is not None
    assert kept.step == 15
    assert not list(run.rglob("*.part"))
    assert train(toy, run, resume=True, device="cpu").state == "finished"
    assert all(
        torch.equal(value, tensors(run, toy)[name])
        for name, value in tensors(tmp_path / "whole", toy).items()
    )


def test_a_mismatched_config_is_refused(tmp_path: Path, toy: TrainConfig):
    train(toy, tmp_path, device="cpu")
    before = (tmp_path / "config.json").read_bytes()
    with pytest.raises(ValueError, match=r"lr = 0\.01 and cannot continue with 0\.5"):
        train(replace(toy, lr=0.5), tmp_path, resume=True, device="cpu")
    with pytest.raises(ValueError, match="resume it, or choose another folder"):
        train(toy, tmp_path, device="cpu")
    assert (tmp_path / "config.json").read_bytes() == before
    assert status(tmp_path)["state"] == "finished"


def test_one_process_at_a_time(tmp_path: Path, toy: TrainConfig):
    records = RunWriter(tmp_path)
    with pytest.raises(ValueError, match="another process is training"):
        train(toy, tmp_path, device="cpu")
    records.close()
    assert train(toy, tmp_path, device="cpu").state == "finished"


def test_bfloat16_is_near_to_float32(tmp_path: Path, toy: TrainConfig):
    for name in ("float32", "bfloat16"):
        train(replace(toy, precision=name), tmp_path / name, device="cpu")
    one, other = (rows(tmp_path / name)[40, False]["loss"] for name in ("float32", "bfloat16"))
    assert one != other
    assert one == pytest.approx(other, rel=0.01)


def test_too_much_memory_is_one_sentence(
    tmp_path: Path, toy: TrainConfig, one_thread: dict[str, str]
):
    huge = replace(toy, batch=65_536, model=replace(toy.model, network=UNet(128, (1, 2), 2)))
    (tmp_path / "huge.json").write_text(huge.to_json())
    code = (
        "import psutil, resource, sys, rgdiff_core.training, rgdiff_core.cli.main as cli;"
        "most = psutil.Process().memory_info().vms + (1 << 29);"
        "resource.setrlimit(resource.RLIMIT_AS, (most, most));"
        "sys.exit(cli.main(sys.argv[1:]))"
    )
    words = ["train", str(tmp_path / "huge.json"), "--out", str(tmp_path / "run")]
    done = subprocess.run(
        [sys.executable, "-c", code, *words, "--device", "cpu"],
        env=one_thread,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr == "rgdiff: Not enough memory for a batch of 65536 with this network.\n"
    assert status(tmp_path / "run")["state"] == "failed"


def test_the_time_of_a_step(toy: TrainConfig):
    timing = measure(toy, "cpu")
    assert timing.step_s > 0
    assert timing.total_s == timing.step_s * 40
    model = toy.model.build(*_material(toy))
    assert timing.parameters == sum(p.numel() for p in model.network.parameters())


def _material(config: TrainConfig) -> tuple[rg.bases.Basis, rg.Modes]:
    images = rg.data.load(config.data).images
    basis = config.basis.build(images)
    return basis, rg.Modes.fit(basis, images, symmetries="lattice")


def test_training_imports_little():
    heavy = {"streamlit", "plotly", "skimage", "imageio", "pandas", "matplotlib", "scipy"}
    heavy |= {"lightning_fabric", "torch._dynamo"}  # which only a training needs
    code = f"import sys, rgdiff_core.training; print({heavy} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], check=True, capture_output=True, text=True
    )
    assert done.stdout.strip() == "set()"


@pytest.mark.usefixtures("sigint")
def test_a_run_that_is_interrupted_before_its_first_step_ends_at_once(tmp_path, monkeypatch):
    monkeypatch.setenv("RGDIFF_CACHE", str(tmp_path / "cache"))
    asked = rg.data.load

    def load(*words, **options):
        monkeypatch.setattr(rg.data, "load", asked)
        os.kill(os.getpid(), signal.SIGINT)
        return asked(*words, **options)

    monkeypatch.setattr(rg.data, "load", load)
    config = TrainConfig(data="phi4-6x6", steps=1, limit=50)
    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "run")
    assert status(tmp_path / "run")["state"] == "cancelled"
    assert train(config, tmp_path / "other").state == "finished"
    monkeypatch.setattr(rg.data, "load", load)
    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "other", resume=True)
    assert status(tmp_path / "other")["state"] == "paused"
