"""Refinement as a part of the job: `register`, the command, and two real brains."""

from __future__ import annotations

import json

import numpy as np
import pytest
import SimpleITK as sitk
from pipeline.known_networks import write_vxm_dense
from pipeline.refinement.known_warp import known_pair
from shared_data import shared
from spatial.anatomy import load, shrunk
from spatial.geometry import affine
from VoxelMorphRegistrationLib.commands.main import main
from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.network.engines import available_engines
from VoxelMorphRegistrationLib.pipeline.registration import RegistrationOptions, register
from VoxelMorphRegistrationLib.progress import Progress
from VoxelMorphRegistrationLib.spatial import Grid, Image
from VoxelMorphRegistrationLib.spatial import simpleitk_bridge as bridge


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A network that says nothing: what is found, the refinement found."""
    if not available_engines():
        pytest.skip("no inference engine is installed")
    return write_vxm_dense(tmp_path_factory.mktemp("model") / "nothing.h5")


def options(model, **changes) -> RegistrationOptions:
    return RegistrationOptions(**{"model": str(model), "resolution": "quarter", "pre_align": "none"} | changes)


@pytest.mark.parametrize("seconds", [-1.0, float("nan"), float("inf")])
def test_seconds_that_are_none(seconds):
    with pytest.raises(InputError, match="number of seconds"):
        RegistrationOptions(refine_seconds=seconds)


def test_register_refines(model):
    pair, said = known_pair(), []
    without = register(pair.fixed, pair.moving, options(model))
    progress = Progress(lambda stage, fraction: said.append((stage, fraction)))
    refined = register(pair.fixed, pair.moving, options(model, refine_seconds=300, inverse=True), progress=progress)
    assert without.refinement is None
    assert pair.error_mm(refined.deformation) < 0.6 * pair.error_mm(without.deformation)
    assert refined.similarity_after > without.similarity_after
    assert refined.folded_percent == 0
    assert refined.refinement.gained
    assert refined.seconds["refinement"] > 0
    assert str(refined.refinement) in refined.summary()
    points = pair.fixed.grid.to_ras(np.argwhere(pair.inside)[::11])
    back = refined.deformation.map_points_back(refined.deformation.map_points(points))
    assert np.linalg.norm(back - points, axis=-1).mean() < 0.15
    assert any("similarity" in stage for stage, _ in said)
    assert [fraction for _, fraction in said] == sorted(fraction for _, fraction in said)


def test_the_command_refines(model, tmp_path, capsys):
    pair = known_pair()
    for name in ("fixed", "moving"):
        image = getattr(pair, name)
        sitk.WriteImage(bridge.scalar_to_sitk(image.array, image.grid), str(tmp_path / f"{name}.nii.gz"))
    ended = main(
        ["register", "--fixed", str(tmp_path / "fixed.nii.gz"), "--moving", str(tmp_path / "moving.nii.gz"),
         "--moved", str(tmp_path / "moved.nii.gz"), "--model", str(model), "--resolution", "quarter",
         "--pre-align", "none", "--refine", "300", "--json"]
    )  # fmt: skip
    assert ended == 0
    refinement = json.loads(capsys.readouterr().out)["refinement"]
    assert refinement["gained"]
    assert refinement["similarity_after"] > refinement["similarity_before"]
    assert refinement["stopped"] == "done"


def test_the_official_model_at_half_resolution_is_improved_on_two_people():
    """At 2 mm, for speed: Dice over 30 structures."""
    if not available_engines():
        pytest.skip("no inference engine is installed")
    weights = shared("weights/vxm_dense_brain_T1_3D_mse.h5")
    fixed, moving = (shrunk(load(shared(f"vxm_pair/{name}_t1.nii.gz")), 2) for name in ("subject_1", "test_scan"))
    labels = load(shared("vxm_pair/subject_1_aseg.nii.gz"))
    array = labels.array[::2, ::2, ::2]
    fixed_labels = Image(array, Grid(array.shape, affine(labels.grid.axes * 2, labels.grid.origin)))
    moving_labels = load(shared("vxm_pair/test_scan_aseg.nii.gz"))
    structures = np.load(shared("vxm_pair/labels.npz"))["labels"].ravel()

    def dice(result) -> float:
        b = result.deformation.warp_labels(moving_labels, fixed_labels.grid).array
        return float(np.mean([2 * ((array == s) & (b == s)).sum() / ((array == s).sum() + (b == s).sum())
                              for s in structures]))  # fmt: skip

    chosen = {"model": str(weights), "resolution": "half", "pre_align": "none"}
    without = register(fixed, moving, RegistrationOptions(**chosen))
    refined = register(fixed, moving, RegistrationOptions(**chosen, refine_seconds=120))
    assert dice(refined) > dice(without) + 0.02
    assert refined.folded_percent == 0
