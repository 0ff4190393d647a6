"""A lock between processes that write into the same folder, released by the system if its owner is killed."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from VoxelMorphRegistrationLib.progress import Progress

_POLL_SECONDS = 0.1


@contextmanager
def locked(path: Path, progress: Progress, waiting: str) -> Iterator[None]:
    """Hold the lock file ``path``, which is gone afterwards.

    While another process holds it, report ``waiting`` and try again, so that cancelling stays possible.
    Raises CancelledError, and OSError where the file cannot be made.
    """
    file = path.open("a+b")
    while not (_try_lock(file) and _is_still_at(path, file)):
        file.close()
        progress(waiting, 0.0)
        time.sleep(_POLL_SECONDS)
        file = path.open("a+b")
    try:
        yield
    finally:
        # Unlinked while it is held: whoever gets this lock next sees that the file is not there any more.
        with suppress(OSError):
            path.unlink()
        file.close()
        if sys.platform == "win32":  # which removes no open file
            with suppress(OSError):
                path.unlink()


def _is_still_at(path: Path, file: IO[bytes]) -> bool:
    with suppress(FileNotFoundError):
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    return False


if sys.platform == "win32":
    import msvcrt

    def _try_lock(file: IO[bytes]) -> bool:
        try:
            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def _try_lock(file: IO[bytes]) -> bool:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:  # a file system without locks: checksums still keep a mixed-up file out
            return True
        return True
