"""What commands show while they work."""

import sys

__all__ = ["bar"]


def bar(done: int, total: int, text: str) -> None:
    """Show progress on one line of a terminal, and nothing where there is none."""
    if sys.stderr.isatty():
        share = f"{100 * done / total:3.0f} %" if total else "     "
        end = "\n" if total and done >= total else ""
        print(f"\r\033[K{share}  {text}", end=end, file=sys.stderr, flush=True)


def duration(seconds: float) -> str:
    """Write a duration for people: "3 min 20 s"."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.0f} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
