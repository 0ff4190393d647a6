"""register() with networks whose answer is known, on the MNI152 brain: needs no shared data.

Geometry, intensities, masks, warnings, bad input, progress and cancellation. What the official model makes of two
people is in test_registration_of_brains.py.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from pipeline.known_networks import write_vxm_dense
from spatial.anatomy import mni_brain, seen_through
from spatial.geometry import AXIS_ORDERS, affine, grid_of, rotation
from spatial.maps import positions
from VoxelMorphRegistrationLib.errors import CancelledError, EngineError, InputError, ModelError, RegistrationError
from VoxelMorphRegistrationLib.network.engines import available_engines
from VoxelMorphRegistrationLib.pipeline.input_check import on_grid_of
from VoxelMorphRegistrationLib.pipeline.registration import RegistrationOptions, RegistrationResult, register
from VoxelMorphRegistrationLib.progress import Progress
from VoxelMorphRegistrationLib.spatial import Image

SHIFT_VOXELS = (0.5, -0.25, 0.75)
SHIFT_RAS = np.array([-4.0, 6.0, 2.0])
"""The same in mm: LIA axes, a quarter of the resolution (4 mm), a field at half of that."""


@pytest.fixture(scope="module", autouse=True)
def _an_engine() -> None:
    if not available_engines():
        pytest.skip("no inference engine is installed")


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_vxm_dense(folder / "shift.h5", bias=SHIFT_VOXELS)
    write_vxm_dense(folder / "shift-displacement.h5", bias=SHIFT_VOXELS, kind="displacement")
    write_vxm_dense(folder / "random.h5", kernel=1.0)
    write_vxm_dense(folder / "folding.h5", kernel=30.0, kind="displacement")
    write_vxm_dense(folder / "broken.h5", kernel=3e38)
    return folder


@pytest.fixture(scope="module")
def brain() -> Image:
    return mni_brain()


def options(models: Path, name: str = "shift", **changes: object) -> RegistrationOptions:
    return RegistrationOptions(
        **{"model": str(models / f"{name}.h5"), "resolution": "quarter", "pre_align": "none"} | changes
    )


def inner(image: Image) -> np.ndarray:
    """RAS positions of brain away from the border, where the field does not fade."""
    points = positions(image.grid)[image.array > 60][::50]
    return points[np.linalg.norm(points - image.grid.to_ras(np.array(image.grid.shape) / 2), axis=-1) < 45]


# --- geometry ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "geometry",
    [
        {},
        {"axes": np.diag([-1, -1, 1])},
        {"axes": np.diag([-1, 1, 1])},
        {"axes": AXIS_ORDERS[21], "spacing": (2, 3, 1.6)},
        {"axes": AXIS_ORDERS[42], "spacing": (1.6, 2, 2.6)},
    ],
    ids=["RAS", "LPS", "left-handed", "permuted anisotropic", "left-handed permuted anisotropic"],
)
def test_a_networks_voxel_shift_becomes_the_right_vector_in_mm(models, brain, geometry):
    """moved(x) = moving(x + u), u = M u_voxel, whatever axes the volumes were stored with."""
    shape = tuple(int(210 / s) for s in geometry.get("spacing", (2, 2, 2)))
    grid = grid_of(shape, **({"spacing": (2, 2, 2), "centre": brain.grid.centre_ras} | geometry))
    fixed = seen_through(brain, np.eye(4), grid)
    result = register(fixed, brain, options(models))
    points = inner(brain)
    np.testing.assert_allclose(
        result.deformation.map_points(points) - points, np.tile(SHIFT_RAS, (len(points), 1)), atol=0.05
    )
    expected = seen_through(brain, affine(np.eye(3), SHIFT_RAS), grid)
    inside = np.linalg.norm(positions(grid) - brain.grid.centre_ras, axis=-1) < 50
    assert result.moved.grid is grid
    assert result.moved.array.dtype == np.float32
    np.testing.assert_allclose(result.moved.array[inside], expected.array[inside], atol=2)


def test_on_an_oblique_volume_the_shift_is_along_its_own_axes(models, brain):
    """The network sees the fixed volume's own lattice, not one turned back to R, A and S."""
    turned = rotation((1, 2, 3), 30)
    grid = grid_of((105, 105, 105), spacing=(2, 2, 2), turned=turned, centre=brain.grid.centre_ras)
    result = register(seen_through(brain, np.eye(4), grid), brain, options(models))
    points = inner(brain)
    found = result.deformation.map_points(points) - points
    np.testing.assert_allclose(found, np.tile(turned @ SHIFT_RAS, (len(points), 1)), atol=0.05)


def test_the_map_is_the_affine_of_the_displaced_point(models, brain):
    matrix = affine(rotation((0, 0, 1), 10), (12, -7, 5))
    fixed = seen_through(brain, matrix, brain.grid)
    result = register(fixed, brain, options(models, pre_align="rigid"))
    assert result.deformation.affine == pytest.approx(matrix, abs=1)
    points = inner(fixed)
    there = result.deformation.affine[:3, :3] @ (points + SHIFT_RAS).T + result.deformation.affine[:3, 3:]
    np.testing.assert_allclose(result.deformation.map_points(points), there.T, atol=0.1)


def test_a_displacement_model_is_not_integrated_and_its_inverse_is_found(models, brain):
    result = register(brain, brain, options(models, "shift-displacement", inverse=True))
    points = inner(brain)
    deformation = result.deformation
    expected = np.tile(SHIFT_RAS / 2, (len(points), 1))  # its field has the input's resolution
    np.testing.assert_allclose(deformation.map_points(points) - points, expected, atol=0.05)
    np.testing.assert_allclose(deformation.map_points_back(deformation.map_points(points)), points, atol=0.1)


@pytest.mark.parametrize("pre_align", ["none", "rigid"])
def test_the_inverse_brings_points_back(models, brain, pre_align):
    result = register(brain, brain, options(models, "random", inverse=True, pre_align=pre_align))
    points = positions(brain.grid)[brain.array > 0][::50]
    assert np.linalg.norm(result.deformation.map_points(points) - points, axis=-1).max() > 2
    back = result.deformation.map_points_back(result.deformation.map_points(points))
    error = np.linalg.norm(back - points, axis=-1)
    assert error.mean() < 0.15  # between the voxels of a field of 8 mm
    assert np.quantile(error, 0.99) < 0.7


@pytest.mark.parametrize("axes", [AXIS_ORDERS[3], AXIS_ORDERS[21], AXIS_ORDERS[46]])
def test_storing_the_volumes_in_another_axis_order_changes_nothing(models, brain, axes):
    """The same voxels at the same places, in another memory: the same deformation, from a network of random weights."""

    def stored(image: Image) -> Image:
        index = positions(image.grid) @ np.asarray(axes)  # coordinates along the new axes
        order = np.argmax(np.abs(axes), axis=0)
        array = image.array.transpose(order)
        signs = np.sign(axes[order, range(3)])
        array = array[tuple(slice(None, None, int(sign)) for sign in signs)]
        low = index.reshape(-1, 3).min(axis=0)
        matrix = affine(axes * 2.0, axes @ low)
        return Image(array, type(image.grid)(array.shape, matrix), image.name)

    moving = seen_through(brain, affine(rotation((1, 0, 0), 5), (3, 2, 1)), brain.grid)
    assert stored(brain).grid.to_ijk(brain.grid.origin) % 1 == pytest.approx(0, abs=1e-6)
    points = inner(brain)
    expected = register(brain, moving, options(models, "random")).deformation.map_points(points)
    found = register(stored(brain), stored(moving), options(models, "random")).deformation.map_points(points)
    np.testing.assert_allclose(found, expected, atol=0.4)  # the lattice of 4 mm may begin at another voxel


# --- result -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shifted(models, brain) -> RegistrationResult:
    """Registered to the brain that the network's shift makes of it."""
    fixed = seen_through(brain, affine(np.eye(3), SHIFT_RAS), brain.grid)
    return register(fixed, brain, options(models))


def test_a_result_tells_what_ran_and_how_good_it_is(shifted):
    assert shifted.similarity_before < 0.6
    assert shifted.similarity_after > 0.99
    assert shifted.folded_percent == 0
    assert shifted.warnings == ()
    assert shifted.model == "shift"
    assert shifted.engine in available_engines()
    assert list(shifted.seconds) == [
        "check and load",
        "pre-alignment",
        "preparation",
        "network",
        "integration",
        "check",
    ]
    assert re.fullmatch(
        r"Similarity 0\.\d{3} before, \d\.\d{3} after; 0 % folded; .* s \(Test model shift, \w+\)\.", shifted.summary()
    )
    assert "LIA (quarter resolution)" in shifted.plan


def test_without_being_asked_no_inverse_is_computed(shifted):
    assert shifted.deformation.inverse_displacement is None


def test_a_volume_registered_to_itself_is_not_called_worse(models, brain):
    """Interpolation alone costs a thousandth."""
    write_vxm_dense(models / "still.h5", bias=(0.01, 0, 0))
    assert register(brain, brain, options(models, "still")).warnings == ()


def test_a_result_worse_than_before_is_said(models, brain):
    result = register(brain, brain, options(models))
    assert result.similarity_after < result.similarity_before
    (warning,) = result.warnings
    assert re.match(
        r"The volumes are less alike after the registration \(0\.\d+\) than before \(1\.000\): the model", warning
    )


def test_folding_is_said(models, brain):
    result = register(brain, brain, options(models, "folding"))
    assert result.folded_percent > 0.1
    assert any(
        "% of the volume is folded, so points and surfaces there cannot be mapped back" in w for w in result.warnings
    )


def test_an_inverse_that_does_not_exist_is_an_error(models, brain):
    with pytest.raises(RegistrationError, match="cannot be inverted: it folds at"):
        register(brain, brain, options(models, "folding", inverse=True))


# --- masks and intensities --------------------------------------------------------------------------------------


def with_skull(image: Image) -> Image:
    """A bright shell around the brain, and noise in the air: what a skull-stripped model has never seen."""
    inside = image.array > 0
    radius = np.linalg.norm((positions(image.grid) - image.grid.centre_ras) / (80, 97, 85), axis=-1)
    shell = ~inside & (radius > 0.85) & (radius < 1.1)
    noise = np.random.default_rng(0).integers(0, 12, image.array.shape)
    return image.with_array(np.where(inside, image.array, np.where(shell, 255, noise)).astype(np.int16))


def mask_of(image: Image) -> Image:
    return Image((image.array > 0).astype(np.uint8), image.grid, "brain mask")


@pytest.mark.parametrize("label", [1, 255])
def test_masks_blank_what_the_model_has_never_seen(models, brain, label):
    """With masks a head with its skull gives what the stripped brain gives; without them it does not."""
    moving = seen_through(brain, affine(rotation((1, 0, 0), 5), (3, 2, 1)), brain.grid)
    moving = moving.with_array(moving.array.astype(np.int16))
    points = inner(brain)
    expected = register(brain, moving, options(models, "random")).deformation.map_points(points)
    head, moving_head = with_skull(brain), with_skull(moving)
    masks = [mask.with_array(mask.array * np.uint8(label)) for mask in (mask_of(brain), mask_of(moving))]
    masked = register(head, moving_head, options(models, "random"), fixed_mask=masks[0], moving_mask=masks[1])
    np.testing.assert_allclose(masked.deformation.map_points(points), expected, atol=1e-3)
    bare = register(head, moving_head, options(models, "random"))
    assert np.abs(bare.deformation.map_points(points) - expected).max() > 0.3


def test_a_mask_may_lie_on_another_grid(models, brain):
    fine = grid_of((200, 220, 200), axes=AXIS_ORDERS[27], turned=rotation((0, 1, 1), 20), centre=brain.grid.centre_ras)
    mask = mask_of(seen_through(brain, np.eye(4), fine))
    carried, own = on_grid_of(brain, mask, "fixed"), mask_of(brain)
    assert carried.grid is brain.grid
    assert np.mean(carried.array == own.array) > 0.98  # partly filled voxels at the border of the brain differ
    head, points = with_skull(brain), inner(brain)
    expected, with_mask, bare = (
        register(head, brain, options(models, "random"), fixed_mask=given).deformation.map_points(points)
        for given in (own, mask, None)
    )
    assert np.abs(with_mask - expected).mean() < 0.8 * np.abs(bare - expected).mean()


@pytest.mark.parametrize(
    "change",
    [
        lambda a: a.astype(np.float32) / 255,
        lambda a: a.astype(np.uint16) * 200,
        lambda a: a.astype(np.int16) * 3 - 100,
        lambda a: a.astype(">i2"),
        lambda a: a.astype(np.float16),
        np.asfortranarray,
    ],
    ids=["0 to 1", "0 to 51000", "offset", "big-endian", "half precision", "memory order"],
)
def test_gain_offset_and_type_of_the_values_do_not_matter(models, brain, change):
    points = inner(brain)
    expected = register(brain, brain, options(models, "random")).deformation.map_points(points)
    changed = brain.with_array(change(brain.array))
    found = register(brain, changed, options(models, "random")).deformation.map_points(points)
    np.testing.assert_allclose(found, expected, atol=0.02)


def test_without_preparation_the_values_reach_the_network_as_they_are(models, brain):
    twice = brain.with_array(brain.array * np.float32(2))
    points = inner(brain)
    small = register(brain, brain, options(models, "random", intensity="none")).deformation.map_points(points)
    large = register(twice, twice, options(models, "random", intensity="none")).deformation.map_points(points)
    assert np.abs(large - small).max() > 1


# --- what does not fit the card ---------------------------------------------------------------------------------


def cut(image: Image, size_mm: float) -> Image:
    half = [int(size_mm / s / 2) for s in image.grid.spacing]
    middle = [n // 2 for n in image.grid.shape]
    kept = np.zeros(image.array.shape, bool)
    kept[tuple(slice(m - h, m + h) for m, h in zip(middle, half, strict=True))] = True
    return image.with_array(np.where(kept, image.array, 0))


def test_thick_slices_are_said(models, brain):
    thick = grid_of((98, 116, 13), spacing=(2, 2, 15), centre=brain.grid.centre_ras)
    result = register(seen_through(brain, np.eye(4), thick), brain, options(models))
    expected = "has voxels of 2 x 15 x 2 mm, much coarser than the 1 x 1 x 1 mm that Test model shift was trained on"
    assert any(expected in w and w.startswith("The fixed volume") for w in result.warnings)
    assert not any(w.startswith("The moving volume") for w in result.warnings)


def test_a_ct_is_said(models, brain):
    ct = brain.with_array(brain.array.astype(np.int16) * 8 - 1000)
    result = register(brain, ct, options(models))
    assert any(
        "has values down to -1000, as a CT has, but Test model shift was trained on T1" in w for w in result.warnings
    )


def test_a_whole_head_and_a_piece_of_a_brain_are_said(models, brain):
    head = brain.with_array(np.pad(np.ones([n - 2 for n in brain.grid.shape], np.uint8), 1) * 20 + brain.array // 2)
    result = register(head, cut(brain, 80), options(models))
    assert any(
        "(a head with its skull?); give a brain mask." in w and "of anatomy (LIA axes)" in w for w in result.warnings
    )
    assert any("The moving volume" in w and "expect a poor result" in w for w in result.warnings)


def test_no_empty_background_is_said_unless_there_is_a_mask(models, brain):
    noise = np.random.default_rng(0).integers(1, 6, brain.array.shape)
    noisy = seen_through(brain, np.eye(4), grid_of((70, 78, 68), spacing=(2, 2, 2), centre=brain.grid.centre_ras))
    noisy = noisy.with_array((noisy.array + noise[:70, :78, :68]).astype(np.int16))
    sentence = r"has hardly any empty background \(\d+ %\), so its skull is probably not removed, but .*brain mask"
    assert any(re.search(sentence, w) for w in register(noisy, brain, options(models)).warnings)
    mask = noisy.with_array((noisy.array > 30).astype(np.uint8))
    assert not any(re.search(sentence, w) for w in register(noisy, brain, options(models), fixed_mask=mask).warnings)


def test_a_pre_alignment_that_was_not_kept_is_said(models, brain):
    result = register(brain, brain, options(models, pre_align="centre"))
    assert any("The centre pre-alignment made the volumes less alike, so 'none' was kept" in w for w in result.warnings)


# --- bad input --------------------------------------------------------------------------------------------------


def spoiled(brain: Image, value: float) -> Image:
    array = brain.array.astype(np.float32)
    array[4, 5, 6:9] = value
    return brain.with_array(array)


BAD_VOLUMES = {
    "NaN": (lambda b: spoiled(b, np.nan), "holds 3 voxels that are not finite (NaN or infinity); replace them"),
    "infinity": (lambda b: spoiled(b, -np.inf), "holds 3 voxels that are not finite"),
    "constant": (lambda b: b.with_array(np.full(b.array.shape, 7)), "holds one value only (7), so there is nothing"),
    "one slice": (
        lambda b: Image(b.array[:, :, :1], b.grid.window((0, 0, 0), (98, 116, 1))),
        "has 98 x 116 x 1 voxels; ",
    ),
    "complex": (lambda b: b.with_array(b.array.astype(np.complex64)), "does not hold real numbers"),
    "objects": (lambda b: b.with_array(b.array.astype(object)), "does not hold real numbers"),
}


@pytest.mark.parametrize("role", ["fixed", "moving"])
@pytest.mark.parametrize("kind", BAD_VOLUMES)
def test_a_volume_that_cannot_be_registered(models, brain, kind, role):
    make, sentence = BAD_VOLUMES[kind]
    bad = make(brain)
    pair = (bad, brain) if role == "fixed" else (brain, bad)
    with pytest.raises(InputError, match=re.escape(sentence)) as raised:
        register(*pair, options(models))
    message = str(raised.value)
    assert message.startswith(f"The {role} volume {bad.name} ")
    assert message.endswith(".")
    assert "\n" not in message


@pytest.mark.parametrize("role", ["fixed", "moving"])
@pytest.mark.parametrize("where", ["empty", "elsewhere"])
def test_a_mask_without_anything_of_the_volume(models, brain, role, where):
    grid = brain.grid if where == "empty" else brain.grid.moved_by(affine(np.eye(3), (900, 0, 0)))
    mask = Image(np.full(brain.array.shape, 0 if where == "empty" else 1, np.uint8), grid, "Segmentation")
    with pytest.raises(InputError, match=f"The {role} mask Segmentation is empty inside the {role} volume"):
        register(brain, brain, options(models), **{f"{role}_mask": mask})


def test_volumes_that_do_not_overlap(models, brain):
    far = Image(brain.array, brain.grid.moved_by(affine(np.eye(3), (900, 0, 0))), "far away")
    with pytest.raises(InputError, match=r"far away and .* do not overlap in space; choose a pre-alignment \(centre"):
        register(brain, far, options(models))
    result = register(brain, far, options(models, pre_align="centre"))
    np.testing.assert_allclose(result.deformation.affine[:3, 3], (900, 0, 0), atol=1)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"pre_align": "elastic"}, "Unknown pre-align 'elastic'; choose one of none, centre, rigid, affine."),
        ({"resolution": "double"}, "Unknown resolution 'double'; choose one of full, half, quarter."),
        ({"intensity": "magic"}, "Unknown intensity 'magic'; choose one of card, none."),
    ],
)
def test_an_option_that_does_not_exist(change, sentence):
    with pytest.raises(InputError, match=re.escape(sentence)):
        RegistrationOptions(**change)


def test_a_model_or_an_engine_that_does_not_exist(models, brain):
    with pytest.raises(ModelError, match='There is no model "brain-t7"; the known ones are: '):
        register(brain, brain, RegistrationOptions(model="brain-t7"))
    with pytest.raises(ModelError, match=r"none\.h5 was not found"):
        register(brain, brain, options(models, "none"))
    with pytest.raises(EngineError, match='There is no engine "onnx"; choose one of: auto, openvino, tensorflow'):
        register(brain, brain, options(models, engine="onnx"))


def test_a_card_whose_weights_are_gone(models, brain):
    write_vxm_dense(models / "gone.h5").unlink()
    with pytest.raises(ModelError, match=r"gone\.h5 was not found"):
        register(brain, brain, options(models, "gone"))


def test_a_network_that_answers_with_no_numbers(models, brain):
    """Finite weights, as a training that diverged leaves them, and an answer that overflows."""
    with pytest.raises(ModelError, match="Test model broken answered with values that are not finite"):
        register(brain, brain, options(models, "broken"))


def test_an_engine_by_name(models, brain):
    """That both say the same is tested in Testing/network; here, that the one named is the one that runs."""
    if "openvino" not in available_engines():
        with pytest.raises(EngineError, match="The openvino engine is not installed; install"):
            register(brain, brain, options(models, engine="openvino"))
    else:
        assert register(brain, brain, options(models, engine="openvino")).engine == "openvino"


# --- progress and cancellation ----------------------------------------------------------------------------------


def test_progress_grows_from_nothing_to_all(models, brain):
    heard: list[tuple[str, float]] = []
    register(brain, brain, options(models, pre_align="rigid"), progress=Progress(lambda *step: heard.append(step)))
    fractions = [fraction for _, fraction in heard]
    assert fractions == sorted(fractions)
    assert (fractions[0], fractions[-1]) == (0, 1)
    stages = " | ".join(stage for stage, _ in heard)
    for words in (
        "Checking",
        "Loading the model",
        "Pre-alignment (rigid)",
        "intensities",
        "Network (",
        "Integrating",
        "Done",
    ):
        assert words in stages


def test_cancelling_at_any_step_stops_there(models, brain):
    steps: list[str] = []
    register(brain, brain, options(models), progress=Progress(lambda stage, _: steps.append(stage)))
    assert len(steps) >= 7
    for number in range(len(steps)):
        heard: list[str] = []
        progress = Progress(
            lambda stage, _, heard=heard: heard.append(stage), lambda heard=heard, number=number: len(heard) == number
        )
        with pytest.raises(CancelledError, match="nothing was changed"):
            register(brain, brain, options(models), progress=progress)
        assert heard == steps[:number]


def test_an_engine_stays_warm_and_a_model_trained_anew_is_loaded_anew(models, brain, tmp_path):
    from VoxelMorphRegistrationLib.pipeline.steps import _engine

    path = write_vxm_dense(tmp_path / "mine.h5", bias=SHIFT_VOXELS)
    chosen = RegistrationOptions(model=str(path), resolution="quarter", pre_align="none")
    points = inner(brain)
    register(brain, brain, chosen)
    hits = _engine.cache_info().hits
    first = register(brain, brain, chosen).deformation.map_points(points)
    assert _engine.cache_info().hits == hits + 1
    write_vxm_dense(path, bias=tuple(-s for s in SHIFT_VOXELS))
    second = register(brain, brain, chosen).deformation.map_points(points)
    np.testing.assert_allclose(first - points, points - second, atol=0.1)
    assert np.abs(first - points).max() > 5
