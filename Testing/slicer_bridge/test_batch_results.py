"""`loadBatchResults` of the logic: what a batch's worker made of real cases comes into real MRML as it is on disk."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("slicer")
pytest.importorskip("openvino", reason="needs an engine (pip install openvino)")
from pipeline.batch.small_cases import MODEL, small_image, write_rows, write_small_cases
from pipeline.known_networks import write_vxm_dense
from slicer_bridge.support import distance, inside
from VoxelMorphRegistrationLib.files.transforms import read_field
from VoxelMorphRegistrationLib.files.volumes import read_labels, write_volume
from VoxelMorphRegistrationLib.pipeline.batch import load_results, read_cases
from VoxelMorphRegistrationLib.pipeline.batch.work import run_case


def centre_of(labels):
    return labels.grid.to_ras(np.argwhere(labels.array)).mean(axis=0)


def segment_voxels(node):
    """(n, 3) RAS positions of the voxels of all segments."""
    import slicer
    import vtk

    labelmap = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode")
    slicer.modules.segmentations.logic().ExportAllSegmentsToLabelmapNode(node, labelmap)
    array = slicer.util.arrayFromVolume(labelmap)
    matrix = vtk.vtkMatrix4x4()
    labelmap.GetIJKToRASMatrix(matrix)
    to_ras = np.array([[matrix.GetElement(row, column) for column in range(4)] for row in range(4)])
    index = np.argwhere(array)[:, ::-1]
    return index @ to_ras[:3, :3].T + to_ras[:3, 3]


def test_pairs_and_sequences_of_one_batch(scene, logic, tmp_path):
    cases = write_small_cases(tmp_path, 1, {"labels": "labels0.nii.gz"})
    (tmp_path / "frames").mkdir()
    for n in range(3):
        write_volume(small_image(float(n)), tmp_path / "frames" / f"{n}.nrrd")
    pair = {
        "name": "a pair",
        "fixed": "fixed.nii.gz",
        "moving": "moving0.nii.gz",
        "labels": "labels0.nii.gz",
        "outputs": "transform.nrrd moved_labels.nii.gz",
    }
    beating = {"name": "beating", "sequence": "frames", "reference": "1", "labels": "labels0.nii.gz"}
    write_vxm_dense(tmp_path / "pushing.h5", bias=(1, 0.5, 0))  # what all pairs have in common is taken off sequences
    common = {"resolution": "half", "pre_align": "none"}
    write_rows(cases, [pair | common | {"model": "pushing.h5"}, beating | common | {"model": MODEL}])
    output = tmp_path / "out"
    records = [run_case(case, str(output)) for case in read_cases(cases)]
    assert [record.error for record in records] == ["", ""]

    loaded = logic.loadBatchResults(output)
    assert loaded.problems == []
    transform, segmentation = loaded.pairs["a pair"]
    finished = {case.name: case for case in load_results(output)}
    field = read_field(finished["a pair"].files["transform"])
    points = inside(field.grid, 50)
    assert np.abs(field.at(points)).max() > 1
    for point, expected in zip(points, field.map_points(points), strict=True):
        assert transform.GetTransformFromParent().TransformPoint(point) == pytest.approx(expected, abs=1e-3)
    labels = read_labels(finished["a pair"].files["moved_labels"])
    assert distance(segment_voxels(segmentation).mean(axis=0), centre_of(labels)) < 1e-3

    assert list(loaded.sequences) == ["beating"]
