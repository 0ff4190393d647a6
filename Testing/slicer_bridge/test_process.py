"""`process()` and `gridTransformFromTensor()` of the logic: real registrations, and everything that goes wrong."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

pytest.importorskip("slicer")
import slicer
from scipy.ndimage import map_coordinates
from shared_data import shared
from slicer_bridge.support import (
    add_transform,
    add_volume,
    distance,
    grid,
    scene_content,
    smooth_field,
    texture,
)
from VoxelMorphRegistrationLib.errors import CancelledError, EngineError, InputError, ModelError, RegistrationError
from VoxelMorphRegistrationLib.slicer_bridge.grid_transforms import (
    map_points,
    read_grid_transform,
    write_grid_transform,
    write_linear_transform,
)
from VoxelMorphRegistrationLib.slicer_bridge.volumes import image_from_volume_node
from VoxelMorphRegistrationLib.spatial import Grid

ON = grid("oblique")


def weights() -> str:
    pytest.importorskip("openvino", reason="needs an engine (pip install openvino)")
    return str(shared("weights/vxm_dense_brain_T1_3D_mse.h5"))


@cache
def brain(name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Volume, labels and IJK to RAS of one of the pair."""
    import nibabel

    image = nibabel.load(shared(f"vxm_pair/{name}_t1.nii.gz"))
    labels = np.asarray(nibabel.load(shared(f"vxm_pair/{name}_aseg.nii.gz")).dataobj)
    return np.asarray(image.dataobj), labels, image.affine


def add_brain(name: str, step: int = 1):
    head, _, affine = brain(name)
    matrix = affine @ np.diag([step, step, step, 1])
    return add_volume(head[::step, ::step, ::step], Grid(tuple(-(-n // step) for n in head.shape), matrix), name)


def mean_dice(seen: np.ndarray, wanted: np.ndarray) -> float:
    labels = np.load(shared("vxm_pair/labels.npz"))["labels"]
    scores = [
        2 * ((seen == label) & (wanted == label)).sum() / ((seen == label).sum() + (wanted == label).sum())
        for label in labels
    ]
    return float(np.mean(scores))


# ---- real registrations -------------------------------------------------------------------------------------------


def test_two_brains_are_registered_end_to_end(scene, logic):
    """Half resolution, all outputs: labels under the transform agree with the fixed ones as the volumes do."""
    model = weights()
    fixed, moving = add_brain("subject_1"), add_brain("test_scan")
    transform, inverse, volume = add_transform(), add_transform(), scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
    heard = []
    outcome = logic.process(
        fixed,
        moving,
        outputTransform=transform,
        outputInverseTransform=inverse,
        outputVolume=volume,
        model=model,
        resolution="half",
        progressCallback=lambda stage, fraction: heard.append((stage, fraction)),
    )
    assert (outcome.outputTransform, outcome.outputInverseTransform, outcome.outputVolume) == (
        transform,
        inverse,
        volume,
    )
    assert outcome.outputAffineTransform is None
    assert outcome.result.similarity_after > outcome.result.similarity_before + 0.02
    assert outcome.result.folded_percent < 0.01
    assert str(round(outcome.result.similarity_after, 3)) in outcome.summary()
    fractions = [fraction for _, fraction in heard]
    assert fractions == sorted(fractions)
    assert heard[0][0] == "Reading the volumes"
    assert heard[-1] == ("Done", 1.0)

    # The labels, nearest, through the node.
    _, fixed_labels, affine = brain("subject_1")
    _, moving_labels, _ = brain("test_scan")
    where = np.argwhere(fixed_labels > 0)
    start = where @ affine[:3, :3].T + affine[:3, 3]
    index = np.round(image_from_volume_node(moving).grid.to_ijk(map_points(transform, start))).astype(int)
    seen = moving_labels[tuple(np.clip(index, 0, np.array(moving_labels.shape) - 1).T)]
    wanted = fixed_labels[tuple(where.T)]
    assert mean_dice(seen, wanted) > 0.70
    assert mean_dice(moving_labels[tuple(where.T)], wanted) < 0.65

    # There and back again through the two nodes: as well as the library's inverse does it at this resolution.
    some = start[:: len(start) // 500]
    back_again = np.linalg.norm(map_points(inverse, map_points(transform, some)) - some, axis=1)
    assert np.median(back_again) < 0.3
    assert np.quantile(back_again, 0.99) < 2.0
    assert np.linalg.norm(map_points(transform, some) - some, axis=1).mean() > 3

    # The output volume, and the moving volume under the transform, are the fixed volume.
    result = image_from_volume_node(volume)
    assert result.grid.is_same(image_from_volume_node(fixed).grid)
    moving.SetAndObserveTransformNodeID(transform.GetID())
    hardened = image_from_volume_node(moving)
    under_transform = map_coordinates(np.float32(hardened.array), hardened.grid.to_ijk(start).T, order=1)
    on_fixed = result.array[tuple(where.T)]
    assert np.corrcoef(on_fixed, brain("subject_1")[0][tuple(where.T)])[0, 1] > 0.8
    assert np.corrcoef(on_fixed, under_transform)[0, 1] > 0.98  # interpolated once more


@pytest.mark.parametrize("axis", range(3))
def test_constant_shift_through_the_whole_registration(scene, logic, axis):
    """fixed(x) = moving(x + 4 voxels along an axis), anisotropic: the pre-aligned network finds that many mm."""
    model = weights()
    head, _, affine = brain("test_scan")
    small = head[::2, ::2, ::1]  # 2 x 2 x 1 mm
    on = Grid(small.shape, affine @ np.diag([2.0, 2.0, 1.0, 1.0]))
    shifted = np.roll(small, -4, axis=axis)
    fixed, moving = add_volume(shifted, on, "fixed"), add_volume(small, on, "moving")
    outcome = logic.process(fixed, moving, model=model, resolution="half", preAlignment="rigid")
    inside = on.to_ras(np.argwhere(shifted > 0)[::997])
    displacement = map_points(outcome.outputTransform, inside) - inside
    expected = 4 * on.axes[:, axis]
    assert np.linalg.norm(expected) == pytest.approx([8, 8, 4][axis])
    assert distance(displacement.mean(axis=0), expected) < 0.3
    assert np.quantile(np.linalg.norm(displacement - expected, axis=1), 0.95) < 1.5  # less than a voxel
    assert outcome.outputTransform.GetName() == "moving to fixed"


def test_inputs_under_transforms_are_registered_where_they_lie(scene, logic):
    """The fixed volume under a linear node, the moving one under a field under a matrix: outputs are in the world."""
    model = weights()
    fixed, moving = add_brain("subject_1", 2), add_brain("test_scan", 2)
    turned, matrix = add_transform(), np.eye(4)
    matrix[:3, 3] = 40, -25, 60
    write_linear_transform(np.linalg.inv(matrix), turned)
    fixed.SetAndObserveTransformNodeID(turned.GetID())
    bent, moved = add_transform(), add_transform()
    wave = smooth_field(Grid((30, 30, 30), image_from_volume_node(moving).grid.with_shape((30, 30, 30)).ijk_to_ras), 3)
    write_grid_transform(wave, bent)
    other = np.eye(4)
    other[:3, 3] = -10, 20, 5
    write_linear_transform(np.linalg.inv(other), moved)
    bent.SetAndObserveTransformNodeID(moved.GetID())
    moving.SetAndObserveTransformNodeID(bent.GetID())

    volume = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "moved")
    transform, affine = add_transform(), add_transform()
    outcome = logic.process(
        fixed,
        moving,
        transform,
        outputVolume=volume,
        outputAffineTransform=affine,
        model=model,
        resolution="half",
        outputGrid="network",
    )
    assert outcome.outputTransform.GetParentTransformNode() is None
    assert volume.GetParentTransformNode() is None
    world = image_from_volume_node(fixed).grid
    assert image_from_volume_node(volume).grid.is_same(world)
    inside = image_from_volume_node(fixed).array > 0
    after = np.corrcoef(image_from_volume_node(volume).array[inside], image_from_volume_node(fixed).array[inside])[0, 1]
    assert after > 0.8

    # The moving volume goes under the whole: its own transforms, then the affine, then the field.
    moved.SetAndObserveTransformNodeID(affine.GetID())
    seen = image_from_volume_node(moving)
    points = world.to_ras(np.argwhere(inside)[::50])
    sampled = map_coordinates(np.float32(seen.array), seen.grid.to_ijk(points).T, order=1)
    direct = np.float32(image_from_volume_node(volume).array[inside][::50])
    assert np.corrcoef(sampled, direct)[0, 1] > 0.97  # interpolated once more than the output volume


def test_masks_as_labelmap_and_segmentation(scene, logic):
    """A skull that only the fixed volume shows is blanked by a mask, which may be either kind of node."""
    model = weights()
    fixed, moving = add_brain("subject_1", 2), add_brain("test_scan", 2)
    on = image_from_volume_node(fixed).grid
    inside = image_from_volume_node(fixed).array > 0
    shell = np.zeros(on.shape, bool)
    shell[3:-3, 3:-3, 3:-3] = True
    shell[6:-6, 6:-6, 6:-6] = False
    with_box = np.where(shell & ~inside, 255, image_from_volume_node(fixed).array).astype(np.uint8)
    boxed = add_volume(with_box, on, "boxed")
    label = add_volume(inside.astype(np.uint8), on, "brain", "vtkMRMLLabelMapVolumeNode")
    segmentation = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "brain")
    slicer.modules.segmentations.logic().ImportLabelmapToSegmentationNode(label, segmentation)
    results = [
        logic.process(boxed, moving, model=model, resolution="quarter", fixedMask=mask).result
        for mask in (label, segmentation, None)
    ]
    assert results[0].similarity_after > 0.65  # at quarter resolution
    assert results[1].similarity_after == pytest.approx(results[0].similarity_after, abs=1e-3)
    masked, unmasked = (np.array(r.deformation.affine) for r in (results[0], results[2]))
    assert not np.allclose(masked, unmasked, atol=0.01)  # the box was seen without a mask


# ---- what goes wrong ----------------------------------------------------------------------------------------------


def a_volume(name="volume", seed=0):
    return add_volume(texture(ON, seed), ON, name)


def with_nan():
    array = texture(ON)
    array[3, 4, 5] = np.nan
    return add_volume(array, ON, "holes")


def vector_volume():
    return slicer.util.addVolumeFromArray(
        np.zeros((9, 10, 11, 3), np.uint8), name="colors", nodeClassName="vtkMRMLVectorVolumeNode"
    )


def one_slice():
    return slicer.util.addVolumeFromArray(np.random.default_rng(0).normal(size=(1, 40, 40)), name="slice")


BAD_VOLUMES = {
    "none": (lambda: None, "There is no {role} volume"),
    "not a node": (lambda: "brain.nii.gz", "{role} volume is not a scalar volume node but a str"),
    "a model": (
        lambda: slicer.mrmlScene.AddNewNodeByClass("vtkMRMLModelNode"),
        "is not a scalar volume node but a Model",
    ),
    "no voxels": (
        lambda: slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "void"),
        "{role} volume 'void' has no voxels",
    ),
    "color": (vector_volume, "{role} volume 'colors' has 3 values per voxel"),
    "2-D": (one_slice, "{role} volume slice has 40 x 40 x 1 voxels"),
    "NaN": (with_nan, "{role} volume holes holds 1 voxels that are not finite"),
    "constant": (
        lambda: add_volume(np.full(ON.shape, 7, np.int16), ON, "flat"),
        "{role} volume flat holds one value only",
    ),
}


@pytest.mark.parametrize("role", ["fixed", "moving"])
@pytest.mark.parametrize("case", BAD_VOLUMES)
def test_a_volume_that_cannot_be_used_is_named(scene, logic, case, role):
    make, sentence = BAD_VOLUMES[case]
    bad, good = make(), a_volume("good")
    outputs = {"outputTransform": add_transform(), "outputVolume": a_volume("out", 4)}
    write_grid_transform(smooth_field(ON), outputs["outputTransform"])
    before, stamps = scene_content(scene), [node.GetMTime() for node in outputs.values()]
    volumes = (bad, good) if role == "fixed" else (good, bad)
    with pytest.raises(InputError, match=sentence.format(role=role)):
        logic.process(*volumes, **outputs)
    assert scene_content(scene) == before
    assert [node.GetMTime() for node in outputs.values()] == stamps


def far_apart():
    matrix = np.array(ON.ijk_to_ras)
    matrix[:3, 3] += 5000
    return add_volume(texture(ON), Grid(ON.shape, matrix), "far")


BAD_CHOICES = {
    "the same volume twice": (lambda v: {"movingVolume": v}, InputError, "the same; choose two"),
    "direction": (lambda v: {"direction": "forward"}, InputError, "Unknown direction 'forward'"),
    "output grid": (lambda v: {"outputGrid": "coarse"}, InputError, "Unknown output grid 'coarse'"),
    "pre-alignment": (lambda v: {"preAlignment": "magic"}, InputError, "Unknown pre-align 'magic'"),
    "resolution": (lambda v: {"resolution": "eighth"}, InputError, "Unknown resolution 'eighth'"),
    "a volume as transform": (lambda v: {"outputTransform": a_volume()}, InputError, "not a transform node"),
    "a transform as volume": (lambda v: {"outputVolume": add_transform()}, InputError, "not a volume node"),
    "an input as output": (lambda v: {"outputVolume": v}, InputError, "is one of the inputs"),
    "a labelmap as output": (
        lambda v: {"outputVolume": add_volume(np.zeros((9, 9, 9), np.uint8), ON.with_shape((9, 9, 9)), "l", LABEL)},
        InputError,
        "cannot show the moved",
    ),
    "one transform twice": (
        lambda v: dict.fromkeys(("outputTransform", "outputInverseTransform"), add_transform()),
        InputError,
        "go to the same",
    ),
    "a removed output": (lambda v: {"outputTransform": removed(add_transform())}, InputError, "not in the scene"),
    "a volume as mask": (lambda v: {"fixedMask": add_transform()}, InputError, "fixed mask is not a scalar volume"),
    "an empty mask": (
        lambda v: {"movingMask": add_volume(np.zeros(ON.shape, np.uint8), ON, "nothing", LABEL)},
        InputError,
        "mask nothing is empty inside",
    ),
    "unknown model": (lambda v: {"model": "no-such-model"}, ModelError, 'no model "no-such-model"'),
    "missing model file": (lambda v: {"model": "/nowhere/model.h5"}, ModelError, "/nowhere/model.h5"),
}
LABEL = "vtkMRMLLabelMapVolumeNode"


def removed(node):
    slicer.mrmlScene.RemoveNode(node)
    return node


@pytest.mark.parametrize("case", BAD_CHOICES)
def test_a_choice_that_cannot_work_is_named_and_changes_nothing(scene, logic, case):
    make, kind, sentence = BAD_CHOICES[case]
    fixed = a_volume("fixed")
    arguments = {"movingVolume": a_volume("moving", 1), **make(fixed)}
    before = scene_content(scene)
    with pytest.raises(kind, match=sentence):
        logic.process(fixed, **arguments)
    assert scene_content(scene) == before


def test_volumes_far_apart_are_said_not_to_overlap(scene, logic):
    model = weights()
    fixed, moving = a_volume("here"), far_apart()
    before = scene_content(scene)
    with pytest.raises(InputError, match="do not overlap"):
        logic.process(fixed, moving, model=model, preAlignment="none")
    assert scene_content(scene) == before


def test_a_damaged_model_and_a_missing_engine_are_named(scene, logic, tmp_path):
    model = weights()
    damaged = tmp_path / "damaged.h5"
    damaged.write_bytes(shared("weights/vxm_dense_brain_T1_3D_mse.h5").read_bytes()[:200_000])
    before_nodes = (a_volume("fixed"), a_volume("moving", 1))
    before = scene_content(scene)
    with pytest.raises(ModelError, match="damaged"):
        logic.process(*before_nodes, model=damaged)
    with pytest.raises((EngineError, InputError), match="abacus"):
        logic.process(*before_nodes, model=model, engine="abacus")
    assert scene_content(scene) == before


def test_cancelling_at_the_beginning_the_middle_and_the_end_changes_nothing(scene, logic):
    """Each time the user asks to stop when a certain step is reported, and before the first."""
    model = weights()
    fixed, moving = add_brain("subject_1", 4), add_brain("test_scan", 4)
    outputs = {"outputTransform": add_transform(), "outputVolume": a_volume("out")}
    write_grid_transform(smooth_field(ON), outputs["outputTransform"])
    before, stamps = scene_content(scene), [node.GetMTime() for node in outputs.values()]
    stages: list[str] = []

    def run(stop_at):
        stages.clear()
        logic.process(
            fixed,
            moving,
            **outputs,
            model=model,
            resolution="quarter",
            preAlignment="centre",
            progressCallback=lambda stage, _: stages.append(stage),
            isCancelled=lambda: stop_at is not None and stop_at in ["", *stages],
        )

    def unchanged():
        return scene_content(scene) == before and [node.GetMTime() for node in outputs.values()] == stamps

    for stop_at in (
        "",
        "Reading the volumes",
        "Preparing the intensities",
        "Moving the volume and checking the result",
    ):
        with pytest.raises(CancelledError, match="nothing was changed"):
            run(stop_at)
        assert unchanged()
        assert "Done" not in stages
    run(None)
    assert stages[-1] == "Done"
    assert not unchanged()


def test_a_failing_progress_callback_changes_nothing(scene, logic):
    """For instance a panel that was closed meanwhile."""
    before_nodes = (a_volume("fixed"), a_volume("moving", 1))
    before = scene_content(scene)

    def gone(stage, fraction):
        raise RuntimeError("the panel is gone")

    with pytest.raises(RuntimeError, match="gone"):
        logic.process(*before_nodes, progressCallback=gone)
    assert scene_content(scene) == before


# ---- tensors ------------------------------------------------------------------------------------------------------


def zeros(*shape, dtype=np.float32):
    return np.zeros(shape, dtype)


def spoilt(value):
    tensor = zeros(1, 3, *ON.shape)
    tensor[0, 1, 2, 3, 4] = value
    return tensor


NI, NJ, NK = ON.shape
BAD_TENSORS = {
    "NaN": (spoilt(np.nan), {}, "NaN or infinite values in 1 voxels"),
    "infinity": (spoilt(np.inf), {}, "NaN or infinite values in 1 voxels"),
    "unsigned integers": (zeros(1, 3, NI, NJ, NK, dtype=np.uint8), {}, "uint8 values, which have no sign"),
    "booleans": (zeros(1, 3, NI, NJ, NK, dtype=bool), {}, "bool values"),
    "complex": (zeros(1, 3, NI, NJ, NK, dtype=np.complex64), {}, "displacements are real numbers"),
    "text": (np.full((3, 2, 2, 2), "a"), {}, "displacements are real numbers"),
    "None": (None, {}, "tensor"),
    "a scalar field": (zeros(1, 1, NI, NJ, NK), {}, "no 3 components"),
    "three axes": (zeros(NI, NJ, NK), {}, "has 3 axes"),
    "2-D": (zeros(1, 2, NI, NJ), {}, "2-D registration|no 3 components"),
    "a batch": (zeros(4, 3, NI, NJ, NK), {}, "batch of 4"),
    "mean and variance": (zeros(1, 6, NI, NJ, NK), {}, "6 components"),
    "another grid": (zeros(1, 3, NI + 5, NJ, NK), {}, "belongs to another grid"),
    "reversed axes": (zeros(1, 3, NK, NJ, NI), {}, "reversed order"),
    "axis order": (zeros(1, 3, NI, NJ, NK), {"axisOrder": "xyz"}, "xyz"),
    "layout": (zeros(1, 3, NI, NJ, NK), {"layout": "diagonal"}, "diagonal"),
    "kind": (zeros(1, 3, NI, NJ, NK), {"fieldKind": "acceleration"}, "acceleration"),
    "direction": (zeros(1, 3, NI, NJ, NK), {"direction": "sideways"}, "Unknown direction 'sideways'"),
}


@pytest.mark.parametrize("given", ["no node", "a node"])
@pytest.mark.parametrize("case", BAD_TENSORS)
def test_a_tensor_that_cannot_be_used_is_named_and_changes_nothing(scene, logic, case, given):
    tensor, arguments, sentence = BAD_TENSORS[case]
    reference, node = a_volume(), None
    if given == "a node":
        node = add_transform()
        write_grid_transform(smooth_field(ON, seed=8), node, "modeling")
    before, stamp = scene_content(scene), node and node.GetMTime()
    with pytest.raises(InputError, match=sentence):
        logic.gridTransformFromTensor(tensor, reference, outputTransform=node, **arguments)
    assert scene_content(scene) == before
    if node is not None:
        assert node.GetMTime() == stamp
        assert np.array_equal(read_grid_transform(node)[0].vectors, smooth_field(ON, seed=8).vectors)


@pytest.mark.parametrize("dtype", [np.float16, np.float64, np.int16, np.int64])
def test_other_number_types_become_float32(scene, logic, dtype):
    tensor = zeros(1, 3, *ON.shape, dtype=dtype)
    tensor[:, 0] = 2
    node = logic.gridTransformFromTensor(tensor, a_volume())
    assert slicer.util.arrayFromGridTransform(node).dtype == np.float32
    assert distance(map_points(node, [ON.centre_ras])[0] - ON.centre_ras, 2 * ON.axes[:, 0]) < 1e-3


def test_a_reference_that_cannot_be_used_is_named(scene, logic):
    tensor = zeros(1, 3, *ON.shape)
    bent = add_transform(name="bent")
    write_grid_transform(smooth_field(ON), bent)
    under = a_volume("under")
    under.SetAndObserveTransformNodeID(bent.GetID())
    before = scene_content(scene)
    for reference, arguments, sentence in (
        (None, {}, "There is no reference volume"),
        (bent, {}, "not a scalar volume node"),
        (under, {}, "'under' lies under a non-linear transform"),
        (under, {"outputTransform": bent}, "lies under the output transform 'bent'"),
        (under, {"outputTransform": under}, "not a transform node"),
    ):
        with pytest.raises(InputError, match=sentence):
            logic.gridTransformFromTensor(tensor, reference, **arguments)
        assert scene_content(scene) == before
    # A modeling field of the moving volume may replace the one above it.
    assert logic.gridTransformFromTensor(tensor, under, "modeling", bent) is bent
    assert read_grid_transform(bent)[0].grid.is_same(ON)


def test_a_reference_under_a_linear_transform_takes_the_tensor_along(scene, logic):
    from slicer_bridge.support import rotation

    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = rotation(40, (0, 1, 1)), (9, 8, 7)
    parent, reference = add_transform(), a_volume()
    write_linear_transform(np.linalg.inv(matrix), parent)
    reference.SetAndObserveTransformNodeID(parent.GetID())
    tensor = zeros(1, 3, *ON.shape)
    tensor[:, 1] = 3
    node = logic.gridTransformFromTensor(tensor, reference)
    world = ON.moved_by(matrix)
    assert distance(map_points(node, [world.centre_ras])[0] - world.centre_ras, 3 * world.axes[:, 1]) < 1e-3
    assert node.GetParentTransformNode() is None
    assert node.GetNodeReferenceID("spatialRegistrationFixed") == reference.GetID()


def test_every_error_is_one_sentence_for_the_user():
    assert issubclass(InputError, RegistrationError)
    assert issubclass(CancelledError, RegistrationError)
