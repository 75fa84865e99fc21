"""Σ(k; L) on other lattices: of the free field exactly, of φ⁴ against hybrid Monte Carlo."""

import math

import pytest
import torch
from gaussians import generator

from rgdiff_core.bases import FourierBasis
from rgdiff_core.bases.modes import MeasuredModes, Modes
from rgdiff_core.lattice import HMC, Phi4
from rgdiff_core.lattice.sizes import extrapolated, measured

CRITICAL = Phi4(-4.0, 4.2606)
# Σ(n) on 16×16 at the critical coupling: 7,500 fields of `phi4-16x16-critical`, 750 chains
REFERENCE = {
    (0, 0): (38.06, 0.28),
    (1, 0): (1.383, 0.026),
    (1, 1): (0.839, 0.012),
    (2, 0): (0.494, 0.0053),
    (4, 0): (0.1835, 0.0016),
    (8, 8): (0.0535, 0.0008),
}


def free(side: int, m2: float, error: float = 1e-3) -> MeasuredModes:
    basis = FourierBasis((1, side, side), "lattice")
    variance = 1 / (2 * (basis.momentum**2 + m2))
    modes = Modes(basis.scale, torch.zeros_like(variance), variance, basis.momentum)
    return MeasuredModes(modes, torch.full_like(variance, error))


@pytest.fixture(scope="module")
def small() -> list[MeasuredModes]:
    """Return modes of small critical lattices, from short runs."""
    torch.set_num_threads(1)
    settings = HMC(cluster=1)
    return [measured(CRITICAL, L, 2048, generator(L), settings=settings) for L in (6, 8, 12)]


@pytest.mark.parametrize("size", [16, 20, 24])
def test_the_free_field_is_predicted_exactly(size):
    """1/Σ is linear in k̂_x² + k̂_y², and long waves do not know of the size where ξ ≪ L."""
    heavy = extrapolated([free(8, 2.0), free(12, 2.0)], size, exponent=0.0).modes.variance
    exact = free(size, 2.0).modes.variance
    assert heavy is not None and exact is not None
    wave = torch.fft.fftfreq(size, 1 / size).abs()
    short = torch.maximum(wave[:, None], wave) >= size / 12
    torch.testing.assert_close(heavy[0, short], exact[0, short], atol=0, rtol=1e-5)
    torch.testing.assert_close(heavy[0, 0, 0], exact[0, 0, 0], atol=0, rtol=1e-5)


def test_the_massless_spectrum_grows_by_its_exponent():
    """At m² = 0, Σ(n; L) = 1/(2k̂²) grows like L² at every long wave n but 0, by measurement."""
    known = [free(side, 1e-9) for side in (8, 12, 16)]
    found = extrapolated(known, 32).modes.variance
    exact = free(32, 1e-9).modes.variance
    assert found is not None and exact is not None
    ratio = (found / exact)[0, :2, :2].flatten()[1:]
    assert ((ratio - 1).abs() < 0.02).all()  # k̂ is not k: at 2π/8 by 2.5 %


@pytest.mark.parametrize("way", ["run", "two exponents", "exponents measured"])
def test_sixteen_sites_agree_with_a_long_run_within_the_errors_that_are_given(way, small):
    found = {
        "run": lambda: measured(CRITICAL, 16, 1024, generator(), settings=HMC(cluster=1)),
        "two exponents": lambda: extrapolated(small, 16, 7 / 4),
        "exponents measured": lambda: extrapolated(small, 16),
    }[way]()
    assert found.modes.variance is not None
    for place, (value, error) in REFERENCE.items():
        own, relative = (float(x[0][place]) for x in (found.modes.variance, found.error))
        assert 0 < relative < 0.2
        assert abs(own - value) < 4 * ((own * relative) ** 2 + error**2) ** 0.5, place


def test_errors_are_those_of_independent_fields():
    """Gaussian fields: the error of log Σ on an orbit of d components is √(2/(nd))."""
    n, basis = 4096, FourierBasis((1, 8, 8))
    fields = torch.randn(n, 1, 8, 8, generator=generator())
    found = MeasuredModes.fit(basis, fields, 64)
    for place, orbit in (((0, 0), 1), ((1, 0), 4), ((2, 1), 8)):
        expected = (2 / (n * orbit)) ** 0.5
        assert abs(float(found.error[0][place]) / expected - 1) < 4 / 128**0.5


def test_errors_of_few_fields_are_not_too_small():
    """Of 8 fields a group, too few for their own variances, in two independent rounds."""
    basis = FourierBasis((1, 32, 32))
    found = []
    for seed in range(24):
        fields = torch.randn(128, 1, 32, 32, generator=generator(seed))
        measured = MeasuredModes.fit(basis, fields, 16)
        assert measured.modes.variance is not None
        found.append((measured.modes.variance.log(), measured.error.square()))
    logs, errors = (torch.stack(each) for each in zip(*found, strict=True))
    changes = (logs[::2] - logs[1::2]).square() / (errors[::2] + errors[1::2])
    orbits = 12 * 32**2 / 8
    assert abs(float(changes.mean()) * 28 / 30 - 1) < 4 * (2 / orbits) ** 0.5


@pytest.mark.parametrize(
    ("known", "size", "exponent", "match"),
    [
        ((8, 12), 16, None, "2 lattices are too few"),
        ((8,), 16, 1.75, "1 lattices are too few"),
        ((8, 12), 12, 1.75, "must rise"),
        ((12, 8), 16, 1.75, "must rise"),
        ((8, 12), 16, 2.5, "exponent = 2.5"),
        ((4, 6, 8), 64, None, "outside"),
        ((8, 12), 512, 1.75, "outside"),
        ((4, 6), 64, 1.75, "up to n = 3, and those up to n = 10"),
        ((4, 6, 64), 70, None, "up to n = 2, and those up to n = 10"),
    ],
)
def test_what_cannot_be_predicted_is_refused(known, size, exponent, match):
    with pytest.raises(ValueError, match=match):
        extrapolated([free(side, 0.5) for side in known], size, exponent)


@pytest.mark.parametrize("size", [16, 18, 64])
def test_the_error_of_an_exponent_grows_with_the_step(size):
    """Σ(n; L) = L²g(n) by another exponent: long waves miss log(L/L₂) times the difference."""

    def power_law(side: int) -> MeasuredModes:
        basis = FourierBasis((1, side, side), "lattice")
        n = side * torch.fft.fftfreq(side)
        variance = (side**2 / (1 + n[:, None] ** 2 + n**2))[None]
        modes = Modes(basis.scale, torch.zeros_like(variance), variance, basis.momentum)
        return MeasuredModes(modes, torch.full_like(variance, 1e-6))

    found = extrapolated([power_law(8), power_law(12)], size, 1.75)
    exact = power_law(size).modes.variance
    assert found.modes.variance is not None and exact is not None
    missed = (exact / found.modes.variance).log()[0, 0, 0]
    torch.testing.assert_close(missed, torch.tensor(0.25 * math.log(size / 12)))
    torch.testing.assert_close(found.error[0, 0, 0], missed)


def test_modes_that_are_not_square_are_refused():
    wide = free(8, 0.5)
    part = Modes(*(x[:, :4] for x in (wide.modes.scale, wide.modes.mean, wide.modes.variance)))  # type: ignore[index, arg-type]
    with pytest.raises(ValueError, match="not those of a square lattice"):
        extrapolated([MeasuredModes(part, wide.error[:, :4]), wide], 16, 0.0)


def test_too_few_configurations_are_refused():
    with pytest.raises(ValueError, match="n = 31"):
        measured(CRITICAL, 8, 31)
