"""The jobs on foreign fields, through the exchange folder and in real background processes, also in one that has
nothing but what Slicer brings.
"""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Iterator
from dataclasses import fields

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from pipeline.small_pair import small_volume
from pipeline.test_background import make_python
from VoxelMorphRegistrationLib.errors import FileError, InputError, RegistrationError
from VoxelMorphRegistrationLib.files.fields import RawField
from VoxelMorphRegistrationLib.files.transforms import write_field
from VoxelMorphRegistrationLib.pipeline import exchange
from VoxelMorphRegistrationLib.pipeline.background import Worker
from VoxelMorphRegistrationLib.pipeline.conventions.convention import Convention
from VoxelMorphRegistrationLib.pipeline.conventions.pictures import checkerboard
from VoxelMorphRegistrationLib.pipeline.field_jobs import FieldDiagnosis, FieldDiagnosisJob, FieldJob
from VoxelMorphRegistrationLib.pipeline.jobs import BackgroundJob, job_class, result_type
from VoxelMorphRegistrationLib.progress import Progress
from VoxelMorphRegistrationLib.spatial import DisplacementField, Image

pytestmark = pytest.mark.timeout(180)
FIXED, MOVING = small_volume("fixed"), small_volume("moving", 6.0)
SHIFT = DisplacementField(np.full((*FIXED.grid.shape, 3), (6, 0, 0), np.float32), FIXED.grid)
VOXEL = Convention(layout="first")
TORCH = VOXEL.store(SHIFT, FIXED.grid)
GIVEN = {"components": "ijk", "units": "voxel", "layout": "first"}


@pytest.fixture(scope="module")
def worker(tmp_path_factory) -> Iterator[Worker]:
    worker = Worker(log_folder=tmp_path_factory.mktemp("logs"))
    yield worker
    worker.close()


@pytest.fixture(scope="module")
def bare(tmp_path_factory) -> Iterator[Worker]:
    """In a Python that has NumPy and SimpleITK and neither h5py nor nibabel, as Slicer's without an engine."""
    if sys.platform == "win32":
        pytest.skip("symbolic links need rights there")
    python = make_python(tmp_path_factory.mktemp("Slicer"), "numpy", "simpleitk")
    worker = Worker(python, log_folder=tmp_path_factory.mktemp("logs"))
    yield worker
    worker.close()


def shift_of(diagnosis: FieldDiagnosis) -> np.ndarray:
    """The mean displacement that the first candidate means."""
    job = FieldJob(diagnosis.raw, diagnosis.best.convention, FIXED.grid)
    return job.run(Progress()).field.vectors.mean(axis=(0, 1, 2))


def test_every_job_is_found_by_its_name_and_says_what_it_returns():
    for name in ("RegistrationJob", "FieldDiagnosisJob", "FieldJob"):
        kind = job_class(name)
        assert issubclass(kind, BackgroundJob)
        assert fields(kind)
        assert fields(result_type(kind.__new__(kind)))
    with pytest.raises(LookupError):
        job_class("NoJob")


def test_a_diagnosis_comes_back_as_it_was(worker, tmp_path):
    """From the process, and from the job done here: the same candidates, numbers and pictures."""
    np.save(tmp_path / "flow.npy", TORCH)
    job = FieldDiagnosisJob(FIXED, MOVING, tmp_path / "flow.npy", pictures=2)
    there, here = worker.run_blocking(job), job.run(Progress())
    assert there.as_json() | {"seconds": 0} == here.as_json() | {"seconds": 0}
    assert there.candidates[0].convention == here.candidates[0].convention
    assert [c.same for c in there.candidates] == [c.same for c in here.candidates]
    assert there.findings == here.findings
    np.testing.assert_array_equal(there.raw.array, TORCH)
    assert len(there.pictures) == len(there.candidates[:2]) > 0
    for one, other in zip((*there.pictures, there.before), (*here.pictures, here.before), strict=True):
        assert one.dtype == np.uint8
        np.testing.assert_array_equal(one, other)


def test_the_field_comes_back_with_what_was_done(worker):
    raw = RawField(TORCH, "flow")
    meant = worker.run_blocking(FieldJob(raw, VOXEL, FIXED.grid, repair=("split affine",)))
    np.testing.assert_allclose(meant.affine[:3, 3], (6, 0, 0), atol=1e-3)
    np.testing.assert_allclose(meant.field.vectors, 0, atol=1e-3)
    assert meant.done == ("The linear part was split off.",)
    meant = worker.run_blocking(FieldJob(raw, VOXEL, FIXED.grid, repair=("taper border",)))
    assert meant.field.grid.shape > FIXED.grid.shape
    assert np.abs(meant.field.vectors[0]).max() == 0
    with pytest.raises(InputError, match="There is no repair 'paint'; choose among fill not finite"):
        worker.run_blocking(FieldJob(raw, VOXEL, FIXED.grid, repair=("paint",)))


def test_vectors_that_are_no_numbers_are_filled_but_not_without_being_asked():
    raw = TORCH.copy()
    raw[:, 20, 20, 20] = np.nan
    job = FieldDiagnosisJob(FIXED, raw=RawField(raw, "flow"), given=GIVEN)
    refused = job.run(Progress())
    assert not refused.accepted
    assert refused.verdict.startswith("Not accepted: 1 of the field's vectors are NaN or infinite")
    taken = FieldDiagnosisJob(FIXED, raw=RawField(raw, "flow"), given=GIVEN, fill=True).run(Progress())
    assert taken.accepted
    assert taken.findings[0].repair == "fill not finite"
    np.testing.assert_allclose(shift_of(taken), (6, 0, 0), atol=1e-3)


def test_masks_take_away_what_only_one_volume_shows():
    """A moving head with a bright skull: masked, it is compared as if it had none. The mask lies on another grid."""
    index = np.stack(np.meshgrid(*map(np.arange, MOVING.grid.shape), indexing="ij"), -1)
    radius = np.linalg.norm((MOVING.grid.to_ras(index) - (6, 0, 0)) / [60, 72, 55], axis=-1)
    skull = MOVING.with_array(np.where((radius > 1.05) & (radius < 1.2), 2000, MOVING.array))
    coarse = MOVING.grid.with_shape((80, 90, 80))
    at = np.clip(np.rint(MOVING.grid.to_ijk(coarse.to_ras(np.indices(coarse.shape).transpose(1, 2, 3, 0)))), 0, None)
    mask = Image((radius < 1.02).astype(np.uint8)[tuple(at.astype(int).transpose(3, 0, 1, 2))], coarse, "brain")

    def before(moving: Image, moving_mask: Image | None = None) -> float | None:
        job = FieldDiagnosisJob(FIXED, moving, raw=RawField(TORCH, "flow"), given=GIVEN, moving_mask=moving_mask)
        return job.run(Progress()).similarity_before

    assert before(skull, mask) == pytest.approx(before(MOVING), abs=0.02)
    assert before(skull) != pytest.approx(before(MOVING), abs=0.1)
    empty = mask.with_array(np.zeros_like(mask.array))
    with pytest.raises(InputError, match="The moving mask brain is empty inside the moving volume"):
        before(skull, empty)


def test_fields_of_unknown_dataclasses_are_refused(tmp_path):
    """What `exchange` puts together is by the types of the job's own fields, nested tuples and dicts included."""
    job = FieldDiagnosisJob(FIXED, raw=RawField(TORCH, "ü"), given=GIVEN, used_as=VOXEL)
    packed = json.loads(json.dumps(exchange.pack(job, tmp_path)))
    found = exchange.unpack(FieldDiagnosisJob, packed, tmp_path)
    assert (found.given, found.used_as, found.raw.name, found.path) == (GIVEN, VOXEL, "ü", None)
    with pytest.raises(ValueError, match="FieldDiagnosisJob with the fields"):
        exchange.unpack(FieldDiagnosisJob, packed | {"more": 1}, tmp_path)


# ---- without the packages of an engine ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.nrrd", "a.mha", "a.nii.gz", "a.nii", "a.h5"])
def test_what_slicers_own_packages_read(bare, tmp_path, name):
    write_field(SHIFT, tmp_path / name)
    diagnosis = bare.run_blocking(FieldDiagnosisJob(FIXED, path=tmp_path / name))
    np.testing.assert_allclose(shift_of(diagnosis), (6, 0, 0), atol=1e-3)


@pytest.mark.parametrize("name", ["a.npy", "a.npz", "a.tfm"])
def test_arrays_and_itk_transforms(bare, tmp_path, name):
    path = tmp_path / name
    if name == "a.tfm":
        sitk.WriteTransform(SHIFT.transform(), str(path))
    else:
        {"a.npy": np.save, "a.npz": np.savez}[name](path, TORCH)
    given = {} if name == "a.tfm" else GIVEN
    np.testing.assert_allclose(
        shift_of(bare.run_blocking(FieldDiagnosisJob(FIXED, path=path, given=given))), (6, 0, 0), atol=1e-3
    )


@pytest.mark.parametrize(
    ("array", "intent", "given"),
    [
        (TORCH, 0, GIVEN),
        (np.moveaxis(TORCH, 0, -1), 0, GIVEN | {"layout": "last"}),
        (np.moveaxis(TORCH, 0, -1)[:, :, :, None], 0, GIVEN | {"layout": "last"}),
        (np.full((*FIXED.grid.shape, 1, 3), (-6, 0, 0), np.float32), 1007, {"components": "LPS", "units": "mm"}),
        (np.full((*FIXED.grid.shape, 1, 3), (6, 0, 0), np.float32), 1006, {}),
    ],
)
def test_nifti_in_its_variants_is_read_as_with_nibabel(bare, worker, tmp_path, array, intent, given):
    image = nibabel.Nifti1Image(array, FIXED.grid.ijk_to_ras)
    image.header.set_intent(intent)
    nibabel.save(image, tmp_path / "a.nii.gz")
    job = FieldDiagnosisJob(FIXED, path=tmp_path / "a.nii.gz", given=given)
    without, with_it = bare.run_blocking(job), worker.run_blocking(job)
    np.testing.assert_array_equal(without.raw.array, with_it.raw.array)
    assert without.raw.hints == with_it.raw.hints
    assert without.accepted
    np.testing.assert_allclose(shift_of(without), (6, 0, 0), atol=1e-3)


@pytest.mark.parametrize(("name", "package"), [("a.mat", "h5py"), ("a.mgz", "nibabel"), ("a.h5", "h5py")])
def test_what_needs_a_package_says_so(bare, tmp_path, name, package):
    (tmp_path / name).write_bytes(gzip.compress(bytes(2000)))
    with pytest.raises(FileError) as raised:
        bare.run_blocking(FieldDiagnosisJob(FIXED, path=tmp_path / name))
    assert str(raised.value).startswith(f"{name} cannot be read without the Python package {package}; install it: in")


def test_an_incomplete_nifti_file(bare, tmp_path):
    write_field(SHIFT, tmp_path / "a.nii")
    whole = (tmp_path / "a.nii").read_bytes()
    (tmp_path / "a.nii").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(RegistrationError, match=r"a\.nii cannot be read: it is .*incomplete"):
        bare.run_blocking(FieldDiagnosisJob(FIXED, path=tmp_path / "a.nii"))


# ---- pictures -----------------------------------------------------------------------------------------------------


def test_a_checkerboard_shows_both_volumes_in_turn_with_patients_right_on_the_left():
    """Content fills the squares; a lump on the patient's right, in front and above, is where radiologists expect it."""
    values = np.zeros(FIXED.grid.shape, np.float32)
    index = np.stack(np.meshgrid(*[np.arange(n) for n in values.shape], indexing="ij"), -1)
    ras = FIXED.grid.to_ras(index)
    values[np.linalg.norm(ras, axis=-1) < 60] = 100
    values[(np.abs(ras - (30, 0, 0)) < (12, 60, 60)).all(-1)] *= 2  # on the right
    image = Image(values, FIXED.grid)

    def seen_at(points):
        inside = FIXED.grid.contains(points)
        at = np.clip(np.rint(FIXED.grid.to_ijk(points)).astype(int), 0, np.array(values.shape) - 1)
        seen = np.where(inside, values[tuple(np.moveaxis(at, -1, 0))], 0)
        return seen.astype(np.float32), np.zeros_like(seen, np.float32)

    picture = checkerboard(image, seen_at, pixels=120, tiles=6)
    assert picture.shape == (120, 3 * 120 + 2 * 4)
    axial = picture[:, :120]
    assert axial[50:70, :60].max() == 255  # the patient's right is on the left
    assert axial[50:70, 60:].max() < 200
    first, second = axial[45:55, 45:55], axial[45:55, 65:75]  # two tiles beside each other
    assert min(first.max(), second.max()) == 0
    assert max(first.max(), second.max()) > 100
