"""Values that an option should not have: one sentence, soon, with little memory.

RGDIFF_BATTERY says how many calls are tried, 0 for all: by hand.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
COUNT = os.environ.get("RGDIFF_BATTERY", "30")


@pytest.mark.slow
@pytest.mark.timeout(0)
def test_values_out_of_place_are_one_sentence(tmp_path: Path):
    done = subprocess.run(
        [sys.executable, "-m", "tests.cli.battery", str(tmp_path / "home"), COUNT],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    print(found)
    assert found["tries"] >= int(COUNT)
    assert found["ended"]["1"] > 0 and found["ended"]["2"] > 0
    assert not found["faults"], done.stdout
