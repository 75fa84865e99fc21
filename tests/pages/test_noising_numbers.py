"""Whole numbers in the sidebar of the Noising page."""

import pytest
from apptest import present
from noisingpage import healthy, state, visit

from pages._noising.state import start

pytestmark = pytest.mark.usefixtures("folders")


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("images", 99_999, "Images must be from 1 to 64, not 99,999."),
        ("images", 0, "Images must be from 1 to 64, not 0."),
        ("seed", -1, "Seed must be from 0 to 2,147,483,647, not -1."),
        ("first", 2_000_000, "From image no. must be from 0 to 1,000,000, not 2,000,000."),
    ],
)
def test_a_number_beyond_its_limits_is_refused_in_one_sentence(key, value, sentence):
    before = start("phi4-6x6")
    at = healthy(visit(before))
    present(at.number_input, key).set_value(value).run()
    assert [error.value for error in at.error] == [sentence]
    assert present(at.number_input, key).value == getattr(before, key)
    assert state(at) == before


@pytest.mark.parametrize("images", [1, 64])
def test_a_number_at_its_limit_is_taken(images: int):
    at = healthy(visit(start("phi4-6x6")))
    present(at.number_input, "images").set_value(images).run()
    assert not at.error and state(at).images == images
