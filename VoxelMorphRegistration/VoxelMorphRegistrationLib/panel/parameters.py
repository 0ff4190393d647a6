"""What the panel remembers with the scene."""

from __future__ import annotations

from enum import Enum
from typing import Union

import slicer
from slicer.i18n import tr as _
from slicer.parameterNodeWrapper import parameterNodeWrapper

from VoxelMorphRegistrationLib.network.catalogue import DEFAULT_MODEL

# parameterNodeWrapper reads these types when the class is made, so they are not strings and not "X | Y"; of several
# classes it takes "no node" only where None is one of them.
GridTransform = Union[slicer.vtkMRMLGridTransformNode, slicer.vtkMRMLTransformNode, None]  # noqa: UP007
LinearTransform = Union[slicer.vtkMRMLLinearTransformNode, slicer.vtkMRMLTransformNode, None]  # noqa: UP007
Mask = Union[slicer.vtkMRMLLabelMapVolumeNode, slicer.vtkMRMLSegmentationNode, None]  # noqa: UP007
VolumeSequence = Union[slicer.vtkMRMLSequenceBrowserNode, slicer.vtkMRMLSequenceNode, None]  # noqa: UP007
Carried = Union[  # noqa: UP007
    slicer.vtkMRMLSegmentationNode,
    slicer.vtkMRMLLabelMapVolumeNode,
    slicer.vtkMRMLModelNode,
    slicer.vtkMRMLMarkupsNode,
    None,
]


class _Choice(Enum):
    """Entries of a combo box; ``value`` is what the library calls it, the name is saved with the scene."""

    def label(self) -> str:
        """What the combo box shows; `parameterNodeWrapper` asks for it."""
        return str(_labels()[self])


class PreAlignment(_Choice):
    """`RegistrationOptions.pre_align`."""

    AFFINE = "affine"
    RIGID = "rigid"
    CENTERS = "centre"
    NONE = "none"


class Resolution(_Choice):
    """`RegistrationOptions.resolution`."""

    FULL = "full"
    HALF = "half"
    QUARTER = "quarter"


class EngineChoice(_Choice):
    """`RegistrationOptions.engine`."""

    AUTOMATIC = "auto"
    OPENVINO = "openvino"
    TENSORFLOW = "tensorflow"


class Intensity(_Choice):
    """`RegistrationOptions.intensity`."""

    MODEL = "card"
    UNCHANGED = "none"


class OutputGrid(_Choice):
    """`RegistrationNodes.output_grid`."""

    FULL = "full"
    NETWORK = "network"


class StoredDirection(_Choice):
    """`RegistrationNodes.direction`."""

    RESAMPLING = "resampling"
    MODELING = "modeling"


class SequenceDirection(_Choice):
    """`SequenceOptions.direction`."""

    CARRY = "carry"
    HOLD = "hold"


class SequenceMode(_Choice):
    """`SequenceOptions.mode`, and for key frames their choice."""

    REFERENCE = "reference"
    WARM = "warm"
    CHAIN = "chain"
    KEY_FRAMES = "keyframes"


class SequenceStorage(_Choice):
    """`SequenceOptions.keep`."""

    FLOAT = "float32"
    ROUNDED = "int16"
    CARRIED = "results"


def _labels() -> dict[Enum, str]:
    """Made when asked for: the language may not be known yet when this file is read."""
    return {
        PreAlignment.AFFINE: _("Affine"),
        PreAlignment.RIGID: _("Rigid"),
        PreAlignment.CENTERS: _("Centers only"),
        PreAlignment.NONE: _("None: already aligned"),
        Resolution.FULL: _("Full"),
        Resolution.HALF: _("Half"),
        Resolution.QUARTER: _("Quarter"),
        EngineChoice.AUTOMATIC: _("Fastest available"),
        EngineChoice.OPENVINO: "OpenVINO",
        EngineChoice.TENSORFLOW: "TensorFlow",
        Intensity.MODEL: _("As the model expects"),
        Intensity.UNCHANGED: _("None: values as they are"),
        OutputGrid.FULL: _("Voxels of the volume"),
        OutputGrid.NETWORK: _("Coarser voxels of the network"),
        StoredDirection.RESAMPLING: _("Resampling (exact for images)"),
        StoredDirection.MODELING: _("Modeling (exact for points and models)"),
        SequenceDirection.CARRY: _("Carry the reference's segmentation to every frame"),
        SequenceDirection.HOLD: _("Hold every frame still on the reference"),
        SequenceMode.REFERENCE: _("Every frame with the reference"),
        SequenceMode.WARM: _("The same, starting from the neighbor's result"),
        SequenceMode.CHAIN: _("Frame to frame, as a chain"),
        SequenceMode.KEY_FRAMES: _("Key frames, those between interpolated"),
        SequenceStorage.FLOAT: _("Transforms as they are"),
        SequenceStorage.ROUNDED: _("Transforms, rounded to half the size on disk"),
        SequenceStorage.CARRIED: _("Only what is carried, no transforms"),
    }


@parameterNodeWrapper
class RegistrationParameters:
    """The choices of the panel, named as in `VoxelMorphRegistrationLogic.process` and `registerSequence`."""

    fixedVolume: slicer.vtkMRMLScalarVolumeNode
    movingVolume: slicer.vtkMRMLScalarVolumeNode
    model: str = DEFAULT_MODEL
    outputTransform: GridTransform
    outputInverseTransform: GridTransform
    outputVolume: slicer.vtkMRMLScalarVolumeNode
    preAlignment: PreAlignment = PreAlignment.AFFINE
    resolution: Resolution = Resolution.FULL
    refineSeconds: int = 0
    fixedMask: Mask
    movingMask: Mask
    engine: EngineChoice = EngineChoice.AUTOMATIC
    intensity: Intensity = Intensity.MODEL
    outputGrid: OutputGrid = OutputGrid.FULL
    direction: StoredDirection = StoredDirection.RESAMPLING
    outputAffineTransform: LinearTransform
    keepFiles: bool = False
    sequence: VolumeSequence
    sequenceReference: int = 0
    sequenceDirection: SequenceDirection = SequenceDirection.CARRY
    sequenceMode: SequenceMode = SequenceMode.REFERENCE
    sequenceKeyFrames: int = 4
    sequenceCarried: Carried
    sequenceSurface: bool = False
    sequencePreAlign: bool = False
    sequenceStorage: SequenceStorage = SequenceStorage.FLOAT
    adaptMinutes: int = 10
