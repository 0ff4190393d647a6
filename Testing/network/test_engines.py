"""Choosing an engine, and OpenVINO by itself: conventions, shapes, bad input. test_tensorflow.py compares."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from network.network_data import BRAIN_CENTRE, OFFICIAL_WEIGHTS, brain
from scipy.ndimage import map_coordinates
from shared_data import shared
from VoxelMorphRegistrationLib.errors import EngineError, InputError, ModelError
from VoxelMorphRegistrationLib.network.catalogue import BRAIN_MODEL, Catalogue
from VoxelMorphRegistrationLib.network.engines import available_engines, load_engine
from VoxelMorphRegistrationLib.network.engines.openvino_engine import build_graph
from VoxelMorphRegistrationLib.network.vxm_file import read_vxm_dense

LIBRARY = Path(__file__).parents[2] / "VoxelMorphRegistration"


@pytest.fixture(scope="module")
def engine():
    pytest.importorskip("openvino", reason="the OpenVINO engine is not installed")
    return load_engine("openvino", shared(OFFICIAL_WEIGHTS), threads=2)


def run_python(code: str, *arguments: str) -> str:
    environment = os.environ | {"PYTHONPATH": str(LIBRARY)}
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], env=environment, check=True, capture_output=True, text=True
    ).stdout


def test_auto_takes_the_first_engine_that_is_installed():
    available = available_engines()
    if not available:
        pytest.skip("no engine is installed")
    assert load_engine("auto", shared(OFFICIAL_WEIGHTS)).name == next(iter(available))


def test_listing_engines_imports_none_of_them():
    loaded = run_python(
        "import sys; from VoxelMorphRegistrationLib.network.engines import available_engines; available_engines();"
        "from VoxelMorphRegistrationLib.network import catalogue, tensor, vxm_file;"
        "print([name for name in ('openvino', 'tensorflow', 'voxelmorph', 'h5py', 'nibabel') if name in sys.modules])"
    )
    assert loaded.strip() == "[]"


def test_an_unknown_engine():
    with pytest.raises(EngineError, match='There is no engine "torch"; choose one of: auto, openvino, tensorflow'):
        load_engine("torch", Path("weights.h5"))


def test_an_engine_that_is_not_installed(tmp_path):
    """In a Python that finds NumPy and SimpleITK and no other package, as Slicer's own does."""
    site_packages = Path(np.__file__).parents[1]
    for folder in site_packages.iterdir():
        if folder.name.lower().startswith(("numpy", "simpleitk")):
            (tmp_path / folder.name).symlink_to(folder)
    code = """
from pathlib import Path
from VoxelMorphRegistrationLib.errors import EngineError
from VoxelMorphRegistrationLib.network.engines import available_engines, load_engine
from VoxelMorphRegistrationLib.network.engines.openvino_engine import build_graph
from VoxelMorphRegistrationLib.network.vxm_file import read_vxm_dense
print(available_engines())
for name in ("openvino", "tensorflow", "auto"):
    try:
        load_engine(name, Path("weights.h5"))
    except EngineError as error:
        print(error)
from VoxelMorphRegistrationLib.network.vxm_file import read_vxm_dense
try:
    read_vxm_dense(Path("weights.h5"))
except EngineError as error:
    print(error)
"""
    none, openvino, tensorflow, auto, reading = subprocess.run(
        [sys.executable, "-S", "-c", code],
        env=os.environ | {"PYTHONPATH": f"{LIBRARY}{os.pathsep}{tmp_path}"},
        check=True,
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    assert none == "{}"
    assert openvino == 'The openvino engine is not installed; install it with: pip install "openvino>=2025.0".'
    assert tensorflow.startswith("The tensorflow engine is not installed; install voxelmorph 0.2")
    assert auto.startswith("No inference engine is installed; ")
    assert reading.startswith("Reading a VoxelMorph model file needs the package h5py")


def test_weights_of_the_wrong_checksum_never_reach_an_engine():
    with pytest.raises(ModelError, match="is not the one its model card describes"):
        load_engine("auto", shared("default_model_seed/seed.h5"), sha256=Catalogue().card(BRAIN_MODEL).sha256)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_known_shift_is_found_with_the_right_sign_along_its_axis(engine, axis):
    """fixed(x) = moving(x + 4 e) has the resampling displacement +4 e (engine-facts.md: 3.7 to 3.9 are found)."""
    moving = brain("test_scan")
    shift = np.zeros(3, int)
    shift[axis] = 4
    fixed = np.roll(moving, -4, axis)  # the brain is far from the border
    assert fixed[80, 96, 112] == moving[tuple(np.array([80, 96, 112]) + shift)]
    displacement = engine.predict(moving, fixed).displacement_on(moving.shape)
    found = np.median(displacement[fixed > 0.2], axis=0)
    np.testing.assert_allclose(found, shift, atol=0.5)


def test_the_field_resamples_the_moving_brain_onto_the_fixed_one_and_its_reverse_back(engine):
    moving, fixed = brain("test_scan"), brain("subject_1")
    prediction = engine.predict(moving, fixed)
    assert prediction.vectors.shape == (80, 96, 112, 3)
    assert prediction.vectors.dtype == np.float32
    assert (prediction.kind, prediction.integration_steps, prediction.scale) == ("velocity", 7, 2.0)

    every_third = np.s_[::3, ::3, ::3]  # enough of them, in a fraction of the time

    def error(image, target, field):
        points = (np.indices(image.shape) + np.moveaxis(field, -1, 0))[:, *every_third]
        moved = map_coordinates(image, points, order=1, mode="nearest")
        return np.mean((moved - target[every_third]) ** 2)

    before = np.mean((moving - fixed)[every_third] ** 2)
    forward = prediction.displacement_on(moving.shape)
    assert error(moving, fixed, forward) < 0.4 * before
    assert error(moving, fixed, -forward) > before
    assert error(fixed, moving, prediction.displacement_on(moving.shape, reverse=True)) < 0.4 * before


def test_another_shape_gives_the_same_field_away_from_the_border(engine):
    moving, fixed = brain("test_scan")[BRAIN_CENTRE], brain("subject_1")[BRAIN_CENTRE]
    small = engine.predict(moving, fixed).vectors
    padding = [(16, 0), (0, 16), (16, 16)]
    large = engine.predict(np.pad(moving, padding), np.pad(fixed, padding)).vectors
    assert large.shape == (56, 64, 88, 3)
    inner = np.s_[20:28, 24:32, 28:44]
    difference = np.abs(large[8:, :-8, 8:-8][inner] - small[inner]).max()
    assert difference < 0.1 * np.abs(small[inner]).max()


def test_predicting_twice_gives_the_same(engine):
    moving, fixed = brain("test_scan")[BRAIN_CENTRE], brain("subject_1")[BRAIN_CENTRE]
    first = engine.predict(moving, fixed)
    kept = first.vectors.copy()
    second = engine.predict(fixed, moving)
    np.testing.assert_array_equal(first.vectors, kept)  # not overwritten by the next prediction
    assert np.abs(second.vectors - kept).max() > 0.1
    np.testing.assert_array_equal(engine.predict(moving, fixed).vectors, kept)


def test_input_of_any_memory_layout_and_type_is_taken(engine):
    moving, fixed = brain("test_scan")[BRAIN_CENTRE], brain("subject_1")[BRAIN_CENTRE]
    expected = engine.predict(np.ascontiguousarray(moving), np.ascontiguousarray(fixed)).vectors
    found = engine.predict(np.asfortranarray(moving), fixed.astype(np.float64)).vectors
    np.testing.assert_array_equal(found, expected)


def test_the_transposed_convolution_is_the_doubling_and_its_convolution(engine):
    """Other processors run the plain graph, which this one may have no reason to."""
    import openvino

    model = read_vxm_dense(shared(OFFICIAL_WEIGHTS))
    pair = [brain(name)[BRAIN_CENTRE] for name in ("test_scan", "subject_1")]
    plain, transposed = (
        openvino.compile_model(
            build_graph(model, pair[0].shape, transposed=choice), "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
        )([image[np.newaxis, np.newaxis] for image in pair])[0]
        for choice in (False, True)
    )
    assert np.abs(plain).max() > 2
    np.testing.assert_allclose(transposed, plain, atol=1e-4)


@pytest.mark.parametrize(
    ("moving", "fixed", "message"),
    [
        (np.zeros((16, 16)), np.zeros((16, 16)), "moving image .* 2 axes instead of 3"),
        (np.zeros((16, 16, 16)), np.zeros((16, 16, 32)), "16 x 16 x 16 and the fixed image 16 x 16 x 32"),
        (np.zeros((16, 24, 16)), np.zeros((16, 24, 16)), "multiple of 16, but the images are 16 x 24 x 16"),
        (np.zeros((0, 16, 16)), np.zeros((0, 16, 16)), "multiple of 16"),
        (np.full((16, 16, 16), np.nan), np.zeros((16, 16, 16)), "moving image .* NaN"),
        (np.zeros((16, 16, 16)), np.full((16, 16, 16), np.inf), "fixed image .* NaN or infinite"),
    ],
)
def test_images_that_the_network_cannot_take(engine, moving, fixed, message):
    with pytest.raises(InputError, match=message):
        engine.predict(moving, fixed)


def test_too_little_memory_is_one_sentence(engine):
    """In a child process whose memory is limited, as a job on a small computer would find it."""
    if sys.platform == "win32":
        pytest.skip("needs a limit of the address space, which Windows has not")
    code = """
import resource, sys
from pathlib import Path
import numpy as np
from VoxelMorphRegistrationLib.errors import EngineError
from VoxelMorphRegistrationLib.network.engines import load_engine
engine = load_engine("openvino", Path(sys.argv[1]), shape=(16, 16, 16), threads=1)
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 300_000_000, -1))
image = np.zeros((160, 192, 224), np.float32)
try:
    engine.predict(image, image)
except EngineError as error:
    print(error)
"""
    message = run_python(code, str(shared(OFFICIAL_WEIGHTS)))
    assert message.startswith("OpenVINO could not run the network on 160 x 192 x 224 voxels (")
    assert message.strip().endswith("a lower resolution needs less memory.")
    assert len(message.strip().splitlines()) == 1
