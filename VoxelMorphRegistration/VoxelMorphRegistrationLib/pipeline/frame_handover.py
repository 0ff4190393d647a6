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

from VoxelMorphRegistrationLib.errors import CancelledError, FileError
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

    def __len__(self) -> int:
        return len(self.names)

    def read(self, n: int) -> Image:
        """Ask for frame ``n`` and wait for it. Raises FileError where it could not be handed over."""
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

    ``images`` may be views of what the application shows; they are only read. The handover's ``folder`` is a temporary
    one.
    """

    def __init__(self, images: Sequence[Image], name: str, prefix: str) -> None:
        self._images = images
        self.folder = Path(tempfile.mkdtemp(prefix=prefix))
        matrices = np.array([image.grid.ijk_to_ras for image in images], np.float64)
        self.frames = HandedFrames(name, self.folder, tuple(image.name for image in images), matrices)
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
            exchange.save_array(self._images[n].array, unfinished, self._check)
            unfinished.replace(handed)
        except OSError as error:
            unfinished.unlink(missing_ok=True)
            (self.folder / f"{n}.refused-{error.errno or 0}").touch()

    def _check(self) -> None:
        if self._closed.is_set():
            raise CancelledError
