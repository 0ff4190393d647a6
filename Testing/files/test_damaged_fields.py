"""Bad field files: hostile, truncated, damaged and senseless ones each end in one sentence; nothing in them is run."""

from __future__ import annotations

import json
import os
import pickle
import random
from pathlib import Path

import numpy as np
import pytest
from files.foreign_files import VECTORS, tensor_pickle, torch_file, written
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from VoxelMorphRegistrationLib.errors import FileError, InputError, RegistrationError
from VoxelMorphRegistrationLib.files.fields import FIELD_SUFFIXES, RawField, apart, read_raw_field
from VoxelMorphRegistrationLib.spatial import Grid


class Evil:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".pt"])
def test_hostile_pickles_are_refused_without_running_them(tmp_path, suffix):
    done, path = tmp_path / "ran", tmp_path / f"evil{suffix}"
    objects = np.array([Evil(done)], dtype=object)
    if suffix == ".npy":
        np.save(path, objects, allow_pickle=True)
    elif suffix == ".npz":
        np.savez(path, vol=objects)
    else:
        torch_file(path, payload=pickle.dumps(Evil(done), protocol=2))
    with pytest.raises(FileError, match=r"was not read: .* run"):
        read_raw_field(path)
    assert not done.exists()


@pytest.mark.parametrize(
    "payload",
    [
        b"cbuiltins\neval\n(X\x03\x00\x00\x001+1tR.",
        b"ctorch\nload\n(tR.",
        b"cnumpy\nload\n(tR.",
        pickle.dumps(os.system, protocol=4),
    ],
)
def test_any_name_but_tensors_is_refused(tmp_path, payload):
    torch_file(tmp_path / "w.pt", payload=payload)
    with pytest.raises(FileError, match="it asks for"):
        read_raw_field(tmp_path / "w.pt")


def test_a_tensor_beyond_its_storage_is_refused(tmp_path):
    torch_file(tmp_path / "w.pt", payload=tensor_pickle((1, 3, 60, 70, 80), "FloatStorage"))
    with pytest.raises(FileError, match="damaged"):
        read_raw_field(tmp_path / "w.pt")


@pytest.fixture(scope="module")
def good_files(tmp_path_factory) -> list[Path]:
    return written(tmp_path_factory.mktemp("good"))


def test_every_truncated_file_is_refused_in_one_sentence(tmp_path, good_files):
    for path in good_files:
        data = path.read_bytes()
        for part in (0, 0.1, 0.5, 0.9):
            short = tmp_path / path.name
            short.write_bytes(data[: int(part * len(data))])
            with pytest.raises(RegistrationError) as caught:
                read_raw_field(short)
            assert str(caught.value).endswith(".")
            assert "\n" not in str(caught.value)


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_headers_give_a_field_or_one_sentence(tmp_path, good_files, data):
    """Bytes of the headers changed at random: no other error, no code run. (.mat and .h5: below.)"""
    path = data.draw(st.sampled_from([p for p in good_files if p.suffix not in (".mat", ".h5")]))
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, min(len(content), 512) - 1))] = data.draw(st.integers(0, 255))
    damaged = tmp_path / path.name
    damaged.write_bytes(bytes(content))
    sentence = ""
    try:
        assert read_raw_field(damaged).array.ndim == 4
    except RegistrationError as error:
        sentence = str(error)
    assert "\n" not in sentence


def damaged(path: Path, seed: int) -> bytes:
    """One to six bytes changed, half of the time in the first 512."""
    number, content = random.Random(seed), bytearray(path.read_bytes())
    choice = number.random()
    span = min(len(content), 512 if choice < 0.5 else 4096 if choice < 0.8 else len(content))
    for _ in range(number.randint(1, 6)):
        content[number.randrange(span)] = number.choice([0, 255, 127, 128, number.randrange(256)])
    return bytes(content)


# In this process SciPy 1.17 dies of 205 (SIGBUS), 465 and 516 (SIGSEGV), and HDF5 1.14 never comes back from 193.
@pytest.mark.parametrize(
    ("suffix", "seed"), [(".mat", n) for n in (0, 1, 2, 205, 465, 516)] + [(".h5", n) for n in (0, 1, 2, 193)]
)
def test_files_that_bring_their_readers_down_bring_down_nothing_else(tmp_path, good_files, monkeypatch, suffix, seed):
    monkeypatch.setattr(apart, "PATIENCE_SECONDS", 20.0 if suffix == ".mat" else 8.0)
    path = tmp_path / f"w{suffix}"
    path.write_bytes(damaged(next(p for p in good_files if p.suffix == suffix), seed))
    sentence = ""
    try:
        assert read_raw_field(path).array.ndim == 4
    except RegistrationError as error:
        sentence = str(error)
        assert sentence.endswith(".")
    assert "\n" not in sentence


def python_that(tmp_path: Path, does: str) -> str:
    """A Python that, once started on the file, does nothing but that; $4 is the folder of the answer."""
    script = tmp_path / "python"
    script.write_text(f"#!/bin/sh\n{does}\n")
    script.chmod(0o755)
    return str(script)


@pytest.mark.skipif(os.name == "nt", reason="the stand-in for Python is a shell script")
@pytest.mark.parametrize(
    ("does", "sentence"),
    [
        ('touch "$4/begun"; kill -SEGV $$', "crashes the library that reads it"),
        ('touch "$4/begun"; exit 1', "crashes the library that reads it"),  # what Slicer's launcher makes of a signal
        ('touch "$4/begun"; echo "{" > "$4/answer.json"', "crashes the library that reads it"),
        ('touch "$4/begun"; sleep 60 & wait', "comes to no end"),
    ],
)
def test_the_other_process_crashes_or_hangs(tmp_path, good_files, monkeypatch, does, sentence):
    monkeypatch.setattr(apart, "_python", lambda: python_that(tmp_path, does))
    monkeypatch.setattr(apart, "PATIENCE_SECONDS", 1.0)
    with pytest.raises(FileError, match=sentence):
        read_raw_field(next(p for p in good_files if p.suffix == ".mat"))


@pytest.mark.parametrize("python", [None, "/nowhere/python"])
def test_without_another_process_the_file_is_read_here(good_files, monkeypatch, python):
    monkeypatch.setattr(apart, "_python", lambda: python)
    raw = read_raw_field(next(p for p in good_files if p.suffix == ".mat"))
    np.testing.assert_array_equal(raw.array, VECTORS)


@pytest.mark.parametrize(
    ("array", "sentence"),
    [
        (np.zeros((2, 2, 6, 7, 3), np.float32), "5 axes"),
        (np.zeros((4, 3, 6, 7, 8), np.float32), "batch of 4 fields"),
        (np.zeros((6, 7, 8), np.float32), "3 axes"),
        (np.zeros((9, 7, 8, 4), np.float32), "no axis of 3 components"),
        (np.zeros((1, 2, 16, 17), np.float32), "2-D registration"),
        (np.zeros((6, 7, 8, 3), np.uint8), "no sign"),
        (np.zeros((6, 7, 8, 3), complex), "real numbers"),
    ],
)
def test_arrays_that_are_no_field(array, sentence):
    with pytest.raises(InputError, match=sentence):
        RawField(array, "x")


def test_unknown_and_missing_files(tmp_path):
    with pytest.raises(FileError, match="does not exist"):
        read_raw_field(tmp_path / "w.npy")
    (tmp_path / "w.xyz").write_text("x")
    with pytest.raises(FileError, match="fields are read from"):
        read_raw_field(tmp_path / "w.xyz")
    assert ".pth" in FIELD_SUFFIXES


def test_a_damaged_sidecar_is_said(tmp_path):
    np.save(tmp_path / "w.npy", VECTORS)
    sidecar = tmp_path / "w.npy.json"
    sidecar.write_text(json.dumps({"format": "displacement-field-sidecar", "convention": {}}))
    with pytest.raises(FileError, match=r"w\.npy\.json is damaged"):
        read_raw_field(tmp_path / "w.npy")
    sidecar.write_text("[1, 2]")  # somebody else's
    assert read_raw_field(tmp_path / "w.npy").grid is None


def test_the_grid_of_a_sidecar_must_fit(tmp_path):
    np.save(tmp_path / "w.npy", VECTORS)
    content = {"format": "displacement-field-sidecar", "convention": {}, "grid": {
        "shape": [1, 2, 3], "ijk_to_ras": Grid((1, 2, 3), np.eye(4)).ijk_to_ras.tolist()}}  # fmt: skip
    (tmp_path / "w.npy.json").write_text(json.dumps(content))
    with pytest.raises(FileError, match="belongs to another field"):
        read_raw_field(tmp_path / "w.npy")
