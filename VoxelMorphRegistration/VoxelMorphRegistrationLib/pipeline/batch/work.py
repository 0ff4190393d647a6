"""One case, from its files to its folder: what a worker does."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import SimpleITK as sitk

from VoxelMorphRegistrationLib.errors import RegistrationError
from VoxelMorphRegistrationLib.pipeline.batch.case import Case
from VoxelMorphRegistrationLib.pipeline.batch.case_folder import CaseFolder, now
from VoxelMorphRegistrationLib.pipeline.batch.identity import Identity
from VoxelMorphRegistrationLib.pipeline.batch.outcome import Outcome
from VoxelMorphRegistrationLib.pipeline.batch.pair_work import register_pair
from VoxelMorphRegistrationLib.pipeline.batch.record import FAILED, FINISHED, PARTIAL, Record
from VoxelMorphRegistrationLib.pipeline.batch.sequence_work import register_frames
from VoxelMorphRegistrationLib.pipeline.logged_warnings import logged_warnings
from VoxelMorphRegistrationLib.pipeline.software import versions

_KINDS: dict[str, Callable[[Case, Path, int | None], Outcome]] = {
    "pair": register_pair,
    "sequence": register_frames,
}

_one_at_a_time = threading.Lock()
"""A process has one engine, and the cores that it was given: a worker with several threads takes turns."""


def run_case(case: Case, output: str, threads: int | None = None) -> Record:
    """Work on a case with so many ``threads``, unless it is finished already; how it ended.

    May be called again for the same case at any time, at the same time too: what is finished is not done again. A
    RegistrationError, or too little memory, makes a record that says so; other errors are raised.
    """
    with _one_at_a_time:
        sitk.ProcessObject.SetGlobalWarningDisplay(False)
        if threads:
            sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(threads)
        ending = _Ending(case)
        try:
            return _run(case, CaseFolder.of(output, case.name), threads, ending)
        except RegistrationError as error:
            return ending.failed(str(error))
        except MemoryError:
            return ending.failed("There was not enough memory for this case; try resolution half, or fewer workers.")


@dataclass
class _Ending:
    """What a record says of a case however it ends."""

    case: Case
    identity: Identity | None = None
    folder: CaseFolder | None = None
    warnings: tuple[str, ...] = ()

    def failed(self, sentence: str) -> Record:
        return Record(
            name=self.case.name,
            kind=self.case.kind,
            status=FAILED,
            line=self.case.line,
            error=sentence,
            identity=self.identity,
            warnings=self.warnings,
            attempts=self.folder.attempts if self.folder else (),
            ended=now(),
            versions=versions(),
        )


def _run(case: Case, folder: CaseFolder, threads: int | None, ending: _Ending) -> Record:
    identity = ending.identity = Identity.of(case)
    with folder.worked_on():
        done = folder.finished()
        if done and done.identity and done.identity.is_same(identity):
            return done
        folder.begin(identity)
        ending.folder = folder
        started = time.perf_counter()
        with logged_warnings() as noticed:
            try:
                outcome = _KINDS[case.kind](case, folder.path, threads)
            finally:
                ending.warnings = tuple(noticed)
        record = Record(
            name=case.name,
            kind=case.kind,
            status=PARTIAL if outcome.error else FINISHED,
            line=case.line,
            error=outcome.error,
            identity=identity,
            outputs=folder.described(outcome.files),
            model=outcome.model,
            engine=outcome.engine,
            plan=outcome.plan,
            quality=outcome.quality,
            warnings=(*noticed, *outcome.warnings),
            seconds={**outcome.seconds, "total": round(time.perf_counter() - started, 3)},
            attempts=folder.attempts,
            ended=now(),
            versions=versions(),
        )
        folder.finish(record)
        return record
