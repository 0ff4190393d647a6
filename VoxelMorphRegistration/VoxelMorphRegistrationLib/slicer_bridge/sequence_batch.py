"""A sequence of the scene as a case of a batch, written for a cluster: frames, labels, cases file and command."""

from __future__ import annotations

import json
import re
from pathlib import Path

from VoxelMorphRegistrationLib.errors import FileError, InputError
from VoxelMorphRegistrationLib.files.output import atomic_output
from VoxelMorphRegistrationLib.files.volumes import write_labels, write_volume
from VoxelMorphRegistrationLib.pipeline.batch.case import Case
from VoxelMorphRegistrationLib.pipeline.batch.cases_file import read_cases, write_cases
from VoxelMorphRegistrationLib.progress import Progress
from VoxelMorphRegistrationLib.slicer_bridge.segmentation_carrying import carrier_for
from VoxelMorphRegistrationLib.slicer_bridge.sequence_running import SequenceRequest
from VoxelMorphRegistrationLib.slicer_bridge.sequences import SequenceOfVolumes, reference_grid
from VoxelMorphRegistrationLib.spatial import Image

CASES, RESULTS, SEGMENTS = "cases.csv", "results", "segments.json"


class ClusterFiles:
    """Reads the nodes at once, in the main thread; `write` may run in any. Raises InputError for unusable nodes."""

    def __init__(self, request: SequenceRequest, folder: Path) -> None:
        """``folder`` must be one that the workers see under the same name, or that is moved with all that is in it."""
        volumes = SequenceOfVolumes.of(request.sequence)
        frames = volumes.frames()
        bad = next((frame for frame in frames if isinstance(frame, str)), None)
        if bad is not None:
            raise InputError(f"{bad} Remove the frame from the sequence, and run again.")
        self._frames = [frame for frame in frames if isinstance(frame, Image)]
        self._folder, self._options = folder.expanduser().absolute(), request.options
        self.name = case_name(volumes.name)
        self._labels: Image | None = None
        self._segments: dict[str, dict[str, object]] = {}
        if request.carried:
            carrier = carrier_for(request.carried[0], reference_grid(frames, request.options.reference or 0))
            if carrier.labels is None:
                raise InputError(
                    f"'{carrier.name}' cannot be carried on a cluster; choose a segmentation without overlaps, or a "
                    "labelmap."
                )
            self._labels = carrier.labels
            self._segments = {
                str(value): {"name": name, "color": list(carrier.label_colors.get(name, ()))}
                for value, name in carrier.label_names.items()
            }

    def write(self, progress: Progress | None = None) -> list[str]:
        """Write the files, add the case to the cases file, and return the command that runs the batch.

        The case of the same name is replaced, the other cases in the file are kept. Raises FileError or OutputError.
        """
        say = progress or Progress()
        folder = self._folder / self.name
        frames = folder / "frames"
        try:
            frames.mkdir(parents=True, exist_ok=True)
            for old in frames.glob("frame_*.nrrd"):
                old.unlink()
        except OSError as error:
            raise FileError(f"{frames} cannot be written ({error.strerror}); choose another folder.") from error
        for n, frame in enumerate(self._frames):
            say(f"Writing the frames ({n} of {len(self._frames)})", n / len(self._frames))
            write_volume(frame, frames / f"frame_{n:04d}.nrrd")
        inputs = {"sequence": self._relative(frames)}
        if self._labels is not None:
            write_labels(self._labels, folder / "labels.nrrd")
            with atomic_output(folder / SEGMENTS) as temporary:
                temporary.write_text(json.dumps(self._segments, indent=1), encoding="utf-8")
            inputs["labels"] = self._relative(folder / "labels.nrrd")
        path = self._folder / CASES
        others = [case for case in (read_cases(path) if path.exists() else []) if case.name != self.name]
        write_cases(path, [*map(self._with_relative_paths, others), Case(self.name, inputs, self._case_options())])
        return ["voxelmorph-registration", "batch", str(path), "--output", str(self._folder / RESULTS)]

    def _case_options(self) -> dict[str, str]:
        options, registration = self._options, self._options.registration
        given = {
            "reference": "" if options.reference is None else str(options.reference),
            "direction": options.direction,
            "mode": options.mode,
            "keep": options.keep,
            "model": registration.model,
            "engine": registration.engine,
            "pre_align": registration.pre_align,
            "resolution": registration.resolution,
            "intensity": registration.intensity,
        }
        if options.mode == "keyframes":
            given |= {"key_every": str(options.key_every), "key_choice": options.key_choice}
        return {name: value for name, value in given.items() if value}

    def _with_relative_paths(self, case: Case) -> Case:
        return Case(case.name, {column: self._relative(Path(p)) for column, p in case.inputs.items()}, case.options)

    def _relative(self, path: Path) -> str:
        return path.relative_to(self._folder).as_posix() if path.is_relative_to(self._folder) else str(path)


def case_name(name: str) -> str:
    """A node's name as that of a folder anywhere."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.")[:80] or "sequence"
