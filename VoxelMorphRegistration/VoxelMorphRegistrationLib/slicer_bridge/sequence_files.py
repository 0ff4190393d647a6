"""A sequence of the scene to standard files: all frames in one, or a file for each."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from VoxelMorphRegistrationLib.errors import InputError, OutputError
from VoxelMorphRegistrationLib.files.output import atomic_output
from VoxelMorphRegistrationLib.slicer_bridge.volumes import is_node

_ENDINGS = {
    "vtkMRMLTransformNode": ".nrrd",
    "vtkMRMLSegmentationNode": ".seg.nrrd",
    "vtkMRMLVolumeNode": ".nrrd",
    "vtkMRMLModelNode": ".vtk",
    "vtkMRMLMarkupsNode": ".mrk.json",
}
"""Of one frame's file, by class of node: what Slicer itself suggests for it."""


def save_sequence(sequence: Any, path: str | os.PathLike[str]) -> list[Path]:
    """Write a sequence with Slicer's own writers and return the files.

    A path that ends with ``.seq.nrrd`` gets all frames (transforms, volumes and labelmaps whose frames are of one
    size). Any other path is a folder, made if it is not there, that gets a file for each frame, numbered from 0.
    Raises InputError for what is no sequence and OutputError, with nothing half-written, where it cannot be written.
    """
    if not is_node(sequence, "vtkMRMLSequenceNode") or sequence.GetNumberOfDataNodes() == 0:
        raise InputError("There is no sequence to save; choose one with at least one frame.")
    target = Path(path).expanduser()
    if target.name.lower().endswith(".seq.nrrd"):
        with atomic_output(target) as temporary:
            _write(sequence, temporary, target)
        return [target]
    ending = _ending(sequence.GetNthDataNode(0))
    try:
        target.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"The folder {target} cannot be made ({error.strerror}); choose another.") from error
    files = []
    for n in range(sequence.GetNumberOfDataNodes()):
        node = sequence.GetNthDataNode(n)
        frame = _frame_number(sequence, n)
        file = target / f"{sequence.GetName()}_{frame:04d}{ending}"
        with atomic_output(file) as temporary:
            _write(node, temporary, file)
        files.append(file)
    return files


def _frame_number(sequence: Any, n: int) -> int:
    """As the browser counts, where frames are missing, too."""
    from VoxelMorphRegistrationLib.slicer_bridge.sequences import browser_of

    browser = browser_of(sequence)
    master = browser.GetMasterSequenceNode() if browser is not None else None
    found = master.GetItemNumberFromIndexValue(sequence.GetNthIndexValue(n)) if master is not None else n
    return int(found) if found >= 0 else n


def _ending(node: Any) -> str:
    for class_name, ending in _ENDINGS.items():
        if is_node(node, class_name):
            return ending
    raise InputError(f"Frames that are {node.GetNodeTagName()} nodes cannot be saved; save the scene instead.")


def _write(node: Any, path: Path, told: Path) -> None:
    import slicer

    if is_node(node, "vtkMRMLMarkupsNode"):  # which look for theirs in their scene, and an item's own knows none
        storage = slicer.vtkMRMLMarkupsJsonStorageNode()
    else:
        storage = node.CreateDefaultStorageNode()
        storage.UnRegister(None)
    storage.SetScene(slicer.mrmlScene)
    storage.SetFileName(str(path))
    if not storage.WriteData(node) or not path.exists():
        raise OutputError(
            f"Slicer could not write {told}; for one file all frames must be of one size: save them into a folder."
        )
