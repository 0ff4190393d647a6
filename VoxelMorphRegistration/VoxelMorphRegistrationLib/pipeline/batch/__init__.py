"""Many cases, one after the other and beside each other: `read_cases`, `run_batch`, `load_results`.

Runs on Dask (the optional group "batch"), which is imported when a batch is run.
"""

from VoxelMorphRegistrationLib.pipeline.batch.case import Case
from VoxelMorphRegistrationLib.pipeline.batch.cases_file import read_cases, write_cases
from VoxelMorphRegistrationLib.pipeline.batch.cluster import ClusterOptions
from VoxelMorphRegistrationLib.pipeline.batch.record import Record
from VoxelMorphRegistrationLib.pipeline.batch.results import FinishedCase, load_results
from VoxelMorphRegistrationLib.pipeline.batch.running import BatchResult, run_batch

__all__ = [
    "BatchResult",
    "Case",
    "ClusterOptions",
    "FinishedCase",
    "Record",
    "command_line",
    "load_results",
    "read_cases",
    "run_batch",
    "write_cases",
]


def command_line(cases_file: str, output: str, scheduler: str | None = None, workers: int | None = None) -> str:
    """The command that runs a cases file, as a line for a shell, file names quoted as POSIX shells and Slurm want."""
    import shlex

    parts = ["voxelmorph-registration", "batch", cases_file, "--output", output]
    parts += ["--scheduler", scheduler] if scheduler else []
    parts += ["--workers", str(workers)] if workers else []
    return shlex.join(parts)
