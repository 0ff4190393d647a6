"""What the background process can do: one class for each kind of job, found by its name.

A job is a frozen dataclass of what it needs: numbers, texts, paths, arrays, images, and other such dataclasses. `run`
does it there, and what `run` returns, such a dataclass too, comes back (`exchange` takes both apart by their types, so
`run` says what it returns). A new kind of job is such a class, in a module that imports nothing heavy at its top, and a
line in ``_MODULES``.
"""

from __future__ import annotations

import typing
from abc import ABC, abstractmethod
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from VoxelMorphRegistrationLib.progress import Progress

Result_co = TypeVar("Result_co", covariant=True)


class BackgroundJob(ABC, Generic[Result_co]):
    """Something that the background process does."""

    title: ClassVar[str] = "job"
    """What it is called in a sentence: "The TITLE failed"."""
    relief: ClassVar[str] = "use smaller volumes"
    """What the user can do where there is not enough memory for it."""

    @property
    def temporary_folder(self) -> Path | None:
        """A folder of the parent's, which is removed by the process if the parent ends before it could do so."""
        return None

    @abstractmethod
    def run(self, progress: Progress) -> Result_co:
        """Do it. Raises a RegistrationError with a sentence for the user; CancelledError where ``progress`` says so."""


_MODULES = {
    "AdaptationJob": "adaptation_job",
    "CheckJob": "quality.check_job",
    "FieldDiagnosisJob": "field_jobs",
    "FieldJob": "field_jobs",
    "ModelJob": "model_job",
    "ReferenceJob": "sequence_job",
    "RegistrationJob": "registration_job",
    "SequenceJob": "sequence_job",
}
"""Name of a job's class: the module, within this package, in which it is."""


def job_class(name: str) -> type[BackgroundJob[Any]]:
    """The class of a job; its module is imported now. Raises LookupError for a name that is none."""
    module = import_module(f"{__package__}.{_MODULES[name]}")
    found: type[BackgroundJob[Any]] = getattr(module, name)
    return found


def result_type(job: BackgroundJob[Any]) -> Any:
    """What the job's `run` says that it returns."""
    return typing.get_type_hints(type(job).run)["return"]
