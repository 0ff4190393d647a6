"""What labels are called: from a table, or from the header of a segmentation that Slicer saved."""

from __future__ import annotations

import os
import re
from pathlib import Path

import SimpleITK as sitk

from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.files.input import reading

_ROW = re.compile(r"""\s*(\d+)[\s,;:]+["']?([^\s,;"'][^,;"'\t]*)""")
_COLOURS = re.compile(r"(?:\s+\d+(?:\.\d+)?){3,}.*$")


def read_label_names(path: str | os.PathLike[str]) -> dict[int, str]:
    """The names in a table with a number and a name in each line; ``#`` begins a comment, colours may follow.

    FreeSurfer's color tables, Slicer's ``.ctbl`` and a CSV of labels and names are such. Raises FileError where the
    file is missing or no text, InputError where no line of it names a label.
    """
    with reading(path) as source:
        names: dict[int, str] = {}
        for line in source.read_text(encoding="utf-8-sig").splitlines():
            found = _ROW.match(line.partition("#")[0])
            if found:
                names[int(found[1])] = _COLOURS.sub("", found[2]).strip()
        if not names:
            raise InputError(f"{source.name} names no label; give a text with a number and a name in each line.")
        return names


def names_in_segmentation(path: str | os.PathLike[str]) -> dict[int, str]:
    """The names of segments in a ``.seg.nrrd`` that Slicer saved; none for any other file."""
    source = Path(os.path.expanduser(path))
    if not source.name.lower().endswith(".nrrd"):
        return {}
    with reading(source):
        reader = sitk.ImageFileReader()
        reader.SetImageIO("NrrdImageIO")
        reader.SetFileName(str(source))
        reader.ReadImageInformation()
        said = {key: reader.GetMetaData(key) for key in reader.GetMetaDataKeys() if key.startswith("Segment")}
    return {
        int(value): said[name]
        for key, value in said.items()
        if key.endswith("_LabelValue")
        and value.strip().isdecimal()
        and (name := key.replace("_LabelValue", "_Name")) in said
    }
