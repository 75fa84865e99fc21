"""A tiny study, through its command; its parts against something else."""

import json
import math
import shutil
import statistics
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from scipy import stats

import rgdiff_core as rg
from rgdiff_core.cli.main import main
from rgdiff_core.study import ARMS, BUDGETS, Study
from rgdiff_core.study.cells import Cells, OutOfTimeError
from rgdiff_core.study.lattice.arms import ABLATION, LRS, REVERSED, SCHEDULE_SCAN, THEORIES
from rgdiff_core.study.lattice.distance import BANDS, EDGES
from rgdiff_core.study.lattice.executor import Execution, carried_out, missing
from rgdiff_core.study.lattice.plan import plan
from rgdiff_core.study.lattice.search import FINALISTS, score
from rgdiff_core.study.lattice.summary import METRICS
from tests.tiny_study import BUDGET as TINY
from tests.tiny_study import DATA, study_folder
from tests.tiny_study import command as words_of

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def small(one_thread, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let "tiny" stand for the budget of the study at hand."""
    monkeypatch.setitem(BUDGETS, "tiny", TINY)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory):
    """Return the words of a command that was carried out, and where it works and writes."""
    home = tmp_path_factory.mktemp("study")
    shutil.copytree(study_folder(), home, dirs_exist_ok=True)
    return words_of(home), home / "work", home / "results"


@pytest.fixture(scope="module")
def results(command) -> dict:
    """Return what the whole command writes."""
    return json.loads((command[2] / f"study-{DATA}.json").read_text(encoding="utf-8"))


def test_without_time_nothing_is_begun(tmp_path: Path):
    assert main([*words_of(tmp_path), "--minutes", "0"]) == 0
    assert not list((tmp_path / "work").rglob("*.json"))


def test_seeds_can_be_chosen(command, results, tmp_path: Path, capsys):
    assert main([*command[0], "--seeds", "1", "--out", str(tmp_path)]) == 0
    found = json.loads((tmp_path / f"study-{DATA}.json").read_text(encoding="utf-8"))
    assert found["command"] == f"{results['command']} --seeds 1"
    assert found["complete"]["of"] == len(ARMS) and found["complete"]["runs"] == len(ARMS)
    for one, every in zip(found["arms"], results["arms"], strict=True):
        assert one["seeds"] == [0] and len(every["seeds"]) > 1
    assert main([*command[0], "--seeds", "0"]) != 0
    assert "seeds = 0 is outside [1, 100]" in capsys.readouterr().err


def test_every_arm_is_searched_alike(results):
    for arm in ARMS.values():
        rows = [row for row in results["search"] if row["arm"] == arm.name]
        assert len(rows) == len(arm.choices) + len(LRS) - 1 + 2 * FINALISTS
        finalists = defaultdict(list)
        for row in rows:
            if row["steps"] == TINY.steps // 2:
                finalists[row["schedule"], row["lr"]].append(row)
        assert [len({row["seed"] for row in each}) for each in finalists.values()] == [2] * 4
        assert len({lr for _, lr in finalists}) == 2  # at the next lower rate, too
        best = min(finalists, key=lambda name: sum(row["kl"]["value"] for row in finalists[name]))
        chosen = [(row["schedule"], row["lr"]) for row in rows if row["chosen"]]
        assert chosen == [best, best]
        made = next(found for found in results["arms"] if found["name"] == arm.name)
        assert (made["schedule_title"], made["lr"]) == best
    configs = [run["config"] for run in results["runs"]]
    for name in ("steps", "batch", "limit", "data", "ema"):
        assert len({config[name] for config in configs}) == 1
    assert len({json.dumps(config["model"]["network"]) for config in configs}) == 1


def test_models_are_kept_beside_the_results(results, command):
    _, work, out = command
    for arm in results["arms"]:
        name = arm["name"]
        kept = (out / "models" / DATA / f"{name}.safetensors").read_bytes()
        made = work / DATA / f"run-{name}-{arm['seeds'][0]}.safetensors"
        assert kept == made.read_bytes()


def test_means_are_over_seeds_and_differences_are_paired(results):
    runs = {(run["arm"], run["seed"]): run for run in results["runs"]}
    assert len(runs) == len(ARMS) * TINY.seeds == results["complete"]["of"]
    for arm in results["arms"]:
        values = [runs[arm["name"], s]["kl"]["value"] for s in range(TINY.seeds)]
        found = arm["metrics"]["kl"]
        assert found["value"] == pytest.approx(statistics.mean(values))
        assert found["error"] == pytest.approx(statistics.stdev(values) / TINY.seeds**0.5)
        # the last point of the curve is the result
        for name in ("kl", "nll", "bound_kl"):
            assert arm["curve"][-1][name]["value"] == arm["metrics"][name]["value"]
        if arm["name"] == "standard":
            assert arm["against_baseline"] is None
            continue
        base = [runs["standard", s]["kl"]["value"] for s in range(TINY.seeds)]
        less = arm["against_baseline"]["kl"]
        assert less["value"] == pytest.approx(statistics.mean(values) - statistics.mean(base))


def test_errors_of_the_fields_are_those_of_one_sample_and_of_pairs(results, command):
    """Against SciPy, from the value that every run keeps for every field, and over chains."""

    def values(arm: str) -> np.ndarray:
        files = (
            command[1] / DATA / f"run-{arm}-{s}.values.safetensors" for s in range(TINY.seeds)
        )
        return np.mean([load_file(path)["kl"].numpy() for path in files], axis=0)

    def error_of(each: np.ndarray) -> float:
        """Over the chains that the fields are from."""
        chains = rg.data.load(DATA, "test").chains
        assert chains is not None
        numbers = chains[: len(each)].numpy()
        sums = [(each[numbers == c] - each.mean()).sum() for c in np.unique(numbers)]
        return float(stats.sem(sums) * len(sums) / len(each))

    base = values("standard")
    noise = {arm["name"]: (arm["color"], arm["schedule"]) for arm in results["arms"]}
    beyond = {run["arm"]: run["ends"] for run in results["runs"]}  # of other noised fields
    for arm in results["arms"]:
        mine, found = values(arm["name"]), arm["metrics"]
        error = math.hypot(error_of(mine), beyond[arm["name"]]["error"])
        assert found["kl"]["sampling_error"] == pytest.approx(error)
        each = [run for run in results["runs"] if run["arm"] == arm["name"]]
        for name in ("nll", "bound_kl", "flow_kl"):
            error = statistics.mean(run[name]["error"] for run in each)
            assert found[name]["sampling_error"] == pytest.approx(error)
        if arm["name"] == "standard":
            continue
        less, both = arm["against_baseline"]["kl"], (arm["name"], "standard")
        same = noise[both[0]] == noise[both[1]]  # then what lies beyond the ends is the same
        errors = [0.0] if same else [beyond[name]["error"] for name in both]
        error = math.hypot(error_of(mine - base), *errors)
        assert less["sampling_error"] == pytest.approx(error)
        more = beyond[both[0]]["value"] - beyond[both[1]]["value"]
        assert less["value"] == pytest.approx(np.mean(mine - base) + more)


def test_fields_of_one_chain_count_as_one(tmp_path):
    """Of values that chains have in common the error is that of so many chains, not of fields."""
    test = rg.data.load(DATA, "test")
    assert test.chains is not None
    own = torch.randn(int(test.chains.max()) + 1, generator=torch.Generator().manual_seed(3))
    values = own[test.chains].double()
    study = Study(DATA, TINY, Cells(tmp_path, lambda text: None))
    found, chains = study.estimate(values), len(torch.unique(test.chains))
    assert found.value == pytest.approx(float(values.mean()))
    assert found.error == pytest.approx(float(own.std()) / chains**0.5, rel=0.15)
    assert found.error > 1.8 * stats.sem(values)


def test_distances_are_from_the_theory(results):
    """By the definition of either divergence, from what the runs keep and held-out fields."""
    x = rg.data.load(DATA, "test").images[: TINY.bound].double()
    action = rg.data.action_of(DATA)
    assert action is not None
    log_z = results["truth"]["log_z"]["value"]
    for run in results["runs"]:
        above = run["nll"]["value"] - float(action(x).mean()) - log_z
        assert run["bound_kl"]["value"] == pytest.approx(above, abs=1e-5)
        above = log_z - run["mean_log_w"]["value"]
        assert run["reverse_kl"]["value"] == pytest.approx(above)
        # of fields that 1000 configurations were fitted to: see docs/findings.md
        assert run["gaussian_kl"]["value"] == pytest.approx(1.95, abs=0.2)


def test_nothing_is_missing(results):
    assert [row["name"] for row in results["ablation"]] == [arm.name for arm in ABLATION]
    assert [row["name"] for row in results["ablation_reversed"]] == [a.name for a in REVERSED]
    for ends in (0, -1):  # both orders lead from standard diffusion to the white arm
        known = {row["name"]: row["kl"] for row in results["ablation"]}
        row = results["ablation_reversed"][ends]
        assert row["kl"] == known[row["name"]]
    assert len(results["schedule_scan"]) == 2 * TINY.schedules
    assert BUDGETS["full"].schedules == len(SCHEDULE_SCAN)
    assert {row["nfe"] for row in results["samplers"]} == set(TINY.evaluations)
    truth = results["truth"]
    entropy = truth["log_z"]["value"] + truth["action"]["value"]
    assert truth["entropy"]["value"] == pytest.approx(entropy)
    for arm in results["arms"]:
        table = torch.tensor(arm["table"])
        assert table.shape == (BANDS, len(EDGES) + 1)
        assert set(arm["metrics"]) == set(METRICS)
        assert float(table.sum()) == pytest.approx(arm["metrics"]["kl"]["value"], rel=1e-4)


def test_a_second_run_computes_nothing(results, command, capsys):
    words, work, out = command
    before = {path: path.stat().st_mtime_ns for path in work.rglob("*") if path.is_file()}
    assert main(words) == 0
    assert before == {p: p.stat().st_mtime_ns for p in work.rglob("*") if p.is_file()}
    assert json.loads((out / f"study-{DATA}.json").read_text(encoding="utf-8")) == results
    capsys.readouterr()
    assert main(["study", "report", str(out / f"study-{DATA}.json")]) == 0
    assert "matched noise, component-wise schedule" in capsys.readouterr().out


def test_two_processes_find_the_same(results, command, tmp_path):
    """What an arm needs is lost, and found by two processes: from its trials to its samples."""
    words, work, _ = command
    shutil.copytree(work, tmp_path / "work")
    lost = [*(tmp_path / "work" / DATA).glob("[!s]*-matched-component*")]
    lost += (tmp_path / "work" / DATA).glob("samplers-matched-component*")
    for path in [*lost, *tmp_path.rglob("reference-*")]:
        path.unlink()
    words = [*words[:-4], "--work", str(tmp_path / "work"), "--out", str(tmp_path)]
    assert main([*words, "--processes", "2"]) == 0
    assert all(path.is_file() for path in lost)
    found = json.loads((tmp_path / f"study-{DATA}.json").read_text(encoding="utf-8"))
    assert _without_times(found) == _without_times(results)


def _without_times(found):
    """Return the results but for how long they took."""
    if isinstance(found, dict):
        times = ("seconds", "finished", "processor_minutes")
        return {k: _without_times(v) for k, v in found.items() if k not in times}
    return [_without_times(each) for each in found] if isinstance(found, list) else found


def test_tasks_come_after_those_that_they_need():
    done = set()
    for task in plan(list(THEORIES), BUDGETS["machine"]):
        assert {(task.theory, name) for name in task.needs} <= done
        assert (task.theory, task.name) not in done
        done.add((task.theory, task.name))


def test_what_only_prepares_is_left_out_where_nothing_needs_it(results, command):
    _, work, _ = command
    tasks = plan([DATA], TINY)
    studies = {DATA: Study(DATA, TINY, Cells(work / DATA, lambda text: None))}
    kept = {path: path.read_bytes() for path in (work / DATA).glob("reference-*.safetensors")}
    assert kept
    for path in kept:
        path.unlink()  # too large to take along
    assert missing(tasks, studies) == []
    (work / DATA / "run-standard-0.json").unlink()
    names = [task.name for task in missing(tasks, studies)]
    assert names[:2] == ["test-standard", "run-standard-0"]
    assert set(names[2:]) == {"flow-standard-0", "samplers-standard-0-4"}
    for path, content in kept.items():
        path.write_bytes(content)
    assert carried_out(tasks, studies, Execution(say=lambda text: None))


def test_no_number_of_processes(command, capsys):
    assert main([*command[0], "--processes", "0"]) == 1
    assert "processes = 0 is outside [1, 64]" in capsys.readouterr().err


def test_a_search_may_meet_a_loss_that_is_not_finite():
    failed = {"result": {"kl": None}}
    fine = {"result": {"kl": {"value": 1e9}}}
    assert min([failed, fine], key=score) is fine
    unclear = {"result": {"kl": {"value": math.nan}}}
    assert min([unclear, fine], key=score) is fine


def test_a_lost_cell_is_computed_again_and_is_the_same(results, command):
    words, work, out = command
    lost = work / DATA / "run-matched-component-1.json"
    before = json.loads(lost.read_text(encoding="utf-8"))["result"]
    lost.write_text("{", encoding="utf-8")  # as a disk may leave it
    assert main(words) == 0
    assert json.loads(lost.read_text(encoding="utf-8"))["result"] == before
    whole = json.loads((out / f"study-{DATA}.json").read_text(encoding="utf-8"))
    assert whole["arms"][4]["metrics"] == results["arms"][4]["metrics"]


def test_a_cell_is_computed_anew_where_its_inputs_change(tmp_path):
    cells = Cells(tmp_path, lambda text: None)
    assert cells.read_or_compute("one", {"n": 1}, lambda: {"value": 1})["result"] == {"value": 1}
    assert cells.read_or_compute("one", {"n": 1}, lambda: {"value": 2})["result"] == {"value": 1}
    assert cells.read_or_compute("one", {"n": 2}, lambda: {"value": 3})["result"] == {"value": 3}
    late = Cells(tmp_path, lambda text: None, until=-math.inf)
    assert late.read_or_compute("one", {"n": 2}, dict)["result"] == {"value": 3}
    with pytest.raises(OutOfTimeError):
        late.read_or_compute("two", {}, dict)


def test_report_without_results(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["study", "report"]) == 1
    assert "rgdiff study phi4" in capsys.readouterr().err


def test_report_is_of_lattices(results, command, tmp_path, monkeypatch, capsys):
    del results
    monkeypatch.chdir(tmp_path)
    (tmp_path / "results").mkdir()
    shutil.copy(command[2] / f"study-{DATA}.json", tmp_path / "results")
    images = tmp_path / "results" / "study-cifar10.json"
    images.write_text('{"study": "cifar10"}', encoding="utf-8")
    assert main(["study", "report"]) == 0
    assert "6×6, symmetric phase" in capsys.readouterr().out
    assert main(["study", "report", str(images)]) == 1
    assert "holds no results of `rgdiff study phi4`" in capsys.readouterr().err
    images.write_text("{", encoding="utf-8")
    assert main(["study", "report", str(images)]) == 1
    assert "study-cifar10.json can't be read: not valid JSON" in capsys.readouterr().err
    told = json.loads((command[2] / f"study-{DATA}.json").read_text(encoding="utf-8"))
    del told["truth"]["entropy"], told["arms"][0]["metrics"]["kl"]["value"]
    images.write_text(json.dumps(told), encoding="utf-8")
    assert main(["study", "report"]) == 0  # of the others
    text = capsys.readouterr().out
    assert "6×6, symmetric phase" in text
    assert "study-cifar10.json can't be read: missing 'entropy'" in text


def test_a_folder_of_cells_is_one_theory(tmp_path: Path):
    study = Study(DATA, TINY, Cells(tmp_path / DATA, until=-math.inf))
    with pytest.raises(OutOfTimeError):
        study.run(ARMS["standard"], 0)
