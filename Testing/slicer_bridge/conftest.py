"""The module's logic on a real MRML scene, without Qt."""

from __future__ import annotations

import pytest


@pytest.fixture
def logic(scene):
    """`VoxelMorphRegistrationLogic` of the module file."""
    from host.headless import load_logic

    return load_logic("VoxelMorphRegistration")
