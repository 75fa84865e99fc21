"""The list of methods against standard diffusion says what the numbers say."""

import math
from typing import Any

import pytest
from scipy import stats

from rgdiff_core.study.headline import effects


def arm(name: str, value: float, change: float | None, **more: Any) -> dict[str, Any]:
    number = {"value": value, "error": 0.01, "n": 3, "sampling_error": 0.01}
    against = None if change is None else {"kl": number | {"value": change}}
    return {
        "name": name,
        "title": name,
        "metrics": {"kl": number, "bits": number},
        "against_baseline": against,
    } | more


def test_of_a_theory_the_difference_counts_in_the_baselines_own_number():
    arms = [
        arm("standard", 0.5, None),
        arm("white-scalar", 0.4, -0.1),
        arm("matched-component", 0.6, 0.001),
    ]
    theory = {"title": "some", "data": "some"}
    white, ours = effects({"theory": theory, "baseline": "standard", "arms": arms})
    error = math.hypot(0.01, 0.01)
    assert white.percent == pytest.approx((-20.0, 100 * error / 0.5))
    assert (white.method, white.trained, white.claimed) == ("white-scalar", "some", False)
    assert (ours.method, ours.claimed) == ("matched-component", True)
    freedom = (3 - 1) * (error / 0.01) ** 4
    p = 2 * stats.t.sf(0.1 / error, freedom)
    assert white.difference.adjusted == pytest.approx(2 * p)  # Holm: the smaller of two
    assert white.difference.outcome == ("better" if 2 * p < 0.05 else "undecided")
    assert ours.difference.outcome == "same"


def test_of_images_only_sampled_arms_count_and_the_claimed_one_was_trained_alone():
    def image(name: str, value: float, group: str, headline: bool) -> dict[str, Any]:
        paired = {"bits": {"value": value - 3.0, "error": 0.01, "n": 100}}
        more = {"group": group, "headline": headline, "model_title": "some"}
        return arm(name, value, None, **more) | {"against_baseline": paired}

    found = {
        "baseline": "cifar10-standard",
        "arms": [
            image("cifar10-standard", 3.0, "own", True),
            image("cifar10-matched", 3.1, "own", True),
            image("cifar10/matched/cosine", 3.2, "matched-scalar", True),
            image("cifar10/matched/linear", 2.9, "matched-scalar", False),
        ],
    }
    ours, other = effects(found)
    assert (ours.method, ours.claimed) == ("matched-component", True)
    assert (other.method, other.claimed) == ("matched-scalar", False)
    assert ours.difference.value == pytest.approx(0.1) and ours.difference.outcome == "worse"


def test_without_the_baseline_nothing_is_compared():
    theory = {"title": "some", "data": "some"}
    found = {"theory": theory, "baseline": "standard", "arms": [arm("white-scalar", 0.4, -0.1)]}
    assert effects(found) == ()
