"""Writing files so that nothing half-written is ever left behind.

Every writer of the library writes through ``atomic_output``: to a temporary name in the same folder, renamed
when it is complete. ``all_or_nothing`` does the same for several files together.
"""

from __future__ import annotations

import errno
import os
import secrets
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path

from VoxelMorphRegistrationLib.errors import OutputError, RegistrationError

_PROBE_BYTES = 64 * 1024
_KEPT_OF_NAME = 40
"""Characters of a file's name, its ending above all, in that of the temporary one: no name has more than 255 bytes."""

_waiting: ContextVar[list[tuple[Path, Path]] | None] = ContextVar("_waiting", default=None)


def suffix_of(path: str | os.PathLike[str], known: Iterable[str]) -> str:
    """Which of the ``known`` endings (lower case, such as ``".nii.gz"``) a file name has, or ``""``."""
    name = Path(path).name.lower()
    return max((suffix for suffix in known if name.endswith(suffix)), key=len, default="")


def require_suffix(path: str | os.PathLike[str], known: Iterable[str], what: str) -> str:
    """The same, but raises OutputError, listing the known endings, for any other. ``what``: "volume",
    "transform".
    """
    known = tuple(known)
    suffix = suffix_of(path, known)
    if not suffix:
        raise OutputError(
            f"{Path(path)}: a {what} cannot be written in this format; "
            f"end the file name with one of {', '.join(known)}."
        )
    return suffix


def check_output(path: str | os.PathLike[str], known: Iterable[str], what: str) -> Path:
    """The path, if a ``what`` could be written there; for asking before a long job.

    Raises OutputError for an unknown ending, a folder that is missing or cannot be written, or a path that is
    a folder.
    """
    target = Path(os.path.expanduser(path))
    require_suffix(target, known, what)
    _require_place(target)
    if code := _probe(target.parent):
        raise _explained(OSError(code, os.strerror(code)), target)
    return target


@contextmanager
def atomic_output(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary path with the same ending in the same folder, which becomes ``path`` if the block succeeds.

    Raises OutputError, in one sentence, for whatever the operating system or ITK says while writing; ``path``
    is then as it was before. The block may write nothing else.
    """
    target = Path(os.path.expanduser(path))
    _require_place(target)
    temporary = target.with_name(f".partial-{secrets.token_hex(4)}-{target.name[-_KEPT_OF_NAME:]}")
    try:
        yield temporary
        waiting = _waiting.get()
        if waiting is None:
            temporary.replace(target)
        else:
            waiting.append((temporary, target))
    except BaseException as error:
        explained = _explained(error, target)  # may look at the room left, so before the file goes
        _remove(temporary)
        if explained is error:
            raise
        raise explained from error


@contextmanager
def all_or_nothing() -> Iterator[None]:
    """Holds back every ``atomic_output`` inside until the block succeeds; if it does not, none of them
    appears.
    """
    waiting: list[tuple[Path, Path]] = []
    token = _waiting.set(waiting)
    new: list[Path] = []
    try:
        yield
        for temporary, target in waiting:
            is_new = not target.exists()
            try:
                temporary.replace(target)
            except OSError as error:
                raise _explained(error, target) from error
            if is_new:
                new.append(target)
    except BaseException:
        for path in (*(temporary for temporary, _ in waiting), *new):
            _remove(path)
        raise
    finally:
        _waiting.reset(token)


def _remove(path: Path) -> None:
    with suppress(OSError):
        path.unlink(missing_ok=True)


def _require_place(target: Path) -> None:
    if not os.path.isdir(target.parent):  # pathlib's own raises for a name that is too long
        raise OutputError(
            f"The folder {target.parent} does not exist; make it first, or write {target.name} elsewhere."
        )
    if os.path.isdir(target):
        raise OutputError(f"{target} is a folder; give a file name in it.")
    uncompressed = target.with_suffix("")
    if target.name.lower().endswith(".nii.gz") and os.path.exists(uncompressed):
        # https://github.com/InsightSoftwareConsortium/ITK/issues/2243
        raise OutputError(
            f"{uncompressed.name} lies beside {target}, and Slicer and other programs built on ITK would read its "
            "values instead; remove it or choose another name."
        )


def _explained(error: BaseException, target: Path) -> BaseException:
    """What to raise for an error met while writing: an OutputError that says what to do, or the error itself."""
    if isinstance(error, RegistrationError) or not isinstance(error, (OSError, RuntimeError)):
        return error
    code = error.errno if isinstance(error, OSError) and error.errno else _probe(target.parent)  # ITK gives none
    if code in (errno.ENOSPC, errno.EDQUOT):
        return OutputError(f"The disk is full: {target} was not written; free some room or write it elsewhere.")
    if code in (errno.EACCES, errno.EPERM, errno.EROFS):
        return OutputError(f"The folder {target.parent} cannot be written to; choose another one for {target.name}.")
    if code == errno.EFBIG:
        return OutputError(f"{target} is larger than a file may be there and was not written; write it elsewhere.")
    reason = os.strerror(code) if code else type(error).__name__
    return OutputError(f"{target} could not be written ({reason}); write it elsewhere.")


def _probe(folder: Path) -> int | None:
    """Why nothing can be written to a folder: the system's error number, or None where it can."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(_PROBE_BYTES))
    except OSError as error:
        return error.errno
    return None
