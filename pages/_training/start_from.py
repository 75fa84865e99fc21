"""Where a run's weights come from: fresh ones, or those of a model that is trained on."""

from pathlib import Path

import streamlit as st

from pages._sampling import models
from pages._shared import cache
from pages._training import state
from rgdiff_core.training import TrainConfig
from rgdiff_core.training.warm_start import adapted, misfit, trained_on

__all__ = ["choose"]

KEY, PARAMETER = "training-from", "from"  # in the session, in the address


def choose(config: TrainConfig) -> tuple[Path | None, str]:
    """Draw the menu of models to start from.

    Returns:
        the chosen model's file, None for fresh weights, and why the config can't start from it.
    """
    titles = {n: title for n, title in models.menu().items() if models.fixes_basis(n)}
    told = st.query_params.get(PARAMETER)
    st.session_state.setdefault(KEY, told if told in titles else None)
    chosen = st.selectbox(
        "Start from",
        list(titles),
        index=None,  # so that it can be emptied
        format_func=lambda name: titles[name],
        placeholder="random initialization",
        key=KEY,
        on_change=_adapt,
        help="Go on with the weights of a model, on its own data or on yours. The settings become "
        "those of the model, for a short run; change them afterwards, but not the network.",
    )
    if chosen is None:
        return None, ""
    try:
        path = models.file_of(chosen)
        return path, _misfit(path, config)
    except (ValueError, OSError) as error:
        return None, str(error)


def _misfit(path: Path, config: TrainConfig) -> str:
    return misfit(path, config, cache.images(config.data).images.shape[1:])


def _adapt() -> None:
    """Take the settings of the chosen model; data that do not fit it make way for its own."""
    chosen = st.session_state[KEY]
    if chosen is None:
        st.query_params.pop(PARAMETER, None)
    else:
        st.query_params[PARAMETER] = chosen
        state.attempt(lambda: _adapted(models.file_of(chosen), state.current().data))


def _adapted(path: Path, data: str) -> TrainConfig:
    found = adapted(path, data, bool(cache.images(data).class_names))
    if _misfit(path, found) and cache.has(own := trained_on(path)):
        return adapted(path, own, True)
    return found
