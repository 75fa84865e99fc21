"""Data sets and runs of a file's tests, away from those of the machine."""

import functools
from collections.abc import Iterator

import pytest
from streamlit.components.v2 import manifest_scanner

from tests.kept import SETS, cache_with


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep data sets and runs in folders of their own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RGDIFF_CACHE", cache_with(tmp_path_factory.mktemp("cache"), *SETS))
        patch.setenv("RGDIFF_RUNS", str(tmp_path_factory.mktemp("runs")))
        yield


@pytest.fixture(scope="session", autouse=True)
def _components_are_looked_for_once() -> Iterator[None]:
    """Let AppTest not read what every installed package says of itself for each page anew."""
    with pytest.MonkeyPatch.context() as patch:
        found = functools.cache(manifest_scanner.scan_component_manifests)
        patch.setattr(manifest_scanner, "scan_component_manifests", found)
        yield
