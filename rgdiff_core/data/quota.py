"""How much room the images that people bring, and all ensembles and generated fields, may take on
disk, all together.
"""

import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from rgdiff_core.data import store
from rgdiff_core.files.untrusted import Refused, megabytes, mib

__all__ = ["VARIABLE", "Brought", "brought", "check", "quota"]

VARIABLE = "RGDIFF_QUOTA_MB"
DEFAULT_MB = 4096


@dataclass(frozen=True)
class Brought:
    """A set that was brought or generated: its name for `load`, the time it was last written, its
    bytes.
    """

    name: str
    made: float
    bytes: int


def quota() -> int:
    """Return how many bytes may be taken: RGDIFF_QUOTA_MB, by default 4096 MiB.

    Raises:
        ValueError: As `limits.megabytes`.
    """
    return megabytes(VARIABLE, DEFAULT_MB)


def brought() -> list[Brought]:
    """List people's own images, generated fields, and ensembles: imported, generated or begun; the
    oldest first.
    """
    cache = store.cache_folder()
    own = [_measure(home, home.name) for home in cache.glob("own/[!.]*/")]
    ensembles = [
        _measure(home, f"lattice-{home.name}")
        for home in cache.glob("ensembles/[!.]*/")
        if home.is_dir()
    ]
    fields = [
        _measure(home, f"fields-{home.name}")
        for home in cache.glob("fields/[!.]*/")
        if home.is_dir()
    ]
    return sorted(own + ensembles + fields, key=lambda each: each.made)


def check(incoming: int, replaced: str = "") -> None:
    """Refuse a set for which there is no room.

    Arguments:
        incoming: Its bytes.
        replaced: The name of the set in whose place it comes.

    Raises:
        Refused: Naming the oldest set.
    """
    there = [each for each in brought() if each.name != replaced]
    taken, allowed = sum(each.bytes for each in there), quota()
    if taken + incoming <= allowed:
        return
    if not there:
        raise Refused(
            f"The set takes {mib(incoming)}; at most {mib(allowed)} are allowed ({VARIABLE})."
        )
    oldest = there[0]
    day = time.strftime("%Y-%m-%d", time.localtime(oldest.made))
    raise Refused(
        f"There is no room for another {mib(incoming)}: what was brought or generated takes "
        f"{mib(taken)} of {mib(allowed)} ({VARIABLE}); delete a set, the oldest is "
        f"{oldest.name} ({mib(oldest.bytes)}, of {day})."
    )


def _measure(home: Path, name: str) -> Brought:
    found = []
    with suppress(FileNotFoundError):  # deleted meanwhile
        found += [path.stat() for path in home.iterdir() if path.is_file()]
    return Brought(
        name,
        max((each.st_mtime for each in found), default=0.0),
        sum(each.st_size for each in found),
    )
