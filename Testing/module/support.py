"""The panel as a user meets it: its widgets, what it says, and how long it is waited for."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
from host import user
from pipeline.small_pair import small_volume, write_small_model
from VoxelMorphRegistrationLib.network.card import IntensityPreparation, ModelCard
from VoxelMorphRegistrationLib.network.catalogue import Catalogue

MODULE = Path(__file__).resolve().parents[2] / "VoxelMorphRegistration" / "VoxelMorphRegistration.py"
SMALL_MODEL = "Small-network"


def small_card(weights: Path, title: str = "Small network", cache: Path | None = None) -> ModelCard:
    """A card for the small network of random weights, as the form of the panel would make it."""
    return Catalogue(cache_folder=cache).card_for_own_file(
        weights,
        title=title,
        modality="",
        orientation="RAS",
        spacing_mm=(4.0, 4.0, 4.0),
        skull_stripped=False,
        intensity=IntensityPreparation("unit_range", 1.0, "none"),
    )


def add_small_model(cache: Path, title: str = "Small network") -> str:
    """Put a small network of random weights into the cache folder, as a model of the user's own; its name."""
    weights = write_small_model(cache / "made.h5")
    card = small_card(weights, title, cache)
    (cache / f"{card.name}.json").write_text(card.to_json(), encoding="utf-8")
    weights.rename(cache / card.file_name)
    return card.name


class Panel:
    """One panel in the host, with two small volumes in the scene."""

    def __init__(self, host: Any, widget: Any) -> None:
        from VoxelMorphRegistrationLib.slicer_bridge.volumes import volume_node_from_image

        self.host, self.widget = host, widget
        self.fixed = volume_node_from_image(small_volume("fixed"))
        self.moving = volume_node_from_image(small_volume("moving", 6.0))

    @property
    def panel(self) -> Any:
        return self.widget.panel

    @property
    def ui(self) -> Any:
        return self.panel.ui

    @property
    def parameters(self) -> Any:
        """As the scene has them now."""
        return self.widget.logic.getParameterNode()

    @property
    def status(self) -> str:
        return str(self.ui.statusLabel.text)

    @property
    def log(self) -> str:
        return str(self.ui.logText.toPlainText())

    def choose_inputs(self) -> None:
        user.choose(self.ui.fixedVolumeSelector, self.fixed)
        user.choose(self.ui.movingVolumeSelector, self.moving)

    def new_output(self, which: str = "outputTransform") -> Any:
        """Makes a new node in an output selector, as its "Create new ..." row does."""
        selector = getattr(self.ui, f"{which}Selector")
        selector.addNode()
        return selector.currentNode()

    def choose_all(self) -> Any:
        """Both volumes and a new transform, which is returned."""
        self.choose_inputs()
        return self.new_output()

    def apply(self) -> None:
        assert self.ui.applyButton.text == "Apply"
        user.click(self.ui.applyButton)

    def cancel(self) -> None:
        assert self.ui.applyButton.text == "Cancel"
        user.click(self.ui.applyButton)

    def wait(self, seconds: float = 900.0) -> None:
        """Until nothing runs any more."""
        user.wait_until(lambda: not self.panel.control.busy, seconds, "the end of what runs")

    def wait_for_stage(self, beginning: str, seconds: float = 600.0) -> None:
        user.wait_until(lambda: self.status.startswith(beginning), seconds, f"the stage '{beginning}'")

    def run(self) -> None:
        self.apply()
        self.wait()

    def at_stage(self, beginning: str, do: Any) -> None:
        """Call ``do()`` once, at the moment when the panel shows a stage that begins so."""
        control, waiting = self.panel.control, [do]
        show = type(control)._show

        def showing(stage: str, fraction: float) -> None:
            show(control, stage, fraction)
            if waiting and stage.startswith(beginning):
                waiting.pop()()

        control._show = showing

    def is_ready(self) -> bool:
        """Whether the panel looks as if nothing had ever run."""
        return (
            self.ui.applyButton.text == "Apply"
            and self.ui.applyButton.enabled
            and not self.ui.progressBar.visible
            and not self.host.app.overrideCursor()
        )


def our_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("VoxelMorph")]


def scene_content(scene: Any) -> dict[str, tuple[Any, ...]]:
    """Every node's name, parent transform, and content by its time stamps; but not the panel's own choices."""
    found = {}
    for n in range(scene.GetNumberOfNodes()):
        node = scene.GetNthNode(n)
        if not node.IsA("vtkMRMLScriptedModuleNode"):
            parent = node.GetTransformNodeID() if node.IsA("vtkMRMLTransformableNode") else None
            content = node.GetImageData().GetMTime() if node.IsA("vtkMRMLVolumeNode") and node.GetImageData() else 0
            field = node.IsA("vtkMRMLTransformNode") and has_field(node)
            found[node.GetID()] = (node.GetName(), parent, content, field)
    return found


def has_field(transform: Any) -> bool:
    """Whether a displacement field was written into a transform node; a new one has none."""
    grid = transform.GetTransformFromParentAs("vtkOrientedGridTransform", False, True)
    field = grid.GetDisplacementGrid() if grid is not None else None
    return field is not None and field.GetNumberOfPoints() > 1


def shown(host: Any) -> tuple[str | None, str | None, float]:
    """The IDs of background and foreground of all slice views, and the foreground's opacity."""
    nodes = {
        (node.GetBackgroundVolumeID(), node.GetForegroundVolumeID(), node.GetForegroundOpacity())
        for node in host.slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")
    }
    assert len(nodes) == 1, nodes
    return nodes.pop()


def world_voxels(node: Any) -> np.ndarray:
    """The voxels [i, j, k] of a volume as they are seen in the world, on its own grid if it lies under nothing."""
    from VoxelMorphRegistrationLib.slicer_bridge.volumes import image_from_volume_node

    return np.asarray(image_from_volume_node(node).array)
