"""How a finished registration is shown."""

from __future__ import annotations

from typing import Any

import slicer
from slicer.i18n import tr as _

from VoxelMorphRegistrationLib.slicer_bridge.registration import RegistrationNodes


def show_result(nodes: RegistrationNodes) -> str:
    """Fixed volume behind, result in front at 50 %; what the user has to know about it, empty if nothing.

    The result is the transformed volume; where only a transform was asked for, the moving volume under it. Inputs
    that were deleted while the registration ran are not shown.
    """
    result, said = nodes.volume, ""
    if result is None and nodes.transform is not None and nodes.moving.GetScene() is not None:
        result, said = nodes.moving, _put_under_result(nodes)
    if result is not None and nodes.fixed.GetScene() is not None:
        slicer.util.setSliceViewerLayers(background=nodes.fixed, foreground=result, foregroundOpacity=0.5, fit=True)
    return said


def _put_under_result(nodes: RegistrationNodes) -> str:
    """Put the moving volume under the result, together with the transforms that it was under before."""
    results = (nodes.transform, nodes.affine_transform)
    highest = nodes.moving
    while (parent := highest.GetParentTransformNode()) is not None and parent not in results:
        highest = parent
    if highest is not nodes.moving and highest in _transforms_above(nodes.fixed):
        text: str = _(
            "{moving} was not put under {transform}, because {shared} also moves the fixed volume; take the volumes "
            "out of {shared} to see the result."
        ).format(moving=nodes.moving.GetName(), transform=nodes.transform.GetName(), shared=highest.GetName())
        return text
    lowest = nodes.affine_transform if nodes.affine_transform is not None else nodes.transform
    highest.SetAndObserveTransformNodeID(lowest.GetID())
    return ""


def _transforms_above(node: Any) -> list[Any]:
    above = []
    while (node := node.GetParentTransformNode()) is not None:
        above.append(node)
    return above
