"""The Results page: what stands beside the studies, from the repository's own files."""

import json
import shutil
from base64 import b64decode
from pathlib import Path

import numpy as np
import pytest
from apptest import healthy, page_at
from streamlit.testing.v1 import AppTest

from pages._results import cost, distances, perfect, sizes
from pages._results.titles import titled
from rgdiff_core.spec import from_dict
from rgdiff_core.study.images.distances_drawn import REAL
from rgdiff_core.study.lattice.schedule_summary import same_curve

RESULTS = Path(__file__).resolve().parents[2] / "results"
RECIPES = RESULTS / "recipe-cifar10.json"
with_images = pytest.mark.skipif(not RECIPES.is_file(), reason="no results of CIFAR-10 here")


def visit(**link: str) -> AppTest:
    return page_at("pages/results.py", **link).run()


def test_larger_lattices_are_judged_by_what_was_not_given(monkeypatch, tmp_path):
    """The repository's own file: every sentence and number follows from it."""
    shutil.copy(RESULTS / sizes.FILE, tmp_path)
    monkeypatch.setenv("RGDIFF_RESULTS", str(tmp_path))
    at = healthy(visit(section="Larger lattices"))
    found = json.loads((tmp_path / sizes.FILE).read_text(encoding="utf-8"))
    model = next(each["rows"][0]["model"] for each in found["sizes"])  # the first in the menu
    told = sizes.scores(found, model)
    assert told in [each.value for each in at.markdown]
    mine = [
        (each["size"], row)
        for each in found["sizes"]
        for row in each["rows"]
        if row["model"] == model and row["kind"] in ("run", "grown", "scaling", "chain")
    ]
    table = at.dataframe[0].value
    assert list(table["L"]) == [size for size, _ in mine]
    for (_, row), (_, line) in zip(mine, table.iterrows(), strict=True):
        percent = float(line["⟨φ²⟩, %"].split("(")[0].replace("−", "-"))
        assert percent == pytest.approx(row["observables"]["phi2"]["percent"], abs=0.6)
        grown = row["kind"] in ("grown", "chain")
        assert (not isinstance(line["Binder cumulant, %"], str)) == grown
    huge = {"percent": 1e30, "deviation": 0.9, "value": 1e30, "error": 1e30}
    for row in found["sizes"][0]["rows"]:
        if row["kind"] == "run" and row["model"] == model:
            row["observables"]["phi2"] = huge
    size = found["sizes"][0]["size"]
    assert f"| **{size}×{size}** | fields diverge | – |" in sizes.scores(found, model)
    (tmp_path / sizes.FILE).write_text(json.dumps(found), encoding="utf-8")
    again = healthy(visit(section="Larger lattices"))
    assert "diverges" in set(again.dataframe[0].value["⟨φ²⟩, %"])
    monkeypatch.setenv("RGDIFF_RESULTS", str(tmp_path / "nowhere"))
    empty = healthy(visit(section="Larger lattices"))
    assert sizes.COMMAND in [each.value for each in empty.code]


def test_what_is_too_noisy_to_tell_is_not_right():
    percents = {"phi2": (0.9, 9.0), "energy": (2.0, 1.0), "binder": (-30.0, -5.0)}
    percents |= {"correlation_length": (-9.0, -0.6), "susceptibility": (-1.0, -0.1)}
    observables = {
        name: {"value": 1.0, "error": 0.1, "percent": percent, "deviation": deviation}
        for name, (percent, deviation) in percents.items()
    }
    row = {"model": "m", "kind": "run", "observables": observables}
    found = {"sizes": [{"size": 8, "rows": [row]}], "observables": list(observables)}
    told = sizes.scores(found, "m")
    off = "Binder cumulant off by −30.0(60) %, 5.0 standard errors"
    cell = f"2 of 5 (1 within 1 % alone), 2 too noisy to tell; {off}"
    assert f"| **8×8** | {cell} | – |" in told


def test_what_a_site_costs_is_that_of_the_file(monkeypatch, tmp_path):
    shutil.copy(RESULTS / cost.FILE, tmp_path)
    monkeypatch.setenv("RGDIFF_RESULTS", str(tmp_path))
    at = healthy(visit(section="Larger lattices"))
    found = json.loads((tmp_path / cost.FILE).read_text(encoding="utf-8"))
    assert cost.sentence(found) in [each.value for each in at.markdown]
    rows = {(r["steps"], r["way"], r["size"]): r["evaluations"] for r in found["rows"]}
    white = rows["logsnr", "white", 256], rows["logsnr", "white", 8]
    assert f"white noise **{white[0]:.0f}** ({white[1]:.0f})" in cost.sentence(found)
    sizes_there = sorted({size for *_, size in rows})
    for chart, kind in zip(at.get("plotly_chart"), cost.KINDS, strict=True):
        drawn = json.loads(chart.proto.spec)["data"]
        lines = {each["name"]: np.frombuffer(b64decode(each["y"]["bdata"])) for each in drawn}
        for way, (label, _) in cost.WAYS.items():
            known = [rows[kind, way, size] for size in sizes_there]
            np.testing.assert_array_equal(lines[label], known)
    (tmp_path / cost.FILE).write_text('{"rows": [{"way": "white"}]}', encoding="utf-8")
    damaged = healthy(visit(section="Larger lattices"))
    assert any(cost.COMMAND in each.value for each in damaged.warning)
    (tmp_path / cost.FILE).unlink()
    assert cost.COMMAND in [each.value for each in healthy(visit(section="Larger lattices")).code]


def test_the_cost_of_a_field_is_that_of_the_file(monkeypatch, tmp_path):
    found = json.loads((RESULTS / sizes.FILE).read_text(encoding="utf-8"))
    seconds = {
        ("hmc", None): 200.0,
        ("clusters", None): 0.5,
        ("drawn", "m"): 3.0,
        ("chain", "m"): 1.0,
    }
    found["cost"] = [
        {"way": way, "model": model, "size": size, "seconds": size / 8 * each}
        for size in (8, 16)
        for (way, model), each in seconds.items()
    ]
    (tmp_path / sizes.FILE).write_text(json.dumps(found), encoding="utf-8")
    monkeypatch.setenv("RGDIFF_RESULTS", str(tmp_path))
    at = healthy(visit(section="Larger lattices"))
    told = (
        "At 16×16 the cheapest way to draw fields from a model, *m, grown*, costs **2 s** a "
        "field: "
        "200 times less than HMC (400 s) and 2 times more than HMC with clusters (1 s)."
    )
    assert any(told in each.value for each in at.markdown)
    charts = [json.loads(each.proto.spec)["data"] for each in at.get("plotly_chart")]
    chart = next(each for each in charts if each[0]["name"] == "HMC")
    assert [each["name"] for each in chart] == ["HMC", "HMC with clusters", "m, drawn", "m, grown"]
    np.testing.assert_array_equal(np.frombuffer(b64decode(chart[2]["y"]["bdata"])), [3.0, 6.0])
    found["cost"][0].pop("seconds")
    (tmp_path / sizes.FILE).write_text(json.dumps(found), encoding="utf-8")
    damaged = healthy(visit(section="Larger lattices"))
    assert any(sizes.COMMAND in each.value for each in damaged.warning)


def test_evaluations_and_trajectories_are_those_of_the_file(monkeypatch, tmp_path):
    found = json.loads((RESULTS / sizes.FILE).read_text(encoding="utf-8"))
    model = found["sizes"][0]["rows"][0]["model"]
    found["steps"] = [
        {"model": model, "way": way, "grid": "uniform", "size": size, "enough": enough}
        for size, way, enough in (
            (8, "white", 9.0),
            (16, "white", 11.5),
            (16, "octave", 3.0),
            (16, "chain", 3.0),
            (32, "white", None),
        )
    ]
    percents = {0: (9.0, 9.0), 2: (3.0, 3.0), 4: (-0.5, -1.0), 8: (0.1, 0.5)}
    found["relaxed"] = [
        {"model": model, "size": 16, "kind": kind, "n": 9, "trajectories": n, "seconds": n / 4}
        | {
            "observables": {
                name: {"value": 1.0, "error": 0.1, "percent": percent, "deviation": deviation}
                for name in found["observables"]
            }
        }
        for kind, last in (("run", 8), ("grown", 0), ("chain", 4))
        for n, (percent, deviation) in percents.items()
        if n <= last
    ]
    found["relaxed"][-3]["observables"]["energy"] |= {"percent": 0.5, "deviation": 0.5}
    (tmp_path / sizes.FILE).write_text(json.dumps(found), encoding="utf-8")
    monkeypatch.setenv("RGDIFF_RESULTS", str(tmp_path))
    link = {"section": "Larger lattices", "sizes-model": model}
    at = healthy(visit(**link))
    assert not at.warning and at.session_state["sizes-model"] == model
    told, title = [each.value for each in at.markdown], titled(model)
    evaluations = (
        f"Network evaluations per site: {title}, white noise, **12** at 16×16 (9 at 8×8) and "
        f"{title}, grown octave by octave, **3** at 16×16."
    )
    assert any(evaluations in each for each in told)
    end = "-0.50(50) % after **4** trajectories, 1 s a field"
    sentences = (
        f"drawn: energy 9.0(10) % off at first, {end}",
        "grown by an octave: energy 9.0(10) % off at first, 9.0(10) % after **0** trajectories, "
        "0 s a field, still too far off",
        f"grown from 8×8: energy 0.5(10) % off at first, 3.0(10) % after 2, {end}",
    )
    assert "; ".join(sentences) in [each.replace("−", "-") for each in told]
    charts = [json.loads(each.proto.spec) for each in at.get("plotly_chart")]
    energy = next(x for x in charts if x["data"] and x["data"][0]["name"] == "drawn")
    y = np.frombuffer(b64decode(energy["data"][0]["y"]["bdata"]))
    np.testing.assert_array_equal(y, [9.0, 3.0, -0.5, 0.1])
    assert energy["layout"]["xaxis"]["ticktext"] == ["0", "2", "4", "8"]
    found["relaxed"][0].pop("seconds")
    found["relaxed"][0]["observables"].pop("energy")
    (tmp_path / sizes.FILE).write_text(json.dumps(found), encoding="utf-8")
    damaged = healthy(visit(**link))
    assert any(sizes.COMMAND in each.value for each in damaged.warning)


def test_training_errors_stand_beside_the_gaps(monkeypatch, tmp_path):
    """The repository's own files: each row is a theory's gap and an arm's distance."""
    for name in (perfect.FILE, "study-phi4-8x8-critical.json"):
        shutil.copy(RESULTS / name, tmp_path)
    monkeypatch.setenv("RGDIFF_RESULTS", str(tmp_path))
    at = healthy(visit())
    trained, gaussian = (at.dataframe[i].value for i in (0, 1))
    found = json.loads((tmp_path / perfect.FILE).read_text(encoding="utf-8"))
    (theory,) = (t for t in found["theories"] if t["data"] == "phi4-8x8-critical")
    rows = {row["name"]: row for row in theory["processes"]}
    study = json.loads((tmp_path / "study-phi4-8x8-critical.json").read_text(encoding="utf-8"))
    assert set(trained["theory"]) == {theory["title"]}
    arms = {arm["title"]: arm for arm in study["arms"]}
    shown = {row["arm"]: row for _, row in trained.iterrows()}
    curves = {
        title: same_curve(from_dict(arm["color"]), from_dict(arm["schedule"]))
        for title, arm in arms.items()
    }
    assert set(shown) == {title for title, name in curves.items() if name in rows}
    assert "standard diffusion" in shown and len(shown) >= 3
    for title, row in shown.items():
        assert row["error"] == pytest.approx(arms[title]["metrics"]["kl"]["value"])
        assert row["gap"] == rows[curves[title]]["gap"]["best"]["16"]["value"]
    assert len(gaussian) == len(found["theories"])
    assert (gaussian["ratio"] < gaussian["limit"]).all()


def test_inception_distances_are_those_of_the_file(monkeypatch, tmp_path):
    shutil.copy(RESULTS / "study-cifar10.json", tmp_path)
    monkeypatch.setenv("RGDIFF_RESULTS", str(tmp_path))
    link = {"section": "CIFAR-10", "view": "FID and KID"}
    assert distances.COMMAND in [each.value for each in healthy(visit(**link)).code]
    ways = {"any class": (40.0, 0.02, None), "guidance 1.5": (20.0, 0.01, 0.7)}
    ways |= {"training images": (9.0, 0.0, None)}
    rows = [
        {"way": way, "n": 500, "process": "white noise", "steps": 16, "command": "c"}
        | {"method": "dpmpp_2m", "grid": "logsnr"}
        | {
            name: value and {"value": value, "error": 0.1 * value}
            for name, value in zip(("frechet", "kernel", "named"), values, strict=True)
        }
        for way, values in ways.items()
    ]
    rows[-1]["kernel"] = {"value": 0.0, "error": 0.001}
    found = {"command": "rgdiff study distances --n 500", "model": "m", "rows": rows}
    found |= {"features": "inception", "complete": True}
    path = tmp_path / "distances-cifar10.json"
    path.write_text(json.dumps(found | {"versions": {}, "machine": "x"}), encoding="utf-8")
    at = healthy(visit(**link))
    told = distances.sentence(found)
    assert (
        "lowest FID of 500 samples is **20.0(20)** (KID 0.0100(10)): guidance 1.5," in told
        and "Real training images score 9.00(90)." in told
    )
    assert told in [each.value for each in at.markdown]
    table = next(each.value for each in at.dataframe if "kernel" in each.value)
    assert list(table["frechet"]) == [40.0, 20.0, 9.0]
    assert distances.curves(found, "steps") == distances.curves(found, "images") == []
    few = rows[1] | {"n": 100, "frechet": {"value": 70.0, "error": 1.0}}
    rows += [few | {"steps": n, "kernel": {"value": 0.04, "error": 0.002}} for n in (2, 4, 8)]
    (curve,) = distances.curves(found, "steps")
    assert (curve.label, list(curve.x)) == ("white noise", [2, 4, 8])  # of as many samples
    assert list(curve.y) == [0.04, 0.04, 0.04]
    assert distances.sentence(found) == told  # of the most samples
    path.write_text(json.dumps(found | {"versions": {}, "machine": "x"}), encoding="utf-8")
    at = healthy(visit(**link))
    shown = [each.value for each in at.markdown]
    alike = "guidance 1.5, white noise, DPM-Solver++(2M), uniform in log-SNR, 100 samples"
    assert f"**KID by steps of the sampler** · {alike}" in shown
    less = {"value": 0.03, "error": 0.001}
    more = [rows[1] | {"images": 2000}, rows[1] | {"images": 100, "kernel": less}]
    (curve,) = distances.curves({"rows": [*rows, *more]}, "images")
    assert (list(curve.x), list(curve.y)) == ([100, 2000], [0.03, 0.01])
    scan = [
        rows[1] | {"guidance": x, "by": by, "kernel": {"value": y, "error": 0.001}}
        for by, x, y in (
            ("a", 3, 0.02),
            ("a", 1, 0.04),
            ("a", 4, 0.03),
            ("b", 1, 0.01),
            ("b", 2, 0.02),
        )
    ]
    first, second = distances.curves({"rows": scan}, "guidance")
    assert (first.label, list(first.x), list(first.y)) == ("by a", [1, 3, 4], [0.04, 0.02, 0.03])
    assert (second.label, list(second.x)) == ("by b", [1, 2])
    best = distances.best_guidance({"rows": scan, "features": "inception"})
    assert best.startswith("KID is least at guidance 3, 0.0200(10), of 3 strengths up to 4; 0.04")
    edge = distances.best_guidance({"rows": scan[:2], "features": "inception"})
    assert edge.startswith("KID was still falling at guidance 3, the strongest tried: 0.0200(10),")
    near = scan[2] | {"kernel": {"value": 0.0195, "error": 0.001}}
    level = distances.best_guidance({"rows": [*scan[:2], near], "features": "inception"})
    assert level.startswith("KID is level from guidance 3 to 4, the strongest tried: 0.0200(10)")
    for none in (scan[3:], scan[:1], rows):
        assert distances.best_guidance({"rows": none, "features": "inception"}) == ""
    assert {each["trained"] for each in distances._table({"rows": more})} == {
        "100 images",
        "2,000 images",
    }
    rows[0].pop("frechet")
    path.write_text(json.dumps(found | {"versions": {}, "machine": "x"}), encoding="utf-8")
    assert any(distances.COMMAND in each.value for each in healthy(visit(**link)).warning)


def test_curves_of_distances_never_join_different_networks():
    row = {"way": "guidance 2", "by": "b", "process": "white noise", "n": 500, "guidance": 2}
    row |= {"method": "dpmpp_2m", "grid": "logsnr", "steps": 16, "model": "m", "images": 100}
    row |= {"weights": "1" * 64, "guide_weights": "", "seed": 0}

    def drawn(axis: str, *rows: dict) -> list[tuple]:
        values = [
            row | more | {"kernel": {"value": float(i), "error": 0.1}}
            for i, more in enumerate(rows, 1)
        ]
        found = distances.curves({"rows": values}, axis)
        return [(curve.label, list(curve.x), list(curve.y)) for curve in found]

    later, trunk, weights = {"images": 900}, {"model": "trunk"}, {"weights": "2" * 64}
    trained = ({}, later | weights, trunk, trunk | later)
    curves = [("m", [100, 900], [1, 2]), ("trunk", [100, 900], [3, 4])]
    assert drawn("images", *trained) == curves
    assert drawn("images", {}, later | trunk) == []
    for axis, x, one in (("steps", [8, 16], {"steps": 8}), ("guidance", [1, 2], {"guidance": 1})):
        for other, labels in (
            (trunk, ("m", "trunk")),
            (later | weights, ("100 images", "900 images")),
            (weights, ("weights 11111111", "weights 22222222")),
            ({"guide_weights": "3" * 64}, ("white noise", "guide 33333333")),
            ({"seed": 1}, ("seed 0", "seed 1")),
        ):
            both = drawn(axis, one, {}, other | one, other)
            assert both == [(labels[0], x, [1, 2]), (labels[1], x, [3, 4])]
            assert drawn(axis, one, other) == []


@with_images
def test_the_file_of_distances_names_models_by_their_pretrained_names():
    found = json.loads((RESULTS / "distances-cifar10.json").read_text(encoding="utf-8"))
    for text in (found["command"], *(row["command"] for row in found["rows"])):
        assert "safetensors" not in text
    for row in found["rows"]:
        drawn = row["way"] != REAL
        assert (row["seed"] is not None) == bool(row["weights"]) == ("model" in row) == drawn
        assert "/" not in row.get("model", "")
        assert bool(row["guide_weights"]) == ("by cifar10" in row["way"])
