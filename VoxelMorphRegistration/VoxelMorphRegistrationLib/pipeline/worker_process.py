"""The background process as its parent sees it: started, spoken to, and ended with everything it started.

The other end is `worker`, where the messages are described. `background` is what an application uses.
"""

from __future__ import annotations

import json
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from VoxelMorphRegistrationLib.errors import EngineError
from VoxelMorphRegistrationLib.processes import BELOW_NORMAL, NO_WINDOW, kill_group, kill_with_children

_LIBRARY = Path(__file__).resolve().parents[2]  # the folder in which Python finds VoxelMorphRegistrationLib
_GRACE_SECONDS = 0.4  # in which a cancelled process may tidy up a download, before it is killed
_LOG_LINES, _LONGEST_LINE = 2000, 2000  # lines; bytes
_LONGEST_MESSAGE, _MOST_GARBAGE = 1 << 20, 1000  # bytes; lines that are no messages before a process is given up
_SIGKILL = 9


class WorkerProcess:
    """A running worker: its pipes, what it printed (``log``, the last lines), and the ways to end it."""

    def __init__(self, command: list[str], environment: dict[str, str]) -> None:
        # The library is found in the working folder, which `python -m` looks into first; unlike PYTHONPATH, which
        # Slicer's launcher sets, this works for any path.
        environment.pop("PYTHONSAFEPATH", None)
        environment.update(PYTHONUNBUFFERED="1", PYTHONUTF8="1")
        try:
            self._popen = subprocess.Popen(
                command,
                cwd=_LIBRARY,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,  # a process group of its own, to be killed as one
                creationflags=NO_WINDOW | BELOW_NORMAL,
            )
        except OSError as error:
            raise EngineError(
                f"The background process cannot be started with {command[0]} ({error.strerror or error})."
            ) from error
        self.pid = self._popen.pid
        self.log: deque[str] = deque(maxlen=_LOG_LINES)
        self._noted = 0  # lines ever
        self.listener: Callable[[str], object] | None = None
        self.command = command
        self._is_ready = self._talks_garbage = False
        self._sending = threading.Lock()
        self._draining = threading.Thread(target=self._drain, daemon=True)
        self._draining.start()

    def is_alive(self) -> bool:
        """Whether it has not ended."""
        return self._popen.poll() is None

    def send(self, message: dict[str, Any]) -> None:
        """Give it a message; if it has ended, `receive` will tell."""
        assert self._popen.stdin is not None
        with self._sending, suppress(OSError, ValueError):
            self._popen.stdin.write(json.dumps(message).encode() + b"\n")
            self._popen.stdin.flush()

    def receive(self) -> dict[str, Any] | None:
        """Wait for its next message; None when it has ended. What is no message goes into the log."""
        assert self._popen.stdout is not None
        garbage = 0
        while line := self._popen.stdout.readline(_LONGEST_MESSAGE):
            message = _as_message(line)
            if message is None:
                self._note(line)
                garbage += 1
                if garbage > _MOST_GARBAGE:
                    self._talks_garbage = True
                    self.kill()
            elif message["say"] == "ready":
                self._is_ready = True
            else:
                return message
        return None

    def end_soon(self) -> None:
        """Ask it to end, and kill it if it has not done so in a moment; returns at once."""
        self.send({"cancel": True})
        timer = threading.Timer(_GRACE_SECONDS, self.kill)
        timer.daemon = True
        try:
            timer.start()
        except RuntimeError:  # no new threads while the interpreter ends
            self.kill()

    def kill(self) -> None:
        """End it and its children now."""
        if self.is_alive():
            kill_with_children(self._popen)

    def join(self) -> int:
        """Wait until it has ended, kill it where it does not, and take what it printed; its exit code."""
        with suppress(subprocess.TimeoutExpired):
            self._popen.wait(2 * _GRACE_SECONDS)
        self.kill()
        code = self._popen.wait()
        kill_group(self.pid)  # children that outlived it
        self._draining.join(1.0)
        for pipe in (self._popen.stdin, self._popen.stdout):
            assert pipe is not None
            with suppress(OSError):
                pipe.close()
        return code

    def how_it_ended(self, stage: str, relief: str) -> str:
        """The beginning of a sentence on a process that ended without an answer; ``relief`` as in `BackgroundJob`."""
        code = self._popen.returncode
        if self._talks_garbage:
            return (
                f"What {self.command[0]} answers cannot be understood, so it is no Python that can run the background "
                "process; choose another one"
            )
        last = next((line for line in reversed(self.log) if line.strip()), f"exit code {code}")
        if not self._is_ready:
            return (
                f"The background process did not start with {self.command[0]} ({last.strip()}); "
                "check this Python, or install the engine again"
            )
        # Slicer's launcher of Python makes 1 of every signal. Of a crash Python itself leaves a word (faulthandler),
        # so an end without one came from outside.
        words = next((line for line in self.log if line.startswith(("Fatal Python error", "Windows fatal"))), "")
        if not words and code in (-_SIGKILL, 128 + _SIGKILL, 1):
            return (
                f"The background process was ended by the system at '{stage}', most likely because memory ran out; "
                f"{relief} or close other programs"
            )
        reason = words or (signal.strsignal(-code) if code < 0 else "") or f"exit code {code}"
        return (
            f"The background process crashed at '{stage}' ({reason}); try again, and {relief} or "
            "choose another engine if it happens again"
        )

    def wait_for_log(self) -> None:
        """Until ``log`` has what it printed before its answer, which came through another pipe; a second at most."""
        deadline = time.monotonic() + 1.0
        while self._draining.is_alive() and time.monotonic() < deadline:
            noted = self._noted
            self._draining.join(0.1)
            if noted == self._noted:
                return

    def _drain(self) -> None:
        """Take what it prints, so that it never waits for a full pipe."""
        assert self._popen.stderr is not None
        with self._popen.stderr as stream:
            while line := stream.readline(_LONGEST_LINE):
                self._note(line)
        with suppress(subprocess.TimeoutExpired):
            self._popen.wait(5.0)  # it has ended: let the system forget it

    def _note(self, line: bytes) -> None:
        text = line[:_LONGEST_LINE].decode(errors="replace").rstrip()
        self.log.append(text)
        self._noted += 1
        if (listener := self.listener) is not None:
            listener(text)


def _as_message(line: bytes) -> dict[str, Any] | None:
    """A line of the worker's; None for anything else that turned up on its stdout, such as a launcher's words."""
    with suppress(ValueError):
        message = json.loads(line)
        if isinstance(message, dict) and isinstance(message.get("say"), str):
            return message
    return None
