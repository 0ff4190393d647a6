"""How much memory a worker needs, from the headers of what it will read."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from VoxelMorphRegistrationLib.errors import RegistrationError
from VoxelMorphRegistrationLib.network.card import ModelCard
from VoxelMorphRegistrationLib.network.catalogue import BRAIN_MODEL, DEFAULT_MODEL, Catalogue
from VoxelMorphRegistrationLib.pipeline.batch.case import Case
from VoxelMorphRegistrationLib.pipeline.model_grid import RESOLUTIONS, fitting_spacing

BYTES_AT_REST = 350e6
"""Of a worker that has registered nothing yet: interpreter, Dask, SimpleITK, the inference engine."""
BYTES_PER_MODEL_VOXEL = 110.0
BYTES_PER_VOLUME_VOXEL = 40.0
"""Of the fixed and the moving volume; the three are bounds on what Testing/benchmarks/batch_memory.py measures."""

_UNKNOWN_SHAPE = (256, 256, 256)
_UNKNOWN_SPACING = (1.0, 1.0, 1.0)


def bytes_needed(cases: Iterable[Case], catalogue: Catalogue | None = None) -> float:
    """A bound on what one worker uses at the largest of the cases.

    A volume whose header ITK cannot read counts as 256^3 voxels of 1 mm.
    """
    catalogue = catalogue or Catalogue()
    cards: dict[str, ModelCard] = {}
    largest = 0.0
    for case in cases:
        model = case.options.get("model", DEFAULT_MODEL)
        if model not in cards:
            cards[model] = _card(catalogue, model)
        largest = max(largest, _bytes_for(case, cards[model]))
    return BYTES_AT_REST + largest


def _bytes_for(case: Case, card: ModelCard) -> float:
    volumes = [case.inputs[name] for name in ("fixed", "moving", "sequence") if name in case.inputs]
    headers = [_header(volume) for volume in volumes]
    shape, spacing = headers[0]
    scale = RESOLUTIONS[case.options.get("resolution", "full")]
    wanted = fitting_spacing(shape, spacing, card, scale) if card.any_spacing else np.array(card.spacing_mm) * scale
    finest = float(wanted.min())
    side = np.ceil(np.array(shape) * spacing / finest / card.shape_multiple + 1) * card.shape_multiple
    voxels = sum(float(np.prod(shape)) for shape, _ in headers)
    return BYTES_PER_MODEL_VOXEL * float(np.prod(side)) + BYTES_PER_VOLUME_VOXEL * voxels


def _card(catalogue: Catalogue, model: str) -> ModelCard:
    try:
        sidecar = Path(model).with_suffix(".json")
        return ModelCard.from_json(sidecar) if sidecar.is_file() else catalogue.card(model)
    except RegistrationError:
        return catalogue.card(BRAIN_MODEL)  # a file without a card is taken to be like it


def _header(volume: str) -> tuple[tuple[int, ...], np.ndarray[tuple[int, ...], np.dtype[np.float64]]]:
    """Shape and spacing in mm of the first three axes."""
    reader = sitk.ImageFileReader()
    try:
        reader.SetFileName(volume)
        reader.ReadImageInformation()
    except RuntimeError:  # a folder, or a format that is not ITK's
        return _UNKNOWN_SHAPE, np.array(_UNKNOWN_SPACING)
    return tuple(reader.GetSize()[:3]), np.array(reader.GetSpacing()[:3])
