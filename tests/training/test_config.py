"""Configs: one definition, round trips, overrides, and one sentence for whatever is wrong."""

import json
import math
import re
from dataclasses import fields, replace

import pytest

from rgdiff_core import colors, schedules
from rgdiff_core.bases.spec import BasisSpec
from rgdiff_core.denoisers import ModelSpec
from rgdiff_core.networks import NETWORKS, LatticeNet, UNet
from rgdiff_core.training import PRESETS, TrainConfig, load_config, override, settings
from rgdiff_core.training.config import (
    FREE,
    config_from_dict,
    config_to_toml,
    differences,
    parse_config,
)
from rgdiff_core.training.losses import Objective
from rgdiff_core.training.noise_levels import FixedProcess, Universal

UNLIKE = TrainConfig(
    data="photographs",
    other_sizes=("phi4-6x6", "phi4-8x8"),
    limit=77,
    augmentation="flip",
    basis=BasisSpec("wavelet", wavelet="db2", levels=2, decorrelate=True),
    noise=FixedProcess(colors.BlendedColor(colors.White(), colors.PowerLaw(1.5), 0.25)),
    model=ModelSpec(UNet(16, (1, 2, 3), 1, (8, 4), 0.1, True), "variance", "whitened", "time"),
    objective=Objective("edm", "lognormal", -2.0, 3.0),
    class_conditional=True,
    label_dropout=0.1,
    steps=3,
    batch=9,
    max_minutes=1.5,
    lr=0.1 + 0.2,
    warmup=0,
    decay="constant",
    optimizer="muon",
    weight_decay=0.01,
    beta2=0.95,
    clip=7,
    ema=0.5,
    ema_half_life=0.05,
    seed=2**31 - 1,
    precision="bfloat16",
    compile=True,
    log_every=5,
    checkpoint_seconds=1.5,
    evaluations=2,
    previews=0,
)
CONFIGS = [TrainConfig(), UNLIKE, *(preset.config for preset in PRESETS.values())]


ONE_OF_TWO = "coupling_conditional"  # classes and couplings exclude each other


def test_the_unlike_config_differs_everywhere():
    same = [f.name for f in fields(TrainConfig) if getattr(UNLIKE, f.name) == f.default]
    assert same == [ONE_OF_TWO]


@pytest.mark.parametrize("config", CONFIGS)
def test_a_config_is_the_same_as_json_and_toml(config, tmp_path):
    assert TrainConfig.from_json(config.to_json()) == config
    for name, text in (("c.json", config.to_json()), ("c.toml", config_to_toml(config))):
        (tmp_path / name).write_text(text, encoding="utf-8")
        again = load_config(tmp_path / name)
        assert again == config and hash(again) == hash(config)


def test_what_a_file_leaves_out_takes_its_default(tmp_path):
    path = tmp_path / "short.toml"
    path.write_text(
        'lr = 1\nsteps = 7\n[model]\nnetwork = "unet-1m"\nscaling = "variance"\n'
        '[noise]\nkind = "FixedProcess"\nschedule = {kind = "Cosine"}\n',
        encoding="utf-8",
    )
    assert load_config(path) == TrainConfig(
        lr=1.0,
        steps=7,
        model=ModelSpec(NETWORKS["unet-1m"], c_out="variance"),
        noise=FixedProcess(schedule=schedules.Cosine()),
    )
    path.write_text("", encoding="utf-8")
    assert load_config(path) == TrainConfig()


@pytest.mark.parametrize(
    ("texts", "changes"),
    [
        (["lr=3e-4"], {"lr": 3e-4}),
        (["steps=7", "steps=8"], {"steps": 8}),
        (["data=phi4-8x8"], {"data": "phi4-8x8"}),
        (["limit=20", "limit=null"], {"limit": None}),
        (["compile=true"], {"compile": True}),
        (["model.network=unet-1m"], {"model": ModelSpec(NETWORKS["unet-1m"])}),
        (["model.network.width=32"], {"model": ModelSpec(LatticeNet(32, 3))}),
        (
            ["model.told=time", "model.sees=scaled"],
            {"model": ModelSpec(conditioning="time", network_input="whitened")},
        ),
        (["noise.processes=3"], {"noise": Universal(3)}),
        (['noise={"kind": "FixedProcess"}'], {"noise": FixedProcess()}),
        (
            ['noise={"kind": "FixedProcess"}', 'noise.color={"kind": "White"}'],
            {"noise": FixedProcess(colors.White())},
        ),
        (
            ['model.network={"kind": "UNet", "width": 8}', "model.network.multipliers=[1,2]"],
            {"model": ModelSpec(UNet(8, (1, 2)))},
        ),
        (["basis.name=pca"], {"basis": BasisSpec("pca")}),
        (["objective.weighting=v"], {"objective": Objective("v")}),
    ],
)
def test_overrides(texts, changes):
    assert override(TrainConfig(), texts) == replace(TrainConfig(), **changes)


def sentence(said: str) -> None:
    assert said.endswith((".", "?")) and "\n" not in said and len(said) < 600, said


def out_of_range() -> list[tuple[str, float]]:
    """Return every number's values outside its range, beside it and far away."""
    found: list[tuple[str, float]] = []
    for name, setting in settings().items():
        if setting.low is not None and setting.high is not None:
            below = setting.low if setting.low_open else math.nextafter(setting.low, -math.inf)
            values = [below, setting.low - 1, 2 * setting.high + 1, 10.0**300, -(10.0**300)]
            found += [(name, value) for value in values]
    return found


def test_every_number_outside_its_range_is_named_with_the_range():
    cases = out_of_range()
    assert len({name for name, _ in cases}) == 17
    for name, value in cases:
        setting = settings()[name]
        with pytest.raises(ValueError) as caught:
            replace(TrainConfig(), **{name: value})
        sentence(said := str(caught.value))
        assert said.startswith(f"{name} = {value!r} is outside "), said
        assert f"{setting.low:g}, {setting.high:g}]" in said


@pytest.mark.parametrize("name", [n for n, s in settings().items() if s.low is not None])
@pytest.mark.parametrize("value", [math.nan, math.inf, "12", True, [1], 10**400])
def test_what_is_no_finite_number_is_named(name, value):
    with pytest.raises(ValueError, match=f"^{name} = .* must be a finite number"):
        replace(TrainConfig(), **{name: value})


def test_the_ends_of_every_range_are_allowed():
    for name, setting in settings().items():
        if setting.low is not None:
            for value in (setting.high, *([] if setting.low_open else [setting.low])):
                replace(TrainConfig(), **{name: value})


@pytest.mark.parametrize("name", ["steps", "batch", "warmup", "seed", "limit", "evaluations"])
def test_whole_numbers_are_whole(name):
    with pytest.raises(ValueError, match=f"{name} = 2.5 must be a whole number"):
        replace(TrainConfig(), **{name: 2.5})


@pytest.mark.parametrize("name", [n for n, s in settings().items() if s.choices])
def test_unknown_choices_are_named_with_the_known(name):
    with pytest.raises(ValueError) as caught:
        replace(TrainConfig(), **{name: "odd"})
    known = ", ".join(settings()[name].choices)
    assert str(caught.value) == f"{name} = 'odd' is not one of {known}."


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lr", "'lr' is not of the form name=value"),
        ("=3", "has no field ''"),
        ("speed=3", "TrainConfig has no field 'speed'"),
        ("stepss=3", "has no field 'stepss'; is 'steps' meant"),
        ("model.netwrk=unet-1m", "ModelSpec has no field 'netwrk'; is 'network' meant"),
        ("model.network=unet-9m", "network = 'unet-9m' is not one of lattice-small, lattice,"),
        ("model.network.width=a", "LatticeNet.width = 'a' is not a int"),
        ("model.network.width=3", r"width = 3 is outside \[4, 512\]"),
        ("lr=fast", "TrainConfig.lr = 'fast' is not a float"),
        ("lr=nan", "TrainConfig.lr = 'nan' is not a float"),
        ("lr=NaN", "lr = nan must be a finite number"),
        ("lr=0", r"lr = 0.0 is outside \(0, 1\]"),
        ("lr=1e999", "lr = inf must be a finite number"),
        ("steps=" + "9" * 400, "TrainConfig.steps = 9.* is not a int"),
        ("steps=" + "9" * 5000, "TrainConfig.steps = '9.* is not a int"),
        ("steps=1e30", "steps = 1.* is outside"),
        ("batch=-4", r"batch = -4 is outside \[1, 65536\]"),
        ("lr.high=3", "TrainConfig.lr = {.*} is not a float"),
        ("compile=yes", "TrainConfig.compile = 'yes' is not a bool"),
        ("data=7", "TrainConfig.data = 7 is not a str"),
        ("objective=v", "TrainConfig.objective = 'v' is not a Objective"),
        ('noise={"kind": "White"}', "TrainConfig.noise = .* is not a NoiseSource"),
        ('noise={"kind": "Chaos"}', "unknown kind 'Chaos'"),
        ('model={"kind": "UNet"}', "TrainConfig.model = .* is not a ModelSpec"),
        ("kind=Universal", "Universal has no field"),
        ("basis=" + '{"a":' * 40 + "1" + "}" * 40, "nested deeper|has no field 'a'"),
    ],
)
def test_bad_overrides_are_one_sentence(text, message):
    with pytest.raises(ValueError) as caught:
        override(TrainConfig(), [text])
    sentence(str(caught.value))
    assert re.search(message, str(caught.value))


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("c.toml", "lr = ", "c.toml is not valid TOML: "),
        ("c.json", "lr = 3", "not valid JSON: "),
        ("c.json", "[1, 2]", "c.json does not hold a config"),
        ("c.json", "7", "c.json does not hold a config"),
        ("c.json", '{"lr": 1, "speed": 2}', "has no field 'speed'"),
        ("c.json", '{"kind": "White"}', "White has no field|not a training config"),
        ("c.toml", "data = 2026-01-01", "TrainConfig.data = .* is not a str"),
        ("c.toml", "lr = nan", "lr = nan must be a finite number"),
        ("c.toml", "[lr]\nlow = 1", "TrainConfig.lr = .* is not a float"),
        ("c.json", '{"model": ' * 9000, "not valid JSON|nested"),
    ],
)
def test_files_that_are_no_configs_are_one_sentence(name, text, message):
    with pytest.raises(ValueError) as caught:
        parse_config(text, name)
    sentence(str(caught.value))
    assert re.search(message, str(caught.value))


def test_a_huge_file_and_bytes_that_are_no_text_are_refused(tmp_path):
    path = tmp_path / "c.toml"
    path.write_text("# " + "x" * (1 << 20), encoding="utf-8")
    with pytest.raises(ValueError, match=r"c\.toml is too large for a config"):
        load_config(path)
    path.write_bytes(b"lr = 1 # \xff\xfe")
    with pytest.raises(ValueError, match=r"c\.toml is not a text"):
        load_config(path)


def test_another_specs_json_is_refused():
    with pytest.raises(ValueError, match="a UNet is not a training config"):
        config_from_dict({"kind": "UNet"})
    with pytest.raises(ValueError, match="expected a TrainConfig, got a UNet"):
        TrainConfig.from_json('{"kind": "UNet"}')


def test_differences_are_what_a_resumed_run_must_not_change():
    assert differences(UNLIKE, UNLIKE) == {}
    found = differences(TrainConfig(), UNLIKE)
    assert set(found) == set(settings()) - FREE - {ONE_OF_TWO}
    assert found["lr"] == (TrainConfig().lr, UNLIKE.lr)
    assert {"max_minutes", "log_every", "checkpoint_seconds", "evaluations", "previews"} == FREE


def test_every_field_says_what_it_is():
    assert list(settings()) == [f.name for f in fields(TrainConfig)]
    for setting in settings().values():
        assert setting.help.endswith(".") and setting.group
        assert (setting.low is None) == (setting.high is None)


def test_symmetries_are_those_of_the_data_and_of_the_network():
    assert TrainConfig().symmetries == "lattice"
    unet = ModelSpec(UNet())
    for data in ("phi4-6x6", "phi4-6x6-line"):
        assert TrainConfig(data=data, model=unet).symmetries == "lattice"
    assert TrainConfig(data="cifar10", model=unet).symmetries == "flip"
    assert TrainConfig(data="cifar10").symmetries == "lattice"
    assert TrainConfig(augmentation="none").symmetries == "none"


def test_presets_are_configs_with_names_for_people():
    assert {"phi4-2min", "phi4-10min", "cifar10-cpu", "cifar10-gpu"} <= set(PRESETS)
    for preset in PRESETS.values():
        assert preset.title and preset.about.endswith(".")
        shape = (3, 32, 32) if preset.config.data == "cifar10" else (1, 6, 6)
        assert preset.config.model.parameters(shape) > 1000
        json.loads(preset.config.to_json())
