r"""Specs: frozen dataclasses of plain numbers, to and from JSON with a kind tag.

A spec says *what* is meant (a schedule, a colour, a kernel) and holds no tensor. Two specs are
equal when their numbers are, so they can be keys, and their JSON is a permalink. The kind tag is
the class name::

    {"kind": "Cutoff", "kernel": {"kind": "SigmoidKernel", "width": 0.1}, ...}
"""

import abc
import dataclasses
import difflib
import itertools
import json
import math
import reprlib
import types
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self, TypeGuard, Union, get_args, get_origin, get_type_hints

__all__ = [
    "Spec",
    "check_finite",
    "check_increasing",
    "check_range",
    "check_whole",
    "from_dict",
    "from_json",
    "load_json",
    "to_dict",
    "typed",
    "up_to_date",
    "up_to_date_all",
]

MAX_DEPTH = 16  # of specs, lists and dictionaries within each other

_KINDS: dict[str, type["Spec"]] = {}
_FORMER_KINDS: dict[str, str] = {}  # to present ones


@dataclasses.dataclass(frozen=True)
class Spec(abc.ABC):  # noqa: B024
    """A frozen dataclass of plain numbers: compared by value, serialisable with a kind tag.

    The kind is the name of the class; a class that takes the name of another module's kind is
    refused with a `ValueError`, for files and links would then mean something else. A class whose
    name begins with an underscore is never read.

    Attributes:
        former_kinds: names that the class had, read and never written.
        former_names: fields as older files name them, with the names they have now.
        former_values: by present field, values as older files write them, with those of now.
    """

    former_kinds: ClassVar[tuple[str, ...]] = ()
    former_names: ClassVar[Mapping[str, str]] = {}
    former_values: ClassVar[Mapping[str, Mapping[str, str]]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if cls.__name__.startswith("_"):
            return
        for kind in (cls.__name__, *vars(cls).get("former_kinds", ())):
            owner = _KINDS.get(_FORMER_KINDS.get(kind, kind), cls).__module__
            if owner != cls.__module__:
                raise ValueError(
                    f"the kind {kind!r} is taken by {owner}: give the class another name."
                )
        _KINDS[cls.__name__] = cls
        _FORMER_KINDS.update(dict.fromkeys(vars(cls).get("former_kinds", ()), cls.__name__))

    def to_json(self) -> str:
        """Write the spec as compact JSON; `from_json` gives an equal spec back."""
        return json.dumps(to_dict(self), separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read a spec of this class (or of a class derived from it) from JSON.

        Raises a one-line `ValueError` where the text is not JSON, or not such a spec.
        """
        spec = from_json(text)
        if not isinstance(spec, cls):
            raise ValueError(f"expected a {cls.__name__}, got a {type(spec).__name__}.")
        return spec


def to_dict(spec: Spec) -> dict[str, Any]:
    """Turn a spec into a dictionary of plain values, each nested spec with its own kind tag."""
    fields = dataclasses.fields(spec)
    return {"kind": type(spec).__name__} | {f.name: _plain(getattr(spec, f.name)) for f in fields}


def _plain(value: Any) -> Any:
    if isinstance(value, Spec):
        return to_dict(value)
    if isinstance(value, tuple):
        return [_plain(v) for v in value]
    return value


def from_json(text: str) -> Spec:
    """Read any spec from JSON; raises a one-line `ValueError` for anything that is not
    one.
    """
    return from_dict(load_json(text))


def load_json(text: str) -> Any:
    """Parse JSON; raises a one-line `ValueError` where that fails."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:  # a number of too many digits is a ValueError
        raise ValueError(f"not valid JSON: {error}.") from None
    _check_depth(data)
    return data


def from_dict(data: Any) -> Spec:
    """Rebuild the spec that `to_dict` wrote; missing fields take their defaults.

    Raises `ValueError` naming the unknown kind, the unknown field, or the value of a wrong type.
    """
    _check_depth(data)
    return _build(data)


def up_to_date(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the description of a spec with former names of its kind, fields and values replaced.

    Raises `ValueError` for a field under both of its names.
    """
    kind = data.get("kind")
    if isinstance(kind, str) and kind in _FORMER_KINDS:
        data = dict(data) | {"kind": _FORMER_KINDS[kind]}
    cls = _KINDS.get(str(data.get("kind")), Spec)
    for former, name in cls.former_names.items():
        if former in data and name in data:
            raise ValueError(f"{data['kind']} has {name!r} twice, once as {former!r}.")
    renamed = {cls.former_names.get(name, name): value for name, value in data.items()}
    for name, values in cls.former_values.items():
        if isinstance(renamed.get(name), str):
            renamed[name] = values.get(renamed[name], renamed[name])
    return renamed


def up_to_date_all(data: Any) -> Any:
    """Return plain values with the description of every spec in them brought up to date."""
    if isinstance(data, Mapping):
        inner = {name: up_to_date_all(value) for name, value in data.items()}
        return up_to_date(inner) if "kind" in inner else inner
    return [up_to_date_all(value) for value in data] if isinstance(data, list) else data


def _check_depth(data: Any) -> None:
    level = [data]
    for _ in range(MAX_DEPTH + 1):
        parts = (
            v.values() if isinstance(v, dict) else v for v in level if isinstance(v, dict | list)
        )
        level = [v for part in parts for v in part]
    if level:
        raise ValueError(f"the description is nested deeper than {MAX_DEPTH} levels.")


def _build(data: Any) -> Spec:
    data = up_to_date(data) if isinstance(data, dict) else {}
    kind = data.get("kind")
    known = {name: cls for name, cls in _KINDS.items() if "__dataclass_fields__" in vars(cls)}
    if not isinstance(kind, str) or kind not in known:
        near = difflib.get_close_matches(str(kind)[:40], known, n=3, cutoff=0.5)
        hint = f"; near to it are {', '.join(near)}." if near else "."
        raise ValueError(f"unknown kind {reprlib.repr(kind)}{hint}")
    cls = known[kind]
    hints = get_type_hints(cls)
    fields = {f.name: f for f in dataclasses.fields(cls)}
    values = {k: v for k, v in data.items() if k != "kind"}
    if unknown := sorted(set(values) - set(fields)):
        raise ValueError(
            f"{kind} has no field {reprlib.repr(unknown[0])}; it has {', '.join(fields)}."
        )
    for name, field in fields.items():
        required = field.default is dataclasses.MISSING
        if required and field.default_factory is dataclasses.MISSING and name not in values:
            raise ValueError(f"{kind} needs the field {name!r}.")
    return cls(**{k: typed(v, hints[k], f"{kind}.{k}") for k, v in values.items()})


def typed(value: Any, hint: Any, where: str) -> Any:
    """Check a JSON value against a field's annotation, turning lists into tuples and numbers to
    floats; raises `ValueError` naming the place and the value where they do not fit.
    """
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        for option in get_args(hint):
            try:
                return typed(value, option, where)
            except ValueError as error:
                if isinstance(value, dict):
                    raise error from None
        raise ValueError(f"{where} = {reprlib.repr(value)} is not a {hint}.")
    if origin is tuple and isinstance(value, list | tuple):
        item = get_args(hint)
        if len(item) == 2 and item[1] is Ellipsis:
            return tuple(typed(v, item[0], where) for v in value)
        if len(item) == len(value):
            return tuple(typed(v, i, where) for v, i in zip(value, item, strict=True))
    if isinstance(hint, type):
        if isinstance(value, dict) and not issubclass(hint, int | float | str):
            spec = _build(value)
            if isinstance(spec, hint):
                return spec
        if hint is float and _is_number(value):
            return float(value)
        if hint is int and _is_number(value) and float(value).is_integer():
            return int(value)
        if hint in (bool, str) and isinstance(value, hint):
            return value
        if hint is types.NoneType and value is None:
            return None
    name = getattr(hint, "__name__", str(hint))
    raise ValueError(f"{where} = {reprlib.repr(value)} is not a {name}.")


def _is_number(value: Any) -> TypeGuard[int | float]:
    """Tell whether the value is a number (not a bool) that a float can hold."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return isinstance(value, float) or abs(value) < 2**1023


def check_finite(name: str, value: float) -> None:
    """Raise `ValueError` naming the value unless it is a finite number."""
    if not _is_number(value) or not math.isfinite(value):
        raise ValueError(f"{name} = {reprlib.repr(value)} must be a finite number.")


def check_increasing(name: str, values: Sequence[float]) -> None:
    """Raise `ValueError`, naming a pair, unless every value is larger than the one before."""
    for a, b in itertools.pairwise(values):
        if b <= a:
            raise ValueError(f"{name} must increase, but {a:g} is followed by {b:g}.")


def check_whole(name: str, value: int, low: int, high: int) -> None:
    """Raise `ValueError` naming value and range unless it is a whole number, low ≤ value ≤
    high.
    """
    check_range(name, value, low, high)
    if value != int(value):
        raise ValueError(f"{name} = {value!r} must be a whole number.")


def check_range(
    name: str, value: float, low: float, high: float, *, low_open: bool = False
) -> None:
    """Raise `ValueError` naming value and range unless low ≤ value ≤ high (low < value if
    open).
    """
    check_finite(name, value)
    if not (low < value <= high if low_open else low <= value <= high):
        bracket = "(" if low_open else "["
        raise ValueError(f"{name} = {reprlib.repr(value)} is outside {bracket}{low:g}, {high:g}].")
