"""The distribution of M: of fields as they are, and of noised ones, against exact and sampled."""

import pytest
import torch

import rgdiff_core as rg
from rgdiff_core.bases.spec import BasisSpec
from rgdiff_core.evaluation import (
    magnetization,
    magnetization_histogram,
    magnetization_limit,
    noised_magnetization,
)
from rgdiff_core.lattice import FreeField, Phi4

pytestmark = pytest.mark.usefixtures("one_thread")

FREE = FreeField(0.5, 4)
FIELDS = FREE.sample(2000, torch.Generator().manual_seed(1))
WELLS = FIELDS + torch.where(torch.arange(2000) % 2 == 0, 1.5, -1.5)[:, None, None, None]


def process(name: str, color: rg.colors.Color | None = None) -> rg.Process:
    basis = BasisSpec(name).build(FIELDS)
    return rg.Process(
        basis,
        color or rg.colors.PowerLaw(1.0) if name != "pixel" else rg.colors.White(),
        rg.schedules.SoftConditioning(-6.0, 4.0, softness=0.5),
        rg.Modes.fit(basis, FIELDS),
    )


def test_a_histogram_counts_and_knows_its_error():
    fields = torch.tensor([-0.9, -0.1, 0.1, 0.2, 5.0])[:, None, None].expand(-1, 2, 2)
    found = magnetization_histogram(fields, 1.0, 4)
    torch.testing.assert_close(found.density, torch.tensor([0.4, 0.4, 0.8, 0]).double())
    torch.testing.assert_close(found.centers, torch.tensor([-0.75, -0.25, 0.25, 0.75]).double())
    torch.testing.assert_close(found.error[2], torch.tensor((0.4 * 0.6 / 5) ** 0.5 / 0.5).double())
    assert (found.error > 0).all()  # an empty bin is no proof


def test_the_axis_holds_the_fields_and_most_of_their_gaussian():
    limit = magnetization_limit(WELLS)
    found = magnetization_histogram(WELLS, limit, 30)
    assert float((found.density * found.edges.diff()).sum()) == pytest.approx(1)
    assert limit > 2 * float(magnetization(WELLS).square().mean().sqrt())


@pytest.mark.parametrize("name", ["fourier", "cosine", "wavelet", "pca", "pixel"])
def test_noised_wells_are_those_of_noised_fields(name: str):
    forward, times = process(name), (0.0, 0.4, 1.0)
    wanted = noised_magnetization(forward, WELLS, times, 3.0, 20)
    for i, t in enumerate(times):
        noised = torch.cat(
            [
                forward.perturb(sign * WELLS, t, generator=torch.Generator().manual_seed(s))
                for s, sign in enumerate((1, -1) * 5)
            ]
        )
        found = magnetization_histogram(noised, 3.0, 20)
        away = (found.density - wanted.density[i]) / found.error
        assert away.abs().max() < 5  # standard errors, of 60 bins


@pytest.mark.parametrize("name", ["fourier", "wavelet"])
def test_without_interaction_it_is_the_gaussian_of_all_fields(name: str):
    forward, times = process(name), (0.0, 0.5, 1.0)
    exact = noised_magnetization(forward, FIELDS, times, 2.0, 20, action=Phi4(0.5, 0.0))
    stored = noised_magnetization(forward, FIELDS, times, 2.0, 20)
    assert (exact.error == 0).all()
    assert ((exact.density - stored.density).abs() / stored.error).max() < 5
    first = torch.distributions.Normal(0.0, (FREE.susceptibility / 16) ** 0.5)
    centers = first.log_prob(exact.centers).exp()
    torch.testing.assert_close(exact.density[0], centers, rtol=0.1, atol=0.01)


def test_two_peaks_become_one():
    forward = process("fourier", rg.colors.Matched())
    found = noised_magnetization(forward, WELLS, (0.0, 1.0), 3.0, 21).density
    assert found[0, 10] < 0.1 * found[0].max()
    assert found[1, 10] == found[1].max()


def test_magnetization_is_the_mean_of_sites():
    torch.testing.assert_close(magnetization(FIELDS), FIELDS.double().mean((1, 2, 3)))


@pytest.mark.parametrize(("limit", "bins"), [(0.0, 24), (1.0, 0)])
def test_a_histogram_of_nothing_is_refused(limit: float, bins: int):
    with pytest.raises(ValueError, match="is outside"):
        magnetization_histogram(FIELDS, limit, bins)
