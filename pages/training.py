"""Training: launch short runs from the page, watch them, sample from them."""

import streamlit as st

from pages._shared import runlist, runsamples, runviews, trainingform
from rgdiff_core.training import Timing, TrainConfig, measure, runs
from rgdiff_core.training.commands import duration


@st.cache_resource(max_entries=32, show_spinner="Taking a few steps …")
def _measured(config: str) -> Timing:
    return measure(TrainConfig.from_json(config))


def estimate(config: TrainConfig) -> None:
    """Draw the estimate of a run's time, measured on demand."""
    measured = st.session_state.setdefault("training-measured", {})
    key = config.to_json()
    if st.button(
        "How long?",
        icon=":material/speed:",
        width="stretch",
        help="Take a few real steps on this machine and throw them away.",
    ):
        try:
            measured[key] = _measured(key)
        except (ValueError, OSError, RuntimeError) as error:
            st.warning(str(error).splitlines()[0], icon=":material/info:")
    timing = measured.get(key)
    if timing is not None:
        st.caption(
            f"{timing.parameters:,} parameters, {1000 * timing.step_s:.3g} ms a step on "
            f"{timing.device}: **{duration(timing.total_s)}** for {config.steps:,} steps, on an "
            "idle machine."
        )


def start(config: TrainConfig) -> None:
    """Queue a run of the form's config, and show it."""
    titles = [p.title for p in trainingform.PRESETS.values() if p.config == config]
    try:
        run = runs.submit(config, titles[0] if titles else f"{config.data}, own settings")
    except (ValueError, OSError) as error:
        st.session_state["training-problem"] = str(error)
        return
    st.query_params[runlist.PARAMETER] = run.id


def page() -> None:
    """Draw the page."""
    st.set_page_config(layout="wide")
    st.title("Training")
    st.markdown(
        "Train a score model: the exact Gaussian score of the data's spectrum, and a network that "
        "learns the rest. **Choose a preset and press Start.** A run goes on when this page is "
        "closed; come back to it, pause it, compare it, sample from it."
    )
    with st.sidebar:
        launch = st.container()
        config = trainingform.form()
        with launch:
            st.button(
                "Start",
                type="primary",
                icon=":material/play_arrow:",
                width="stretch",
                on_click=start,
                args=(config,),
                help="Queue a run with the settings below; one runs at a time.",
            )
            estimate(config)
            problem = trainingform.problem()
            if problem:
                st.warning(problem, icon=":material/info:")
    try:
        runs.pump()
        listed = runs.list_runs()
    except (ValueError, OSError) as error:
        st.error(str(error), icon=":material/error:")
        return
    left, right = st.columns([5, 1], vertical_alignment="bottom")
    with right:
        runlist.upload()
    with left:
        run = runlist.choose(listed)
    if run is None:
        st.info(
            "There are no runs yet. Press **Start** at the side: the first preset takes about two "
            "minutes on two cores, and its samples appear within seconds.",
            icon=":material/rocket_launch:",
        )
        return
    runlist.actions(run)
    runviews.live(run.id)
    runsamples.sampling(run)
    runlist.details(run)
    runlist.overview(listed)


page()
