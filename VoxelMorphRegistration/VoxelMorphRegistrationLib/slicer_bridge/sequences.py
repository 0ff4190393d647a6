"""A sequence of volumes of the scene as the library's frames, and new sequences beside it in the same browser.

Items of a sequence lie in a scene of their own; what is seen is a proxy node, into which the browser copies the item of
the selected frame. An `OutputSequence` is filled outside the scene and comes into it complete, so that a run that
fails or is cancelled leaves nothing behind.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.slicer_bridge.volumes import image_of_data_node, is_node, world_matrix
from VoxelMorphRegistrationLib.spatial import Grid, Image


@dataclass(frozen=True)
class Axis:
    """At which values of what the frames lie, as a vtkMRMLSequenceNode has it."""

    values: tuple[str, ...]
    name: str = "frame"
    unit: str = ""
    kind: int = 0
    tolerance: float = 1e-3

    @classmethod
    def of(cls, sequence: Any) -> Axis:
        """A sequence's."""
        return cls(
            tuple(sequence.GetNthIndexValue(n) for n in range(sequence.GetNumberOfDataNodes())),
            sequence.GetIndexName(),
            sequence.GetIndexUnit(),
            sequence.GetIndexType(),
            sequence.GetNumericIndexValueTolerance(),
        )

    @property
    def title(self) -> str:
        """With the unit, as for the axis of a chart."""
        return f"{self.name or 'index'}{f' ({self.unit})' if self.unit else ''}"

    def apply(self, sequence: Any) -> None:
        """To a sequence that is still empty."""
        sequence.SetIndexName(self.name)
        sequence.SetIndexUnit(self.unit)
        sequence.SetIndexType(self.kind)
        sequence.SetNumericIndexValueTolerance(self.tolerance)


class FramesOfScene(Protocol):
    """The frames to which results belong, and the browser that is to play them."""

    @property
    def name(self) -> str:
        """What results are called after."""

    @property
    def axis(self) -> Axis:
        """Where the frames lie."""

    def require_in_scene(self) -> None:
        """Raises InputError where they were deleted."""

    def shown_in(self) -> Any:
        """The browser; it is added to the scene where there is none."""


@dataclass(frozen=True)
class FramesElsewhere:
    """`FramesOfScene` that are not in the scene: results get a browser of their own, frames are numbered from 0."""

    name: str
    count: int

    @property
    def axis(self) -> Axis:
        """See `FramesOfScene`."""
        return Axis(tuple(map(str, range(self.count))))

    def require_in_scene(self) -> None:
        """See `FramesOfScene`."""

    def shown_in(self) -> Any:
        """See `FramesOfScene`."""
        import slicer

        return slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", f"{self.name} browser")


@dataclass(frozen=True, eq=False)
class SequenceOfVolumes:
    """A vtkMRMLSequenceNode whose items are scalar volumes, and the browser that shows it (None: none does)."""

    sequence: Any
    browser: Any

    @classmethod
    def of(cls, node: Any) -> SequenceOfVolumes:
        """``node`` is a sequence, or a browser that has one. Raises InputError for anything else."""
        if is_node(node, "vtkMRMLSequenceBrowserNode"):
            browser, sequence = node, _volumes_in(node)
        elif is_node(node, "vtkMRMLSequenceNode"):
            browser, sequence = browser_of(node), node
        else:
            kind = node.GetNodeTagName() if is_node(node, "vtkMRMLNode") else type(node).__name__
            raise InputError(f"The sequence is not a sequence node or browser but a {kind}; choose another.")
        if not has_volumes(sequence):
            raise InputError(f"The sequence '{sequence.GetName()}' does not hold scalar volumes; choose another.")
        if len(cls(sequence, browser)) < 2:
            raise InputError(f"The sequence '{sequence.GetName()}' has one frame only; a sequence has at least two.")
        return cls(sequence, browser)

    def __len__(self) -> int:
        return int(self.sequence.GetNumberOfDataNodes())

    @property
    def name(self) -> str:
        """The sequence's."""
        return str(self.sequence.GetName())

    @property
    def axis(self) -> Axis:
        """Where the frames lie."""
        return Axis.of(self.sequence)

    @property
    def proxy(self) -> Any:
        """The volume node that shows the selected frame; None where nothing does."""
        return None if self.browser is None else self.browser.GetProxyNode(self.sequence)

    def frames(self) -> list[Image | str]:
        """Each frame as it lies in the world, its voxels a view; or a sentence on why it cannot be used.

        Where the shown volume lies under a transform that the same browser plays, such as the result of an earlier run,
        frames are taken as they lie below it. Raises InputError where it lies under another non-linear transform,
        through which frames would have to be resampled.
        """
        to_world = self._to_world()
        return [_frame(self.sequence.GetNthDataNode(n), n, to_world) for n in range(len(self))]

    def frame(self, n: int) -> Image | str:
        """One of `frames`."""
        return _frame(self.sequence.GetNthDataNode(n), n, self._to_world())

    def _to_world(self) -> npt.NDArray[np.float64]:
        to_world = np.eye(4) if self.proxy is None else world_matrix(self.proxy, frame=self._played_above())
        if to_world is None:
            raise InputError(
                f"The volume '{self.proxy.GetName()}' lies under a non-linear transform; take it out of the transform."
            )
        return to_world

    def _played_above(self) -> Any:
        parent = self.proxy.GetParentTransformNode()
        while parent is not None and self.browser.GetSequenceNode(parent) is None:
            parent = parent.GetParentTransformNode()
        return parent

    def require_in_scene(self) -> None:
        """Raises InputError where the sequence was deleted."""
        if self.sequence.GetScene() is None:
            raise InputError("The sequence was deleted while it was registered; nothing was written.")

    def shown_in(self) -> Any:
        """The browser; it is added to the scene where there is none."""
        import slicer

        if self.browser is not None and self.browser.GetScene() is not None:
            return self.browser
        browser = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", f"{self.name} browser")
        browser.SetAndObserveMasterSequenceNodeID(self.sequence.GetID())
        slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(browser)
        return browser


class OutputSequence:
    """A new sequence; in no scene before `show`."""

    def __init__(self, name: str, proxy_name: str, axis: Axis, *, editable: bool, display_like: Any = None) -> None:
        """``editable``: what is changed in the shown node is kept in its frame. ``display_like`` is a node that is
        shown as the proxy is to be.
        """
        import slicer

        self.node: Any = slicer.vtkMRMLSequenceNode()
        self.proxy: Any = None
        self.node.SetName(name)
        axis.apply(self.node)
        self._index_values = axis.values
        self._proxy_name, self._editable, self._display_like = proxy_name, editable, display_like

    def add(self, frame: int, data_node: Any) -> None:
        """The item of a frame; the node is copied."""
        self.node.SetDataNodeAtValue(data_node, self._index_values[frame])

    @property
    def is_empty(self) -> bool:
        """Whether it has no frame at all."""
        return bool(self.node.GetNumberOfDataNodes() == 0)

    def show(self, browser: Any) -> None:
        """Into the scene, played by ``browser`` through a proxy node: not recorded, its name left as it is.

        At a frame for which there is no item the proxy holds nothing (a transform: moves nothing).
        """
        import slicer

        scene = slicer.mrmlScene
        self.node.SetName(scene.GenerateUniqueName(self.node.GetName()))
        scene.AddNode(self.node)
        name = scene.GenerateUniqueName(self._proxy_name)
        self.proxy = scene.AddNewNodeByClass(self.node.GetNthDataNode(0).GetClassName(), name)
        if hasattr(self.proxy, "CreateDefaultDisplayNodes") and not is_node(self.proxy, "vtkMRMLTransformNode"):
            self.proxy.CreateDefaultDisplayNodes()
        if self._display_like is not None and self._display_like.GetDisplayNode() is not None:
            self.proxy.GetDisplayNode().CopyContent(self._display_like.GetDisplayNode())
            self.proxy.GetDisplayNode().SetVisibility(True)
        browser.AddProxyNode(self.proxy, self.node, False)
        browser.SetRecording(self.node, False)
        browser.SetPlayback(self.node, True)
        browser.SetOverwriteProxyName(self.node, False)
        browser.SetSaveChanges(self.node, self._editable)
        browser.SetMissingItemMode(self.node, browser.MissingItemSetToDefault)


class AddedNodes:
    """What comes into the scene while the block runs; all of it goes again if the block fails, or at `remove`."""

    def __init__(self) -> None:
        self._before: set[str] = set()
        self._nodes: list[Any] = []

    def __enter__(self) -> AddedNodes:
        self._before = {node.GetID() for node in _all_nodes()}
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self._nodes = [node for node in _all_nodes() if node.GetID() not in self._before]
        if error is not None:
            self.remove()

    def remove(self) -> None:
        """Out of the scene again; a browser that was there before forgets the sequences."""
        import slicer

        for sequence in [node for node in self._nodes if is_node(node, "vtkMRMLSequenceNode")]:
            browser = browser_of(sequence)
            if browser is not None:
                browser.RemoveSynchronizedSequenceNode(sequence.GetID())
        for node in reversed(self._nodes):
            if node.GetScene() is not None:
                slicer.mrmlScene.RemoveNode(node)
        self._nodes = []


def show_all(browser: Any, outputs: Sequence[OutputSequence]) -> None:
    """All into the scene, the selected frame kept. Call it in the main thread, within `AddedNodes`."""
    import slicer

    selected = browser.GetSelectedItemNumber()
    for output in outputs:
        output.show(browser)
    browser.SetSelectedItemNumber(max(selected, 0))
    slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(browser)


def _all_nodes() -> list[Any]:
    import slicer

    return [slicer.mrmlScene.GetNthNode(n) for n in range(slicer.mrmlScene.GetNumberOfNodes())]


def browser_of(sequence: Any) -> Any:
    """The first browser that plays a sequence; None where none does."""
    import slicer

    return slicer.modules.sequences.logic().GetFirstBrowserNodeForSequenceNode(sequence)


def has_volumes(sequence: Any) -> bool:
    """Whether the items of a sequence are scalar volumes, no labelmaps."""
    first = sequence.GetNthDataNode(0) if sequence is not None and sequence.GetNumberOfDataNodes() else None
    return is_node(first, "vtkMRMLScalarVolumeNode") and not is_node(first, "vtkMRMLLabelMapVolumeNode")


def reference_grid(frames: Sequence[Image | str], reference: int) -> Grid:
    """Where the voxels of the reference frame lie. Raises InputError for a frame that cannot be used."""
    frame = frames[reference]
    if isinstance(frame, str):
        raise InputError(frame)
    return frame.grid


def _volumes_in(browser: Any) -> Any:
    """The master sequence if it has volumes, or else the first other one that has. Raises InputError."""
    master = browser.GetMasterSequenceNode()
    others = [browser.GetSequenceNode(proxy) for proxy in _proxies(browser)]
    found = next((s for s in [master, *others] if s is not None and has_volumes(s)), None)
    if found is None:
        raise InputError(f"The sequence browser '{browser.GetName()}' has no sequence of scalar volumes; load one.")
    return found


def _proxies(browser: Any) -> list[Any]:
    import vtk

    found = vtk.vtkCollection()
    browser.GetAllProxyNodes(found)
    return [found.GetItemAsObject(n) for n in range(found.GetNumberOfItems())]


def _frame(node: Any, n: int, to_world: Any) -> Image | str:
    try:
        return image_of_data_node(node, f"frame {n}", to_world)
    except InputError as error:
        return str(error)
