"""The results of a batch, for a program that goes on with them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from VoxelMorphRegistrationLib.errors import FileError
from VoxelMorphRegistrationLib.pipeline.batch.case_folder import CaseFolder
from VoxelMorphRegistrationLib.pipeline.batch.record import Record
from VoxelMorphRegistrationLib.pipeline.batch.sequence_work import SEQUENCE_FOLDER


@dataclass(frozen=True)
class FinishedCase:
    """A case with its files, all of which are there."""

    record: Record
    folder: Path

    @property
    def name(self) -> str:
        """As in the cases file."""
        return self.record.name

    @property
    def files(self) -> dict[str, Path]:
        """Kind of output, such as ``transform`` or ``moved_labels``, to file."""
        return {kind: self.folder / output["file"] for kind, output in self.record.outputs.items()}

    @property
    def sequence_folder(self) -> Path | None:
        """For a sequence: what `SequenceStore` opens. Frames may be missing where the record is not finished."""
        return self.folder / SEQUENCE_FOLDER if self.record.kind == "sequence" else None

    @property
    def inputs(self) -> dict[str, Path]:
        """Column, such as ``fixed``, to the file of which it was made; which may be gone since."""
        identity = self.record.identity
        return {} if identity is None else {name: Path(state.path) for name, state in identity.inputs.items()}


def load_results(folder: str | os.PathLike[str]) -> list[FinishedCase]:
    """The finished cases in a batch's output folder, by name; while it runs, those finished so far.

    A sequence of which only some frames have a result is among them.

    Raises FileError where the folder is none, or holds no finished case.
    """
    source = Path(folder).expanduser()
    if not source.is_dir():
        raise FileError(f"{source} is no folder; choose the batch's output folder.")
    found = [(each, each.ended()) for each in CaseFolder.all_in(source)]
    cases = [FinishedCase(record, each.path) for each, record in found if record]
    if not cases:
        raise FileError(
            f"{source} holds no finished case of a batch; choose its output folder, in which manifest.json lies."
        )
    return cases
