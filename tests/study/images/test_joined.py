"""Results of models that were computed alone, beside those that a file has of the others."""

import json
from pathlib import Path

import pytest

from rgdiff_core.cli import study_cifar10
from rgdiff_core.spec import to_dict
from rgdiff_core.study.cells import Cells
from rgdiff_core.study.images.arms import BASELINE, MODELS
from rgdiff_core.study.images.budget import BUDGETS
from rgdiff_core.study.images.study import ImageStudy
from rgdiff_core.study.images.summary import joined

OTHER, LAST = "cifar10", "cifar10-haar"


def results(*names: str, bits: float = 3.0, **changes) -> dict:
    """Return what a run of models leaves, with one arm of each."""
    compared = BASELINE in names
    arms = [
        {"name": f"{name}/white/linear", "model": name, "bits": bits}
        | {"against_baseline": {"bits": bits} if compared and name != BASELINE else None}
        for name in names
    ]
    return {
        "models": [{"name": name, "bits": bits} for name in names],
        "arms": arms,
        "scans": [],
        "search": [{"arm": arm["name"]} for arm in arms],
        "pictures": [{"arm": name} for name in ("floor", *(arm["name"] for arm in arms))],
        "floor": {"metrics": {"sharpness": 1.0}},
        "missing": [name for name in MODELS if name not in names],
        "machines": {"bits": ["x86_64"]},
        "command": f"rgdiff study cifar10 --only {' '.join(names)}",
        "complete": {"cells": 1, "failed": []},
        "budget": to_dict(BUDGETS["tiny"]),
        "finished": True,
        "unfinished": [],
    } | changes


def failed(*texts: str) -> dict:
    return {"finished": False, "complete": {"cells": 1, "failed": list(texts)}}


def known_of(path: Path) -> dict:
    """Read a file for a study without networks of features."""
    study = ImageStudy({}, BUDGETS["tiny"], Cells(path.parent / "work"), features=())
    return study_cifar10._known(path, study)


def test_a_baseline_that_is_computed_again_takes_the_differences_to_the_former_one_away():
    found = joined(results(BASELINE, OTHER), results(BASELINE, bits=9.9))
    assert [arm["bits"] for arm in found["arms"]] == [9.9, 3.0]
    assert [arm["against_baseline"] for arm in found["arms"]] == [None, None]


def test_differences_stay_where_the_baseline_does():
    found = joined(results(BASELINE, OTHER, LAST), results(OTHER))
    known = [arm["against_baseline"] for arm in found["arms"]]
    assert known == [None, None, {"bits": 3.0}]


def test_models_computed_with_the_baseline_have_their_differences_to_it():
    found = joined(results(BASELINE, OTHER, LAST), results(BASELINE, LAST, bits=4.0))
    known = [arm["against_baseline"] for arm in found["arms"]]
    assert known == [None, None, {"bits": 4.0}]


@pytest.mark.parametrize("name", [BASELINE, OTHER, LAST])
def test_rows_stay_in_the_order_of_the_models(name):
    known = results(BASELINE, OTHER, LAST)
    found = joined(known, results(name))
    for part in ("models", "arms", "search", "pictures"):
        names = [row.get("name") or row["arm"] for row in found[part]]
        assert names == [row.get("name") or row["arm"] for row in known[part]], part


def test_real_images_may_come_with_the_later_run():
    known = results(OTHER, floor=None, pictures=[], **failed("floor: no memory"))
    found = joined(known | {"unfinished": []}, results(LAST))
    assert next(row["arm"] for row in found["pictures"]) == "floor"
    assert found["floor"] and found["complete"]["failed"] == [] and found["finished"]


def test_failures_of_the_models_that_are_kept_are_kept():
    texts = ("bits of cifar10/white/linear: no memory", "samples of cifar10-small/x: full")
    known = results(BASELINE, OTHER, "cifar10-small", **failed(*texts))
    found = joined(known, results("cifar10-small"))
    assert found["complete"]["failed"] == [texts[0]] and not found["finished"]
    found = joined(found, results(OTHER, **failed("flow of cifar10/x: full")))
    assert found["complete"]["failed"] == ["flow of cifar10/x: full"] and not found["finished"]
    found = joined(found, results(OTHER))
    assert found["complete"]["failed"] == [] and found["finished"]


def test_a_phase_that_failed_is_repeated_by_a_later_run_of_all_models():
    known = results(BASELINE, OTHER, **failed("flow: no memory"))
    found = joined(known, results(OTHER))
    assert found["complete"]["failed"] == ["flow: no memory"] and not found["finished"]
    found = joined(known, results(BASELINE, OTHER))
    assert found["complete"]["failed"] == [] and found["finished"]


def test_a_model_is_unfinished_until_it_is_computed():
    known = results(BASELINE, OTHER, finished=False)
    del known["unfinished"]  # as in older files
    found = joined(known, results(OTHER))
    assert found["unfinished"] == [BASELINE] and not found["finished"]
    stopped = joined(found, results(BASELINE, finished=False, unfinished=[BASELINE]))
    assert stopped["unfinished"] == [BASELINE] and not stopped["finished"]
    assert joined(stopped, results(BASELINE))["finished"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"budget": to_dict(BUDGETS["cpu"])}, "was made with another budget"),
        (
            {"floor": {"metrics": {"frechet_inception": 1}}},
            "by features of inception, not of none",
        ),
        ({"scans": None}, "can't be read"),
        ({"arms": [3]}, "a row of its arms is no object"),
        ({"arms": [{"name": "x"}]}, "missing 'arm'"),
        ({"pictures": [{"arm": 3}]}, "can't be read"),
        ({"missing": [3]}, "3 stands where a text should"),
        ({"budget": 3}, "can't be read"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(changes, said, tmp_path: Path):
    path = tmp_path / "study-cifar10.json"
    path.write_text(json.dumps(results(BASELINE) | changes), encoding="utf-8")
    with pytest.raises(ValueError, match=said):
        known_of(path)


def test_parts_that_are_missing_are_named(tmp_path: Path):
    path = tmp_path / "study-cifar10.json"
    path.write_text(json.dumps(results(BASELINE)), encoding="utf-8")
    assert known_of(path) == results(BASELINE)
    path.write_text(json.dumps({"arms": [], "scans": []}), encoding="utf-8")
    with pytest.raises(ValueError, match="missing command, complete, finished, floor, machines"):
        known_of(path)
