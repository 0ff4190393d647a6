"""Grids, images and displacement fields in one convention: ``[i, j, k]`` arrays, RAS mm.

``Grid`` places voxels in space, ``Image`` puts values on a grid, ``DisplacementField`` puts RAS mm vectors on a
grid, ``Deformation`` joins an affine pre-alignment with a displacement field, and ``pre_align`` finds the affine.
SimpleITK, which works in LPS, is met only in ``simpleitk_bridge``.
"""

from VoxelMorphRegistrationLib.spatial.deformation import Deformation
from VoxelMorphRegistrationLib.spatial.displacement_field import DisplacementField
from VoxelMorphRegistrationLib.spatial.grid import Grid
from VoxelMorphRegistrationLib.spatial.image import Image
from VoxelMorphRegistrationLib.spatial.pre_alignment import PreAlignment, pre_align

__all__ = ["Deformation", "DisplacementField", "Grid", "Image", "PreAlignment", "pre_align"]
