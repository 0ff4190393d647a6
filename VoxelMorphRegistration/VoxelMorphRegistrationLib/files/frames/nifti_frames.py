"""4-D NIfTI: nibabel reads one frame's values, ITK says where they lie (see `files.nifti`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from VoxelMorphRegistrationLib.errors import FileError, InputError
from VoxelMorphRegistrationLib.files import nifti
from VoxelMorphRegistrationLib.files.frames.one_file import OneFile
from VoxelMorphRegistrationLib.files.frames.protocol import require_frame
from VoxelMorphRegistrationLib.files.frames.unpacking import Unpacked
from VoxelMorphRegistrationLib.files.input import count_not_finite, reading, require_finite
from VoxelMorphRegistrationLib.spatial import Image


class NiftiFrames(OneFile):
    """The frames of a .nii or .nii.gz (which is unpacked once to a temporary file)."""

    def __init__(self, path: Path) -> None:
        """Raises InputError where it is no sequence of scalar volumes."""
        import nibabel

        super().__init__(path)
        reader = sitk.ImageFileReader()
        reader.SetImageIO("NiftiImageIO")
        reader.SetFileName(str(path))
        reader.ReadImageInformation()
        size = reader.GetSize()
        if reader.GetNumberOfComponents() > 1 or len(size) > 4 or len(size) < 3:
            raise InputError(f"{path.name} is no sequence of scalar volumes ({' x '.join(map(str, size))} voxels).")
        self._grid = nifti.grid_of_header(reader)
        self._count = size[3] if len(size) == 4 else 1
        proxy: Any = nibabel.load(path).dataobj
        self._dtype, self._offset = np.dtype(proxy.dtype), int(proxy.offset)
        self._scaling = (float(proxy.slope), float(proxy.inter))
        if path.suffix.lower() == ".gz":
            with path.open("rb") as stream:
                self._unpacked = Unpacked(stream, path.name)

    def __len__(self) -> int:
        return self._count

    def read(self, n: int) -> Image:
        """See Frames."""
        require_frame(n, self._count, self.name)
        with reading(self._path):
            shape = self._grid.shape
            values = np.empty(int(np.prod(shape)), self._dtype)
            with (self._unpacked.path if self._unpacked else self._path).open("rb") as stream:
                stream.seek(self._offset + n * values.nbytes)
                if stream.readinto(values.data.cast("B")) < values.nbytes:
                    raise FileError(f"{self.name} ends before frame {n} does; copy or export it again.")
        name = self.frame_name(n)
        require_finite(count_not_finite(values), name)
        array = values.astype(self._dtype.newbyteorder("="), copy=False).reshape(shape, order="F")
        if self._scaling != (1.0, 0.0):
            array = array.astype(np.float64 if array.dtype.itemsize == 8 else np.float32)
            array = array * array.dtype.type(self._scaling[0]) + array.dtype.type(self._scaling[1])
        return Image(array, self._grid, name)
