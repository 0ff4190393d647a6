"""What reading a network of any family gives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from VoxelMorphRegistrationLib.network.vxm_model import FloatArray, VxmDenseModel


@dataclass(frozen=True)
class Original:
    """A network as another program saved it.

    ``family`` is a noun for the user. ``evaluate(moving, fixed)`` gives the U-Net's field (d, h, w, 3) for two
    (D, H, W) images in NumPy, following the original file and not ``model``, so that the two can be compared.
    """

    family: str
    model: VxmDenseModel
    evaluate: Callable[[FloatArray, FloatArray], FloatArray]
