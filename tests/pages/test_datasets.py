"""The menu of data sets, which both pages draw."""

import io
import time
from pathlib import Path

import numpy as np
import pytest
from patience import PATIENCE
from PIL import Image
from streamlit.testing.v1 import AppTest

import rgdiff_core as rg
from pages._shared import jobs
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


def varied(x: float) -> np.ndarray:
    return np.full((3, 4, 4), x) * np.arange(1, 4)[:, None, None]


def upload(at: AppTest, name: str, content: bytes) -> AppTest:
    return at.file_uploader[0].set_value([(name, content, "application/octet-stream")]).run()


def picture(seed: int) -> bytes:
    file = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def upload_all(at: AppTest, uploader: int, files: list[tuple[str, bytes]]) -> AppTest:
    triples = [(name, content, "image/png") for name, content in files]
    return at.file_uploader[uploader].set_value(triples).run()


def test_a_set_is_generated_when_it_is_chosen():
    at = start("photographs")
    assert shown(at) == ("photographs", "photographs", [])
    assert "φ⁴ 6×6, symmetric · generate" in at.selectbox[0].options
    at.selectbox[0].select("phi4-6x6").run()
    assert shown(at) == ("phi4-6x6", "phi4-6x6", [])
    assert "φ⁴ 6×6, symmetric" in at.selectbox[0].options


def test_an_upload_becomes_the_data_set_and_stays():
    at = start("photographs")
    images = np.linspace(0, 1, 5 * 64).reshape(5, 8, 8)
    chosen, menu, warnings = shown(upload(at, "My Lattice.npz", archive(images=images)))
    assert chosen == menu and chosen.startswith("own-my-lattice-") and not warnings
    np.testing.assert_allclose(rg.data.load(chosen).images[:, 0], 2 * images - 1, atol=1e-6)
    assert shown(at.run())[0] == chosen


def test_another_upload_of_the_same_title_is_another_set():
    at = start("photographs")
    names = {shown(upload(at, "a.npz", archive(images=varied(x))))[0] for x in (0.1, 0.2)}
    assert len(names) == 2


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.png", b"no picture", "a.png cannot be read as an image"),
        ("a.npz", b"no archive", "a.npz cannot be read as a .npz file"),
        ("a.npz", archive(images=np.full((2, 4, 4), np.nan)), "not a finite number"),
        ("a.npz", archive(images=np.zeros((2, 4, 6))), "must be square"),
        ("a.npz", archive(images=np.full((3, 4, 4), 0.3)), "all images are equal"),
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
    content = archive(images=varied(0.3))
    name = rg.data.register_upload("own-damaged", {"a.npz": content}).name
    for file in Path(cache_folder(), "own", name).iterdir():
        file.write_bytes(b"damaged")
    chosen, menu, warnings = shown(start(name))
    assert chosen == menu == "photographs"
    assert len(warnings) == 1 and "damaged" in warnings[0]


def test_files_of_one_name_are_all_kept():
    files = [("0.png", picture(i)) for i in range(4)] + [("1.png", picture(9))]
    chosen, _, warnings = shown(upload_all(start("photographs"), 0, files))
    assert not warnings
    assert len(rg.data.load(chosen).images) == 5


def test_a_folder_keeps_the_names_of_its_folders_as_labels():
    at = start("photographs")
    assert at.file_uploader[1].accept_directory
    files = [(f"pets/{pet}/{i}.png", picture(i)) for pet in ("dog", "cat") for i in range(3)]
    chosen, _, warnings = shown(upload_all(at, 1, files))
    assert chosen.startswith("own-pets-") and not warnings
    assert "cat, dog" in at.info[0].value
    assert rg.data.load(chosen).labels.tolist() == [0, 0, 0, 1, 1, 1]


def test_bad_files_are_named_together_and_the_others_taken_on_request():
    at = start("photographs")
    files = [(f"{i}.png", picture(i)) for i in range(5)] + [("a.png", b""), ("b.png", b"<html>")]
    chosen, _, warnings = shown(upload_all(at, 0, files))
    assert chosen == "photographs"
    assert "a.png" in warnings[0] and "b.png" in warnings[0] and "2 of 7" in warnings[0]
    at.button[0].click().run()
    chosen, _, warnings = shown(at)
    assert not warnings and "a.png, b.png" in at.info[0].value
    assert len(rg.data.load(chosen).images) == 5


def test_an_upload_is_left_alone_on_request():
    at = upload_all(start("photographs"), 0, [("a.png", picture(0)), ("b.png", b"")])
    assert len(shown(at.run())[2]) == 1  # the question stays
    at.button[1].click().run()
    assert shown(at) == ("photographs", "photographs", [])


def test_an_array_is_chosen_where_several_could_be_meant():
    at = start("photographs")
    content = archive(before=np.zeros((3, 4, 4)), after=1 - varied(0.1))
    chosen, _, warnings = shown(upload(at, "a.npz", content))
    assert chosen == "photographs" and "before (3, 4, 4)" in warnings[0]
    at.selectbox(key="dataset-array").set_value("after").run()
    at.button[0].click().run()
    chosen, _, warnings = shown(at)
    assert not warnings
    assert float(rg.data.load(chosen).images.min()) == pytest.approx(0.4, abs=1e-6)


def test_a_set_is_deleted_when_that_is_confirmed():
    at = start("photographs")
    chosen, _, _ = shown(upload(at, "gone.npz", archive(images=varied(0.2))))
    at.selectbox(key="dataset-gone").set_value(chosen).run()
    assert rg.data.load(chosen)
    at.button[0].click().run()
    assert shown(at)[0] == "photographs"
    assert chosen not in [each.name for each in rg.data.available()]


@pytest.mark.parametrize("name", ["a.npz", "a.npy", "a.png"])
def test_what_decoders_raise_is_one_sentence(name):
    """A deflated stream that breaks off, an unknown method, encryption, a header that is none."""
    good = archive(images=np.zeros((3, 4, 4)))
    squeezed = io.BytesIO()
    np.savez_compressed(squeezed, images=np.random.default_rng(0).normal(size=(3, 16, 16)))
    broken = bytearray(squeezed.getvalue())
    broken[120:140] = b"\xff" * 20
    local, central = good.index(b"PK\x03\x04"), good.index(b"PK\x01\x02")
    method, flags = bytearray(good), bytearray(good)
    method[local + 8], method[central + 10] = 99, 99
    flags[local + 6], flags[central + 8] = 1, 1
    header = b"\x93NUMPY\x01\x00\x10\x00{'descr': ('<f8'" + bytes(64)
    at = start("photographs")
    for content in (bytes(broken), bytes(method), bytes(flags), header):
        chosen, _, warnings = shown(upload(at, name, content))
        assert chosen == "photographs"
        assert len(warnings) == 1 and name in warnings[0] and "\n" not in warnings[0]


def wait_for(at: AppTest) -> AppTest:
    """Run the page until the fields that were asked for are there."""
    end = time.monotonic() + PATIENCE
    while [button for button in at.button if button.label == "Cancel"]:
        assert time.monotonic() < end
        time.sleep(0.2)
        at.run()
    return at


def test_fields_with_a_spectrum_of_ones_own_become_the_data_set():
    at = start("photographs")
    at.selectbox(key="dataset-fields-size").select(8)
    at.selectbox(key="dataset-fields-count").select(500)
    at.segmented_control(key="dataset-fields-law").set_value("table").run()
    table = at.text_area(key="dataset-fields-table")
    table.set_value("0.5, 3\n0.2, 1").run()
    assert "momenta must increase, but 0.5 is followed by 0.2" in at.error[0].value
    assert at.button(key="dataset-fields-go").disabled
    at.text_area(key="dataset-fields-table").set_value("0.2, 3\n0.5, 1").run()
    assert not at.error
    at.button(key="dataset-fields-go").click().run()
    chosen, menu, warnings = shown(wait_for(at))
    assert chosen == menu and chosen.startswith("fields-") and not warnings
    made = rg.data.field_set_of(chosen)
    assert isinstance(made, rg.data.GaussianSet)
    field = made.field
    assert field.spectrum == rg.lattice.TableSpectrum((0.2, 0.5), (3, 1)) and field.size == 8
    assert "Gaussian 8×8, a table of 2 points" in at.selectbox[0].options


def test_fields_that_are_cancelled_leave_the_data_set_as_it_is():
    at = start("photographs")
    at.segmented_control(key="dataset-fields-theory").set_value("Ising").run()
    at.selectbox(key="dataset-fields-size").select(64)
    at.selectbox(key="dataset-fields-count").select(8000).run()
    at.button(key="dataset-fields-go").click().run()
    (task,) = (each for each in jobs.listed("fields/") if each.waited_for)
    at.button(key=f"stop-fields-{task.key}").click().run()
    assert shown(wait_for(at)) == ("photographs", "photographs", [])
    assert task.ended and task.stopped
    assert not [info for info in rg.data.available() if info.shape == (1, 64, 64)]


def test_fields_that_come_when_another_set_is_shown_do_not_take_its_place():
    at = start("photographs")
    at.selectbox(key="dataset-fields-size").select(8)
    at.selectbox(key="dataset-fields-count").select(500).run()
    at.selectbox(key="dataset-menu").select("phi4-6x6")
    at.button(key="dataset-fields-go").click().run()
    said = [each.value for each in wait_for(at).info] + [each.value for each in at.run().info]
    chosen, menu, _ = shown(at)
    assert chosen == menu == "phi4-6x6"
    assert ["can be chosen now" in text for text in said] == [True]
