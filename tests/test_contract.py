"""The public contract: names, signatures and shapes that programs outside rely on."""

import pytest
import torch

import rgdiff_core as rg

SHAPE = (3, 8, 8)


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.randn(64, *SHAPE, generator=torch.Generator().manual_seed(1)).cumsum(-1)


def test_bases(images):
    bases = [
        rg.bases.PixelBasis(SHAPE),
        rg.bases.FourierBasis(SHAPE, momentum="continuum"),
        rg.bases.FourierBasis(SHAPE, momentum="lattice"),
        rg.bases.CosineBasis(SHAPE),
        rg.bases.WaveletBasis(SHAPE, wavelet="haar", levels=None),
        rg.bases.PCABasis.fit(images),
    ]
    for basis in bases:
        c = basis.analyze(images)
        torch.testing.assert_close(basis.synthesize(c), images, atol=1e-4, rtol=1e-4)
        assert c.shape == images.shape
        assert basis.scale.shape in ((3, 8, 8), (1, 8, 8))
        assert basis.scale.min() >= 0 and basis.scale.max() <= 1


def test_colours_and_schedules_become_numbers_with_the_modes(images):
    basis = rg.bases.FourierBasis(SHAPE)
    modes = rg.Modes.fit(basis, images)
    assert modes.mean.shape == modes.variance.shape == SHAPE
    bare = rg.Modes(scale=basis.scale)
    for color in (
        rg.colors.White(),
        rg.colors.PowerLaw(exponent=2.0),
        rg.colors.FreeTheory(mass2=0.1),
        rg.colors.Matched(),
    ):
        variance = color.variance(modes)
        assert torch.isclose(variance.mean(), modes.variance.mean(), rtol=1e-4)
    kernels = (
        rg.schedules.SigmoidKernel(width=0.1),
        rg.schedules.HardKernel(),
        rg.schedules.GaussianKernel(),
        rg.schedules.ExponentialKernel(),
        rg.schedules.LitimKernel(),
        rg.schedules.BumpKernel(),
        rg.schedules.ButterworthKernel(),
    )
    path = rg.schedules.CutoffPath(times=(0.0, 1.0), values=(1.0, 0.0))
    schedules = [
        rg.schedules.LinearBeta(beta_min=0.1, beta_max=20.0),
        rg.schedules.Cosine(s=0.008),
        rg.schedules.LinearGamma(-13.0, 5.0),
        *(rg.schedules.Cutoff(kernel=kernel, path=path) for kernel in kernels),
        rg.schedules.SoftConditioning(gamma_min=-7.0, gamma_max=3.0, softness=1.0, order="scale"),
        rg.schedules.WaveletLevels(softness=0.1),
    ]
    for schedule in schedules:
        for t in (torch.tensor(0.3), torch.linspace(0, 1, 8)):
            level = schedule.level(t, bare)
            assert schedule.gamma(t, bare).shape == (*t.shape, 1, 8, 8)
            for value in (level.gamma, level.alpha, level.sigma, level.snr):
                assert value.shape == (*t.shape, 1, 8, 8)
            assert torch.broadcast_to(level.magnitude, level.gamma.shape).isfinite().all()
            assert schedule.beta(t, bare).shape == (*t.shape, 1, 8, 8)


def test_process_denoiser_and_sample(images):
    basis = rg.bases.FourierBasis(SHAPE)
    modes = rg.Modes.fit(basis, images)
    process = rg.Process(basis, rg.colors.Matched(), rg.schedules.Cutoff(), modes)
    t = torch.rand(len(images))
    marginal = process.marginal(t)
    assert marginal.alpha.shape[0] == marginal.std.shape[0] == len(images)
    noise = torch.randn_like(images)
    assert process.perturb(images, t, noise=noise).shape == images.shape
    assert process.perturb(images, t).shape == images.shape
    assert process.prior_sample(5, generator=torch.Generator()).shape == (5, *SHAPE)
    again = rg.Process.from_json(process.to_json())
    assert torch.equal(again.perturb(images, t, noise), process.perturb(images, t, noise))
    gaussian = rg.GaussianDenoiser.fit(basis, images)
    seen = []
    x = rg.sample(
        gaussian, process, 4, steps=5, method="dpmpp_2m", generator=None, callback=seen.append
    )
    assert x.shape == (4, *SHAPE) and len(seen) == 6
    assert torch.equal(
        rg.sample(gaussian, process, 2, seed=1), rg.sample(gaussian, process, 2, seed=1)
    )
    states = list(rg.trajectory(gaussian, process, 4, steps=5, method="shell"))
    assert len(states) == 6
    assert rg.Process(basis, rg.colors.White(), rg.schedules.Cosine()).modes.variance is None


def test_spectra_lattice_and_data(images):
    spectrum = rg.spectra.power_spectrum(images)
    assert spectrum.scale.shape == spectrum.power.shape == spectrum.error.shape
    action = rg.lattice.Phi4(-4.0, 6.975)
    phi = torch.randn(5, 1, 6, 6)
    torch.testing.assert_close(action(phi), action(phi[:, 0]))
    assert rg.lattice.Phi4.from_hopping(0.25, 0.5).lam > 0
    chain = rg.lattice.hmc(action, 4, 64, n_chains=16, generator=torch.Generator())
    assert chain.configurations.shape[0] == 64
    assert 0 < chain.acceptance <= 1
    assert abs(chain.exp_delta_h.value - 1) < 10 * chain.exp_delta_h.error
    assert chain.tau_int is not None
    for estimate in rg.lattice.observables(chain.configurations).values():
        assert estimate.error >= 0
    ess = rg.lattice.effective_sample_size(action, phi, -action(phi))
    assert ess == pytest.approx(1.0, abs=1e-5)
    data = rg.data.load("phi4-6x6", split="train", limit=10)
    assert data.images.shape == (10, 1, 6, 6) and data.source


def test_lattice_models_move_and_fields_grow():
    def modes(side: int) -> rg.Modes:
        basis = rg.bases.FourierBasis((1, side, side), momentum="lattice")
        variance = 1 / (basis.momentum**2 + 1)
        return rg.Modes(basis.scale, torch.zeros_like(variance), variance, basis.momentum)

    basis = rg.bases.FourierBasis((1, 4, 4), momentum="lattice")
    model = rg.ModelSpec().build(basis, modes(4))
    assert model.on((1, 8, 8), modes(8)).basis.shape == (1, 8, 8)
    grown = rg.lattice.grow(  # pyright: ignore[reportAttributeAccessIssue]
        model, torch.zeros(2, 1, 4, 4), levels=2, generator=None, modes=(modes(8), modes(16))
    )
    assert grown.shape == (2, 1, 16, 16)
