"""What one worker of a batch uses at its peak, beside what `pipeline.batch.memory` says it will.

    python Testing/benchmarks/batch_memory.py [--write]

Each case runs in a process of its own, as a worker does, with one thread. ``--write`` puts the table into
Docs/batch.md.
"""

from __future__ import annotations

# ruff: noqa: E402, this is a script: it sets sys.path first
import argparse
import multiprocessing
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "Testing"), str(ROOT / "VoxelMorphRegistration")]

from shared_data import SHARED_DATA
from VoxelMorphRegistrationLib.pipeline.batch import Case
from VoxelMorphRegistrationLib.pipeline.batch.memory import bytes_needed

from benchmarks.documents import put_between
from benchmarks.measure import measured

MODEL = SHARED_DATA / "weights/vxm_dense_brain_T1_3D_mse.h5"
BRAINS = {
    "fixed": str(SHARED_DATA / "vxm_pair/subject_1_t1.nii.gz"),
    "moving": str(SHARED_DATA / "vxm_pair/test_scan_t1.nii.gz"),
}


@dataclass(frozen=True)
class Measured:
    """One case's memory, in bytes."""

    title: str
    plan: str
    peak: float
    estimate: float


def peak_of(case: Case) -> tuple[str, float]:
    """The network's grid in words, and the largest resident memory of this process, with a worker's imports."""
    import distributed  # noqa: F401, as in a worker
    from VoxelMorphRegistrationLib.pipeline.batch.work import run_case

    with tempfile.TemporaryDirectory() as output:
        record, cost = measured(lambda: run_case(case, output, 1))
    if not record.is_finished:
        raise RuntimeError(record.error)
    return record.plan.split(",")[0].removeprefix("network grid "), cost.peak_bytes


def at_rest(_: object) -> int:
    """The same of a process that registered nothing."""
    import distributed  # noqa: F401
    import openvino

    openvino.Core()
    return measured(lambda: None)[1].peak_bytes


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="put the table into Docs/batch.md")
    arguments = parser.parse_args()
    cases = {
        f"two brains, {resolution}": Case("x", BRAINS, {"model": str(MODEL), "resolution": resolution})
        for resolution in ("quarter", "half", "full")
    }
    inverse = {"model": str(MODEL), "resolution": "half", "outputs": "transform.h5 inverse.h5 moved.nii.gz"}
    cases["the same, half, with inverse"] = Case("x", BRAINS, inverse)
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        (rest,) = pool.map(at_rest, [None])
        found = [
            Measured(title, *peak, bytes_needed([case]))
            for (title, case), peak in zip(cases.items(), pool.map(peak_of, cases.values(), 1), strict=True)
        ]
    head = ["case", "network's grid", "peak, GB", "estimate, GB"]
    rows = [["a worker at rest", "", f"{rest / 1e9:.2f}", "0.35"]]
    rows += [[each.title, each.plan, f"{each.peak / 1e9:.2f}", f"{each.estimate / 1e9:.2f}"] for each in found]
    table = "\n".join("| " + " | ".join(row) + " |" for row in [head, ["---"] * 4, *rows])
    text = f"Measured (`python Testing/benchmarks/batch_memory.py`), each in a process of its own:\n\n{table}"
    print(text)
    if arguments.write:
        put_between(ROOT / "Docs/batch.md", "memory", text)


if __name__ == "__main__":
    main()
