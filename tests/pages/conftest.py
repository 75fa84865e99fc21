"""Data sets and runs of a file's tests, away from those of the machine."""

from collections.abc import Iterator

import pytest

from tests.kept import SETS, cache_with


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep data sets and runs in folders of their own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RGDIFF_CACHE", cache_with(tmp_path_factory.mktemp("cache"), *SETS))
        patch.setenv("RGDIFF_RUNS", str(tmp_path_factory.mktemp("runs")))
        yield
