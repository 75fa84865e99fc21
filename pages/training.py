"""Training: launch short runs from the page, watch them, sample from them."""

from pathlib import Path

import streamlit as st

from pages._shared import tour
from pages._training import form, run_list, run_samples, run_views, start_from, state
from pages._training.estimate import answer, ask, known
from rgdiff_core.training import PRESETS, TrainConfig, runs
from rgdiff_core.training.runs import Run

WATCHED = "training-watched"  # in the session: the run that stands above the form


def start(config: TrainConfig, weights: Path | None) -> None:
    """Queue a run of the form's config, and show it."""
    preset = state.preset_of(config)
    title = PRESETS[preset].title if preset else f"{config.data}, own settings"
    run = run_list.attempt(lambda: runs.submit(config, title, weights))
    if run is not None:
        st.query_params[run_list.PARAMETER] = run.id


def watched(run: Run | None) -> bool:
    """Return whether a run is active, or has been while this visitor watched it."""
    if run is not None and run.active:
        st.session_state[WATCHED] = run.id
    return run is not None and st.session_state.get(WATCHED) == run.id


def launch() -> None:
    """Draw the presets and what starts a run, and the form in the sidebar."""
    state.prepare()
    box = st.container(border=True)
    left, middle, right = box.columns([7, 2, 3], vertical_alignment="bottom")
    with st.sidebar:
        config = form.form()
    with left:
        form.presets()
    with box:
        weights, misfit = start_from.choose(config)
    problem, unfit = state.problem(), misfit or form.fit(config)
    again = run_list.under_way(config, weights)
    middle.button(
        "Start",
        type="primary",
        key="training-start",
        icon=":material/play_arrow:",
        width="stretch",
        disabled=bool(unfit) or again,
        on_click=start,
        args=(config, weights),
        help="Queue a run with these settings; one runs at a time.",
    )
    with right:
        ask(config)
    with box:
        if again:
            st.caption("A run with these settings is under way: change one to queue another.")
        if problem is not None:
            st.warning(problem, icon=":material/info:")
        if unfit:
            st.error(unfit, icon=":material/error:")
        else:
            form.summary(config, known(config))
            answer(config)
    state.write_link()


def chosen(listed: list[Run]) -> Run | None:
    """Draw the menu of runs and the chosen one as it goes, and return it."""
    st.header("Runs")
    left, right = st.columns([3, 1], vertical_alignment="bottom")
    with right:
        run_list.upload()
    with left:
        run = run_list.choose(listed)
    if run is None:
        st.info(
            "There are no runs yet. Press **Start**: the first preset takes a minute or two "
            "on two cores, and its samples appear within seconds.",
            icon=":material/rocket_launch:",
        )
        return None
    run_list.actions(run)
    run_views.live(run)
    return run


def page() -> None:
    """Draw the page."""
    st.set_page_config(layout="wide")
    st.title("Training")
    st.markdown(
        "Train a score model: the exact Gaussian score of the data's spectrum, and a network that "
        "learns the rest. **Choose a preset and press Start.** Runs go on when this page is "
        "closed: come back to watch, pause or compare them, or to sample from them."
    )
    tour.arrive("training")
    tour.draw("training")
    above = st.container()  # the form, where a run is watched
    launch()
    run_list.look_after()
    try:
        listed = runs.list_runs()
    except (ValueError, OSError) as error:
        st.error(str(error), icon=":material/error:")
        return
    with above if watched(run_list.at_hand(listed)) else st.container():
        run = chosen(listed)
    if run is None:
        return
    if not run.missing:
        run_samples.sampling(run)
    run_list.details(run)
    run_list.overview(listed)


page()
