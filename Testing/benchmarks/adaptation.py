"""What adapting the default model to one patient gains: a synthetic breathing sequence made from the trunk CT.

    cd Testing && export PYTHONPATH=.:../VoxelMorphRegistration
    ../.venv/bin/python -m benchmarks.adaptation --frames 50 --minutes 10

The sequence is the tests' own (``pipeline/sequence/breathing.py``), with noise; every fifth frame is registered to the
first, before and after the adaptation to all of them, and judged by points whose true place in each frame is known.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from pipeline.sequence.breathing import Breathing
from VoxelMorphRegistrationLib.files.volumes import read_volume
from VoxelMorphRegistrationLib.network.catalogue import EMBEDDED_MODEL, Catalogue
from VoxelMorphRegistrationLib.pipeline.registration import RegistrationOptions, register
from VoxelMorphRegistrationLib.pipeline.training.fine_tuning import fine_tune
from VoxelMorphRegistrationLib.progress import Progress
from VoxelMorphRegistrationLib.spatial import Image

from benchmarks.pairs import DATA


def errors(frames: list[Image], sequence: Breathing, model: str, every: int) -> list[float]:
    """Mean distance in mm of the anatomy's points from the truth, for every so many frames registered to the first."""
    points = sequence.landmarks(0, 400)
    options = RegistrationOptions(model=model, pre_align="none", resolution="half")
    found = []
    for n in range(every, len(frames), every):
        deformation = register(frames[0], frames[n], options).deformation
        truth = sequence.between(0, n, points)
        found.append(float(np.linalg.norm(deformation.map_points(points) - truth, axis=-1).mean()))
    return found


def main() -> int:
    """Adapt, and print the errors before and after."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=50)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--model", default=EMBEDDED_MODEL)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    sequence = Breathing(read_volume(DATA / "ct" / "example_ct.nii.gz"), count=arguments.frames, noise=20.0)
    frames = list(sequence)
    points = sequence.landmarks(0, 400)
    every = max(1, arguments.frames // 10)
    still = [
        float(np.linalg.norm(sequence.between(0, n, points) - points, axis=-1).mean())
        for n in range(every, len(frames), every)
    ]
    print(f"unregistered {np.mean(still):.2f} mm (most {max(still):.2f})", flush=True)
    before = errors(frames, sequence, arguments.model, every)
    print(f"{arguments.model} {np.mean(before):.2f} mm (most {max(before):.2f})", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        catalogue = Catalogue(cache_folder=Path(folder))
        started = time.monotonic()
        adapted = fine_tune(
            frames,
            catalogue.find(arguments.model),
            arguments.minutes,
            title="adapted",
            threads=arguments.threads,
            catalogue=catalogue,
            progress=Progress(lambda stage, fraction: print(f"{100 * fraction:.0f} % {stage}", flush=True)),
        )
        print(f"{time.monotonic() - started:.0f} s in all; {adapted.card.description}", flush=True)
        after = errors(frames, sequence, str(catalogue.weights_path(adapted.card)), every)
        print(f"adapted {np.mean(after):.2f} mm (most {max(after):.2f})", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
