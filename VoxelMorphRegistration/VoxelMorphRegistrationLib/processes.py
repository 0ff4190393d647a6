"""Child processes that are ended together with everything they started.

For a process that was started with ``start_new_session=True`` and, on Windows, `NO_WINDOW`.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress

if sys.platform == "win32":
    NO_WINDOW = subprocess.CREATE_NO_WINDOW
    BELOW_NORMAL = subprocess.BELOW_NORMAL_PRIORITY_CLASS
else:
    NO_WINDOW = BELOW_NORMAL = 0
"""For ``creationflags``: no console window; a lower priority. Nothing elsewhere than on Windows."""


def kill_with_children(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and what it started: Slicer's Python is a launcher, and pip and engines may start others."""
    if sys.platform == "win32":
        with suppress(OSError, subprocess.SubprocessError):
            subprocess.run(
                ["taskkill", "/F", "/T", "/PID", str(process.pid)],
                check=False,
                capture_output=True,
                timeout=5,
                creationflags=NO_WINDOW,
            )
        process.kill()
    else:
        kill_group(process.pid)


def kill_group(pid: int) -> None:
    """Kill what is left of a process's group: the group's number is its children's while there are any."""
    if sys.platform != "win32":
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)
