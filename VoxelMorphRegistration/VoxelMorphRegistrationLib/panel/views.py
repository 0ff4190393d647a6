"""How a finished registration is shown."""

from __future__ import annotations

import slicer

from VoxelMorphRegistrationLib.slicer_bridge.registration import RegistrationNodes


def show_result(nodes: RegistrationNodes) -> None:
    """Fixed volume behind, result in front at 50 %.

    The result is the transformed volume; where only a transform was asked for, the moving volume under it.
    """
    result = nodes.volume
    if result is None:
        above = nodes.affine_transform if nodes.affine_transform is not None else nodes.transform
        if above is None:  # only the inverse was asked for, which moves the fixed volume
            return
        nodes.moving.SetAndObserveTransformNodeID(above.GetID())
        result = nodes.moving
    slicer.util.setSliceViewerLayers(background=nodes.fixed, foreground=result, foregroundOpacity=0.5, fit=True)
