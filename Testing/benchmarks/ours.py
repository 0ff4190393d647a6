"""Our own library and command line, as a user runs them; ``python -m benchmarks.ours``."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from benchmarks.job import FIELD, MOVED, Order, Report, versions_of
from benchmarks.measure import measured
from benchmarks.pairs import WEIGHTS

if TYPE_CHECKING:
    from VoxelMorphRegistrationLib.spatial import Deformation, Image

_LIBRARY = {
    "openvino": ("openvino", "full"),
    "openvino-half": ("openvino", "half"),
    "tensorflow": ("tensorflow", "full"),
    "tensorflow-half": ("tensorflow", "half"),
}
"""Engine and resolution of each method."""

_PACKAGES = {"openvino": ("openvino",), "tensorflow": ("tensorflow-cpu", "voxelmorph")}

COMMAND = "command"
METHODS = (*_LIBRARY, COMMAND)


def library(order: Order) -> Report:
    """The job twice in one process: the second, with model and engine loaded, is what is reported."""
    import SimpleITK as sitk
    from VoxelMorphRegistrationLib.files.volumes import read_volume
    from VoxelMorphRegistrationLib.pipeline.registration import (
        RegistrationOptions,
        RegistrationResult,
        register,
    )
    from VoxelMorphRegistrationLib.spatial import simpleitk_bridge as bridge

    engine, resolution = _LIBRARY[order.method]

    def job(*, inverse: bool = False) -> RegistrationResult:
        options = RegistrationOptions(model=str(WEIGHTS), engine=engine, resolution=resolution, inverse=inverse)
        return register(read_volume(order.fixed), read_volume(order.moving), options)

    _, first = measured(job)
    result, cost = measured(job)

    grid = result.moved.grid
    total = sitk.Cast(result.deformation.resampling_field(grid).to_sitk(), sitk.sitkVectorFloat32)
    sitk.WriteImage(total, str(order.output / FIELD))
    sitk.WriteImage(bridge.scalar_to_sitk(result.moved.array, grid), str(order.output / MOVED))
    return Report(
        cost,
        versions_of("numpy", "SimpleITK", *_PACKAGES[engine]),
        first_wall_s=first.wall_s,
        inverse_error_mm=_inverse_error_mm(job(inverse=True).deformation, read_volume(order.fixed)),
        seconds=result.seconds,
    )


def command(order: Order) -> Report:
    """``register`` from a shell: interpreter start, imports, model, both outputs written."""
    transform, moved = order.output / "transform.h5", order.output / MOVED
    arguments = [
        *("register", "--fixed", order.fixed, "--moving", order.moving),
        *("--transform", str(transform), "--moved", str(moved)),
        *("--model", str(WEIGHTS), "--engine", "openvino"),
    ]

    def job() -> None:
        subprocess.run([sys.executable, "-m", "VoxelMorphRegistrationLib", *arguments], check=True)

    try:
        _, cost = measured(job, in_children=True)
    except subprocess.CalledProcessError as error:
        sys.exit(error.returncode)  # the command has said why
    return Report(cost, versions_of("numpy", "SimpleITK", "openvino"), field_file=transform.name)


def _inverse_error_mm(deformation: Deformation, fixed: Image) -> float:
    """Mean over every 50th brain voxel of how far forward and inverse map together move it."""
    import numpy as np

    points = fixed.grid.to_ras(np.argwhere(fixed.array > 0)[::50])
    there_and_back = deformation.map_points_back(deformation.map_points(points))
    return float(np.linalg.norm(there_and_back - points, axis=-1).mean())


def main() -> None:
    """Run one method and leave its report, transform and moved volume in the output folder."""
    order = Order.from_command_line(METHODS)
    run = command if order.method == COMMAND else library
    run(order).save(order.output)


if __name__ == "__main__":
    main()
