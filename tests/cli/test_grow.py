"""`rgdiff lattice grow`: fields that do not fit the model are refused at once, in one sentence."""

import numpy as np
import pytest

from rgdiff_core.cli.main import main


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--data=phi4-6x6"], "fields of the same theory are needed"),
        (["--fields=fields.npz", "--levels=2"], "the side after all levels = 512"),
    ],
)
def test_what_does_not_fit_is_refused(options, says, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    np.savez("fields.npz", phi=np.zeros((2, 128, 128), np.float32), m2=-4.0, lam=4.2606)
    assert main(["lattice", "grow", "--spectrum=32", "--steps=2", *options]) == 1
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 1 and says in told[0]
