"""The trainer against a loop written out, and runs that stop between two points of the curves."""

import json
import os
import signal
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from curves import rows
from safetensors.torch import load_file

import rgdiff_core as rg
from rgdiff_core.denoisers.files import load_model
from rgdiff_core.seeds import fold_in
from rgdiff_core.training import TrainConfig, train
from rgdiff_core.training.batches import Batches
from rgdiff_core.training.checkpoint import load_checkpoint
from rgdiff_core.training.losses import Objective, denoising_loss
from rgdiff_core.training.noise_levels import Universal
from rgdiff_core.training.state import prepare
from rgdiff_core.training.trainer import fabric_for


@pytest.mark.parametrize(
    ("decay", "half_life"), [("cosine", None), ("constant", 0.04), ("cooldown", 0.3)]
)
def test_the_trainer_is_a_plain_loop(
    tmp_path: Path, toy: TrainConfig, decay: str, half_life: float | None
):
    """The same draws, AdamW by its formulas, clipping, warm-up, decay and average written out."""
    toy = replace(toy, decay=decay, weight_decay=0.1, clip=0.2, steps=20, beta2=0.95)
    toy = replace(toy, ema_half_life=half_life)
    assert train(toy, tmp_path, device="cpu").state == "finished"
    images = rg.data.load(toy.data).images
    basis = toy.basis.build(images)
    modes = rg.Modes.fit(basis, images, symmetries="lattice")
    torch.manual_seed(fold_in(toy.seed, -1))
    model = toy.model.build(basis, modes)
    sampler = toy.noise.sampler(basis, modes, toy.objective, fold_in(toy.seed, 1))
    batches = Batches(images, sampler, toy.batch, "lattice", fold_in(toy.seed, 2))
    weights = list(model.network.parameters())
    first, second = ([torch.zeros_like(w) for w in weights] for _ in range(2))
    average = [w.detach().clone() for w in weights]
    losses, norms = [], []
    for step in range(toy.steps):
        batch = batches.draw(step)
        loss = denoising_loss(model, batch.x0, batch.levels, batch.noise).loss
        gradients = torch.autograd.grad(loss, weights)
        norm = torch.cat([g.flatten() for g in gradients]).norm()
        losses.append(float(loss.detach()))
        norms.append(float(norm))
        lr = toy.lr * min(1, (step + 1) / (toy.warmup + 1))
        if decay == "cosine":
            lr *= 0.5 + 0.5 * float(torch.cos(torch.tensor(torch.pi * step / toy.steps)))
        if decay == "cooldown" and step > 16:  # 20 % of the steps
            lr *= (20 - step) / 4
        with torch.no_grad():
            for w, g, m, v in zip(weights, gradients, first, second, strict=True):
                g = g * min(1.0, 0.2 / float(norm))
                m.mul_(0.9).add_(0.1 * g)
                v.mul_(0.95).add_(0.05 * g**2)
                m_hat, v_hat = m / (1 - 0.9 ** (step + 1)), v / (1 - 0.95 ** (step + 1))
                w.mul_(1 - lr * 0.1).sub_(lr * m_hat / (v_hat.sqrt() + 1e-8))
            done = step + 1
            keep = min(toy.ema, (done - 1) / (done + 8))
            if half_life is not None:  # of at least one step
                keep = 0.5 ** (1 / max(1, half_life * done))
            average = [keep * a + (1 - keep) * w for a, w in zip(average, weights, strict=True)]
    assert max(norms) > 0.2  # clipping was felt
    said = [row for (_, held_out), row in rows(tmp_path).items() if not held_out]
    for number, row in enumerate(said):
        here = slice(5 * number, 5 * number + 5)
        assert row["loss"] == pytest.approx(sum(losses[here]) / 5, rel=1e-4)
        assert row["grad_norm"] == pytest.approx(sum(norms[here]) / 5, rel=1e-3)
    kept = load_file(tmp_path / "checkpoint" / "state-000000020.safetensors")
    learnt = load_model(tmp_path / "checkpoint" / "model.safetensors").network
    names = [name for name, _ in model.network.named_parameters()]
    for name, weight, mean in zip(names, weights, average, strict=True):
        torch.testing.assert_close(kept[f"network.{name}"], weight, rtol=1e-3, atol=2e-5)
        torch.testing.assert_close(learnt.get_parameter(name), mean, rtol=1e-3, atol=2e-5)


@pytest.mark.parametrize("source", ["one", "universal"])
def test_a_run_may_stop_between_two_points(tmp_path: Path, toy: TrainConfig, source: str):
    """Paused at steps 7, 13 and 29 of windows of 10: the curves are those of an unbroken run."""
    toy = replace(toy, log_every=10, evaluations=40, objective=Objective("simple", "importance"))
    if source == "universal":
        toy = replace(toy, noise=Universal(5))
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert train(toy, whole, device="cpu").state == "finished"

    def pause(row: Mapping, status: object) -> None:
        del status
        if row["step"] in (7, 13, 29):
            os.kill(os.getpid(), signal.SIGTERM)

    stops = []
    while (outcome := train(toy, broken, resume=True, device="cpu", on_point=pause)).step < 40:
        assert outcome.state == "paused"
        stops.append(outcome.step)
    assert stops == [7, 13, 29] and outcome.state == "finished"
    assert rows(broken) == rows(whole)
    ours, theirs = (load_checkpoint(f / "checkpoint", toy) for f in (broken, whole))
    assert ours is not None and theirs is not None
    assert all(torch.equal(ours.tensors[k], v) for k, v in theirs.tensors.items())


def test_a_damaged_checkpoint_costs_time_and_nothing_else(tmp_path: Path, toy: TrainConfig):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    train(toy, whole, device="cpu")

    def pause(row: Mapping, status: object) -> None:
        del status
        if row["step"] in (10, 20):
            os.kill(os.getpid(), signal.SIGTERM)

    for stop in (10, 20):
        assert train(toy, broken, resume=True, device="cpu", on_point=pause).step == stop
    newest = broken / "checkpoint" / "state-000000020.safetensors"
    newest.write_bytes(newest.read_bytes()[:-1] + b"\x77")
    seen: list[int] = []
    again = train(
        toy, broken, resume=True, device="cpu", on_point=lambda row, now: seen.append(row["step"])
    )
    assert again.state == "finished" and seen[0] == 15
    assert rows(broken) == rows(whole)
    one, other = (f / "checkpoint" / "state-000000040.safetensors" for f in (whole, broken))
    assert one.read_bytes() == other.read_bytes()


def test_a_finished_run_stays_as_it_is(tmp_path: Path, toy: TrainConfig):
    train(toy, tmp_path, device="cpu")
    before = rows(tmp_path)
    state = (tmp_path / "checkpoint" / "state-000000040.safetensors").read_bytes()
    assert train(toy, tmp_path, resume=True, device="cpu").state == "finished"
    assert rows(tmp_path) == before
    assert (tmp_path / "checkpoint" / "state-000000040.safetensors").read_bytes() == state


def test_a_gradient_that_is_not_finite_never_reaches_a_checkpoint(tmp_path: Path, toy):
    """Weights that have gone wrong must not be what is left: every kept tensor is finite."""
    wild = replace(toy, lr=1.0, warmup=0, clip=1e6, decay="constant", log_every=1)

    def pause(row: Mapping, status: object) -> None:
        del status
        if "held_out" not in row:
            os.kill(os.getpid(), signal.SIGTERM)

    outcome = train(wild, tmp_path, device="cpu", on_point=pause)
    assert outcome.state == "paused"
    while outcome.state == "paused":
        kept = load_checkpoint(tmp_path / "checkpoint", wild)
        assert kept is not None and kept.step == outcome.step
        assert all(v.isfinite().all() for v in kept.tensors.values())
        outcome = train(wild, tmp_path, resume=True, device="cpu", on_point=pause)
    assert outcome.state == "failed" and "not finite at step" in outcome.message
    assert load_checkpoint(tmp_path / "checkpoint", wild) is not None


@pytest.mark.parametrize("name", ["metrics.jsonl"])
def test_curves_that_cannot_be_written_end_the_run_in_order(tmp_path, toy, name):
    """/dev/full is a disk without space."""
    (tmp_path / name).symlink_to("/dev/full")
    outcome = train(toy, tmp_path, device="cpu")
    assert outcome.state == "failed" and "No space left" in outcome.message
    told = json.loads((tmp_path / "status.json").read_text())
    assert (told["state"], told["message"]) == ("failed", outcome.message)


def test_a_run_from_before_symmetries_goes_on_with_its_own_statistics(tmp_path, toy):
    """Its checkpoint has no mean and variance: they were fitted without symmetries."""
    assert prepare(toy, fabric_for("cpu"))[0].model.modes.mean.abs().max() == 0
    old = {"network.weight": torch.zeros(1)}
    images = rg.data.load(toy.data).images
    plain = rg.Modes.fit(toy.basis.build(images), images)
    learner, *_ = prepare(toy, fabric_for("cpu"), old)
    torch.testing.assert_close(learner.model.modes.variance, plain.variance)
    torch.testing.assert_close(learner.model.modes.mean, plain.mean)
    own = {"modes.mean": plain.mean + 1, "modes.variance": 2 * plain.variance}
    learner, *_ = prepare(toy, fabric_for("cpu"), own)
    torch.testing.assert_close(learner.model.modes.variance, 2 * plain.variance)
    assert set(own) < set(learner.tensors())
