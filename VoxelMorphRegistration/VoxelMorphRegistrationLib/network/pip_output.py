"""What pip prints, read: how far it is, and why it failed."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence

_Report = Callable[[str, float], None]
_MEGABYTES = {"": 1e-6, "k": 1e-3, "M": 1.0, "G": 1e3}
_DOWNLOADS, _INSTALLS = 0.7, 0.9  # of the whole: where the downloads and the unpacking end
_UNPACKED_MB_PER_SECOND = 40  # on a usual disk


class Meter:
    """Makes a stage, for the user, and a rough fraction out of what pip prints.

    ``report`` is called by tick(), often, and may raise in order to stop.
    """

    def __init__(self, report: _Report, stage: str, *, download_mb: float, disk_mb: float) -> None:
        self._report, self._stage, self._fraction = report, stage, 0.0
        self._download_mb, self._disk_mb = download_mb, disk_mb
        self._finished_mb = self._announced_mb = self._current_mb = 0.0
        self._began_installing: float | None = None
        self.satisfied: set[str] = set()  # the names of the packages that were needed and there already

    def tick(self) -> None:
        """Report how far it is."""
        if self._began_installing is not None:  # pip says nothing meanwhile
            expected = self._disk_mb / _UNPACKED_MB_PER_SECOND
            part = min(1.0, (time.monotonic() - self._began_installing) / expected)
            self._fraction = _DOWNLOADS + (_INSTALLS - _DOWNLOADS) * part
        self._report(self._stage, self._fraction)

    def begin(self, stage: str, fraction: float) -> None:
        """A stage that pip does not tell about."""
        self._began_installing = None
        self._stage, self._fraction = stage, max(self._fraction, fraction)
        self.tick()

    def on_line(self, line: str) -> None:
        """Take a line that pip has printed."""
        if found := re.match(r"\s*Downloading (?:.*/)?([^\s/]+?)-\d\S* \(([\d.]+) ([kMG]?)B\)", line):
            self._finished_mb += self._announced_mb
            self._announced_mb = float(found[2]) * _MEGABYTES[found[3]]
            self._current_mb = 0.0
            self._stage = f"Downloading {found[1]} ({found[2]} {found[3]}B)"
        elif found := re.match(r"\s*Progress (\d+) of (\d+)", line):
            self._current_mb, self._announced_mb = int(found[1]) / 1e6, int(found[2]) / 1e6
        elif found := re.match(r"\s*(?:Collecting|Processing) (?:\S*[/\\])?([\w.-]+?)(?:-\d|[^\w.-]|$)", line):
            self._stage = f"Looking up {found[1]}"
        elif found := re.match(r"\s*Requirement already satisfied: ([\w.-]+)", line):
            self.satisfied.add(found[1])
        elif line.startswith("Installing collected packages"):
            self._stage = f"Installing {line.count(',') + 1} packages"
            self._began_installing = time.monotonic()
        downloaded = min(1.0, (self._finished_mb + self._current_mb) / self._download_mb)
        self._fraction = max(self._fraction, _DOWNLOADS * downloaded)


def failure(output: Sequence[str], *, python: str, source: str, by_hand: str) -> str:
    """Why pip failed and what can be done about it, in one sentence, from what it printed.

    ``python`` is the Python in words, ``source`` where the packages were looked for, and ``by_hand`` the command
    that fetches them on another machine.
    """
    text = "\n".join(output)
    known = (sentence for pattern, sentence in _FAILURES if re.search(pattern, text, re.IGNORECASE))
    sentence = next(known, "pip failed ({last}); try again, and look at the log if it fails again.")
    last = next(
        (line for line in reversed(output) if line.startswith("ERROR: ")), output[-1] if output else "no output"
    )
    missing = re.search(r"No matching distribution found for ([^\s;(]+)", text)
    conflict = re.search(r"^\s*(.+?) (?:depends on|requires) (.+)$", text, re.MULTILINE)
    return sentence.format(
        last=last.removeprefix("ERROR: ").strip().rstrip("."),
        package=missing[1] if missing else "a package",
        source=source,
        python=python,
        by_hand=by_hand,
        conflict=f"{conflict[1]} needs {conflict[2]}" if conflict else "pip's log says which",
    )


# Looked for in this order: pip reports "no matching distribution" after a network error, too.
_FAILURES = [
    (
        r"No space left on device|Errno 28\b|not enough space|Disk quota exceeded",
        "The disk is full; free some space, or set VOXELMORPH_REGISTRATION_PACKAGES to a folder on another disk.",
    ),
    (
        r"Long Path support|WinError 206",
        "The paths of the packages are too long for Windows; set VOXELMORPH_REGISTRATION_PACKAGES to a short one, "
        r"such as C:\vxm.",
    ),
    (
        r"CERTIFICATE_VERIFY_FAILED|SSLError|SSLCertVerificationError",
        "The certificate of PyPI cannot be verified, often because a company network replaces it; set PIP_CERT to "
        "the file of your network's certificates.",
    ),
    (
        r"ProxyError|Proxy Authentication Required|Cannot connect to proxy",
        "The proxy does not let pip through to PyPI; set HTTPS_PROXY to http://user:password@address:port.",
    ),
    (
        r"NewConnectionError|NameResolutionError|Max retries exceeded|ConnectTimeoutError|ReadTimeoutError"
        r"|Connection (?:refused|reset|aborted)|RemoteDisconnected|Network is unreachable"
        r"|IncompleteRead|Could not install packages due to an OSError: HTTPS?ConnectionPool|HTTP error \d+"
        r"|HTTP\w*Error|Connection broken|IncompleteDownload",
        "PyPI cannot be reached; try again when the internet connection works, or, on another computer of this kind, "
        "run: {by_hand}; copy the folder wheels to here and set VOXELMORPH_REGISTRATION_WHEELS to it.",
    ),
    (
        r"Permission denied|Errno 13\b|Errno 30\b|Read-only file system|Access is denied",
        "The folder for the packages cannot be written to; set VOXELMORPH_REGISTRATION_PACKAGES to another one.",
    ),
    (
        r"ResolutionImpossible|conflicting dependencies|Cannot install",
        "The packages do not fit those of this Python, which stay as they are ({conflict}); choose another engine, "
        "or a newer Slicer.",
    ),
    (
        r"DO NOT MATCH THE HASHES|BadZipFile|is not a zip file|Wheel .* is invalid|has an invalid wheel"
        r"|Bad CRC|InvalidWheel|bad magic number|Error -3 while decompressing|does not match any|zlib\.error",
        "A package arrived damaged and was not installed; try again.",
    ),
    (
        r"No matching distribution found",
        "{source} has no {package} for {python}; choose another engine, or a Slicer with another Python.",
    ),
    (r"No module named pip", "This Python has no pip to install packages with."),
]
