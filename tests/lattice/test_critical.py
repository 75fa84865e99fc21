"""The critical line: identities, limits, published points."""

import math

import numpy as np
import pytest

from rgdiff_core import data
from rgdiff_core.data import sets
from rgdiff_core.lattice import Phi4
from rgdiff_core.lattice.critical import (
    LITERATURE,
    MAX_LAM,
    MIN_M2,
    POINTS,
    critical_coupling,
    critical_mass2,
    distance,
    phase,
)


def tadpole(mass2: float, size: int = 1500) -> float:
    """Return the mean of 1/(k̂² + μ²) over the momenta of a large lattice."""
    k2 = 4 * np.sin(np.pi * np.arange(size) / size) ** 2
    return float((1 / (k2[:, None] + k2 + mass2)).mean())


def test_the_continuum_limit_has_the_published_ratio():
    # Dürr & Kiel, arXiv:2512.16536: λ/μ² = 11.1097(22), with μ² = m² + 3λ A(μ²). The logarithm
    # λ log λ at λ = 10⁻³ moves f by 10⁻³ of itself, and m² by a tenth of that.
    lam = 1e-3
    mass2 = lam / 11.1097
    assert critical_mass2(lam) == pytest.approx(mass2 - 3 * lam * tadpole(mass2), rel=3e-4)
    # Bare numbers vanish together, with the logarithm of the tadpole (1/4π) log(32/μ²).
    logarithm = -3 * lam / (4 * math.pi) * math.log(32 / mass2)
    assert critical_mass2(lam) == pytest.approx(logarithm + mass2, rel=5e-4)


def test_the_line_goes_through_its_points():
    for point in POINTS:
        if point.used:
            assert critical_mass2(point.lam) == pytest.approx(point.m2, abs=1e-9)


@pytest.mark.parametrize("point", [p for p in POINTS if not p.used], ids=lambda p: p.source[:9])
def test_published_points_that_it_does_not_use_are_on_it(point):
    # Three standard errors; those of two digits are uniform within the error.
    assert abs(critical_mass2(point.lam) - point.m2) < 3 * point.error


@pytest.mark.parametrize("lam", [0.001, 0.05, 0.3, 0.99, 1.01, 4.2, 8.6, 30, 60])
def test_coupling_and_mass_are_inverse(lam):
    m2 = critical_mass2(lam)
    assert m2 < 0
    assert critical_coupling(max(m2, MIN_M2)) == pytest.approx(
        lam, rel=2e-3 if lam == 60 else 1e-9
    )


def test_the_line_falls_without_kinks():
    lams = np.geomspace(1e-4, MAX_LAM, 3000)
    m2 = np.array([critical_mass2(lam) for lam in lams])
    slope = np.diff(m2) / np.diff(lams)
    # From the logarithm at λ → 0 to κ_c²/… : in between it is near -0.8.
    assert (slope < -0.4).all()
    assert np.abs(np.diff(np.log(-slope))).max() < 0.02


def test_the_ising_limit_is_ahead():
    # κ_c → ¼ log(1 + √2) for λ_κ → ∞, from above: at the end of the line λ_κ = 4.
    end = Phi4(critical_mass2(MAX_LAM), MAX_LAM).to_hopping()
    ising = 0.25 * math.log(1 + math.sqrt(2))
    assert ising < end.kappa < Phi4(critical_mass2(20), 20).to_hopping().kappa


def test_out_of_range_is_one_sentence():
    assert critical_mass2(0) == critical_coupling(0) == 0
    for call in (
        lambda: critical_mass2(-0.1),
        lambda: critical_mass2(MAX_LAM + 1),
        lambda: critical_mass2(math.nan),
        lambda: critical_coupling(0.1),
        lambda: critical_coupling(MIN_M2 - 1),
        lambda: phase(Phi4(-1, MAX_LAM + 1)),
    ):
        with pytest.raises(ValueError, match=r"^\w+ = .*\.$"):
            call()


def test_phases():
    assert phase(Phi4(1, 0)) == phase(Phi4(0, 1e3)) == "symmetric"
    for lam in (0.1, 4.0, 4.5, 50.0):
        assert phase(Phi4(-4, lam)) == ("broken" if lam < 4.2 else "symmetric")
        assert (distance(Phi4(-4, lam)) < 0) == (lam < 4.2)


def test_named_theories_are_where_their_papers_have_them():
    # All five of Albergo et al. in the symmetric phase; of κ = 0.21 and 0.27 at λ = 0.022 the
    # second just below κ_c = 0.27088.
    named = {each.name: each for each in LITERATURE}
    assert all(phase(named[f"E{n}"].action) == "symmetric" for n in range(1, 6))
    assert 0 < distance(named["κ = 0.27"].action) < 0.03 < distance(named["κ = 0.21"].action)
    assert phase(named["phi4-6x6-broken"].action) == "broken"
    for each in LITERATURE:
        if each.name in sets.SETS:
            assert data.action_of(each.name) == each.action
            assert sets.SETS[each.name].shape[-1] == each.size


INNER = [point for point in POINTS if point.used and point.m2 - point.error > MIN_M2]


@pytest.mark.parametrize("point", INNER, ids=lambda p: f"{p.lam:.3g}")
def test_the_error_of_a_points_coupling_is_that_of_the_inverse(point):
    high, low = (critical_coupling(point.m2 + off) for off in (-point.error, point.error))
    assert point.lam_error == pytest.approx((high - low) / 2, rel=0.02)
