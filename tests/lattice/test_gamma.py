"""Errors along Markov chains against processes whose autocorrelation is known."""

import math
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from scipy.signal import lfilter

from rgdiff_core.lattice import Phi4, hmc, observables
from rgdiff_core.lattice.gamma import chain_lengths, estimate, means
from rgdiff_core.lattice.hmc import autocorrelation_time
from rgdiff_core.statistics import Estimate

RHO = 0.8
TAU = 0.5 * (1 + RHO) / (1 - RHO)  # 4.5


def autoregressive(chains: int, length: int, seed: int, rho: float = RHO) -> torch.Tensor:
    """Stationary chains of variance 1 with ⟨x_0 x_t⟩ = ρ^t, side by side, (chains · length,)."""
    noise = np.random.default_rng(seed).normal(size=(chains, length))
    noise[:, 1:] *= math.sqrt(1 - rho**2)
    return torch.from_numpy(np.asarray(lfilter([1.0], [1.0, -rho], noise, axis=1)).ravel())


@pytest.fixture(scope="module")
def obs() -> Any:
    """The class of measured quantities of `pyerrors`."""
    with warnings.catch_warnings():
        # It uses a part of SciPy that SciPy means to drop.
        warnings.simplefilter("ignore", DeprecationWarning)
        from pyerrors import Obs
    return Obs


def exact_error(chains: int, length: int, rho: float = RHO) -> float:
    """The standard error of the mean of all chains: a geometric sum."""
    t = np.arange(1, length)
    return math.sqrt((1 + 2 * np.sum((1 - t / length) * rho**t)) / (chains * length))


@pytest.mark.parametrize(("chains", "length"), [(1, 20_000), (8, 2500), (64, 400), (900, 20)])
def test_error_and_autocorrelation_time_of_an_autoregressive_process(chains, length):
    found = means(autoregressive(chains, length, seed=1), chains)[0]
    assert found.warning is None and found.tau_int is not None
    assert abs(found.value) < 4 * found.error
    # The error of the error: of a window of about 25, or of the scatter of 900 chains.
    known_to = 1 / math.sqrt(2 * 899) if length < 90 else math.sqrt(25 / (chains * length))
    assert found.error == pytest.approx(exact_error(chains, length), rel=4 * known_to)
    if length >= 90:
        assert abs(found.tau_int.value - TAU) < 4 * found.tau_int.error
        assert found.tau_int.error < 0.15 * TAU


def test_the_quick_autocorrelation_time_agrees():
    series = autoregressive(8, 2500, seed=2)
    quick = autocorrelation_time(series.view(8, 2500).T)
    thorough = means(series, 8)[0].tau_int
    assert thorough is not None
    assert abs(quick.value - TAU) < 4 * quick.error
    # The same data, so that only the windows differ.
    assert abs(quick.value - thorough.value) < quick.error + thorough.error


def test_chains_of_unequal_length_are_told_apart():
    """Two chains, one about 0 and one about 1, of 101 and 100: no pair crosses the seam."""
    noise = autoregressive(1, 201, seed=3, rho=0.0)
    series = 0.01 * noise
    series[101:] += 1
    assert chain_lengths(201, 2) == [101, 100]
    found = means(series, 2)[0]
    # Constant within each chain, so that τ is as long as chains are, which is said.
    assert found.warning is not None and "20 autocorrelation times" in found.warning
    assert found.tau_int is not None and found.tau_int.value > 20


def test_the_order_of_chains_does_not_matter():
    series = autoregressive(8, 300, seed=12).view(8, 300)
    first = means(series.ravel(), 8)[0]
    second = means(series[[3, 1, 7, 0, 6, 2, 5, 4]].ravel(), 8)[0]
    assert first.tau_int is not None
    assert second.error == pytest.approx(first.error, rel=1e-12)


def test_short_chains_are_judged_by_their_scatter():
    """In 400 chains of 12 with τ = 25 no window closes; the scatter is right all the same."""
    rho = 0.96
    found = means(autoregressive(400, 12, seed=4, rho=rho), 400)[0]
    assert found.error == pytest.approx(exact_error(400, 12, rho), rel=4 / math.sqrt(2 * 399))
    assert found.warning is None
    assert found.tau_int is not None and found.tau_int.warning is not None
    assert found.tau_int.value < 0.5 * (1 + rho) / (1 - rho)


def test_few_short_chains_carry_a_warning():
    found = means(autoregressive(2, 30, seed=5, rho=0.95), 2)[0]
    assert found.warning is not None


def test_independent_data_have_the_usual_error():
    x = autoregressive(1, 1000, seed=6, rho=0.0)
    separate, chain = means(x, 1000)[0], means(x, 1)[0]
    assert separate.error == pytest.approx(float(x.std()) / math.sqrt(1000), rel=1e-12)
    assert separate.tau_int is None
    assert chain.error == pytest.approx(separate.error, rel=0.15)


@pytest.mark.parametrize("chains", [1, 5])
def test_functions_of_means_have_the_errors_of_pyerrors(obs, chains):
    """Derivatives by autograd here, by `pyerrors` itself there, on long chains."""
    series = torch.stack([autoregressive(chains, 3000, seed) for seed in (7, 8)], 1) + 3
    ratio, root = estimate(series, chains, lambda m: [m[0] / m[1] ** 2, torch.sqrt(m[0] * m[1])])
    names = [f"x|{chain}" for chain in range(chains)]
    a: Any = obs(np.split(series[:, 0].numpy(), chains), names)
    b: Any = obs(np.split(series[:, 1].numpy(), chains), names)
    for ours, theirs in ((ratio, a / b**2), (root, (a * b) ** 0.5)):
        theirs.gamma_method()
        assert ours.value == pytest.approx(theirs.value, rel=1e-3)
        # Replica are centred one by one there: with a window of W = 25, about W/T = 1 % less.
        assert ours.error == pytest.approx(theirs.dvalue, rel=0.04 if chains > 1 else 1e-3)


@pytest.mark.parametrize(("chains", "length"), [(1, 301), (1, 3000), (3, 400), (25, 80)])
@pytest.mark.parametrize("rho", [-0.4, 0.0, 0.8])
def test_error_and_autocorrelation_time_are_those_of_pyerrors(obs, chains, length, rho):
    """All chains as one series there, with gaps, so that deviations are from the common mean."""
    x = autoregressive(chains, length, seed=11, rho=rho)
    times = [2 * length * chain + t for chain in range(chains) for t in range(length)]
    theirs: Any = obs([x.numpy()], ["x"], idl=[times])
    theirs.gamma_method(S=2.0)
    ours = means(x, chains)[0]
    assert ours.error == pytest.approx(theirs.dvalue, rel=1e-9)
    assert ours.tau_int is not None
    assert ours.tau_int.value == pytest.approx(theirs.e_tauint["x"], rel=1e-9)
    assert ours.tau_int.error == pytest.approx(theirs.e_dtauint["x"], rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_where_nothing_is_differentiated_errors_are_the_same(mode):
    x = autoregressive(1, 100, seed=10)
    with mode():
        inside = estimate(x + 1, 1, lambda m: m[0] ** 2)
    assert inside == estimate(x + 1, 1, lambda m: m[0] ** 2)


def test_a_constant_has_no_error():
    found = means(torch.full((30,), 2.0), 3)[0]
    assert (found.value, found.error) == (2, 0)


def test_what_is_undefined_stays_with_itself():
    series = autoregressive(1, 100, seed=9, rho=0.0) - 5
    log, mean = estimate(series, 1, lambda m: [torch.log(m[0]), m[0]])
    assert math.isnan(log.value) and math.isnan(log.error)
    assert log.warning is not None and "outside the range" in log.warning
    assert mean.error > 0 and mean.warning is None


@pytest.mark.parametrize(
    ("series", "chains", "says"),
    [
        (torch.zeros(7), 1, "7 measurements in 1 chain give no error; at least 8 are needed"),
        (torch.zeros(1), 1, "1 measurement in 1 chain give no error; at least 2 are needed"),
        (torch.zeros(10), 11, "n_chains = 11 is outside"),
        (torch.zeros(10), 0, "n_chains = 0 is outside"),
        (torch.full((10, 2), math.inf), 1, "not a finite number"),
        (torch.zeros(10, 2, 2), 1, r"\(10, 2, 2\)"),
    ],
)
def test_series_without_an_error_are_refused(series, chains, says):
    with pytest.raises(ValueError, match=says):
        means(series, chains)


def test_pulls_of_hybrid_monte_carlo_are_normal(one_thread):
    """40 independent runs of 4 chains: what each says about its error is what the 40 show."""
    generator = torch.Generator().manual_seed(21)
    run = hmc(Phi4(-4, 6.975), 4, 40 * 1600, 160, generator, thermalization=60, thinning=1)
    runs = [observables(part, n_chains=4) for part in run.configurations.split(1600)]
    # Exact values of the 4×4 lattice, by quadrature.
    exact = {"susceptibility": 0.934973, "phi2": 0.1673918, "binder": 0.294358}
    for name, value in exact.items():
        pulls = np.array([(each[name].value - value) / each[name].error for each in runs])
        assert abs(pulls.mean()) < 4 / math.sqrt(40), name
        # χ² of 40 degrees of freedom has the spread √(2/40).
        assert abs(np.mean(pulls**2) - 1) < 4 * math.sqrt(2 / 40), name


def test_the_error_of_a_mean_holds_for_correlated_chains_in_any_order():
    """Chains of 8 values with correlation 0.8ⁿ: the error is that of independent chains."""
    generator = torch.Generator().manual_seed(5)
    noise = torch.randn(200, 50, 8, generator=generator, dtype=torch.float64)
    x = noise[..., :1]
    for i in range(1, 8):
        x = torch.cat((x, 0.8 * x[..., -1:] + 0.6 * noise[..., i : i + 1]), -1)
    order = torch.randperm(400, generator=generator)
    chains = torch.arange(50).repeat_interleave(8)[order] + 7
    found = [Estimate.of(each.flatten()[order], chains) for each in x]
    pulls = torch.tensor([each.value / each.error for each in found])
    assert float(pulls.std()) == pytest.approx(1, abs=4 * (2 * 199) ** -0.5)
    plain = Estimate.of(x[0].flatten())
    assert found[0].error > 1.5 * plain.error
    assert plain.error == pytest.approx(float(x[0].std()) / 400**0.5)
    assert Estimate.of(x[0].flatten(), torch.zeros(400)).error == pytest.approx(plain.error)
