"""The command line, run as a person or a program runs it."""

import json
import subprocess
import sys

import numpy as np
import pytest

from rgdiff_core.cli import COMMANDS, main


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


def test_the_installed_command():
    code = "import sys; from rgdiff_core.cli import main; sys.exit(main(['data', 'list']))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert "phi4-6x6" in done.stdout
