"""The command line, run as a person or a program runs it."""

import argparse
import json

import numpy as np
import pytest

from rgdiff_core.cli.main import COMMANDS, Command, main


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("RGDIFF_CACHE", str(tmp_path / "cache"))


def test_list_for_programs(capsys):
    assert main(["data", "list", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert {item["name"]: item["cached"] for item in listed}["photographs"] is False


def test_list_for_people(capsys):
    assert main(["data", "list"]) == 0
    assert "CIFAR-10" not in (lines := capsys.readouterr().out).split("\n")[0].split()[0]
    assert lines.startswith("cifar10")


def test_fetch(capsys):
    assert main(["data", "fetch", "photographs", "phi4-6x6", "--json"]) == 0
    photographs, lattice = json.loads(capsys.readouterr().out)
    assert photographs["name"] == "photographs"
    assert lattice["images"] == {"train": 20_000, "test": 5_000}


def test_generate(tmp_path, capsys):
    out = tmp_path / "fields.npz"
    options = ["--size", "4", "--n", "100", "--m2", "1", "--lam", "1", "--seed", "3"]
    assert main(["data", "generate", str(out), *options, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert 0.5 < report["acceptance"] <= 1
    first = np.load(out)["images"]
    assert first.shape == (100, 1, 4, 4)
    assert main(["data", "generate", str(out), *options]) == 0
    assert "τ_int" in capsys.readouterr().out
    assert np.array_equal(np.load(out)["images"], first)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["data", "fetch", "imagenet"], "'imagenet' is not a known data set"),
        (["data", "generate", "a.npz", "--size", "1"], "size = 1"),
        (["data", "generate", "a.npz", "--lam", "-1"], "lam = -1.0"),
        (["data", "generate", "a.txt"], "a.txt does not end in .npz"),
    ],
)
def test_errors_are_one_line(capsys, arguments, says):
    assert main(arguments) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("rgdiff: ")
    assert says in captured.err
    assert captured.err.count("\n") == 1


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_every_command_explains_itself(capsys, command):
    with pytest.raises(SystemExit, match="0"):
        main([*command.name.split(), "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert command.help in text
    assert "--json" in text


def numbers(command: Command) -> list[tuple[list[str], type]]:
    """Return the options of a command that are numbers, each with as many words as it needs."""
    parser = argparse.ArgumentParser()
    command.entry().options(parser)
    places = sum(not each.option_strings for each in parser._actions)
    words = [*command.name.split(), *["x"] * places]
    found = [each for each in parser._actions if each.type in (int, float)]
    return [([*words, each.option_strings[0]], each.type) for each in found]


NO_NUMBERS = ("nan", "ü" * 5000, "1" * 5000, "inf", "-inf", "1e999", "text", "", "0x10")
NO_INTEGERS = ("0.5", "1e308", str(2**63))


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_what_is_no_number_is_one_sentence(capsys, command):
    """Every word for the first option of a type; one is enough for those that read it alike."""
    tried = set()
    for words, kind in numbers(command):
        wrong = (*NO_NUMBERS, *NO_INTEGERS) if kind is int else NO_NUMBERS
        few = wrong[:1] if kind in tried else wrong
        tried.add(kind)
        for word in few:
            with pytest.raises(SystemExit, match="2"):
                main([*words[:-1], f"{words[-1]}={word}"])
            *usage, sentence = capsys.readouterr().err.strip().split("\n")
            assert usage and words[-1] in sentence and "Traceback" not in sentence
            assert len(sentence) < 300


OUT_OF_RANGE = {
    "evaluate phi4-6x6": ("--n", "--steps", "--truth", "--flow", "--seed"),
    "features check": ("--n", "--batch"),
    "features train": ("--steps", "--batch", "--seed", "--lr", "--seconds", "--limit"),
    "lattice scan": ("--width", "--points", "--length", "--thermalization", "--thinning"),
    "pretrain phi4-6x6": ("--samples", "--scan-samples", "--images", "--flow"),
    "runs log x": ("--lines",),
    "sample phi4-6x6": ("--n", "--steps", "--seed"),
    "study cifar10": ("--minutes",),
    "study phi4": ("--processes", "--minutes"),
    "study schedules": ("--batches", "--minutes"),
    "sweep phi4-6x6": ("--steps", "--seed", "--rounds", "--rate", "--trials", "--timeout"),
}


@pytest.mark.parametrize("command", OUT_OF_RANGE)
def test_numbers_out_of_range_are_refused_before_any_work(capsys, tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RGDIFF_RUNS", str(tmp_path / "runs"))
    for option in OUT_OF_RANGE[command]:
        for value in ("-1", str(-(2**62)), *(["1e308"] if option in ("--lr", "--rate") else [])):
            words = [*command.split(), f"{option}={value}"]
            assert main(words) == 1, words
            sentence = capsys.readouterr().err.strip()
            assert "\n" not in sentence and "is outside" in sentence, (words, sentence)
    assert not [path for path in tmp_path.iterdir() if path.name not in ("runs", "cache")]


@pytest.mark.parametrize(
    ("place", "says"),
    [
        ("folder{}", "it is a folder"),
        ("nowhere/made{}", "there is no folder nowhere"),
        ("file/made{}", "there is no folder file"),
    ],
)
@pytest.mark.parametrize(
    ("command", "ending"),
    [
        ("data generate", ".npz"),
        ("sample phi4-6x6 --out", ".npz"),
        ("evaluate phi4-6x6 --out", ".json"),
        ("sweep phi4-6x6 --out", ".json"),
        ("lattice scan --out", ".json"),
    ],
)
def test_a_place_for_the_result_is_refused_before_any_work(
    capsys, tmp_path, monkeypatch, command, ending, place, says
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RGDIFF_RUNS", str(tmp_path / "runs"))
    (tmp_path / f"folder{ending}").mkdir()
    (tmp_path / "file").touch()
    assert main([*command.split(), place.format(ending)]) == 1
    error = capsys.readouterr().err
    assert f"{place.format(ending)} can't be written: {says}" in error and error.count("\n") == 1


@pytest.mark.parametrize("words", [["study", "report"], ["data", "import"]])
def test_an_error_of_the_system_names_the_file_alone(capsys, tmp_path, words):
    assert main([*words, str(tmp_path / "a\nb.npz")]) == 1
    error = capsys.readouterr().err
    assert f"{tmp_path.name}/a b.npz" in error and "Errno" not in error and error.count("\n") == 1


def test_words_of_any_length_make_a_short_error(capsys):
    for words in (["data", "fetch", "ü" * 5000], ["data", "delete", "\udcff" * 5000]):
        assert main(words) == 1
        assert len(capsys.readouterr().err) < 1000
    with pytest.raises(SystemExit, match="2"):
        main(["sample", "x", "--method", "ü" * 5000])
    assert len(capsys.readouterr().err.split("\n")[-2]) < 1000


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_a_device_that_is_not_here_is_one_sentence(capsys, command):
    parser = argparse.ArgumentParser()
    command.entry().options(parser)
    if not any("--device" in each.option_strings for each in parser._actions):
        pytest.skip("it computes where there is nothing to choose")
    for name in ("gpu", "cuda:77", "meta", ""):
        with pytest.raises(SystemExit, match="2"):
            main([*command.name.split(), "x", f"--device={name}"])
        last = capsys.readouterr().err.strip().split("\n")[-1]
        assert f"device = {name!r} is not one of those here: auto, cpu" in last
