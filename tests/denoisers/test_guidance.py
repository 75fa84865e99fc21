"""Guidance: closed forms on a labelled mixture of Gaussians, and other tools' guided denoisers."""

import math

import pytest
import torch
from azula.denoise import Denoiser as AzulaDenoiser
from azula.denoise import DiracPosterior
from azula.guidance.cfg import CFGDenoiser
from azula.noise import VPSchedule
from diffusers.guiders import ClassifierFreeGuidance
from laws import fields, fitted
from mixture import LabelledMixture, mixture
from scipy.interpolate import PchipInterpolator

import rgdiff_core as rg
from rgdiff_core import colors, schedules
from rgdiff_core.bases.modes import Modes
from rgdiff_core.denoisers import (
    DelegatingDenoiser,
    GaussianDenoiser,
    GuidanceCurve,
    Guided,
    ModelSpec,
    free_theory,
    guided,
    log_snr,
)
from rgdiff_core.denoisers.conditional import Conditioned
from rgdiff_core.denoisers.guidance import in_basis
from rgdiff_core.networks import LatticeNet
from rgdiff_core.process import Marginal, Process

SHAPE = (1, 2, 2)
PLAIN = mixture(SHAPE)
MODEL = LabelledMixture(PLAIN.basis, PLAIN.means, PLAIN.variances)
PROCESS = Process(MODEL.basis, colors.White(), schedules.LinearGamma(-10.0, 6.0), MODEL.modes)
LABELS = torch.tensor([0, 1, -1, 1, 0, -1])
TIMES = (0.05, 0.4, 0.8)
CLEAN = Marginal(torch.ones(SHAPE).double(), torch.zeros(SHAPE).double())


def normal(c: torch.Tensor, marginal: Marginal, j: int) -> torch.distributions.Normal:
    """Return the j-th Gaussian of the noised data."""
    variance = marginal.alpha**2 * PLAIN.variances[j] + marginal.std**2
    return torch.distributions.Normal(marginal.alpha * PLAIN.means[j], variance.sqrt())


def log_densities(c: torch.Tensor, marginal: Marginal, labels: torch.Tensor) -> torch.Tensor:
    """Return log p_t(χ|label) from torch's own normal distributions, (B,)."""
    each = [normal(c, marginal, j).log_prob(c).flatten(1).sum(1) for j in range(2)]
    both = torch.logsumexp(torch.stack(each), 0) - math.log(2)
    return torch.where(labels == 0, each[0], torch.where(labels == 1, each[1], both))


def score(c: torch.Tensor, marginal: Marginal, labels: torch.Tensor) -> torch.Tensor:
    """Return ∇ log p_t(χ|label) by autodiff."""
    c = c.detach().requires_grad_()
    return torch.autograd.grad(log_densities(c, marginal, labels).sum(), c)[0]


def learned(n: int = 3) -> rg.NetworkDenoiser:
    """Return a class-conditional network with weights of all kinds."""
    basis, modes = fitted((1, 4, 4))
    names = tuple(map(str, range(n)))
    model = ModelSpec(LatticeNet(8, 1), class_names=names).build(basis, modes).double()
    for parameter in model.network.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model.requires_grad_(False)


@pytest.mark.parametrize("t", TIMES)
@pytest.mark.parametrize("s", [1.0, 0.0, 3.0])
def test_scores_and_means_are_the_closed_forms(t, s):
    marginal, c = PROCESS.vp_marginal(t), fields(SHAPE, 6, seed=3)
    model = guided(MODEL, LABELS, s)
    own, free = score(c, marginal, LABELS), score(c, marginal, torch.full_like(LABELS, -1))
    wanted = free + s * (own - free)
    torch.testing.assert_close(model.component_score(c, marginal), wanted)
    # Tweedie: D = (χ + σ²S² score)/α
    mean = (c + marginal.std**2 * wanted) / marginal.alpha
    torch.testing.assert_close(model.posterior(c, marginal).mean, mean)
    m = model.free(c, marginal)
    torch.testing.assert_close(model.interaction(c, marginal), (mean - m.mean) / m.variance.sqrt())
    variance = MODEL.given(LABELS).posterior(c, marginal).variance
    assert torch.equal(model.posterior(c, marginal).variance, variance)


def test_scale_one_is_the_model_and_scale_zero_the_reference():
    marginal, c = PROCESS.vp_marginal(0.4), fields(SHAPE, 6, seed=3)
    assert guided(MODEL, None, 1.0) is MODEL
    assert not isinstance(guided(MODEL, LABELS, 1.0), Guided)
    zero = guided(MODEL, LABELS, 0.0).posterior(c, marginal).mean
    torch.testing.assert_close(zero, MODEL.posterior(c, marginal).mean, rtol=0, atol=0)


WIDE = Process(MODEL.basis, colors.White(), schedules.LinearGamma(-10.0, 16.0), MODEL.modes)


def of_label(labels: torch.Tensor, spread: float) -> torch.Tensor:
    """Return fields near the mean of their label's Gaussian."""
    return MODEL.basis.synthesize(PLAIN.means[labels] + spread * fields(SHAPE, len(labels)))


def test_densities_are_those_of_the_label():
    labels = torch.tensor([0, 1, 0, 1])
    x = of_label(labels, 0.4)
    wanted = log_densities(MODEL.basis.analyze(x), WIDE.marginal(0.0), labels)
    found = rg.log_likelihood(MODEL, WIDE, x, 60, class_labels=labels)
    torch.testing.assert_close(found, wanted, atol=1e-2, rtol=0)
    alone = rg.log_likelihood(MODEL, WIDE, x, 60, class_labels=torch.tensor([-1]))
    torch.testing.assert_close(alone, PLAIN.log_density(x, WIDE), atol=1e-2, rtol=0)
    assert (found - alone).abs().min() > 0.1


@pytest.mark.parametrize("label", [0, 1])
def test_the_bound_is_below_the_label_s_density_and_near_to_it(label):
    n, labels = 200, torch.tensor([label])
    x = of_label(labels, 0.4).expand(n, *SHAPE)
    generator = torch.Generator().manual_seed(1)
    found = rg.elbo(MODEL, WIDE, x, 100, generator, class_labels=labels)
    exact = float(log_densities(MODEL.basis.analyze(x[:1]), CLEAN, labels))
    error = float(found.std()) / n**0.5
    assert exact - 0.3 - 4 * error < float(found.mean()) < exact + 4 * error


def test_samples_of_a_label_have_its_moments():
    n = 2000
    for label in (0, 1):
        x = rg.sample(MODEL, PROCESS, n, 50, "heun", seed=7, class_labels=torch.tensor([label]))
        c = MODEL.basis.analyze(x)
        spread = PLAIN.variances[label] + float(PROCESS.marginal(0.0).std.mean()) ** 2
        allowed = 5 * (spread / n).sqrt() + 0.02
        assert ((c.mean(0) - PLAIN.means[label]).abs() < allowed).all()
        assert ((c.var(0) / spread - 1).abs() < 5 * (2 / n) ** 0.5 + 0.03).all()


def test_a_label_stays_with_the_model_that_it_was_given_to():
    model, labels = learned(), torch.tensor([0, 2, 1])
    process = Process(model.basis, colors.White(), schedules.Cosine(), model.modes)
    view = model.given(labels)
    for one, other in (
        (
            rg.sample(view, process, 3, 3, seed=1),
            rg.sample(model, process, 3, 3, seed=1, class_labels=labels),
        ),
        (
            rg.log_likelihood(view, process, fields((1, 4, 4), 3), 1),
            rg.log_likelihood(model, process, fields((1, 4, 4), 3), 1, class_labels=labels),
        ),
    ):
        assert torch.equal(one, other)
    free = rg.sample(model, process, 3, 3, seed=1)
    assert not torch.equal(rg.sample(view, process, 3, 3, seed=1), free)
    null = torch.tensor([-1])
    assert torch.equal(rg.sample(view, process, 3, 3, seed=1, class_labels=null), free)
    assert model.class_labels is None


def test_a_curve_gives_each_scale_its_own():
    curve = GuidanceCurve((0.0, 0.3, 1.0), (4.0, 2.5, 0.5))
    model = learned()
    scale = model.modes.scale
    expected = torch.from_numpy(PchipInterpolator(curve.scales, curve.values)(scale.numpy()))
    torch.testing.assert_close(curve.at(scale), expected)
    process = Process(model.basis, colors.Matched(), schedules.Cutoff(), model.modes)
    marginal, c = process.vp_marginal(0.5), fields((1, 4, 4), 3)
    labels = torch.tensor([0, 1, 2])
    own, free = (model.given(x).posterior(c, marginal).mean for x in (labels, None))
    found = guided(model, labels, curve).posterior(c, marginal).mean
    torch.testing.assert_close(found, free + expected * (own - free))
    flat = guided(model, labels, GuidanceCurve(values=(2.0, 2.0))).posterior(c, marginal).mean
    torch.testing.assert_close(flat, guided(model, labels, 2.0).posterior(c, marginal).mean)


def test_the_interval_is_of_the_log_snr():
    gamma = torch.linspace(-6, 6, 13, dtype=torch.float64)
    process = Process(MODEL.basis, colors.White(), schedules.LinearGamma(-6, 6), MODEL.modes)
    marginal = process.vp_marginal((gamma + 6) / 12)
    torch.testing.assert_close(log_snr(marginal, MODEL.modes), -gamma)  # of the data's power
    c, label = fields(SHAPE, 13, seed=2), torch.tensor([1])
    found = guided(MODEL, label, 3.0, (-2.5, 1.5))
    always, never = guided(MODEL, label, 3.0), MODEL.given(label)
    inside = ((gamma <= 2.5) & (gamma >= -1.5))[:, None, None, None]
    for name in ("component_score", "interaction"):
        on, off = (getattr(m, name)(c, marginal) for m in (always, never))
        wanted = torch.where(inside, on, off)
        torch.testing.assert_close(getattr(found, name)(c, marginal), wanted)
    on, off = (m.posterior(c, marginal).mean for m in (always, never))
    wanted = torch.where(inside, on, off)
    torch.testing.assert_close(found.posterior(c, marginal).mean, wanted)
    clean = process.vp_marginal(0.0)  # a single time, outside
    assert torch.equal(found.posterior(c, clean).mean, never.posterior(c, clean).mean)


@pytest.mark.parametrize("w", [0.5, 2.0])
def test_guidance_by_the_free_theory(w):
    """D + (s − 1)(D − D_Gauss), and in the interaction picture s times the interaction."""
    marginal, c = PROCESS.vp_marginal(0.4), fields(SHAPE, 6, seed=3)
    gaussian = rg.GaussianDenoiser(MODEL.basis, MODEL.modes).posterior(c, marginal).mean
    own = MODEL.posterior(c, marginal).mean
    model = guided(MODEL, None, 1 + w, reference=free_theory(MODEL))
    torch.testing.assert_close(model.posterior(c, marginal).mean, own + w * (own - gaussian))
    torch.testing.assert_close(
        model.interaction(c, marginal), (1 + w) * MODEL.interaction(c, marginal)
    )


def test_a_reference_of_other_statistics_is_mixed_by_its_mean():
    other = rg.GaussianDenoiser.fit(MODEL.basis, fields(SHAPE, 30, seed=8))
    marginal, c = PROCESS.vp_marginal(0.4), fields(SHAPE, 6, seed=3)
    model = guided(MODEL, None, 2.0, reference=other)
    mean = 2 * MODEL.posterior(c, marginal).mean - other.posterior(c, marginal).mean
    m = MODEL.free(c, marginal)
    torch.testing.assert_close(model.interaction(c, marginal), (mean - m.mean) / m.variance.sqrt())


class Theirs(AzulaDenoiser):
    """Our denoiser as azula's, its schedule of no account."""

    def __init__(self, model: rg.NetworkDenoiser, process: Process) -> None:
        super().__init__()
        self.model, self.process = model, process

    @property
    def schedule(self) -> VPSchedule:
        return VPSchedule()

    def forward(self, x_t, t, label=None, **kwargs):
        return DiracPosterior(mean=self.model.given(label).denoise(x_t, t, self.process))


@pytest.mark.parametrize("s", [1.0, 1.7, 6.0])
def test_azula_and_diffusers_guide_alike(s):
    model, labels = learned(), torch.tensor([2, 0, 1])
    process = Process(model.basis, colors.White(), schedules.Cosine(), model.modes)
    x, t = fields((1, 4, 4), 3, seed=1), torch.tensor(0.6, dtype=torch.float64)
    ours = guided(model, labels, s)
    azula = CFGDenoiser(Theirs(model, process))(x, t, {"label": labels}, guidance=s - 1)
    torch.testing.assert_close(ours.denoise(x, t, process), azula.mean, rtol=1e-6, atol=1e-6)
    own, free = (model.given(c).denoise(x, t, process) for c in (labels, None))
    for original in (False, True):  # whose scale is s − 1
        guider = ClassifierFreeGuidance(s - original, use_original_formulation=original)
        theirs = guider.forward(own, free).pred
        torch.testing.assert_close(ours.denoise(x, t, process), theirs, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: guided(MODEL, None, 2.0), "needs class_labels"),
        (
            lambda: guided(MODEL, LABELS, 1e9),
            r"guidance_scale = 1000000000.0 is outside \[0, 50\]",
        ),
        (lambda: guided(MODEL, LABELS, -1.0), r"guidance_scale = -1.0 is outside \[0, 50\]"),
        (lambda: guided(MODEL, LABELS, math.nan), "guidance_scale = nan must be a finite number"),
        (lambda: guided(MODEL, LABELS, 2.0, (3.0, -3.0)), r"\(3, -3\) is empty"),
        (lambda: guided(MODEL, LABELS, 1.0, (3.0, -3.0)), r"\(3, -3\) is empty"),
        (lambda: guided(MODEL, LABELS, 2.0, (-99.0, 0.0)), r"= -99.0 is outside \[-40, 40\]"),
        (lambda: guided(MODEL, LABELS, 2.0, (0.0, 1.0, 2.0)), "must be two values"),  # type: ignore[arg-type]
        (lambda: guided(MODEL, torch.tensor([2])), r"class label 2 is outside \[0, 1\]"),
        (lambda: guided(MODEL, torch.tensor([-2])), r"class label -2 is outside \[0, 1\]"),
        (lambda: guided(MODEL, torch.tensor([0.0])), "class_labels must be int64"),
        (lambda: guided(MODEL, [1]), r"class_labels = \[1\] must be a tensor"),  # type: ignore[arg-type]
        (lambda: rg.sample(MODEL, PROCESS, 2, 2, class_labels="cat"), "'cat' must be a tensor"),  # type: ignore[arg-type]
        (lambda: guided(MODEL, LABELS, 2.0, 3.0), "= 3.0 must be two values"),  # type: ignore[arg-type]
        (lambda: guided(MODEL, torch.zeros(2, 2).long()), "class_labels must be int64"),
        (lambda: guided(free_theory(MODEL), LABELS), "this model has no classes"),
        (lambda: GuidanceCurve((0.0, 0.5), (1.0, 1.0)), r"\(0.0, 0.5\) must rise from 0 to 1"),
        (lambda: GuidanceCurve((0.0, 1.0), (1.0, 51.0)), r"guidance scale = 51.0 is outside"),
        (lambda: GuidanceCurve((0.0, 1.0), (1.0,)), "2 scales come with 1 values"),
        (
            lambda: rg.sample(MODEL, PROCESS, 4, 2, class_labels=LABELS),
            "6 class_labels were given",
        ),
        (
            lambda: rg.elbo(learned(), _process(), fields((1, 4, 4), 3), 2, class_labels=LABELS),
            "6 class_labels were given for 3 fields",
        ),
        (
            lambda: Guided(MODEL, learned(), 2.0),
            r"the guide is for fields \(1, 4, 4\), the model for fields \(1, 2, 2\)",
        ),
    ],
)
def test_bad_guidance_is_named(make, message):
    with pytest.raises(ValueError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)


def turned(axes: torch.Tensor, angle: float) -> torch.Tensor:
    """Return colour axes with signs changed, and turned about the first."""
    c, s = math.cos(angle), math.sin(angle)
    about = torch.tensor([[1.0, 0, 0], [0, c, -s], [0, s, c]])
    return torch.diag(torch.tensor([1.0, -1.0, 1.0])).to(axes) @ about.to(axes) @ axes


@pytest.mark.parametrize("kind", [rg.bases.FourierBasis, rg.bases.PixelBasis])
def test_a_guide_may_have_the_colour_axes_of_another_fit(kind):
    """Of the same Gaussian, so that both denoisers are the same function of the fields."""
    shape, x = (3, 4, 4), fields((3, 4, 4), 200)
    axes = rg.bases.decorrelation(x)
    one, other = (
        GaussianDenoiser(basis, Modes.fit(basis, x))
        for basis in (kind(shape, channels=axes), kind(shape, channels=turned(axes, 0.0)))
    )
    process = Process(one.basis, colors.White(), schedules.Cosine(), one.modes)
    marginal = process.vp_marginal(torch.tensor([0.3]))
    c = one.basis.analyze(fields(shape, 5, seed=2))
    found = in_basis(other, one.basis).posterior(c, marginal)
    torch.testing.assert_close(found.mean, one.posterior(c, marginal).mean)
    torch.testing.assert_close(found.variance, one.posterior(c, marginal).variance)
    assert in_basis(one, one.basis) is one
    guide = Guided(one, other, 2.0)  # of u = c, so that s does nothing
    torch.testing.assert_close(guide.posterior(c, marginal).mean, one.posterior(c, marginal).mean)
    few = in_basis(
        GaussianDenoiser(kind(shape, channels=turned(axes, 0.01)), other.modes), one.basis
    )
    off = (few.posterior(c, marginal).mean - one.posterior(c, marginal).mean).square().mean()
    assert 0 < float(off.sqrt()) < 0.02
    for strange in (kind(shape, channels=turned(axes, 0.2)), kind(shape)):
        with pytest.raises(ValueError, match="same data in the same basis"):
            Guided(one, GaussianDenoiser(strange, Modes.fit(strange, x)), 2.0)


def _process() -> Process:
    model = learned()
    return Process(model.basis, colors.White(), schedules.Cosine(), model.modes)


def test_a_wrapped_denoiser_keeps_a_free_theory_and_a_prior_that_are_not_the_datas():
    known, image = torch.full(SHAPE, 0.7).double(), fields(SHAPE, 1, seed=8)
    model = Conditioned(PLAIN, image, known, torch.Generator().manual_seed(0))
    for wrapped in (DelegatingDenoiser(model), Guided(model, free_theory(model), 2.0)):
        assert torch.equal(wrapped.free_mean, model.free_mean)
        assert torch.equal(wrapped.free_variance, model.free_variance)
        assert not torch.equal(wrapped.free_variance, wrapped.modes_variance)
        assert torch.equal(wrapped.prior(PROCESS).mean, model.prior(PROCESS).mean)
        assert torch.equal(wrapped.prior(PROCESS).std, model.prior(PROCESS).std)
