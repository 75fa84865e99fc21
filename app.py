"""rgdiff: the router and the frame."""

import streamlit as st

st.set_page_config(page_title="rgdiff", page_icon=":material/blur_on:", layout="wide")
st.html("<style>.stMainBlockContainer { padding-top: 3rem; }</style>")

st.navigation(
    [
        st.Page("pages/noising.py", title="Noising", icon=":material/gradient:", default=True),
        st.Page("pages/spectra.py", title="Spectra", icon=":material/show_chart:"),
    ]
).run()
