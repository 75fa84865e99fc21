"""What a subcommand consists of."""

import argparse
from collections.abc import Callable, Mapping
from typing import NamedTuple

__all__ = ["Entries", "Entry", "Work", "no_options", "printer", "said"]

Work = Callable[[argparse.Namespace], tuple[object, list[str]]]
"""What a subcommand does: it returns what `--json` prints and the lines for people."""


class Entry(NamedTuple):
    """One subcommand.

    Attributes:
        options: Adds its options to a parser.
        run: Does the work.
    """

    options: Callable[[argparse.ArgumentParser], None]
    run: Work


Entries = Mapping[str, Entry]
"""The subcommands of a module by their last word."""


def said(error: Exception) -> str:
    """Return an error's message; for an `OSError`, file and reason without the error number."""
    if type(error).__str__ is OSError.__str__ and isinstance(error, OSError) and error.strerror:
        named = "" if error.filename is None else f"{error.filename}: "
        return f"{named}{error.strerror}."
    return str(error)


def printer(chosen: argparse.Namespace) -> Callable[[str], None]:
    """Return what prints a line for people at once, and nothing where a program reads."""

    def say(text: str) -> None:
        if not chosen.json:
            print(text, flush=True)

    return say


def no_options(parser: argparse.ArgumentParser) -> None:
    """Add nothing."""
    del parser
