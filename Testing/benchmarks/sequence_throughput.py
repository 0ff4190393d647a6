"""Frames per second, bytes per frame and memory of a sequence's registration, beside elastix: for Docs/sequences.md.

``python Testing/benchmarks/sequence_throughput.py --elastix .venv-bench/bin/python --write``: a T1 brain of
../shared/data (160x192x224 voxels of 1 mm) under smooth known warps, as files of one frame each, registered at half and
at full resolution, with and without labels to carry; each run in a process of its own, whose largest memory is taken,
and the half-resolution one with 10 and with 100 frames. Frames per second count from the first finished frame to the
last, engine warm, files read and written. The row that the target is stated for has VoxelMorph's T1 model on the frames
cut to 143x175x207 voxels, which makes the network's grid 80x96x112 at half resolution. What is finished stays in
``--work``, and is not done again with the same model and code.
"""

from __future__ import annotations

# ruff: noqa: E402, this is a script: it sets sys.path first
import argparse
import json
import os
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "Testing"), str(ROOT / "VoxelMorphRegistration")]

import numpy as np
import SimpleITK as sitk
from shared_data import SHARED_DATA
from VoxelMorphRegistrationLib.network.catalogue import DEFAULT_MODEL

from benchmarks.documents import put_between
from benchmarks.elastix_frames import PRESETS, elastix
from benchmarks.kept import KeptRows, identity
from benchmarks.machine import Machine

PAGE = ROOT / "Docs" / "sequences.md"
MARK = "sequence throughput"
_T1_MODEL = SHARED_DATA / "weights" / "vxm_dense_brain_T1_3D_mse.h5"
_TARGET_SIZE = (143, 175, 207)
_DIFFERENT = 10
"""Frames that are made; longer sequences repeat them under other names."""


@dataclass(frozen=True)
class Run:
    """What one process said of itself."""

    frames_per_second: float
    bytes_per_frame: float
    peak_mb: float
    seconds: float
    plan: str


def make_frames(folder: Path, count: int, size: tuple[int, int, int] | None = None) -> None:
    """Frame n is the brain under a smooth warp of a strength of its own; uncompressed, as scanners' exports are.

    With a ``size``, so many voxels in the middle of it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    brain = sitk.ReadImage(str(SHARED_DATA / "vxm_pair" / "subject_1_t1.nii.gz"))
    if size is not None:
        first = [(whole - wanted) // 2 for whole, wanted in zip(brain.GetSize(), size, strict=True)]
        brain = sitk.RegionOfInterest(brain, size, first)
    coarse = np.random.default_rng(0).normal(0, 1, (9, 8, 7, 3))
    lattice = sitk.GetImageFromArray(coarse, isVector=True)
    whole = np.array(brain.GetSpacing()) * (np.array(brain.GetSize()) - 1)
    lattice.SetSpacing((whole / (np.array(lattice.GetSize()) - 1)).tolist())
    lattice.SetOrigin(brain.GetOrigin())
    lattice.SetDirection(brain.GetDirection())
    for n in range(count):
        path = folder / f"frame{n:04d}.nii"
        if path.exists():
            continue
        if n >= _DIFFERENT:
            path.symlink_to(folder / f"frame{n % _DIFFERENT:04d}.nii")
            continue
        strength = 4.0 * np.sin(2 * np.pi * n / _DIFFERENT)
        warp = sitk.GetImageFromArray(coarse * strength, isVector=True)
        warp.CopyInformation(lattice)
        half = folder / "half.nii"
        sitk.WriteImage(sitk.Resample(brain, brain, sitk.DisplacementFieldTransform(warp)), str(half))
        half.replace(path)


def ours(arguments: argparse.Namespace, frames: Path, model: str, resolution: str, *options: str) -> Run:
    """In a process of its own, by the command line, so that nothing of this one is counted."""
    out = arguments.work / "out"
    shutil.rmtree(out, ignore_errors=True)
    command = [sys.executable, __file__, "--one", "sequence", str(frames), "--reference", "0", "--json"]
    command += ["--output", str(out), "--resolution", resolution, "--model", model, *options]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"the command ended with {done.returncode}: {(done.stdout + done.stderr)[-3000:]}")
    said = done.stdout
    report, told = json.loads(said[: said.rindex('\n{"peak')]), json.loads(said[said.rindex('\n{"peak') :])
    records = [frame for frame in report["frames"] if frame["status"] == "registered"]
    finished = sorted((out / "frames" / f"frame_{each['frame']:04d}.json").stat().st_mtime for each in records)
    shutil.rmtree(out)
    return Run(
        frames_per_second=(len(finished) - 1) / (finished[-1] - finished[0]),
        bytes_per_frame=mean(sum(size for _, size in frame["files"]) for frame in records),
        peak_mb=told["peak_mb"],
        seconds=report["seconds"],
        plan=report["plan"],
    )


def one(argv: list[str]) -> None:
    """What the process of a run does: the command, then its largest memory."""
    import resource

    from VoxelMorphRegistrationLib.commands.main import main as command

    code = command(argv)
    print("\n" + json.dumps({"peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))
    sys.exit(code)


def elastix_seconds(arguments: argparse.Namespace, preset: str) -> float:
    """Seconds a frame, over a few."""
    frames = arguments.work / "frames-10"
    make_frames(frames, 10)
    fixed = {n: frames / f"frame{n:04d}.nii" for n in range(1, 1 + arguments.elastix_frames)}
    lines = elastix(arguments.elastix, preset, frames / "frame0000.nii", fixed, arguments.work / "elastix")
    return mean(line["seconds"] for line in lines)


def main() -> None:
    if sys.argv[1:2] == ["--one"]:
        one(sys.argv[2:])
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=ROOT / "bench-output" / "throughput")
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--frames", type=int, default=100, help="of the long run (default: 100)")
    parser.add_argument("--elastix", metavar="PYTHON", help="the interpreter that has itk-elastix")
    parser.add_argument("--elastix-frames", type=int, default=2)
    parser.add_argument("--write", action="store_true", help="put the table into --page")
    parser.add_argument("--page", type=Path, default=PAGE, help="(default: Docs/sequences.md)")
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    labels = ["--labels", str(SHARED_DATA / "vxm_pair" / "subject_1_aseg.nii.gz")]

    def run(name: str, model: str, frames: str, *way: str) -> Run:
        kept = KeptRows(arguments.work / f"rows-{identity(model)}.json")
        row = Run(**kept.row(name, lambda: asdict(ours(arguments, arguments.work / frames, model, *way))))
        print(f"{name}: {row.frames_per_second:.2f} frames a second, {row.peak_mb:.0f} MB", flush=True)
        return row

    many = f"frames-{arguments.frames}"
    make_frames(arguments.work / "frames-10", 10)
    make_frames(arguments.work / many, arguments.frames)
    make_frames(arguments.work / "frames-10-cut", 10, _TARGET_SIZE)
    ways: dict[str, tuple[str, ...]] = {
        "half resolution": ("half",),
        "half resolution, fields as int16": ("half", "--keep", "int16"),
        "half resolution, 45 labels carried": ("half", *labels),
        "half resolution, labels only": ("half", "--keep", "results", *labels),
        "full resolution": ("full",),
    }
    runs = {name: run(name, arguments.model, "frames-10", *way) for name, way in ways.items()}
    target = "half resolution, T1 model, 80x96x112 network grid"
    runs[target] = run(target, str(_T1_MODEL), "frames-10-cut", "half")
    if "80 x 96 x 112" not in runs[target].plan:
        raise RuntimeError(f"the network's grid is not the one of the target: {runs[target].plan}")
    long = f"half resolution, {arguments.frames} frames"
    runs[long] = run(long, arguments.model, many, "half")
    peers = {preset: elastix_seconds(arguments, preset) for preset in PRESETS} if arguments.elastix else {}
    text = page(runs, runs[long], arguments.frames, peers)
    print(text)
    if arguments.write:
        put_between(arguments.page, MARK, text)


def page(runs: dict[str, Run], long: Run, count: int, peers: dict[str, float]) -> str:
    """As Markdown."""
    short = runs["half resolution"]
    lines = [
        "T1 brain, frames of 160x192x224 voxels of 1 mm, every frame to the reference. "
        + str(Machine.this_one(os.cpu_count() or 1)),
        "",
        "| | frames a second | s a frame | MB a frame kept | peak memory MB |",
        "|---|---|---|---|---|",
    ]
    for name, run in runs.items():
        lines.append(
            f"| {name} | {run.frames_per_second:.2f} | {1 / run.frames_per_second:.2f} | "
            f"{run.bytes_per_frame / 1e6:.2f} | {run.peak_mb:.0f} |"
        )
    for preset, seconds in peers.items():
        lines.append(f"| elastix, {preset} ({PRESETS[preset]}) | {1 / seconds:.3f} | {seconds:.1f} | | |")
    growth = 100 * (long.peak_mb / short.peak_mb - 1)
    lines += [
        "",
        f"From 10 to {count} frames the peak memory changes by {growth:+.1f} %. Half: {short.plan}.",
    ]
    if peers:
        times = ", ".join(f"{s * long.frames_per_second:.0f} times as fast as elastix's {p}" for p, s in peers.items())
        lines += [f"Half resolution is {times}."]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
