"""`rgdiff data add` and `delete`: the user's own images."""

import argparse
from dataclasses import asdict
from pathlib import Path

from rgdiff_core.cli.base import Entries, Entry
from rgdiff_core.data.arrays import ChooseArray
from rgdiff_core.data.folder import BadFiles, keep_folder
from rgdiff_core.data.quota import brought
from rgdiff_core.data.sets import delete
from rgdiff_core.files.untrusted import mib

__all__ = ["COMMANDS"]


def _add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `rgdiff data add`."""
    parser.add_argument(
        "place",
        type=Path,
        metavar="PLACE",
        help="a folder of pictures, one picture, or a .npz or .npy file of images",
    )
    parser.add_argument("--name", help="what the set is called (default: as the folder or file)")
    parser.add_argument(
        "--size", type=int, help="side in pixels, even, 4 to 256 (default 32, arrays their own)"
    )
    parser.add_argument(
        "--array", metavar="NAME", help="the array of images in a .npz file, where it is not clear"
    )
    parser.add_argument(
        "--skip-bad", action="store_true", help="go on without pictures that cannot be read"
    )


def _add(chosen: argparse.Namespace) -> tuple[object, list[str]]:
    """Register images; return what to print as JSON, and the lines for people.

    Raises `ValueError` where something cannot be read; the message explains how to continue.
    """
    try:
        kept = keep_folder(
            chosen.place,
            chosen.name,
            chosen.size,
            array=chosen.array,
            skip_bad=chosen.skip_bad,
        )
    except BadFiles as error:
        if not error.good:
            raise
        raise ValueError(f"{error} --skip-bad goes on with the other {error.good}.") from error
    except ChooseArray as error:
        raise ValueError(f"{error} --array {error.arrays[0]} takes the first.") from error
    plural = "" if kept.images == 1 else "s"
    lines = [f"{kept.name}: {kept.images} image{plural}.", *(f"  {note}" for note in kept.notes)]
    if kept.replaced:
        lines.append(f"  An older set called {kept.name} was replaced.")
    return asdict(kept), lines


def _delete_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `rgdiff data delete`."""
    parser.add_argument(
        "name",
        metavar="NAME",
        help="own images, generated fields or an ensemble: `rgdiff data list`",
    )


def _delete(chosen: argparse.Namespace) -> tuple[object, list[str]]:
    """Delete a set; return what to print as JSON, and the lines for people.

    Raises `ValueError` for a set that is not there or comes with rgdiff.
    """
    freed = sum(each.bytes for each in brought() if each.name == chosen.name)
    delete(chosen.name)
    return {"deleted": chosen.name}, [
        f"{chosen.name} is deleted{f', {mib(freed)} are free' if freed else ''}."
    ]


COMMANDS: Entries = {
    "add": Entry(_add_options, _add),
    "delete": Entry(_delete_options, _delete),
}
