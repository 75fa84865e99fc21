"""Few steps of a perfect denoiser, against closed forms, two sites by quadrature, and itself."""

import itertools
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.distributions import MultivariateNormal, kl_divergence

from rgdiff_core.bases import FourierBasis
from rgdiff_core.bases.modes import Modes
from rgdiff_core.cli.main import main
from rgdiff_core.colors import Matched, White
from rgdiff_core.denoisers.two_sites import TwoSites
from rgdiff_core.lattice import FreeField
from rgdiff_core.process import Marginal, Process
from rgdiff_core.sampling import time_grid
from rgdiff_core.schedules import Cosine, Cutoff, LinearGamma
from rgdiff_core.schedules.kernels import GaussianKernel
from rgdiff_core.statistics import Estimate
from rgdiff_core.study.cells import Cells, OutOfTimeError
from rgdiff_core.study.lattice import schedules
from rgdiff_core.study.lattice.arms import ARMS
from rgdiff_core.study.lattice.entrants import BASELINE, CASES, ENTRANTS
from rgdiff_core.study.lattice.gaps import (
    ancestral_law,
    best_grid,
    functional,
    noise_curve,
)
from rgdiff_core.study.lattice.gaussian_law import gaussian_law
from rgdiff_core.study.lattice.perfect import Sites, dense, draw, strengths
from rgdiff_core.study.lattice.schedule_summary import (
    GRIDS,
    differences,
    leader,
    lines,
    same_curve,
    summary,
    unsettled,
)
from rgdiff_core.study.lattice.schedules import STEPS, Numbers, Schedules

pytestmark = pytest.mark.usefixtures("one_thread")

PROCESSES = (
    (White(), LinearGamma(-9.0, 6.0)),
    (Matched(), Cutoff(GaussianKernel(), gamma_max=6.0)),
)
SIGMAS = 4.0  # which chance exceeds in one of 16,000 tests


def test_the_gaussian_law_is_the_kl_of_two_chains():
    """Of y = χ/α of one component: the process' joint normal, and that of the sampler."""
    variance, levels = 1.7, torch.tensor([[5.0], [1.0], [0.3], [-4.0]], dtype=torch.float64)
    noise = (variance * torch.exp(-levels[:, 0])).tolist()  # of y = x + √noise ε
    whole = torch.tensor(
        [[variance + min(a, b) for b in noise] for a in noise], dtype=torch.float64
    )
    chain = torch.zeros(4, 4, dtype=torch.float64)
    chain[3, 3] = variance + noise[3]
    for s in (2, 1, 0):
        kept = noise[s] / noise[s + 1]
        gain = kept + (1 - kept) * variance / (variance + noise[s + 1])
        chain[s, s + 1 :] = chain[s + 1 :, s] = gain * chain[s + 1, s + 1 :]
        chain[s, s] = gain**2 * chain[s + 1, s + 1] + noise[s] * (1 - kept)
    zero = torch.zeros(4, dtype=torch.float64)
    wanted = kl_divergence(MultivariateNormal(zero, whole), MultivariateNormal(zero, chain))
    assert ancestral_law(levels) == pytest.approx(float(wanted), rel=1e-9)


@pytest.mark.parametrize(("color", "schedule"), PROCESSES)
def test_a_free_field_costs_shells_nothing_and_ancestral_steps_the_law(color, schedule):
    field = FreeField(0.5, 4)
    basis = FourierBasis((1, 4, 4), momentum="lattice").double()
    variance = 1 / (2 * (basis.momentum**2 + 0.5))
    modes = Modes(basis.scale, torch.zeros_like(variance), variance, basis.momentum)
    process = Process(basis, color, schedule, modes)
    quadratic, transform = dense(field.action, basis)
    sites = Sites(quadratic, 0.0, transform, variance.flatten(), 0.0)
    curve = noise_curve(process, modes)
    times = [time_grid(process, modes, n, "logsnr") for n in (4, 8)]
    found = _measured(sites, process, modes, {"logsnr": times}, 64)
    for n, each in zip((4, 8), times, strict=True):
        assert found[f"shell logsnr {n}"].mean() == pytest.approx(0, abs=1e-3)
        law = ancestral_law(curve.at(each[::-1])[1])
        assert found[f"ancestral logsnr {n}"].mean() == pytest.approx(law, rel=1e-4)


@pytest.fixture(scope="module")
def two() -> tuple[TwoSites, Sites, Tensor]:
    """Return φ⁴ on two sites with wells, by quadrature and for chains, and fields of it."""
    exact = TwoSites(-2.0, 1.0, points=51)
    unit = torch.eye(2, dtype=torch.float64).reshape(2, 1, 1, 2)
    transform = exact.basis.analyze(unit).flatten(1).T
    bend = torch.tensor([-4.0, 4.0], dtype=torch.float64)  # 2(k̂² + m²)
    variance = exact.modes.variance
    assert variance is not None
    sites = Sites(
        transform.T @ (bend[:, None] * transform),
        1.0,
        transform,
        variance.flatten(),
        float(variance.mean()),
    )
    return exact, sites, draw(sites, 800, torch.Generator().manual_seed(1))


def test_fields_have_the_moments_of_quadrature(two):
    _, sites, x = two
    for values, wanted in zip((x @ sites.transform.T).square().T, sites.variance, strict=True):
        assert abs(Estimate.of(values).value - wanted) < SIGMAS * Estimate.of(values).error


@pytest.mark.parametrize(("color", "schedule"), PROCESSES)
def test_two_sites_cost_what_their_paths_do(two, color, schedule):
    """KL_N as the mean of log P − log Q over paths, with D* by quadrature and no posterior chain;
    and that of the data's Gaussian as an integral in the plane.
    """
    exact, sites, x = two
    process = Process(exact.basis, color, schedule, exact.modes)
    times = [time_grid(process, exact.modes, n, "angle") for n in (2, 4)]
    found = _measured(sites, process, exact.modes, {"angle": times}, len(x), x)
    wells = exact.density * (exact.axis[1] - exact.axis[0]) ** 2
    plane = torch.stack(torch.meshgrid(exact.axis, exact.axis, indexing="ij"), -1)
    gaussian = MultivariateNormal(torch.zeros(2).double(), sites.variance.diag())
    away = torch.log(exact.density.clamp_min(1e-300)) - gaussian.log_prob(plane)
    measured = Estimate.of(found["gaussian"])
    assert abs(measured.value - float((wells * away).sum())) < SIGMAS * measured.error
    for each in times:
        n = len(each) - 1
        estimate = Estimate.of(found["prior"] + found[f"shell angle {n}"])
        wanted = Estimate.of(_log_ratio(exact, process, x @ sites.transform.T, each))
        assert wanted.error < 0.05
        assert abs(estimate.deviation(wanted)) < SIGMAS


def _measured(sites, process, modes, grids, n, x=None) -> dict[str, Tensor]:
    """Return all numbers of n fields, (n,) each."""
    generator = torch.Generator().manual_seed(2)
    x = draw(sites, n, generator) if x is None else x
    curve = noise_curve(process, modes)
    what = functional(modes, curve, grids)
    h = torch.stack([*strengths(sites, curve.levels, x, x.roll(1, 0), 16, generator)][::-1], 1)
    total = what.constants + torch.einsum("nik,rik->nr", h, what.weights)
    return dict(zip(what.names, total.T, strict=True))


def _log_ratio(exact: TwoSites, process: Process, c: Tensor, times: tuple[float, ...]) -> Tensor:
    """Return log P/Q of paths y = χ/α from data c (n, 2), for the shell sampler; (n,)."""
    generator = torch.Generator().manual_seed(3)
    marginal = process.vp_marginal(torch.tensor(times[-2::-1], dtype=torch.float64))
    noise = (marginal.std / marginal.alpha).flatten(1) ** 2  # rising, (N, 2)
    variance = exact.modes.variance.flatten()
    ratio, states = -exact.action(c) - exact.log_z, [c]
    for before, after in itertools.pairwise([torch.zeros_like(noise[0]), *noise]):
        step = (after - before).sqrt() * torch.randn(c.shape, generator=generator).double()
        states.append(states[-1] + step)
        ratio += _normal(step, after - before)
    ratio -= _normal(states[-1], variance + noise[-1])
    for i in range(len(noise), 0, -1):
        level = noise[i - 1]
        flat = Marginal(torch.ones(1, 1, 1, 2).double(), level.sqrt().view(1, 1, 1, 2))
        mean = exact.posterior(states[i].view(-1, 1, 1, 2), flat).mean.view(-1, 2)
        spread = variance * level / (variance + level)
        kept = (noise[i - 2] if i > 1 else 0 * level) / level
        drawn = states[i - 1] - mean - kept * (states[i] - mean)
        ratio -= _normal(drawn, kept * (1 - kept) * level + (1 - kept) ** 2 * spread)
    return ratio


def _normal(x: Tensor, variance: Tensor) -> Tensor:
    return -0.5 * (x**2 / variance + torch.log(2 * math.pi * variance)).sum(-1)


def test_the_best_grid_of_two_steps_is_the_best_of_all(two):
    exact, sites, x = two
    process = Process(exact.basis, *PROCESSES[1], exact.modes)
    curve = noise_curve(process, exact.modes)
    h = [*strengths(sites, curve.levels, x[:64], x[64:128], 8, torch.Generator().manual_seed(4))]
    mean = torch.stack(h[::-1]).mean(1)

    def gap(grids) -> Tensor:
        weights = functional(exact.modes, curve, {"x": grids}).weights
        return torch.einsum("rik,ik->r", weights, mean)[2::2]

    inner = torch.linspace(0.02, 0.98, 49).tolist()
    chosen = best_grid(exact.modes, curve, mean, 2)
    least = min(float(gap([(1.0, t, 0.0)])) for t in inner)
    assert float(gap([chosen])) < least + 1e-3 * abs(least)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Schedules:
    """Return a tiny study of which three processes are computed."""
    folder = tmp_path_factory.mktemp("schedules")
    cells = {"phi4-6x6": Cells(folder / "phi4-6x6", lambda text: None)}
    made = Schedules(cells, Numbers(batches=2, fields=16, trajectories=4, groups=4))
    for name, batch in ((BASELINE, 0), (BASELINE, 1), ("matched-gaussian", 0), ("haar-0", 0)):
        made.compute("phi4-6x6", name, batch)
    return made


def test_what_is_finished_is_not_computed_again(study: Schedules):
    cells = study.cells["phi4-6x6"]
    stopped = Schedules({"phi4-6x6": Cells(cells.folder, print, until=0.0)}, study.numbers)
    stopped.compute("phi4-6x6", BASELINE, 1)
    with pytest.raises(OutOfTimeError):
        stopped.compute("phi4-6x6", "matched-gaussian", 1)
    other = Schedules(stopped.cells, Numbers(batches=2, fields=32, trajectories=4, groups=4))
    with pytest.raises(OutOfTimeError):  # it was made from fewer fields
        other.compute("phi4-6x6", BASELINE, 1)


def test_the_summary_says_what_is_there(study: Schedules):
    found = json.loads(json.dumps(summary(study)))
    (theory,) = found["theories"]
    rows = {row["name"]: row for row in theory["processes"]}
    assert found["complete"] == {"processes": 3, "batches": 4, "of": 2 * len(ENTRANTS)}
    assert list(rows) == [BASELINE, "matched-gaussian", "haar-0"]
    assert rows[BASELINE]["fields"] == 32
    off = differences(theory, 16)["matched-gaussian"]
    cells = [study.found("phi4-6x6", name, 0) for name in ("matched-gaussian", BASELINE)]
    column = cells[0]["names"].index("shell best 16")
    pairs = torch.tensor([[row[column] for row in cell["groups"]] for cell in cells])
    wanted = Estimate.of((pairs[0] - pairs[1]).double())
    assert (off.value, off.error) == pytest.approx((wanted.value, wanted.error), abs=1e-5)
    assert off.freedom == 3 and off.adjusted is not None
    best = leader(theory, 16)
    assert best is not None and best.title == ENTRANTS["matched-gaussian"].title
    assert (best.measured, best.of) == (1, 17)
    assert lines(found)[-1] == f"4 of {2 * len(ENTRANTS)} batches"


@pytest.mark.parametrize(("size", "steps"), [(6, 8), (8, 32)])
def test_the_gaussian_law_is_that_of_ddims_own_steps(size, steps):
    """Step by step in NumPy: x_s = α_s D + σ_s (x_t − α_t D)/σ_t with the Wiener filter D."""
    k = 2 * np.sin(np.pi * np.arange(size) / size)
    k2, kappa, gamma = (k[:, None] ** 2 + k**2).ravel(), 129.0, 14.0
    variance = 1 / (k2 + k2.max() / (kappa - 1))
    kl = {}
    for name, noise in (("white", np.ones_like(variance)), ("matched", variance)):
        ratio = variance / noise
        first, last = np.exp(gamma / 2) / ratio.min(), np.exp(-gamma / 2) / ratio.max()
        snr = np.geomspace(last, first, steps + 1)  # α²/σ², rising with the steps
        alpha, sigma = np.sqrt(snr / (1 + snr)), np.sqrt(1 / (1 + snr))
        x = np.sqrt(alpha[0] ** 2 * variance + sigma[0] ** 2 * noise)
        for i in range(steps):
            clean = alpha[i] * variance * x / (alpha[i] ** 2 * variance + sigma[i] ** 2 * noise)
            x = alpha[i + 1] * clean + sigma[i + 1] * (x - alpha[i] * clean) / sigma[i]
        share = x**2 / (alpha[-1] ** 2 * variance + sigma[-1] ** 2 * noise)
        kl[name] = (share - 1 - np.log(share)).mean() / 2
    law = gaussian_law(size, kappa, steps)
    assert (law.white, law.matched) == pytest.approx((kl["white"], kl["matched"]), rel=1e-6)
    assert law.limit == pytest.approx(((gamma + math.log(kappa)) / gamma) ** 2)
    assert law.white / law.matched == pytest.approx(law.limit, rel=0.1)


def test_a_methods_process_is_found_among_the_entrants():
    """Its own where it is measured; of scalar schedules the curve of noise levels is the same."""
    for arm in ARMS.values():
        for choice in arm.choices:
            name = same_curve(arm.color, choice.schedule)
            scalar = arm.name in ("standard", "white-scalar", "matched-scalar")
            if name is None:  # the sigmoid of width 0.3 is none of them
                assert not scalar and "0.3" in choice.title
                continue
            entrant = ENTRANTS[name].spec
            assert entrant.color == arm.color
            assert scalar or entrant.schedule == choice.schedule
            assert not scalar or name.endswith(("-linear", "-cosine"))
    assert same_curve(White(), Cosine()) == "white-cosine"  # its own, where it was measured
    assert same_curve(Matched(), Cosine()) == "matched-linear"


def _store(study: Schedules, theory: str, name: str, batch: int) -> None:
    """Store a batch of made-up numbers in the place of a measured one."""
    names = ["gaussian", "prior", *(f"shell {grid} {n}" for grid in GRIDS for n in STEPS)]
    unit = torch.rand(4, len(names), generator=torch.Generator().manual_seed(batch))
    numbers = (unit + 1 + list(ENTRANTS).index(name)).tolist()
    study.cells[theory].read_or_compute(
        f"{name}-{batch}",
        study._inputs(theory, name, batch),
        lambda: {"names": names, "groups": numbers},
    )


@pytest.mark.parametrize("order", [1, -1])
def test_the_largest_theory_comes_after_the_one_that_chooses_its_processes(tmp_path, order):
    theories = ("phi4-8x8-critical", "phi4-12x12-critical")
    cells = {name: Cells(tmp_path / name, lambda text: None) for name in theories[::order]}
    made = Schedules(cells, Numbers(batches=2))
    for theory, name, batch in made.parts():
        assert not made.complete(theories)
        _store(made, theory, name, batch)
    assert made.complete(theories)
    found = summary(made)
    assert found["complete"] == {"processes": 26, "batches": 52, "of": 52}
    rows = {row["data"]: row["processes"] for row in found["theories"]}
    assert [row["batches"] for row in rows["phi4-12x12-critical"]] == [2] * 4


@pytest.mark.parametrize(("trajectories", "settled"), [(1, False), (32, True)])
def test_chains_that_lag_behind_are_noticed(tmp_path, trajectories: int, settled: bool):
    """KL_G is the same along every path to the noise."""
    cells = {"phi4-8x8-critical": Cells(tmp_path, lambda text: None)}
    made = Schedules(cells, Numbers(1, 128, trajectories, groups=16))
    for name in (BASELINE, "matched-linear"):
        made.compute("phi4-8x8-critical", name, 0)
    (theory,) = summary(made)["theories"]
    row = theory["processes"][1]
    off = row["gaussian_kl_against_baseline"]
    assert (unsettled(theory) == {}) == settled
    if settled:
        assert abs(off["value"]) < SIGMAS * off["error"]
    else:
        base = theory["processes"][0]["gaussian_kl"]["value"]
        assert unsettled(theory) == {
            "matched-linear": pytest.approx(off["value"] / base, rel=1e-3)
        }
        assert off["value"] < -0.1 * base


def test_a_damaged_cell_counts_as_missing(tmp_path):
    made = Schedules({"phi4-6x6": Cells(tmp_path, lambda text: None)}, Numbers(batches=2))
    for batch in (0, 1):
        _store(made, "phi4-6x6", BASELINE, batch)
    made.cells["phi4-6x6"].path(f"{BASELINE}-1").write_text("[]", "utf-8")
    made.cells["phi4-6x6"].path("other").write_text('{"processor', "utf-8")
    assert summary(made)["complete"]["batches"] == 1


def test_the_file_keeps_the_theories_that_were_computed_before(tmp_path: Path, capsys):
    work = tmp_path / "work"
    made = Schedules({"phi4-6x6-broken": Cells(work / "phi4-6x6-broken", lambda text: None)})
    _store(made, "phi4-6x6-broken", BASELINE, 0)
    words = ["study", "schedules", "--theories=phi4-6x6", f"--work={work}", f"--out={tmp_path}"]
    assert main([*words, "--minutes=0"]) == 0
    assert "stopped" in capsys.readouterr().out
    found = json.loads((tmp_path / "schedules-phi4.json").read_text("utf-8"))
    assert [row["data"] for row in found["theories"]] == ["phi4-6x6-broken"]
    assert "--theories phi4-6x6 phi4-6x6-broken " in found["command"]


@pytest.mark.parametrize(
    ("error", "of", "outcome"),
    [(0.015, 2, "same"), (0.015, 3, "undecided"), (0.025, 2, "undecided")],
)
def test_the_best_is_equal_only_where_all_are_measured_and_for_all(error, of, outcome):
    """The gap is 1, and the margin a tenth; t = 3.18 at 95 % for one, 4.18 for two (4 groups)."""

    def row(name: str, off: float | None) -> dict[str, object]:
        numbers = {"best": {"16": {"value": off, "error": error, "n": 4}}}
        return {
            "name": name,
            "title": ENTRANTS[name].title,
            "kind": ENTRANTS[name].kind,
            "gap": {"best": {"16": {"value": 1.0, "error": 0.1}}},
            "against_baseline": None if off is None else numbers,
        }

    rows = [row(BASELINE, None), row("white-gaussian", 0.02), row("matched-gaussian", 0.01)]
    best = leader({"component_wise": of, "processes": rows}, 16)
    assert best is not None and best.title == ENTRANTS["matched-gaussian"].title
    assert best.difference.outcome == outcome


def test_more_steps_than_times_are_refused(two):
    exact, _, _ = two
    curve = noise_curve(Process(exact.basis, *PROCESSES[0], exact.modes), exact.modes)
    with pytest.raises(ValueError, match=r"of 500 steps does not fit \d+ times: .* 1 to \d+\.$"):
        best_grid(exact.modes, curve, torch.ones_like(curve.levels), 500)


def test_without_time_the_command_says_that_nothing_is_there(tmp_path: Path, capsys):
    words = ["study", "schedules", f"--work={tmp_path / 'w'}", f"--out={tmp_path}", "--minutes=0"]
    assert main([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["complete"] is False
    assert json.loads((tmp_path / "schedules-phi4.json").read_text("utf-8"))["theories"] == []


@pytest.mark.parametrize("name", ["phi4-6x6", "phi4-6x6-critical", "phi4-6x6-broken"])
def test_fields_have_the_known_susceptibility(name: str):
    """That of hybrid Monte Carlo, to 0.3 %, as the comparison's file has it."""
    file = Path(__file__).parents[3] / "results" / f"study-{name}.json"
    truth = json.loads(file.read_text(encoding="utf-8"))["truth"]["susceptibility"]
    case = CASES[name]
    x = torch.cat([schedules._fields(case, -1 - number, 256) for number in range(4)])
    chi = Estimate.of(case.size**2 * x.mean(1) ** 2)
    assert abs(chi.deviation(Estimate(truth["value"], truth["error"]))) < SIGMAS
