"""FID and KID of a model's samples: in parts, resumed, and the same as at once."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import rgdiff_core as rg
from rgdiff_core.cli import study_distances
from rgdiff_core.cli.main import main
from rgdiff_core.denoisers import GuidanceCurve, free_theory, guided
from rgdiff_core.denoisers.files import pretrained_folder, sha256
from rgdiff_core.denoisers.guidance import FREE, NULL
from rgdiff_core.evaluation.features import (
    extract,
    frechet_distance,
    kernel_distance,
    load_features,
)
from rgdiff_core.pretraining.images import PROCESSES
from rgdiff_core.seeds import streams
from rgdiff_core.study.cells import Cells, OutOfTimeError
from rgdiff_core.study.images.distances import DistanceStudy
from rgdiff_core.study.images.distances_drawn import (
    ANY,
    REAL,
    ComparedImages,
    Drawn,
    GuidanceScale,
    way_title,
)

PHOTOGRAPHS, WHITE = "photographs", "white noise, linear log-SNR"
ANYONE = GuidanceScale(by_class=False)
DRAWN = Drawn(40, (1,), (ANYONE, GuidanceScale(2.0)), 3, "cifar10")
CUTOFF = "matched noise, sigmoid cutoff of width 0.3"


def study(
    folder: Path,
    drawn: Drawn = DRAWN,
    until: float | None = None,
    digest: str = "digest",
    titles: tuple[str, ...] = (WHITE,),
) -> DistanceStudy:
    model = rg.load_pretrained("cifar10-conditional").eval()
    processes = {title: PROCESSES[title].on(model) for title in titles}
    cells = Cells(folder, lambda text: None, until)
    return DistanceStudy(cells, drawn, model, digest, processes, PHOTOGRAPHS)


def test_distances_of_parts_are_those_of_all_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("rgdiff_core.study.images.distances.PART", 24)
    found = study(tmp_path)
    found.compute()
    rows = {row["way"]: row for row in found.rows()}
    assert list(rows) == [ANY, "guidance 2", REAL] and rows[REAL]["n"] == 40
    assert [row.get("guidance") for row in rows.values()] == [None, 2, None]
    assert rows["guidance 2"]["by"] == "the null label"
    network = load_features("cifar10")
    train, test = (rg.data.load(PHOTOGRAPHS, s).images[:40] for s in ("train", "test"))
    process = found.processes[WHITE]
    x = rg.sample(found.model, process, 40, 1, generator=streams(3, 40), grid="logsnr")
    grey = ((x.clamp(-1, 1) + 1) * 127.5).round() / 127.5 - 1
    real = extract(network, test)
    for title, images in ((REAL, train), (ANY, grey)):
        features = extract(network, images)
        wanted = frechet_distance(features, real), kernel_distance(features, real).value
        assert rows[title]["frechet"]["value"] == pytest.approx(wanted[0], rel=1e-3)
        assert rows[title]["kernel"]["value"] == pytest.approx(wanted[1], rel=1e-2, abs=1e-5)
    assert rows[ANY]["named"] is None and 0 < rows["guidance 2"]["named"]["value"] <= 1


def test_what_was_stopped_goes_on_and_other_samples_are_drawn_again(tmp_path: Path):
    with pytest.raises(OutOfTimeError):
        study(tmp_path, until=0.0).compute()
    assert list(study(tmp_path).rows()) == []
    study(tmp_path).compute()
    made = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    study(tmp_path, until=0.0).compute()
    assert {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == made
    with pytest.raises(OutOfTimeError):
        study(tmp_path, Drawn(40, (2,), (GuidanceScale(2.0),), 3, "cifar10"), until=0.0).compute()


def test_every_process_and_number_of_steps_has_distances_of_its_own(tmp_path: Path):
    drawn = Drawn(40, (1, 2), (GuidanceScale(2.0),), 3, "cifar10")
    found = study(tmp_path, drawn, titles=(WHITE, CUTOFF))
    found.compute()
    *rows, real = found.rows()
    ways = [(row["process"], row["steps"]) for row in rows]
    assert ways == [(WHITE, 1), (WHITE, 2), (CUTOFF, 1), (CUTOFF, 2)]
    assert len({row["frechet"]["value"] for row in (*rows, real)}) == 5
    alone = study(tmp_path, Drawn(40, (2,), (GuidanceScale(2.0),), 3, "cifar10"))
    alone.compute()
    assert [row["frechet"] for row in alone.rows()] == [rows[1]["frechet"], real["frechet"]]
    methods, grids = (None, "dpmpp_2m", "ddim"), ("uniform", "logsnr")
    other = Drawn(40, (2,), (GuidanceScale(2.0),), 3, "cifar10", methods, grids)
    other = study(tmp_path, other)
    other.compute()
    *rows, _ = other.rows()
    ways = {(row["method"], row["grid"]): row["frechet"]["value"] for row in rows}
    assert list(ways) == [(m, g) for m in ("dpmpp_2m", "ddim") for g in grids]
    assert len(set(ways.values())) == 4


def test_numbers_are_those_of_the_model_and_of_the_features_that_were_asked_for(tmp_path: Path):
    study(tmp_path).compute()
    known = {row["way"] for row in study(tmp_path).rows()}
    assert known == {ANY, "guidance 2", REAL}
    for other in (
        study(tmp_path, digest="another"),
        study(tmp_path, Drawn(40, (1,), (ANYONE, GuidanceScale(2.0)), 4, "cifar10")),
        study(tmp_path, Drawn(40, (1,), (ANYONE, GuidanceScale(2.0000001)), 3, "cifar10")),
    ):
        assert not {row["way"] for row in other.rows()} & {"guidance 2"}
    assert not list(
        study(tmp_path, Drawn(40, (1,), (ANYONE, GuidanceScale(2.0)), 3, "inception")).rows()
    )


def test_the_command_says_what_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    words = ["study", "distances", f"--work={tmp_path / 'w'}", f"--out={tmp_path}", "--minutes=0"]
    assert main([*words, "--features=cifar10", "--n=100", "--guidance", "1", "1"]) == 0
    assert "stopped; rerun to continue" in capsys.readouterr().out
    kept = json.loads((tmp_path / "distances-cifar10.json").read_text("utf-8"))
    assert kept["rows"] == [] and not kept["complete"]
    assert kept["command"].endswith("--n 100 --steps 16 --guidance 1 --features cifar10")
    led = ("--guidance", "2", "any:3", "--guide", "free", "--guidance-interval", "-3", "2.5")
    twice = ("--guidance-interval", "1", "4", f"--out={tmp_path / 'led'}")
    assert main([*words, "--features=cifar10", "--n=100", *led, *twice]) == 0
    kept = json.loads((tmp_path / "led" / "distances-cifar10.json").read_text("utf-8"))
    assert " ".join((*led, *twice[:3])) in kept["command"]
    capsys.readouterr()
    for options, sentence in (
        (["--n=3"], "n = 3 is outside"),
        (["--guidance", "any:2"], "guidance = any:2 needs a guide other than null"),
        (["--guidance", "2", "--guidance-interval", "3", "1"], "(3, 1) is empty"),
        (["--guidance", "2", "--guide", "phi4-8x8"], "the guide is for fields (1, 8, 8)"),
        (["--n=20000"], "n = 20000 is outside [40, 10000]: cifar10 has 10,000 test images"),
        (["--seed=-1"], "seed = -1 is outside"),
        (["--model=phi4"], "'phi4' is no pretrained model"),
        (["--model=phi4-8x8"], "phi4-8x8 draws fields (1, 8, 8); images (3, 32, 32) are needed"),
        (["--model=cifar10-standard", f"--process={WHITE}"], "but cifar10-standard knows the"),
    ):
        assert main([*words, "--features=cifar10", *options]) == 1
        told = capsys.readouterr().err
        assert sentence in told and "Traceback" not in told
    for options, sentence in (
        (["--guidance", "-1"], "guidance = -1.0 is outside [0, 50]"),
        (["--guidance", "1,99"], "guidance scale = 99.0 is outside [0, 50]"),
        (["--guidance", "few"], "'few' is not a number"),
        (["--guidance-interval", "-3", "x"], "'x' is not a number"),
    ):
        with pytest.raises(SystemExit):
            main([*words, "--features=cifar10", *options])
        assert sentence in capsys.readouterr().err
    path = tmp_path / "distances-cifar10.json"
    row = {"way": ANY, "process": WHITE, "steps": 1, "method": "ddim", "grid": "logsnr", "n": 40}
    for kept, sentence in (
        ({}, "can't be read: missing 'rows'. Move it away, or choose another --out."),
        ([], "it holds no JSON object"),
        ({"features": "cifar10", "rows": [{"way": ANY}]}, "missing 'process'"),
        ({"features": "inception", "rows": [row]}, "other features, inception. Move it away"),
    ):
        path.write_text(json.dumps(kept))
        assert main([*words, "--features=cifar10", "--n=100"]) == 1
        told = capsys.readouterr().err
        assert sentence in told and told.count("\n") == 1
        assert json.loads(path.read_text("utf-8")) == kept
    path.unlink()
    monkeypatch.setenv("RGDIFF_INCEPTION", str(tmp_path / "none"))
    assert main(words) == 1
    assert "there is no file" in capsys.readouterr().err


def test_what_is_measured_later_joins_what_is_of_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    words = ["study", "distances", "--features=cifar10", f"--out={tmp_path}"]
    path = tmp_path / "distances-cifar10.json"

    def measured(*options: str) -> list[tuple]:
        assert main([*words, "--n=40", *options]) == 0
        found = json.loads(path.read_text("utf-8"))
        return [(row["way"], row["steps"], "any" in row["command"]) for row in found["rows"]]

    first = measured("--steps=1", "--guidance", "any")
    assert first == [(ANY, 1, True), (REAL, 0, True)]
    both = [(ANY, 1, True), ("guidance 2", 1, False), (REAL, 0, False)]
    assert measured("--steps=1", "--guidance", "2") == both
    more = [*both[:2], ("guidance 2", 2, False), both[2]]
    assert measured("--steps=2", "--guidance", "2") == more
    found = json.loads(path.read_text("utf-8"))
    for row in found["rows"]:
        row["weights"] = row["weights"] and "others"
    path.write_text(json.dumps(found))
    assert len(measured("--steps=1", "--guidance", "2")) == 5  # those of other weights stay
    found = json.loads(path.read_text("utf-8"))
    for row in found["rows"]:  # as earlier versions wrote them
        assert row.pop("guide_weights") == "" and row.pop("seed") == (
            0 if row["weights"] else None
        )
    path.write_text(json.dumps(found))
    file = pretrained_folder() / "cifar10-conditional" / "model.safetensors"
    assert len(measured("--steps=1", "--guidance", "2", f"--model={file}")) == 5
    assert str(file) not in path.read_text("utf-8")
    assert len(measured("--steps=1", "--guidance", "2", "--seed=1")) == 6
    found = json.loads(path.read_text("utf-8"))
    assert {row.get("model", "cifar10-conditional") for row in found["rows"]} == {
        "cifar10-conditional"
    }
    assert [(row["way"], row.get("seed")) for row in found["rows"][-3:]] == [
        ("guidance 2", 0),
        ("guidance 2", 1),
        (REAL, None),
    ]


def test_rows_of_other_guides_scales_and_seeds_stay():
    way = ComparedImages(
        "guidance 2 by weaker", led=GuidanceScale(2.0), guide="weaker", process=WHITE, steps=1
    )
    row = way.about | {"n": 40, "weights": "a", "guide_weights": "b", "seed": 0}
    close = GuidanceScale(2.0000001)
    assert close.typed == "2.0000001" and GuidanceScale(2.0).typed == "2"
    others = [row | {"guide_weights": "c"}, row | {"seed": 1}, row | {"weights": "d"}]
    others += [row | {"way": way_title(close, "weaker", None)}]
    others += [row | {"way": way_title(GuidanceScale(2.0), "weaker", (-2.0, 4.0))}]
    assert study_distances._others([row, *others], [row | {"command": "later"}]) == others
    real = ComparedImages(REAL, "train").about | {
        "n": 40,
        "weights": "",
        "guide_weights": "",
        "seed": None,
    }
    old = {key: real[key] for key in real if key not in ("guide_weights", "seed", "weights")}
    assert study_distances._others([old], [real]) == []


def test_names_of_cells_are_those_of_files():
    """However long a guide's name and a curve are; those of other weights have others."""
    values = tuple(1 + i / 7 for i in range(64))
    curve = GuidanceCurve(tuple(i / 63 for i in range(64)), values)
    guide = "ж" * 200 + "/snapshot"
    ways = [
        ComparedImages(way_title(led, guide, None), led=led, guide=guide, guide_weights=weights)
        for led in (GuidanceScale(curve), GuidanceScale(2.0), GuidanceScale(2.5))
        for weights in ("1" * 64, "2" * 64)
    ]
    cells = {way.cell for way in ways}
    assert len(cells) == 6 and max(len(cell.encode()) for cell in cells) < 200
    usual = ComparedImages(
        "guidance 2",
        led=GuidanceScale(2.0),
        process=WHITE,
        steps=16,
        method="ddim",
        grid="logsnr",
    )
    assert usual.cell == "guidance-2-2.0-white-noise--linear-log-SNR-16-ddim-logsnr"


def test_guides_of_other_files_have_other_names(tmp_path: Path):
    model = rg.load_pretrained("cifar10-conditional").eval()
    white = pretrained_folder() / "cifar10-conditional-white" / "model.safetensors"
    whole = pretrained_folder() / "cifar10-conditional" / "model.safetensors"
    paths = [tmp_path / name / "models" / "snapshot-1-8.safetensors" for name in "abc"]
    for path, file in zip(paths, (white, white, whole), strict=True):
        path.parent.mkdir(parents=True)
        shutil.copy(file, path)
    words = ["cifar10-conditional-white", str(white), NULL, *map(str, paths), FREE]
    guides = study_distances._guides(words, model)
    digests = [sha256(white), sha256(white), sha256(whole)]
    assert list(guides) == [
        "cifar10-conditional-white",
        NULL,
        "models/snapshot-1-8",
        f"models/snapshot-1-8 {digests[2][:8]}",
        FREE,
    ]
    assert [guide[1] for guide in guides.values() if guide is not None] == digests


def test_samples_are_led_by_their_guide_where_it_acts(tmp_path: Path):
    """Those of each way are drawn again by hand; a scale of 1 has no guide."""
    curve, interval = GuidanceCurve((0.0, 1.0), (3.0, 1.5)), (-2.0, 4.0)
    led = (
        GuidanceScale(1.0),
        GuidanceScale(2.0),
        GuidanceScale(curve),
        GuidanceScale(3.0, by_class=False),
    )
    drawn = Drawn(40, (2,), led, 3, guides=(FREE, "weaker"), intervals=(None, interval))
    found = study(tmp_path, drawn)
    weaker = rg.load_pretrained("cifar10-conditional-white").eval()
    found = replace(found, guides={"weaker": (weaker, "its digest")})
    found.check()
    ways = {way.title: way for way in found.ways[:-1]}
    assert list(ways) == [
        "guidance 1",
        "guidance 2 by the free theory",
        "guidance 2 by the free theory, log-SNR -2 to 4",
        "guidance 2 by weaker",
        "guidance 2 by weaker, log-SNR -2 to 4",
        "guidance 3,1.5 by the free theory",
        "guidance 3,1.5 by the free theory, log-SNR -2 to 4",
        "guidance 3,1.5 by weaker",
        "guidance 3,1.5 by weaker, log-SNR -2 to 4",
        "any class, guidance 3 by the free theory",
        "any class, guidance 3 by the free theory, log-SNR -2 to 4",
        "any class, guidance 3 by weaker",
        "any class, guidance 3 by weaker, log-SNR -2 to 4",
    ]
    assert len({way.cell for way in ways.values()}) == 13
    inputs = [found._inputs(way, 0) for way in ways.values()]
    assert all(inputs.count(each) == 1 for each in inputs)
    labels = torch.arange(4)
    for title, own, scale, between, guide in (
        ("guidance 2 by weaker", labels, 2.0, None, weaker),
        ("guidance 3,1.5 by the free theory, log-SNR -2 to 4", labels, curve, interval, FREE),
        ("any class, guidance 3 by weaker, log-SNR -2 to 4", None, 3.0, interval, weaker),
    ):
        guide = free_theory(found.model) if guide == FREE else guide
        led_by = guided(found.model, own, scale, between, guide)
        random = streams(3, 4)
        x = rg.sample(led_by, found.processes[WHITE], 4, 2, generator=random, grid="logsnr")
        images, given = found._samples(ways[title], 0, 4)
        assert (given is None) == (own is None)
        torch.testing.assert_close(images, x.clamp(-1, 1), atol=1.5 / 127.5, rtol=0)
    with pytest.raises(ValueError, match="needs a guide other than null"):
        Drawn(40, (2,), led, 3, guides=(FREE, NULL))


def test_samples_are_those_of_their_number_and_seed(tmp_path: Path):
    found = study(tmp_path)
    way = ComparedImages(
        "guidance 1",
        led=GuidanceScale(),
        process=WHITE,
        steps=1,
        method="dpmpp_2m",
        grid="logsnr",
    )
    whole, labels = found._samples(way, 0, 12)
    part, own = found._samples(way, 8, 4)
    assert labels is not None and own is not None and torch.equal(own, labels[8:])
    torch.testing.assert_close(part, whole[8:], atol=2.5 / 127.5, rtol=0)
