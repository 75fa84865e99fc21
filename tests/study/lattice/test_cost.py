"""What a site costs: against matrices in real space, sampled chains and known limits."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

import rgdiff_core as rg
from rgdiff_core.cli.main import main
from rgdiff_core.lattice import FreeField
from rgdiff_core.sampling import sample
from rgdiff_core.schedules import Cutoff
from rgdiff_core.study.lattice import cost
from rgdiff_core.study.lattice.cost import (
    GAMMA,
    STEPS,
    WAYS,
    detail_variances,
    evaluations,
    kl_per_site,
)


def covariance(size: int) -> np.ndarray:
    """Return the free theory's covariance in real space, from its action's matrix."""
    matrix = np.zeros((size, size, size, size))
    for x in range(size):
        for y in range(size):
            matrix[x, y, x, y] += 4 + (2 / size) ** 2
            for dx, dy in ((1, 0), (-1, 0), (0, 1), (0, -1)):
                matrix[x, y, (x + dx) % size, (y + dy) % size] -= 1
    return np.linalg.inv(2 * matrix.reshape(size**2, size**2))


def haar(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the matrices that take a field to the averages and to the details of its blocks."""
    averages, details = [], []
    for x in range(0, size, 2):
        for y in range(0, size, 2):
            for signs in ((1, 1, 1, 1), (1, 1, -1, -1), (1, -1, 1, -1), (1, -1, -1, 1)):
                row = np.zeros((size, size))
                row[x : x + 2, y : y + 2] = np.reshape(signs, (2, 2)) / 2
                (averages if min(signs) > 0 else details).append(row.ravel())
    return np.array(averages), np.array(details)


@pytest.mark.parametrize("size", [4, 8])
def test_details_given_averages_have_the_variances_of_matrices_in_real_space(size):
    whole = given = covariance(size)
    octaves = detail_variances(size)
    for octave, expected_share in zip(octaves, (4.0**-j for j in range(10)), strict=False):
        assert octave.share == expected_share
        if len(given) == 1:
            np.testing.assert_allclose(octave.variances, given[0], rtol=1e-9)
            break
        averages, details = haar(math.isqrt(len(given)))
        coarse, cross = averages @ given @ averages.T, details @ given @ averages.T
        conditional = details @ given @ details.T - cross @ np.linalg.solve(coarse, cross.T)
        found = np.sort(octave.variances.numpy())
        np.testing.assert_allclose(found, np.linalg.eigvalsh(conditional), rtol=1e-9)
        given = coarse
    total = sum(float(each.variances.log().sum()) for each in octaves)  # the chain rule
    assert total == pytest.approx(np.linalg.slogdet(whole)[1], rel=1e-10)


def test_the_kl_is_that_of_ddim_as_it_draws():
    """Of fields that the sampler itself makes of white noise, their variances component by
    component, against the theory's: 20,000 fields, four standard errors.
    """
    size, steps, n = 4, 6, 20_000
    field = FreeField((2 / size) ** 2, size)
    basis = rg.bases.FourierBasis((1, size, size), "lattice")
    k2 = basis.momentum.double() ** 2
    variance = 0.5 / (k2 + field.m2)
    modes = rg.Modes(basis.scale, torch.zeros_like(variance), variance, basis.momentum)
    reach = float(variance.log().max() - variance.log().min())
    middle = float(variance.log().max() + variance.log().min()) / 2
    half = (GAMMA + reach) / 2
    schedule = rg.schedules.LinearGamma(middle - half, middle + half)
    process = rg.Process(basis, rg.colors.White(False), schedule, modes)
    drawn = sample(
        rg.GaussianDenoiser(basis, modes), process, n, method="ddim", steps=steps, grid="uniform"
    )
    parts = basis.analyze(drawn).double()
    ratio = (parts.square().mean(0) / variance).flatten()
    log_v = ratio.log()
    kl = float((torch.expm1(log_v) - log_v).sum() / 2) / size**2
    error = math.sqrt(2 / n) * float(torch.expm1(log_v).abs().mean())
    assert abs(kl - kl_per_site("white", size, steps, "logsnr")) < 4 * error + 0.02 * kl


def test_with_equal_steps_white_noise_pays_for_the_loudest_wave_and_the_others_do_not():
    """The law: the KL goes as (range/N)², with a range of Γ or Γ + log κ."""
    for size in (8, 32):
        ratio = kl_per_site("white", size, 256, "logsnr")
        ratio /= kl_per_site("matched", size, 256, "logsnr")
        limit = (1 + math.log(2 * size**2 + 1) / GAMMA) ** 2
        assert ratio == pytest.approx(limit, rel=0.03)
    for way in ("matched", "cutoff", "octaves"):
        small, large = (kl_per_site(way, size, 64, "logsnr") for size in (8, 64))
        assert large == pytest.approx(small, rel=0.03)
    pays = kl_per_site("white", 64, 64, "logsnr") / kl_per_site("white", 8, 64, "logsnr")
    assert pays > 1.3


def test_the_best_steps_are_better_than_equal_ones_and_than_other_densities():
    turn = math.atan(math.exp(GAMMA / 4)) - math.atan(math.exp(-GAMMA / 4))
    log_v = 2 * 64 * math.log(math.cos(turn / 64))  # of one component, equal turns
    assert kl_per_site("matched", 8, 64) == pytest.approx(
        (math.expm1(log_v) - log_v) / 2, rel=1e-3
    )
    for way in WAYS:
        assert kl_per_site(way, 16, 32) < 0.65 * kl_per_site(way, 16, 32, "logsnr")
    (white,) = WAYS["white"](16)
    best, moved = white.kl(32, "best"), []
    for power in (0.6, 0.8, 1.25, 1.6):  # of the density of steps
        clock = (white.best.diff() ** power).cumsum(0)
        other = replace(white, best=torch.cat([clock.new_zeros(1), clock]))
        moved.append(other.kl(32, "best"))
    assert best < min(moved) and max(moved) > 1.05 * best


@pytest.mark.parametrize("kind", STEPS)
@pytest.mark.parametrize("way", WAYS)
def test_evaluations_are_the_fewest_below_the_bound(way, kind):
    found = evaluations(way, 8, 2e-3, kind)
    shares = sum(each.share for each in detail_variances(8)) if way == "octaves" else 1
    steps = round(found / shares)
    assert steps * shares == found
    assert kl_per_site(way, 8, steps, kind) <= 2e-3 < kl_per_site(way, 8, steps - 1, kind)


def test_only_distinct_components_are_tabulated(monkeypatch):
    """Of the 32² momenta of a lattice those with 0 ≤ kx ≤ ky ≤ π are different."""
    tabulated, at_ordinate = [], Cutoff.at_ordinate

    def watched(self: Cutoff, *arguments) -> torch.Tensor:
        found = at_ordinate(self, *arguments)
        tabulated.append(found[0].numel())
        return found

    monkeypatch.setattr(Cutoff, "at_ordinate", watched)
    cost._ways.cache_clear()
    kl_per_site("cutoff", 32, 10)
    assert tabulated and max(tabulated) <= 17 * 18 // 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("whit", 8, 4), "way = 'whit' is not one of white, matched, cutoff, octaves"),
        (("white", 8, 4, "even"), "kind = 'even' is not one of logsnr, best"),
        (("white", 8, 0), r"steps = 0 is outside \[1, 4096\]"),
    ],
)
def test_what_is_out_of_range_is_named(words, said):
    with pytest.raises(ValueError, match=said):
        kl_per_site(*words)


def test_the_command_writes_every_way_and_names_what_is_out_of_range(tmp_path, capsys):
    assert main(["study", "cost", "--sizes", "16", "4", "--out", str(tmp_path)]) == 0
    found = json.loads((tmp_path / "cost-gaussian.json").read_text("utf-8"))
    assert found["command"] == "rgdiff study cost --sizes 4 16 --bound 0.001"
    rows = [(row["way"], row["size"], row["steps"]) for row in found["rows"]]
    assert rows == [(way, size, kind) for size in (4, 16) for way in WAYS for kind in STEPS]
    capsys.readouterr()
    for words, said in (
        (["--sizes", "12"], "size = 12 must be a power of two."),
        (["--sizes", "1024"], "size = 1024 is outside [4, 512]"),
        (["--bound", "0"], "bound = 0.0 is outside (0, 1]"),
        (["--sizes", "8", "--bound", "1e-9"], "a bound of 1e-09 takes more than 4096 steps."),
    ):
        assert main(["study", "cost", *words, "--out", str(tmp_path)]) != 0
        assert said in capsys.readouterr().err
