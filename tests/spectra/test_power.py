"""Power spectra against Parseval and known powers, fits against known laws, information."""

import math

import numpy as np
import pytest
import torch
from laws import BASES, dense, fields, name_of
from scipy.stats import kstest
from torch import Tensor

from rgdiff_core import Modes, Process, colors, schedules
from rgdiff_core.bases import FourierBasis
from rgdiff_core.bases.moments import component_covariance
from rgdiff_core.spectra import fits
from rgdiff_core.spectra import power as spectra_power
from rgdiff_core.statistics import Estimate


def draw(power: Tensor, n: int, seed: int) -> Tensor:
    """Draw n Gaussian fields (n, 1, H, W) whose power at every momentum is known, (1, H, W)."""
    eps = torch.randn(n, *power.shape, generator=torch.Generator().manual_seed(seed)).double()
    return FourierBasis(tuple(power.shape)).synthesize(power.sqrt() * eps)


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 5, 8), (2, 32, 32), (1, 1, 6), (1, 1, 1)])
@pytest.mark.parametrize("bins", [None, 1, 5, 100])
@pytest.mark.parametrize("momentum", ["continuum", "lattice"])
def test_parseval(shape, bins, momentum):
    x = fields(shape, 7)
    spectrum = spectra_power.power_spectrum(x, bins, momentum=momentum)
    count = spectrum.count.double()
    assert int(count.sum()) == shape[1] * shape[2] and (count > 0).all()
    total = (spectrum.power * count).sum() / count.sum()
    torch.testing.assert_close(total, x.square().mean())
    torch.testing.assert_close(
        spectrum.power[0], x.mean((-2, -1)).square().mean() * math.prod(shape[1:])
    )
    assert spectrum.scale[0] == 0 and spectrum.count[0] == 1
    assert (spectrum.momentum.diff() > 0).all() and float(spectrum.scale.max()) <= 1


def test_the_power_at_each_momentum_is_numpys():
    """A shell per momentum: the power is the mean of |fft2|² over the modes of that |k|."""
    x = fields((2, 6, 6), 9)
    spectrum = spectra_power.power_spectrum(x, 512)
    power = np.abs(np.fft.fft2(x.numpy(), norm="ortho")) ** 2
    n = np.fft.fftfreq(6) * 6
    square = np.rint(n[:, None] ** 2 + n**2).astype(int)
    values = np.unique(square)
    expected = [power[..., square == v].mean() for v in values]
    np.testing.assert_allclose(spectrum.power, expected)
    np.testing.assert_allclose(spectrum.momentum, np.sqrt(values) * 2 * math.pi / 6, rtol=1e-6)
    error = [power[..., square == v].mean((1, 2)).std(ddof=1) / 3 for v in values]
    np.testing.assert_allclose(spectrum.error, error)


def test_white_noise_is_flat_within_its_errors():
    z = []
    for seed in range(20):
        spectrum = spectra_power.power_spectrum(draw(torch.full((1, 16, 16), 2.0), 200, seed))
        z.append((spectrum.power - 2.0) / spectrum.error)
    z = torch.stack(z).flatten()
    assert float(z.abs().max()) < 5.5 and float(z.square().mean()) == pytest.approx(1, abs=0.3)


def test_a_single_image_has_power_and_no_error():
    spectrum = spectra_power.power_spectrum(fields((1, 8, 8), 1))
    assert torch.isfinite(spectrum.power).all() and torch.isnan(spectrum.error).all()
    with pytest.raises(ValueError, match="at least 3 shells"):
        fits.fit_power_law(spectrum)


def test_a_spectrum_that_does_not_fall_has_no_mass():
    """A/(k² + m²) comes ever closer to what rises with k as A and m² grow."""
    k = FourierBasis((1, 16, 16)).double().momentum
    spectrum = spectra_power.power_spectrum(draw(1 + 0.1 * k, 300, 0))
    with pytest.raises(ValueError, match="does not fall with k"):
        fits.fit_free_theory(spectrum)
    assert fits.fit_power_law(spectrum).exponent.value < 0


def pulls(
    fit, names: tuple[str, ...], power: Tensor, truth: tuple[float, ...], **options
) -> Tensor:
    """Return (estimate − truth)/error over 80 data sets of 300 images, (80, parameters)."""
    rows = []
    for seed in range(80):
        result = fit(spectra_power.power_spectrum(draw(power, 300, seed), **options))
        estimates = [getattr(result, name) for name in names]
        rows.append([(e.value - v) / e.error for e, v in zip(estimates, truth, strict=True)])
        assert 0.2 < result.chi2 < 4
    return torch.tensor(rows, dtype=torch.float64)


def check_coverage(z: Tensor) -> None:
    """The pulls' mean and spread are those of a standard normal, within 4 standard errors."""
    n = len(z)
    assert (z.mean(0).abs() < 4 / n**0.5).all(), z.mean(0)
    assert ((z.std(0) - 1).abs() < 4 / (2 * n) ** 0.5).all(), z.std(0)
    for column in z.T:
        assert kstest(column.numpy(), "norm").pvalue > 1e-4


@pytest.mark.parametrize("exponent", [1.0, 2.0, 3.0])
def test_a_known_power_law_is_recovered_within_errors(exponent):
    k = FourierBasis((1, 32, 32)).double().momentum
    k[0, 0, 0] = 1
    names = ("amplitude", "exponent")
    z = pulls(fits.fit_power_law, names, 0.7 * k**-exponent, (0.7, exponent))
    check_coverage(z)


@pytest.mark.parametrize("mass2", [0.1, 1.0])
def test_free_fields_mass_is_recovered_within_errors(mass2):
    k = FourierBasis((1, 32, 32), "lattice").double().momentum
    power = 0.5 / (k**2 + mass2)
    names = ("amplitude", "mass2")
    check_coverage(pulls(fits.fit_free_theory, names, power, (0.5, mass2), momentum="lattice"))


def test_fits_give_back_exact_spectra():
    k = FourierBasis((1, 16, 16)).double().momentum
    flat = spectra_power.power_spectrum(draw(torch.ones(1, 16, 16), 50, 0), 512)
    steep = type(flat)(**{**vars(flat), "power": 3 * flat.momentum**-1.7})
    law = fits.fit_power_law(steep)
    assert law.exponent.value == pytest.approx(1.7) and law.amplitude.value == pytest.approx(3)
    torch.testing.assert_close(law.power(k[k > 0]), 3 * k[k > 0] ** -1.7, rtol=1e-5, atol=0)
    free = type(flat)(**{**vars(flat), "power": 3 / (flat.momentum**2 + 0.4)})
    fit = fits.fit_free_theory(free)
    assert fit.mass2.value == pytest.approx(0.4, rel=1e-3)
    torch.testing.assert_close(fit.power(k), 3 / (k**2 + 0.4), rtol=1e-3, atol=0)


def test_errors_of_fits_hold_where_the_shells_of_an_image_are_correlated():
    """Each image has an exponent of its own, as photographs have, and no power law fits, so that
    what is fitted depends on the shells' weights, which are from the same images.
    """
    k = FourierBasis((1, 16, 16)).double().momentum
    k[0, 0, 0] = 1
    bend = (k / 1.2).clamp_min(1) ** -2
    values, stated, independent = [], [], []
    for seed in range(60):
        generator = torch.Generator().manual_seed(seed)
        own = torch.randn(100, 1, 1, 1, generator=generator, dtype=torch.float64)
        amplitude = bend * k ** -(1 + 0.4 * own)
        noise = torch.randn(100, 1, 16, 16, generator=generator, dtype=torch.float64)
        basis = FourierBasis((1, 16, 16)).double()
        spectrum = spectra_power.power_spectrum(basis.synthesize(amplitude * noise))
        exponent = fits.fit_power_law(spectrum).exponent
        values.append(exponent.value)
        stated.append(exponent.error)
        without = type(spectrum)(**{**vars(spectrum), "samples": None})
        independent.append(fits.fit_power_law(without).exponent.error)
    scatter = float(torch.tensor(values).std())
    ratio = scatter / float(torch.tensor(stated).mean())
    assert abs(ratio - 1) < 4 / (2 * 59) ** 0.5
    assert scatter > 1.4 * float(torch.tensor(independent).mean())


def test_images_that_are_alike_do_not_break_the_errors_of_fits():
    """Without the third of three images, the others, which are equal, have no scatter."""
    k = FourierBasis((1, 16, 16)).double().momentum
    k[0, 0, 0] = 1
    x = draw(k**-1.0, 2, 0)
    exponent = fits.fit_power_law(spectra_power.power_spectrum(x[[0, 0, 1]])).exponent
    assert math.isfinite(exponent.error) and exponent.error > 0


def test_a_fit_uses_the_shells_of_its_range():
    x = draw(torch.ones(1, 16, 16), 50, 0)
    spectrum = spectra_power.power_spectrum(x, 512)
    inside = spectrum.between(1.0, 2.0)
    assert float(inside.momentum.min()) >= 1 and float(inside.momentum.max()) <= 2
    assert inside.samples is not None and inside.samples.shape == (50, len(inside.power))
    steep = torch.where(spectrum.momentum < 1.5, 3 * spectrum.momentum**-1.7, spectrum.power)
    bent = type(spectrum)(**{**vars(spectrum), "power": steep})
    assert fits.fit_power_law(bent.between(0.1, 1.49)).exponent.value == pytest.approx(1.7)


@pytest.mark.parametrize("exponent", [2.0, 3.0])
def test_a_free_theory_fit_to_a_massless_spectrum_stops_at_zero(exponent):
    k = FourierBasis((1, 16, 16)).double().momentum
    k[0, 0, 0] = 1
    fit = fits.fit_free_theory(spectra_power.power_spectrum(draw(k**-exponent, 100, 0)))
    assert 0 <= fit.mass2.value < 0.02
    assert math.isfinite(fit.mass2.error) and math.isfinite(fit.amplitude.error)


def made(name: str, schedule: schedules.Schedule) -> Process:
    shape = (2, 4, 4)
    basis = BASES[name](shape)
    modes = Modes.fit(basis, fields(shape, 60))
    return Process(basis, colors.FreeTheory(), schedule, modes).double()


@pytest.mark.parametrize("name", ["pixel", "fourier", "haar", "pca, decorrelated"])
@pytest.mark.parametrize(
    "schedule",
    [schedules.Cutoff(), schedules.EDM(), schedules.Polchinski(duration=0.3)],
    ids=name_of,
)
def test_information_is_that_of_the_dense_gaussian_channel(name, schedule):
    """I(φ(0); φ(t)) = ½ log₂ det(ΛΣΛ + N)/det N, with dense matrices in field space."""
    process = made(name, schedule)
    u = dense(process.basis).T
    for t in (0.1, 0.5, 0.9):
        marginal = process.marginal(t)
        shape = process.basis.shape
        signal = (marginal.alpha**2 * process.modes.variance).flatten()
        noise = (marginal.std**2).expand(shape).flatten()
        total, rest = (u @ torch.diag(d) @ u.T for d in (signal + noise, noise))
        bits = (torch.linalg.slogdet(total)[1] - torch.linalg.slogdet(rest)[1]) / 2 / math.log(2)
        torch.testing.assert_close(
            spectra_power.information_left(process, t), bits, rtol=1e-6, atol=1e-9
        )
        ratio = torch.log(signal / noise).reshape(shape)
        torch.testing.assert_close(
            spectra_power.data_log_snr(process, t), ratio, rtol=1e-8, atol=1e-8
        )


def test_information_never_grows():
    process = made("fourier", schedules.Cutoff())
    t = torch.linspace(0, 1, 101, dtype=torch.float64)
    left = spectra_power.information_left(process, t)
    assert left.shape == (101,) and (left.diff() <= 0).all()
    assert float(spectra_power.information(torch.tensor(-200.0))) == pytest.approx(0, abs=1e-30)
    assert float(spectra_power.information(torch.tensor(2000.0))) == pytest.approx(
        1000 / math.log(2)
    )


def test_what_does_not_fit_is_one_sentence():
    x = fields((1, 8, 8), 3)
    for match, call in (
        (r"bins = 0 is outside \[1, 512\]", lambda: spectra_power.power_spectrum(x, 0)),
        ("must have shape", lambda: spectra_power.power_spectrum(x[0])),
        ("NaN", lambda: spectra_power.power_spectrum(x * math.nan)),
        ("momentum = 'k'", lambda: spectra_power.power_spectrum(x, momentum="k")),
        (
            "at least 3 shells",
            lambda: fits.fit_free_theory(spectra_power.power_spectrum(x[..., :1, :2])),
        ),
        (
            "needs the data's variance",
            lambda: spectra_power.information_left(
                Process(FourierBasis((1, 4, 4)), colors.White(), schedules.Cutoff()), 0.5
            ),
        ),
    ):
        with pytest.raises(ValueError, match=match) as caught:
            call()
        assert str(caught.value).endswith(".")


@pytest.mark.parametrize("symmetries", ["none", "lattice"])
def test_information_left_does_not_depend_on_the_basis(symmetries):
    """One process, white noise, written in six bases, against a determinant in pixels by NumPy."""
    shape, t = (1, 8, 8), torch.tensor([0.05, 0.4])
    x = fields(shape, 300)
    left, bounds = [], []
    for name in ("pixel", "haar", "cosine", "fourier", "pca"):
        basis = BASES[name](shape).double()
        modes = Modes.fit(basis, x, symmetries=symmetries)
        process = Process(basis, colors.White(normalize=False), schedules.Cosine(), modes)
        covariance = component_covariance(basis, x, symmetries)
        left.append(spectra_power.information_left(process, t, covariance=covariance))
        diagonal = Modes(modes.scale, modes.mean, covariance.diag().reshape(shape))
        bounds.append(spectra_power.information_left(process, t, diagonal))
    for bits in left:
        torch.testing.assert_close(bits, left[0], rtol=1e-6, atol=1e-9)
    level = schedules.Cosine().level(t.double(), Modes(torch.zeros(shape).double()))
    matrix = component_covariance(BASES["pixel"](shape), x, symmetries).numpy()
    for bits, snr in zip(left[0], level.snr[:, 0, 0, 0], strict=True):
        eigenvalues = np.linalg.eigvalsh(matrix)
        assert float(bits) == pytest.approx(np.log2(1 + float(snr) * eigenvalues).sum() / 2)
    assert all((bound >= left[0] * (1 - 1e-9)).all() for bound in bounds)
    assert (bounds[0] > 1.05 * left[0]).all()  # pixels, of correlated fields
    if symmetries == "lattice":  # where Fourier modes are uncorrelated
        torch.testing.assert_close(bounds[3], left[0], rtol=1e-6, atol=1e-9)


def test_a_covariance_that_does_not_fit_is_one_sentence():
    basis = BASES["fourier"]((1, 4, 4)).double()
    x = fields((1, 4, 4), 20)
    process = Process(basis, colors.White(), schedules.Cosine(), Modes.fit(basis, x))
    with pytest.raises(ValueError, match=r"shape \(3, 3\), not \(16, 16\)"):
        spectra_power.information_left(process, 0.5, covariance=torch.eye(3))
    with pytest.raises(ValueError, match="5 images are too few"):
        component_covariance(basis, x[:5])
    with pytest.raises(ValueError, match="6400 components"):
        component_covariance(BASES["pixel"]((1, 80, 80)), fields((1, 80, 80), 2))


def test_errors_over_chains_are_those_of_estimates():
    x = fields((1, 6, 6), 12)
    spectrum = spectra_power.power_spectrum(x)
    assert spectrum.samples is not None
    found = spectrum.over_chains(4)
    chains = torch.arange(12) // 3
    errors = [Estimate.of(shell, chains).error for shell in spectrum.samples.T]
    torch.testing.assert_close(found.error, torch.tensor(errors, dtype=torch.float64))
    torch.testing.assert_close(found.power, spectrum.power)
    torch.testing.assert_close(spectrum.over_chains(12).error, spectrum.error)
    for n_chains in (1, 5):
        with pytest.raises(ValueError, match=f"12 images are not {n_chains} chains"):
            spectrum.over_chains(n_chains)
