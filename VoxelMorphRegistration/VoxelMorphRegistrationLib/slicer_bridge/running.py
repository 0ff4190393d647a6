"""A registration of nodes that runs in the background process, from its inputs to its written outputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from VoxelMorphRegistrationLib.pipeline.background import Event, Worker
from VoxelMorphRegistrationLib.pipeline.registration import RegistrationOptions, RegistrationResult
from VoxelMorphRegistrationLib.progress import Progress
from VoxelMorphRegistrationLib.slicer_bridge.registration import RegistrationNodes, read_inputs, write_result


class RegistrationRun:
    """Reads the nodes at once, registers in ``worker``'s process, and writes the outputs when told to.

    For the main thread: nodes are touched in the constructor and in `finish` only, and neither waits for the
    registration. Raises a RegistrationError for inputs that cannot be used.
    """

    def __init__(
        self,
        nodes: RegistrationNodes,
        options: RegistrationOptions,
        worker: Worker,
    ) -> None:
        self._nodes = nodes
        self._inputs = read_inputs(nodes)
        self._job = worker.start(
            self._inputs.fixed,
            self._inputs.moving,
            options,
            fixed_mask=self._inputs.fixed_mask,
            moving_mask=self._inputs.moving_mask,
        )

    def poll(self) -> list[Event]:
        """What happened since the last call; ends with `Finished`."""
        return self._job.poll()

    def cancel(self) -> None:
        """Stop; the process and its children end within a second. Returns at once."""
        self._job.cancel()

    @property
    def cancelled(self) -> bool:
        """Whether `cancel` was called in time."""
        return self._job.cancelled

    def wait(self, progress: Progress, process_events: Callable[[], object] | None = None) -> None:
        """Wait for the end, reporting to ``progress``, which may cancel; for scripts."""
        self._job.wait_reporting(progress, process_events)

    def finish(self) -> tuple[RegistrationNodes, RegistrationResult]:
        """Write the result into the nodes. Raises what ended the registration, the scene as it was."""
        result = self._job.result()
        return write_result(result, self._inputs, self._nodes), result


def missing_outputs(*nodes: Any) -> bool:
    """Whether none of the output nodes was chosen."""
    return all(node is None for node in nodes)
