"""The ablation of images: a small one, its file, and that it continues where it was."""

import json
import statistics
from pathlib import Path

import pytest

from rgdiff_core.cli.main import main

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    home = tmp_path_factory.mktemp("ablation")
    return [
        *("study", "ablation", "--data", "photographs", "--models", "standard", "matched"),
        *("--steps", "2", "--batch", "4", "--points", "2", "--images", "16", "--width", "8"),
        *("--work", str(home / "work"), "--out", str(home / "out"), "--json"),
    ]


def test_an_ablation_is_made_once(words, capsys):
    assert main(words) == 0
    found = json.loads(capsys.readouterr().out)
    assert found == json.loads(Path(words[-2], "ablation-photographs.json").read_text("utf-8"))
    standard, matched = found["models"]
    assert [point["step"] for point in standard["points"]] == [1, 2]
    for point in matched["points"]:  # two steps from F = 0, which is the free theory
        assert point["bits"]["value"] == pytest.approx(point["free_bits"]["value"], abs=0.05)
    for point in standard["points"]:  # which is not where standard diffusion begins
        assert point["bits"]["value"] > point["free_bits"]["value"] + 0.5
    assert main(words) == 0
    again = json.loads(capsys.readouterr().out)
    assert [row["seconds"] for row in again["models"]] == [
        row["seconds"] for row in found["models"]
    ]


def test_seeds_are_averaged(words, capsys):
    at = words.index("--models")
    several = [*words[:at], "--seeds", "0", "1", *words[at:]]
    assert main(several) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["seeds"] == [0, 1]
    assert "--seeds 0 1 --models standard matched" in found["command"]
    for entry in found["models"]:
        for index, point in enumerate(entry["points"]):
            each = [run[index]["bits"]["value"] for run in entry["runs"]]
            assert len(set(each)) == 2
            assert point["bits"]["value"] == pytest.approx(statistics.fmean(each), abs=1e-6)
            error = statistics.stdev(each) / 2**0.5
            assert point["bits"]["error"] == pytest.approx(error, rel=1e-3)
    first, other = ([run[1]["bits"]["value"] for run in row["runs"]] for row in found["models"])
    more = [b - a for a, b in zip(first, other, strict=True)]
    told = found["models"][1]["points"][1]["less_first"]
    assert told["value"] == pytest.approx(statistics.fmean(more), abs=1e-6)
    assert told["error"] == pytest.approx(statistics.stdev(more) / 2**0.5, rel=1e-3)


@pytest.mark.parametrize(("option", "value"), [("--points", "0"), ("--images", "3")])
def test_what_is_out_of_range_is_named(words, option, value, capsys):
    changed = list(words)
    changed[changed.index(option) + 1] = value
    assert main(changed) != 0
    assert value in capsys.readouterr().err
