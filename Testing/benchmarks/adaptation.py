"""What adapting the default model to one patient gains: a synthetic breathing sequence made from the trunk CT.

    cd Testing && export PYTHONPATH=.:../VoxelMorphRegistration
    ../.venv/bin/python -m benchmarks.adaptation --frames 50 --cpu-minutes 3 --write ../Docs/default-model.md

The sequence is the tests' own (``pipeline/sequence/breathing.py``), with noise; every fifth frame is registered to the
first, before and after the adaptation to all of them, and judged by points whose true place in each frame is known.
The budget is processor time of one thread, so that other work on the machine does not change the result much.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from pipeline.sequence.breathing import Breathing
from VoxelMorphRegistrationLib.files.frames.protocol import ImageFrames
from VoxelMorphRegistrationLib.files.volumes import read_volume
from VoxelMorphRegistrationLib.network.catalogue import EMBEDDED_MODEL, Catalogue
from VoxelMorphRegistrationLib.pipeline.registration import RegistrationOptions, register
from VoxelMorphRegistrationLib.pipeline.training.fine_tuning import Adaptation, fine_tune
from VoxelMorphRegistrationLib.progress import Progress
from VoxelMorphRegistrationLib.spatial import Image

from benchmarks.documents import put_between
from benchmarks.pairs import DATA

_JUDGED = 10  # frames
_POINTS = 400


def errors(frames: list[Image], sequence: Breathing, model: str, judged: list[int]) -> list[float]:
    """Mean distance in mm of the anatomy's points from the truth, for each of these frames registered to the first."""
    points = sequence.landmarks(0, _POINTS)
    options = RegistrationOptions(model=model, pre_align="none", resolution="half", engine="openvino", threads=1)
    found = []
    for n in judged:
        deformation = register(frames[0], frames[n], options).deformation
        truth = sequence.between(0, n, points)
        found.append(float(np.linalg.norm(deformation.map_points(points) - truth, axis=-1).mean()))
    return found


def main() -> int:
    """Adapt, and print the errors before and after, with --write into a page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=50)
    parser.add_argument("--cpu-minutes", type=float, default=3.0)
    parser.add_argument("--model", default=EMBEDDED_MODEL)
    parser.add_argument("--write", type=Path, metavar="PAGE", help="put the table between the page's marks")
    arguments = parser.parse_args()
    sequence = Breathing(read_volume(DATA / "ct" / "example_ct.nii.gz"), count=arguments.frames, noise=20.0)
    frames = list(sequence)
    points = sequence.landmarks(0, _POINTS)
    judged = list(range(0, len(frames), max(1, len(frames) // _JUDGED)))[1:]
    still = [float(np.linalg.norm(sequence.between(0, n, points) - points, axis=-1).mean()) for n in judged]
    rows = [_row("unregistered", still)]
    before = errors(frames, sequence, arguments.model, judged)
    rows.append(_row(arguments.model, before))
    with tempfile.TemporaryDirectory() as folder:
        catalogue = Catalogue(cache_folder=Path(folder))
        wall, processor = time.monotonic(), time.process_time()
        adapted = fine_tune(
            ImageFrames(frames),
            catalogue.find(arguments.model),
            title="adapted",
            options=Adaptation(minutes=arguments.cpu_minutes, threads=1),
            catalogue=catalogue,
            clock=time.process_time,
            progress=Progress(lambda stage, fraction: print(f"{100 * fraction:.0f} % {stage}", flush=True)),
        )
        wall, processor = time.monotonic() - wall, time.process_time() - processor
        after = errors(frames, sequence, str(catalogue.weights_path(adapted.card)), judged)
    rows.append(_row(f"adapted, {adapted.steps} steps", after))
    text = "\n".join(
        [
            f"{arguments.frames} frames, {len(judged)} of them judged; {arguments.cpu_minutes:g} minutes of processor "
            f"time on one thread, with everything around it {processor / 60:.1f} ({wall / 60:.1f} by the clock of a "
            f"machine that others used, too).",
            "",
            "| | mean error, mm | worst frame, mm |",
            "|---|---|---|",
            *rows,
        ]
    )
    print(text, flush=True)
    if arguments.write is not None:
        put_between(arguments.write, "adaptation", text)
    return 0


def _row(name: str, found: list[float]) -> str:
    row = f"| {name} | {np.mean(found):.2f} | {max(found):.2f} |"
    print(row, flush=True)
    return row


if __name__ == "__main__":
    raise SystemExit(main())
