"""4-D MetaImage: ITK reads the part of the file that holds one frame."""

from __future__ import annotations

from pathlib import Path

import SimpleITK as sitk

from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.files.frames.one_file import OneFile
from VoxelMorphRegistrationLib.files.frames.protocol import require_frame
from VoxelMorphRegistrationLib.files.input import count_not_finite, reading, require_finite
from VoxelMorphRegistrationLib.files.meta_image import require_meta_header
from VoxelMorphRegistrationLib.spatial import Image
from VoxelMorphRegistrationLib.spatial import simpleitk_bridge as bridge


class MetaImageFrames(OneFile):
    """The frames of a .mha or .mhd; a compressed one is unpacked anew, in memory, for each frame."""

    def __init__(self, path: Path) -> None:
        """Raises InputError where it is no sequence of scalar volumes."""
        super().__init__(path)
        require_meta_header(path)
        reader = self._reader()
        reader.ReadImageInformation()
        size = reader.GetSize()
        if reader.GetNumberOfComponents() > 1 or len(size) not in (3, 4):
            raise InputError(f"{path.name} is no sequence of scalar volumes ({' x '.join(map(str, size))} voxels).")
        self._size = size
        self._count = size[3] if len(size) == 4 else 1

    def __len__(self) -> int:
        return self._count

    def read(self, n: int) -> Image:
        """See Frames."""
        require_frame(n, self._count, self.name)
        with reading(self._path):
            reader = self._reader()
            if len(self._size) == 4:
                reader.SetExtractIndex([0, 0, 0, n])
                reader.SetExtractSize([*self._size[:3], 0])
            image = reader.Execute()
        array = bridge.scalar_from_sitk(image)
        require_finite(count_not_finite(array), self.frame_name(n))
        grid = bridge.grid_from_sitk(image)
        return Image(array, grid, self.frame_name(n))

    def _reader(self) -> sitk.ImageFileReader:
        reader = sitk.ImageFileReader()
        reader.SetImageIO("MetaImageIO")
        reader.SetFileName(str(self._path))
        return reader
