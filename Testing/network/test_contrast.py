"""Intensities of pairs of any contrast: equalised, and carried over from one contrast to the other."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage
from VoxelMorphRegistrationLib.network.card import IntensityPreparation
from VoxelMorphRegistrationLib.network.contrast import shared_contrast
from VoxelMorphRegistrationLib.network.intensity import prepare_pair

ANY = IntensityPreparation(scaling="equalised", level=0.8, match="contrast")


@pytest.fixture(scope="module")
def anatomy():
    """Smooth tissues of 0..1 in a ball, 0 around it; and the same a voxel further on."""
    rng = np.random.default_rng(4)
    shape = (48, 52, 56)
    image = scipy.ndimage.gaussian_filter(rng.standard_normal(shape), 3)
    image = (image - image.min()) / (image.max() - image.min()) * 0.9 + 0.1
    distance = sum(
        np.linspace(-1.2, 1.2, n).reshape([-1 if a == b else 1 for b in range(3)]) ** 2 for a, n in enumerate(shape)
    )
    image = np.where(distance < 1, image, 0).astype(np.float32)
    return image, np.roll(image, 1, axis=1)


def _correlation(a, b) -> float:
    inside = (a > 0.02) & (b > 0.02)
    return float(np.corrcoef(a[inside], b[inside])[0, 1])


@pytest.mark.parametrize(
    "curve",
    [lambda x: x, lambda x: 1.1 - x, lambda x: x**3, lambda x: np.abs(x - 0.4)],
    ids=["same", "inverted", "gamma", "folded"],
)
@pytest.mark.parametrize("swapped", [False, True])
def test_any_two_contrasts_become_one(anatomy, curve, swapped) -> None:
    fixed, moved = anatomy
    moving = np.where(moved > 0, curve(moved), 0).astype(np.float32)
    pair = (moving, fixed) if swapped else (fixed, moving)
    a, b = prepare_pair(*pair, ANY)
    # a voxel apart, the same image correlates to this with itself
    apart = _correlation(*prepare_pair(fixed, moved, ANY))
    assert _correlation(a, b) > 0.6 * apart  # -0.97 with the inverted one as it comes
    assert a.dtype == b.dtype == np.float32
    assert min(a.min(), b.min()) >= 0


def test_noise_against_an_image_is_left_harmless(anatomy) -> None:
    noise = np.random.default_rng(0).random(anatomy[0].shape, dtype=np.float32)
    a, b = shared_contrast(anatomy[0], noise)
    assert np.isfinite(a).all()
    assert np.isfinite(b).all()


def test_an_empty_overlap_changes_nothing() -> None:
    image = np.zeros((32, 32, 32), np.float32)
    a, b = shared_contrast(image, image)
    assert a is image
    assert b is image


def test_equalising_gives_soft_tissue_the_contrast_that_bone_had() -> None:
    rng = np.random.default_rng(1)
    ct = np.full((40, 40, 40), -1000.0)
    ct[5:35, 5:35, 5:35] = rng.normal(40, 5, (30, 30, 30))
    ct[10:20, 10:20, 10:20] = rng.normal(110, 5, (10, 10, 10))  # an enhancing organ
    ct[25:27, 5:35, 25:27] = 1500.0
    plain = IntensityPreparation(scaling="percentile", level=0.8, match="none")
    equalised = IntensityPreparation(scaling="equalised", level=0.8, match="none")

    def contrast(preparation: IntensityPreparation) -> float:
        image = prepare_pair(ct, ct, preparation)[0]
        assert image.min() == 0
        return float(image[12:18, 12:18, 12:18].mean() - image[28:33, 28:33, 8:20].mean())

    assert contrast(equalised) > 2 * contrast(plain)


def test_equalising_keeps_the_order_of_values() -> None:
    values = np.random.default_rng(2).gamma(2, 50, (30, 30, 30))
    image = prepare_pair(values, values, IntensityPreparation("equalised", 0.8, "none"))[0]
    order = np.argsort(values.ravel())
    assert (np.diff(image.ravel()[order]) >= 0).all()
    assert image.max() == pytest.approx(0.8)
