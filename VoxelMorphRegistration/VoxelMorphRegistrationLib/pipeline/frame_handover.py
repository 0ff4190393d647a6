"""Frames that an application holds in memory, read by the background process one at a time, through a folder.

The process asks for a frame by making the empty file ``N.wanted``; the application answers with ``N.npy``, which the
process removes when it has read it. So of a sequence of any length only a frame or two lie on the disk, and the
application copies nothing.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from VoxelMorphRegistrationLib.errors import CancelledError, FileError, InputError
from VoxelMorphRegistrationLib.pipeline import exchange
from VoxelMorphRegistrationLib.spatial import Grid, Image

_POLL_SECONDS = 0.005


@dataclass(frozen=True, eq=False)
class HandedFrames:
    """The frames as the background process sees them: a `files.frames.Frames`."""

    name: str
    folder: Path
    names: tuple[str, ...]
    matrices: npt.NDArray[np.float64]
    """(n, 4, 4): each frame's IJK to RAS."""
    problems: tuple[str, ...]
    """A sentence for each frame that cannot be used, "" for the others."""

    def __len__(self) -> int:
        return len(self.names)

    def read(self, n: int) -> Image:
        """Ask for frame ``n`` and wait for it. Raises InputError for a bad one, FileError where there is no room."""
        if self.problems[n]:
            raise InputError(self.problems[n])
        handed = self.folder / f"{n}.npy"
        (self.folder / f"{n}.wanted").touch()
        while not handed.exists():
            for refused in self.folder.glob(f"{n}.refused-*"):
                reason = os.strerror(int(refused.name.rpartition("-")[2]))
                refused.unlink()
                raise FileError(
                    f"Frame {n} could not be handed to the background process ({reason}); make space in {self.folder}, "
                    "or set TMPDIR to a folder on another disk."
                )
            time.sleep(_POLL_SECONDS)
        array = np.load(handed, allow_pickle=False)
        with suppress(OSError):
            handed.unlink()
        return Image(array, Grid(array.shape, self.matrices[n]), self.names[n])

    def frame_name(self, n: int) -> str:
        """See `Frames`."""
        return self.names[n]

    def stamp(self, n: int) -> str:
        """See `Frames`: only the content tells whether a frame is as it was."""
        return ""

    def close(self) -> None:
        """See `Frames`."""


class FrameHandover:
    """The application's side: answers in a thread of its own until `close`.

    ``images`` may be views of what the application shows, they are only read; a text is why a frame cannot be used.
    The ``folder`` is a temporary one, in which other things may lie, too, until it is removed.
    """

    def __init__(self, images: Sequence[Image | str], name: str, prefix: str) -> None:
        self._images = images
        self.folder = Path(tempfile.mkdtemp(prefix=prefix))
        good = [image if isinstance(image, Image) else None for image in images]
        matrices = np.array([np.eye(4) if image is None else image.grid.ijk_to_ras for image in good], np.float64)
        names = tuple(f"frame {n}" if image is None else image.name for n, image in enumerate(good))
        problems = tuple(image if isinstance(image, str) else "" for image in images)
        self.frames = HandedFrames(name, self.folder, names, matrices, problems)
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="VoxelMorph frames", daemon=True)
        self._thread.start()

    def close(self, seconds: float = 2.0) -> None:
        """Answer no more, and remove the folder."""
        self._closed.set()
        self._thread.join(seconds)
        for _ in range(20):  # on Windows a file may stay open for a moment after its process has ended
            shutil.rmtree(self.folder, ignore_errors=True)
            if not self.folder.exists():
                return
            time.sleep(0.05)

    def _serve(self) -> None:
        while not self._closed.wait(_POLL_SECONDS):
            for wanted in self.folder.glob("*.wanted"):
                with suppress(CancelledError, OSError):
                    self._answer(int(wanted.stem))
                    wanted.unlink(missing_ok=True)

    def _answer(self, n: int) -> None:
        unfinished, handed = self.folder / f"{n}.part", self.folder / f"{n}.npy"
        try:
            image = self._images[n]
            assert isinstance(image, Image)  # for others nobody asks
            exchange.save_array(image.array, unfinished, self._check)
            unfinished.replace(handed)
        except OSError as error:
            unfinished.unlink(missing_ok=True)
            (self.folder / f"{n}.refused-{error.errno or 0}").touch()

    def _check(self) -> None:
        if self._closed.is_set():
            raise CancelledError
