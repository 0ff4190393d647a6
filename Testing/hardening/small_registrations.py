"""Registrations that take a moment, through the library's worker and through the logic on slicer-core's MRML."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from pipeline.small_pair import small_volume, write_small_model
from VoxelMorphRegistrationLib.pipeline.registration import RegistrationOptions, RegistrationResult
from VoxelMorphRegistrationLib.pipeline.registration_job import RegistrationJob

_SHAPE = (20, 24, 22)


def small_job(folder: Path, **options: Any) -> RegistrationJob:
    """Two small volumes and a small network with random weights; its file is written into the folder."""
    model = folder / "small model.h5"
    if not model.exists():
        write_small_model(model)
    chosen = {"engine": "openvino", "resolution": "quarter", "pre_align": "centre", **options}
    return RegistrationJob(
        small_volume("fixed", shape=_SHAPE),
        small_volume("moving", 6.0, shape=_SHAPE),
        RegistrationOptions(model=str(model), **chosen),
    )


SAME_MM = 1e-3
"""How far apart two results may be that are to be the same."""


def apart(one: RegistrationResult, other: RegistrationResult) -> float:
    """The largest distance, mm, between where two results of the same job take the fixed volume's voxels."""
    grid = one.deformation.displacement.grid
    points = grid.to_ras(np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), -1).reshape(-1, 3))
    between = one.deformation.map_points(points) - other.deformation.map_points(points)
    return float(np.linalg.norm(between, axis=-1).max())


class SmallScene:
    """A scene of slicer-core with the two volumes, and the module's logic."""

    def __init__(self, folder: Path) -> None:
        import slicer
        from host import scene
        from host.headless import load_logic

        scene.new_scene()
        self.scene = slicer.mrmlScene
        self.logic = load_logic("VoxelMorphRegistration")
        self.job = small_job(folder)
        self.fixed, self.moving = (
            slicer.util.addVolumeFromArray(
                np.ascontiguousarray(image.array.T), np.array(image.grid.ijk_to_ras), image.name
            )
            for image in (self.job.fixed, self.job.moving)
        )
        self.choices = {
            "model": self.job.options.model,
            "engine": "openvino",
            "preAlignment": "centre",
            "resolution": "quarter",
        }

    @property
    def nodes(self) -> int:
        """How many are in the scene."""
        return int(self.scene.GetNumberOfNodes())

    def add(self, class_name: str) -> Any:
        """A new node."""
        return self.scene.AddNewNodeByClass(f"vtkMRML{class_name}Node")

    def remove(self, *nodes: Any) -> None:
        """With what belongs to them alone."""
        for node in nodes:
            for index in range(node.GetNumberOfDisplayNodes() if hasattr(node, "GetNumberOfDisplayNodes") else 0):
                self.scene.RemoveNode(node.GetNthDisplayNode(index))
            self.scene.RemoveNode(node)
