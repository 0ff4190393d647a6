"""What every reader needs: one sentence for whatever goes wrong."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from VoxelMorphRegistrationLib.errors import FileError, InputError, RegistrationError

_MOST_PACKED = 1032


@contextmanager
def reading(path: str | os.PathLike[str]) -> Iterator[Path]:
    """The file to read in the block, which is known to exist.

    Raises FileError if it does not, or for whatever a parser in the block raises on it: no one class covers
    what they make of damaged bytes. The library's own errors pass.
    """
    source = Path(os.path.expanduser(path))  # pathlib's own raises for a user who does not exist
    if not os.path.exists(source):  # and this for a name that is too long
        raise FileError(f"{source} does not exist; check the name and the folder.")
    try:
        yield source
    except RegistrationError:
        raise
    except ImportError as error:
        raise FileError(
            f"{source.name} cannot be read without the Python package {error.name}; install it: in Slicer it comes "
            "with the OpenVINO engine (section Setup of the VoxelMorph Registration module)."
        ) from error
    except PermissionError as error:
        raise FileError(f"{source} cannot be opened: you may not read it; ask its owner or copy it.") from error
    except Exception as error:
        raise FileError(
            f"{source} cannot be read: it is damaged, incomplete, or not what its name says; copy or export it again."
        ) from error


def require_held(announced: int, held: int, source: Path) -> None:
    """Raises FileError where so many ``announced`` bytes cannot come of the ``held`` ones, packed or not.

    To be asked before room is made for what a damaged header announces: gzip packs no more than 1032 to one.
    """
    if announced > _MOST_PACKED * held:
        raise FileError(f"{source} is incomplete: it holds less than its header announces; copy or export it again.")


def count_not_finite(values: npt.NDArray[Any]) -> int:
    """How many values are NaN or infinite."""
    return values.size - int(np.isfinite(values).sum()) if values.dtype.kind in "fc" else 0


def require_finite(bad: int, name: str) -> None:
    """Raises InputError if any values of a file are ``bad``, that is NaN or infinite."""
    if bad:
        raise InputError(
            f"{name} holds {bad} values that are not finite (NaN or infinity); replace them first, "
            "for example by 0 with fslmaths -nan."
        )
