"""VoxelMorph registration: the scripted module, its logic for the Python console, and its self test.

What is done is in VoxelMorphRegistrationLib, which knows no widget; this file says what Slicer asks of a
module.
"""

from __future__ import annotations

import logging
import unittest
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import slicer
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import *

if TYPE_CHECKING:
    from VoxelMorphRegistrationLib.pipeline.registration import RegistrationResult

#
# VoxelMorphRegistration
#


class VoxelMorphRegistration(ScriptedLoadableModule):
    """What the module's entry in Slicer's module list says."""

    def __init__(self, parent: Any) -> None:
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("VoxelMorph Registration")
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Registration")]
        self.parent.dependencies = []
        self.parent.contributors = ["VoxelMorphRegistration contributors"]
        self.parent.helpText = _(
            "Deformable registration of two volumes by a VoxelMorph network, in seconds. The result is a grid transform "
            "that moves the moving volume, and any segmentation, model or markup of it, onto the fixed volume."
        )
        self.parent.acknowledgementText = _(
            "Please cite VoxelMorph: Balakrishnan G, Zhao A, Sabuncu MR, Guttag J, Dalca AV. VoxelMorph: a learning "
            "framework for deformable medical image registration. IEEE Transactions on Medical Imaging 38(8):1788-1800, "
            "2019. Dalca AV, Balakrishnan G, Guttag J, Sabuncu MR. Unsupervised learning of probabilistic "
            "diffeomorphic registration for images and surfaces. Medical Image Analysis 57:226-236, 2019."
        )


#
# VoxelMorphRegistrationLogic
#


@dataclass(frozen=True)
class RegistrationOutcome:
    """What `VoxelMorphRegistrationLogic.process` returns: the nodes it wrote, None where not asked for, and the result.

    `result` has the similarity before and after, the share of folded voxels, warnings, times and the
    deformation.
    """

    outputTransform: Any
    outputAffineTransform: Any
    outputInverseTransform: Any
    outputVolume: Any
    result: RegistrationResult

    def summary(self) -> str:
        """One line for the status bar."""
        return self.result.summary()


class VoxelMorphRegistrationLogic(ScriptedLoadableModuleLogic):
    """Registers volume nodes; usable from any script, without the module's panel.

    Whatever goes wrong is raised as a RegistrationError, whose text is meant for the user, and leaves the
    scene as it was. Positions are the world's: parent transforms of the inputs are taken into account,
    output nodes have none.
    """

    def __init__(self) -> None:
        ScriptedLoadableModuleLogic.__init__(self)

    def process(
        self,
        fixedVolume: Any,
        movingVolume: Any,
        outputTransform: Any = None,
        outputInverseTransform: Any = None,
        outputVolume: Any = None,
        *,
        outputAffineTransform: Any = None,
        model: str = "voxelmorph-brain-t1",
        engine: str = "auto",
        preAlignment: str = "affine",
        resolution: str = "full",
        outputGrid: str = "full",
        direction: str = "resampling",
        fixedMask: Any = None,
        movingMask: Any = None,
        progressCallback: Callable[[str, float], None] | None = None,
        isCancelled: Callable[[], bool] | None = None,
    ) -> RegistrationOutcome:
        """Register the moving volume to the fixed volume.

        :param fixedVolume: scalar volume node that stays where it is.
        :param movingVolume: scalar volume node that is to lie on it.
        :param outputTransform: any transform node. The moving volume, put under it, lies on the fixed volume.
          A new grid transform node is made if no output is given at all.
        :param outputInverseTransform: transform node that moves the fixed volume onto the moving one: the
          network's own inverse, better than Slicer's numerical inversion.
        :param outputVolume: scalar volume node for the moving volume resampled to the voxels of the fixed
          one.
        :param outputAffineTransform: transform node that takes the affine pre-alignment, apart from the
          field. It is put under `outputTransform`, and the moving volume goes under it.
        :param model: a model's name in the catalogue, or the path of a VoxelMorph `.h5` file.
        :param engine: "auto", "openvino" or "tensorflow".
        :param preAlignment: "none", "centre", "rigid" or "affine".
        :param resolution: resolution at which the network runs: "full", "half" or "quarter".
        :param outputGrid: "full" for fields on the volume's voxels, "network" for the network's coarser
          ones, which take an eighth of the memory.
        :param direction: "resampling" stores the transform from parent, on the fixed volume's geometry,
          exact for images; "modeling" to parent, on the moving volume's geometry, exact for points and
          models. Slicer inverts either where it needs the other.
        :param fixedMask: labelmap or segmentation node of the part of the fixed volume that counts.
        :param movingMask: the same for the moving volume.
        :param progressCallback: called with a text and the part done, 0 to 1.
        :param isCancelled: asked between steps; a true value ends with a CancelledError.
        :raises RegistrationError: with a sentence for the user; nothing is left behind then.
        """
        from VoxelMorphRegistrationLib.pipeline.registration import RegistrationOptions, register
        from VoxelMorphRegistrationLib.progress import Progress
        from VoxelMorphRegistrationLib.slicer_bridge.registration import (
            RegistrationNodes,
            read_inputs,
            write_result,
        )

        nodes = RegistrationNodes(
            fixedVolume, movingVolume, fixedMask, movingMask,
            transform=outputTransform,
            affine_transform=outputAffineTransform,
            inverse_transform=outputInverseTransform,
            volume=outputVolume,
            direction=direction,
            output_grid=outputGrid,
        )  # fmt: skip
        options = RegistrationOptions(
            model=str(model),
            engine=engine,
            pre_align=preAlignment,
            resolution=resolution,
            inverse=nodes.needs_inverse,
        )
        callbacks = {"report": progressCallback, "is_cancelled": isCancelled}
        progress = Progress(**{name: call for name, call in callbacks.items() if call is not None})

        progress(_("Reading the volumes"), 0.0)
        inputs = read_inputs(nodes)
        result = register(
            inputs.fixed,
            inputs.moving,
            options,
            fixed_mask=inputs.fixed_mask,
            moving_mask=inputs.moving_mask,
            progress=progress.part(0.0, 0.9),
        )
        progress(_("Writing the results"), 0.9)
        nodes = write_result(result, inputs, nodes)
        if progressCallback is not None:  # done: no longer a chance to cancel
            progressCallback(_("Done"), 1.0)
        logging.info(result.summary())
        return RegistrationOutcome(
            nodes.transform, nodes.affine_transform, nodes.inverse_transform, nodes.volume, result
        )

    def gridTransformFromTensor(
        self,
        tensor: Any,
        referenceVolume: Any,
        direction: str = "resampling",
        outputTransform: Any = None,
        *,
        axisOrder: str = "ijk",
        fieldKind: str = "displacement",
        layout: str = "auto",
    ) -> Any:
        """Make a transform node of the displacement field that a VoxelMorph network returned.

        :param tensor: NumPy, PyTorch or TensorFlow tensor, (1, 3, D, H, W), (1, D, H, W, 3) or either
          without the 1, of displacements in voxels, at the reference volume's resolution, half or a quarter
          of it.
        :param referenceVolume: the volume node on whose voxels the tensor lies: the fixed volume for
          "resampling", the moving one for "modeling".
        :param direction: "resampling" for what VoxelMorph returns: the field says where in the moving image
          to sample. "modeling" for a field that says where the moving volume's points go.
        :param outputTransform: any transform node; a new grid transform node is made if none is given.
        :param axisOrder: order of the tensor's axes D, H, W and of its components: "ijk" if the network was
          given arrays read by nibabel, as VoxelMorph's own scripts do; "kji" for arrays of
          `slicer.util.arrayFromVolume` or SimpleITK.
        :param fieldKind: "displacement", or "velocity" for a stationary velocity field, which is integrated.
        :param layout: "channels_first" or "channels_last", where the shape alone does not tell.
        :return: the transform node. Put the moving volume under it.
        :raises RegistrationError: with a sentence for the user; nothing is left behind then.
        """
        from VoxelMorphRegistrationLib.slicer_bridge.registration import write_tensor

        return write_tensor(
            tensor,
            referenceVolume,
            outputTransform,
            direction,
            axis_order=axisOrder,
            kind=fieldKind,
            layout=layout,
        )


#
# VoxelMorphRegistrationTest
#


class VoxelMorphRegistrationTest(ScriptedLoadableModuleTest):
    """The module's self test: runs in Slicer and in the project's test host, without network or downloads."""

    def setUp(self) -> None:
        slicer.mrmlScene.Clear(False)

    def runTest(self) -> None:
        """Slicer's self test button runs this: every test, each in an empty scene."""
        for name in unittest.defaultTestLoader.getTestCaseNames(type(self)):
            self.setUp()
            getattr(self, name)()
