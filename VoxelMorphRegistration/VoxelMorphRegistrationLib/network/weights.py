"""Weights files: their checksum, and a download that either ends in the right file or leaves none.

A download is written to ``NAME.part`` beside its destination and renamed when its SHA-256 is right. Where the
network stopped it, the part is kept and the next attempt goes on from there (HTTP Range). Processes that
share the folder take turns by a lock on ``NAME.lock``, which the system releases even if its owner is killed.
"""

from __future__ import annotations

import errno
import hashlib
import http.client
import os
import ssl
import urllib.error
import urllib.request
from pathlib import Path
from typing import IO

from VoxelMorphRegistrationLib.errors import ModelError, RegistrationError
from VoxelMorphRegistrationLib.network.file_lock import locked
from VoxelMorphRegistrationLib.progress import Progress

_CHUNK = 1 << 18
_TIMEOUT_SECONDS = 30.0
_ATTEMPTS = 3


class _Interrupted(Exception):
    """The network stopped a download; what has arrived can be continued."""


def file_sha256(path: Path) -> str:
    """The file's SHA-256 in hexadecimal, lower case."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def verify(path: Path, sha256: str) -> None:
    """Raise ModelError unless the file has this SHA-256."""
    try:
        found = file_sha256(path)
    except OSError as error:
        raise ModelError(f"The model file {path} cannot be read ({error.strerror}).") from error
    if found != sha256:
        raise ModelError(
            f"The model file {path} is not the one its model card describes (SHA-256 {found[:12]}... "
            f"instead of {sha256[:12]}...); delete it and download it again."
        )


def download(url: str, destination: Path, *, sha256: str, size: int = 0, progress: Progress | None = None) -> None:
    """Download ``url`` to ``destination``; afterwards the file is there and has the SHA-256 ``sha256``.

    ``size`` (bytes) is used for progress only where the server does not say. A file that another process
    finished meanwhile is taken as it is. Raises ModelError, naming the manual way out, or CancelledError;
    only a download that the network interrupted leaves something behind, ``NAME.part``, to be continued.
    """
    progress = progress or Progress()
    part = destination.with_name(destination.name + ".part")
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        lock = destination.with_name(destination.name + ".lock")
        with locked(lock, progress, "Waiting for another process that downloads this model"):
            if destination.is_file() and file_sha256(destination) == sha256:
                return
            try:
                _fetch_checked(url, part, sha256, size, progress)
                os.replace(part, destination)
            except (RegistrationError, OSError):
                part.unlink(missing_ok=True)
                raise
    except _Interrupted as error:
        raise ModelError(f"{_cannot(destination, error)}; {_way_out(url, destination)}") from error
    except RegistrationError:
        raise
    except OSError as error:
        raise ModelError(f"{_cannot(destination, _disk_reason(error, destination))}.") from error


def _fetch_checked(url: str, part: Path, sha256: str, size: int, progress: Progress) -> None:
    """Fill ``part`` until its checksum is right; a part left by an earlier attempt is tried first."""
    resumed = part.exists() and part.stat().st_size > 0
    attempt = 0
    while True:
        have = part.stat().st_size if part.exists() else 0
        try:
            _fetch(url, part, size, progress)
        except _Interrupted:
            grown = part.exists() and part.stat().st_size > have
            attempt += 1
            if attempt >= _ATTEMPTS or not grown:
                raise
            continue
        if file_sha256(part) == sha256:
            return
        part.unlink()
        if not resumed:
            raise ModelError(
                f"{url} does not hold the file that the model card describes (wrong SHA-256), so it was not "
                f"kept; {_way_out(url, part.with_suffix(''))}"
            )
        resumed = False  # the old part may have been of another file: once more from the start


def _fetch(url: str, part: Path, size: int, progress: Progress) -> None:
    """One HTTP request that goes on after the bytes in ``part``, or from the start if the server cannot."""
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        response = urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and have:
            part.unlink()  # longer than the file it should become
            return _fetch(url, part, size, progress)
        raise _Interrupted(f"the server answered {error.code} {error.reason}") from error
    except urllib.error.URLError as error:
        raise _Interrupted(_network_reason(error.reason)) from error
    except (http.client.HTTPException, TimeoutError, ConnectionError) as error:
        raise _Interrupted(_network_reason(error)) from error
    with response:
        resumes = response.status == http.HTTPStatus.PARTIAL_CONTENT and have > 0
        start = have if resumes else 0
        length = response.headers.get("Content-Length")
        total = start + int(length) if length else size
        with part.open("ab" if resumes else "wb") as file:
            done = start + _copy(response, file, start, total, progress)
    if length and done < total:
        raise _Interrupted(f"the connection ended after {done} of {total} bytes")


def _copy(response: http.client.HTTPResponse, file: IO[bytes], start: int, total: int, progress: Progress) -> int:
    copied = 0
    while True:
        try:
            chunk = response.read(_CHUNK)
        except http.client.IncompleteRead as error:
            chunk = error.partial
        except (http.client.HTTPException, TimeoutError, ConnectionError, ssl.SSLError) as error:
            raise _Interrupted(_network_reason(error)) from error
        if not chunk:
            return copied
        file.write(chunk)
        copied += len(chunk)
        done = start + copied
        amount = f"{done / 1e6:.1f} of {total / 1e6:.1f} MB" if total else f"{done / 1e6:.1f} MB"
        progress(f"Downloading the model ({amount})", done / total if total else 0.0)


def _cannot(destination: Path, reason: object) -> str:
    return f"The model file {destination.name} cannot be downloaded: {reason}"


def _way_out(url: str, destination: Path) -> str:
    return (
        f"try again, or download {url} by hand and put it into the folder {destination.parent} "
        "or name it as the model file."
    )


def _network_reason(reason: object) -> str:
    if isinstance(reason, ssl.SSLCertVerificationError):
        return "the server's certificate cannot be verified"
    if isinstance(reason, TimeoutError):
        return "the server does not answer in time"
    if isinstance(reason, ConnectionRefusedError):
        return "the server refuses the connection"
    return f"the network or the server cannot be reached ({reason})"


def _disk_reason(error: OSError, destination: Path) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"the disk of the folder {destination.parent} is full; free some space and try again"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return (
            f"the folder {destination.parent} cannot be written to; set VOXELMORPH_REGISTRATION_CACHE to another folder"
        )
    return f"the folder {destination.parent} cannot be used ({error.strerror or error})"
