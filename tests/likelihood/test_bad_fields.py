"""Fields that no density can be said of are refused in a sentence, by every way to a density."""

import pytest
import torch
from gaussians import generator, made
from laws import fields

import rgdiff_core as rg
from rgdiff_core.denoisers.conditional import Conditioned
from rgdiff_core.evaluation import image_bound
from rgdiff_core.likelihood import sample_with_density, sampler_density
from rgdiff_core.likelihood.densities import free_log_density
from rgdiff_core.search.held_out import step_bound

MODEL, PROCESS = made()
X = fields(MODEL.basis.shape, 3)
WAYS = {
    "bound": lambda model, x: rg.elbo(model, PROCESS, x, 2),
    "flow": lambda model, x: rg.log_likelihood(model, PROCESS, x, 2),
    "Hutchinson": lambda model, x: rg.log_likelihood(model, PROCESS, x, 2, "hutchinson"),
    "adaptive": lambda model, x: rg.log_likelihood(model, PROCESS, x, tolerance=0.01),
    "free theory": free_log_density,
}
SEVERAL = WAYS | {
    "images": lambda model, x: image_bound(model, PROCESS, x, 1),
    "search": lambda model, x: step_bound(model, PROCESS, x, 2),
}


@pytest.mark.parametrize("way", SEVERAL)
def test_fields_of_another_shape_are_one_sentence(way):
    shape = ", ".join(map(str, MODEL.basis.shape))
    for x, got in ((X[0], r"\); for one field give x\[None\]\."), (X[:0], r"\)\."), (X[None], "")):
        wanted = rf"fields x must have shape \(B, {shape}\) with B ≥ 1, got \("
        with pytest.raises(ValueError, match=f"{wanted}.*{got}"):
            SEVERAL[way](MODEL, x)


@pytest.mark.parametrize("way", WAYS)
def test_as_many_fields_as_a_model_was_given_parts_of(way):
    given = Conditioned(MODEL, X, torch.full(MODEL.basis.shape, 0.5), generator())
    assert WAYS[way](given, X).isfinite().all()
    with pytest.raises(ValueError, match="2 samples do not fit a model that is given 3 fields"):
        WAYS[way](given, X[:2])


def test_as_many_samples_as_a_model_was_given_parts_of():
    given = Conditioned(MODEL, X, torch.full(MODEL.basis.shape, 0.5), generator())
    for draw in (
        lambda n: rg.sample(given, PROCESS, n, 2),
        lambda n: sample_with_density(given, PROCESS, n, 2).x,
        lambda n: sampler_density(given, PROCESS, n, 2).x,
    ):
        assert draw(3).shape == X.shape
        with pytest.raises(ValueError, match="5 samples do not fit a model that is given 3"):
            draw(5)
    one = Conditioned(MODEL, X[:1], torch.ones(MODEL.basis.shape))
    assert len(rg.sample(one, PROCESS, 5, 2)) == 5


def test_what_is_known_exactly_has_no_bound():
    known = torch.full(MODEL.basis.shape, 0.5)
    known[0, 0, 0] = 1
    for way in ("bound", "free theory"):
        with pytest.raises(ValueError, match="every reliability known must be below 1"):
            WAYS[way](Conditioned(MODEL, X, known), X)
