"""What people read for the name of a model's file."""

import rgdiff_core as rg

__all__ = ["titled", "with_titles"]

RESEARCH = {  # models of `results/models`, which no menu lists
    "phi4-critical-sizes": "φ⁴ of many sizes, critical",
    "phi4-couplings-sizes": "φ⁴ of many sizes, critical and symmetric",
    "phi4-standard-sizes": "φ⁴ of many sizes, critical and published couplings",
}


def titled(name: str) -> str:
    """Return a model's title, with the name of its file where another has the same title; of a
    file that is not known, its name.
    """
    known = RESEARCH | {model.name: model.title for model in rg.list_pretrained()}
    if name not in known:
        return name
    alone = list(known.values()).count(known[name]) == 1
    return known[name] if alone else f"{known[name]} ({name})"


def with_titles(words: str) -> str:
    """Return words "… by NAME" or "… by NAME, INTERVAL" with the model's title for its name."""
    before, by, after = words.rpartition("by ")
    name, comma, interval = after.partition(", ")
    return f"{before}{by}{titled(name)}{comma}{interval}"
