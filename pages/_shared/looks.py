"""Style sheets of the frame and of the pages that fit all that is dragged on one screen.

The app sends them before a page draws anything, so that nothing on it moves.
"""

__all__ = ["look"]

FRAME = """
.stMainBlockContainer { padding: 2.5rem 2rem 4rem }
.stAppHeader { background: none; pointer-events: none }
.stAppHeader > * { pointer-events: auto }
.stHeading h1 { font-size: 1.75rem; padding: 0 0 0.4rem }
.st-key-address { display: none }
[data-testid=stCaptionContainer] { color: inherit; opacity: 0.8 }
[data-testid=stSliderThumbValue] *, button[data-variant][data-selected=true] * {
    color: light-dark(#2a56be, #9db7ff) !important;
}
[data-stale=true] { --fresh: hidden }
.stHeading h2 { font-size: 1.75rem; padding: 0.5rem 0 1rem }
.stAppHeader, .stAppToolbar, .stAppToolbar > * { pointer-events: none }
.stAppToolbar :is(a, button) { pointer-events: auto }
"""
"""Streamlit's captions, and its blue where that is a text, are too pale to be read by everybody
(WCAG 2, 1.4.3). What is being recomputed is not called exact: --fresh, which components read.
Streamlit's toolbar lies over the titles of pages, all across: only its buttons take presses.
"""

NOISING = """
.stMainBlockContainer { padding: 0.6rem 2rem 3rem !important }
@media (max-width: 640px) {
  .stMainBlockContainer { padding: 0.6rem 1rem 3rem !important }
  .st-key-tour { flex-wrap: nowrap !important }
  .st-key-noising-head { --icon: 2.25rem }
}
.st-key-noising-head { min-height: 2.2rem; padding-right: 3rem }
.st-key-lab { min-height: min(100vh, 60rem) }
.st-key-noising-head h1 { font-size: 1.6rem; padding: 0 }
body:has([data-testid=stExpandSidebarButton]) .st-key-noising-head {
    padding-left: var(--icon, 1.5rem)
}
div:has(> .st-key-noising-stores), div:has(> .st-key-address) {
    position: absolute; width: 0; overflow: hidden
}
"""

SAMPLES = """
.stMainBlockContainer { padding: 0.6rem 2rem 4rem; }
.st-key-head { gap: 0 1rem; flex-flow: row wrap; align-items: baseline; }
.st-key-head { min-height: 2.2rem; padding-right: 3rem; }
.st-key-bench { min-height: min(100vh - 5rem, 52rem) }
.st-key-head > * { width: auto; flex: 0 1 auto; }
.st-key-head h1 { font-size: 1.6rem; padding: 0; }
body:has([data-testid=stExpandSidebarButton]) .st-key-head { padding-left: 2.25rem }
@media (max-width: 640px) {
  .stMainBlockContainer { padding: 0.6rem 1rem; }
  .st-key-head { flex-flow: column; align-items: stretch; gap: 1.4rem; }
  .st-key-head > * { flex: none; }
}
"""

PAGES = {"Noising": NOISING, "Samples": SAMPLES}


def look(title: str) -> str:
    """Return the style of the page with that title, as an element of HTML."""
    return f"<style>{FRAME}{PAGES.get(title, '')}</style>"
