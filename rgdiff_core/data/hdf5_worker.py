"""HDF5 files, read by a separate process: `python hdf5_worker.py FILE LIMIT [NAME]`.

HDF5 follows what a file says: to other files, to plugins, and, where it is damaged, to crashes and
endless loops. So it runs as a child without rights: no other file can be opened by it, its memory
is bounded, and every link, storage and filter is looked at before any data are. Without a name it
prints in JSON what the file holds, with one the bytes of that array; a last line on stderr tells
why it stopped. `rgdiff_core.data.hdf5` starts it; it imports nothing of the library.
"""

import contextlib
import json
import math
import sys
from collections import deque
from collections.abc import Iterator
from typing import Any

import h5py
import numpy as np
from h5py import h5a, h5d, h5g, h5l, h5o, h5t, h5z  # type: ignore[attr-defined]

__all__ = ["main"]

MEMORY = 288 << 20  # bytes of this process
MAX_CHUNK = 32 << 20  # bytes of a chunk, which is unpacked as a whole
BLOCK = 8 << 20  # bytes that are read at once, or a row of chunks
MAX_OBJECTS = 1000
MAX_NAME = 255
MAX_TEXT = 1 << 18

FILTERS = (h5z.FILTER_DEFLATE, h5z.FILTER_SHUFFLE, h5z.FILTER_FLETCHER32, h5z.FILTER_LZF)
NUMBERS = (h5t.INTEGER, h5t.FLOAT)


class Rejected(Exception):
    """The file is not read; the message goes on after "it"."""


def main(path: str, limit: int, name: str | None = None) -> None:
    """Print what a file holds, or the bytes of one of its arrays.

    Raises:
        Rejected: When it holds anything else than plain data sets behind hard links.
    """
    with h5py.File(path, "r", locking=False, rdcc_nbytes=2 * MAX_CHUNK) as file:
        _confine()
        told = _survey(file)
        if name is None:
            print(json.dumps(told))
            return
        if name not in {array["name"] for array in told["arrays"]}:
            raise Rejected(f"holds no array called {name!r}")
        array = h5py.Dataset(h5d.open(file.id, name.encode()))
        if math.prod(array.shape) * array.dtype.itemsize > limit:
            raise Rejected(f"holds an array {name!r} that is larger than it was")
        for block in _blocks(array):
            sys.stdout.buffer.write(block.data)


def _confine() -> None:
    """Give up memory beyond `MEMORY`, and the right to open any file from now on."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        for what, most in (("NOFILE", 0), ("DATA", MEMORY), ("CORE", 0)):
            with contextlib.suppress(ValueError, OSError):
                resource.setrlimit(getattr(resource, f"RLIMIT_{what}"), (most, most))


def _survey(file: h5py.File) -> dict[str, Any]:
    """Return the arrays, the numbers by the object that they belong to, and our own text."""
    arrays: list[dict[str, Any]] = []
    numbers: dict[str, dict[str, float | None]] = {"": _attributes(file.id)}
    for name, id in _objects(file):
        numbers[name] = _attributes(id)
        if isinstance(id, h5d.DatasetID) and _is_plain(name, id):
            parent, _, own = name.rpartition("/")
            if math.prod(id.shape) == 1:
                value = np.empty(id.shape, id.dtype)
                id.read(h5py.h5s.ALL, h5py.h5s.ALL, value)
                numbers[parent][own] = float(value.item())
            else:
                arrays.append({"name": name, "shape": id.shape, "dtype": id.dtype.str})
    return {"arrays": arrays, "numbers": numbers, "about": _about(file)}


def _objects(file: h5py.File) -> Iterator[tuple[str, Any]]:
    """Open what lies behind hard links, each object once, the nearest to the file first."""
    groups: deque[tuple[str, h5g.GroupID]] = deque([("", h5g.open(file.id, b"/"))])
    seen = {_address(groups[0][1])}
    while groups:
        place, group = groups.popleft()
        for link in _links(group):
            name = place + link.decode()
            if len(seen) > MAX_OBJECTS or len(name) > MAX_NAME:
                most = f"{MAX_OBJECTS} objects, or names of more than {MAX_NAME} bytes"
                raise Rejected(f"holds more than {most}")
            if group.links.get_info(link).type != h5l.TYPE_HARD:
                raise Rejected(f"holds a link {name!r} to another place, which is not followed")
            kind = h5o.get_info(group, link).type
            if kind not in (h5o.TYPE_DATASET, h5o.TYPE_GROUP):
                raise Rejected(f"holds {name!r}, which is neither a group nor a data set")
            id: Any = (h5d if kind == h5o.TYPE_DATASET else h5g).open(group, link)
            if _address(id) not in seen:
                seen.add(_address(id))
                yield name, id
                if kind == h5o.TYPE_GROUP:
                    groups.append((f"{name}/", id))


def _links(group: h5g.GroupID) -> list[bytes]:
    names: list[bytes] = []
    group.links.iterate(lambda name: names.append(name) or len(names) > MAX_OBJECTS or None)
    return names


def _address(id: Any) -> object:
    return h5o.get_info(id).addr


def _is_plain(name: str, id: h5d.DatasetID) -> bool:
    """Tell whether a data set holds numbers; raises `Rejected` where it is not stored plainly."""
    storage = id.get_create_plist()
    if storage.get_layout() == h5d.VIRTUAL or storage.get_external_count():
        raise Rejected(f"holds {name!r} by pointing at other files, which are not read")
    for i in range(storage.get_nfilters()):
        if (code := storage.get_filter(i)[0]) not in FILTERS:
            raise Rejected(
                f"holds {name!r} through filter {code}; gzip, shuffle, fletcher32 and lzf are read"
            )
    kind = id.get_type()
    if kind.committed() or kind.get_class() == h5t.REFERENCE:
        raise Rejected(f"holds {name!r} by reference, which is not followed")
    if kind.get_class() not in NUMBERS or id.get_space().get_simple_extent_type() == h5py.h5s.NULL:
        return False
    chunk = storage.get_chunk() if storage.get_layout() == h5d.CHUNKED else ()
    if math.prod(chunk) * kind.get_size() > MAX_CHUNK:
        raise Rejected(f"holds {name!r} in chunks of more than {MAX_CHUNK >> 20} MiB")
    return True


def _attributes(id: Any) -> dict[str, float | None]:
    """Return the attributes that are numbers, None for those that are not one number."""
    names: list[bytes] = []
    h5a.iterate(id, lambda name, *_: names.append(name) or len(names) >= MAX_OBJECTS or None)
    found: dict[str, float | None] = {}
    for raw in names:
        name = raw.decode(errors="replace")
        if len(name) <= MAX_NAME:
            attribute = h5a.open(id, raw)
            kind = attribute.get_type()
            plain = kind.get_class() in NUMBERS and not kind.committed()
            one = attribute.get_space().get_simple_extent_npoints() == 1
            found[name] = _value(attribute) if plain and one else None
    return found


def _value(attribute: h5a.AttrID) -> float:
    value = np.empty(attribute.shape, attribute.dtype)
    attribute.read(value)
    return float(value.item())


def _about(file: h5py.File) -> str | None:
    """Return the text that our own files say of themselves."""
    if not h5a.exists(file.id, b"about"):
        return None
    kind = h5a.open(file.id, b"about").get_type()
    if not isinstance(kind, h5t.TypeStringID) or kind.committed():
        raise Rejected("has an attribute 'about' that is no text")
    text = file.attrs["about"]
    if not isinstance(text, str) or len(text) > MAX_TEXT:
        raise Rejected("has a description that is too long")
    return text


def _blocks(array: h5py.Dataset) -> Iterator[np.ndarray]:
    """Read an array by rows, as many at once as make a block, whole chunks at a time."""
    if array.ndim == 0:
        yield np.asarray(array[()])
        return
    rows = max(1, BLOCK // max(1, math.prod(array.shape[1:]) * array.dtype.itemsize))
    if array.chunks:
        rows = -(-rows // array.chunks[0]) * array.chunks[0]
    for first in range(0, array.shape[0], rows):
        yield np.ascontiguousarray(array[first : first + rows])


if __name__ == "__main__":
    try:
        main(sys.argv[1], int(sys.argv[2]), *sys.argv[3:4])
        sys.stdout.flush()
    except Rejected as error:
        sys.exit(f"it {error}")
    except MemoryError:
        sys.exit(f"it takes more than {MEMORY >> 20} MiB of memory to read")
    except Exception as error:
        sys.exit(" ".join(str(error).split()).rstrip(".") or type(error).__name__)
