"""`process()` with ``refineSeconds``: the refined field and its inverse in the nodes."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("slicer")
from pipeline.known_networks import write_vxm_dense
from pipeline.refinement.known_warp import known_pair
from slicer_bridge.support import add_transform, add_volume
from VoxelMorphRegistrationLib.slicer_bridge.grid_transforms import map_points


def test_a_known_warp_is_found_without_help_of_the_network(scene, logic, tmp_path):
    """The network says nothing; points mapped by the node lie where they belong, and come back by the inverse one."""
    pytest.importorskip("openvino", reason="needs an engine (pip install openvino)")
    pair = known_pair()
    fixed, moving = (add_volume(i.array, i.grid, n) for i, n in ((pair.fixed, "fixed"), (pair.moving, "moving")))
    transform, inverse = add_transform(), add_transform()
    outcome = logic.process(
        fixed,
        moving,
        outputTransform=transform,
        outputInverseTransform=inverse,
        model=str(write_vxm_dense(tmp_path / "nothing.h5")),
        resolution="quarter",
        preAlignment="none",
        refineSeconds=300,
    )
    assert outcome.result.refinement.gained
    assert outcome.result.folded_percent == 0
    points = pair.fixed.grid.to_ras(np.argwhere(pair.inside)[::101])
    mapped = map_points(transform, points)
    unregistered = np.linalg.norm(points - pair.true.map_points(points), axis=-1).mean()
    assert np.linalg.norm(mapped - pair.true.map_points(points), axis=-1).mean() < 0.6 * unregistered
    assert np.median(np.linalg.norm(map_points(inverse, mapped) - points, axis=-1)) < 0.3  # a tenth of a voxel
