"""Sets of lattice fields that people asked for, in the cache.

Each has a folder under its id in `fields` of the cache folder, written like those of the built-in
sets; `spec.json` comes last, so that what was interrupted is not there.
"""

import json
import logging
import shutil
import threading
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from rgdiff_core.data import quota, store
from rgdiff_core.data.field_sets import PREFIX, FieldSet, ImportedIsingSet
from rgdiff_core.data.records import DataUnavailable, Progress, Record, quiet
from rgdiff_core.spec import Spec, to_dict

__all__ = ["delete", "generate", "is_name", "keep", "read", "spec_of", "stored"]

logger = logging.getLogger(__name__)
_locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)


def generate(spec: FieldSet, progress: Progress = quiet) -> str:
    """Make a set and keep it; return its name for `load`. One that is there is not made again.

    Raises:
        ValueError: When the quota of what is generated and brought is passed.
        DataUnavailable: When the folder cannot be written.
    """
    with _locks[spec.name]:
        if spec_of(spec.name) is None:
            quota.check(spec.bytes, spec.name)
            keep(spec, spec.build(progress))
    return spec.name


def keep(spec: FieldSet, records: Mapping[str, Record]) -> None:
    """Write both splits of a set into its folder.

    Raises:
        ValueError: When the quota is passed.
        DataUnavailable: When the folder cannot be written.
    """
    quota.check(spec.bytes, spec.name)
    home = _home(spec.name)
    try:
        for split, record in records.items():
            store.write(home, split, record)
        text = json.dumps(to_dict(spec), indent=1).encode()
        store.replace(home / "spec.json", lambda file: file.write(text))
    except OSError as error:
        raise DataUnavailable(f"{home} cannot be written: {error.strerror or error}.") from error


def is_name(name: str) -> bool:
    """Tell whether a name could be that of such a set."""
    id = name.removeprefix(PREFIX)
    return name != id and len(id) == 12 and set(id) <= set("0123456789abcdef")


def spec_of(name: str) -> FieldSet | None:
    """Return what a kept set holds, None where there is none of that name."""
    if not is_name(name):
        return None
    path = _home(name) / "spec.json"
    try:
        spec = Spec.from_json(path.read_text(encoding="utf-8"))
        if isinstance(spec, FieldSet) and spec.name == name:
            return spec
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, OSError) as error:
        logger.warning("%s is damaged (%s).", path, error)
    return None


def stored() -> dict[str, FieldSet]:
    """List the sets that are kept, by name, the newest first."""
    paths = store.cache_folder().glob(f"fields/{12 * '[0-9a-f]'}/spec.json")
    newest = sorted(paths, key=_age)
    found = ((PREFIX + path.parent.name, spec_of(PREFIX + path.parent.name)) for path in newest)
    return {name: spec for name, spec in found if spec is not None}


def _age(path: Path) -> float:
    """Return minus the time of the last change; 0 for a set that has just been deleted."""
    try:
        return -path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def read(name: str, split: str, limit: int | None = None) -> Record:
    """Read a split; one that is damaged is made again where that is possible.

    Raises:
        DataUnavailable: Where it is not, or the split is missing.
    """
    try:
        return store.read(_home(name), split, limit)
    except (FileNotFoundError, store.CorruptCache) as error:
        spec = spec_of(name)
        if spec is None or isinstance(spec, ImportedIsingSet):
            raise DataUnavailable(f"{error} Delete it, and import it again.") from error
        with _locks[name]:
            try:  # another session may have made it meanwhile
                return store.read(_home(name), split, limit)
            except (FileNotFoundError, store.CorruptCache):
                logger.warning("%s It is generated again.", error)
                keep(spec, spec.build())
        return store.read(_home(name), split, limit)


def delete(name: str) -> None:
    """Delete a set.

    Raises:
        ValueError: When there is none of that name.
        OSError: When it cannot be deleted.
    """
    if not is_name(name) or not _home(name).is_dir():
        raise ValueError(f"there is no set {name!r}.")
    (_home(name) / "spec.json").unlink(missing_ok=True)
    shutil.rmtree(_home(name))


def _home(name: str) -> Path:
    return store.cache_folder() / "fields" / name.removeprefix(PREFIX)
