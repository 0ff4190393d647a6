"""Is the result the same on every engine, with any number of threads, and every time?

    python Testing/hardening/agreement.py [--pair small|brains] [--resolution half] [--repeats 2] [--write]

Each registration runs in a process of its own, so that nothing is left of the one before. Compared are the whole maps,
at every second voxel of the fixed image: the largest distance between where two of them take a point. ``brains`` are
the two T1 brains and the weights in ../shared/data, ``small`` two ellipsoids and the shipped model. ``--write`` puts
the figures into Docs/reliability.md.
"""

from __future__ import annotations

# ruff: noqa: E402, this is a script: it sets sys.path first
import argparse
import dataclasses
import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "Testing"), str(ROOT / "VoxelMorphRegistration")]

import numpy as np
from benchmarks.documents import put_between
from VoxelMorphRegistrationLib.network.catalogue import EMBEDDED_MODEL
from VoxelMorphRegistrationLib.network.engines import available_engines
from VoxelMorphRegistrationLib.pipeline.registration import RegistrationOptions, register
from VoxelMorphRegistrationLib.pipeline.registration_job import RegistrationJob

TOLERANCE_MM = {"repeat": 1e-6, "threads": 1e-3, "engine": 1e-2}
"""How far apart two maps may be: run again as it was; with other threads; on another engine."""
_SHARED = ROOT.parent / "shared" / "data"


@dataclasses.dataclass(frozen=True)
class Run:
    """A registration: on which engine, with how many threads, and its how-manieth repeat it is."""

    engine: str
    threads: int
    repeat: int

    def against(self, first: Run) -> str:
        """In what it differs from the first: a key of `TOLERANCE_MM`."""
        if self.engine != first.engine:
            return "engine"
        return "threads" if self.threads != first.threads else "repeat"


def job(pair: str, resolution: str, folder: Path) -> RegistrationJob:
    """The registration that is repeated."""
    if pair == "small":
        from hardening.small_registrations import small_job

        given = small_job(folder, resolution=resolution, pre_align="affine")
        return dataclasses.replace(given, options=dataclasses.replace(given.options, model=EMBEDDED_MODEL))
    from VoxelMorphRegistrationLib.files.volumes import read_volume

    fixed, moving = (read_volume(_SHARED / f"vxm_pair/{name}_t1.nii.gz") for name in ("subject_1", "test_scan"))
    model = str(_SHARED / "weights/vxm_dense_brain_T1_3D_mse.h5")
    return RegistrationJob(fixed, moving, RegistrationOptions(model=model, resolution=resolution))


def run_here(run: Run, pair: str, resolution: str, folder: Path, output: Path) -> None:
    """Register, and write where the map takes every second voxel of the fixed image, (n, 3) RAS mm."""
    _hold_to(run.threads)
    given = job(pair, resolution, folder)
    options = dataclasses.replace(given.options, engine=run.engine, threads=run.threads)
    result = register(given.fixed, given.moving, options)
    index = np.stack(np.meshgrid(*(np.arange(0, n, 2) for n in given.fixed.grid.shape), indexing="ij"), -1)
    points = given.fixed.grid.to_ras(index.reshape(-1, 3))
    np.save(output, result.deformation.map_points(points))


def _hold_to(threads: int) -> None:
    import SimpleITK as sitk

    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(threads)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])


def run_all(pair: str, resolution: str, runs: list[Run], folder: Path) -> dict[Run, np.ndarray]:
    """What each of them gives."""
    given = {}
    for run in runs:
        output = folder / f"{run.engine}-{run.threads}-{run.repeat}.npy"
        numbers = [run.engine, str(run.threads), str(run.repeat), pair, resolution, str(folder), str(output)]
        environment = os.environ | {"OMP_NUM_THREADS": str(run.threads), "TF_CPP_MIN_LOG_LEVEL": "3"}
        subprocess.run([sys.executable, __file__, "--one", *numbers], check=True, env=environment)
        given[run] = np.load(output)
        print(run, file=sys.stderr, flush=True)
    return given


def compared(given: dict[Run, np.ndarray]) -> list[tuple[Run, str, float]]:
    """Each run against the first, and each repeat against the first of its kind: what differs, and how far, mm."""
    first = next(iter(given))
    found = []
    for run, points in given.items():
        like = dataclasses.replace(run, repeat=0) if run.repeat else first
        if run != first:
            distance = float(np.linalg.norm(points - given[like], axis=-1).max())
            found.append((run, run.against(like), distance))
    return found


def table(found: list[tuple[Run, str, float]], first: Run) -> str:
    """The figures."""
    rows = [
        "| engine | threads | repeat | differs from | largest distance, mm | tolerance, mm |",
        "| --- | ---: | ---: | --- | ---: | ---: |",
    ]
    for run, what, distance in found:
        other = "its first run" if run.repeat else f"{first.engine}, {first.threads} thread"
        rows.append(
            f"| {run.engine} | {run.threads} | {run.repeat + 1} | {other} | {distance:.2g} | {TOLERANCE_MM[what]:g} |"
        )
    return "\n".join(rows)


def main() -> int:
    """Run it; 0 if all is within tolerance."""
    if sys.argv[1:2] == ["--one"]:
        engine, threads, repeat, pair, resolution, folder, output = sys.argv[2:]
        run_here(Run(engine, int(threads), int(repeat)), pair, resolution, Path(folder), Path(output))
        return 0
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pair", choices=("small", "brains"), default="brains")
    parser.add_argument("--resolution", choices=("full", "half", "quarter"), default="half")
    parser.add_argument("--engines", nargs="+", default=list(available_engines()))
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--write", action="store_true", help="put the figures into Docs/reliability.md")
    arguments = parser.parse_args()
    runs = [
        Run(engine, threads, n) for engine in arguments.engines for threads in (1, 2) for n in range(arguments.repeats)
    ]
    with tempfile.TemporaryDirectory() as name:
        given = run_all(arguments.pair, arguments.resolution, runs, Path(name))
    found = compared(given)
    text = table(found, runs[0])
    print(text)
    if arguments.write:
        command = shlex.join(["python", "Testing/hardening/agreement.py", *sys.argv[1:]])
        put_between(ROOT / "Docs/reliability.md", "agreement", f"`{command}`:\n\n{text}")
    return 0 if all(distance <= TOLERANCE_MM[what] for _, what, distance in found) else 1


if __name__ == "__main__":
    sys.exit(main())
