"""What the pictures of a pair show, told from displacements that are known."""

from __future__ import annotations

import numpy as np
import pytest
from pipeline.report.small_report import shifted_field, swelling_field
from pipeline.small_pair import small_volume
from VoxelMorphRegistrationLib.pipeline.planes import DIRECTIONS, Cube
from VoxelMorphRegistrationLib.pipeline.report import colours
from VoxelMorphRegistrationLib.pipeline.report.figures import pair_pictures
from VoxelMorphRegistrationLib.spatial import Grid, Image


def test_planes_are_seen_as_radiologists_see_them():
    matrix = np.diag([2.0, 2.0, 2.0, 1.0])
    matrix[:3, 3] = -31
    grid = Grid((32, 32, 32), matrix)
    index = np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), axis=-1)
    x = grid.to_ras(index)
    bright = np.exp(-np.sum((x - [10, 8, 6]) ** 2, axis=-1) / 400)  # right, in front, above
    image = Image((100 + 1000 * bright) * (np.abs(x) < 28).all(axis=-1), grid)
    found = pair_pictures(image, image, shifted_field(grid, 0.0))
    middle = found.pixels / 2
    for plane in found.planes:
        row, column = np.argwhere(plane.fixed > 200).mean(axis=0)
        assert column < middle - 5, plane.name  # right, or in front, is on the left
        assert row < middle - 5, plane.name  # in front, or above, is on top
    assert list(DIRECTIONS) == [plane.name for plane in found.planes]


def test_the_moved_volume_lies_on_the_fixed_one():
    fixed, moving = small_volume("fixed"), small_volume("moving", 12.0)
    for plane in pair_pictures(fixed, moving, shifted_field(fixed.grid, 12.0)).planes:
        before, after = (np.abs(plane.fixed.astype(float) - seen).mean() for seen in (plane.before, plane.after))
        assert after < 3, plane.name
        assert before > 2 * after, plane.name


@pytest.mark.parametrize(("factor", "strongest"), [(1.2, 0), (0.85, 2)])
def test_swelling_is_orange_and_shrinking_blue(factor, strongest):
    fixed = small_volume("fixed")
    plane = pair_pictures(fixed, fixed, swelling_field(fixed.grid, factor)).planes[0]
    middle = plane.jacobian[plane.jacobian.shape[0] // 2, plane.jacobian.shape[1] // 2]
    assert middle[:3].argmax() == strongest
    assert middle[3] > 100


def test_colours_of_the_jacobian():
    kept, folded, halved, doubled, more = colours.jacobian_pixels(np.array([[1.0, -0.2, 0.5, 2.0, 8.0]]))[0]
    assert kept[3] == 0
    assert tuple(folded) == (*colours.FOLDED, 255)
    assert tuple(doubled) == tuple(more)
    stops = colours.jacobian_stops()
    assert [stops[0].rgb, stops[-1].rgb] == [tuple(map(int, end[:3])) for end in (halved, doubled)]


def test_the_grid_is_straight_where_nothing_moves_and_closer_where_it_grows():
    fixed = small_volume("fixed")

    def lines(factor: float) -> int:
        found = pair_pictures(fixed, fixed, swelling_field(fixed.grid, factor))
        across = found.planes[0].grid[3, :, 3] > 128  # beside a line that lies in this row there are only crossings
        return int(np.count_nonzero(np.diff(across.astype(int)) == 1))

    assert lines(1.0) >= 15
    assert lines(1.3) > 1.15 * lines(1.0)


def test_something_flat_or_empty_is_shown_all_the_same():
    grid = Grid((8, 9, 1), np.diag([2.0, 2.0, 5.0, 1.0]))
    flat = Image(np.zeros(grid.shape, np.int16), grid)
    assert Cube.around_content(flat).side > 0
    found = pair_pictures(flat, flat, shifted_field(grid, 0.0))
    assert [plane.after.shape for plane in found.planes] == [(found.pixels, found.pixels)] * 3
