"""Where the cases run: a Dask cluster of this machine, or any that has a scheduler's address.

Everything that a scheduler does (who works on what, lost workers, retries) is Dask's.
"""

from __future__ import annotations

import importlib.util
import logging
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from VoxelMorphRegistrationLib import __version__
from VoxelMorphRegistrationLib.errors import EngineError, InputError
from VoxelMorphRegistrationLib.network.engines import available_engines
from VoxelMorphRegistrationLib.pipeline.batch.case import Case
from VoxelMorphRegistrationLib.pipeline.batch.memory import bytes_needed

HOW_TO_INSTALL = 'A batch runs on Dask, which is not installed; install it with: pip install "distributed>=2025.1".'
LOST_WORKERS_ALLOWED = 5
"""So many times a case may lose its worker on a cluster of this machine before it counts as failed."""
_SHARE_OF_MEMORY = 0.8
"""Of what is free when the batch begins."""
_CONNECT_SECONDS = 30
_CHECK_SECONDS = 1.0
_LOGGERS = ("distributed", "tornado", "asyncio")

# Workers hold nothing for Dask but small records, so there is nothing to be spilled, and pausing would not help: a
# worker that grows too large is ended and started anew. Every case waits at the scheduler until a worker is free for
# it, so that a lost worker takes one case with it and no more.
_SETTINGS: dict[str, Any] = {
    "distributed.scheduler.allowed-failures": LOST_WORKERS_ALLOWED,
    "distributed.scheduler.worker-saturation": 1.0,
    "distributed.scheduler.work-stealing": False,
    "distributed.deploy.lost-worker-timeout": "60s",
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": 0.95,
}


@dataclass(frozen=True)
class ClusterOptions:
    """Where to run. ``scheduler``: an address, such as ``tcp://host:8786``; else a cluster of this machine."""

    scheduler: str | None = None
    workers: int | None = None
    """Processes on this machine; None for as many as cores and memory allow."""
    threads: int | None = None
    """Of each worker; None for the cores divided among the workers here, and 1 on a scheduler's workers."""

    def __post_init__(self) -> None:
        """Raise InputError for numbers below 1, and for workers where the scheduler has its own."""
        for name in ("workers", "threads"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise InputError(f"The number of {name} must be 1 or more, not {value}.")
        if self.scheduler and self.workers:
            raise InputError("The workers of a scheduler are started with it, so give either --scheduler or --workers.")


@dataclass(frozen=True)
class LocalSize:
    """How a cluster of this machine is laid out."""

    workers: int
    threads: int
    bytes_needed: float
    """By a worker, as estimated."""
    bytes_free: float

    @classmethod
    def of(cls, cases: Sequence[Case], options: ClusterOptions) -> LocalSize:
        """As many workers as there are cores, as find room in the free memory, and as there are cases."""
        import psutil
        from dask.system import CPU_COUNT  # these two know the limits of containers and of batch systems, too
        from distributed.system import MEMORY_LIMIT

        cores, needed = int(CPU_COUNT), bytes_needed(cases)
        free = float(min(psutil.virtual_memory().available, MEMORY_LIMIT))
        fitting = max(1, int(_SHARE_OF_MEMORY * free / needed))
        workers = options.workers or min(cores, fitting, len(cases))
        return cls(workers, options.threads or max(1, cores // workers), needed, free)

    def __str__(self) -> str:
        workers = "1 worker" if self.workers == 1 else f"{self.workers} workers"
        return (
            f"{workers} with {self.threads} threads each, up to {self.bytes_needed / 1e9:.1f} GB of memory each as "
            f"estimated; {self.bytes_free / 1e9:.1f} GB are free"
        )


@dataclass(frozen=True)
class Cluster:
    """A connection to where the cases run."""

    client: Any
    threads: int
    description: str


def require_dask() -> None:
    """Raises EngineError, saying how to install it, where Dask's distributed is missing."""
    if importlib.util.find_spec("distributed") is None:
        raise EngineError(HOW_TO_INSTALL)


@contextmanager
def connected(cases: Sequence[Case], options: ClusterOptions) -> Iterator[Cluster]:
    """A cluster for these cases, closed afterwards if it was started here.

    Raises EngineError where Dask is missing, the scheduler does not answer, or a worker lacks this library.
    """
    require_dask()
    import dask
    import distributed  # noqa: F401  # now: imported among the settings, it would lose its own ones at their end

    with dask.config.set(_SETTINGS), _quiet():
        if options.scheduler:
            with _client(options.scheduler) as client:
                workers = _checked_workers(client, options.scheduler)
                there = "1 worker" if workers == 1 else f"{workers} workers"
                yield Cluster(client, options.threads or 1, f"{options.scheduler}, with {there} now")
        else:
            size = LocalSize.of(cases, options)
            with _local(size) as client:
                yield Cluster(client, size.threads, str(size))


@contextmanager
def _local(size: LocalSize) -> Iterator[Any]:
    import distributed
    from distributed.system import MEMORY_LIMIT

    if not available_engines():
        raise EngineError("No inference engine is installed; install OpenVINO with: pip install openvino.")
    with tempfile.TemporaryDirectory(prefix="voxelmorph-registration-dask-", ignore_cleanup_errors=True) as scratch:
        try:
            cluster = distributed.LocalCluster(
                n_workers=size.workers,
                threads_per_worker=1,
                memory_limit=int(0.9 * MEMORY_LIMIT / size.workers),
                dashboard_address="127.0.0.1:0",
                scheduler_kwargs={"dashboard": False},
                local_directory=scratch,
                silence_logs=logging.CRITICAL,
                preload=[f"{__package__}.local_worker"],
            )
        except (RuntimeError, OSError) as error:
            raise EngineError(
                f"The {size.workers} worker processes could not be started ({_reason(error)}); close other programs, "
                "or try fewer with --workers."
            ) from error
        with cluster, distributed.Client(cluster, set_as_default=False) as client:
            cluster.loop.add_callback(_keep_workers, cluster, size.workers)
            yield client


async def _keep_workers(cluster: Any, number: int) -> None:
    """See to it that there are so many workers, as long as the cluster runs.

    Dask's nanny starts a worker again that is lost, but not one that is lost while it starts
    (``Nanny._on_worker_exit``); and the cluster gives up a nanny whose worker is away for long
    (``SpecCluster._update_worker_status``) until it is told again how many there should be.
    """
    import asyncio

    from distributed import Status

    gone: set[Any] = set()
    while cluster.status == Status.running:
        await asyncio.sleep(_CHECK_SECONDS)
        now = {nanny for nanny in cluster.workers.values() if not nanny.is_alive()}
        for nanny in gone & now:  # for some time: the nanny itself is not about to start it
            if nanny.status in (Status.closed, Status.failed):
                cluster.workers.pop(nanny.name, None)
            elif nanny.status != Status.closing:
                await nanny.restart()  # returns what went wrong, if anything
        gone = now
        cluster.scale(number)


@contextmanager
def _client(address: str) -> Iterator[Any]:
    import distributed

    try:
        client = distributed.Client(address, timeout=_CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError) as error:
        raise EngineError(
            f"No Dask scheduler answers at {address} ({_reason(error)}); give the address that `dask scheduler` "
            "printed, such as tcp://host:8786."
        ) from error
    with client:
        yield client


def _checked_workers(client: Any, address: str) -> int:
    """How many workers there are now; they may be none yet. Raises EngineError where one lacks this library."""
    try:
        found: dict[str, str] = client.run(_library_version)
    except Exception as error:  # whatever the worker raised when it could not load the function
        raise EngineError(
            f"A worker of {address} cannot load VoxelMorphRegistrationLib ({_reason(error)}); install this version "
            f"({__version__}) of voxelmorph-registration where the workers run."
        ) from error
    for worker, version in found.items():
        if version != __version__:
            raise EngineError(
                f"The worker {worker} has version {version} of voxelmorph-registration, and this is {__version__}; "
                "install the same one on both."
            )
    return len(found)


def _library_version() -> str:
    return __version__


def _reason(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


@contextmanager
def _quiet() -> Iterator[None]:
    """Dask logs every lost worker, also those that it replaces; what counts is told in the report."""
    import distributed  # noqa: F401, which sets up its loggers when it is imported

    names = [name for name in logging.root.manager.loggerDict if name.partition(".")[0] in _LOGGERS]
    loggers = [logging.getLogger(name) for name in {*names, *_LOGGERS}]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
