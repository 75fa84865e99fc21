"""Verdicts: the tests of SciPy decide the same, and no claim goes beyond its numbers."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

import rgdiff_core as rg
from rgdiff_core.bases.modes import Modes
from rgdiff_core.lattice import FreeField
from rgdiff_core.study import own
from rgdiff_core.study.images.verdict import apart, image_verdict, known_results, less
from rgdiff_core.study.lattice.verdict import (
    Difference,
    between,
    from_white,
    holm,
    phi4_verdict,
    worst_place,
)


@pytest.mark.parametrize("shift", [0.0, 0.5, 1.0, 2.0, -2.0])
@pytest.mark.parametrize("seed", range(4))
def test_pairs_over_seeds_are_students_test(shift, seed):
    rng = np.random.default_rng(seed)
    one, other = rng.normal(shift, 1, 5), rng.normal(0, 1, 5)
    runs = [
        {"arm": arm, "seed": i, "kl": {"value": float(v)}}
        for arm, values in (("a", one), ("b", other))
        for i, v in enumerate(values)
    ]
    arms = [{"name": name, "metrics": {"kl": {}}} for name in "ab"]
    found = between({"runs": runs, "arms": arms}, "a", "b")
    test: Any = stats.ttest_rel(one, other)
    assert found is not None and found.error is not None
    assert found.value / found.error == pytest.approx(test.statistic)
    expected = "undecided" if test.pvalue > 0.05 else "worse" if test.statistic > 0 else "better"
    assert found.outcome == expected


def test_errors_of_fields_add_with_welchs_freedom():
    rng = np.random.default_rng(0)
    seeds, fields = rng.normal(0.3, 0.1, 4), rng.normal(0, 1, 10_000)
    scatter, noise = stats.sem(seeds), stats.sem(fields)
    found = Difference.of(seeds.mean() - fields.mean(), scatter, noise, 4)
    test: Any = stats.ttest_ind(seeds, fields, equal_var=False)
    assert found.sigmas == pytest.approx(abs(test.statistic))
    assert found.freedom == pytest.approx(test.df, rel=0.01)


def test_one_seed_says_nothing_and_better_may_be_higher():
    assert Difference.of(-1.0, None, 0.1, 1).outcome == "unknown"
    assert Difference(1.0, 0.1, math.inf, higher=True).outcome == "better"
    assert Difference(1.0, 0.1, math.inf).outcome == "worse"


def test_the_same_is_said_only_inside_a_margin_stated_beforehand():
    close = Difference(0.01, 0.02, math.inf, margin=0.1)
    assert close.interval == pytest.approx(stats.norm.interval(0.95, 0.01, 0.02))
    assert close.outcome == "same" and close.equivalent
    assert Difference(0.01, 0.2, math.inf, margin=0.1).outcome == "undecided"
    assert Difference(0.01, 0.02, math.inf).outcome == "undecided"  # no margin, no claim
    clear = Difference(0.08, 0.002, math.inf, margin=0.1)
    assert clear.outcome == "worse" and clear.equivalent  # it differs, by little


def test_holms_correction():
    """Against its definition: p₍ᵢ₎ is compared with 5 %/(m − i + 1), until one fails."""
    rng = np.random.default_rng(1)
    for _ in range(50):
        offs = {
            name: Difference(x, 1.0, 10)
            for name, x in zip("abcde", rng.normal(0, 3, 5), strict=True)
        }
        found, going = holm(offs), True
        for rank, name in enumerate(sorted(offs, key=lambda each: offs[each].p_value or 1)):
            going = going and (offs[name].p_value or 1) <= 0.05 / (5 - rank)
            assert (found[name].outcome in ("better", "worse")) == going
    unknown = {"a": Difference(1.0, None, 0), "b": Difference(1.0, 0.1, 10)}
    assert holm(unknown)["a"].outcome == "unknown"
    assert holm(unknown)["b"].adjusted == unknown["b"].p_value


def arm(name: str, kl: float, change: float | None) -> dict:
    metric = {"value": kl, "error": 0.01, "n": 3, "sampling_error": 0.01}
    against = change is not None and {"kl": metric | {"value": change}}
    return {
        "name": name,
        "title": name,
        "metrics": {"kl": metric},
        "against_baseline": against or None,
    }


def theory(*arms: dict) -> dict:
    scatter = (-0.01, 0.0, 0.01)
    return {
        "theory": {"data": "some", "title": "some"},
        "baseline": "standard",
        "complete": {"runs": 3, "of": 3},
        "arms": list(arms),
        "runs": [
            {
                "arm": each["name"],
                "seed": i,
                "kl": {"value": each["metrics"]["kl"]["value"] + off},
            }
            for each in arms
            for i, off in enumerate(scatter)
        ],
    }


def test_the_best_arm_and_those_within_errors_of_it():
    ours, base = arm("matched-component", 0.45, -0.05), arm("standard", 0.5, None)
    near, far = arm("near", 0.41, -0.09), arm("best", 0.40, -0.1)
    verdict = phi4_verdict(theory(base, ours, near, far))
    assert verdict is not None
    assert verdict.difference.outcome == "better"
    assert verdict.best["name"] == "best"
    assert verdict.tied == ("near",)
    worse = phi4_verdict(theory(base, arm("matched-component", 0.6, 0.1)))
    assert worse is not None
    assert worse.difference.outcome == "worse" and worse.best["name"] == "standard"
    assert worse.lead is None
    assert phi4_verdict(theory(base)) is None


def test_all_numbers_of_steps_that_both_arms_have_are_reported():
    found = theory(arm("standard", 0.5, None), arm("matched-component", 0.45, -0.05))
    rows = [
        {"arm": name, "method": "ddim", "nfe": steps, "susceptibility_percent": {"value": value}}
        for name, value in (("standard", -46.0), ("matched-component", 1.5), ("other", 0.0))
        for steps in (8, 4)
    ]
    verdict = phi4_verdict(found | {"samplers": rows})
    assert verdict is not None
    (row,) = verdict.few_steps
    assert (row.method, row.steps) == ("ddim", (4, 8))
    assert [each["value"] for each in (*row.ours, *row.baseline)] == [1.5, 1.5, -46.0, -46.0]
    alone = phi4_verdict(found | {"samplers": rows[1:]})  # no 8 of standard diffusion
    assert alone is not None and alone.few_steps[0].steps == (4,)
    none = phi4_verdict(found | {"samplers": rows[2:]})
    assert none is not None and none.few_steps == ()


def test_the_process_alone_is_compared_with_white_noise_and_the_same_denoiser():
    values = {
        "standard": [0.9, 1.0, 1.2],
        "white-scalar": [0.50, 0.52, 0.51],
        "matched-component": [0.60, 0.63, 0.60],
        "matched-scalar": [0.50, 0.53, 0.50],
    }
    found = theory(*(arm(name, float(np.mean(x)), 0.1) for name, x in values.items()))
    found["runs"] = [
        {"arm": name, "seed": seed, "kl": {"value": value}}
        for name, each in values.items()
        for seed, value in enumerate(each)
    ]
    for each in found["arms"]:
        each["metrics"]["kl"]["sampling_error"] = 0.0
    offs = from_white(found)
    assert set(offs) == {"matched-component", "matched-scalar"}
    for name, off in offs.items():
        known: Any = stats.ttest_rel(values[name], values["white-scalar"])
        assert off.p_value == pytest.approx(known.pvalue)
        assert off.margin == pytest.approx(0.051)
    ours = offs["matched-component"]
    assert ours.p_value is not None and ours.adjusted == pytest.approx(2 * ours.p_value)
    assert ours.outcome == "worse"
    verdict = phi4_verdict(found)
    assert verdict is not None and verdict.process == ours
    assert from_white(theory(arm("standard", 0.5, None))) == {}


def test_what_is_better_than_the_baseline_is_not_tied_with_it():
    """Even where the held-out fields' error, taken alone, is large."""
    ours, base = arm("matched-component", 0.45, -0.05), arm("standard", 0.5, None)
    for each in (ours, base):
        each["metrics"]["kl"]["sampling_error"] = 1.0
    verdict = phi4_verdict(theory(base, ours))
    assert verdict is not None and verdict.lead is not None
    assert verdict.best is ours and verdict.lead.outcome == "better"
    assert verdict.tied == ()


def test_where_most_of_a_table_sits():
    place = worst_place([[0.0, 1.0], [2.0, 5.0]])
    assert place is not None
    assert (place.band, place.level) == (1, 1)
    assert (place.band_share, place.level_share) == (pytest.approx(7 / 8), pytest.approx(6 / 8))
    assert worst_place([[0.1, -0.2]]) is None
    assert less([[3.0, 1.0]], [[1.0, 1.0]]) == [[2.0, 0.0]]
    assert less(None, [[1.0]]) is None


def number(value: float, error: float = 0.01) -> dict:
    return {"value": value, "error": error, "n": 1000}


def image_arm(
    name: str, model: str, group: str, bits: float, frechet: float, sharp: float
) -> dict:
    metrics = {
        "bits": number(bits),
        "frechet_cifar10": number(frechet),
        "sharpness": number(sharp),
    }
    return {
        "name": name,
        "title": name,
        "model": model,
        "group": group,
        "headline": True,
        "metrics": metrics,
        "against_baseline": None,
    }


def scan(bits: dict[str, tuple[float, ...]], frechet: dict[str, float]) -> dict:
    rows = [
        {"color": color, "softness": softness, "against_standard": None}
        | {"metrics": {"bits": number(b), "frechet_cifar10": number(frechet[color])}}
        for color, values in bits.items()
        for softness, b in zip((0.1, 1.0, 4.0, 16.0), values, strict=True)
    ]
    return {"name": "pca-softness", "rows": rows}


def images(scan: dict, matched: tuple[float, float], rg_frechet: float) -> dict:
    frechet, sharp = matched
    return {
        "baseline": "cifar10-standard",
        "arms": [
            image_arm("cifar10-standard", "cifar10-standard", "own", 3.5, 10.0, 1.0),
            image_arm("cifar10-matched", "cifar10-matched", "own", 3.4, 11.0, 1.0),
            image_arm("white", "cifar10", "white-scalar", 3.6, 12.0, 0.9),
            image_arm("equal", "cifar10", "matched-scalar", 3.6, frechet, sharp),
            image_arm("rg", "cifar10", "other", 3.6, rg_frechet, 0.9),
        ],
        "scans": [scan],
    }


def test_known_results_follow_from_the_numbers():
    soft = {"White": (3.9, 3.8, 3.6, 3.5), "Matched": (3.9, 3.55, 3.7, 3.8)}
    agreeing = images(scan(soft, {"White": 9.0, "Matched": 9.5}), (12.001, 0.99), 11.0)
    # White has the fewer bits, and the smaller distance too: the same order twice.
    assert [each.said for each in known_results(agreeing)] == [
        *("agrees", "agrees", "disagrees", "agrees", "agrees", "agrees")
    ]
    hard = {"White": (3.5, 3.8, 3.8, 3.9), "Matched": (3.9, 3.9, 3.8, 3.2)}
    other = images(scan(hard, {"White": 9.0, "Matched": 9.5}), (15.0, 0.8), 13.0)
    assert [each.said for each in known_results(other)] == [
        *("disagrees", "disagrees", "agrees", "disagrees", "disagrees", "disagrees")
    ]
    nothing = other | {"arms": other["arms"][:2], "scans": []}
    assert {each.said for each in known_results(nothing)} == {"can't say"}


def test_the_verdict_of_images_has_both_measures():
    found = image_verdict(images(scan({}, {}), (12.0, 1.0), 12.0))
    assert found is not None
    assert {name: off.outcome for name, off in found.differences.items()} == {
        "bits": "better",
        "frechet_cifar10": "worse",
    }
    assert found.best["bits"]["name"] == "cifar10-matched"
    assert apart(number(1.1), number(0.8), 1.0).outcome == "better"  # nearer to 1
    assert apart({"value": 1.0, "error": math.nan}, number(2.0)).outcome == "unknown"


def test_a_perfect_model_is_no_distance_away():
    field = FreeField(0.5, 4)
    x = field.sample(600, torch.Generator().manual_seed(0)).float()
    basis = rg.bases.FourierBasis((1, 4, 4), momentum="lattice")
    model = rg.GaussianDenoiser(basis, Modes.fit(basis, x))
    schedule = rg.schedules.LinearGamma(-6.0, 6.0)
    process = rg.Process(basis, rg.colors.White(), schedule, model.modes)
    seen = []
    found = own.field_distance(
        model, process, field.action, x, 20, 0, progress=lambda *told: seen.append(told)
    )
    # What is left is the error of the fitted variances: 1/(2N) for each of 16 components and mean.
    assert abs(found.value - 16 / 600) < 4 * found.error
    assert [done for _, done, _ in seen] == [0, 250, 500]


def test_an_evaluation_is_of_one_version_of_a_model(tmp_path):
    own.keep(tmp_path, {"metrics": {"kl": {"value": 1.0, "error": None}}}, "one")
    found = own.kept(tmp_path, "one")
    assert found is not None and found["metrics"]["kl"]["value"] == 1.0
    assert own.kept(tmp_path, "two") is None
    (tmp_path / own.FILE).write_text("{", encoding="utf-8")
    with pytest.raises(ValueError, match=f"{own.FILE} can't be read"):
        own.kept(tmp_path, "one")


def test_a_table_less_another_lacks_what_either_lacks():
    table = [[3.0, None], [1.0, 2.0]]
    assert less(table, [[1.0, 1.0], [None, 0.5]]) == [[2.0, None], [None, 1.5]]
    assert less(None, table) is None and less(table, None) is None
