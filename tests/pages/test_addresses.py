"""Addresses that contain nonsense: every parameter of every page, and what reads them.

RGDIFF_FUZZ says how many texts each reader is given: by hand, thousands.
"""

import ast
import asyncio
import copy
import json
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from patience import PATIENCE
from streamlit.testing.v1 import AppTest

import rgdiff_core as rg
from pages._lattice import state as lattice_state
from pages._noising import state as noising_state
from pages._noising.state import NoisingState
from pages._noising.state import start as lab
from pages._samples import state as samples_state
from pages._samples.component.line import Job, _asked
from pages._training import state as training_state
from rgdiff_core.bases.spec import BasisSpec
from rgdiff_core.process import Process
from rgdiff_core.spec import from_json, load_json
from rgdiff_core.training import TrainConfig
from rgdiff_core.training.config import config_to_toml, override, parse_config

ROOT = Path(__file__).resolve().parents[2]
COUNT = int(os.environ.get("RGDIFF_FUZZ", "80"))
DATA = "photographs"
OWN = {"state", "config", "run", "data", "m2", "lam", "L", "ensemble", "together"}
NESTED = "[" * 20_000 + "]" * 20_000
WORDS = (
    *("", "x", "nan", "inf", "-inf", "1e999", "-1", "0.5", "true", "9" * 400, "1e308", "[[[["),
    *("%7B%22kind%22", "ü€😀\0", "٣", NESTED, json.dumps({"kind": "x" * 10**5}), '{"kind":{}}'),
)
WRONG = [word for word in WORDS if len(word) < 1000 and word not in ("0.5", "٣")]  # for widgets
VALUES = (
    *(None, True, "", "x" * 300, float("nan"), float("inf"), 1e308, -1, 0, 2**64, 10**400, [], {}),
    *([None], [[1, 2]], {"kind": "Cutoff"}, {"kind": []}, {"kind": "Spec"}, "ü\0\ud800", "haar"),
)

pytestmark = pytest.mark.usefixtures("folders")


def parameters() -> list[str]:
    """Find the names of all widgets that the pages keep in the address."""
    found = set(OWN)
    for path in (ROOT / "pages").rglob("*.py"):
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(call, ast.Call):
                words = {word.arg: word.value for word in call.keywords}
                bound = "bind" in words or ast.unparse(call.func) == "address.menu"
                if bound and isinstance(words.get("key"), ast.Constant):
                    found.add(ast.literal_eval(words["key"]))
    return sorted(found)


def widgets() -> None:
    """Draw a menu that must have a choice, and fields of whole numbers."""
    import streamlit as st

    from pages._shared import address

    st.session_state["said"] = [
        address.menu(st, "A", ["one", "two"], default="two", key="a"),
        address.menu(st.container(), "B", [0.5, 1.5], default=0.5, key="b"),
        st.number_input("C", 0, 10, 3, key="c", bind=address.whole("c")),
        st.number_input("D", 0, 10, None, key="d", bind=address.whole("d")),
    ]


@pytest.mark.parametrize("word", WRONG)
def test_widgets_keep_their_defaults(word):
    at = AppTest.from_function(widgets, default_timeout=PATIENCE)
    for name in "abcd":
        at.query_params[name] = word
    assert not at.run().exception
    assert at.session_state["said"] == ["two", 0.5, 3, None]


def test_widgets_take_what_the_address_has():
    at = AppTest.from_function(widgets, default_timeout=PATIENCE)
    for name, word in {"a": "one", "b": "1.5", "c": "4", "d": "5"}.items():
        at.query_params[name] = word
    assert not at.run().exception
    assert at.session_state["said"] == ["one", 1.5, 4, 5]


@pytest.mark.parametrize("word", ["", "inf"])
@pytest.mark.parametrize("page", sorted(path.stem for path in (ROOT / "pages").glob("*.py")))
def test_a_page_is_drawn_whatever_the_address_contains(page, word):
    at = AppTest.from_file(str(ROOT / f"pages/{page}.py"), default_timeout=PATIENCE)
    for name in parameters():
        at.query_params[name] = word
    if page == "lattice" and word:
        at.query_params["view"] = "Sample"
    assert not at.run().exception
    for sentence in (*at.error, *at.warning):
        assert "\n" not in sentence.value and len(sentence.value) < 400


def changed(described: Any, chance: random.Random) -> Any:
    """Return JSON in which one value is another, missing, or has another name."""
    described = copy.deepcopy(described)
    places: list[tuple[Any, Any]] = []

    def walk(part: Any) -> None:
        for key, value in part.items() if isinstance(part, dict) else enumerate(part):
            places.append((part, key))
            if isinstance(value, dict | list):
                walk(value)

    walk(described)
    part, key = chance.choice(places)
    if isinstance(part, dict) and chance.random() < 0.2:
        part[chance.choice(["kind", "x", ""])] = part.pop(key)
    else:
        part[key] = copy.deepcopy(chance.choice(VALUES))
    return described


def theory(text: str) -> object:
    """Read a text as each of the numbers of a theory."""
    start = lattice_state.Theory()
    return [lattice_state.read({name: text}, start) for name in ("m2", "lam", "L")]


def edited(text: str, chance: random.Random) -> str:
    """Return a text with some characters changed, moved or missing; of JSON, with values too."""
    if text.startswith("{") and chance.random() < 0.9:
        return json.dumps(changed(json.loads(text), chance))
    if chance.random() < 0.2:
        return text[: chance.randrange(len(text))]
    letters = list(text)
    for _ in range(chance.choice((1, 1, 2, 5))):
        at = chance.randrange(len(letters))
        letters[at] = chance.choice(
            (chance.choice('0123456789-.eE=[]{}"\n,#\0ü'), letters[-1], "")
        )
    return "".join(letters)


def message() -> str:
    """Return a request for samples, as the browser sends it."""
    bench = samples_state.SamplesState()
    told = {"page_state": json.loads(bench.to_json()), "client_state": bench.component()}
    return json.dumps({"kind": "draw", "seq": 1, "within": 0.5} | told)


def wavelets() -> str:
    """Return a process in a basis of wavelets."""
    basis = rg.bases.WaveletBasis((1, 4, 4))
    return rg.Process(basis, rg.colors.White(), rg.schedules.Cutoff()).to_json()


LOOP = asyncio.new_event_loop()
READERS: dict[str, tuple[Callable[[str], object], Callable[[], str]]] = {
    "noising": (NoisingState.from_json, lambda: lab(DATA).to_json()),
    "noising report": (
        lambda text: noising_state.merged(lab(DATA), load_json(text)),
        lambda: json.dumps(lab(DATA).component()),
    ),
    "samples": (
        samples_state.SamplesState.from_json,
        lambda: samples_state.SamplesState().to_json(),
    ),
    "samples report": (
        lambda text: samples_state.merged(samples_state.SamplesState(), load_json(text)),
        lambda: json.dumps(samples_state.SamplesState().component()),
    ),
    "message": (lambda text: _asked(Job(text, LOOP)), message),
    "training": (training_state.read, lambda: TrainConfig().to_json()),
    "config file": (
        lambda text: parse_config(text, "a.toml"),
        lambda: config_to_toml(TrainConfig()),
    ),
    "setting": (
        lambda text: override(TrainConfig(), [text]),
        lambda: 'model={"network":{"kind":"LatticeNet","width":8}}',
    ),
    "spec": (from_json, lambda: BasisSpec().to_json()),
    "process": (Process.from_json, wavelets),
    "theory": (theory, lambda: "8"),
}


@pytest.mark.parametrize("name", READERS)
def test_nonsense_is_one_sentence_to_every_reader(name):
    read, make = READERS[name]
    sound, chance = make(), random.Random(name)
    read(sound)
    refused = 0
    for text in (*WORDS, *(edited(sound, chance) for _ in range(COUNT))):
        try:
            read(text)
        except (ValueError, OSError) as error:
            refused += 1
            assert "\n" not in str(error)
    assert refused > len(WORDS) // 2
