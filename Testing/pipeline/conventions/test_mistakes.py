"""The mistakes that give "terrible" results, each made on a real pair: detected, named, repaired."""

from __future__ import annotations

import re

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from pipeline.conventions import cases, containers
from pipeline.conventions.matrix import RIGHT
from VoxelMorphRegistrationLib.errors import InputError, TransformError
from VoxelMorphRegistrationLib.files.fields import RawField, read_raw_field
from VoxelMorphRegistrationLib.pipeline.conventions import mistakes, repairs
from VoxelMorphRegistrationLib.pipeline.conventions.convention import Convention, letters
from VoxelMorphRegistrationLib.pipeline.conventions.diagnosis import Diagnosis, identify
from VoxelMorphRegistrationLib.pipeline.conventions.writing import write_with_sidecar
from VoxelMorphRegistrationLib.spatial import DisplacementField, Grid, Image

AS_RAS = Convention(letters("RAS"), "mm", placement="own")  # what Slicer takes a node's numbers for


@pytest.fixture(scope="module", autouse=True)
def _needs_an_engine():
    pytest.importorskip("openvino", reason="the fields are made with the OpenVINO engine, which is not installed")


def messages(diagnosis: Diagnosis) -> dict[str, str]:
    return {finding.code: finding.message for finding in diagnosis.findings}


def diagnosed(pair: cases.Case, stored: str, used_as: Convention, grid: Grid | None = None) -> tuple[Diagnosis, float]:
    """A field stored in one convention and used as another: the diagnosis, and the error after the repair."""
    array, truth = cases.stored(pair, stored)
    diagnosis = identify(RawField(array, "x", grid), pair.fixed, pair.moving, used_as=used_as)
    assert diagnosis.accepted, diagnosis.table()
    return diagnosis, pair.error(diagnosis.field(), truth)


def test_1_axis_order():
    pair = cases.case("vxm cube")  # the shape does not give it away
    diagnosis, error = diagnosed(pair, "VoxelMorph on kji arrays", Convention(layout="first"))
    assert "used as i j k: NumPy arrays of Slicer and SimpleITK are [k, j, i]" in messages(diagnosis)["axis order"]
    assert error < RIGHT


def test_1_component_order():
    pair = cases.case("vxm thick")
    diagnosis, error = diagnosed(pair, "VoxelMorph TF", Convention(letters("kji")))
    assert "components mean i j k and were used as k j i" in messages(diagnosis)["component order"]
    assert error < RIGHT


def test_2_reshape_instead_of_transpose():
    pair = cases.case("vxm thick")
    diagnosis, error = diagnosed(pair, "reshaped", Convention())
    assert "numpy.reshape" in messages(diagnosis)["reshaped"]
    assert error < RIGHT


def test_2_noise_that_no_reading_mends():
    pair = cases.case("vxm thick")
    noise = np.random.default_rng(0).normal(size=(*pair.fixed.grid.shape, 3)).astype(np.float32)
    diagnosis = identify(RawField(noise, "x"), pair.fixed, pair.moving)
    assert not diagnosis.accepted
    assert "Neighbouring vectors have nothing to do with each other" in messages(diagnosis)["noise"]


@pytest.mark.parametrize(
    ("stored", "code", "sentence"),
    [
        ("VoxelMorph TF", "units", "in voxels and were used as mm"),
        ("normalised (grid_sample)", "units", "in parts of the volume .* and were used as mm"),
        ("voxel positions", "positions", "absolute positions and were used as displacements"),
        ("LPS positions", "positions", "absolute positions and were used as displacements"),
    ],
)
def test_3_units_and_positions(stored, code, sentence):
    pair = cases.case("vxm oblique")
    diagnosis, error = diagnosed(pair, stored, AS_RAS.with_(placement="fixed"))
    assert re.search(sentence, messages(diagnosis)[code])
    assert error < RIGHT


def test_4_lps_used_as_ras():
    pair = cases.case("vxm oblique")
    diagnosis, error = diagnosed(pair, "LPS mm (ITK)", AS_RAS, pair.fixed.grid)
    assert "vectors are LPS and were used as RAS: left-right and front-back are mirrored" in messages(diagnosis)["LPS"]
    assert error < RIGHT


def test_5_direction():
    pair = cases.case("bert oblique")
    used_as = Convention(letters("LPS"), "mm", placement="moving")
    diagnosis, error = diagnosed(pair, "modeling: LPS mm", used_as)
    assert "from moving to fixed space (modeling) and was used from fixed" in messages(diagnosis)["direction"]
    assert error < RIGHT


def test_6_half_resolution_in_full_voxels():
    pair = cases.case("vxm oblique")
    diagnosis, error = diagnosed(pair, "half resolution: full voxels", Convention())
    assert "used as voxels" in messages(diagnosis)["units"]
    assert error < RIGHT


def test_6_velocity_used_as_displacement():
    pair = cases.case("vxm 2mm")
    diagnosis, error = diagnosed(pair, "velocity", Convention(layout="first"))
    assert "a velocity that has still to be integrated" in messages(diagnosis)["velocity"]
    assert error < RIGHT


def test_6_mean_and_variance():
    pair = cases.case("vxm 2mm")
    array, truth = cases.stored(pair, "velocity")
    six = np.concatenate([array, np.full_like(array, -10)])
    diagnosis = identify(RawField(six, "x"), pair.fixed, pair.moving)
    assert "six components" in messages(diagnosis)["velocity with variance"]
    assert diagnosis.accepted
    assert pair.error(diagnosis.field(), truth) < RIGHT


def test_7_cropped_input_not_undone():
    pair = cases.case("vxm 2mm")
    shape = np.array((64, 80, 96))
    start = (np.array(pair.fixed.grid.shape) - shape) // 2
    window = tuple(slice(a, a + n) for a, n in zip(start, shape, strict=True))
    voxels = Convention().store(pair.forward, pair.fixed.grid)[window]
    diagnosis = identify(RawField(voxels, "x"), pair.fixed, pair.moving)
    assert not diagnosis.accepted  # the offset is a guess
    assert "was cropped or padded for the network" in diagnosis.verdict
    assert "file with its own geometry" in diagnosis.settled_by[-1]
    inside = np.argwhere(pair.fixed.array[window] > 10) + start
    points = pair.fixed.grid.to_ras(inside)
    away = np.linalg.norm(diagnosis.field().at(points) - pair.forward.at(points), axis=1)
    assert away.mean() < 0.5
    origin = pair.fixed.grid.to_ijk(diagnosis.raw.grid.origin)
    np.testing.assert_allclose(origin, start, atol=1.01)


def test_7_with_its_geometry_a_crop_is_accepted():
    pair = cases.case("vxm 2mm")
    start, shape = (5, 3, 9), (64, 80, 96)
    window = tuple(slice(a, a + n) for a, n in zip(start, shape, strict=True))
    voxels = Convention().store(pair.forward, pair.fixed.grid)[window]
    raw = RawField(voxels, "x", pair.fixed.grid.window(start, shape))
    diagnosis = identify(raw, pair.fixed, pair.moving)
    assert diagnosis.accepted
    assert diagnosis.best.convention.placement == "own"


def test_8_invented_geometry():
    pair = cases.case("vxm oblique")
    invented = Grid(pair.fixed.grid.shape, np.eye(4))
    diagnosis, error = diagnosed(pair, "VoxelMorph TF", AS_RAS, invented)
    assert "another geometry" in messages(diagnosis)["geometry"]
    assert "It looks like a default" in messages(diagnosis)["geometry"]
    assert error < RIGHT


def test_9_oblique_volume_with_axis_aligned_code():
    pair = cases.case("vxm oblique")
    matrix = np.eye(4)
    matrix[:3, :3] = np.diag(pair.fixed.grid.spacing)
    matrix[:3, 3] = pair.fixed.grid.centre_ras - matrix[:3, :3] @ ((np.array(pair.fixed.grid.shape) - 1) / 2)
    aligned = Grid(pair.fixed.grid.shape, matrix)
    diagnosis, error = diagnosed(pair, "RAS mm", AS_RAS, aligned)
    assert "its axes are turned by up to" in messages(diagnosis)["geometry"]
    assert next(f for f in diagnosis.findings if f.code == "geometry").row == 9
    assert error < RIGHT


def test_10_linear_part_in_the_field_and_applied_twice():
    pair = cases.case("bert oblique")
    found = {f.code: f.message for f in mistakes.in_field(pair.forward)}
    assert "split it into a linear transform and the rest" in found["linear part"]
    apart = repairs.split_affine(pair.forward)
    points = pair.fixed.grid.to_ras(np.argwhere(pair.fixed.array > 10)[::50])
    np.testing.assert_allclose(apart.map_points(points), pair.forward.map_points(points), atol=1e-2)
    assert apart.displacement.magnitude().mean() < 0.5 * pair.forward.magnitude().mean()
    twice = {f.code for f in mistakes.in_field(pair.forward, parent=apart.affine)}
    assert "applied twice" in twice
    assert "linear part" not in {f.code for f in mistakes.in_field(apart.displacement)}
    assert "applied twice" not in {f.code for f in mistakes.in_field(apart.displacement, parent=apart.affine)}


def test_10_a_cliff_at_the_border_is_tapered():
    pair = cases.case("bert oblique")
    assert "cliff" in {f.code for f in mistakes.in_field(pair.forward)}
    tapered = repairs.taper(pair.forward, 15)
    assert "cliff" not in {f.code for f in mistakes.in_field(tapered)}
    points = pair.fixed.grid.to_ras(np.argwhere(pair.fixed.array > 10)[::50])
    np.testing.assert_allclose(tapered.map_points(points), pair.forward.map_points(points), atol=1e-3)


def test_11_swapped_volumes():
    pair = cases.case("bert oblique")
    array, _ = cases.stored(pair, "VoxelMorph TF")
    diagnosis = identify(RawField(array, "x"), pair.moving, pair.fixed)
    assert "fixed and moving are swapped" in messages(diagnosis)["other way"]
    assert diagnosis.best.convention.direction == "modeling"
    assert diagnosis.best.convention.placement == "moving"
    # Mended: the true inverse for the volumes as they were given.
    points = pair.moving.grid.to_ras(np.argwhere(pair.moving.array > 10)[::50])
    true = pair.backward.at(points)
    away = np.linalg.norm(diagnosis.field().at(points) - true, axis=1)
    assert np.sqrt((away**2).mean()) < RIGHT * np.sqrt((true**2).sum(axis=1).mean())
    before = correlation(pair.moving, DisplacementField.zero(pair.moving.grid).warp(pair.fixed, pair.moving.grid))
    assert correlation(pair.moving, diagnosis.field().warp(pair.fixed, pair.moving.grid)) > before + 0.2


def correlation(one: Image, other: Image) -> float:
    inside = one.array > one.array.max() / 20
    return float(np.corrcoef(one.array[inside], other.array[inside])[0, 1])


def test_11_a_wrong_reference():
    pair = cases.case("bert oblique")
    array, _ = cases.stored(pair, "VoxelMorph TF")
    wrong = Image(pair.moving.array[:60, :50, :40], pair.moving.grid.window((0, 0, 0), (60, 50, 40)))
    with pytest.raises(InputError, match="belongs to no voxels of the fixed volume 60 x 50 x 40"):
        identify(RawField(array, "x"), wrong)


def folding(pair: cases.Case) -> DisplacementField:
    vectors = pair.forward.vectors.copy()
    rng = np.random.default_rng(0)
    for centre in rng.integers(25, 70, (4, 3)):
        window = tuple(slice(c - 4, c + 4) for c in centre)
        vectors[window] += rng.normal(0, 6, 3).astype(np.float32)
    return DisplacementField(vectors, pair.forward.grid)


def test_12_folding_is_smoothed_away_with_the_amount_reported():
    pair = cases.case("vxm 2mm")
    folded = folding(pair)
    found = {f.code: f.message for f in mistakes.in_field(folded)}
    assert "fly off as spikes" in found["folding"]
    mended = repairs.unfold(folded)
    assert (mended.field.jacobian_determinant().array > 0).all()
    assert mended.folded_percent_before > 0
    assert 0 < mended.rms_change_mm < 1.5
    assert pair.error(mended.field, pair.forward) < pair.error(folded, pair.forward)
    assert repairs.unfold(mended.field).sigma_mm == 0  # nothing left to do


def test_13_nan_is_filled():
    pair = cases.case("vxm thick")
    array, truth = cases.stored(pair, "VoxelMorph torch")
    array[:, 40:44, 60:64, 20:22] = np.nan
    array[0, 0, 0, 0] = np.inf
    raw = RawField(array, "x")
    diagnosis = identify(raw, pair.fixed, pair.moving)
    assert not diagnosis.accepted
    assert "are NaN or infinite" in diagnosis.verdict
    filled, count = repairs.filled(raw)
    assert count == 33
    mended = identify(filled, pair.fixed, pair.moving)
    assert mended.accepted
    assert pair.error(mended.field(), truth) < RIGHT


def test_13_nothing_but_nan():
    with pytest.raises(TransformError, match="cannot be mended"):
        repairs.filled(RawField(np.full((6, 7, 8, 3), np.nan, np.float32), "x"))


@pytest.mark.parametrize(("kind", "code"), [("int16", "whole numbers"), ("float16", "half precision")])
def test_13_number_types(kind, code):
    pair = cases.case("vxm thick")
    array, truth = cases.stored(pair, "VoxelMorph TF")
    diagnosis = identify(RawField(array.astype(kind), "x"), pair.fixed, pair.moving)
    assert code in messages(diagnosis)
    assert diagnosis.field().vectors.dtype == np.float32
    assert diagnosis.best.convention.components == ("i", "j", "k")
    if kind == "float16":
        assert pair.error(diagnosis.field(), truth) < RIGHT


def test_14_a_vector_volume_saved_from_slicer(tmp_path):
    """RAS vectors in a NRRD that says nothing: taken as LPS by everybody."""
    pair = cases.case("vxm oblique")
    image = containers._sitk_image(pair.forward.vectors, pair.fixed.grid)
    sitk.WriteImage(image, tmp_path / "vectors.nrrd")
    diagnosis = identify(read_raw_field(tmp_path / "vectors.nrrd"), pair.fixed, pair.moving)
    assert diagnosis.accepted
    assert "vectors are RAS and were used as LPS" in messages(diagnosis)["LPS"]
    assert any("vector volume saved from Slicer are RAS" in note for note in diagnosis.notes)
    assert pair.error(diagnosis.field(), pair.forward) < RIGHT


@pytest.mark.parametrize(("intent", "said"), [(0, "4-D series"), (1007, "intent 1007"), (2003, "intent 2003")])
def test_15_nifti_dimensions_and_intents_are_repaired(tmp_path, intent, said):
    pair = cases.case("vxm oblique")
    image = nibabel.Nifti1Image(np.ascontiguousarray(pair.forward.vectors), np.array(pair.fixed.grid.ijk_to_ras))
    image.header.set_intent(intent, allow_unknown=True)
    nibabel.save(image, tmp_path / "synthmorph.nii.gz")
    diagnosis = identify(read_raw_field(tmp_path / "synthmorph.nii.gz"), pair.fixed, pair.moving)
    assert diagnosis.accepted
    assert any(said in note for note in diagnosis.notes)
    write_with_sidecar(diagnosis.field(), tmp_path / "mended.nii.gz")
    mended = nibabel.load(tmp_path / "mended.nii.gz")
    assert mended.shape == (*pair.fixed.grid.shape, 1, 3)
    assert mended.header["intent_code"] == 1006
    np.testing.assert_allclose(np.squeeze(mended.dataobj), pair.forward.vectors, atol=1e-4)


def test_15_intent_1006_with_voxels_in_it_is_not_believed(tmp_path):
    pair = cases.case("vxm oblique")
    voxels = Convention().store(pair.forward, pair.fixed.grid)
    image = nibabel.Nifti1Image(voxels[:, :, :, None], np.array(pair.fixed.grid.ijk_to_ras))
    image.header.set_intent(1006)
    nibabel.save(image, tmp_path / "w.nii.gz")
    diagnosis = identify(read_raw_field(tmp_path / "w.nii.gz"), pair.fixed, pair.moving)
    assert not diagnosis.accepted
    assert "the volumes speak against it" in diagnosis.ambiguous[0]
    assert pair.error(diagnosis.field(), pair.forward) < RIGHT  # the likeliest is the right one


def test_16_a_field_that_moves_nothing():
    pair = cases.case("vxm thick")
    zero = RawField(np.zeros((*pair.fixed.grid.shape, 3), np.float32), "x")
    diagnosis = identify(zero, pair.fixed, pair.moving)
    assert not diagnosis.accepted
    assert "SetVectors" in messages(diagnosis)["moves nothing"]


def test_17_another_grid_in_a_sequence():
    grid = cases.case("vxm thick").fixed.grid
    fields = [
        DisplacementField.zero(grid),
        DisplacementField.zero(grid),
        DisplacementField.zero(grid.window([1, 0, 0], grid.shape)),
    ]
    assert mistakes.same_grids(fields[:2]) == []
    (found,) = mistakes.same_grids(fields)
    assert "frames 2 lie on another grid" in found.message
    mended = [field.resampled(grid) for field in fields]
    assert mistakes.same_grids(mended) == []


def test_18_a_field_that_helps_nothing():
    """There is no repair but not to use it: the volumes as they lie are the better result."""
    pair = cases.case("vxm thick")
    index = np.stack(np.meshgrid(*[np.arange(n) for n in pair.fixed.grid.shape], indexing="ij"), -1)
    wild = np.stack([6 * np.sin(index[..., (n + 1) % 3] / 9.0 + n) for n in range(3)], -1).astype(np.float32)
    diagnosis = identify(RawField(wild, "x"), pair.fixed, pair.moving)
    assert not diagnosis.accepted
    assert "do not use it" in messages(diagnosis)["no gain"]
    assert diagnosis.best.similarity < diagnosis.similarity_before + 0.05
