"""Slice views show what they are given, where it belongs."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("slicer")
from shared_data import shared

from host.slice_views import SliceView, grab_views, show_transform
from host.test_scene import a_grid_transform


def a_bright_corner():
    """A volume of 40 mm whose right, anterior quarter is bright: on top and on the left of an axial view."""
    import slicer

    array = np.zeros((10, 40, 40), np.float32)
    array[:, 20:, 20:] = 100
    ijk_to_ras = np.eye(4)
    ijk_to_ras[:3, 3] = -20, -20, -5
    node = slicer.util.addVolumeFromArray(array, ijkToRAS=ijk_to_ras)
    node.GetDisplayNode().AutoWindowLevelOff()
    node.GetDisplayNode().SetWindowLevelMinMax(0, 100)
    return node


def test_an_axial_view_shows_right_on_the_left_and_anterior_on_top(scene):
    view = SliceView("Red", "Axial", (200, 200))
    view.show(a_bright_corner())
    pixels = view.pixels()
    assert pixels.shape == (200, 200, 3)
    assert pixels[:95, 20:95].mean() > 200
    assert pixels[105:, 20:95].mean() < 5
    assert pixels[:95, 105:180].mean() < 5
    view.close()


def test_a_transform_moves_what_the_view_shows(scene):
    volume = a_bright_corner()
    view = SliceView("Red", "Axial", (200, 200))
    view.show(volume)
    still = view.pixels().astype(float)
    volume.SetAndObserveTransformNodeID(a_grid_transform((10, 0, 0)).GetID())  # resampling +10 R: content moves 10 L
    moved = view.pixels().astype(float)
    # 40 mm on 200 pixels: the edge at R = 0 goes 50 pixels to the right of the picture.
    assert still[50, 130].mean() < 5
    assert moved[50, 130].mean() > 200
    view.close()


def test_a_blend_is_halfway(scene):
    import slicer

    background, view = a_bright_corner(), SliceView("Red", "Axial", (200, 200))
    foreground = slicer.util.addVolumeFromArray(
        np.zeros((10, 40, 40), np.float32), ijkToRAS=slicer.util.arrayFromVTKMatrix(_matrix(background))
    )
    view.show(background, foreground, 0.5)
    assert abs(view.pixels()[:95, 20:95].mean() - 127) < 12
    view.close()


def test_a_transform_can_be_drawn(scene):
    view = SliceView("Red", "Axial", (200, 200))
    view.show(a_bright_corner())
    plain = view.pixels()
    show_transform(a_grid_transform(), "grid", 5)
    assert (view.pixels() != plain).any(axis=2).mean() > 0.02
    view.close()


def test_a_png_of_a_real_head_is_not_blank(scene, tmp_path):
    from host.scene import read_node_file

    head = read_node_file(shared("bert/bert_norm.nii.gz"))
    png = grab_views(tmp_path / "head.png", head, size=(200, 200))
    import vtk
    from vtk.util.numpy_support import vtk_to_numpy

    reader = vtk.vtkPNGReader()
    reader.SetFileName(str(png))
    reader.Update()
    assert reader.GetOutput().GetDimensions() == (600, 200, 1)
    pixels = vtk_to_numpy(reader.GetOutput().GetPointData().GetScalars()).reshape(200, 3, 200, 3)
    assert all(pixels[:, view].std() > 30 for view in range(3))


def _matrix(node):
    import vtk

    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    return matrix
