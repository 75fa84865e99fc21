"""A user's own file: bases, kernels, schedules, colours and presets beside the library's.

The environment variable RGDIFF_EXTENSIONS names Python files, separated as in PATH. `load` imports
them; the pages, the command line and training runs do so when they start. What a file registers is
in the pages' menus; what it defines is read from JSON and links like the library's own.
"""

import importlib.util
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from rgdiff_core.bases import Basis
from rgdiff_core.bases.spec import BASES, BasisKind
from rgdiff_core.spec import Spec

__all__ = ["Drag", "VARIABLE", "drag_of", "listed", "load", "register", "register_basis"]

VARIABLE = "RGDIFF_EXTENSIONS"

S = TypeVar("S", bound=Spec)


@dataclass(frozen=True)
class Drag:
    """The number of a kernel, schedule or colour that is dragged on the Noising page.

    Attributes:
        field: its name in the spec.
        label: what people read.
        help: a sentence on it.
        low: the least value, above 0 where the range is logarithmic.
        high: the largest value.
        log: whether it is.
    """

    field: str
    label: str
    help: str
    low: float
    high: float
    log: bool = False


_SPECS: dict[str, Spec] = {}
_DRAGS: dict[type[Spec], Drag] = {}
_OURS = frozenset(BASES)


def register(title: str, spec: Spec, drag: Drag | None = None) -> None:
    """Add a kernel, schedule or colour to the pages' menus.

    Arguments:
        title: its name there.
        spec: with the numbers that it starts with.
        drag: the number that is dragged, if one is.
    """
    _SPECS[title] = spec
    if drag is not None:
        _DRAGS[type(spec)] = drag


def register_basis(name: str, title: str, make: Callable[..., Basis]) -> None:
    """Add a basis to the pages' menus and to what a `BasisSpec` may name.

    Arguments:
        name: in specs, configs and links.
        title: in the menus.
        make: the class, which is called with a shape (C, H, W) and `channels`.

    Raises `ValueError` where the name is the library's.
    """
    if name in _OURS:
        raise ValueError(f"the basis {name!r} is the library's: give yours another name.")
    BASES[name] = BasisKind(title, make)


def listed(kind: type[S]) -> dict[str, S]:
    """Return what was registered of one kind, by title."""
    return {title: spec for title, spec in _SPECS.items() if isinstance(spec, kind)}


def drag_of(kind: type[Spec]) -> Drag | None:
    """Return the number that was registered to be dragged for a class."""
    return _DRAGS.get(kind)


def load() -> None:
    """Import the files that RGDIFF_EXTENSIONS names, each once.

    Raises a one-line `ValueError` for a file that is not there or does not run.
    """
    for text in filter(None, os.environ.get(VARIABLE, "").split(os.pathsep)):
        _load(Path(text).expanduser().resolve())


def _load(path: Path) -> None:
    name = f"rgdiff_extension_{path.stem}"
    if name in sys.modules:
        return
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise ValueError(f"{VARIABLE} names {path}, which is no Python file.")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        reason = " ".join(str(error).split()).rstrip(".")
        raise ValueError(f"{path} does not run: {type(error).__name__}: {reason}.") from error
