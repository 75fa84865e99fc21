"""Specs: equal by value, exact through JSON, one sentence for anything else."""

import dataclasses
import json

import pytest
from laws import COLORS, KERNELS, PATHS, SCHEDULES, fields, name_of

import rgdiff_core as rg
from rgdiff_core.bases.spec import BASES, BasisSpec
from rgdiff_core.spec import Spec, check_range, from_dict, from_json, to_dict

CHOICES = [BasisSpec(name) for name in BASES] + [
    BasisSpec("wavelet", wavelet="sym4", levels=2, decorrelate=True),
    BasisSpec("cosine", momentum="lattice"),
]
SPECS = [*COLORS, *KERNELS, *PATHS, *SCHEDULES, *CHOICES]


@pytest.mark.parametrize("spec", SPECS, ids=name_of)
def test_json_gives_an_equal_spec_back(spec):
    again = from_json(spec.to_json())
    assert again == spec and type(again) is type(spec)
    assert hash(again) == hash(spec)
    assert type(spec).from_json(spec.to_json()) == spec
    assert again.to_json() == spec.to_json()


def test_specs_of_different_kinds_with_equal_numbers_differ():
    assert len({spec.to_json() for spec in SPECS}) == len(set(SPECS))


def test_every_kind_is_a_frozen_dataclass_with_defaults_for_all_but_the_nested():
    for spec in SPECS:
        assert dataclasses.fields(spec) is not None
        with pytest.raises(dataclasses.FrozenInstanceError):
            spec.anything = 1


def test_missing_fields_take_their_defaults():
    assert from_dict({"kind": "SigmoidKernel"}) == KERNELS[0]


@pytest.mark.parametrize("spec", CHOICES, ids=lambda spec: spec.to_json())
def test_a_basis_knows_its_spec(spec):
    images = fields((2, 4, 8), 12)
    basis = spec.build(images)
    found = BasisSpec.of(basis)
    assert found.name == spec.name and found.decorrelate == spec.decorrelate
    assert repr(found.build(images)) == repr(basis)
    for option in set(BASES[spec.name].options) - {"levels"}:  # None stands for all of them
        assert getattr(found, option) == getattr(spec, option)


def test_a_basis_that_no_spec_names_is_one_sentence():
    class Unnamed(rg.bases.PixelBasis):
        pass

    with pytest.raises(ValueError, match=r"^Unnamed is not the class of one of pixel, fourier"):
        BasisSpec.of(Unnamed((1, 4, 4)))


def mutations(value: object) -> list[object]:
    """Return values that a hand-written permalink might hold where `value` stands."""
    deep: object = 1
    for _ in range(200):
        deep = [deep]
    wrong: list[object] = [None, True, "x", "", [], {}, [[]], {"kind": "Color"}, {"kind": []}]
    wrong += [float("nan"), float("inf"), -1e300, 10**400, 0, -1, 1e-60, deep, {"kind": "Spec"}]
    return [w for w in wrong if w != value]


def spoiled(data: object) -> list[object]:
    """Return copies of a JSON value with one place replaced, left out or added."""
    result = mutations(data)
    if isinstance(data, dict):
        for key, value in data.items():
            result += [{**data, key: v} for v in spoiled(value)]
            result.append({k: v for k, v in data.items() if k != key})
        result.append({**data, "unknown": 1})
    if isinstance(data, list):
        for i, value in enumerate(data):
            result += [[*data[:i], v, *data[i + 1 :]] for v in mutations(value)]
        result.append(data[:-1])
    return result


@pytest.mark.parametrize("spec", [*SPECS[:3], *KERNELS, *PATHS[:2], *SCHEDULES], ids=name_of)
def test_nonsense_raises_value_error_in_one_sentence(spec):
    for data in spoiled(to_dict(spec)):
        try:
            spec = from_json(json.dumps(data))
            assert isinstance(spec, Spec)
            json.dumps(to_dict(spec), allow_nan=False)
        except ValueError as error:
            assert str(error).endswith(".") and "\n" not in str(error)
            assert len(str(error)) < 300, "the sentence quotes too much"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "null",
        "[" * 100_000,
        '{"kind":"Cosine","s":' + "9" * 5000 + "}",
        '{"kind":"BlendedSchedule","first":' * 400
        + '{"kind":"Cosine"}'
        + ',"second":{"kind":"Cosine"}}' * 400,
        '{"kind":"BlendedSchedule","first":' * 90_000,
    ],
    ids=lambda text: text[:40],
)
def test_text_that_is_no_spec_raises_value_error(text):
    with pytest.raises(ValueError, match=r"\.$"):
        from_json(text)


def test_a_spec_of_another_class_is_refused():
    with pytest.raises(ValueError, match="expected a SigmoidKernel, got a Cosine"):
        type(KERNELS[0]).from_json('{"kind":"Cosine"}')


def test_ranges_are_named():
    with pytest.raises(ValueError, match=r"width = 3 is outside \[0, 1\]\."):
        check_range("width", 3, 0, 1)
    with pytest.raises(ValueError, match=r"width = 0 is outside \(0, 1\]\."):
        check_range("width", 0, 0, 1, low_open=True)
    with pytest.raises(ValueError, match="must be a finite number"):
        check_range("width", 10**400, 0, 1)
    with pytest.raises(ValueError, match="must be a finite number"):
        check_range("width", True, 0, 1)
