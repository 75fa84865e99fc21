"""Numbers on a command line; `argparse` adds the option's name to their errors."""

import argparse
import math
import reprlib

__all__ = ["finite", "whole"]


def whole(text: str) -> int:
    """Return the whole number that a word is.

    Raises:
        ArgumentTypeError: For another word, and for a number of more than 63 bits.
    """
    try:
        number = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{reprlib.repr(text)} is not a whole number.") from None
    if abs(number) >= 2**63:
        raise argparse.ArgumentTypeError(f"{reprlib.repr(text)} has more than 63 bits.")
    return number


def finite(text: str) -> float:
    """Return the finite number that a word is.

    Raises:
        ArgumentTypeError: For another word.
    """
    try:
        number = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{reprlib.repr(text)} is not a number.") from None
    if not math.isfinite(number):
        raise argparse.ArgumentTypeError(f"{reprlib.repr(text)} is not a finite number.")
    return number
