"""Classes and guidance on the command line, in evaluation, and of a part of the data."""

import json

import numpy as np
import pytest
import torch

import rgdiff_core as rg
from rgdiff_core.cli.guidance import open_guide
from rgdiff_core.cli.main import main
from rgdiff_core.denoisers import (
    GaussianDenoiser,
    GuidanceCurve,
    ModelSpec,
    free_theory,
    guided,
)
from rgdiff_core.denoisers.conditional import Conditioned
from rgdiff_core.evaluation.images.bound import image_bound
from rgdiff_core.networks import LatticeNet
from tests.classes import NAMES, SIDE, make_images, make_model

SHAPE = (1, SIDE, SIDE)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Return a folder with a model of three classes, a weaker one, and labelled images."""
    home = tmp_path_factory.mktemp("guides")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RGDIFF_CACHE", str(home / "cache"))
        patch.setenv("RGDIFF_RUNS", str(home / "runs"))
        make_images(home / "kinds.npz")
        rg.data.register_folder(home / "kinds.npz")
        images = rg.data.load("kinds").images
        for name, classes, momentum in (
            ("model", NAMES, "lattice"),
            ("own", rg.data.load("kinds").class_names, "lattice"),  # as a run on them has
            ("weak", (), "lattice"),
        ):
            made = make_model(images, classes, momentum)
            rg.save_model(made, home / f"{name}.safetensors", {"data": "kinds"})
        other = GaussianDenoiser.fit(rg.bases.CosineBasis(SHAPE), images)
        made = ModelSpec(LatticeNet(4, 1)).build(other.basis, other.modes)
        rg.save_model(made, home / "cosine.safetensors", {"data": "kinds"})
        patch.chdir(home)
        yield home


@pytest.fixture
def model(home):
    return rg.load_model(home / "model.safetensors")


def process_of(model) -> rg.Process:
    return rg.Process(
        model.basis, rg.colors.Matched(), rg.schedules.LinearGamma(-8, 6), model.modes
    )


def drawn(*words: str) -> tuple[np.ndarray, np.ndarray | None]:
    fixed = ["--schedule", '{"kind":"LinearGamma","gamma_min":-8,"gamma_max":6}', "--steps", "4"]
    assert main(["sample", "model.safetensors", "--color", "Matched", *fixed, *words]) == 0
    with np.load("samples.npz") as file:
        return file["images"], file.get("labels")


@pytest.mark.parametrize(
    ("words", "labels", "scale", "guide"),
    [
        (["--class", "dog"], [1] * 5, 1.0, None),
        (["--class", "ship,0", "--guidance", "2.5"], [2, 0, 2, 0, 2], 2.5, None),
        (["--guidance", "2", "--guide", "free"], None, 2.0, "free"),
        (
            ["--class", "0", "--guidance", "3,1.5,1"],
            [0] * 5,
            GuidanceCurve((0.0, 0.5, 1.0), (3.0, 1.5, 1.0)),
            None,
        ),
        (
            ["--class", "cat", "--guidance", "3", "--guide", "weak.safetensors"],
            [0] * 5,
            3.0,
            "weak",
        ),
    ],
)
def test_samples_are_those_of_the_library(home, model, words, labels, scale, guide):
    images, told = drawn("--n", "5", *words)
    given = None if labels is None else torch.tensor(labels)
    other = {"free": free_theory(model), "weak": rg.load_model(home / "weak.safetensors")}
    lead = guided(model, given, scale, reference=None if guide is None else other[guide])
    known = rg.sample(lead, process_of(model), 5, 4, seed=0)
    np.testing.assert_allclose(images, known.numpy(), atol=1e-5)
    plain, none = drawn("--n", "5")
    assert none is None and np.abs(images - plain).max() > 1e-3
    assert (None if told is None else told.tolist()) == labels


def test_guidance_acts_in_its_interval_alone():
    words = ("--n", "3", "--class", "dog")
    plain, _ = drawn(*words)
    there, _ = drawn(*words, "--guidance", "4", "--guidance-interval", "-9", "9")
    nowhere, _ = drawn(*words, "--guidance", "4", "--guidance-interval", "30", "40")
    np.testing.assert_allclose(nowhere, plain, atol=1e-6)
    assert np.abs(there - plain).max() > 1e-3


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--class", "horse"], "its classes are cat, dog, ship"),
        (["--class", "3"], "'3' is not a class"),
        (["--class", "dog,"], "'' is not a class"),
        (["--class", ""], "'' is not a class"),
        (["--color", ""], "unknown kind ''"),
        (["--guidance", "2", "--guide", ""], "'' is no pretrained model"),
        (["--guidance", "2"], "needs a class"),
        (["--class", "dog", "--guidance", "1e9"], "outside [0, 50]"),
        (["--guide", "free", "--guidance", "-1"], "outside [0, 50]"),
        (["--guide", "free"], "add --guidance"),
        (["--guidance-interval", "1", "2"], "add --guidance"),
        (
            ["--class", "dog", "--guidance", "2", "--guidance-interval", "3", "-3"],
            "guidance_interval = (3, -3) is empty",
        ),
        (["--guidance", "2", "--guide", "cosine.safetensors"], "another basis"),
        (["--guidance", "2", "--guide", "nobody"], "'nobody' is no pretrained model"),
    ],
)
def test_what_does_not_fit_is_one_sentence(home, capsys, words, says):
    assert main(["sample", "model.safetensors", "--n", "2", *words]) == 1
    told = capsys.readouterr().err
    assert says in told and told.count("\n") == 1


def test_an_interval_of_guidance_is_of_finite_numbers(home, capsys):
    with pytest.raises(SystemExit):
        main(["sample", "model.safetensors", "--guidance-interval", "nan", "3"])
    assert "'nan' is not a finite number" in capsys.readouterr().err


def test_help_says_that_a_guide_has_no_class(capsys):
    for words in (["sample"], ["study", "distances"]):
        with pytest.raises(SystemExit):
            main([*words, "--help"])
        assert "the same data, without the class" in " ".join(capsys.readouterr().out.split())


def test_a_guide_along_a_line_is_at_the_couplings_of_the_model():
    model = rg.load_pretrained("phi4-6x6-line").at(-4.0, 6.25)
    assert open_guide("phi4-6x6-line", model).couplings == (-4.0, 6.25)
    with pytest.raises(ValueError, match="the guide is for fields"):
        open_guide("phi4-8x8", model)


def test_a_model_without_classes_says_so(home, capsys):
    assert main(["sample", "weak.safetensors", "--class", "dog"]) == 1
    assert "this model has no classes" in capsys.readouterr().err


def test_classes_make_different_fields_and_a_models_own_labels_are_kept(model):
    process = process_of(model)
    each = [
        rg.sample(model, process, 3, 4, seed=1, class_labels=torch.tensor([label]))
        for label in (-1, 0, 1, 2)
    ]
    for i, one in enumerate(each):
        for other in each[:i]:
            assert (one - other).abs().max() > 1e-3
    kept = rg.sample(model.given(torch.tensor([1])), process, 3, 4, seed=1)
    assert torch.equal(kept, each[2])


@pytest.mark.parametrize("method", ["dpmpp_2m", "interaction", "shell"])
def test_a_guide_with_other_statistics_gives_the_same_mean_everywhere(model, method):
    other = make_model(2 * rg.data.load("kinds").images, ())
    lead = guided(model, torch.tensor([1]), 1.7, reference=other)
    marginal = process_of(model).vp_marginal(0.4)
    c = torch.randn(3, *SHAPE)
    found, free = lead.posterior(c, marginal), lead.free(c, marginal)
    torch.testing.assert_close(
        lead.interaction(c, marginal), (found.mean - free.mean) / free.variance.sqrt()
    )
    assert rg.sample(lead, process_of(model), 2, 3, method, seed=0).isfinite().all()


def test_a_guided_model_is_given_a_part_of_the_data(model):
    """What is known is kept; for κ = 0 nothing but guidance is left."""
    process, x = process_of(model), rg.data.load("kinds").images[:1]
    lead = guided(model, torch.tensor([2]), 3.0)
    known = (model.basis.scale < 0.4).float().expand(SHAPE)
    kept = rg.sample(Conditioned(lead, x, known), process, 4, 6, "interaction", seed=0)
    c, data = model.basis.analyze(kept), model.basis.analyze(x)
    inside = known.bool()
    torch.testing.assert_close(c[:, inside], data[:, inside].expand(4, -1), atol=1e-4, rtol=0)
    nothing = Conditioned(lead, x, torch.zeros(SHAPE))
    torch.testing.assert_close(
        rg.sample(nothing, process, 2, 4, seed=0), rg.sample(lead, process, 2, 4, seed=0)
    )


def test_a_guide_that_knows_the_time_alone_is_refused(model):
    spec = ModelSpec(LatticeNet(4, 1), conditioning="time")
    timed = spec.build(model.basis, model.modes)
    for pair in ((model, timed), (timed, model)):
        lead = guided(pair[0], None, 2.0, reference=pair[1])
        with pytest.raises(ValueError, match="conditioned on the time alone"):
            Conditioned(lead, torch.zeros(1, *SHAPE), torch.ones(SHAPE))


def test_a_model_with_classes_is_evaluated_with_labels_and_without(home, capsys):
    model = rg.load_model(home / "own.safetensors")
    words = ["own.safetensors", "--n", "24", "--steps", "3", "--flow", "2", "--json"]
    assert main(["evaluate", *words]) == 0
    report = json.loads(capsys.readouterr().out)
    test = rg.data.load("kinds", "test", 24)
    process = rg.Process(
        model.basis,
        rg.colors.Color.from_json(report["color"]),
        rg.schedules.Schedule.from_json(report["schedule"]),
        model.modes,
    )
    each = torch.stack(
        [
            image_bound(model.given(None), process, test.images, 8, 0).bits,
            image_bound(model, process, test.images, 8, 0, class_labels=test.labels).bits,
        ]
    )
    assert report["num_classes"] == 3
    for name, bits in zip(("bits", "class_bits"), each, strict=True):
        assert report[name]["value"] == pytest.approx(float(bits.mean()), rel=1e-5)
    assert report["bits"] != report["class_bits"]
    assert report["flow_bits"] != report["class_flow_bits"]
    assert main(["evaluate", *words[:-1]]) == 0
    said = capsys.readouterr().out
    assert "given the class of each image" in said and "the 3 classes in turn" in said
