"""The embedded default model: it is here, it is what its card says, and it helps where the contrast is inverted."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from shared_data import shared
from VoxelMorphRegistrationLib.files.volumes import read_volume
from VoxelMorphRegistrationLib.network.catalogue import EMBEDDED_MODEL, Catalogue
from VoxelMorphRegistrationLib.network.weights import file_sha256
from VoxelMorphRegistrationLib.pipeline.input_check import misfits
from VoxelMorphRegistrationLib.pipeline.model_grid import plan_model_grid
from VoxelMorphRegistrationLib.pipeline.registration import RegistrationOptions, register
from VoxelMorphRegistrationLib.spatial import DisplacementField, Grid, Image

CARD = Catalogue().card(EMBEDDED_MODEL)


def test_the_weights_are_shipped_and_are_those_of_the_card(tmp_path) -> None:
    catalogue = Catalogue(cache_folder=tmp_path)  # an empty one: nothing was ever downloaded
    assert catalogue.is_available(EMBEDDED_MODEL)
    weights = catalogue.weights_path(EMBEDDED_MODEL)
    assert weights.parent == catalogue.cards_folder
    assert file_sha256(weights) == CARD.sha256
    assert weights.stat().st_size == CARD.size_bytes < 5_000_000


@pytest.mark.parametrize(
    ("shape", "spacing", "resolution", "expected"),
    [
        ((122, 101, 112), 3.0, "full", 3.0),  # a trunk fits: its own voxels
        ((122, 101, 112), 3.0, "half", 3.5),
        ((256, 256, 256), 1.0, "full", 1.35),
        ((60, 60, 60), 0.05, "half", 0.05),  # a specimen
        ((256, 256, 20), (0.5, 0.5, 5.0), "full", 0.62),
    ],
)
def test_its_grid_follows_the_fixed_volume(shape, spacing, resolution, expected) -> None:
    grid = Grid(shape, np.diag([*np.broadcast_to(spacing, 3), 1.0]))
    image = Image(np.random.default_rng(0).random(shape, dtype=np.float32), grid)
    plan = plan_model_grid(image, CARD, resolution)
    np.testing.assert_allclose(plan.grid.spacing, expected, rtol=0.02)
    assert np.prod(plan.grid.shape) < 2 * 160 * 192 * 224 / {"full": 1, "half": 8}[resolution]
    for corner in (np.zeros(3), np.array(shape) - 1):
        assert plan.grid.contains(grid.to_ras(corner))


def test_no_anatomy_and_no_contrast_is_a_misfit() -> None:
    grid = Grid((40, 40, 40), np.diag([3.0, 3.0, 3.0, 1.0]))
    ct = Image(np.random.default_rng(0).normal(0, 300, grid.shape), grid, "ct")
    assert misfits(ct, ct, CARD, "half") == []
    thick = Image(ct.array, Grid(grid.shape, np.diag([1.0, 1.0, 6.0, 1.0])), "thick")
    assert any("slices" in sentence for sentence in misfits(thick, ct, CARD, "half"))


@pytest.mark.parametrize("inverted", [False, True])
def test_it_undoes_a_known_motion_of_a_trunk_in_any_contrast(inverted: bool) -> None:
    scan = read_volume(shared("ct/example_ct.nii.gz"))
    grid = scan.grid
    x, y, z = np.moveaxis(grid.to_ras(np.stack(np.indices(grid.shape), -1)), -1, 0)
    waves = [np.sin(x / 40) * np.cos(z / 50), np.sin(y / 45 + 1), np.cos(z / 45) * np.sin(x / 60)]
    truth = DisplacementField((5 * np.stack(waves, -1)).astype(np.float32), grid)
    body = scan.array > -900
    fixed = truth.warp(scan, outside=float(scan.array.min()))
    moving = scan.with_array(np.where(body, 700 - np.clip(scan.array, -1000, 700), -1000)) if inverted else scan
    options = RegistrationOptions(model=EMBEDDED_MODEL, resolution="half", pre_align="none", engine="openvino")
    result = register(fixed, moving, options)
    points = grid.to_ras(np.argwhere(fixed.array > -300)[::50])
    before = np.linalg.norm(truth.map_points(points) - points, axis=-1).mean()
    after = np.linalg.norm(truth.map_points(points) - result.deformation.map_points(points), axis=-1).mean()
    assert after < 0.8 * before
    assert result.folded_percent <= 0.05


def test_an_older_card_without_the_new_field_is_read() -> None:
    text = dataclasses.replace(CARD, any_spacing=False).to_json().replace(',\n  "any_spacing": false', "")
    assert "any_spacing" not in text
    assert not type(CARD).from_text(text, "older").any_spacing
