"""Model files: what is written is read bit for bit, and nothing else is taken for a model."""

import base64
import json
import os
import pickle
import re
import struct
import zlib
from pathlib import Path

import pytest
import torch
from laws import BASES, fields
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import rgdiff_core as rg
from rgdiff_core import colors, schedules
from rgdiff_core.bases.serialize import modes_to_dict
from rgdiff_core.denoisers import ModelSpec, NetworkDenoiser
from rgdiff_core.denoisers.files import pretrained_folder, read_metadata, sha256
from rgdiff_core.denoisers.pca_files import read_vectors, write_vectors
from rgdiff_core.networks import LatticeNet, UNet
from rgdiff_core.process import Process

SHAPE = (2, 4, 4)
NET = LatticeNet(4, 1)


def model_of(name: str = "fourier", spec: ModelSpec | None = None) -> NetworkDenoiser:
    """Return a model in float32 with a word to say."""
    basis = BASES[name](SHAPE).float()
    model = (spec or ModelSpec(NET)).build(basis, rg.Modes.fit(basis, fields(SHAPE).float()))
    for parameter in model.network.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model.eval()


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """Return the file of a sound model."""
    path = tmp_path / "model.safetensors"
    rg.save_model(model_of(), path)
    return path


def contents(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    with safe_open(path, "pt") as file:
        return load_file(path), dict(file.metadata())


@pytest.mark.parametrize("name", BASES)
def test_what_is_written_is_read_bit_for_bit(name, tmp_path):
    spec = ModelSpec(UNet(8, (1, 2), 1, (4,)), "variance", "whitened", "time", "isotropic")
    for each in (ModelSpec(NET), spec):
        model = model_of(name, each).requires_grad_(False)
        rg.save_model(model, tmp_path / "m.safetensors", {"note": "42"})
        again = rg.load_model(tmp_path / "m.safetensors")
        assert again.spec == model.spec
        kept = again.state_dict()
        assert kept.keys() == model.state_dict().keys()
        assert all(torch.equal(kept[k], value) for k, value in model.state_dict().items())
        again.set_precision("float32")  # which not every processor computes in
        assert not again.training and not any(p.requires_grad for p in again.parameters())
        process, other = (
            Process(m.basis, colors.Matched(), schedules.Cutoff(), m.modes) for m in (model, again)
        )
        x = fields(SHAPE, 3, seed=2).float()
        for t in (0.0, 0.4, 1.0):
            one = model.posterior(model.basis.analyze(x), process.vp_marginal(t))
            two = again.posterior(again.basis.analyze(x), other.vp_marginal(t))
            torch.testing.assert_close((two.mean, two.variance), (one.mean, one.variance))
            free = model.gaussian(model.basis.analyze(x), process.vp_marginal(t))
        assert (one.mean - free.mean).abs().max() > 0.01
    assert read_metadata(tmp_path / "m.safetensors")["note"] == "42"
    assert os.listdir(tmp_path) == ["m.safetensors"]


def test_weights_may_be_kept_at_half_the_size(tmp_path):
    model = model_of()
    rg.save_model(model, tmp_path / "half.safetensors", dtype=torch.float16)
    assert {v.dtype for v in load_file(tmp_path / "half.safetensors").values()} == {torch.float16}
    again = rg.load_model(tmp_path / "half.safetensors")
    for one, other in zip(model.network.parameters(), again.network.parameters(), strict=True):
        assert other.dtype == torch.float32
        torch.testing.assert_close(one, other, rtol=2**-10, atol=1e-6)


def test_what_the_file_says_beats_what_else_is_said(tmp_path):
    path = tmp_path / "m.safetensors"
    rg.save_model(model_of(), path, {"format": "other", "model": "nothing", "step": "7"})
    assert rg.load_model(path).spec == ModelSpec(NET)
    assert read_metadata(path)["step"] == "7"


def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path):
    path = tmp_path / "m.safetensors"
    rg.save_model(model_of(), path)
    before = path.read_bytes()
    with pytest.raises(OSError):
        rg.save_model(model_of(), tmp_path / "nowhere" / "m.safetensors")
    path.with_name("folder").mkdir()
    with pytest.raises(OSError):
        rg.save_model(model_of(), path.with_name("folder"))
    assert path.read_bytes() == before
    assert sorted(os.listdir(tmp_path)) == ["folder", "m.safetensors"]


def refused(path: Path) -> str:
    """Return the one sentence with which a file is refused."""
    with pytest.raises(ValueError) as caught:
        rg.load_model(path)
    said = str(caught.value)
    assert said.endswith(".") and "\n" not in said and len(said) < 400, said
    return said


def test_files_of_another_kind_are_refused(tmp_path):
    ran = tmp_path / "ran"

    class Harmful:
        def __reduce__(self) -> tuple:
            return (open, (str(ran), "w"))

    torch.save({"weight": torch.ones(3)}, tmp_path / "torch.pt")
    (tmp_path / "harm.pkl").write_bytes(pickle.dumps(Harmful()))
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "text").write_text("hello, I am a model", encoding="utf-8")
    (tmp_path / "zeros").write_bytes(bytes(4096))
    (tmp_path / "long header").write_bytes(struct.pack("<Q", 1 << 62) + b"{}")
    for name in ("torch.pt", "harm.pkl", "empty", "text", "zeros", "long header"):
        assert refused(tmp_path / name).startswith(f"{name} is not a safetensors file: ")
    assert not ran.exists()
    save_file({"weight": torch.ones(3)}, tmp_path / "other")
    assert "but not one of rgdiff's models" in refused(tmp_path / "other")
    assert refused(tmp_path / "nothing") == "there is no model file nothing."
    assert refused(tmp_path) == f"there is no model file {tmp_path.name}."
    with (tmp_path / "huge").open("wb") as file:
        file.truncate((1 << 30) + (1 << 20))  # a hole, no bytes
    assert refused(tmp_path / "huge") == "huge has 1025 MiB; a model has at most 1024 MiB."


@pytest.mark.parametrize("share", [0.0001, 0.2, 0.7, 0.999])
def test_truncated_files_are_refused(saved, share):
    whole = saved.read_bytes()
    saved.write_bytes(whole[: int(share * len(whole))])
    assert "is not a safetensors file" in refused(saved)


@pytest.mark.parametrize("seed", range(20))
def test_damaged_bytes_are_refused_or_harmless(saved, seed):
    """A flipped byte of the header is one sentence, or still a model; never another error."""
    data = bytearray(saved.read_bytes())
    end = 8 + struct.unpack("<Q", data[:8])[0]
    generator = torch.Generator().manual_seed(seed)
    for place in torch.randint(end, (3,), generator=generator).tolist():
        data[place] ^= int(torch.randint(1, 256, (1,), generator=generator))
    saved.write_bytes(data)
    try:
        rg.load_model(saved)
    except ValueError as error:
        assert "\n" not in str(error)


def test_a_header_that_is_longer_than_any_is_not_parsed(saved):
    for length in (1 << 26, 90_000_000):
        with saved.open("r+b") as file:
            file.write(struct.pack("<Q", length + 1))
            file.truncate(length + 100)  # a hole, no bytes
        assert "its header is too long" in refused(saved)


@pytest.mark.parametrize(
    ("rows", "unit", "message"),
    [
        ((1, 3000), (3000, 1), "does not hold rows of a basis"),
        ((8, 5000), (8, 1), "holds 8 rows of 5000 numbers"),
        ((4096, 2), (4096, 1), "has more than 4096 rows"),
        ((8, 4), (8, 1), "as many rows as columns"),
    ],
)
def test_files_of_components_are_checked_before_they_are_read(rows, unit, message, tmp_path):
    """A product of a row and a column would be of any size."""
    files = {}
    for i in range(2):
        part = {"rows": torch.zeros(rows, dtype=torch.int16), "unit": torch.ones(unit)}
        path = tmp_path / f"basis-{i}.safetensors"
        save_file(part, path)
        files[path.name] = sha256(path)
    with pytest.raises(ValueError, match=message):
        read_vectors(tmp_path, files)


@pytest.mark.parametrize("name", ["../basis-0.safetensors", "/etc/passwd", "..", "", "a\0b"])
def test_files_of_components_lie_beside_their_model(name, tmp_path):
    inner = tmp_path / "inner"
    inner.mkdir()
    files = write_vectors(torch.eye(4), tmp_path)
    with pytest.raises(ValueError, match="which is missing"):
        read_vectors(inner, {name: next(iter(files.values()))})


def _reshape(state: dict, meta: dict) -> None:
    del meta
    state["last.weight"] = state["last.weight"][:, :1].clone()


def _missing(state: dict, meta: dict) -> None:
    del meta, state["last.weight"]


def _more(state: dict, meta: dict) -> None:
    del meta
    state["extra"] = torch.ones(1)


def _nan(state: dict, meta: dict) -> None:
    del meta
    state["first.weight"][0, 0] = torch.nan


def _whole_numbers(state: dict, meta: dict) -> None:
    del meta
    state["first.weight"] = state["first.weight"].to(torch.int8)


def _json(name: str, **changes: object):
    def change(state: dict, meta: dict) -> None:
        del state
        meta[name] = json.dumps(json.loads(meta[name]) | changes)

    return change


def _set(name: str, value: str | None):
    def change(state: dict, meta: dict) -> None:
        del state
        if value is None:
            del meta[name]
        else:
            meta[name] = value

    return change


def _tensor(shape: list[int], value: bytes | None = None) -> dict:
    data = bytes(64) if value is None else value
    packed = base64.b64encode(zlib.compress(data)).decode()
    return {"dtype": "float32", "shape": shape, "zlib": packed}


def _other_modes(state: dict, meta: dict) -> None:
    del state
    basis = BASES["fourier"]((2, 6, 6))
    modes = rg.Modes.fit(basis, fields((2, 6, 6)).float())
    meta["modes"] = json.dumps(modes_to_dict(modes))


def _one_channel(state: dict, meta: dict) -> None:
    del state
    basis = BASES["fourier"]((1, 4, 4))
    modes = rg.Modes.fit(basis, fields((1, 4, 4)).float())
    meta["modes"] = json.dumps(modes_to_dict(modes))


def _no_data(state: dict, meta: dict) -> None:
    del state
    meta["modes"] = json.dumps(modes_to_dict(rg.Modes.of(BASES["fourier"](SHAPE))))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_reshape, "last.weight in model.safetensors does not have the shape of its network"),
        (_missing, "the weights in model.safetensors are not those of its network"),
        (_more, "the weights in model.safetensors are not those of its network"),
        (_nan, "first.weight in model.safetensors is not finite"),
        (_set("model", None), "does not say what its 'model' is"),
        (_set("basis", None), "does not say what its 'basis' is"),
        (_set("modes", None), "does not say what its 'modes' is"),
        (_set("format", "rgdiff-model-99"), "not one of rgdiff's models"),
        (_set("model", "{"), "not valid JSON"),
        (_set("model", "[" * 50_000), "not valid JSON|nested deeper"),
        (_set("model", '{"kind": "Pickle"}'), "unknown kind 'Pickle'"),
        (_set("model", '{"kind": "NetworkSpec"}'), "unknown kind 'NetworkSpec'"),
        (_set("model", '{"kind": "White"}'), "describes a White, not a model"),
        (_set("model", "7"), "unknown kind"),
        (_set("basis", '{"kind": "os.system"}'), "unknown basis 'os.system'"),
        (_set("modes", "{}"), "modes must have exactly scale, mean, variance, momentum"),
        (_json("model", c_out="loud"), "c_out = 'loud' is not one of std, variance, isotropic"),
        (_json("model", colour="red"), "ModelSpec has no field 'colour'"),
        (_json("model", network={"kind": "UNet", "width": 20}), "width = 20 must be a multiple"),
        (
            _json("model", network={"kind": "UNet", "width": 512, "blocks": 8}),
            "million parameters; at most 200 are allowed",
        ),
        (_json("modes", mean=_tensor([2, 4, 10**9])), "too large"),
        (_json("modes", variance=_tensor([2, 4, 4], bytes(128))), "every variance must be"),
        (_json("modes", mean=_tensor([2, 4, 4], b"\xff" * 128)), "every mean must be finite"),
        (_json("modes", mean=_tensor([2, 4, 4], bytes(1 << 20))), "can't be read"),
        (
            _json("modes", mean=_tensor([1, 4000, 4000])),
            r"too large: its shape is \[1, 4000, 4000\]",
        ),
        (
            _json("basis", channels=_tensor([4000, 4000])),
            r"too large: its shape is \[4000, 4000\]",
        ),
        (_json("basis", shape=[512, 1024, 1024]), "have too many components"),
        (_json("model", network={"kind": "UNet", "width": 256}), "are not those of its network"),
        (_set("model", "[" + 100_001 * "0," + "0]"), "'model' in .* more than 100000 items"),
        (_whole_numbers, "first.weight in model.safetensors does not hold floating-point numbers"),
        (_json("basis", shape=[2, 6, 6]), "modes of .* do not fit a basis of shape"),
        (_json("basis", shape=[2, 40_000, 40_000]), "40000|too large|do not fit"),
        (_other_modes, r"modes of \(2, 6, 6\) do not fit a basis of shape \(2, 4, 4\)"),
        (_one_channel, "embed.0.weight in model.safetensors does not have the shape"),
        (_no_data, "a denoiser needs the data's mean and variance"),
    ],
)
def test_what_does_not_fit_is_named(saved, change, message):
    state, meta = contents(saved)
    change(state, meta)
    save_file(state, saved, meta)
    assert re.search(message, refused(saved))


def test_much_metadata_is_read_or_refused(saved):
    state, meta = contents(saved)
    save_file(state, saved, meta | {"note": "x" * (1 << 23)})
    assert len(read_metadata(saved)["note"]) == 1 << 23
    rg.load_model(saved)
    header = json.dumps({"__metadata__": meta | {"note": "x" * 101_000_000}}).encode()
    saved.write_bytes(struct.pack("<Q", len(header)) + header)  # safetensors' limit is 100 MB
    assert "is not a safetensors file" in refused(saved)


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with one pretrained model, "small"."""
    monkeypatch.setenv("RGDIFF_PRETRAINED", str(tmp_path))
    (tmp_path / "small").mkdir()
    rg.save_model(model_of(), tmp_path / "small" / "model.safetensors")
    digest = sha256(tmp_path / "small" / "model.safetensors")
    entry = {"name": "small", "title": "Small", "data": "phi4-6x6", "sha256": digest}
    (tmp_path / "index.json").write_text(json.dumps([entry]), encoding="utf-8")
    return tmp_path


def test_pretrained_models_are_checked(shelf):
    assert pretrained_folder() == shelf
    (listed,) = rg.list_pretrained()
    assert (listed.name, listed.title, listed.data) == ("small", "Small", "phi4-6x6")
    one = rg.load_pretrained("small")
    x = fields(SHAPE, 2).float()
    process = Process(one.basis, colors.White(), schedules.Cosine(), one.modes)
    torch.testing.assert_close(
        one.denoise(x, 0.5, process), model_of_seeded().denoise(x, 0.5, process)
    )
    path = shelf / "small" / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1  # a sound file, but another number
    path.write_bytes(data)
    rg.load_model(path)
    with pytest.raises(ValueError, match="the file of 'small' is damaged: its SHA-256"):
        rg.load_pretrained("small")
    path.unlink()
    with pytest.raises(ValueError, match="the file of 'small' is missing"):
        rg.load_pretrained("small")


def model_of_seeded() -> NetworkDenoiser:
    """Return the model that the seed of the test's beginning gives."""
    torch.manual_seed(0)
    return model_of()


@pytest.mark.parametrize("name", ["other", "", ".", "../small", "small/../small", "/etc/passwd"])
def test_only_names_of_the_index_are_pretrained_models(shelf, name):
    del shelf
    with pytest.raises(ValueError, match="is not a pretrained model; known are small"):
        rg.load_pretrained(name)


def test_without_an_index_there_is_none(tmp_path, monkeypatch):
    for folder in (tmp_path, tmp_path / "missing"):
        monkeypatch.setenv("RGDIFF_PRETRAINED", str(folder))
        assert rg.list_pretrained() == []
        with pytest.raises(ValueError, match="known are none on this machine"):
            rg.load_pretrained("phi4-6x6")


@pytest.mark.parametrize("text", ["7", '{"a": 1}', '["a"]', '[{"name": "x"}]', "not json", "[[]]"])
def test_a_bad_index_is_one_sentence(shelf, text):
    (shelf / "index.json").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=r"^[^\n]*\.$"):
        rg.list_pretrained()
