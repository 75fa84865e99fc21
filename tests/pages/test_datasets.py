"""The menu of data sets, which both pages draw."""

import io
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

import rgdiff_core as rg
from rgdiff_core.data import cache_folder


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory):
    """Keep the data sets in a folder of their own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RGDIFF_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def page() -> None:
    """Show the menu as a page does: the choice is kept in the page's own state."""
    import streamlit as st

    from pages._shared import datasets

    st.session_state["chosen"] = datasets.choose(st.session_state["chosen"])
    st.markdown(st.session_state["chosen"])


def start(name: str) -> AppTest:
    at = AppTest.from_function(page, default_timeout=60)
    at.session_state["chosen"] = name
    return at.run()


def shown(at: AppTest) -> tuple[str, str, list[str]]:
    """Return what the page got, what the menu says, and the warnings."""
    assert not at.exception
    return at.markdown[0].value, at.selectbox[0].value, [w.value for w in at.warning]


def archive(**arrays: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def upload(at: AppTest, name: str, content: bytes) -> AppTest:
    return at.file_uploader[0].set_value([(name, content, "application/octet-stream")]).run()


def test_a_set_is_generated_when_it_is_chosen():
    at = start("photographs")
    assert shown(at) == ("photographs", "photographs", [])
    assert at.selectbox[0].options[2] == "φ⁴ 6×6, symmetric · generate"
    at.selectbox[0].select("phi4-6x6").run()
    assert shown(at) == ("phi4-6x6", "phi4-6x6", [])
    assert at.selectbox[0].options[2] == "φ⁴ 6×6, symmetric"


def test_an_upload_becomes_the_data_set_and_stays():
    at = start("photographs")
    images = np.linspace(0, 1, 5 * 64).reshape(5, 8, 8)
    chosen, menu, warnings = shown(upload(at, "My Lattice.npz", archive(images=images)))
    assert chosen == menu and chosen.startswith("own-my-lattice-") and not warnings
    np.testing.assert_allclose(rg.data.load(chosen).images[:, 0], 2 * images - 1, atol=1e-6)
    assert shown(at.run())[0] == chosen


def test_another_upload_of_the_same_title_is_another_set():
    at = start("photographs")
    names = {
        shown(upload(at, "a.npz", archive(images=np.full((3, 4, 4), x))))[0] for x in (0.1, 0.2)
    }
    assert len(names) == 2


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.png", b"no picture", "a.png cannot be read as an image"),
        ("a.npz", b"no archive", "a.npz cannot be read as a .npz file"),
        ("a.npz", archive(images=np.full((2, 4, 4), np.nan)), "not a finite number"),
        ("a.npz", archive(images=np.zeros((2, 4, 6))), "must be square"),
    ],
)
def test_a_bad_upload_is_one_sentence_and_the_set_stays(name, content, sentence):
    chosen, menu, warnings = shown(upload(start("photographs"), name, content))
    assert (chosen, menu) == ("photographs", "photographs")
    assert len(warnings) == 1 and sentence in warnings[0]


def test_an_unknown_set_is_one_line_and_another_set():
    chosen, menu, warnings = shown(start("nothing"))
    assert chosen == menu == "photographs"
    assert len(warnings) == 1 and "nothing" in warnings[0] and "Photographs" in warnings[0]


def test_a_damaged_set_is_one_line_and_another_set():
    content = archive(images=np.full((3, 4, 4), 0.3))
    name = rg.data.register_upload("own-damaged", {"a.npz": content}).name
    for file in Path(cache_folder(), "own", name).iterdir():
        file.write_bytes(b"damaged")
    chosen, menu, warnings = shown(start(name))
    assert chosen == menu == "photographs"
    assert len(warnings) == 1 and "damaged" in warnings[0]
