"""rgdiff: the router and the frame."""

from pathlib import Path

import streamlit as st

SHARED = Path(__file__).parent / "pages" / "_shared"
# A file, for Streamlit fetches named icons from elsewhere.
ICON = SHARED / "icon.png"

st.set_page_config(page_title="rgdiff", page_icon=ICON, layout="wide")
st.html(
    "<style>.stMainBlockContainer { padding-top: 3rem } .st-key-address { display: none }</style>"
)
with st.container(key="address"):
    script = (SHARED / "address.js").read_text("utf-8")
    st.html(f"<script>{script}</script>", unsafe_allow_javascript=True)

st.navigation(
    [
        st.Page("pages/noising.py", title="Noising", icon=":material/gradient:", default=True),
        st.Page("pages/spectra.py", title="Spectra", icon=":material/show_chart:"),
        st.Page("pages/lattice.py", title="Lattice", icon=":material/grid_4x4:"),
        st.Page("pages/samples.py", title="Samples", icon=":material/auto_awesome:"),
        st.Page("pages/training.py", title="Training", icon=":material/model_training:"),
        st.Page("pages/results.py", title="Results", icon=":material/leaderboard:"),
    ]
).run()
