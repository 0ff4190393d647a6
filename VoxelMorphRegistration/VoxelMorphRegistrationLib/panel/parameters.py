"""What the panel remembers with the scene."""

from __future__ import annotations

from typing import Annotated, Union

import slicer
from slicer.parameterNodeWrapper import Choice, parameterNodeWrapper

from VoxelMorphRegistrationLib.network.catalogue import DEFAULT_MODEL
from VoxelMorphRegistrationLib.network.packages import ENGINE_PACKAGES
from VoxelMorphRegistrationLib.pipeline.model_grid import RESOLUTIONS
from VoxelMorphRegistrationLib.spatial.pre_alignment import KINDS

# parameterNodeWrapper reads these types when the class is made, so they are not strings and not "X | Y".
GridTransform = Union[slicer.vtkMRMLGridTransformNode, slicer.vtkMRMLTransformNode]  # noqa: UP007
LinearTransform = Union[slicer.vtkMRMLLinearTransformNode, slicer.vtkMRMLTransformNode]  # noqa: UP007
Mask = Union[slicer.vtkMRMLLabelMapVolumeNode, slicer.vtkMRMLSegmentationNode]  # noqa: UP007


@parameterNodeWrapper
class RegistrationParameters:
    """The choices of the panel; the names and values are those of `VoxelMorphRegistrationLogic.process`."""

    fixedVolume: slicer.vtkMRMLScalarVolumeNode
    movingVolume: slicer.vtkMRMLScalarVolumeNode
    model: str = DEFAULT_MODEL
    outputTransform: GridTransform
    outputInverseTransform: GridTransform
    outputVolume: slicer.vtkMRMLScalarVolumeNode
    preAlignment: Annotated[str, Choice(list(reversed(KINDS)))] = "affine"
    resolution: Annotated[str, Choice(list(RESOLUTIONS))] = "full"
    fixedMask: Mask
    movingMask: Mask
    engine: Annotated[str, Choice(["auto", *ENGINE_PACKAGES])] = "auto"
    intensity: Annotated[str, Choice(["card", "none"])] = "card"
    outputGrid: Annotated[str, Choice(["full", "network"])] = "full"
    direction: Annotated[str, Choice(["resampling", "modeling"])] = "resampling"
    outputAffineTransform: LinearTransform
    keepFiles: bool = False
