"""The folder in which a sequence's results lie, frame by frame, so that a run can stop at any moment and go on.

``sequence.json`` says what was registered and how; a folder made otherwise is refused. Of each frame its files are
written first and its record last, each under a temporary name that is renamed when the file is complete and on the
disk: a frame is done when its record is there and the files it names have their sizes.

    sequence.json             options, reference, model, network grid
    frames/frame_0004.json    the record of a frame
    fields/field_0004.nrrd    its field: the whole map, fixed to moving, for resampling; .npz where kept as int16
    labels/labels_0004.nrrd   the reference's labels on it ("carry")
    moved/moved_0004.nrrd     the moving volume on the fixed one's grid, where asked for
    frames.csv, motion.csv    the records as tables, and labels.seq.nrrd, all labels as a sequence for Slicer
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from VoxelMorphRegistrationLib.errors import FileError, InputError, OutputError, shortened
from VoxelMorphRegistrationLib.files.output import atomic_output
from VoxelMorphRegistrationLib.files.transforms import FIELD_WRITERS, read_field
from VoxelMorphRegistrationLib.network.file_lock import locked
from VoxelMorphRegistrationLib.pipeline.sequence.compact import read_rounded, write_rounded
from VoxelMorphRegistrationLib.pipeline.sequence.options import Keep
from VoxelMorphRegistrationLib.pipeline.sequence.records import FrameRecord
from VoxelMorphRegistrationLib.progress import Progress
from VoxelMorphRegistrationLib.spatial import Deformation, DisplacementField

_HEADER_BYTES = 4096
"""What a file and its record take besides the values, in blocks of the disk."""


class SequenceStore:
    """Results on disk. Raises OutputError where they cannot be written and FileError where they cannot be read."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        """Makes nothing yet."""
        self.folder = Path(os.path.expanduser(folder))

    # ---- the sequence as a whole -----------------------------------------------------------------------------------

    @property
    def description(self) -> dict[str, Any]:
        """What ``sequence.json`` says; empty where nothing was begun. Raises FileError where it is damaged."""
        path = self.folder / "sequence.json"
        if not os.path.exists(path):  # pathlib's own raises for a name that is too long
            return {}
        try:
            said: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            said["identity"].items()
        except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            raise FileError(
                f"{path} cannot be read, so nothing tells what {self.folder} holds; give an empty folder."
            ) from error
        return said

    def begin(self, identity: dict[str, Any], more: dict[str, Any]) -> None:
        """Start, or go on: ``identity`` is what has to be the same for results to belong together.

        Raises InputError, naming what differs, for a folder that was made otherwise or holds something else.
        """
        before = self.description
        there = os.listdir(self.folder) if os.path.isdir(self.folder) else []
        if not before and any(not name.startswith(".") for name in there):
            raise InputError(f"{self.folder} holds other files; give an empty folder, or one that is not there yet.")
        plain = json.loads(json.dumps(identity))
        if before and before["identity"] != plain:
            raise InputError(
                f"{self.folder} was made with other settings ({_difference(before['identity'], plain)}); "
                "give another folder, or the settings of before to go on there."
            )
        self._make_folder()
        if not before:
            self._write_text(self.folder / "sequence.json", json.dumps({"identity": plain, **more}, indent=1))

    @contextmanager
    def held(self, progress: Progress) -> Iterator[None]:
        """While another run writes into the folder, wait. Raises OutputError where nobody can write into it."""
        self._make_folder()
        lock = self.folder / ".lock"
        try:
            lock.touch()
        except OSError as error:
            raise OutputError(
                f"The folder {self.folder} cannot be written to ({error.strerror}); choose another."
            ) from error
        with locked(lock, progress, "Waiting for another run that writes into this folder"):
            yield

    def _make_folder(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"The folder {self.folder} cannot be made ({error.strerror}); choose another.") from error

    def remove_if_empty(self) -> None:
        """Of a run that ended before there was anything to keep."""
        with suppress(OSError):
            self.folder.rmdir()

    def require_room(self, bytes_needed: int) -> None:
        """Raises OutputError where the disk has less room than that."""
        free = shutil.disk_usage(self.folder).free
        if free < bytes_needed:
            raise OutputError(
                f"The results need about {readable_size(bytes_needed)}, but {self.folder} has only "
                f"{readable_size(free)} left; free some room, keep the fields as int16 or only the results, choose a "
                "lower resolution, or give a folder on another disk."
            )

    # ---- frames ----------------------------------------------------------------------------------------------------

    def path(self, kind: str, frame: int) -> Path:
        """Where a frame's file of a kind ("field", "labels", "moved", "frame") lies, or would lie."""
        if kind == "field":
            rounded = self.folder / "fields" / f"field_{frame:04d}.npz"
            return rounded if rounded.exists() else rounded.with_suffix(".nrrd")
        folder, ending = {"labels": ("labels", "nrrd"), "moved": ("moved", "nrrd"), "frame": ("frames", "json")}[kind]
        return self.folder / folder / f"{kind}_{frame:04d}.{ending}"

    def record(self, frame: int) -> FrameRecord | None:
        """The record of a frame whose files are all there and whole; also of one that failed. None otherwise."""
        try:
            record = FrameRecord.from_json(self.path("frame", frame).read_text(encoding="utf-8"))
            whole = all((self.folder / name).stat().st_size == size for name, size in record.files)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, ArithmeticError, RecursionError):
            return None
        return record if whole and record.frame == frame else None

    def records(self) -> list[FrameRecord]:
        """Of all frames, in order."""
        numbers = sorted(int(path.stem.rpartition("_")[2]) for path in (self.folder / "frames").glob("frame_*.json"))
        return [record for n in numbers if (record := self.record(n)) is not None]

    def write_record(self, record: FrameRecord) -> None:
        """The last thing to be written for a frame."""
        self._write_text(self.path("frame", record.frame), record.to_json())

    def write_field(self, frame: int, field: DisplacementField, keep: Keep) -> tuple[Path, float]:
        """The path, and the largest difference in mm between the field and what is stored."""
        path = self.folder / "fields" / f"field_{frame:04d}.nrrd"
        if keep != "int16":
            with self.writing(path) as temporary:
                FIELD_WRITERS[".nrrd"](field, temporary, "resampling")
            return path, 0.0
        path = path.with_suffix(".npz")
        with self.writing(path) as temporary:
            error = write_rounded(field, temporary)
        return path, error

    def field(self, frame: int) -> DisplacementField:
        """The whole map of a frame, phi(x) - x, fixed to moving. Raises FileError where it was not kept."""
        path = self.path("field", frame)
        return read_rounded(path) if path.suffix == ".npz" else read_field(path)

    def deformation(self, frame: int) -> Deformation:
        """The map of a frame with its affine part apart. Raises FileError where it was not kept."""
        record, total = self.record(frame), self.field(frame)
        affine = np.array(record.affine) if record is not None and record.affine else np.eye(4)
        return split_off(total, affine)

    def remove_field(self, frame: int) -> None:
        """Of a frame whose field nobody needs any more."""
        self.path("field", frame).unlink(missing_ok=True)

    @contextmanager
    def writing(self, path: Path) -> Iterator[Path]:
        """A temporary path that becomes ``path`` when it is complete, and on the disk, even if the power goes."""
        try:
            path.parent.mkdir(exist_ok=True)
        except OSError as error:
            raise OutputError(f"The folder {path.parent} cannot be made ({error.strerror}).") from error
        with atomic_output(path) as temporary:
            yield temporary
            _to_disk(temporary)

    def size_of(self, path: Path) -> tuple[str, int]:
        """Its name in the folder and its size, as a record holds them."""
        return path.relative_to(self.folder).as_posix(), path.stat().st_size

    def _write_text(self, path: Path, text: str) -> None:
        with self.writing(path) as temporary:
            temporary.write_text(text, encoding="utf-8")


def split_off(total: DisplacementField, affine: np.ndarray[Any, Any]) -> Deformation:
    """The deformation with this affine part whose whole map is ``total``: u(x) = A^-1 (x + total(x)) - x."""
    if np.allclose(affine, np.eye(4)):
        return Deformation(np.eye(4), total)
    grid = total.grid
    index = np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), axis=-1)
    x = grid.to_ras(index)
    back = np.linalg.inv(affine)
    rest = (x + total.vectors) @ back[:3, :3].T + back[:3, 3] - x
    return Deformation(affine, DisplacementField(rest.astype(np.float32), grid))


def predicted_bytes(field_shape: tuple[int, int, int], keep: Keep, frames: int, *, extra: int = 0) -> int:
    """What ``frames`` frames will take: their fields, and ``extra`` bytes each for labels and moved volumes."""
    each = {"float32": 12, "int16": 6, "results": 0}[keep] * int(np.prod(field_shape))
    return frames * (each + extra + 2 * _HEADER_BYTES)


def readable_size(size: int) -> str:
    """In MB or GB."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{max(size / 1e6, 0.1):.1f} MB"


def _to_disk(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _difference(before: dict[str, Any], now: dict[str, Any]) -> str:
    flat: Callable[[dict[str, Any]], dict[str, Any]] = lambda values: {  # noqa: E731
        f"{inner or outer}".replace("_", " "): each
        for outer, value in values.items()
        for inner, each in (value.items() if isinstance(value, dict) else [("", value)])
    }
    old, new = flat(before), flat(now)
    told = [
        f"{shortened(name)}: {shortened(old.get(name))}, now {shortened(new.get(name))}"
        for name in {**old, **new}
        if old.get(name) != new.get(name)
    ]
    return "; ".join(told[:3])
