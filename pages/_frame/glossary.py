"""The glossary, which a button in the sidebar of every page opens."""

import re
import unicodedata
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import streamlit as st

__all__ = ["Entry", "button", "entries", "matching"]

SOURCE = Path(__file__).parents[2] / "docs" / "glossary.md"
AMERICAN = {
    "(col|behavi|neighb)our": r"\1or",
    "centre": "center",
    "isation": "ization",
}


@dataclass(frozen=True)
class Entry:
    """A term with what it means.

    Attributes:
        section: The heading that it stands under.
        text: The entry in Markdown: the term in bold, its symbol, and one or two sentences.
    """

    section: str
    text: str


@cache
def entries() -> tuple[Entry, ...]:
    """Return the entries of docs/glossary.md in their order."""
    found, section = [], ""
    for paragraph in SOURCE.read_text("utf-8").split("\n\n"):
        if paragraph.startswith("## "):
            section = paragraph.removeprefix("## ").strip()
        elif paragraph.startswith("**"):
            found.append(Entry(section, " ".join(paragraph.split())))
    return tuple(found)


def matching(words: str) -> list[Entry]:
    """Return the entries that contain all of some words, upper or lower case; first those whose
    term begins with them, then those whose term has them.
    """
    wanted = _folded(words).split()

    def place(entry: Entry) -> int:
        term = _folded(entry.text.split("**")[1])
        in_term = all(word in term for word in wanted)
        return 0 if in_term and term.startswith(tuple(wanted)) else 1 if in_term else 2

    found = [each for each in entries() if all(w in _folded(each.text) for w in wanted)]
    return sorted(found, key=place) if wanted else found


@cache
def _folded(text: str) -> str:
    """Return a text as it is searched: in lower case and American spelling, with plain digits, and
    with Greek letters spelt out.
    """
    plain = unicodedata.normalize("NFKC", text).casefold()
    spelt = re.sub("[α-ω]", _spelt, plain)
    for british, american in AMERICAN.items():
        spelt = re.sub(british, american, spelt)
    return spelt


def _spelt(letter: re.Match[str]) -> str:
    name = unicodedata.name(letter[0]).rsplit(" ", 1)[1].lower()
    return "lambda" if name == "lamda" else name  # as Unicode has it


def button() -> None:
    """Draw the button that opens the glossary."""
    if st.button("Glossary", icon=":material/menu_book:", type="tertiary", key="glossary"):
        _dialog()


@st.dialog("Glossary", width="large")
def _dialog() -> None:
    words = st.text_input("Search", placeholder="a term, a symbol or a word", key="glossary-words")
    found = matching(words)
    if not found:
        st.info(f"No entry contains “{words[:40]}”.", icon=":material/info:")
    section = ""
    for entry in found:
        if not words and entry.section != section:
            section = entry.section
            st.header(section, anchor=False)
        st.markdown(_literal(entry.text))


def _literal(text: str) -> str:
    """Return an entry in which Streamlit takes nothing for mathematics, colour or emphasis but
    the term.
    """
    term, rest = text.removeprefix("**").split("**", 1)
    return f"**{term}**" + re.sub(r"([*_~:$\[\]|])", r"\\\1", rest)
