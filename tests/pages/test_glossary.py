"""The glossary: what docs/glossary.md has, found by its words."""

import pytest
from patience import PATIENCE
from streamlit.testing.v1 import AppTest

from pages._frame.glossary import entries, matching

TERMS = (
    *("Log-SNR", "Cutoff", "Kernel", "Noise colour", "Matched noise", "Fixed point", "Score"),
    *("Free theory", "Whitened PCA", "ESS", "Autocorrelation time", "Susceptibility", "Binder"),
    *("KL divergence", "Bits/dim", "NFE", "Guidance", "FID", "Universal model"),
)


def opener() -> None:
    """Draw the button alone."""
    from pages._frame import glossary

    glossary.button()


@pytest.mark.parametrize("term", TERMS)
def test_a_term_comes_first_among_what_has_its_word(term: str):
    assert matching(term)[0].text.startswith(f"**{term}")


@pytest.mark.parametrize(
    ("word", "term"),
    [
        ("φ4", "φ⁴ theory"),
        ("phi4", "φ⁴ theory"),
        ("U4", "Binder cumulant"),
        ("chi", "Susceptibility"),
        ("lambda(t)", "Cutoff"),
        ("noise color", "Noise colour"),
        ("noise colour", "Noise colour"),
        ("magnetization", "Magnetization"),
    ],
)
def test_symbols_and_both_spellings_are_found(word: str, term: str):
    assert any(entry.text.startswith(f"**{term}") for entry in matching(word))


def test_every_entry_has_a_section_and_one_or_two_sentences():
    texts = [each.text for each in entries()]
    assert len(texts) == len({text.split("**")[1] for text in texts}) >= 40
    assert all(each.section for each in entries())
    assert all(text.endswith(".") and len(text) < 400 for text in texts)
    assert matching("") == list(entries()) and matching("binder xyz") == []


def test_the_button_opens_it_and_words_are_searched():
    at = AppTest.from_function(opener, default_timeout=PATIENCE).run()
    assert not at.markdown
    at.button(key="glossary").click().run()
    assert len(at.markdown) == len(entries())
    assert at.text_input(key="glossary-words").value == ""
    assert not at.exception
