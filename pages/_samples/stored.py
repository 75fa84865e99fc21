"""Stored samples of a model, which are seen before any is drawn; the gallery has those of all
pretrained models of images.
"""

from pathlib import Path

import streamlit as st
from torch import Tensor

from pages._samples import session
from pages._samples.controls import with_model
from pages._sampling.models import menu
from pages._shared.pictures import png, sheet
from rgdiff_core.denoisers.files import pretrained_folder
from rgdiff_core.pretraining.images import GUIDED, SHEET
from rgdiff_core.pretraining.sheet import STEPS, read_sheet
from rgdiff_core.training import runs

__all__ = ["gallery", "stored_fields"]

COLUMNS, SCALE = 3, 3  # of the gallery; of a picture's pixels


def stored_fields(model: str) -> Tensor | None:
    """Return stored samples (n, C, H, W) of a model: those of its sheet, or a run's last preview;
    None where there are none, or their file is damaged.
    """
    kind, _, name = model.partition("/")
    try:
        if kind == "pretrained":
            return read_sheet(pretrained_folder() / name / SHEET).float() / 127.5 - 1
        if kind == "run" and (steps := runs.sample_steps(name)):
            found = runs.samples(name, steps[-1])
            return None if found is None else found.images
    except (OSError, ValueError):
        pass
    return None


def gallery(present: str) -> None:
    """Draw the sheets of pretrained models, each with a button that goes on with the model.

    Arguments:
        present: the model that is sampled from.
    """
    titles = menu()
    sheets = {model: picture for model in titles if (picture := _picture(model))}
    if not sheets:
        return
    with st.expander("Gallery: stored samples of the models", icon=":material/photo_library:"):
        st.caption(
            f"Sixteen samples from each model, not chosen by hand, drawn in {STEPS} steps with "
            "the best process on its card; models with classes show one class after another, at "
            f"guidance {GUIDED:g}. Reproduce with `rgdiff pretrain NAME --sheet`."
        )
        places = st.columns(COLUMNS)
        for index, (model, picture) in enumerate(sheets.items()):
            with places[index % COLUMNS]:
                st.image(picture, width="stretch", alt=f"Sixteen samples of {titles[model]}")
                st.button(
                    titles[model],
                    key=f"gallery-{model}",
                    on_click=_go_on_with,
                    args=(model,),
                    disabled=model == present,
                    help="Sample from this model.",
                )


def _go_on_with(model: str) -> None:
    session.change(lambda bench: with_model(bench, model))


def _picture(model: str) -> bytes | None:
    """Return the sheet of a pretrained model as a PNG file, enlarged."""
    kind, _, name = model.partition("/")
    path = pretrained_folder() / name / SHEET
    if kind != "pretrained" or not path.is_file():
        return None
    return _enlarged(str(path), path.stat().st_mtime_ns)


@st.cache_data(max_entries=64, show_spinner=False)
def _enlarged(path: str, version: int) -> bytes | None:
    del version
    try:
        x = read_sheet(Path(path))
    except (OSError, ValueError):
        return None
    tiles = x.permute(0, 2, 3, 1).expand(-1, -1, -1, 3).numpy()
    return png(sheet(tiles, 4, SCALE))
