"""The tables of the Results page: the order of their columns, and what is said below instead."""

import json
from pathlib import Path

import pytest
from apptest import healthy, page_at
from streamlit.testing.v1 import AppTest

from pages._results.provenance import alike

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
        name: each.get("label") or name
        for name, each in columns.items()
        if not each.get("hidden")
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
