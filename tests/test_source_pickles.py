"""Pickled NumPy files are read, and hostile ones are refused without being executed."""

import builtins
import datetime as dt
import io
import os
import pickle
import random
import zipfile
from pathlib import Path

import numpy as np
import pytest

import real
from ondee.errors import ReadError
from ondee.source import npz, pickles


class Hostile:
    """Calls a function when it is unpickled."""

    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


def object_array(*items):
    array = np.empty(len(items), dtype=object)
    array[:] = items
    return array


def write_npz(path: Path, **members: bytes) -> Path:
    """An .npz whose members are given as bytes of .npy files."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return path


def npy(array, *, shape=None, pickled=None) -> bytes:
    """Bytes of an .npy file, with another shape or pickle than the array's if asked."""
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array, allow_pickle=True)
    if shape is None and pickled is None:
        return stream.getvalue()
    stream = io.BytesIO()
    header = np.lib.format.header_data_from_array_1_0(array)
    np.lib.format.write_array_header_1_0(stream, {**header, "shape": shape or array.shape})
    return stream.getvalue() + (array.tobytes() if pickled is None else pickled)


def read(path: Path, name: str):
    with npz.opened(path) as archive:
        return archive.array(name)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(
    "array",
    [
        object_array(dt.datetime(2016, 8, 21, 0, 10), dt.datetime(2016, 8, 21, 0, 55)),
        object_array(dt.date(2016, 8, 21), dt.timedelta(minutes=5), np.float64(3.5), np.int16(-1)),
        np.arange(6, dtype=">i2").reshape(2, 3),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.array(["a", "bc"]),
        np.zeros((0,)),
    ],
    ids=["datetimes", "mixed", "big-endian", "fortran", "text", "empty"],
)
def test_what_numpy_pickles_comes_back(array, protocol):
    if protocol == 5 and not array.dtype.hasobject:
        pytest.skip("NumPy writes plain arrays at protocol 5 as buffers, which no archive here uses")
    found = pickles.unpickle(pickle.dumps(array, protocol=protocol), where="test")
    assert found.dtype == array.dtype
    assert found.shape == array.shape
    assert (found == array).all()


def test_the_old_and_the_new_spelling_of_numpy_are_admitted():
    new = pickle.dumps(object_array(dt.date(2016, 8, 21)), protocol=2)
    old = new.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    assert old != new
    assert pickles.unpickle(old, where="test")[0] == pickles.unpickle(new, where="test")[0]


def hostile_pickles(marker: Path):
    touch = f"touch {marker}"
    code = f"__import__('pathlib').Path({str(marker)!r}).touch()"
    yield "os.system", pickle.dumps(Hostile(os.system, touch))
    yield "eval", pickle.dumps(Hostile(builtins.eval, code))
    yield "exec", pickle.dumps(Hostile(builtins.exec, code))
    yield "protocol 0", pickle.dumps(Hostile(os.system, touch), protocol=0)
    yield "inside an object array", pickle.dumps(object_array(Hostile(os.system, touch)))
    yield "nested", pickle.dumps(object_array(object_array(Hostile(builtins.eval, code))))
    yield "getattr chain", pickle.dumps(Hostile(builtins.getattr, Hostile(builtins.__import__, "os"), "system"))
    yield "path", pickle.dumps(Hostile(Path.touch, marker))
    yield "dotted name", b"\x80\x04\x8c\x08datetime\x8c\x1adatetime.__class__.__base__\x93."
    yield "codec", b"\x80\x02c_codecs\nencode\n(X\x01\x00\x00\x00aX\x05\x00\x00\x00idna_tR."
    yield "attribute of a stand-in", b"\x80\x02c_codecs\nencode\nN}X\x0c\x00\x00\x00__defaults__Ns\x86b."
    yield "extension registry", b"\x80\x02\x82\x01."
    yield "persistent id", b"\x80\x02X\x01\x00\x00\x00aQ."
    yield "a dictionary", pickle.dumps(object_array({"a": 1}))
    yield "no array", pickle.dumps(dt.datetime(2016, 8, 21))
    yield "structured type", pickle.dumps(object_array(np.zeros(1, dtype=[("a", "O")])[0]))


NAMES = [name for name, _ in hostile_pickles(Path("marker"))]


@pytest.mark.parametrize("name", NAMES)
def test_a_hostile_pickle_is_refused_and_not_executed(tmp_path, name):
    marker = tmp_path / "executed"
    content = dict(hostile_pickles(marker))[name]
    dates = object_array(dt.datetime(2016, 8, 21))
    path = write_npz(tmp_path / "dates.npz", dates=npy(dates, pickled=content))
    with pytest.raises(ReadError) as caught:
        read(path, "dates")
    assert not marker.exists()
    assert str(path) in caught.value.where


def test_a_hostile_pickle_would_have_been_executed(tmp_path):
    """The proof above is no proof unless the same bytes do execute elsewhere."""
    marker = tmp_path / "executed"
    pickle.loads(dict(hostile_pickles(marker))["os.system"])
    assert marker.exists()


def test_refusal_says_what_was_named():
    with pytest.raises(ReadError, match="refused, not executed") as caught:
        pickles.unpickle(pickle.dumps(Hostile(os.getcwd)), where="test")
    assert "posix.getcwd" in caught.value.what


@pytest.mark.parametrize("seed", range(40))
def test_a_damaged_pickle_gives_a_read_error(seed):
    chance = random.Random(seed)
    whole = bytearray(pickle.dumps(object_array(*[dt.datetime(2016, 8, 21, 0, m) for m in range(5)]), 2))
    content = whole[: chance.randrange(len(whole) - 1)] if seed % 2 else whole
    if not seed % 2:
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    try:
        found = pickles.unpickle(bytes(content), where="test")
    except ReadError:
        return
    assert found.shape == (5,)


def test_claims_of_shape_are_checked_before_memory_is_taken(tmp_path):
    array = np.zeros(4, dtype=np.int16)
    path = write_npz(tmp_path / "bomb.npz", data=npy(array, shape=(10**6, 10**6)))
    with pytest.raises(ReadError, match="needs"):
        read(path, "data")
    with pytest.raises(ReadError, match="needs"), npz.opened(path) as archive:
        next(archive.each("data"))


def test_a_pickle_that_claims_a_vast_array_is_refused():
    small = pickle.dumps(np.zeros(3, dtype=np.int16), protocol=2)
    forged = small.replace(b"K\x03\x85", b"J\xff\xff\xff\x7f\x85")
    assert forged != small
    with pytest.raises(ReadError):
        pickles.unpickle(forged, where="test")


def test_a_vast_pickle_is_not_even_read(tmp_path):
    dates = object_array(dt.date(2016, 8, 21))
    path = write_npz(tmp_path / "bomb.npz", dates=npy(dates, pickled=b"\x00" * (65 * 2**20)))
    assert path.stat().st_size < 200_000
    with pytest.raises(ReadError, match="MB"):
        read(path, "dates")


@pytest.mark.parametrize("seed", range(20))
def test_cut_archives_give_a_read_error(tmp_path, seed):
    path = tmp_path / "whole.npz"
    np.savez_compressed(path, data=np.arange(3000, dtype=np.int16).reshape(30, 10, 10))
    content = path.read_bytes()
    path.write_bytes(content[: random.Random(seed).randrange(len(content))])
    with pytest.raises(ReadError):
        read(path, "data")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"CDF\x01" * 50, b"\x89HDF\r\n\x1a\n" * 20])
def test_other_magic_gives_a_read_error(tmp_path, content):
    path = tmp_path / "whole.npz"
    path.write_bytes(content)
    with pytest.raises(ReadError):
        read(path, "data")


def test_frames_one_at_a_time_equal_the_whole(tmp_path):
    data = np.random.default_rng(1).integers(-1, 300, (7, 5, 4)).astype(np.int16)
    path = tmp_path / "data.npz"
    np.savez_compressed(path, data=data)
    with npz.opened(path) as archive:
        assert archive.names == ["data"]
        assert archive.member("data").shape == (7, 5, 4)
        np.testing.assert_array_equal(np.stack(list(archive.each("data"))), data)
        np.testing.assert_array_equal(archive.array("data"), data)
        with pytest.raises(ReadError, match="there is data"):
            archive.array("dates")


@real.needs("meteonet/rainfall_NW_2016_08.3.npz", "meteonet/rainfall_mean_quality-code_NW_2016_08.3.npz")
@pytest.mark.parametrize("name", ["rainfall_NW_2016_08.3.npz", "rainfall_mean_quality-code_NW_2016_08.3.npz"])
def test_real_files_read_as_numpy_reads_them(name):
    path = real.path("meteonet") / name
    with np.load(path, allow_pickle=True) as reference, npz.opened(path) as archive:
        for member in archive.names:
            found = archive.array(member)
            assert found.dtype == reference[member].dtype
            np.testing.assert_array_equal(found, reference[member])
