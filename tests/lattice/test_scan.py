"""The phase scan against exact values, and its analysis against curves of known scaling.

Exact values of L = 4 are from quadrature of the transfer matrix. Tolerances are four standard
errors, the seeds fixed.
"""

import argparse
import dataclasses
import math

import pytest
import torch

from rgdiff_core.cli import lattice
from rgdiff_core.cli.main import main
from rgdiff_core.lattice import HMC, scan
from rgdiff_core.lattice.critical import critical_coupling, critical_mass2
from rgdiff_core.lattice.scaling import ISING, collapse, criticality
from rgdiff_core.lattice.scan import (
    FULL,
    QUICK,
    PhaseScan,
    ScanPoint,
    ScanSpec,
    phase_scan,
    scan_around,
)
from rgdiff_core.statistics import Estimate

SMALL = ScanSpec(low=6.975, high=8.0, points=2, sizes=(4,), length=20, thermalization=40)
EXACT = {6.975: (0.934973, 0.294358, 0.1673918), 8.0: (0.6839676, 0.234675, 0.1477462)}

# Nine million configurations by Metropolis and Wolff: L = 6, m² = -4, λ = 6.975.
LONG_RUN = {
    "susceptibility": (1.06231, 0.0007),
    "connected_susceptibility": (0.34201, 0.0002),
    "abs_magnetization": (0.14145, 0.00005),
    "binder": (0.19217, 0.0003),
    "ratio": (1.48212 / 6, 0.0001),
}

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def small() -> PhaseScan:
    return PhaseScan(SMALL, tuple(phase_scan(SMALL)))


def test_points_agree_with_quadrature(small):
    assert [(point.size, point.coupling) for point in small.points] == [(4, 6.975), (4, 8.0)]
    for point in small.points:
        chi, binder, phi2 = EXACT[point.coupling]
        for found, value in (
            (point.susceptibility, chi),
            (point.binder, binder),
            (point.phi2, phi2),
            (point.exp_delta_h, 1.0),
        ):
            assert 0 < found.error < 0.04 * value
            assert abs(found.value - value) < 4 * found.error
        ratio = point.abs_magnetization.value**2 * 16
        assert point.connected_susceptibility.value == pytest.approx(
            point.susceptibility.value - ratio
        )


def test_a_point_agrees_with_a_long_run():
    spec = dataclasses.replace(SMALL, sizes=(6,), length=40)
    point = next(phase_scan(spec))
    for name, (value, error) in LONG_RUN.items():
        found = getattr(point, name)
        assert 0 < found.error < 0.06 * value
        assert abs(found.value - value) < 4 * math.hypot(found.error, error), name


def test_varying_the_mass_is_the_same_theory():
    # m² = -4 once more, now as the varied coupling at fixed λ.
    spec = dataclasses.replace(SMALL, vary="m2", fixed=8.0, low=-4.0, high=-3.0)
    point = next(phase_scan(spec))
    chi, binder, _ = EXACT[8.0]
    assert abs(point.susceptibility.value - chi) < 4 * point.susceptibility.error
    assert abs(point.binder.value - binder) < 4 * point.binder.error


def test_points_have_noise_of_their_own():
    spec = dataclasses.replace(SMALL, high=6.975 + 1e-9)  # twice the same theory
    one, other = (point.susceptibility for point in phase_scan(spec))
    assert 0.02 < abs(one.deviation(other)) < 4


def test_a_stopped_scan_goes_on_as_if_it_had_not_been(small):
    class Stopped(Exception):
        pass

    seen = []

    def stop(done: int, total: int) -> None:
        seen.append((done, total))
        if done == SMALL.trajectories + 3:
            raise Stopped

    left = []
    with pytest.raises(Stopped):
        for point in phase_scan(SMALL, progress=stop):
            left.append(point)
    assert seen[-1] == (SMALL.trajectories + 3, 2 * SMALL.trajectories)
    assert len(left) == 1
    text = PhaseScan(SMALL, tuple(left)).to_json()
    again = tuple(phase_scan(SMALL, done=PhaseScan.from_json(text).points))

    def measured(points: tuple[ScanPoint, ...]) -> list[ScanPoint]:
        return [dataclasses.replace(point, seconds=0.0) for point in points]

    assert measured(again) == measured(small.points)
    with pytest.raises(ValueError, match="not the first"):
        phase_scan(SMALL, done=small.points[1:])


def test_json_there_and_back(small):
    assert PhaseScan.from_json(small.to_json()) == small
    undefined = dataclasses.replace(small.points[0], ratio=Estimate(math.nan, math.nan, None, "?"))
    text = PhaseScan(SMALL, (undefined,), "rgdiff").to_json()
    back = PhaseScan.from_json(text)
    assert math.isnan(back.points[0].ratio.value) and back.points[0].ratio.warning == "?"
    assert back.command == "rgdiff" and not back.complete and small.complete
    for wrong in (
        "{}",
        "[",
        text.replace("ScanSpec", "HMC"),
        text.replace('"size": 4', '"size": []'),
    ):
        with pytest.raises(ValueError):
            PhaseScan.from_json(wrong)
    for size, says in (
        ("1e999", "size = inf must be a finite number."),
        ("4.5", "size = 4.5 must be a whole number."),
        ("256", r"size = 256.0 is outside \[4, 128\]."),
        ("1" + 400 * "0", "cannot be read."),
    ):
        with pytest.raises(ValueError, match=says):
            PhaseScan.from_json(text.replace('"size": 4', f'"size": {size}', 1))


@pytest.mark.parametrize(
    "change",
    [
        {"vary": "kappa"},
        {"low": 5.0, "high": 4.0},
        {"low": math.nan},
        {"points": 1},
        {"sizes": ()},
        {"sizes": (8, 6)},
        {"sizes": (6, 6)},
        {"sizes": (3,)},
        {"sizes": (256,)},
        {"length": 10},
        {"length": 10**5, "points": 64},
        {"thinning": 0},
        {"seed": -1},
        {"low": -0.5},
    ],
)
def test_nonsense_is_one_sentence(change):
    with pytest.raises(ValueError, match=r"\.$"):
        dataclasses.replace(QUICK, **change)


def test_specs():
    assert ScanSpec.from_json(FULL.to_json()) == FULL
    assert QUICK.couplings[0] == QUICK.low and QUICK.couplings[-1] == QUICK.high
    assert QUICK.published == critical_coupling(-4)
    for spec, centre in (
        (scan_around(-1.0), critical_coupling(-1)),
        (scan_around(2.0, vary="m2", width=0.1), critical_mass2(2)),
    ):
        assert 0.5 * (spec.low + spec.high) == pytest.approx(centre)
    assert spec.high - spec.low == pytest.approx(0.2 * abs(centre))
    with pytest.raises(ValueError, match="m2 = 1"):
        scan_around(1.0)


G_C, SHIFT = 4.2, 0.5


def invented(error: float, seed: int, sizes: tuple[int, ...] = (6, 8, 12, 16)) -> PhaseScan:
    """Return a scan of curves that scale exactly, but for a correction of order L^{-7/4}."""
    spec = dataclasses.replace(QUICK, low=3.8, high=4.7, points=13, sizes=sizes)
    generator = torch.Generator().manual_seed(seed)
    one = Estimate(1.0, 0.1)

    def measured(value: float) -> Estimate:
        noise = float(torch.randn((), generator=generator, dtype=torch.float64))
        return Estimate(value * (1 + error * noise), error * value)

    points = []
    for size in sizes:
        for g in spec.couplings:
            x = (g - G_C) / G_C * size
            binder = 2 / 3 / (1 + math.exp(0.9 * x - 2.3)) - SHIFT * size**-1.75
            ratio = 0.905 * math.exp(-0.4 * x + 0.02 * x * x) - SHIFT * size**-1.75
            chi = size**1.75 * 1.1 * math.exp(-0.5 * x)
            m = size**-0.125 * math.exp(-0.25 * x)
            points.append(
                ScanPoint(
                    size, g, measured(m), measured(chi), one, measured(binder), one,
                    measured(ratio), 0.8, one, 1.0,
                )
            )  # fmt: skip
    return PhaseScan(spec, tuple(points))


def test_crossings_of_exact_curves_are_where_the_correction_puts_them():
    found = criticality(invented(1e-7, 0))
    assert found.coupling.value == pytest.approx(G_C, abs=3e-3)
    first = {each.sizes: each for each in found.crossings if each.quantity == "binder"}
    # To first order: u (L₁^-ω - L₂^-ω)/(U'(L₂ - L₁)), with U' of this curve at its middle.
    slope = -2 / 3 * 0.9 * math.exp(-2.3) / (1 + math.exp(-2.3)) ** 2
    expected = -SHIFT * (12**-1.75 - 16**-1.75) / 4 / slope * G_C
    assert first[12, 16].coupling.value - G_C == pytest.approx(expected, rel=0.25)
    assert found.published == critical_coupling(-4)


def test_errors_of_the_critical_coupling_cover_it():
    pulls = []
    for seed in range(24):
        found = criticality(invented(0.01, seed), draws=100)
        assert 0.001 < found.coupling.error < 0.1
        pulls.append((found.coupling.value - G_C) / found.error)
    # χ² of 24 degrees of freedom is outside these bounds once in ten thousand, on either side.
    assert 0.28 < sum(pull**2 for pull in pulls) / 24 < 2.4


def test_more_precise_points_give_more_precise_crossings():
    errors = [criticality(invented(e, 1)).coupling.error for e in (0.02, 0.005)]
    # Four times, but for the degree of the polynomials, which grows with precision.
    assert 2.5 < errors[0] / errors[1] < 7


def test_curves_that_do_not_cross_say_so():
    whole = invented(0.01, 3)
    spec = dataclasses.replace(whole.spec, low=4.55, high=4.7, points=4)
    kept = [p for p in whole.points if p.coupling > 4.46]
    moved = [
        dataclasses.replace(p, coupling=g)
        for size in spec.sizes
        for p, g in zip([p for p in kept if p.size == size], spec.couplings, strict=True)
    ]
    found = criticality(PhaseScan(spec, tuple(moved)))
    assert math.isnan(found.coupling.value) and found.coupling.warning
    with pytest.raises(ValueError, match="four points"):
        criticality(dataclasses.replace(whole, points=whole.points[:15]))


def test_collapse():
    whole = invented(1e-9, 4)
    for quantity, value in (("abs_magnetization", 1.0), ("susceptibility", 1.1)):
        curves = collapse(whole, quantity, G_C)
        assert [curve.size for curve in curves] == [6, 8, 12, 16]
        for curve in curves:
            rate = 0.25 if quantity == "abs_magnetization" else 0.5
            for x, y in zip(curve.x, curve.y, strict=True):
                assert y == pytest.approx(value * math.exp(-rate * x))
    mean_field = dataclasses.replace(ISING, nu=0.5)
    ends = {curve.x[-1] / curve.size**2 for curve in collapse(whole, "binder", G_C, mean_field)}
    assert max(ends) == pytest.approx(min(ends))
    with pytest.raises(ValueError, match="quantity"):
        collapse(whole, "phi2", G_C)
    with pytest.raises(ValueError, match="critical"):
        collapse(whole, "binder", 0.0)


def test_the_command_writes_resumes_and_refuses(tmp_path, capsys, monkeypatch):
    out = tmp_path / "scan.json"
    options = {"points": "4", "sizes": "4,8", "length": "20", "thermalization": "20"}
    words = ["lattice", "scan", *(f"--{k}={v}" for k, v in options.items()), "--out"]
    assert main([*words, str(out)]) == 0
    told = capsys.readouterr().out
    assert "λ_c = " in told and "from the literature: 4.23" in told
    text = out.read_text(encoding="utf-8")
    written = PhaseScan.from_json(text)
    assert written.complete and '"criticality"' in text
    assert written.command.startswith("rgdiff lattice scan") and str(tmp_path) not in text

    part = dataclasses.replace(written, points=written.points[:6])
    out.write_text(part.to_json(), encoding="utf-8")
    calls = []
    whole = scan._measure
    monkeypatch.setattr(scan, "_measure", lambda *a: calls.append(a[1:3]) or whole(*a))
    assert main([*words, str(out), "--json"]) == 0
    assert len(calls) == 2
    again = PhaseScan.from_json(out.read_text(encoding="utf-8"))
    assert [p.binder for p in again.points] == [p.binder for p in written.points]

    assert main([*words, str(out), "--seed", "1"]) == 1
    assert "another scan" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ("--sizes=4 --points=3", "of the sizes (4,) have four points or more"),
        ("--sizes=4,6 --points=4 --low=9 --high=10", "do not cross in the range"),
    ],
)
def test_a_scan_without_a_critical_coupling_is_written_all_the_same(
    options, says, tmp_path, capsys
):
    out = tmp_path / "scan.json"
    words = ["lattice", "scan", *options.split(), "--length=20", "--thermalization=20"]
    assert main([*words, "--out", str(out)]) == 0
    told = capsys.readouterr().out
    assert "no critical coupling: " in told and says in told and "nan" not in told
    assert PhaseScan.from_json(out.read_text(encoding="utf-8")).complete


def test_the_command_s_options():
    parser = argparse.ArgumentParser()
    lattice.scan_options(parser)

    def spec(text: str) -> ScanSpec:
        return lattice._spec(parser.parse_args(text.split()))

    assert spec("") == QUICK and spec("--preset full") == FULL
    assert spec("--fixed -1") == scan_around(-1.0)
    assert spec("--vary m2 --fixed 1 --width 0.1") == scan_around(1.0, vary="m2", width=0.1)
    given = spec("--low 4 --high 5 --sizes 8,16 --length 30")
    assert (given.low, given.high, given.sizes, given.length) == (4, 5, (8, 16), 30)
    for wrong in ("--low 4", "--sizes 8,x", "--fixed 3"):
        with pytest.raises(ValueError, match=r"\.$"):
            spec(wrong)
    assert HMC(target_acceptance=0.8, cluster=1) == QUICK.settings
