"""Ways in which a stored file is damaged, for the tests of what reads it."""

import json
import random
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

__all__ = ["KINDS", "damage", "inner"]

HUGE = 10**400


def _kept(data: bytes, chance: random.Random) -> bytes:
    return data[: chance.randrange(1, max(2, len(data)))]


def _json(value: object) -> Callable[[bytes, random.Random], bytes]:
    def put(data: bytes, chance: random.Random) -> bytes:
        return _changed(data, chance, lambda at, key: at.__setitem__(key, value))

    return put


def _lacks(data: bytes, chance: random.Random) -> bytes:
    return _changed(data, chance, lambda at, key: at.__delitem__(key))


def _changed(data: bytes, chance: random.Random, change: Callable[[Any, Any], None]) -> bytes:
    """Change something at any depth of a file of JSON, or of lines of it; else a byte."""
    try:
        told: Any = json.loads(data)
        lines = None
    except ValueError:
        try:
            lines = [json.loads(line) for line in data.splitlines()]
        except ValueError:
            at = chance.randrange(max(1, len(data)))
            return data[:at] + bytes([chance.randrange(256)]) + data[at + 1 :]
        told = lines
    places = list(inner(told))
    if places:
        change(*chance.choice(places))
    if lines is None:
        return json.dumps(told).encode()
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def inner(told: Any) -> Iterator[tuple[Any, Any]]:
    """Return every place in nested JSON: what holds it, and its key there."""
    keys = told if isinstance(told, dict) else range(len(told)) if isinstance(told, list) else ()
    for key in list(keys):
        yield told, key
        yield from inner(told[key])


KINDS: Mapping[str, Callable[[bytes, random.Random], bytes] | None] = {
    "missing": None,
    "empty": lambda data, chance: b"",
    "truncated": _kept,
    "not UTF-8": lambda data, chance: b"\xff\xfe" + data,
    "a list": lambda data, chance: b"[1, 2]",
    "a number": lambda data, chance: b"3",
    "deep": lambda data, chance: b"[" * 100_000,
    "lacks a key": _lacks,
    "huge": _json(HUGE),
    "less than nothing": _json(-(10**20)),
    "infinite": _json(float("inf")),
    "NaN": _json(float("nan")),
    "text": _json("seven"),
    "null": _json(None),
    "nested": _json({"a": [None]}),
}


def damage(path: Path, kind: str, seed: int = 0) -> None:
    """Damage a file in place."""
    change = KINDS[kind]
    if change is None:
        path.unlink()
        return
    path.write_bytes(change(path.read_bytes(), random.Random(f"{path.name} {kind} {seed}")))
