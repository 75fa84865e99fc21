"""rgdiff, the app: `streamlit run app.py` serves it, and this file is run again for each visit.

Streamlit's server imports the file once and serves the `app` that it finds; a visit runs it as a
script, which draws the frame and the page that the address names.
"""

import asyncio
import logging
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import streamlit as st
from starlette.middleware import Middleware
from streamlit import config
from streamlit.runtime.pages_manager import PagesManager
from streamlit.runtime.scriptrunner import get_script_run_ctx

from pages._frame import glossary
from pages._frame.guard import Guard, Hosts
from pages._frame.presses import OnePress
from pages._frame.root import Root, to_root
from pages._samples.component.route import route
from rgdiff_core import extensions

FRAME = Path(__file__).parent / "pages" / "_frame"
# A file, for Streamlit fetches named icons from elsewhere.
ICON = FRAME / "icon.png"
SCRIPTS = ("address.js", "skip.js", "paste.js")


def draw() -> None:
    """Draw the frame and the page of this visit."""
    st.set_page_config(page_title="rgdiff", page_icon=ICON, layout="wide")
    page = st.navigation(
        [
            st.Page("pages/noising.py", title="Noising", icon=":material/gradient:", default=True),
            st.Page("pages/spectra.py", title="Spectra", icon=":material/show_chart:"),
            st.Page("pages/lattice.py", title="Lattice", icon=":material/grid_4x4:"),
            st.Page("pages/samples.py", title="Samples", icon=":material/auto_awesome:"),
            st.Page("pages/training.py", title="Training", icon=":material/model_training:"),
            st.Page("pages/results.py", title="Results", icon=":material/leaderboard:"),
        ]
    )
    with st.container(key="address"):
        scripts = "\n".join((FRAME / name).read_text("utf-8") for name in SCRIPTS)
        st.html(f"<script>{scripts}</script>", unsafe_allow_javascript=True)
    with st.sidebar:
        glossary.button()
    page.run()


def preload() -> None:
    """Import the pages' libraries and prepare the first picture, so that no visitor waits."""
    import scipy.optimize

    from pages._noising import messages
    from pages._noising.state import start
    from pages._shared import cache, datasets
    from pages._spectra import views as spectra_views

    del scipy, spectra_views
    # Streamlit warns where its caches are filled outside a visit, which here is the purpose.
    warnings = logging.getLogger("streamlit.runtime.scriptrunner_utils.script_run_context")
    warnings.disabled = True
    lab = start(datasets.first())
    if cache.has(lab.data):
        messages.layers_messages(lab)
        messages.settled_message(lab, 0, "")
    warnings.disabled = False


def preload_rest() -> None:
    """Import what only the Samples, Training and Lattice pages need.

    The first derivative of a backward pass imports sympy, for seconds in which nothing is
    cancelled; here nobody waits for it.
    """
    import torch

    from pages._lattice import model, phase_map, sampling, scan
    from pages._samples import search_views
    from pages._samples import views as samples_views
    from pages._samples.component import line
    from pages._training import estimate, form, run_samples
    from rgdiff_core import Modes
    from rgdiff_core.schedules import Cutoff

    Cutoff().beta(torch.tensor(0.5), Modes(torch.rand(1, 2, 2)))
    del phase_map, model, sampling, scan
    del line, run_samples, samples_views, search_views, estimate, form


@asynccontextmanager
async def lifespan(app: st.App) -> AsyncIterator[None]:
    """Import before the first answer: who is answered then waits for the picture only."""
    del app
    await asyncio.to_thread(preload)
    later = asyncio.create_task(asyncio.to_thread(preload_rest))  # nobody waits for it
    yield
    await later


def names() -> Hosts:
    """Return the names under which the server answers; a bad setting ends it with a sentence."""
    try:
        hosts = Hosts.configured(
            config.get_option("server.address"), config.get_option("server.allowedHosts")
        )
    except ValueError as error:
        sys.exit(str(error))
    # The guard stands before all of the server; Streamlit's own list covers its stream alone.
    config.set_option("server.allowedHosts", ["*"])
    return hosts


if get_script_run_ctx(suppress_warning=True) is None:
    try:
        extensions.load()
    except ValueError as error:
        sys.exit(str(error))
    # This file routes by st.navigation. Streamlit learns that only when it runs, and until then
    # would take pages/ for its older kind of routing: a first visit by a deep link would show
    # file names.
    PagesManager.uses_pages_directory = False
    hosts, base = names(), config.get_option("server.baseUrlPath")
    app = st.App(
        __file__,
        lifespan=lifespan,
        routes=[route(hosts, base), to_root("noising", base)],
        middleware=[
            Middleware(Guard, hosts=hosts),
            Middleware(Root, base=base, style=(FRAME / "looks.css").read_text("utf-8")),
            Middleware(OnePress),
        ],
    )
else:
    draw()
