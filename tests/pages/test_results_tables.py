"""The tables and words of the Results page: what comes first, and what is said once."""

import json
import re
import shutil
from pathlib import Path

import pytest
from apptest import healthy, page_at
from streamlit.testing.v1 import AppTest

from pages._results import distances, figures, headline, perfect, phi4, sizes, titles
from pages._results.titles import titled
from pages._shared.tables import alike
from rgdiff_core.study.headline import Effect
from rgdiff_core.study.lattice.verdict import Difference
from tests.tiny_study import DATA, study_text

RESULTS = Path(__file__).resolve().parents[2] / "results"
with_images = pytest.mark.skipif(
    not (RESULTS / "study-cifar10.json").is_file(), reason="no results of CIFAR-10 here"
)


def visit(**link: str) -> AppTest:
    return healthy(page_at("pages/results.py", **link).run())


def shown(table) -> dict[str, str]:
    """Return the titles of the columns that a person sees, by name and in order."""
    told = json.loads(table.proto.columns)
    columns = {name: told.get(name, {}) for name in table.value}
    return {
        name: each.get("label") or name for name, each in columns.items() if not each.get("hidden")
    }


def test_what_all_rows_share_is_no_matter_of_rows_that_have_none():
    rows = [{"grid": "a", "seed": 0, "steps": 4}, {"grid": "", "seed": None, "steps": 8}]
    assert alike(rows, ("grid", "seed", "steps", "missing")) == {"grid": "a", "seed": 0}


@with_images
def test_the_table_of_distances_begins_with_the_distances(monkeypatch):
    monkeypatch.setenv("RGDIFF_RESULTS", str(RESULTS))
    at = visit(section="CIFAR-10", view="FID and KID")
    (table,) = (each for each in at.dataframe if "kernel" in each.value)
    order = list(shown(table))
    assert order[:6] == ["way", "n", "frechet", "kernel", "named", "steps"]
    alone = {name for name in order if len({*table.value[name]} - {"", None}) > 1}
    assert set(order[6:]) <= alone
    rows = json.loads((RESULTS / "distances-cifar10.json").read_text(encoding="utf-8"))["rows"]
    seeds = {row["seed"] for row in rows} - {None}
    assert ("seed" in order) == (len(seeds) > 1)
    told = next(each.value for each in at.caption if each.value.startswith("In all rows"))
    assert ("*seed*" in told) == (len(seeds) == 1)


@pytest.fixture
def tiny(monkeypatch, tmp_path):
    """Show a study at a tiny budget."""
    (tmp_path / f"study-{DATA}.json").write_text(study_text(), encoding="utf-8")
    monkeypatch.setenv("RGDIFF_RESULTS", str(tmp_path))


def test_the_table_of_methods_fits_until_all_columns_are_asked_for(tiny):
    at = visit(section="φ⁴ theory")
    (few,) = (shown(each) for each in at.dataframe[:1])
    assert list(few)[:3] == ["arm", "kl", "change"] and set(few) <= set(phi4.FIRST)
    at.toggle(key="columns").set_value(True).run()
    every = shown(at.dataframe[0])
    assert list(every)[: len(few) - 1] == list(few)[:-1] and "acceptance" in every
    assert "seeds" not in every  # they are alike: said below
    assert "*seeds* 0, 1" in next(x.value for x in at.caption if x.value.startswith("In all rows"))


def test_the_head_tells_numbers_with_a_unit_from_those_without(tiny):
    (head,) = (x.value for x in visit(section="φ⁴ theory").markdown if "Monte Carlo" in x.value)
    assert re.search(r"log Z = [−\d.]+\(\d+\) nats; log Z = ", head)
    assert re.search(r"susceptibility χ = [\d.]+\(\d+\)\.$", head)


def test_the_command_is_said_once_and_folded(tiny):
    at = visit(section="φ⁴ theory")
    told = [x.value for x in at.caption if "rgdiff study phi4" in x.value]
    (folded,) = (x for x in at.expander if x.label == "Method and reproduction")
    assert told == [x.value for x in folded.caption]


@with_images
def test_methods_on_images_are_described_in_a_fold(monkeypatch):
    monkeypatch.setenv("RGDIFF_RESULTS", str(RESULTS))
    at = visit(section="CIFAR-10", view="Spectra")
    (folded,) = (x for x in at.expander if x.label == "Method and reproduction")
    told = [x.value for x in at.markdown if "was trained once" in x.value]
    assert told == [x.value for x in folded.markdown]
    assert "cifar10-haar" not in told[0] and "Haar wavelets" in told[0]


@with_images
def test_a_curve_of_two_points_is_no_figure(monkeypatch):
    monkeypatch.setenv("RGDIFF_RESULTS", str(RESULTS))
    found = json.loads((RESULTS / "distances-cifar10.json").read_text(encoding="utf-8"))
    at = visit(section="CIFAR-10", view="FID and KID")
    heads = "\n".join(x.value for x in at.markdown)
    for axis, title in distances.AXES.items():
        telling = any(len(curve.x) > 2 for curve in distances.curves(found, axis))
        assert (f"**KID by {title}**" in heads) == telling


def test_models_are_called_by_their_titles(monkeypatch):
    assert titled("phi4-6x6") == "φ⁴ 6×6, symmetric"
    assert titled("phi4-couplings-sizes") == titles.RESEARCH["phi4-couplings-sizes"]
    assert titled("unknown") == "unknown"
    assert titles.with_titles("guidance 2 by phi4-6x6") == "guidance 2 by φ⁴ 6×6, symmetric"
    assert titles.with_titles("guidance 2") == "guidance 2"
    within = titles.with_titles("guidance 2 by phi4-6x6, log-SNR -2 to 4")
    assert within == "guidance 2 by φ⁴ 6×6, symmetric, log-SNR -2 to 4"
    monkeypatch.setitem(titles.RESEARCH, "other", "φ⁴ 6×6, symmetric")
    assert {titled("phi4-6x6"), titled("other")} == {
        "φ⁴ 6×6, symmetric (phi4-6x6)",
        "φ⁴ 6×6, symmetric (other)",
    }


def test_the_lowest_number_of_each_data_set_is_named():
    def effect(method: str, value: float) -> Effect:
        return Effect(method, method, "x", Difference(value, 0.1, 30), 1.0)

    known = {
        "a": [effect("white-scalar", -2.0), effect("matched-component", -1.0)],
        "b": [effect("white-scalar", -0.01), effect("matched-component", 3.0)],
        "c": [effect("white-scalar", 0.01), effect("matched-component", 1.0)],
        "d": [effect("white-scalar", 0.01), effect("matched-component", -1.0)],
    }
    assert headline.nearest(known) == (
        "Nearest to the data, by the number alone: **white noise, scalar schedule, our denoiser** "
        "on two data sets; **standard diffusion** on c; **matched noise, component-wise schedule, "
        "our denoiser** on d."
    )


@pytest.mark.parametrize(
    ("section", "view"), [("Larger lattices", ""), ("CIFAR-10", "FID and KID")]
)
def test_no_file_name_stands_for_a_model(monkeypatch, section, view):
    monkeypatch.setenv("RGDIFF_RESULTS", str(RESULTS))
    at = visit(section=section, **({"view": view} if view else {}))
    figures = "".join(each.proto.spec for each in at.get("plotly_chart"))
    told = [x.value for x in at.markdown] + [x.value.to_csv() for x in at.dataframe] + [figures]
    for name in ("phi4-couplings-sizes", "phi4-blocks", "phi4-standard-sizes", "cifar10-cond"):
        assert not [text for text in told if name in text]


def test_a_model_without_a_title_can_be_chosen_and_linked_to(monkeypatch, tmp_path):
    text = (RESULTS / sizes.FILE).read_text(encoding="utf-8").replace("phi4-blocks", "my-own")
    (tmp_path / sizes.FILE).write_text(text, encoding="utf-8")
    monkeypatch.setenv("RGDIFF_RESULTS", str(tmp_path))
    at = healthy(visit(**{"section": "Larger lattices", "sizes-model": "my-own"}))
    healthy(at.run())
    assert not at.warning and at.session_state["sizes-model"] == "my-own"
    assert at.query_params["sizes-model"] in ("my-own", ["my-own"])


def test_no_two_arms_that_are_drawn_together_have_one_colour():
    names = ("cifar10-standard", "cifar10-matched")
    arms = [{"name": name} for name in names]
    arms += [{"name": n, "group": "matched-component", "model": "cifar10"} for n in "abcdef"]
    colors = [color for color, _ in figures.looks(arms)]
    assert len({*colors, figures.REAL}) == 1 + len(arms)
    assert colors[: len(names)] == [figures.LOOKS[name][0] for name in names]


def test_the_models_of_an_ablation_are_named_whole_with_what_they_were_trained_for():
    name = "study-phi4-6x6-critical.json"
    found = json.loads((RESULTS / name).read_text(encoding="utf-8"))
    budget = found["budget"]
    at = visit(section="φ⁴ theory", theory=found["theory"]["data"], figure="Ablation")
    lists = [each.value for each in at.markdown if each.value.startswith("1. ")]
    for told, chain in zip(lists, (found["ablation"], found["ablation_reversed"]), strict=True):
        assert told.split("\n") == [f"{n}. {row['title']}" for n, row in enumerate(chain, 1)]
    steps = f"had {budget['ablation_steps']:,} steps and {budget['ablation_seeds']} seeds"
    assert any(steps in each.value for each in at.caption)
    assert not any("*… " in each.value for each in at.caption)


def test_the_summary_begins_with_what_is_nearest_then_the_perfect_denoiser(monkeypatch, tmp_path):
    shutil.copy(RESULTS / perfect.FILE, tmp_path)
    (tmp_path / f"study-{DATA}.json").write_text(study_text(), encoding="utf-8")
    monkeypatch.setenv("RGDIFF_RESULTS", str(tmp_path))
    told = [each.value for each in visit(section="Summary").markdown]
    assert told[0].startswith("Nearest to the data, by the number alone: ")
    assert "Compared with standard diffusion on one data set" in told[0]
    assert re.match(r".*the best of [\d to]+ .*, chosen on these very numbers, ", told[1])
