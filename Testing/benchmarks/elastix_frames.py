"""itk-elastix on the frames of a sequence; run by an interpreter that has it: ``python -m benchmarks.elastix_frames``.

Prints one JSON line a frame: its number, the seconds of the registration alone (not of reading and writing), the field.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

PRESETS = {
    "default": "elastix's default maps: affine, then B-spline (4 resolutions, 256 iterations each, 10 mm grid)",
    "fast": "B-spline alone, as frames of one scanner lie together: 3 resolutions, 100 iterations each, 16 mm grid",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--moving", required=True, help="the reference frame: its labels are carried")
    parser.add_argument("--preset", choices=PRESETS, default="default")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("fixed", nargs="+", help="NUMBER=FILE of each frame")
    arguments = parser.parse_args()
    import itk

    moving = itk.imread(arguments.moving, itk.F)
    for each in arguments.fixed:
        number, _, path = each.partition("=")
        fixed = itk.imread(path, itk.F)
        started = time.perf_counter()
        method = itk.ElastixRegistrationMethod[itk.Image[itk.F, 3], itk.Image[itk.F, 3]].New(
            FixedImage=fixed, MovingImage=moving
        )
        method.SetParameterObject(_parameters(itk, arguments.preset))
        method.LogToConsoleOff()
        method.UpdateLargestPossibleRegion()
        seconds = time.perf_counter() - started
        field = arguments.output / f"elastix_{int(number):04d}.mha"
        itk.imwrite(itk.transformix_deformation_field(moving, method.GetTransformParameterObject()), str(field))
        print(json.dumps({"frame": int(number), "seconds": seconds, "field": str(field)}), flush=True)


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
