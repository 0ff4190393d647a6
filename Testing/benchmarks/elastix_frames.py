"""itk-elastix on the frames of a sequence; run by an interpreter that has it: ``python -m benchmarks.elastix_frames``.

Prints one JSON line a frame: its number, the seconds of the registration alone (not of reading and writing), the field.
Beside the field lies the same line, with the files and settings it was made of: such a frame is not done again.
``elastix()`` is for the benchmarks, which run in an interpreter that does not have it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

PRESETS = {
    "default": "elastix's default maps: affine, then B-spline (4 resolutions, 256 iterations each, 10 mm grid)",
    "fast": "B-spline alone, as frames of one scanner lie together: 3 resolutions, 100 iterations each, 16 mm grid",
}


def elastix(python: str, preset: str, moving: Path, fixed: Mapping[int, Path], output: Path) -> list[dict[str, Any]]:
    """The lines of the frames in ``fixed``, by an interpreter that has itk-elastix; says so where it fails."""
    output.mkdir(parents=True, exist_ok=True)
    command = [str(Path(python).absolute()), "-m", "benchmarks.elastix_frames", "--preset", preset]
    command += ["--output", str(output.absolute()), "--moving", str(moving.absolute())]
    command += [f"{n}={path.absolute()}" for n, path in fixed.items()]
    testing = str(Path(__file__).resolve().parents[1])
    environment = os.environ | {"PYTHONPATH": testing}
    # transformix leaves a deformationField.nii where it is run
    done = subprocess.run(command, check=False, env=environment, cwd=output, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"elastix ended with {done.returncode}: {(done.stdout + done.stderr)[-3000:]}")
    lines: list[dict[str, Any]] = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--moving", required=True, help="the reference frame: its labels are carried")
    parser.add_argument("--preset", choices=PRESETS, default="default")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("fixed", nargs="+", help="NUMBER=FILE of each frame")
    arguments = parser.parse_args()
    for each in arguments.fixed:
        number, _, path = each.partition("=")
        print(json.dumps(_frame(arguments, int(number), path)), flush=True)


def _frame(arguments: argparse.Namespace, number: int, path: str) -> dict[str, Any]:
    field = arguments.output / f"elastix_{arguments.preset}_{number:04d}.mha"
    kept = field.with_suffix(".json")
    made_of = {"moving": arguments.moving, "fixed": path, "preset": PRESETS[arguments.preset]}
    if kept.exists():
        line: dict[str, Any] = json.loads(kept.read_text())
        if made_of.items() <= line.items():
            return line
    import itk

    moving, fixed = itk.imread(arguments.moving, itk.F), itk.imread(path, itk.F)
    started = time.perf_counter()
    method = itk.ElastixRegistrationMethod[itk.Image[itk.F, 3], itk.Image[itk.F, 3]].New(
        FixedImage=fixed, MovingImage=moving
    )
    method.SetParameterObject(_parameters(itk, arguments.preset))
    method.LogToConsoleOff()
    method.UpdateLargestPossibleRegion()
    seconds = time.perf_counter() - started
    itk.imwrite(itk.transformix_deformation_field(moving, method.GetTransformParameterObject()), str(field))
    line = {"frame": number, "seconds": seconds, "field": str(field), **made_of}
    half = kept.with_suffix(".half")
    half.write_text(json.dumps(line))
    half.replace(kept)
    return line


def _parameters(itk: Any, preset: str) -> Any:
    parameters = itk.ParameterObject.New()
    if preset == "default":
        for stage in ("affine", "bspline"):
            parameters.AddParameterMap(parameters.GetDefaultParameterMap(stage))
        return parameters
    fast = parameters.GetDefaultParameterMap("bspline", 3, 16.0)
    fast["MaximumNumberOfIterations"] = ["100"]
    parameters.AddParameterMap(fast)
    return parameters


if __name__ == "__main__":
    main()
