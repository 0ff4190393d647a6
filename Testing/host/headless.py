"""The module's logic class without Qt: for scripts and tests that need real MRML but no widget.

slicer-core has no scripted module base classes. Where the host's stand-ins (which need PySide6) are not loaded,
empty ones are put in their place: a logic class needs no more.
"""

from __future__ import annotations

import importlib
import sys
import types
from typing import Any


def load_logic(module_name: str) -> Any:
    """A new ``<module_name>Logic`` of the scripted module ``module_name``, which must be on ``sys.path``."""
    _stand_in_for_module_bases()
    return getattr(importlib.import_module(module_name), f"{module_name}Logic")()


def _stand_in_for_module_bases() -> None:
    import slicer

    if "slicer.ScriptedLoadableModule" in sys.modules:
        return
    bases = types.ModuleType("slicer.ScriptedLoadableModule")
    for kind in ("", "Widget", "Logic", "Test"):
        name = f"ScriptedLoadableModule{kind}"
        setattr(bases, name, type(name, (), {"__init__": lambda self, *arguments: None}))
    translation = types.ModuleType("slicer.i18n")
    translation.tr = lambda text: text  # type: ignore[attr-defined]
    translation.translate = lambda context, text: text  # type: ignore[attr-defined]
    sys.modules["slicer.ScriptedLoadableModule"] = slicer.ScriptedLoadableModule = bases
    sys.modules["slicer.i18n"] = slicer.i18n = translation
