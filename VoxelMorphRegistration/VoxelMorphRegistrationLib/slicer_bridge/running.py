"""A registration of nodes that runs in the background process, from its inputs to its written outputs."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from VoxelMorphRegistrationLib.errors import CancelledError, RegistrationError, TransformError
from VoxelMorphRegistrationLib.pipeline.background import Event, Finished, StageReached
from VoxelMorphRegistrationLib.pipeline.registration import RegistrationOptions, RegistrationResult
from VoxelMorphRegistrationLib.pipeline.registration_job import RegistrationJob
from VoxelMorphRegistrationLib.pipeline.report.page import check_report_path
from VoxelMorphRegistrationLib.progress import Progress
from VoxelMorphRegistrationLib.slicer_bridge.background import (
    close_shared_worker,
    events_without_input,
    shared_worker,
)
from VoxelMorphRegistrationLib.slicer_bridge.console_calls import console_call
from VoxelMorphRegistrationLib.slicer_bridge.installation import ensure_installed
from VoxelMorphRegistrationLib.slicer_bridge.registration import (
    Outputs,
    RegistrationInputs,
    RegistrationNodes,
    prepared_outputs,
    read_inputs,
    write_result,
)


class RegistrationRun:
    """Reads the nodes at once, registers in the background, and writes the outputs when told to.

    For the main thread: nodes are touched in the constructor and in `finish` only, and neither waits for the
    registration. ``engine_folders`` are `Installation.paths` of the engine; ``keep_files`` is said in `Worker.start`.
    Raises a RegistrationError for inputs that cannot be used.
    """

    def __init__(
        self,
        nodes: RegistrationNodes,
        options: RegistrationOptions,
        engine_folders: Sequence[Path],
        *,
        keep_files: bool = False,
    ) -> None:
        self._nodes = nodes
        self._events: list[Event] = []
        self._preparation: threading.Thread | None = None
        self._outputs: Outputs | None = None
        self._error: RegistrationError | None = None
        self._cancelled = False
        self._inputs = read_inputs(nodes)
        self._job = shared_worker(engine_folders).start(_job(self._inputs, options), keep_files=keep_files)

    def poll(self) -> list[Event]:
        """What happened since the last call; ends with `Finished`, which says that `finish` can be called.

        What the nodes will hold is made in a thread before that, since it takes longer than a view may wait.
        """
        events, self._events = self._events + self._job.poll(), []
        if not events or not isinstance(events[-1], Finished) or events[-1].error is not None or self._cancelled:
            return events
        if self._preparation is None:
            self._preparation = threading.Thread(target=self._prepare, name="VoxelMorph outputs", daemon=True)
            self._preparation.start()
            events.insert(-1, StageReached("Preparing the outputs", 0.99))
        if self._preparation.is_alive():
            self._events = [events.pop()]  # held back until it is done
        return events

    def _prepare(self) -> None:
        try:
            self._outputs = prepared_outputs(self._job.result(), self._inputs, self._nodes)
        except RegistrationError as error:
            self._error = error
        except MemoryError:
            self._error = TransformError(
                "There is not enough memory for the outputs; choose the coarser output grid or close other programs."
            )
        except Exception as error:
            logging.getLogger(__name__).exception("Unexpected error while preparing the outputs")
            self._error = TransformError(f"The outputs could not be made ({type(error).__name__}: {error}).")

    def cancel(self) -> None:
        """Stop; the process and its children end within a second. Returns at once."""
        self._cancelled = True
        self._job.cancel()
        if not self._job.cancelled:  # its part was done already; no process is to be left all the same
            close_shared_worker()

    def finish(self) -> tuple[RegistrationNodes, RegistrationResult]:
        """Write the result into the nodes. Raises what ended the registration, the scene as it was."""
        if self._cancelled:
            raise CancelledError
        result = self._job.result()
        if self._error is not None:
            raise self._error
        return write_result(result, self._inputs, self._nodes, self._outputs), result


def register_nodes(
    nodes: RegistrationNodes, options: RegistrationOptions, progress: Progress, report: Path | None = None
) -> tuple[RegistrationNodes, RegistrationResult]:
    """The same, waited for, with Slicer kept alive meanwhile; for scripts. ``report``: where a report is to be written.

    Raises a RegistrationError, the scene as it was. Where no engine is installed, the user is asked.
    """
    progress("Reading the volumes", 0.0)
    report = None if report is None else check_report_path(report).absolute()
    inputs = read_inputs(nodes)
    worker = shared_worker(ensure_installed(options.engine, progress=progress.part(0.0, 0.01)))
    result = worker.run_blocking(
        replace(_job(inputs, options), report=report, command=_call(nodes, options, report)),
        progress=progress.part(0.01, 0.95),
        process_events=events_without_input(),
    )
    progress("Writing the results", 0.95)
    nodes = write_result(result, inputs, nodes)
    progress.report("Done", 1.0)  # no longer a chance to cancel
    return nodes, result


def _call(nodes: RegistrationNodes, options: RegistrationOptions, report: Path | None) -> str:
    """What registers the same nodes, for the report."""
    given = {
        "fixedVolume": nodes.fixed,
        "movingVolume": nodes.moving,
        "fixedMask": nodes.fixed_mask,
        "movingMask": nodes.moving_mask,
    }
    values = {
        "model": options.model,
        "engine": options.engine,
        "preAlignment": options.pre_align,
        "resolution": options.resolution,
        "intensity": options.intensity,
        "refineSeconds": options.refine_seconds,
        "report": None if report is None else str(report),
    }
    return console_call("process", given, values)


def _job(inputs: RegistrationInputs, options: RegistrationOptions) -> RegistrationJob:
    return RegistrationJob(inputs.fixed, inputs.moving, options, inputs.fixed_mask, inputs.moving_mask)
