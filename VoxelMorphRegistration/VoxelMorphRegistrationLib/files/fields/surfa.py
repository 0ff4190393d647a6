"""FreeSurfer's and SynthMorph's marks of a warp in ``.mgz`` and ``.nii.gz`` (freesurfer/surfa, io/framed.py and
io/fsnifti1extension.py): which of four kinds the numbers are.

The four are positions or displacements, in voxels of the moving ("source") image or in RAS mm; a displacement in
voxels is the position in the moving image's voxels less the voxel's own index.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

from VoxelMorphRegistrationLib.files.fields.raw import Hint

_WARP_META = 13  # tag: format, spacing, exp_k
_KINDS = {
    0: ("ijk", "voxel", "positions"),
    1: ("ijk", "voxel", "displacement"),
    2: ("RAS", "mm", "positions"),
    3: ("RAS", "mm", "displacement"),
}
_NAMES = {0: "abs_crs", 1: "disp_crs", 2: "abs_ras", 3: "disp_ras"}


def from_mgh(data: bytes) -> tuple[Any, tuple[Hint, ...]]:
    """The nibabel image of an (uncompressed) MGH file, and what its tags say.

    A warp has its intent in the version number, at which nibabel stops; it is taken out here.
    """
    import nibabel

    is_warp = data[:4] != b"\x00\x00\x00\x01" and data[3:4] == b"\x01"
    image = nibabel.MGHImage.from_bytes(b"\x00\x00\x00\x01" + data[4:] if is_warp else data)
    if not is_warp:
        return image, ()
    footer = data[int(image.dataobj.offset) + image.dataobj.dtype.itemsize * _count(image.shape) :]
    # The tag's 12 bytes come after their 8-byte length (new FreeSurfer) or at once (old).
    for mark in (struct.pack(">iq", _WARP_META, 12), struct.pack(">i", _WARP_META)):
        at = footer.rfind(mark)
        if at >= 0 and (hints := _hints(footer[at + len(mark) : at + len(mark) + 12], "FreeSurfer warp")):
            return image, hints
    return image, (Hint("direction", "resampling", "FreeSurfer warp", True),)


def from_nifti(path: Path) -> tuple[Hint, ...] | None:
    """What FreeSurfer's header extension of a NIfTI file says, or None where there is none."""
    import nibabel

    image: Any = nibabel.load(path)
    mark = struct.pack(">iq", _WARP_META, 12)
    for extension in getattr(image.header, "extensions", ()):
        content = extension.get_content()
        if isinstance(content, bytes) and (at := content.find(mark)) >= 0:
            hints = _hints(content[at + len(mark) :], "FreeSurfer's NIfTI extension")
            if hints:
                return hints
    return None


def _hints(meta: bytes, where: str) -> tuple[Hint, ...]:
    if len(meta) < 4:
        return ()
    kind = struct.unpack(">i", meta[:4])[0]
    if kind not in _KINDS:
        return ()
    components, units, content = _KINDS[kind]
    because = f"{where}: {_NAMES[kind]}"
    return (
        Hint("components", components, because, True),
        Hint("units", units, because, True),
        Hint("content", content, because, True),
        Hint("direction", "resampling", because, True),
    )


def _count(shape: tuple[int, ...]) -> int:
    total = 1
    for n in shape:
        total *= n
    return total
