"""`rgdiff lattice grow`: what does not fit is refused in one sentence; long waves are kept."""

import numpy as np
import pytest
import torch

from rgdiff_core.cli.main import main
from rgdiff_core.sampling.growth import coarse_fields


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--data=phi4-6x6"], "fields of the same theory are needed"),
        (["phi4-6x6", "--fields=fields.npz"], "fields of the same theory are needed"),
        (["--fields=fields.npz", "--levels=2"], "the side after all levels = 512"),
    ],
)
def test_what_does_not_fit_is_refused(options, says, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    np.savez("fields.npz", phi=np.zeros((2, 128, 128), np.float32), m2=-4.0, lam=4.2606)
    assert main(["lattice", "grow", "--spectrum=32", "--steps=2", *options]) == 1
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 1 and says in told[0]


def test_a_model_along_a_line_grows_fields_at_couplings_of_it(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    coarse = torch.randn(4, 1, 3, 3)
    np.savez("fields.npz", phi=coarse[:, 0].numpy(), m2=-4.0, lam=5.0)
    options = ["--fields=fields.npz", "--spectrum=32", "--steps=2", "--out=grown.npy"]
    assert main(["lattice", "grow", "phi4-6x6-line", "--coupling=5", *options]) == 0
    assert "3×3 → 6×6" in capsys.readouterr().out
    grown = torch.from_numpy(np.load("grown.npy"))
    torch.testing.assert_close(coarse_fields(grown), coarse, rtol=1e-4, atol=1e-4)
    assert main(["lattice", "grow", "phi4-6x6-line", "--coupling=99", *options]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1
