"""The module's logic on a real MRML scene, without Qt."""

from __future__ import annotations

import importlib
import sys
import types

import pytest


@pytest.fixture
def logic(scene):
    """`VoxelMorphRegistrationLogic` of the module file."""
    _stand_in_for_module_bases()
    return importlib.import_module("VoxelMorphRegistration").VoxelMorphRegistrationLogic()


def _stand_in_for_module_bases() -> None:
    """slicer-core has no scripted module base classes: the test host's, or where it has none yet, empty ones."""
    import slicer

    if "slicer.ScriptedLoadableModule" in sys.modules:
        return
    bases = types.ModuleType("slicer.ScriptedLoadableModule")
    for name in ("", "Widget", "Logic", "Test"):
        setattr(bases, f"ScriptedLoadableModule{name}", type(f"ScriptedLoadableModule{name}", (), {}))
    i18n = types.ModuleType("slicer.i18n")
    i18n.tr, i18n.translate = lambda text: text, lambda context, text: text
    sys.modules["slicer.ScriptedLoadableModule"] = slicer.ScriptedLoadableModule = bases
    sys.modules["slicer.i18n"] = slicer.i18n = i18n
