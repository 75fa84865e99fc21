"""What is read from others' files: bombs, headers that lie, and errors of decoders."""

import io
import re
import struct
import tracemalloc
import zipfile
import zlib

import numpy as np
import pytest

from rgdiff_core.files import untrusted
from rgdiff_core.files.untrusted import Refused

MIB = 2**20


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setenv(untrusted.VARIABLE, "4")


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def archive(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> io.BytesIO:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as opened:
        for name, content in members.items():
            opened.writestr(name, content)
    return file


def read(file: io.BytesIO) -> dict[str, np.ndarray]:
    with untrusted.open_npz(file, "a.npz") as arrays:
        return {key: arrays.read(key) for key in arrays.headers}


def header(shape: tuple[int, ...], version: int = 1) -> bytes:
    text = repr({"descr": "|u1", "fortran_order": False, "shape": shape}).encode()
    return b"\x93NUMPY" + struct.pack("<BBH", version, 0, len(text)) + text


def encrypted() -> io.BytesIO:
    content = bytearray(archive({"x.npy": npy(np.zeros(3))}).getvalue())
    for sign, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(sign) + flags] |= 1
    return io.BytesIO(bytes(content))


def says_less_than_it_holds() -> io.BytesIO:
    """Make a member whose directory says 200 bytes, of an array of 3 MiB."""
    content = bytearray(archive({"x.npy": npy(np.zeros(3 * MIB, np.uint8))}).getvalue())
    for sign, place in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        start = content.index(sign) + place
        content[start : start + 4] = struct.pack("<I", 200)
    return io.BytesIO(bytes(content))


def test_arrays_are_read_as_they_were_written():
    wanted = {
        "a": np.arange(12.0).reshape(3, 4),
        "b": np.asfortranarray(np.arange(6).reshape(2, 3)),
        "c": np.array("words"),
        "d": np.arange(5, dtype=">i2"),
    }
    file = io.BytesIO()
    np.savez_compressed(file, **wanted)
    with untrusted.open_npz(file, "a.npz") as arrays:
        assert {k: (h.shape, h.dtype) for k, h in arrays.headers.items()} == {
            k: (a.shape, a.dtype) for k, a in wanted.items()
        }
    found = read(file)
    assert all(np.array_equal(found[key], array) for key, array in wanted.items())
    assert np.array_equal(untrusted.read_npy(io.BytesIO(npy(wanted["a"])), "a.npy"), wanted["a"])


BOMBS = [
    (archive({"x.npy": npy(np.zeros(5 * MIB, np.uint8))}), r"a.npz unpacks to 5 MiB; at most 4"),
    # Each within the limit, not both.
    (
        archive({k: npy(np.zeros(3 * MIB, np.uint8)) for k in ("x.npy", "y.npy")}),
        "unpacks to 6 MiB",
    ),
    (archive({"x.npy": header((10**15,))}), "at most 4 MiB"),
    # A header of 64 MiB.
    (
        archive({"x.npy": b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**26) + bytes(2**26)}),
        "the header of a.npz is longer than",
    ),
    (
        archive({"x.npy": npy(np.zeros(3)), "x": npy(np.zeros((2, 2)))}),
        "a.npz holds two arrays called 'x'",
    ),
    (archive({"x.npy": npy(np.zeros(9))}, zipfile.ZIP_BZIP2), "by method 12, not deflate"),
    (archive({"x.npy": npy(np.zeros(9))}, zipfile.ZIP_LZMA), "by method 14, not deflate"),
    (archive({f"{'x' * 200}{i}": b"" for i in range(5000)}), "the directory of a.npz"),
    (encrypted(), "a.npz is encrypted"),
    (says_less_than_it_holds(), "a.npz cannot be read as a .npz file"),
    (archive({"x.npy": header((-1, -4))}), r"shape \(-1, -4\)"),
    (io.BytesIO(archive({"x.npy": npy(np.zeros(999))}).getvalue()[:-40]), "cannot be read"),
]


@pytest.mark.parametrize(("file", "says"), BOMBS)
def test_bombs_and_lies_are_refused_with_little_memory(file, says):
    tracemalloc.start()
    try:
        with pytest.raises(Refused, match=says) as caught:
            read(file)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert "\n" not in str(caught.value)
    assert peak < 12 * MIB


HEADERS = [
    b"{'descr': '<f8', 'fortran_order': False, 'shape': (3,",  # a TokenError
    b"(" * 900,  # a MemoryError, or a RecursionError
    b"{'descr': [('a',)], 'fortran_order': False, 'shape': (3,)}",
    b"{'descr': '<q9', 'fortran_order': False, 'shape': (3,)}",
    b"{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999999999999999, 0)}",
    b"{'descr': '|O', 'fortran_order': False, 'shape': (3,)}",
    b"[]",
    b"\xff\xfe",
]


@pytest.mark.parametrize("text", HEADERS)
def test_headers_that_are_none_are_one_sentence(text):
    content = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + bytes(24)
    for refused in (
        lambda: untrusted.read_npy(io.BytesIO(content), "a.npy"),
        lambda: read(archive({"x.npy": content})),
    ):
        with pytest.raises(Refused, match=r"^a\.np[yz] ") as caught:
            refused()
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 300


def test_inflate_stops_at_the_limit():
    assert untrusted.inflate("a", zlib.compress(bytes(100))) == bytes(100)
    bomb = zlib.compress(bytes(64 * MIB))
    tracemalloc.start()
    with pytest.raises(Refused, match="a unpacks to more than 4 MiB"):
        untrusted.inflate("a", bomb)
    assert tracemalloc.get_traced_memory()[1] < 12 * MIB
    tracemalloc.stop()
    for content in (b"nonsense", zlib.compress(bytes(100))[:-5]):
        with pytest.raises(Refused, match="a cannot be read as compressed data"):
            untrusted.inflate("a", content)


def test_a_bounded_reader_counts_over_all_calls():
    reader = untrusted.BoundedReader(io.BytesIO(bytes(100)), "a", 60)
    assert len(reader.read(50)) == 50
    with pytest.raises(Refused, match="a is longer than"):
        reader.read()
    assert reader.tell() == 61


@pytest.mark.parametrize("text", ["", "0", "-1", "many", "1e3", "²", "9" * 30])
def test_the_limit_is_a_number_of_megabytes(monkeypatch, text):
    assert untrusted.max_bytes() == 4 * MIB
    monkeypatch.delenv(untrusted.VARIABLE)
    assert untrusted.max_bytes() == 256 * MIB
    monkeypatch.setenv(untrusted.VARIABLE, text)
    with pytest.raises(ValueError, match=re.escape(f"{untrusted.VARIABLE} = {text!r} is not a")):
        untrusted.max_bytes()
