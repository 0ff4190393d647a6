"""Whatever goes wrong while writing, no file is left behind and an old one stays as it was."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from VoxelMorphRegistrationLib.errors import CancelledError, FileError
from VoxelMorphRegistrationLib.files.output import all_or_nothing, atomic_output, check_output
from VoxelMorphRegistrationLib.files.transforms import AFFINE_SUFFIXES, FIELD_WRITERS, write_affine, write_field
from VoxelMorphRegistrationLib.files.volumes import VOLUME_WRITERS, write_volume
from VoxelMorphRegistrationLib.spatial import DisplacementField, Grid, Image

GRID = Grid((40, 40, 40), np.diag([1.0, 2, 3, 1]))


def noise_image() -> Image:
    return Image(np.random.default_rng(0).random(GRID.shape).astype(np.float32), GRID)


def noise_field() -> DisplacementField:
    return DisplacementField(np.random.default_rng(0).random((*GRID.shape, 3)).astype(np.float32), GRID)


def write_any(kind: str, path: Path) -> None:
    if kind == "volume":
        write_volume(noise_image(), path)
    else:
        write_field(noise_field(), path)


EVERY_FORMAT = [*(("volume", s) for s in sorted(VOLUME_WRITERS)), *(("field", s) for s in sorted(FIELD_WRITERS))]


@pytest.fixture
def full_disk(tmp_path):
    """A file system of 200 kB; needs the right to mount one (root on Linux)."""
    folder = tmp_path / "small"
    folder.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", folder], capture_output=True, check=False
    ).returncode:
        pytest.skip("may not mount a small file system here; the test with a file size limit covers most of it")
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize(("kind", "suffix"), EVERY_FORMAT)
def test_a_full_disk(full_disk, kind, suffix):
    path = full_disk / f"out{suffix}"
    path.write_bytes(b"the old one")
    with pytest.raises(FileError, match=rf"^The disk is full: .*out{suffix} was not written; free some room"):
        write_any(kind, path)
    assert [p.name for p in full_disk.iterdir()] == [path.name]
    assert path.read_bytes() == b"the old one"


def test_a_disk_that_fills_up_at_the_second_of_two_files(full_disk):
    with pytest.raises(FileError, match="The disk is full"), all_or_nothing():  # noqa: PT012
        write_affine(np.eye(4), full_disk / "affine.tfm")
        write_volume(noise_image(), full_disk / "out.nrrd")
    assert list(full_disk.iterdir()) == []


LIMITED = """
import resource, sys
sys.path.insert(0, sys.argv[1])
from test_output import EVERY_FORMAT, write_any
from pathlib import Path
from VoxelMorphRegistrationLib.errors import FileError
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
for kind, suffix in EVERY_FORMAT:
    try:
        write_any(kind, Path(sys.argv[2]) / f"out{suffix}")
    except FileError as error:
        print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="file size limits are POSIX")
def test_files_that_may_not_grow(tmp_path):
    here = Path(__file__).resolve().parent
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(here), str(tmp_path)],
        cwd=here.parents[1] / "VoxelMorphRegistration",
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-1000:]
    said = done.stdout.splitlines()
    assert len(said) == len(EVERY_FORMAT)
    assert all("was not written" in line or "could not be written" in line for line in said)
    assert list(tmp_path.iterdir()) == []


def read_only_folder(tmp_path: Path) -> Path | None:
    """A folder that not even root can write to, where one can be had."""
    folder = tmp_path / "locked"
    folder.mkdir()
    if os.geteuid() != 0:
        folder.chmod(0o500)
        return folder
    command = ["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", folder]
    return folder if not subprocess.run(command, capture_output=True, check=False).returncode else None


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions")
def test_a_folder_that_cannot_be_written_to(tmp_path):
    folder = read_only_folder(tmp_path)
    if folder is None:
        pytest.skip("root, and may not mount a read-only file system")
    try:
        with pytest.raises(FileError, match="locked cannot be written to; choose another one"):
            check_output(folder / "t.h5", FIELD_WRITERS, "transform")
        for kind, suffix in EVERY_FORMAT:
            with pytest.raises(FileError, match="cannot be written"):
                write_any(kind, folder / f"out{suffix}")
        with pytest.raises(FileError, match="cannot be written"):
            write_affine(np.eye(4), folder / "a.tfm")
    finally:
        if os.geteuid() == 0:
            subprocess.run(["umount", folder], check=True)


def test_a_missing_folder_and_a_folder_in_place_of_a_file(tmp_path):
    with pytest.raises(FileError, match="nowhere does not exist; make it first"):
        write_volume(noise_image(), tmp_path / "nowhere" / "v.nrrd")
    (tmp_path / "v.nrrd").mkdir()
    for call in (lambda p: write_volume(noise_image(), p), lambda p: check_output(p, VOLUME_WRITERS, "volume")):
        with pytest.raises(FileError, match="is a folder; give a file name in it"):
            call(tmp_path / "v.nrrd")


@pytest.mark.parametrize("name", ["v", "v.xyz", "v.gz", "nii.gz.txt"])
def test_an_unknown_ending_lists_the_known_ones(tmp_path, name):
    for known, what in ((VOLUME_WRITERS, "volume"), (FIELD_WRITERS, "transform"), (AFFINE_SUFFIXES, "matrix")):
        if name.endswith(tuple(known)):
            continue
        with pytest.raises(FileError, match=f"a {what} cannot be written in this format; end .*{next(iter(known))}"):
            check_output(tmp_path / name, known, what)
    with pytest.raises(FileError, match="cannot be written in this format"):
        write_volume(noise_image(), tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_checking_leaves_nothing_and_upper_case_is_fine(tmp_path):
    assert check_output(tmp_path / "V.NII.GZ", VOLUME_WRITERS, "volume") == tmp_path / "V.NII.GZ"
    assert list(tmp_path.iterdir()) == []
    write_volume(noise_image(), tmp_path / "V.NRRD")
    assert [p.name for p in tmp_path.iterdir()] == ["V.NRRD"]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), CancelledError(), ValueError("a bug"), OSError("odd")])
def test_an_interrupted_block_leaves_the_old_file(tmp_path, error):
    target = tmp_path / "out.txt"
    target.write_text("old")
    expected = FileError if isinstance(error, OSError) else type(error)
    with pytest.raises(expected), atomic_output(target) as temporary:  # noqa: PT012
        temporary.write_text("half")
        raise error
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_all_or_nothing(tmp_path):
    def write(name: str) -> None:
        with atomic_output(tmp_path / name) as temporary:
            temporary.write_text(name)

    with pytest.raises(KeyboardInterrupt), all_or_nothing():  # noqa: PT012
        write("a")
        write("b")
        assert not (tmp_path / "a").exists()
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []
    with all_or_nothing():
        write("a")
        write("b")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "b"]
    write("c")  # alone again
    assert (tmp_path / "c").read_text() == "c"


def test_a_rename_that_fails_takes_the_others_back(tmp_path):
    with pytest.raises(FileError), all_or_nothing():  # noqa: PT012
        for name in ("a", "b"):
            with atomic_output(tmp_path / name) as temporary:
                temporary.write_text(name)
        (tmp_path / "b").mkdir()
    assert [p.name for p in tmp_path.iterdir()] == ["b"]
