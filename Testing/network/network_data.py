"""The real pair and the official weights, as the engine tests use them."""

from __future__ import annotations

import nibabel
import numpy as np
from numpy.typing import NDArray
from shared_data import shared

OFFICIAL_WEIGHTS = "weights/vxm_dense_brain_T1_3D_mse.h5"
BRAIN_CENTRE = np.s_[32:128, 40:152, 40:184]  # 96 x 112 x 144: every axis a multiple of 16


def brain(name: str) -> NDArray[np.float32]:
    """A brain of vxm_pair, "test_scan" or "subject_1", 160 x 192 x 224, scaled as the network was trained."""
    image = nibabel.load(shared(f"vxm_pair/{name}_t1.nii.gz"))
    return np.asarray(image.dataobj, np.float32) / 255
