"""The background process: takes jobs as JSON lines on stdin and answers with JSON lines on stdout.

``python -m VoxelMorphRegistrationLib.pipeline.worker`` is started and spoken to by `background`. Engines
that a job has loaded are kept, so that the next one starts at once. It ends when stdin closes, which happens
when its parent ends, however it ends; when it was told to cancel; and after having had nothing to do for a
while. It knows neither Slicer nor Qt.

Received: ``{"job": NAME, "inputs": ..., "folder": ...}``, the name of a class in `jobs` and what `exchange.pack`
made of the job and wrote into the folder, and ``{"cancel": true}``. Said: ``{"say": "ready"}`` at the start, then
for each job any number of ``{"say": "progress", "stage": ..., "fraction": ...}`` and one
``{"say": "result", "result": ...}``, packed into the job's folder, or
``{"say": "error", "class": ..., "message": ..., "unexpected": ...}``. Whatever libraries print, tracebacks too,
goes to stderr.
"""

from __future__ import annotations

import _thread
import argparse
import faulthandler
import json
import logging
import os
import queue
import shutil
import signal
import site
import sys
import tempfile
import threading
import traceback
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, NoReturn

from VoxelMorphRegistrationLib import errors
from VoxelMorphRegistrationLib.errors import CancelledError, EngineError, FileError, RegistrationError
from VoxelMorphRegistrationLib.pipeline.jobs import BackgroundJob, job_class
from VoxelMorphRegistrationLib.progress import Progress

BROKEN = 70  # the exit code of a bug in this file; Slicer's launcher of Python makes 1 of every signal

# Nothing heavy is imported here: whatever keeps NumPy or SimpleITK from being imported is an answer to a job.


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Serve until there is nothing more to do, and end the process."""
    parser = argparse.ArgumentParser(prog="python -m VoxelMorphRegistrationLib.pipeline.worker")
    parser.add_argument(
        "--packages", type=Path, action="append", default=[], help="a folder of packages to be found last"
    )
    parser.add_argument("--idle-seconds", type=float, default=600.0, help="how long to wait for the next job")
    options = parser.parse_args(arguments)
    receiver, sender = _take_pipes()
    faulthandler.enable()
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    _be_modest()
    for folder in options.packages:
        site.addsitedir(str(folder))  # at the end of sys.path: NumPy and SimpleITK remain this Python's own
    worker = _Worker(receiver, sender, options.idle_seconds)
    try:
        worker.serve()
    except BaseException:
        traceback.print_exc()
        os._exit(BROKEN)


def _take_pipes() -> tuple[IO[bytes], IO[bytes]]:
    """This process's pipes to its parent, out of the reach of everything else that reads or prints.

    Afterwards stdin is empty and stdout is stderr, at the level of the operating system, for native libraries and
    for processes that they start. On Windows, moreover, a library that looks at stdin while it is loaded would
    wait for as long as another thread reads from it.
    """
    receiver, sender = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return receiver, sender


def _be_modest() -> None:
    """Let the application keep the processor when it wants it, and outlive this process when memory runs out."""
    if sys.platform != "win32":  # there the parent asks for a lower priority when it starts this process
        with suppress(OSError):
            os.nice(5)
        with suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text("500")


class _Worker:
    def __init__(self, receiver: IO[bytes], sender: IO[bytes], idle_seconds: float) -> None:
        self._receiver, self._sender = receiver, sender
        self._idle_seconds = idle_seconds
        self._jobs: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._cancelled = False
        self._folder: Path | None = None  # of the job that is being done
        self._temporary: Path | None = None  # the parent's, of the last job that has one

    def serve(self) -> NoReturn:
        signal.signal(signal.SIGINT, self._on_interrupt)
        threading.Thread(target=self._listen, daemon=True).start()
        self._say("ready", python=sys.version.split()[0], pid=os.getpid())
        while True:
            try:
                message = self._jobs.get(timeout=self._idle_seconds)
            except queue.Empty:
                self._leave()
            self._folder = Path(message["folder"])
            tempfile.tempdir = message[
                "folder"
            ]  # what libraries leave there (TensorFlow its generated code) goes with it
            try:
                answer = self._do(message["job"], message["inputs"], self._folder)
            except CancelledError:
                self._leave()
            self._folder = tempfile.tempdir = None
            self._say(**answer)

    def _listen(self) -> None:
        """Wait for jobs and for the end of the parent, while the main thread works."""
        try:
            for line in self._receiver:
                message = json.loads(line)
                if "job" in message:
                    self._jobs.put(message)
                else:
                    self._cancelled = True
                    if self._folder is None:
                        self._leave()
                    self._interrupt()
        except Exception:  # without ears this process must not live on
            traceback.print_exc()
        self._leave(tidy=True)

    def _interrupt(self) -> None:
        """Cancel in the main thread, too, even while it waits for the network, so that a download tidies up."""
        if sys.platform == "win32":
            _thread.interrupt_main()
        else:
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    def _on_interrupt(self, *_: object) -> None:
        if self._cancelled:
            raise CancelledError

    def _do(self, name: str, packed: Any, folder: Path) -> dict[str, Any]:
        """Do one job. Raises CancelledError; whatever else happens becomes the answer."""
        kind = BackgroundJob
        try:
            from VoxelMorphRegistrationLib.pipeline import exchange

            kind = job_class(name)
            job: BackgroundJob[Any] = exchange.unpack(kind, packed, folder)
            self._temporary = job.temporary_folder
            progress = Progress(self._report, lambda: self._cancelled)
            result = job.run(progress.part(0.01, 0.99).without_end())
            progress("Handing back the result", 0.99)
            return {"say": "result", "result": exchange.pack(result, folder, name="result")}
        except CancelledError:
            raise
        except RegistrationError as error:
            return _error(error)
        except MemoryError:
            traceback.print_exc()
            return _error(
                EngineError(f"There is not enough memory for this {kind.title}; {kind.relief} or close other programs.")
            )
        except ImportError as error:
            traceback.print_exc()
            return _error(
                EngineError(
                    f"The Python package {error.name or 'behind it'} cannot be loaded by {sys.executable} "
                    f"({error}); install the engine again."
                ),
                unexpected=True,
            )
        except OSError as error:
            traceback.print_exc()
            return _error(FileError(f"{error.filename or folder} could not be used ({error.strerror or error})."))
        except Exception as error:
            traceback.print_exc()
            return _error(
                EngineError(f"The {kind.title} failed unexpectedly ({type(error).__name__}: {error})."),
                unexpected=True,
            )

    def _report(self, stage: str, fraction: float) -> None:
        self._say("progress", stage=stage, fraction=fraction)

    def _say(self, say: str, **content: Any) -> None:
        try:
            self._sender.write(json.dumps({"say": say, **content}).encode() + b"\n")
            self._sender.flush()
        except OSError:
            self._leave(tidy=True)

    def _leave(self, *, tidy: bool = False) -> NoReturn:
        """End now: what the engines and a thread that waits for stdin do at a normal end may crash or block.

        ``tidy`` when the parent is gone and cannot remove its folders itself.
        """
        for folder in (self._folder, self._temporary) if tidy else ():
            while folder is not None and folder.exists():  # again if a file was just being written
                shutil.rmtree(folder, ignore_errors=True)
                if sys.platform == "win32":  # which removes no open file
                    break
        with suppress(OSError, ValueError):
            sys.stderr.flush()
        os._exit(0)


def _error(error: RegistrationError, *, unexpected: bool = False) -> dict[str, Any]:
    """The answer for an error: its nearest class in ``errors``, which is what the parent can raise."""
    name = next(cls.__name__ for cls in type(error).__mro__ if cls.__name__ in vars(errors))
    return {"say": "error", "class": name, "message": str(error), "unexpected": unexpected}


if __name__ == "__main__":
    main()
