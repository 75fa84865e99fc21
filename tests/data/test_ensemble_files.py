"""Ensembles as files, our own and those made elsewhere, and as data sets."""

from dataclasses import replace

import h5py
import numpy as np
import pytest
import torch
from torch import Tensor

from rgdiff_core.data import DataUnavailable, action_of, available, ensembles, load
from rgdiff_core.lattice import FreeField, Phi4, hmc
from rgdiff_core.lattice.ensembles import Ensemble, EnsembleSpec, ImportedSpec

SMALL = EnsembleSpec(-4, 6.975, 4, n_samples=110, n_chains=20, thermalization=30, thinning=2)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch, one_thread):
    monkeypatch.setenv("RGDIFF_CACHE", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("ending", ["npz", "h5", "HDF5"])
@pytest.mark.parametrize("double", [False, True])
def test_exports_come_back_bit_for_bit(ending, double, cache, monkeypatch):
    spec = replace(SMALL, double=double)
    first = ensembles.generate(spec)
    path = ensembles.export(first, cache / f"out.{ending}")
    monkeypatch.setenv("RGDIFF_CACHE", str(cache / "other"))
    brought = ensembles.bring(path)
    assert brought.spec == spec
    for name in ("acceptance", "exp_delta_h", "step_size", "seconds"):
        assert getattr(brought, name) == getattr(first, name)
    for one, other in (
        (brought.configurations, first.configurations),
        (brought.history.magnetization, first.history.magnetization),
        (brought.history.action, first.history.action),
    ):
        assert one.dtype == other.dtype and torch.equal(one, other)
    assert brought.history.thermalization == first.history.thermalization
    # It is stored, so that it need not be generated.
    progress = []
    ensembles.generate(spec, progress=lambda *at: progress.append(at))
    assert progress == []
    if ending == "npz":
        with np.load(path) as arrays:
            assert np.array_equal(arrays["images"], first.configurations.numpy())
            assert (arrays["m2"], arrays["lam"], arrays["n_chains"]) == (-4, 6.975, 20)
    else:
        with h5py.File(path) as opened:
            assert np.array_equal(opened["images"], first.configurations.numpy())
            assert (opened.attrs["m2"], opened.attrs["n_chains"]) == (-4, 20)


def test_a_damaged_export_is_refused(cache):
    for ending in ("npz", "h5"):
        path = ensembles.export(ensembles.generate(SMALL), cache / f"out.{ending}")
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
        with pytest.raises(ValueError, match=rf"out\.{ending} cannot be read as"):
            ensembles.open_file(path)


def free_fields(n: int = 400) -> np.ndarray:
    generator = torch.Generator().manual_seed(3)
    return FreeField(0.5, 4).sample(n, generator, dtype=torch.float64)[:, 0].numpy()


def test_files_made_elsewhere_are_imported(cache):
    fields = free_fields()
    np.savez(cache / "a.npz", cfgs=fields, m2=0.5, lam=0.0, n_chains=400)
    np.savez(cache / "b.npz", images=fields.astype(">f4")[:, None])
    with h5py.File(cache / "c.h5", "w") as opened:
        opened["configurations"] = fields
        opened["configurations"].attrs["m2"] = 0.5
        opened.attrs["lam"] = 0
        opened["n_chains"] = 400
    for name, arguments in (("a.npz", ()), ("b.npz", (Phi4(0.5, 0.0), 400)), ("c.h5", ())):
        brought = ensembles.bring(cache / name, *arguments)
        assert isinstance(brought.spec, ImportedSpec) and brought.spec.source == name
        assert brought.spec.action == Phi4(0.5, 0.0)
        assert brought.n_chains == 400
        assert abs(brought.identity.value - 1) < 4 * brought.identity.error
        assert brought.warning is None
        again = ensembles.read(brought.spec.id)
        assert torch.equal(again.configurations, brought.configurations)
        np.testing.assert_allclose(again.configurations[:, 0], fields, rtol=1e-6)
    assert len(ensembles.stored()) == 3


KAPPA = Phi4(0.5, 0.3).to_hopping()


NAMED = [
    ({"mass2": 0.5, "lambda": 0.3}, Phi4(0.5, 0.3)),
    ({"m_sq": 0.5, "lambda_": 0.3, "n_chains": 20}, Phi4(0.5, 0.3)),
    ({"msq": 0.5, "lamb": 0.3, "M2": 7.0}, Phi4(0.5, 0.3)),
    ({"m^2": 0.5, "λ": 0.3}, Phi4(0.5, 0.3)),
    ({"m²": 0.5, "LAMBDA": 0.3}, Phi4(0.5, 0.3)),
    ({"m2": 0.5, "g": 1.8}, Phi4(0.5, 1.8 / 6)),
    ({"kappa": KAPPA.kappa, "lambda": KAPPA.lam}, Phi4.from_hopping(KAPPA.kappa, KAPPA.lam)),
]


@pytest.mark.parametrize(
    ("ending", "numbers", "action"),
    [*(("npz", *each) for each in NAMED), ("h5", *NAMED[3]), ("h5", *NAMED[-1])],
)
def test_numbers_are_found_under_the_names_of_other_programs(ending, numbers, action, cache):
    path, fields = cache / f"a.{ending}", free_fields(20)
    if ending == "npz":
        np.savez(path, phi=fields, **{name: [value] for name, value in numbers.items()})
    else:
        with h5py.File(path, "w") as opened:
            opened["run/phi"] = fields
            opened["run"].attrs.update(numbers)
    brought = ensembles.open_file(path)
    assert brought.spec.action == action and brought.n_chains == numbers.get("n_chains", 1)
    scale = action.to_half().factor if "g" in numbers else 1.0
    scale = action.to_hopping().factor if "kappa" in numbers else scale
    np.testing.assert_allclose(brought.configurations[:, 0], scale * fields, rtol=1e-12)


@pytest.mark.parametrize("ending", ["npy", "npz", "h5"])
def test_the_layouts_of_arrays(ending, cache):
    fields, action, path = free_fields(24), Phi4(0.5, 0.0), cache / f"a.{ending}"
    for shape, chains in (
        ((24, 4, 4), 1),
        ((24, 1, 4, 4), 1),
        ((6, 4, 4, 4), 6),
        ((6, 4, 1, 4, 4), 6),
    ):
        array = fields.reshape(shape)
        if ending == "npy":
            np.save(path, np.asfortranarray(array).astype(">f8"))
        elif ending == "npz":
            np.savez_compressed(path, array)
        else:
            with h5py.File(path, "w") as opened:
                opened.create_dataset("a/b", data=array, compression="lzf", shuffle=True)
        brought = ensembles.open_file(path, action)
        assert brought.n_chains == chains
        assert np.array_equal(brought.configurations[:, 0], fields)


def test_an_array_is_chosen_by_its_name(cache):
    fields, action = free_fields(24), Phi4(0.5, 0.0)
    np.savez(cache / "a.npz", first=fields, second=2 * fields, third=np.zeros(9))
    with h5py.File(cache / "a.h5", "w") as opened:
        opened.update({"run/first": fields, "run/second": 2 * fields, "third": np.zeros(9)})
    for name, group in (("a.npz", ""), ("a.h5", "run/")):
        path = cache / name
        shapes = {f"{group}first": (24, 4, 4), f"{group}second": (24, 4, 4)}
        assert ensembles.arrays_in(path) == shapes
        brought = ensembles.open_file(path, action, array=f"{group}second")
        assert np.array_equal(brought.configurations[:, 0], 2 * fields)
        with pytest.raises(ValueError, match=f"{group}first .*, {group}second .*; name one"):
            ensembles.open_file(path, action)
        with pytest.raises(ValueError, match=f"no array called 'fourth', but .*{group}first"):
            ensembles.open_file(path, action, array="fourth")


def with_factor(fields: Tensor, factor: float, m2: float, lam: float) -> Ensemble:
    n = len(fields)
    return Ensemble(ImportedSpec(m2, lam, 4, n, n, "made", ""), factor * fields)


def test_the_warning_names_what_would_heal_it(cache):
    action = Phi4(-4, 6.975)
    generator = torch.Generator().manual_seed(0)
    run = hmc(action, 4, 800, 800, generator, thermalization=40, thinning=1)
    fields = run.configurations
    root = action.to_hopping().factor
    for factor, m2, lam, says in (
        (2**0.5, -4, 6.975, "with the fields times 1/√2 = 0.70711 (convention half) it is"),
        (0.5**0.5, -4, 6.975, "with the fields times √2 = 1.4142 it is"),
        (1 / root, -4, 6.975, "with the fields times √κ = 0.51744 (convention hopping) it is"),
        (1, -4, 6 * 6.975, "with λ/6 = 6.975 it is"),
        (2**0.5, -4, 6.975 / 4, "with λ·4 = 6.975 and the fields times 1/√2"),
        (1, -3, 6.975, "no usual normalization of fields and couplings makes it 1"),
    ):
        assert says in str(with_factor(fields, factor, m2, lam).warning)
    assert with_factor(fields, 1, -4, 6.975).warning is None
    # What the warning names is what an import takes.
    np.save(cache / "half.npy", 2**0.5 * fields[:, 0].numpy())
    healed = ensembles.open_file(cache / "half.npy", action, 800, convention="half")
    torch.testing.assert_close(healed.configurations, fields)
    assert healed.warning is None
    assert healed.spec.source == "half.npy, fields times 0.70711"
    with pytest.raises(ValueError, match="convention = 'ours' is none of lattice, half, hopping"):
        ensembles.open_file(cache / "half.npy", action, convention="ours")


def test_wrong_couplings_are_noticed(cache):
    np.savez(cache / "a.npz", configurations=free_fields())
    brought = ensembles.bring(cache / "a.npz", Phi4(0.8, 0.0), 400)
    assert brought.identity.value - 1 > 4 * brought.identity.error
    assert brought.warning is not None and "do not belong to m² = 0.8, λ = 0" in brought.warning


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ({"configurations": np.zeros((9, 4, 4))}, "does not say its couplings"),
        ({"fields": np.zeros((9, 4, 4)), "a": np.ones((9, 4, 4))}, "several of its arrays could"),
        ({"fields": np.zeros((9, 4)), "a": np.ones(9)}, "none of its arrays is one of config"),
        ({"cfgs": np.zeros((9, 4, 5)), "m2": 1, "lam": 1}, r"shape \(9, 4, 5\)"),
        ({"cfgs": np.zeros((9, 2, 4, 3)), "m2": 1, "lam": 1}, r"shape \(9, 2, 4, 3\)"),
        ({"cfgs": np.zeros((9, 2, 2, 4, 4)), "m2": 1, "lam": 1}, r"shape \(9, 2, 2, 4, 4\)"),
        ({"cfgs": np.zeros((9, 2, 4, 4)), "n_chains": 3, "m2": 1, "lam": 1}, "one of 9 chains"),
        ({"cfgs": np.zeros((9, 4, 4)), "m2": 1, "mass2": 2, "lam": 1}, "m2 = 1.0 and mass2 = 2"),
        ({"cfgs": np.zeros((9, 4, 4)), "m2": 1, "kappa": 2, "lam": 1}, "are both given"),
        ({"cfgs": np.zeros((9, 4, 4), int), "m2": 1, "lam": 1}, "of int64"),
        ({"cfgs": np.zeros((9, 300, 300)), "m2": 1, "lam": 1}, "L from 2 to 256"),
        ({"cfgs": np.zeros((0, 4, 4)), "m2": 1, "lam": 1}, "n_samples = 0"),
        ({"cfgs": np.full((9, 4, 4), np.nan), "m2": 1, "lam": 1}, "not a finite number"),
        ({"cfgs": np.zeros((9, 4, 4)), "m2": np.nan, "lam": 1}, "m2 = nan"),
        ({"cfgs": np.zeros((9, 4, 4)), "m2": 1, "lam": -1}, "lam = -1"),
        ({"cfgs": np.zeros((9, 4, 4)), "m2": [1, 2], "lam": 1}, "m2 in it is not a single number"),
        ({"cfgs": np.zeros((9, 4, 4)), "m2": 1, "lam": 1, "n_chains": 10}, "n_chains = 10"),
        ({"cfgs": np.zeros((9, 4, 4)), "m2": 1, "lam": 1, "n_chains": np.inf}, "n_chains = inf"),
        ({"cfgs": np.zeros((9, 4, 4)), "m2": 1, "lam": 1, "n_chains": 2.5}, "n_chains = 2.5"),
        ({"configurations": np.zeros((9, 4, 4)), "about": "{}"}, "version"),
        ({"configurations": np.zeros((9, 4, 4)), "about": "x" * 70_000}, "too long"),
    ],
)
def test_files_that_hold_no_ensemble_are_refused(arrays, says, cache):
    np.savez(cache / "a.npz", **arrays)
    with pytest.raises(ValueError, match=rf"a\.npz cannot be read as an ensemble \(.*{says}"):
        ensembles.bring(cache / "a.npz")
    assert ensembles.stored() == []


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"images": np.full((110, 1, 4, 4), np.nan, np.float32)}, "not a finite number"),
        ({"action": np.zeros((48, 19))}, "not that of its chains"),
        ({"magnetization": np.zeros((7, 20)), "action": np.zeros((7, 20))}, "thermalization = 30"),
    ],
)
def test_our_own_files_are_not_believed_either(change, says, cache):
    path = ensembles.export(ensembles.generate(SMALL), cache / "own.npz")
    with np.load(path) as opened:
        arrays = {name: opened[name] for name in opened.files}
    np.savez(path, **(arrays | change))
    with pytest.raises(ValueError, match=rf"own\.npz cannot be read as an ensemble \(.*{says}"):
        ensembles.open_file(path)


def test_equal_configurations_are_noticed(cache):
    """The identity is then off without any error."""
    np.savez(cache / "a.npz", configurations=np.zeros((30, 4, 4)))
    brought = ensembles.bring(cache / "a.npz", Phi4(1.0, 1.0))
    assert (brought.identity.value, brought.identity.error) == (0, 0)
    assert brought.warning is not None and "gives 0 ± 0 instead of 1" in brought.warning


@pytest.mark.parametrize("name", ["a.txt", "absent.npz", "text.h5", "text.npz"])
def test_what_is_no_file_of_arrays_is_refused(name, cache):
    (cache / "text.h5").write_text("text")
    (cache / "text.npz").write_text("text")
    with pytest.raises(ValueError, match=name):
        ensembles.bring(cache / name)


def test_a_stored_ensemble_is_a_data_set():
    ensemble, name = ensembles.generate(SMALL), f"lattice-{SMALL.id}"
    listed = {item.name: item for item in available()}
    assert listed[name].cached and listed[name].shape == (1, 4, 4)
    assert action_of(name) == Phi4(-4, 6.975)
    train, test = load(name), load(name, "test")
    # 20 chains: two for the test split, of five configurations each, whole.
    assert (len(train.images), len(test.images)) == (100, 10)
    chains = ensemble.configurations.flatten(1).numpy()
    rows = {row.tobytes() for row in train.images.flatten(1).numpy()}
    assert rows == {row.tobytes() for row in chains[:100]}
    assert {row.tobytes() for row in test.images.flatten(1).numpy()} == {
        row.tobytes() for row in chains[100:]
    }
    assert torch.equal(load(name, limit=7).images, train.images[:7])
    assert not torch.equal(train.images, ensemble.configurations[:100])
    assert -train.low == train.high == test.high
    assert "m² = -4, λ = 6.975" in train.source and "18 chains" in train.source
    ensembles.delete(SMALL.id)
    assert name not in {item.name for item in available()}
    assert action_of(name) is None
    with pytest.raises(ValueError, match="not a known data set"):
        load(name)


def test_a_single_chain_is_split_in_time():
    spec = replace(SMALL, n_samples=50, n_chains=1)
    ensemble = ensembles.generate(spec)
    test = load(f"lattice-{spec.id}", "test").images
    assert len(test) == 5 and len(load(f"lattice-{spec.id}").images) == 45
    last = {row.tobytes() for row in ensemble.configurations[45:].flatten(1).numpy()}
    assert {row.tobytes() for row in test.flatten(1).numpy()} == last


def test_a_single_configuration_is_no_data_set():
    spec = replace(SMALL, n_samples=1, n_chains=1)
    ensembles.generate(spec)
    assert f"lattice-{spec.id}" not in {item.name for item in available()}
    with pytest.raises(ValueError, match="one configuration"):
        load(f"lattice-{spec.id}")


def test_few_configurations_are_not_accused():
    """In chains this short errors are too small, and so nothing follows from 4 of them."""
    action = Phi4(-4, 4.3)
    run = hmc(action, 8, 8 * 80, 80, torch.Generator().manual_seed(1), thinning=1)
    spec = ImportedSpec(action.m2, action.lam, 8, 8, 1, "short", "")
    made = [Ensemble(spec, part) for part in run.configurations.split(8)]
    assert max(abs(each.identity.value - 1) / each.identity.error for each in made) > 4
    assert all(each.warning is None for each in made)
    wrong = replace(spec, lam=40.0)
    assert any(Ensemble(wrong, each.configurations).warning for each in made[:20])


def test_a_damaged_ensemble_is_unavailable_as_data(cache):
    ensembles.generate(SMALL)
    (cache / "ensembles" / SMALL.id / "ensemble.npz").write_bytes(b"PK")
    with pytest.raises(DataUnavailable, match="Delete it"):
        load(f"lattice-{SMALL.id}")


def test_lattices_that_networks_cannot_take_are_not_listed():
    spec = replace(SMALL, size=5)
    ensembles.generate(spec)
    assert f"lattice-{spec.id}" not in {item.name for item in available()}
    assert load(f"lattice-{spec.id}").images.shape[1:] == (1, 5, 5)
