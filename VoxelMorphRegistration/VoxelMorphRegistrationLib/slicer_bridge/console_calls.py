"""Calls of the logic class as text for Slicer's Python console, for reports."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def console_call(method: str, nodes: Mapping[str, Any], values: Mapping[str, object]) -> str:
    """The call of a method with ``nodes``, found again by their names, and plain ``values``; None is left out."""
    words = [f"{name}=slicer.util.getNode({node.GetName()!r})" for name, node in nodes.items() if node is not None]
    words += [f"{name}={value!r}" for name, value in values.items() if value is not None]
    return f'slicer.util.getModuleLogic("VoxelMorphRegistration").{method}({", ".join(words)})'
