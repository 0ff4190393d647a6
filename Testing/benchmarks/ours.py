"""Our own library and command line, as a user runs them; ``python -m benchmarks.ours``."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.job import FIELD, MOVED, Order, Report, seconds_since_start, versions_of
from benchmarks.measure import measured
from benchmarks.pairs import WEIGHTS

if TYPE_CHECKING:
    from VoxelMorphRegistrationLib.spatial import Deformation, Image

DEFAULT = "voxelmorph-default"


@dataclass(frozen=True)
class Way:
    """One way to use us."""

    title: str
    model: str
    """Name or file; none for the pre-alignment alone."""
    resolution: str = "full"
    engine: str = "openvino"
    refine_seconds: float = 0.0
    is_command: bool = False
    """The command line in a new process, not the library in a warm one."""


WAYS = {
    "pre-align": Way("ours, pre-alignment alone", ""),
    "default-half": Way("ours, default model, half resolution", DEFAULT, "half"),
    "default": Way("ours, default model", DEFAULT),
    "default-5s": Way("ours, default model, 5 s refinement", DEFAULT, refine_seconds=5),
    "default-30s": Way("ours, default model, 30 s refinement", DEFAULT, refine_seconds=30),
    "t1": Way("ours, T1 model", str(WEIGHTS)),
    "t1-half": Way("ours, T1 model, half resolution", str(WEIGHTS), "half"),
    "t1-3s": Way("ours, T1 model, 3 s refinement", str(WEIGHTS), refine_seconds=3),
    "t1-tensorflow": Way("ours, T1 model, TensorFlow", str(WEIGHTS), engine="tensorflow"),
    "t1-half-tensorflow": Way("ours, T1 model, half, TensorFlow", str(WEIGHTS), "half", "tensorflow"),
    "default-command": Way("ours, default model, cold command", DEFAULT, is_command=True),
    "t1-command": Way("ours, T1 model, cold command", str(WEIGHTS), is_command=True),
}
METHODS = tuple(WAYS)

_PACKAGES = {"openvino": ("openvino",), "tensorflow": ("tensorflow-cpu", "voxelmorph")}


def library(order: Order) -> Report:
    """The job in a process whose model and engine are loaded, by a job before it whose time is reported, too."""
    import SimpleITK as sitk
    from VoxelMorphRegistrationLib.files.volumes import read_volume
    from VoxelMorphRegistrationLib.pipeline.registration import (
        RegistrationOptions,
        RegistrationResult,
        register,
    )
    from VoxelMorphRegistrationLib.spatial import simpleitk_bridge as bridge

    way = WAYS[order.method]

    def job(*, inverse: bool = False, refine_seconds: float = 0.0) -> RegistrationResult:
        options = RegistrationOptions(
            model=way.model,
            engine=way.engine,
            resolution=way.resolution,
            inverse=inverse,
            refine_seconds=refine_seconds,
        )
        return register(read_volume(order.fixed), read_volume(order.moving), options)

    start_s = seconds_since_start()
    _, first = measured(job)
    result, cost = measured(lambda: job(refine_seconds=way.refine_seconds))

    grid = result.moved.grid
    total = sitk.Cast(result.deformation.resampling_field(grid).to_sitk(), sitk.sitkVectorFloat32)
    sitk.WriteImage(total, str(order.output / FIELD))
    sitk.WriteImage(bridge.scalar_to_sitk(result.moved.array, grid), str(order.output / MOVED))
    plain = not way.refine_seconds
    return Report(
        cost,
        versions_of("numpy", "SimpleITK", *_PACKAGES[way.engine]),
        first_wall_s=first.wall_s if plain else None,
        inverse_error_mm=_inverse_error_mm(job(inverse=True).deformation, read_volume(order.fixed)) if plain else None,
        start_s=start_s,
        seconds=result.seconds,
    )


def pre_alignment(order: Order) -> Report:
    """What the network starts from."""
    import numpy as np
    import SimpleITK as sitk
    from VoxelMorphRegistrationLib.files.volumes import read_volume
    from VoxelMorphRegistrationLib.spatial import Deformation, DisplacementField, pre_align
    from VoxelMorphRegistrationLib.spatial import simpleitk_bridge as bridge

    def job() -> tuple[Deformation, Image]:
        fixed, moving = read_volume(order.fixed), read_volume(order.moving)
        matrix = pre_align(fixed, moving, "affine", same_contrast=None).matrix
        found = Deformation(matrix, DisplacementField.zero(fixed.grid))
        return found, found.warp(moving, fixed.grid, outside=float(np.min(moving.array)))

    start_s = seconds_since_start()
    (found, moved), cost = measured(job)
    total = sitk.Cast(found.resampling_field(moved.grid).to_sitk(), sitk.sitkVectorFloat32)
    sitk.WriteImage(total, str(order.output / FIELD))
    sitk.WriteImage(bridge.scalar_to_sitk(moved.array, moved.grid), str(order.output / MOVED))
    return Report(cost, versions_of("numpy", "SimpleITK"), start_s=start_s)


def command(order: Order) -> Report:
    """``register`` from a shell: interpreter start, imports, model, both outputs written."""
    transform, moved = order.output / "transform.h5", order.output / MOVED
    arguments = [
        *("register", "--fixed", order.fixed, "--moving", order.moving),
        *("--transform", str(transform), "--moved", str(moved)),
        *("--model", WAYS[order.method].model, "--engine", WAYS[order.method].engine),
    ]

    def job() -> None:
        subprocess.run([sys.executable, "-m", "VoxelMorphRegistrationLib", *arguments], check=True)

    try:
        _, cost = measured(job, in_children=True)
    except subprocess.CalledProcessError as error:
        sys.exit(error.returncode)  # the command has said why
    return Report(cost, versions_of("numpy", "SimpleITK", "openvino"), field_file=transform.name)


def _inverse_error_mm(deformation: Deformation, fixed: Image) -> float:
    """Mean over every 50th voxel above the lowest value of how far forward and inverse map together move it."""
    import numpy as np

    points = fixed.grid.to_ras(np.argwhere(fixed.array > fixed.array.min())[::50])
    there_and_back = deformation.map_points_back(deformation.map_points(points))
    return float(np.linalg.norm(there_and_back - points, axis=-1).mean())


def main() -> None:
    """Run one method and leave its report, transform and moved volume in the output folder."""
    order = Order.from_command_line(METHODS)
    way = WAYS[order.method]
    run = command if way.is_command else library if way.model else pre_alignment
    run(order).save(order.output)


if __name__ == "__main__":
    main()
