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
import vtk
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
    """The module's self test: runs in Slicer and in the project's test host, without downloads."""

    def setUp(self) -> None:
        """Each test starts in an empty scene."""
        slicer.mrmlScene.Clear(False)

    def runTest(self) -> None:
        """What the Reload and Test button runs."""
        for name in unittest.defaultTestLoader.getTestCaseNames(type(self)):
            self.setUp()
            getattr(self, name)()

    def test_GridTransformFromTensor(self) -> None:
        """A shift by 4 voxels, on an oblique grid, moves the moving volume onto the fixed one."""
        logic = VoxelMorphRegistrationLogic()
        for axis in range(3):
            movingVolume = self.phantom("moving")
            fixedVolume = slicer.modules.volumes.logic().CloneVolume(movingVolume, "fixed")
            array = slicer.util.arrayFromVolume(movingVolume)
            slicer.util.updateVolumeFromArray(fixedVolume, np.roll(array, -4, axis=2 - axis))  # arrays are KJI
            tensor = np.zeros((1, 3, *reversed(array.shape)), np.float32)
            tensor[0, axis] = 4
            transform = logic.gridTransformFromTensor(tensor, fixedVolume)

            movingVolume.SetAndObserveTransformNodeID(transform.GetID())
            where = [20, 22, 18]
            position = slicer.util.arrayFromVTKMatrix(self.ijkToRAS(fixedVolume)) @ [*where, 1]
            fromWorld = transform.GetTransformFromParent().TransformPoint(position[:3])
            where[axis] += 4
            expected = slicer.util.arrayFromVTKMatrix(self.ijkToRAS(movingVolume)) @ [*where, 1]
            np.testing.assert_allclose(fromWorld, expected[:3], atol=1e-3)

    def test_BadInputChangesNothing(self) -> None:
        """What cannot work is said in one sentence, and no node is left behind."""
        from VoxelMorphRegistrationLib.errors import InputError

        logic, volume = VoxelMorphRegistrationLogic(), self.phantom("volume")
        nodes = slicer.mrmlScene.GetNumberOfNodes()
        self.assertRaisesRegex(InputError, "are the same", logic.process, volume, volume)
        wrong = np.zeros((1, 3, 5, 6, 7), np.float32)
        self.assertRaisesRegex(InputError, "another grid", logic.gridTransformFromTensor, wrong, volume)
        self.assertEqual(slicer.mrmlScene.GetNumberOfNodes(), nodes)

    def test_Process(self) -> None:
        """A displaced phantom is found again; needs an engine and the default model on this computer."""
        from VoxelMorphRegistrationLib.errors import EngineError
        from VoxelMorphRegistrationLib.network.catalogue import DEFAULT_MODEL, Catalogue

        if not Catalogue().is_available(DEFAULT_MODEL):
            self.delayDisplay("The default model is not on this computer: registration is not tested.")
            return
        fixedVolume, movingVolume = self.phantom("fixed"), self.phantom("moving", shift=(7, -4, 5))
        transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTransformNode")
        try:
            outcome = VoxelMorphRegistrationLogic().process(
                fixedVolume, movingVolume, transform, resolution="half", preAlignment="rigid"
            )
        except EngineError as error:
            self.delayDisplay(f"Registration is not tested. {error}")
            return
        self.assertGreater(outcome.result.similarity_after, outcome.result.similarity_before + 0.1)
        self.assertIs(outcome.outputTransform, transform)
        found = np.subtract(transform.GetTransformFromParent().TransformPoint(0, 0, 0), 0)
        np.testing.assert_allclose(found, (7, -4, 5), atol=2)

    def phantom(self, name: str, shift: tuple[float, float, float] = (0, 0, 0)) -> Any:
        """A volume node of nested ellipsoids about `shift`, on an oblique, left-handed grid; mm."""
        size = np.array((56, 64, 48))
        turn = np.radians(30)
        directions = np.array([[np.cos(turn), np.sin(turn), 0], [np.sin(turn), -np.cos(turn), 0], [0, 0, 1]])
        ijkToRAS = np.eye(4)
        ijkToRAS[:3, :3] = directions * (2.5, 2.5, 3.0)
        ijkToRAS[:3, 3] = -ijkToRAS[:3, :3] @ (size - 1) / 2
        kji = np.moveaxis(np.indices(size[::-1]), 0, -1)
        positions = kji[..., ::-1] @ ijkToRAS[:3, :3].T + ijkToRAS[:3, 3] - shift
        head, core, side = (
            np.linalg.norm((positions - centre) / radii, axis=-1) < 1
            for centre, radii in (((0, 0, 0), (50, 60, 45)), ((0, 5, 0), (30, 35, 25)), ((18, 10, 8), (8, 14, 9)))
        )
        array = 60.0 * head + 50 * core - 70 * side
        return slicer.util.addVolumeFromArray(array.astype(np.float32), ijkToRAS, name)

    def ijkToRAS(self, volume: Any) -> Any:
        """The volume's matrix."""
        matrix = vtk.vtkMatrix4x4()
        volume.GetIJKToRASMatrix(matrix)
        return matrix
