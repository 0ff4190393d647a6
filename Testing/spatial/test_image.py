"""Image: an array on a grid, and where its content lies."""

from __future__ import annotations

import numpy as np
import pytest
from spatial.geometry import grid_of
from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.spatial import Image


def test_an_array_that_does_not_fit_names_the_axis_order():
    with pytest.raises(InputError, match=r"MRHead: the array has shape \(5, 4, 3\), its grid \(3, 4, 5\).*\[i, j, k\]"):
        Image(np.zeros((5, 4, 3)), grid_of((3, 4, 5)), "MRHead")
    with pytest.raises(InputError, match="4dvolume"):
        Image(np.zeros((3, 4, 5, 7)), grid_of((3, 4, 5)), "4dvolume")


@pytest.mark.parametrize("background", [0, -1000])
def test_content_window_is_the_box_above_the_minimum(background):
    array = np.full((10, 11, 12), background)
    array[2:5, 3, 7:12] = background + 1
    start, stop = Image(array, grid_of(array.shape)).content_window()
    assert start.tolist() == [2, 3, 7]
    assert stop.tolist() == [5, 4, 12]


def test_content_window_above_a_value():
    array = np.zeros((10, 10, 10))
    array[1:9, 1:9, 1:9] = 1
    array[4:6, 4:6, 4:6] = 5
    start, stop = Image(array, grid_of(array.shape)).content_window(above=1)
    assert (start.tolist(), stop.tolist()) == ([4, 4, 4], [6, 6, 6])


def test_an_image_of_one_value_is_all_content():
    start, stop = Image(np.ones((4, 5, 6), np.uint8), grid_of((4, 5, 6))).content_window()
    assert (start.tolist(), stop.tolist()) == ([0, 0, 0], [4, 5, 6])


def test_with_array_keeps_grid_and_name():
    image = Image(np.zeros((4, 5, 6)), grid_of((4, 5, 6)), "CTChest")
    other = image.with_array(np.ones((4, 5, 6)))
    assert (other.grid, other.name, other.array.max()) == (image.grid, "CTChest", 1)
