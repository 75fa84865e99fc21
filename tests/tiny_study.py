"""The study of φ⁴ at less than its smallest budget, for the tests of what reads its results."""

import json
import tempfile
from dataclasses import replace
from functools import cache
from hashlib import sha256
from pathlib import Path

import torch
from filelock import FileLock

from rgdiff_core.files.atomic import write_text
from rgdiff_core.study import BUDGETS, Study
from rgdiff_core.study.cells import Cells
from rgdiff_core.study.lattice.executor import Execution, carried_out
from rgdiff_core.study.lattice.plan import plan
from rgdiff_core.study.lattice.summary import summary
from rgdiff_core.study.report import versions

__all__ = ["DATA", "study_text"]

ROOT = Path(__file__).resolve().parents[1]
DATA = "phi4-6x6"
BUDGET = replace(
    BUDGETS["tiny"],
    n_eval_fields=32,
    search_n_eval_fields=16,
    trajectories=2,
    bound=16,
    levels_per_image=1,
    flow_test=4,
    flow_samples=4,
    n_observable_samples=16,
    n_ess_samples=4,
    reference=400,
    ablation=(DATA,),
    schedule_scan=(DATA,),
)


@cache
def study_text() -> str:
    """Return what is in the study's file; it is carried out once for a state of the sources, and
    kept for other processes and the next sessions of pytest.
    """
    path = ROOT / ".pytest_cache" / f"study-{_state()}.json"
    path.parent.mkdir(exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        if not path.is_file():
            for old in path.parent.glob("study-*.json"):
                old.unlink()
            write_text(path, _carried_out())
        return path.read_text(encoding="utf-8")


def _state() -> str:
    """Return a digest of all that the study depends on."""
    digest = sha256()
    for each in (*sorted((ROOT / "rgdiff_core").rglob("*.py")), Path(__file__), ROOT / "uv.lock"):
        digest.update(each.read_bytes())
    return digest.hexdigest()[:16]


def _carried_out() -> str:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with tempfile.TemporaryDirectory() as folder:
            study = Study(DATA, BUDGET, Cells(Path(folder), _quiet))
            how = Execution(1, None, _quiet, _quiet)
            assert carried_out(plan([DATA], BUDGET), {DATA: study}, how)
            found = summary(study)
    finally:
        torch.set_num_threads(threads)
    assert found is not None
    whole = {"command": "rgdiff study phi4 --budget tiny"} | versions() | found
    return json.dumps(whole, ensure_ascii=False)


def _quiet(text: str) -> None:
    del text
