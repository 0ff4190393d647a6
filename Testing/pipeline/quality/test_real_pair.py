"""The verdict on a real registration of two heads, and on the same one spoiled in ways that users report."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks import check_table
from pipeline.conventions import cases
from scipy import ndimage
from VoxelMorphRegistrationLib.files.points import Points
from VoxelMorphRegistrationLib.pipeline.quality.checking import check_registration

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def checks():
    pytest.importorskip("openvino", reason="the pair is registered with the OpenVINO engine, which is not installed")
    return check_table.rows(["as registered", "wrong direction", "LPS taken for RAS", "with noise of 1 mm"])


def test_a_right_registration_is_not_called_bad(checks):
    found = checks["as registered"]
    assert found.level in ("good", "look")
    for change in (
        found.similarity.correlation,
        found.similarity.mutual_information,
        found.similarity.local_correlation,
    ):
        assert change.after > change.before
    assert found.mean_dice.after > found.mean_dice.before + 0.05
    assert len(found.structures) == 30
    assert found.inverse_consistency.p95_mm < 2
    assert found.jacobian.folded_percent < 0.5


@pytest.mark.parametrize("name", ["wrong direction", "LPS taken for RAS", "with noise of 1 mm"])
def test_what_is_spoiled_is_called_bad(checks, name):
    assert checks[name].level == "bad"
    assert checks[name].verdict.startswith("Do not use this registration before you know why")


def test_landmarks_in_the_middle_of_structures_come_nearer():
    """The centres of the same structures in both heads, as somebody would have placed them."""
    pytest.importorskip("openvino", reason="the pair is registered with the OpenVINO engine, which is not installed")
    pair = cases.case("vxm 2mm")
    sides = [check_table.labels(name, image) for name, image in (("subject_1", pair.fixed), ("test_scan", pair.moving))]
    used = [4, 43, 10, 49, 11, 50, 17, 53]  # ventricles, thalamus, caudate, hippocampus, left and right
    points = [
        Points(
            side.grid.to_ras(np.array(ndimage.center_of_mass(side.array > 0, side.array, used))),
            tuple(f"structure {label}" for label in used),
        )
        for side in sides
    ]
    found = check_registration(
        pair.fixed, pair.moving, pair.forward, fixed_points=points[0], moving_points=points[1]
    ).landmarks
    assert found.mean_mm.after < 0.7 * found.mean_mm.before
    assert found.max_mm.after < found.max_mm.before
