"""Bringing one's own images, asking where some of it is unclear, and deleting them."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath

import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

import rgdiff_core as rg
from rgdiff_core.data import BadFiles, ChooseArray
from rgdiff_core.files.untrusted import mib

__all__ = ["PROBLEM", "SAID", "WANTED", "draw"]

WANTED, PROBLEM, SAID = (f"dataset-{name}" for name in ("wanted", "problem", "said"))
"""Where the session keeps the set to show next, why there is none, and how it was read."""

SIZES = (16, 32, 64)
ARRAYS = (".npz", ".npy")
KINDS = ["png", "jpg", "jpeg", "gif", "bmp", "tif", "tiff", "webp", "npz", "npy"]

_FILES, _FOLDER, _SIZE = (f"dataset-{name}" for name in ("files", "folder", "size"))
_OPEN, _ARRAY, _GONE = (f"dataset-{name}" for name in ("open", "array", "gone"))
_CAMERA, _PHOTO = (f"dataset-{name}" for name in ("camera", "photo"))


@dataclass(frozen=True)
class Question:
    """An upload that can be read in part, or in several ways.

    Attributes:
        key: The uploader that holds it.
        text: Why it is not read as it is.
        arrays: The arrays that could be the images.
        good: How many files can be read.
    """

    key: str
    text: str
    arrays: tuple[str, ...] = ()
    good: int = 0


def draw() -> None:
    """Draw the place for the user's own images, and the question that an upload raises."""
    _question()
    with st.popover("Your own images", icon=":material/upload:", width="stretch"):
        st.caption(
            "Pictures are cropped to a square and resized; a .npz or .npy file holds an array "
            "(N, H, W), (N, H, W, C) or (N, C, H, W), and labels. They stay on this machine."
        )
        st.segmented_control(
            "Size of the pictures",
            SIZES,
            default=32,
            required=True,
            key=_SIZE,
            format_func=lambda side: f"{side}×{side}",
            help="Side in pixels. Arrays keep their own.",
        )
        st.file_uploader(
            "Pictures, or one .npz or .npy file; Ctrl+V pastes a picture",
            type=KINDS,
            accept_multiple_files=True,
            key=_FILES,
            on_change=partial(_register, _FILES),
        )
        st.file_uploader(
            "A folder of pictures; of several folders the names are the labels",
            type=KINDS,
            accept_multiple_files="directory",
            key=_FOLDER,
            on_change=partial(_register, _FOLDER),
        )
        if st.toggle("Photograph with the camera", key=_CAMERA):
            st.camera_input("Photograph", key=_PHOTO, on_change=partial(_register, _PHOTO))
        _deletion()


def _register(key: str, array: str | None = None, skip_bad: bool = False) -> None:
    """Register what was uploaded; where that fails, keep the sentence that says why."""
    st.session_state.pop(_OPEN, None)
    held: Sequence[UploadedFile] | UploadedFile | None = st.session_state.get(key)
    if not held:
        return
    uploads = [held] if isinstance(held, UploadedFile) else held
    files = [(upload.name, upload.getvalue()) for upload in uploads]
    is_array = files[0][0].lower().endswith(ARRAYS)
    size = None if is_array else st.session_state[_SIZE]
    # The digest tells apart sets of the same title, so that nothing cached is ever out of date.
    digest = hashlib.sha256(repr((size, array, skip_bad)).encode())
    for name, content in files:
        digest.update(repr((name, len(content))).encode() + content)
    first = PurePosixPath(files[0][0])
    title = first.parts[0] if len(first.parts) > 1 else first.stem
    try:
        kept = rg.data.keep_upload(
            f"own-{title[:24]}-{digest.hexdigest()[:6]}",
            files,
            size,
            array=array,
            skip_bad=skip_bad,
            parts=True,
        )
    except (ValueError, OSError) as error:
        if isinstance(error, ChooseArray):
            st.session_state[_OPEN] = Question(key, str(error), arrays=error.arrays)
        elif isinstance(error, BadFiles) and error.good:
            st.session_state[_OPEN] = Question(key, str(error), good=error.good)
        else:
            st.session_state[PROBLEM] = str(error)
    else:
        st.session_state[WANTED] = kept.name
        st.session_state[SAID] = " ".join(kept.notes)


def _question() -> None:
    """Ask what to do with an upload that can be read in part, or in several ways."""
    question: Question | None = st.session_state.get(_OPEN)
    if question is None:
        return
    st.warning(question.text, icon=":material/help:")
    if question.arrays:
        st.selectbox("The array of images", question.arrays, key=_ARRAY)
        st.button("Use this array", type="primary", on_click=_take_array, args=(question.key,))
    else:
        st.button(
            f"Continue with the other {question.good}",
            type="primary",
            on_click=partial(_register, question.key, skip_bad=True),
        )
    st.button("Cancel", on_click=partial(st.session_state.pop, _OPEN, None))


def _take_array(key: str) -> None:
    _register(key, array=st.session_state[_ARRAY])


def _deletion() -> None:
    """Draw the list of what was brought, and the button that deletes one of it."""
    there = {each.name: each for each in rg.data.brought() if not each.name.startswith("lattice-")}
    if not there:
        return
    titles = {info.name: info.title for info in rg.data.available()}
    gone = st.selectbox(
        "Delete one of your own sets",
        list(there),
        index=None,
        key=_GONE,
        format_func=lambda name: (
            f"{titles.get(name, name)} · {mib(there[name].bytes)}" if name in there else name
        ),
        placeholder="The oldest first",
    )
    if gone is not None:
        st.button(
            f"Delete {titles.get(gone, gone)} for good",
            type="primary",
            icon=":material/delete:",
            on_click=partial(_delete, gone),
        )


def _delete(name: str) -> None:
    st.session_state[_GONE] = None
    try:
        rg.data.delete(name)
    except (ValueError, OSError) as error:
        st.session_state[PROBLEM] = str(error)
    else:
        st.session_state[SAID] = f"{name} is deleted."
