"""Jobs, such as a registration, in a background process, so that an application stays alive while it runs.

A `Worker` keeps one child process (see `worker`) with its engine loaded. `Worker.start` takes a job of `jobs` and
returns a `RunningJob` at once; a timer in the main thread, or a loop, asks `RunningJob.poll` what is new;
`RunningJob.result` is what the job's own ``run`` returned or raised. Nothing here waits in the thread that calls it,
except `Worker.run_blocking`, which is for scripts.

Volumes travel through a temporary folder (`exchange`), which is gone before the job is finished. The process
ends on cancelling, on `Worker.close`, with its parent, however that ends, and after some idle time.
Knows neither Slicer nor Qt.
"""

from __future__ import annotations

import atexit
import os
import platform
import shutil
import sys
import tempfile
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from VoxelMorphRegistrationLib import __version__, errors
from VoxelMorphRegistrationLib.errors import CancelledError, EngineError, FileError, RegistrationError
from VoxelMorphRegistrationLib.network.catalogue import user_cache_folder
from VoxelMorphRegistrationLib.pipeline import exchange
from VoxelMorphRegistrationLib.pipeline.jobs import BackgroundJob, result_type
from VoxelMorphRegistrationLib.pipeline.worker_process import WorkerProcess
from VoxelMorphRegistrationLib.progress import Progress

FOLDER_PREFIX = "voxelmorph-registration-"
_POLL_SECONDS = 0.02
_KEPT_LOGS = 10

Result = TypeVar("Result")


@dataclass(frozen=True)
class StageReached:
    """The job is at ``stage``, a short text for the user; ``fraction`` of it, 0 to 1, is done."""

    stage: str
    fraction: float


@dataclass(frozen=True)
class LogLine:
    """A line that the process or a library in it printed."""

    text: str


@dataclass(frozen=True)
class Finished:
    """The last event of a job: nothing of it is left. ``error`` is what `RunningJob.result` raises, if anything."""

    error: RegistrationError | None


Event = StageReached | LogLine | Finished


class Worker:
    """Runs one job at a time in a background process, which stays warm for the next.

    ``python_executable`` runs the process (default: this Python; in Slicer its ``PythonSlicer``), with
    ``environment`` (default: this process's). ``extra_paths`` are folders of packages that it finds after its own
    site-packages. It ends ``idle_seconds`` after the last job; a new one is started when needed.
    If it fails unexpectedly, the last lines that it printed are kept in ``log_folder`` (the last ten such logs).
    """

    def __init__(
        self,
        python_executable: str | Path | None = None,
        extra_paths: Sequence[Path] = (),
        *,
        idle_seconds: float = 600.0,
        environment: Mapping[str, str] | None = None,
        log_folder: Path | None = None,
    ) -> None:
        self.python_executable = str(python_executable or sys.executable)
        self.extra_paths = tuple(extra_paths)
        self.idle_seconds = idle_seconds
        self.log_folder = log_folder or user_cache_folder() / "logs"
        self._environment = environment
        self._process: WorkerProcess | None = None
        self._last_job: weakref.ref[RunningJob[Any]] | None = None  # weak: its result is the caller's to keep
        atexit.register(self.close)

    @property
    def is_busy(self) -> bool:
        """Whether a job is running that was not cancelled."""
        job = self._job
        return job is not None and not job.finished and not job.cancelled

    @property
    def process_id(self) -> int | None:
        """The background process's, None while there is none."""
        process = self._process
        return process.pid if process is not None and process.is_alive() else None

    def start(self, job: BackgroundJob[Result], *, keep_files: bool = False) -> RunningJob[Result]:
        """Begin a job, such as a `RegistrationJob`; returns at once.

        ``keep_files`` leaves the files that are exchanged with the process where a log line says, unless the
        job is cancelled; for reporting a problem.
        The job's arrays must not be changed before a stage of the job itself is reached. Raises EngineError
        while another job runs; after a cancelled one, the new one waits for its end.
        """
        former = self._job
        if former is not None and self.is_busy:
            raise EngineError(f"Another {former.title} is still running; wait for it to finish, or cancel it first.")
        running = RunningJob(self, job, after=former, keep_files=keep_files)
        self._last_job = weakref.ref(running)
        return running

    def run_blocking(
        self,
        job: BackgroundJob[Result],
        *,
        progress: Progress | None = None,
        process_events: Callable[[], object] | None = None,
    ) -> Result:
        """Do a job in the background process and wait for it; ``process_events`` is called meanwhile, often.

        ``progress`` may cancel at any time, as may any exception, such as KeyboardInterrupt.
        """
        running = self.start(job)
        say = progress or Progress()
        try:
            while not running.wait(_POLL_SECONDS):
                for event in running.poll():
                    if isinstance(event, StageReached):
                        say(event.stage, event.fraction)
                if say.is_cancelled():
                    raise CancelledError
                if process_events is not None:
                    process_events()
        except BaseException:
            running.cancel()
            running.wait()
            raise
        for event in running.poll():
            if isinstance(event, StageReached):
                say.report(event.stage, event.fraction)
        return running.result()

    def close(self) -> None:
        """Cancel what runs and end the process; the next `start` would begin a new one. Waits for 2 s at most."""
        job = self._job
        if job is not None:
            job.cancel()
            job.wait(2.0)
        if self._process is not None:
            self._process.kill()
            self._process.join()
        if job is not None:
            job.remove_folder()

    @property
    def _job(self) -> RunningJob[Any] | None:
        """The last job, while it runs or somebody keeps it."""
        return None if self._last_job is None else self._last_job()

    def _running_process(self, when_cold: Callable[[], None]) -> WorkerProcess:
        """The warm process, or, after calling ``when_cold``, a new one."""
        if self._process is None or not self._process.is_alive():
            if self._process is not None:
                self._process.join()
            when_cold()
            self._process = WorkerProcess(self._command(), dict(self._environment or os.environ))
        return self._process

    def _command(self) -> list[str]:
        executable = shutil.which(self.python_executable)
        if executable is None:
            raise EngineError(
                f"The Python for the background process, {self.python_executable}, was not found; check its path."
            )
        command = [os.path.abspath(executable), "-m", "VoxelMorphRegistrationLib.pipeline.worker"]
        command += ["--idle-seconds", f"{self.idle_seconds:g}"]
        for folder in self.extra_paths:
            command += ["--packages", os.path.abspath(folder)]
        return command


class RunningJob(Generic[Result]):
    """A job in the background process. Made by `Worker.start`."""

    def __init__(
        self, worker: Worker, job: BackgroundJob[Result], after: RunningJob[Any] | None, keep_files: bool = False
    ) -> None:
        self.title = job.title
        self._worker, self._keep_files = worker, keep_files
        self._name, self._relief, self._result_type = type(job).__name__, job.relief, result_type(job)
        self._events: deque[Event] = deque(maxlen=10_000)  # if nobody polls, the oldest ones go
        self._lock = threading.Lock()
        self._cancelled = self._settled = False
        self._process: WorkerProcess | None = None
        self._folder: Path | None = None
        self._stage = "Starting"
        self._results: list[Result] = []  # at most one; it may be None
        self._error: RegistrationError | None = None
        self._finished = threading.Event()
        self._thread = threading.Thread(
            target=self._run, args=(job, after), name=f"VoxelMorph {self.title}", daemon=True
        )
        self._thread.start()

    @property
    def finished(self) -> bool:
        """Whether the result, or the error, is there and nothing else is left of the job."""
        return self._finished.is_set()

    @property
    def cancelled(self) -> bool:
        """Whether `cancel` was called in time."""
        return self._cancelled

    def poll(self) -> list[Event]:
        """What happened since the last call, `Finished` last of all; never waits."""
        events = []
        while self._events:
            events.append(self._events.popleft())
        return events

    def wait(self, seconds: float | None = None) -> bool:
        """Wait for the end, for so long at most; returns `finished`."""
        return self._finished.wait(seconds)

    def cancel(self) -> None:
        """Stop, and end the process and its children within a second; returns at once. Harmless at any time."""
        with self._lock:
            if self._cancelled or self._settled:
                return
            self._cancelled = True
            process = self._process
        if process is not None:
            process.end_soon()

    def result(self) -> Result:
        """The result of a finished job. Raises the RegistrationError that ended it; CancelledError if cancelled."""
        if self._error is not None:
            raise self._error
        if not self._results:
            raise RuntimeError(f"The {self.title} is not finished; poll() says when it is.")
        return self._results[0]

    def remove_folder(self) -> None:
        """Remove the job's temporary folder, if it is still there and was not to be kept."""
        folder = self._folder
        if self._keep_files and not self._cancelled and folder is not None:
            self._events.append(LogLine(f"The files of this {self.title} were kept in {folder}"))
            return
        for _ in range(20):  # on Windows a file may stay open for a moment after its process has ended
            if folder is None or not folder.exists():
                return
            shutil.rmtree(folder, ignore_errors=True)
            if folder.exists():
                time.sleep(0.05)

    def _run(self, job: BackgroundJob[Result], after: RunningJob[Any] | None) -> None:
        """The job's own thread: hands over, listens, takes over, tidies up."""
        try:
            if after is not None:
                after.wait()
            self._results = [self._done(job)]
        except RegistrationError as error:
            self._error = error.with_traceback(None)  # whose frames would keep the images
        except Exception as error:
            if self._process is not None:
                self._process.kill()
            self._error = EngineError(
                f"The {self.title} in the background failed unexpectedly ({type(error).__name__}: {error})."
            )
            self._error.__cause__ = error
        with self._lock:  # from here on it cannot be cancelled any more
            self._settled = True
        if self._cancelled:
            self._error = CancelledError(f"The {self.title} was cancelled; nothing was changed.")
            self._results.clear()
            if self._process is not None:
                self._process.join()
        self.remove_folder()
        if self._process is not None:
            self._process.listener = None
        self._events.append(Finished(self._error))
        self._finished.set()

    def _done(self, job: BackgroundJob[Result]) -> Result:
        self._reached("Handing over the volumes", 0.0)
        try:
            self._folder = Path(tempfile.mkdtemp(prefix=FOLDER_PREFIX))
            packed = exchange.pack(job, self._folder, check=self._check, name="job")
        except OSError as error:
            raise FileError(
                f"The volumes cannot be handed to the background process in {self._folder or tempfile.gettempdir()} "
                f"({error.strerror or error}); make space there, or set TMPDIR to a folder on another disk."
            ) from error
        order = {"job": self._name, "inputs": packed, "folder": str(self._folder)}
        process, answer = self._answer(order)
        if answer is None and process.join() == 0:  # it had just decided that it had been idle for long enough
            process, answer = self._answer(order)
        if answer is None:
            process.join()
            self._check()
            raise EngineError(f"{process.how_it_ended(self._stage, self._relief)}{self._kept_log(process)}.")
        try:
            understood = self._understood(process, answer, self._folder)
        except (LookupError, TypeError, ValueError, AttributeError, OSError) as error:
            process.kill()
            raise EngineError(
                "The background process gave an answer that cannot be understood "
                f"({type(error).__name__}: {error}){self._kept_log(process)}."
            ) from error
        if isinstance(understood, RegistrationError):
            raise understood
        return understood

    def _answer(self, order: dict[str, Any]) -> tuple[WorkerProcess, dict[str, Any] | None]:
        """Give the order to the process and listen until it has answered; None if it ended instead."""
        self._check()
        process = self._worker._running_process(when_cold=lambda: self._reached("Starting the background process", 0.0))
        process.listener = lambda line: self._events.append(LogLine(line))
        with self._lock:
            self._process = process
            cancelled = self._cancelled
        if cancelled:
            process.end_soon()
        process.send(order)
        while (message := process.receive()) is not None:
            if message["say"] == "progress":
                self._reached(str(message.get("stage")), float(message.get("fraction", 0.0)))
            elif message["say"] in ("result", "error"):
                break
        return process, message

    def _reached(self, stage: str, fraction: float) -> None:
        self._stage = stage
        self._events.append(StageReached(stage, fraction))

    def _check(self) -> None:
        if self._cancelled:
            raise CancelledError

    def _understood(self, process: WorkerProcess, answer: dict[str, Any], folder: Path) -> Result | RegistrationError:
        """The result, or the error, of its own class, that the process told."""
        if answer["say"] == "result":
            result: Result = exchange.unpack(self._result_type, answer["result"], folder)
            return result
        message = str(answer["message"])
        if answer["unexpected"]:
            message = f"{message.removesuffix('.')}{self._kept_log(process)}."
        told = vars(errors)[answer["class"]]
        if not issubclass(told, RegistrationError):
            raise TypeError(f"{answer['class']} is no error of this library")
        error: RegistrationError = told(message)
        return error

    def _kept_log(self, process: WorkerProcess) -> str:
        """Write what the process printed into the log folder; a clause that says where."""
        process.wait_for_log()
        folder = self._worker.log_folder
        path = folder / f"background-{time.strftime('%Y%m%d-%H%M%S')}-{process.pid}.log"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            head = f"VoxelMorphRegistration {__version__}, {platform.platform()}, at '{self._stage}': {process.command}"
            path.write_text("\n".join([head, *process.log, ""]), encoding="utf-8")
            for old in sorted(folder.glob("background-*.log"))[:-_KEPT_LOGS]:
                old.unlink(missing_ok=True)
        except OSError:
            return ""
        return f"; its log is {path}"
