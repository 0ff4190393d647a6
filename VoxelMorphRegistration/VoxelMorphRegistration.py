"""VoxelMorph registration: the scripted module, what Slicer asks of its panel, and its self test.

Its logic, for the Python console, is in VoxelMorphRegistrationLib/logic.py; what is done, in the rooms beside that.
"""

from __future__ import annotations

import sys
import unittest
from typing import Any

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import *
from slicer.util import VTKObservationMixin
from VoxelMorphRegistrationLib.logic import RegistrationOutcome, VoxelMorphRegistrationLogic

__all__ = [
    "RegistrationOutcome",
    "VoxelMorphRegistration",
    "VoxelMorphRegistrationLogic",
    "VoxelMorphRegistrationTest",
    "VoxelMorphRegistrationWidget",
]

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
            "Deformable registration of two volumes by a VoxelMorph network, in seconds. The result is a grid "
            "transform that moves the moving volume, and any segmentation, model or markup of it, onto the fixed "
            "volume."
        )
        self.parent.acknowledgementText = _(
            "Please cite VoxelMorph: Balakrishnan G, Zhao A, Sabuncu MR, Guttag J, Dalca AV. VoxelMorph: a learning "
            "framework for deformable medical image registration. IEEE Transactions on Medical Imaging "
            "38(8):1788-1800, 2019. Dalca AV, Balakrishnan G, Guttag J, Sabuncu MR. Unsupervised learning of "
            "probabilistic diffeomorphic registration for images and surfaces. Medical Image Analysis 57:226-236, 2019."
        )
        slicer.app.connect("startupCompleted()", self.registerSampleData)

    def registerSampleData(self) -> None:
        """Only now are all modules loaded, the Sample Data module, too."""
        from VoxelMorphRegistrationLib.slicer_bridge.sample_data import register_sample_data

        register_sample_data(self.parent.title, self.resourcePath("Icons/VoxelMorphRegistration.png"))


#
# VoxelMorphRegistrationWidget
#


class VoxelMorphRegistrationWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """What Slicer asks of a module's widget; the panel itself is in VoxelMorphRegistrationLib/panel."""

    def __init__(self, parent: Any = None) -> None:
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic: Any = None
        self.panel: Any = None

    def setup(self) -> None:
        """Called when the module is opened for the first time. Installs, downloads and starts nothing."""
        ScriptedLoadableModuleWidget.setup(self)
        from VoxelMorphRegistrationLib.panel.registration_panel import RegistrationPanel

        uiWidget = slicer.util.loadUI(self.resourcePath("UI/VoxelMorphRegistration.ui"))
        self.layout.addWidget(uiWidget)
        uiWidget.setMRMLScene(slicer.mrmlScene)
        self.logic = VoxelMorphRegistrationLogic()
        self.panel = RegistrationPanel(uiWidget, self.logic, self.resourcePath)
        scene = slicer.mrmlScene
        self.addObserver(scene, scene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(scene, scene.EndCloseEvent, self.onSceneChanged)
        self.addObserver(scene, scene.EndImportEvent, self.onSceneChanged)
        self.enter()

    def cleanup(self) -> None:
        """Called when the application closes and before the module is reloaded."""
        self.removeObservers()
        if self.panel is not None:
            self.panel.close()

    def enter(self) -> None:
        """Called each time the module is opened."""
        self.panel.set_parameters(self.logic.getParameterNode())

    def exit(self) -> None:
        """Called when another module is opened. A registration that runs goes on."""
        self.panel.set_parameters(None)

    def onSceneStartClose(self, caller: Any, event: Any) -> None:
        """The nodes are about to go."""
        self.panel.on_scene_closing()

    def onSceneChanged(self, caller: Any, event: Any) -> None:
        """A scene was closed or loaded: only now are all the nodes there to which the parameters refer."""
        if self.parent.isEntered:
            self.enter()

    def onReload(self) -> None:
        """Forget the library, too, so that all of it is read again."""
        self.panel.close()
        for name in [name for name in sys.modules if name.split(".")[0] == "VoxelMorphRegistrationLib"]:
            del sys.modules[name]
        ScriptedLoadableModuleWidget.onReload(self)


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

    # Slicer has no pytest: the assertions are unittest's.
    # ruff: noqa: PT009, PT027
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
        """A displaced phantom is found again; needs an engine on this computer."""
        from VoxelMorphRegistrationLib.errors import EngineError

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
