"""Files that a disk, a kill or a person may have damaged: what is wrong with one is a sentence."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rgdiff_core.spec import load_json

__all__ = ["MAX_NUMBER", "is_number", "read_json", "reading"]

MAX_NUMBER = 1e15  # beyond it no count, time or measurement is taken for one


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Make one sentence, which names the file, of whatever reading it raises.

    A damaged file makes each of decoding, unpacking and parsing raise errors of its own, which no
    list of them holds.

    Raises:
        FileNotFoundError: where there is no such file.
        ValueError: where it can't be read.
    """
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        reason = error.strerror or str(error)
    except Exception as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        reason = f"missing {reason}" if isinstance(error, KeyError) else reason
    else:
        return
    raise ValueError(
        f"{path.parent.name}/{path.name} can't be read: {reason.rstrip('.')}."
    ) from None


def read_json(path: Path) -> dict[str, Any]:
    """Return the object that a file of JSON holds.

    Raises:
        FileNotFoundError: where there is no such file.
        ValueError: where it holds anything else.
    """
    with reading(path):
        data = load_json(path.read_text(encoding="utf-8"))
        if not isinstance(data, dict):
            raise ValueError("it holds no JSON object.")
        return data


def is_number(value: object) -> bool:
    """Tell whether a value of JSON is a finite number of a size that occurs."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and -MAX_NUMBER <= value <= MAX_NUMBER  # type: ignore[operator]
