"""The module's logic on a real MRML scene, without Qt."""

from __future__ import annotations

import pytest


@pytest.fixture
def logic(scene):
    """`VoxelMorphRegistrationLogic` of the module file."""
    from host.headless import load_logic

    return load_logic("VoxelMorphRegistration")


@pytest.fixture(autouse=True)
def _one_set_of_conversion_rules():
    """Every segmentations logic registers its conversion rules once more with a factory of the whole process.

    Slicer makes one logic; a scene per test makes hundreds, and copying a segmentation then takes many seconds.
    """
    slicer = pytest.importorskip("slicer")
    factory = slicer.vtkSegmentationConverterFactory.GetInstance()
    for representation in ("Binary labelmap", "Closed surface", "Fractional labelmap"):
        factory.DisableRepresentation(representation)  # before the scene's logic registers them
