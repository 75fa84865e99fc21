"""Recipes on the Results page, from the repository's own files."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from apptest import healthy, page_at
from streamlit.testing.v1 import AppTest

from pages._results import recipes
from pages._shared.tables import bracketed

RESULTS = Path(__file__).resolve().parents[2] / "results"
RECIPES = RESULTS / "recipe-cifar10.json"
pytestmark = pytest.mark.skipif(not RECIPES.is_file(), reason="no results of CIFAR-10 here")


def visit(**link: str) -> AppTest:
    return page_at("pages/results.py", **link).run()


def test_two_budgets_with_distances_have_a_figure_each(monkeypatch, tmp_path):
    """In the second all recipes have one process, so that they are called by what they change."""
    shutil.copy(RESULTS / "study-cifar10.json", tmp_path)
    monkeypatch.setenv("RGDIFF_RESULTS", str(tmp_path))
    found = json.loads(RECIPES.read_text(encoding="utf-8"))
    first = next(each for each in found["budgets"] if each["steps"] == 800)
    base = first["arms"][0]
    arms = [base, base | {"name": f"{base['name']}+larger", "title": f"{base['title']}; larger"}]
    found["budgets"] = [first, first | {"steps": 1600, "arms": arms}]
    (tmp_path / RECIPES.name).write_text(json.dumps(found), encoding="utf-8")
    at = healthy(visit(section="CIFAR-10", view="Recipes"))
    assert len(at.get("plotly_chart")) == 2 and not at.warning
    first_told, told = map(recipes.sentence, found["budgets"])
    assert (first_told.count("**"), told.count("**")) == (2 * len(first["arms"]), 4)
    assert "- the first recipe: **" in told and "\n- larger: **" in told
    assert " 1,600 steps, 3 seeds," in told and " 800 steps, 1 to 3 seeds," in first_told


def test_recipes_stand_beside_the_first_of_their_budget(monkeypatch):
    monkeypatch.setenv("RGDIFF_RESULTS", str(RESULTS))
    at = healthy(visit(section="CIFAR-10", view="Recipes"))
    found = json.loads(RECIPES.read_text(encoding="utf-8"))
    tables = [d.value for d in at.dataframe if "recipe" in d.value]
    trained = [(each["steps"] or 0, each["core_minutes"] or 0) for each in found["budgets"]]
    order = sorted(range(len(trained)), key=trained.__getitem__, reverse=True)
    budgets = [found["budgets"][number] for number in order]
    assert [len(each) for each in tables] == [len(each["arms"]) for each in budgets]
    headings = [recipes.heading(budget) for budget in budgets]
    assert set(headings) <= {each.value for each in at.markdown}
    assert len(set(headings)) == len(headings)
    for budget in budgets:
        told = recipes.sentence(budget)
        measured = [arm for arm in budget["arms"] if arm.get("kernel")]
        assert bool(told) == bool(measured) and told.count("**") == 2 * len(measured)
        assert (told in [each.value for each in at.markdown]) == bool(told)
        alike = len({len(arm["steps"]) for arm in budget["arms"]}) == 1
        for arm in measured:
            seeds = "" if alike else f" ({len(arm['steps'])} seed{'s' * (len(arm['steps']) > 1)})"
            less, kernel = arm["bits_less_base"], arm["kernel"]
            size = less and bracketed(abs(less["value"]), less["error"])
            side = "more" if less and less["value"] > 0 else "fewer"
            end = f", {size} bits/dim {side}\n" if less else "\n"
            if less and abs(less["value"]) < 2 * less["error"]:
                end = f", bits/dim not told apart (±{less['error']:.2g})\n"
            number = f"**{bracketed(kernel['value'], kernel['error'])}**"
            assert f"{seeds}: {number}{end}" in f"{told}\n"
    arms = [(budget, arm) for budget in budgets for arm in budget["arms"]]
    lines = [row for table in tables for _, row in table.iterrows()]
    for (budget, arm), row in zip(arms, lines, strict=True):
        (first,) = (each for each in budget["arms"] if each["name"] == budget["base"])
        assert row["recipe"] in (arm["name"], arm["name"].removeprefix(budget["base"]))
        parts = first["title"].split("; ")
        added = [part for part in arm["title"].split("; ") if part not in parts]
        whole = arm is first or not arm["title"].startswith(first["title"])
        assert row["about"] == (arm["title"] if whole else "; ".join(added))
        assert row["band"] == pytest.approx(arm["band"]["value"])
        if np.isnan(row["change"]):  # another process holds other components in the band
            noises = [each["config"].get("noise") for each in (arm, first)]
            assert arm is first or noises[0] != noises[1]
        else:
            assert row["change"] == arm["band_less_base"]["value"]
            if len(arm["steps"]) == len(first["steps"]):  # else of the seeds that both have
                off = arm["band"]["value"] - first["band"]["value"]
                assert row["change"] == pytest.approx(off, abs=1e-9)
