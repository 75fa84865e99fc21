"""Classes and guidance on the Samples page: in links, messages, samples and Python lines."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from container import unpack
from samplespage import SMALL, at_bench, choose, healthy, rest, state, visit

import rgdiff_core as rg
from pages._samples import files
from pages._samples.messages import samples_message
from pages._samples.state import SamplesState, start
from pages._samples.views import words
from pages._sampling import models
from pages._sampling.draw import process
from pages._sampling.setting import Setting, Zoom
from rgdiff_core.data import store
from rgdiff_core.data.records import Record
from rgdiff_core.denoisers import GuidanceCurve, free_theory, guided
from tests.classes import NAMES, install_model, make_images

pytestmark = pytest.mark.usefixtures("folders")


@pytest.fixture
def kinds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Setting:
    """Install a model of three classes, and return a setting of it."""
    if "kinds" not in {each.name for each in rg.data.available()}:
        make_images(tmp_path / "kinds.npz")
        rg.data.register_folder(tmp_path / "kinds.npz")
    rg.data.load("phi4-6x6", limit=1)  # made once, for a model without classes
    install_model(tmp_path / "pretrained")
    monkeypatch.setenv("RGDIFF_PRETRAINED", str(tmp_path / "pretrained"))
    return Setting("pretrained/kinds", steps=4)


def test_a_class_and_guidance_are_in_the_link_the_message_and_the_samples(kinds: Setting):
    bench = replace(SMALL, setting=replace(kinds, class_label=1, guidance=2.5))
    at = at_bench(bench)
    assert state(at).setting.class_label == 1 and state(at).setting.guidance == 2.5
    assert "class dog  \nguidance 2.5 by the null label" in words(state(at).setting)
    told, _ = unpack(samples_message(state(at).to_json(), "s", True))
    assert told["classes"] == list(NAMES) and told["guidance_max"] == 6
    assert (told["state"]["class_label"], told["state"]["guidance"]) == (1, 2.5)
    healthy(rest(at, class_label=2, guidance=1.0))
    assert (state(at).setting.class_label, state(at).setting.guidance) == (2, 1.0)
    own = state(at)
    source = models.load(own.setting)
    known = rg.sample(
        source.denoiser,
        process(own.setting, source),
        6,
        4,
        own.setting.sampler,
        seed=own.seed,
        class_labels=torch.tensor([2]),
    )
    torch.testing.assert_close(files.drawn(own.request), known)
    healthy(choose(at, "model", "free/phi4-6x6"))
    assert (state(at).setting.class_label, state(at).setting.guidance) == (-1, 1.0)


def test_each_class_is_drawn_in_its_own_way(kinds: Setting):
    each = [
        files.drawn(SamplesState(replace(kinds, class_label=k, guidance=s), n=3).request)
        for k, s in ((-1, 1.0), (-1, 3.0), (0, 1.0), (1, 1.0), (1, 3.0))
    ]
    for i, one in enumerate(each):
        assert all((one - other).abs().max() > 1e-3 for other in each[:i])


def test_guidance_by_scale_and_by_the_free_theory_is_that_of_the_core(kinds: Setting):
    points = [[0, 0.5], [0.4, 3], [1, 2]]
    curve = GuidanceCurve((0.0, 0.4, 1.0), (0.5, 3.0, 2.0))
    at = at_bench(replace(SMALL, setting=replace(kinds, class_label=1, guidance=2.0)))
    healthy(rest(at, guidance_points=points))
    assert state(at).setting.guidance == curve and state(at).setting.networks == 2
    assert "guidance through 0.5, 3, 2 over scales by the null label" in words(state(at).setting)
    assert state(at).component()["guidance_points"] == points
    drawn = files.drawn(state(at).request)
    healthy(rest(at, guidance_points=points, guide="free"))
    free = state(at)
    assert free.setting.guide == "free" and free.setting.networks == 1
    source = models.load(free.setting)
    lead = guided(
        source.denoiser, torch.tensor([1]), curve, reference=free_theory(source.denoiser)
    )
    forward, sampler = process(free.setting, source), free.setting.sampler
    known = rg.sample(lead, forward, 6, 4, sampler, seed=free.seed)
    torch.testing.assert_close(files.drawn(free.request), known)
    assert (known - drawn).abs().max() > 1e-3


def test_a_level_guidance_curve_is_the_constant(kinds: Setting):
    level = GuidanceCurve((0.0, 1.0), (2.5, 2.5))
    one, other = (
        files.drawn(SamplesState(replace(kinds, class_label=0, guidance=s), n=3).request)
        for s in (2.5, level)
    )
    torch.testing.assert_close(one, other)


@pytest.mark.parametrize(
    ("told", "word"),
    [
        ({"guide": "teacher"}, "guide"),
        ({"guidance": {"kind": "GuidanceCurve", "values": [1, 9]}}, "guidance"),
        ({"guidance": {"kind": "GuidanceCurve", "scales": [0, 0.5]}}, "scales"),
        ({"class_label": 3}, "class label 3"),
        ({"class_label": -2}, "class_label"),
        ({"guidance": 1e9}, "guidance"),
        ({"guidance": 0.5}, "guidance"),
    ],
)
def test_a_class_that_does_not_exist_is_one_sentence(kinds: Setting, told: dict, word: str):
    link = json.loads(replace(SMALL, setting=kinds).to_json())
    link["setting"] |= told
    at = visit(state=json.dumps(link))
    assert not at.exception
    assert [word in error.value and "\n" not in error.value for error in at.error] == [True]


def test_another_set_of_the_same_name_is_not_the_models_data(kinds: Setting, tmp_path: Path):
    bench = replace(SMALL, setting=replace(kinds, zoom=Zoom(1, 0.5, 0.1)))
    rg.data.delete("kinds")
    try:
        np.savez(tmp_path / "kinds.npz", images=np.zeros((60, 8, 8), dtype=np.uint8))
        rg.data.register_folder(tmp_path / "kinds.npz")
        at = at_bench(replace(SMALL, setting=kinds))
        (told,) = [each.value for each in at.info if "nothing to compare" in each.value]
        assert "1×4×4, those of the data set 'kinds' are 1×8×8" in told
        at = visit(state=bench.to_json())
        assert not at.exception
        assert any("another set of this name" in each.value for each in at.warning)
    finally:
        rg.data.delete("kinds")


def test_a_zoom_begins_with_an_image_of_the_class(kinds: Setting):
    labels = rg.data.load("kinds").labels
    assert labels is not None
    for label, wanted in ((-1, 0), (2, int((labels == 2).nonzero()[0]))):
        at = at_bench(replace(SMALL, setting=replace(kinds, class_label=label)))
        healthy(at.toggle(key="samples-zoom").set_value(True).run())
        zoom = state(at).setting.zoom
        assert zoom is not None and zoom.image == wanted


def test_samples_of_a_class_are_compared_with_data_of_that_class(kinds: Setting):
    """And with all where a setting of another class stands beside them."""
    data = rg.data.load("kinds")
    assert data.labels is not None
    one, other = (replace(kinds, class_label=label) for label in (1, 2))
    for pins, label in (((), 1), ((one,), 1), ((other,), -1)):
        table = _moments(at_bench(replace(SMALL, setting=one, pins=pins)))
        known = data.images if label < 0 else data.images[data.labels == label]
        assert f"| data, {NAMES[label] if label >= 0 else 'all classes'} |" in table
        mean = re.search(r"\| mean \| ([−\d.]+)", table)
        assert mean and float(mean[1].replace("−", "-")) == pytest.approx(
            float(known.mean()), abs=0.02
        )
        assert ("σ]" in table) == (label >= 0)
        distances = re.findall(r"^\| (spectrum, .*|.* by chance) \|  \| [.\d]+ \|", table, re.M)
        assert distances == ["spectrum, log distance", "the same, expected by chance"]


def _moments(at: Any) -> str:
    """Return the table of moments of a page."""
    (table,) = [each.value for each in at.markdown if "| mean |" in each.value]
    return table


def test_links_of_before_have_no_class_and_no_guidance():
    link = json.loads(SMALL.to_json())
    for name in ("class_label", "guidance", "guide"):
        del link["setting"][name]
    assert state(healthy(visit(state=json.dumps(link)))) == SMALL


@pytest.mark.parametrize(
    "change",
    [
        {"class_label": 1},
        {"class_label": 2, "guidance": 2.5},
        {"guidance": 1.5},
        {"class_label": 1, "guidance": GuidanceCurve((0.0, 1.0), (1.0, 3.0)), "guide": "free"},
        {"class_label": 0, "guidance": 2.0, "zoom": Zoom(1, 0.5, 0.1)},
    ],
)
def test_the_python_lines_know_class_and_guidance(kinds: Setting, change: dict):
    bench = SamplesState(replace(models.fitted(kinds), **change), n=3, seed=4)
    names: dict[str, Any] = {}
    exec(files.python_lines(bench), names)
    assert torch.equal(names["samples"], files.drawn(bench.request))


def test_the_page_opens_with_images_of_a_class_where_model_and_data_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    assert state(healthy(visit())) == start()  # without the data
    monkeypatch.setenv("RGDIFF_CACHE", str(tmp_path))
    images = np.random.default_rng(0).integers(0, 256, (20, 3, 32, 32), dtype=np.uint8)
    for split in ("train", "test"):
        store.write(tmp_path / "cifar10-v1", split, Record(images, np.arange(20) % 10, "made up"))
    first = state(healthy(visit()))
    assert first.setting.model == "pretrained/cifar10-conditional"
    assert first.setting.class_label == 1 and first.setting.guidance > 1
