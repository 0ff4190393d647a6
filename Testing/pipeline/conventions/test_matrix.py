"""Sampled cells of the matrix (all of it: ``Testing/benchmarks/convention_table.py``): never accepted wrongly."""

from __future__ import annotations

import numpy as np
import pytest
from pipeline.conventions import cases, containers
from pipeline.conventions.matrix import array_cell, file_cell
from VoxelMorphRegistrationLib.files.fields import RawField
from VoxelMorphRegistrationLib.pipeline.conventions.diagnosis import identify

# Each convention once, on grids and in containers that go round; those that test_mistakes.py identifies are left out.
CONVENTIONS = (
    "VoxelMorph torch",
    "kji arrays: xyz voxels",
    "RAS mm",
    "mm along the grid",
    "normalised positions",
    "RAS positions",
    "modeling: voxels",
    "half resolution",
    "reoriented to RAS",
    "odd order",
)
PAIRS = ("vxm 2mm", "vxm oblique", "bert thick", "vxm thick", "bert oblique")
SILENT = list(containers.SILENT)


@pytest.fixture(scope="module", autouse=True)
def _needs_an_engine():
    pytest.importorskip("openvino", reason="the fields are made with the OpenVINO engine, which is not installed")


@pytest.mark.parametrize("number", range(len(CONVENTIONS)), ids=CONVENTIONS)
def test_every_convention_is_found_and_accepted(number):
    outcome = array_cell(PAIRS[number % len(PAIRS)], CONVENTIONS[number], SILENT[number % len(SILENT)])
    assert outcome.kind == "accepted, right", outcome
    assert outcome.seconds < 60  # on a loaded machine; the table has the real ones


@pytest.mark.parametrize(
    "container",
    ["NIfTI intent 1006", "ITK NIfTI (intent 1007)", "NRRD of Slicer", "MetaImage (elastix)", "ITK composite .h5",
     "surfa abs_crs", "surfa disp_ras"],
)  # fmt: skip
def test_every_container_that_says_what_it_holds(container):
    outcome = file_cell("vxm oblique", container)
    assert outcome.kind == "accepted, right", outcome


@pytest.mark.parametrize("name", ["LPS mm (ITK)", "half resolution: full voxels", "VoxelMorph TF", "odd order"])
def test_small_motion_is_right_or_asked(name):
    """With a mean motion of half a voxel the volumes cannot tell all conventions apart: then that is said."""
    outcome = array_cell("vxm small", name)
    assert outcome.right, outcome
    assert outcome.accepted or outcome.named


def test_without_a_moving_volume_nothing_is_accepted_but_what_is_stated(tmp_path):
    pair = cases.case("vxm thick")
    array, _ = cases.stored(pair, "VoxelMorph torch")
    diagnosis = identify(RawField(array, "x"), pair.fixed)
    assert not diagnosis.accepted
    assert diagnosis.best.convention.components == ("i", "j", "k")
    assert "the moving volume" in diagnosis.settled_by
    assert any("units: voxel or mm" in entry for entry in diagnosis.ambiguous)


def test_isotropic_millimetres_cannot_tell_voxels_from_mm_and_say_so():
    pair = cases.case("vxm")  # 1 mm voxels
    array, _ = cases.stored(pair, "VoxelMorph TF")
    diagnosis = identify(RawField(array, "x"), pair.fixed, pair.moving)
    assert diagnosis.accepted
    assert any("voxels and mm are the same number" in entry for entry in diagnosis.best.evidence)


def test_a_field_of_another_pair_is_not_accepted():
    pair = cases.case("vxm 2mm")
    noise = np.random.default_rng(0).normal(size=(10, 12, 14, 3))
    smooth = np.repeat(np.repeat(np.repeat(noise, 8, 0), 8, 1), 8, 2).astype(np.float32)
    diagnosis = identify(RawField(smooth, "x"), pair.fixed, pair.moving)
    assert not diagnosis.accepted
    assert diagnosis.settled_by


def test_the_diagnosis_is_the_same_at_every_run():
    pair = cases.case("vxm oblique")
    array, _ = cases.stored(pair, "RAS mm")
    first, second = (identify(RawField(array, "x"), pair.fixed, pair.moving) for _ in range(2))
    assert first.as_json() | {"seconds": 0} == second.as_json() | {"seconds": 0}


def test_previews_show_the_better_candidate_as_better():
    pair = cases.case("vxm thick")
    array, _ = cases.stored(pair, "LPS mm (ITK)")
    diagnosis = identify(RawField(array, "x"), pair.fixed, pair.moving)
    grid = pair.fixed.grid
    points = grid.to_ras(np.stack(np.meshgrid(*[np.arange(0, n, 2) for n in grid.shape], indexing="ij"), -1))
    scores = []
    for candidate in (diagnosis.candidates[0], diagnosis.candidates[-1]):
        fixed, moved = diagnosis.seen_at(points, candidate.convention)
        assert fixed.shape == moved.shape == points.shape[:3]
        inside = fixed > fixed.max() / 20
        scores.append(np.corrcoef(fixed[inside], moved[inside])[0, 1])
    assert scores[0] > scores[1] + 0.05
