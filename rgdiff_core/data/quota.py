"""How much room the data sets that people bring may take on disk, all together."""

import json
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
    """A set that was brought: its name for `load`, the time it was last written, its bytes."""

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
    """List people's own images and the ensembles that they imported, the oldest first."""
    cache = store.cache_folder()
    own = [_measure(home, home.name) for home in cache.glob("own/[!.]*/")]
    imported = [
        _measure(home, f"lattice-{home.name}")
        for home in cache.glob("ensembles/[!.]*/")
        if _is_imported(home)
    ]
    return sorted(own + imported, key=lambda each: each.made)


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
        f"There is no room for another {mib(incoming)}: {len(there)} data sets that were brought "
        f"take {mib(taken)} of {mib(allowed)} ({VARIABLE}); delete one, the oldest is "
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


def _is_imported(home: Path) -> bool:
    try:
        about = json.loads((home / "about.json").read_text(encoding="utf-8"))
        return about["spec"]["kind"] == "ImportedSpec"
    except (OSError, ValueError, KeyError, TypeError):
        return False
