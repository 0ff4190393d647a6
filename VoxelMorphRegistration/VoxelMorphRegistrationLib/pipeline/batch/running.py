"""Running a batch: what is finished is kept, the rest goes to the cluster, and everything is noted."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from VoxelMorphRegistrationLib.errors import BatchError, OutputError
from VoxelMorphRegistrationLib.network.catalogue import DEFAULT_MODEL, Catalogue
from VoxelMorphRegistrationLib.pipeline.batch.case import Case
from VoxelMorphRegistrationLib.pipeline.batch.case_folder import CaseFolder, now
from VoxelMorphRegistrationLib.pipeline.batch.cluster import ClusterOptions, connected, require_dask
from VoxelMorphRegistrationLib.pipeline.batch.manifest import Manifest
from VoxelMorphRegistrationLib.pipeline.batch.record import FAILED, Record
from VoxelMorphRegistrationLib.pipeline.batch.work import run_case
from VoxelMorphRegistrationLib.progress import Progress

_LOST = (
    "The connection to the Dask scheduler was lost; what is finished is kept: run the same command again to go on with "
    "the rest."
)

_RETRIES_AFTER_A_FAULT = 1
"""Of a case that ended with an error that is none of this library's: a file server's hiccup, say, or a fault."""


@dataclass(frozen=True)
class BatchResult:
    """How a batch ended."""

    records: tuple[Record, ...]
    """Of every case, in the order of the cases."""
    kept: int
    """Cases that were finished already when it began."""
    seconds: float

    @property
    def failed(self) -> list[Record]:
        """The cases that have no result, or not all of it."""
        return [record for record in self.records if not record.is_finished]


def run_batch(
    cases: Sequence[Case],
    output: Path,
    cluster: ClusterOptions | None = None,
    progress: Progress | None = None,
) -> BatchResult:
    """Work on all cases, and write their folders, the manifest and the report into ``output``.

    To be called from a program that guards its main module (``if __name__ == "__main__":``), because a cluster of
    this machine starts processes that import it. Cases that are finished in ``output`` and look the same are kept;
    one that fails does not stop the others. Stopped at any moment, also by a signal or the power, it goes on when it
    is called again. Raises EngineError where it cannot begin, BatchError where the scheduler was lost, OutputError,
    and KeyboardInterrupt as it comes.
    """
    say, began = progress or Progress(), time.monotonic()
    output = _made(output)
    manifest = Manifest(output, cases)
    say("Looking for finished cases", 0.0)
    for case in cases:
        if record := _finished(case, output):
            manifest.records[case.name] = record
    kept = len(manifest.records)
    waiting = [case for case in cases if case.name not in manifest.records]
    try:
        if waiting:
            _run(waiting, output, cluster or ClusterOptions(), manifest, say)
    finally:
        manifest.save()
    return BatchResult(tuple(manifest.in_order()), kept, time.monotonic() - began)


def _made(output: Path) -> Path:
    output = output.expanduser().absolute()
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"The folder {output} cannot be made ({error.strerror}); name another one.") from error
    return output


def _finished(case: Case, output: Path) -> Record | None:
    """The record of a case that is done, as far as names, sizes and times tell; a worker looks closer."""
    record = CaseFolder.of(output, case.name).finished()
    return record if record and record.identity and record.identity.looks_like(case) else None


def _run(cases: list[Case], output: Path, options: ClusterOptions, manifest: Manifest, say: Progress) -> None:
    require_dask()
    _fetch_models(cases, say)
    say("Starting the workers", 0.0)
    with connected(cases, options) as cluster:
        say(f"Running on {cluster.description}", 0.0)
        pace = _Pace(len(manifest.records), len(manifest.records) + len(cases))
        for record in _ended(cluster.client, cases, str(output), cluster.threads):
            manifest.add(record)
            say(*pace.after(len(manifest.records), len(manifest.failed)))


def _fetch_models(cases: Sequence[Case], say: Progress) -> None:
    """Download before the workers start what they would each download. Raises ModelError."""
    catalogue = Catalogue()
    for model in sorted({case.options.get("model", DEFAULT_MODEL) for case in cases}):
        catalogue.find(model, progress=say)


def _ended(client: Any, cases: list[Case], output: str, threads: int) -> Iterator[Record]:
    """The cases' records as they come. Raises BatchError where the scheduler is lost."""
    import distributed

    run = f"registration-{secrets.token_hex(4)}"  # a scheduler that outlives this may know the former run's
    futures = client.map(
        run_case,
        cases,
        key=[(run, number) for number in range(len(cases))],
        output=output,
        threads=threads,
        pure=False,
        retries=_RETRIES_AFTER_A_FAULT,
    )
    case_of = dict(zip([future.key for future in futures], cases, strict=True))
    coming = distributed.as_completed(futures, loop=client.loop, raise_errors=False)
    del futures
    try:
        for future in coming:
            if future.status == "finished":
                yield _record(future)
            elif future.status == "error":
                yield _failed(case_of[future.key], future.exception())
            else:
                raise BatchError(_LOST)
    finally:
        client.cancel(list(coming.futures), force=True)


def _record(future: Any) -> Record:
    """What a finished future holds. Raises BatchError where the scheduler is lost while it is fetched."""
    from distributed.client import FutureCancelledError

    try:
        record: Record = future.result()
    except (OSError, FutureCancelledError) as error:
        raise BatchError(_LOST) from error
    return record


def _failed(case: Case, error: BaseException) -> Record:
    import distributed

    if isinstance(error, distributed.KilledWorker):
        sentence = (
            "Its worker ended unexpectedly again and again, as the system ends one that uses too much memory; try "
            "resolution half, or fewer workers."
        )
    else:
        sentence = f"Unexpected {type(error).__name__}: {error}"
    return Record(case.name, case.kind, FAILED, line=case.line, error=sentence, ended=now())


class _Pace:
    """How fast it goes, and how long it will take."""

    def __init__(self, before: int, total: int) -> None:
        self._before, self._total = before, total
        self._began = time.monotonic()

    def after(self, ended: int, failed: int) -> tuple[str, float]:
        """Stage and fraction for `Progress`."""
        rate = (ended - self._before) / max(time.monotonic() - self._began, 1e-3)
        left = duration((self._total - ended) / rate)
        speed = f"{rate:.1f} a second" if rate >= 1 else f"{60 * rate:.1f} a minute"
        faults = f", {failed} failed" if failed else ""
        fraction = ended / self._total
        told = f"{5 * int(20 * fraction)} % of the cases"  # the part by which a display without a bar knows news
        return f"{told} ({ended} of {self._total}{faults}; {speed}, {left} left)", fraction


def duration(seconds: float) -> str:
    """In two figures for people."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
