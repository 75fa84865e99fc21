"""The server: the app, with what is slow to import brought in while it starts.

`streamlit run serve.py` is what `make app` runs; `streamlit run app.py` works as well, with a
slower first page.
"""

import asyncio
import logging
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import streamlit as st
from starlette.middleware import Middleware
from streamlit import config
from streamlit.runtime.pages_manager import PagesManager

from pages._shared.guard import Guard, Hosts
from pages._shared.reverse.route import route

# app.py routes by st.navigation. Streamlit learns that only when app.py runs, and until then would
# take pages/ for its older kind of routing: a first visit by a deep link would show file names.
PagesManager.uses_pages_directory = False


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
    """Import what only the Samples, Training and Lattice pages need."""
    from pages._lattice import model, phase_map, sampling, scan
    from pages._samples import search_views
    from pages._samples import views as samples_views
    from pages._shared.reverse import line
    from pages._training import estimate, form, run_samples

    del phase_map, model, sampling, scan
    del line, run_samples, samples_views, search_views, estimate, form
    import pyerrors  # for errors of correlated chains; of all it takes the longest

    del pyerrors


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


hosts = names()
app = st.App(
    "app.py",
    lifespan=lifespan,
    routes=[route(hosts, config.get_option("server.baseUrlPath"))],
    middleware=[Middleware(Guard, hosts=hosts)],
)
