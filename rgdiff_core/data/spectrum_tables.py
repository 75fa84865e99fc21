"""Tables of a spectrum as text: two numbers a line."""

from pathlib import Path

from rgdiff_core.files.untrusted import mib
from rgdiff_core.lattice.random_fields import MAX_POINTS, TableSpectrum

__all__ = ["parse_table", "read_table"]

MAX_TABLE_BYTES = 2**18


def read_table(path: str | Path) -> TableSpectrum:
    """Read a table of momenta and powers from a text file: two numbers a line, apart by a comma,
    blanks or a tab; empty lines, lines that begin with # and one line of titles are left out.

    Raises:
        ValueError: When it cannot be read; the sentence names the file and the line.
    """
    place = Path(path).expanduser()
    try:
        with place.open("rb") as file:
            content = file.read(MAX_TABLE_BYTES + 1)
    except OSError as error:
        raise ValueError(f"{place} cannot be read: {error.strerror or error}.") from error
    if len(content) > MAX_TABLE_BYTES:
        raise ValueError(f"{place} is larger than {mib(MAX_TABLE_BYTES)}; a table is not.")
    try:
        lines = content.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise ValueError(f"{place} is not a text in UTF-8.") from None
    return parse_table(lines, str(place))


def parse_table(lines: list[str], name: str) -> TableSpectrum:
    """Read a table as `read_table`, from lines.

    Arguments:
        lines: Of the text.
        name: What sentences call it.
    """
    rows: list[tuple[float, float]] = []
    titled = False
    for number, line in enumerate(lines, 1):
        words = line.replace(",", " ").replace(";", " ").split()
        if not words or words[0].startswith("#"):
            continue
        try:
            k, power = map(float, words)
        except ValueError:
            if rows or titled:
                raise ValueError(
                    f"{name}, line {number}: {line.strip()[:40]!r} is not a pair of numbers, |k| "
                    "and the power."
                ) from None
            titled = True
            continue
        rows.append((k, power))
    if len(rows) > MAX_POINTS:
        raise ValueError(f"{name} holds {len(rows)} points; at most {MAX_POINTS} are allowed.")
    try:
        return TableSpectrum(tuple(k for k, _ in rows), tuple(power for _, power in rows))
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
