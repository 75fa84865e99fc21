"""What the head of a card says of its training."""

import pytest

from rgdiff_core.pretraining.cards import CardHead


@pytest.mark.parametrize(
    ("before", "told"),
    [
        ((), "2,600 steps"),
        ((5000,), "2,600 steps after 5,000 of an earlier run"),
        ((5000, 2000, 64), "2,600 steps after 7,064 of 3 earlier runs"),
    ],
)
def test_steps_of_earlier_runs_are_added_up(before, told):
    head = CardHead("name", "title", "data", "command", "{}", 1, 2600, 1.0, "cpu", before)
    assert head.all_steps == told
