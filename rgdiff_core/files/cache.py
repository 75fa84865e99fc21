"""The folder of what can be fetched or computed again."""

import os
from pathlib import Path

import platformdirs

__all__ = ["cache_folder"]


def cache_folder() -> Path:
    """Return where data are kept: `$RGDIFF_CACHE`, or the user's cache folder for rgdiff."""
    chosen = os.environ.get("RGDIFF_CACHE")
    return Path(chosen).expanduser() if chosen else Path(platformdirs.user_cache_dir("rgdiff"))
