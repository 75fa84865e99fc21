"""Principal components on disk: the same basis, found once, whatever happens to the file."""

from pathlib import Path

import pytest
import torch

from rgdiff_core.bases import Basis, PCABasis, fitted
from rgdiff_core.bases.fitted import fitted_basis
from rgdiff_core.bases.spec import BasisSpec

SPEC = BasisSpec("pca", decorrelate=True)


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("RGDIFF_CACHE", str(tmp_path))
    return tmp_path / "bases"


def images(seed: int = 0) -> torch.Tensor:
    return torch.randn(40, 3, 4, 4, generator=torch.Generator().manual_seed(seed))


def same(one: Basis, other: Basis) -> bool:
    pairs = zip(one.state_dict().items(), other.state_dict().items(), strict=True)
    return all(a == b and torch.equal(x, y) for (a, x), (b, y) in pairs)


def test_it_is_found_once_and_is_the_same(monkeypatch: pytest.MonkeyPatch, folder: Path):
    found, expected = fitted_basis(SPEC, images()), SPEC.build(images())
    assert same(found, expected)

    def never(*_: object, **__: object) -> None:
        raise AssertionError("it is fitted once more")

    monkeypatch.setattr(PCABasis, "fit", never)
    again = fitted_basis(SPEC, images())
    assert same(again, expected)
    x = images(1)
    torch.testing.assert_close(again.analyze(x), expected.analyze(x))


def test_other_images_and_other_choices_have_files_of_their_own(folder: Path):
    for spec, seed in ((SPEC, 0), (SPEC, 1), (BasisSpec("pca"), 0)):
        assert same(fitted_basis(spec, images(seed)), spec.build(images(seed)))
    assert len(list(folder.iterdir())) == 3
    fitted_basis(BasisSpec("fourier"), images())
    assert len(list(folder.iterdir())) == 3


@pytest.mark.parametrize("content", [b"", b"no such thing", None])
def test_a_damaged_file_is_written_anew(folder: Path, content: bytes | None):
    fitted_basis(SPEC, images())
    (path,) = folder.iterdir()
    whole = path.read_bytes()
    path.write_bytes(whole[:-100] if content is None else content)
    assert same(fitted_basis(SPEC, images()), SPEC.build(images()))
    assert path.read_bytes() == whole


def test_only_the_newest_files_are_kept(folder: Path):
    for seed in range(fitted.KEPT + 2):
        fitted_basis(SPEC, images(seed))
    assert len(list(folder.iterdir())) == fitted.KEPT


def test_a_cache_that_cannot_be_written_is_no_hindrance(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("RGDIFF_CACHE", str(tmp_path / "file"))
    assert same(fitted_basis(SPEC, images()), SPEC.build(images()))
