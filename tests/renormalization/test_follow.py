"""Following ensembles along flows, and universality."""

import math

import pytest
import torch

from rgdiff_core import colors, schedules
from rgdiff_core.bases.spec import BasisSpec
from rgdiff_core.lattice import FreeField, Phi4, hmc, observables
from rgdiff_core.process import ProcessSpec
from rgdiff_core.renormalization import (
    FLOWS,
    BlockSpin,
    Decimation,
    MomentumShell,
    Noising,
    effective_couplings,
    follow,
    measure,
)


def critical(kappa, lam, seed):
    action = Phi4.from_hopping(kappa, lam)
    generator = torch.Generator().manual_seed(seed)
    return hmc(action, 8, 1500, 100, generator)


def test_flows_say_what_they_are():
    assert set(FLOWS) == {"block spin", "decimation", "momentum shell", "noising"}
    for title, flow in FLOWS.items():
        assert flow.title == title and flow.about.endswith(".") and flow.axis


def test_measurements_are_those_of_the_fields():
    fields = FreeField(0.3, 8).sample(100, torch.Generator().manual_seed(1))
    for flow in (BlockSpin(0.25), Decimation(), MomentumShell()):
        seen = list(follow(flow, fields, 100))
        assert tuple(m.step for m in seen) == flow.steps(8)
        for m in seen:
            x = flow.apply(fields, m.step)
            torch.testing.assert_close(m.fields, x)
            assert m.fields.shape[-1] == m.step.size
            for name, item in observables(x, n_chains=100).items():
                assert m.observables[name] == item
            assert m.couplings == effective_couplings(x, 100)
            phi2, mean = x.square().mean(), x.mean((-3, -2, -1))
            near = (x * x.roll(1, -1) + x * x.roll(1, -2)).mean() / 2
            assert {
                name: m.observables[name].value
                for name in (
                    "site_binder",
                    "neighbour_correlation",
                    "magnetization_ratio",
                    "length_ratio",
                )
            } == pytest.approx(
                {
                    "site_binder": float(1 - x.pow(4).mean() / (3 * phi2**2)),
                    "neighbour_correlation": float(near / phi2),
                    "magnetization_ratio": float(mean.abs().mean() ** 2 / mean.square().mean()),
                    "length_ratio": m.observables["correlation_length"].value / m.step.size,
                },
                nan_ok=True,
            )
            # The mean power over modes is the mean square.
            spectrum = m.spectrum
            total = (spectrum.power * spectrum.count).sum() / spectrum.count.sum()
            assert float(total) == pytest.approx(float(phi2))


def test_every_step_has_the_same_noise():
    """Between two times the differences of φ(t) - αφ(0) are those of σ alone."""
    fields = FreeField(0.3, 8).sample(30, torch.Generator().manual_seed(1)).double()
    schedule = schedules.LinearGamma(-5.0, 5.0)
    flow = Noising.fit(
        fields, ProcessSpec(BasisSpec(), colors.White(), schedule), times=(0.2, 0.7)
    )
    one, two = (
        [m.fields for m in follow(flow, fields, 30, generator=torch.Generator().manual_seed(seed))]
        for seed in (8, 8)
    )
    noise = []
    for t, x, again in zip(flow.times, one, two, strict=True):
        torch.testing.assert_close(x, again, rtol=0, atol=0)
        level = flow.process.level(t)
        noise.append((x - level.alpha * fields) / level.sigma)
    torch.testing.assert_close(noise[0], noise[1])


def test_eta_and_averages_leave_pure_numbers():
    """Averages do not change the mean field up to a factor, so not its Binder cumulant."""
    generator = torch.Generator().manual_seed(1)
    fields = FreeField(0.3, 8).sample(100, generator)
    fields[:50] += 1
    plain, scaled = (list(follow(BlockSpin(eta), fields, 100)) for eta in (0.0, 0.25))
    for one, other in zip(plain, scaled, strict=True):
        names = ("binder", "magnetization_ratio", "site_binder", "neighbour_correlation")
        for name in names:
            assert other.observables[name].value == pytest.approx(one.observables[name].value)
        assert other.couplings.mass.value == pytest.approx(one.couplings.mass.value)
        start = plain[0].observables["binder"].value
        assert one.observables["binder"].value == pytest.approx(start)
        factor = one.step.factor**0.25
        phi2 = one.observables["phi2"].value
        assert other.observables["phi2"].value == pytest.approx(factor * phi2)


def test_critical_theories_flow_together():
    """Two points of the critical line with λ/Z² apart by a factor of 8 are nearer after blocks of
    4×4, in λ/Z² and in the distribution of a site; after decimation they are not.
    """

    soft, hard = critical(0.302724, 0.1, 31), critical(0.339628, 1.0, 32)

    def apart(flow, pick):
        """By how much the logarithms of a number differ at the first and the last step."""
        (a, c), (b, d) = (
            tuple(map(pick, (seen[0], seen[-1])))
            for seen in (measured[flow, 0], measured[flow, 1])
        )
        return [
            (abs(math.log(y.value / x.value)), math.hypot(x.error / x.value, y.error / y.value))
            for x, y in ((a, b), (c, d))
        ]

    flows = (BlockSpin(0.25), MomentumShell(0.25), Decimation(0.25))
    measured = {
        (flow, index): list(follow(flow, run.configurations, run.n_chains))
        for flow in flows
        for index, run in enumerate((soft, hard))
    }
    for flow in flows[:2]:
        for pick in (lambda m: m.couplings.quartic, lambda m: m.observables["site_binder"]):
            (before, error), (after, later) = apart(flow, pick)
            assert before - after > 3 * math.hypot(error, later)
    (before, error), (after, later) = apart(flows[2], lambda m: m.observables["site_binder"])
    assert abs(before - after) < 4 * math.hypot(error, later)


def test_fields_of_one_site_are_refused():
    with pytest.raises(ValueError, match="one site"):
        next(follow(BlockSpin(), torch.randn(30, 1, 1, 1), 30))


@pytest.mark.parametrize("eta", [0.0, 0.25])
def test_a_kept_mode_has_its_momentum_and_power_in_units_of_the_original_lattice(eta):
    fields = FreeField(0.3, 16).sample(50, torch.Generator().manual_seed(2)).double()
    flow = MomentumShell(eta)
    (step,) = (each for each in flow.steps(16) if each.size == 8)
    found = measure(step, flow.apply(fields, step), 50).spectrum_on(16, eta)
    # The lowest shell has the wave numbers (0, 1) and (1, 1), in all directions.
    power = torch.fft.fft2(fields, norm="ortho").abs().square().mean((0, 1))
    lowest = torch.stack([power[at] for at in ((0, 1), (1, 0), (1, 1), (1, -1))]).mean()
    k = torch.tensor(2 * math.pi / 16 * (1 + math.sqrt(2)) / 2, dtype=torch.float64)
    torch.testing.assert_close(found.momentum[0], k)
    torch.testing.assert_close(found.power[0], lowest)
    assert found.samples is not None
    torch.testing.assert_close(found.samples.mean(0), found.power)
