"""The mistakes people make with displacement fields, as they can be seen: each is named, with its way out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from VoxelMorphRegistrationLib.files.fields import RawField
from VoxelMorphRegistrationLib.pipeline.conventions import thresholds
from VoxelMorphRegistrationLib.pipeline.conventions.convention import Convention, opposite
from VoxelMorphRegistrationLib.pipeline.conventions.findings import Finding
from VoxelMorphRegistrationLib.pipeline.conventions.ranking import Ranking, rank
from VoxelMorphRegistrationLib.pipeline.conventions.statistics import Statistics
from VoxelMorphRegistrationLib.spatial import DisplacementField, Grid, Image
from VoxelMorphRegistrationLib.spatial.grid import Floats
from VoxelMorphRegistrationLib.spatial.linear_part import linear_part

_WORLD = "RLAPSI"
_SIXTEEN = 16


def in_numbers(raw: RawField, stats: Statistics) -> list[Finding]:
    """What is wrong with the numbers themselves."""
    found: list[Finding] = []
    if stats.not_finite:
        found.append(
            Finding(
                "not finite",
                f"{stats.not_finite} of the field's numbers are NaN or infinite, and each spoils its neighbours; fill "
                "them from the vectors around.",
                13,
                "fill not finite",
            )
        )
    if stats.whole_numbers and stats.largest > 0:
        found.append(
            Finding(
                "whole numbers",
                "The field holds whole numbers only, so everything finer than one unit was lost; write it again as "
                "float32.",
                13,
            )
        )
    if raw.array.dtype == np.float16:
        found.append(Finding("half precision", "The field is stored in half precision (float16).", 13, serious=False))
    if stats.largest == 0:
        found.append(
            Finding(
                "moves nothing",
                "The field is zero everywhere, it moves nothing; with VTK, SetVectors in place of SetScalars makes "
                "such a transform.",
                16,
            )
        )
    elif stats.roughness > thresholds.ROUGH:
        found.append(
            Finding(
                "noise",
                "Neighbouring vectors have nothing to do with each other: the array was forced into another shape "
                "(numpy.reshape) where its axes had to be moved (numpy.moveaxis), or it is no displacement field.",
                2,
            )
        )
    if stats.layout not in ("last", "first"):
        found.append(
            Finding(
                "reshaped",
                "The array was forced into its shape with numpy.reshape where its axes had to be moved: its vectors "
                "look like noise as it is and are smooth when the reshape is undone.",
                2,
                "apply convention",
            )
        )
    if raw.log_variance:
        found.append(
            Finding(
                "velocity with variance",
                "The field has six components, mean and variance of a velocity (VoxelMorph's probabilistic models); "
                "the first three were taken, to be integrated.",
                6,
                "apply convention",
            )
        )
    return found


def in_place(raw: RawField, fixed: Grid, stats: Statistics) -> list[Finding]:
    """What is wrong with where the field says that it lies."""
    own = raw.grid
    if own is not None and own.shape == fixed.shape[::-1] != fixed.shape:  # a transform node's array, [k, j, i]
        own = Grid(fixed.shape, own.ijk_to_ras[:, [2, 1, 0, 3]])
    if own is None or own.shape != fixed.shape or own.is_same(fixed, 0.5):
        return []
    apart = float(np.linalg.norm(own.corners_ras() - fixed.corners_ras(), axis=1).max())
    turned = np.degrees(np.arccos(np.clip((own.directions * fixed.directions).sum(axis=0), -1, 1)))
    words = [f"its corners lie up to {apart:.0f} mm away"]
    if turned.max() > 1:
        words.append(f"its axes are turned by up to {turned.max():.0f} degrees")
    if not np.allclose(own.spacing, fixed.spacing, rtol=0.01):
        words.append("its voxels have another size")
    identity = np.allclose(own.axes, np.eye(3)) or np.allclose(np.abs(own.axes), np.eye(3))
    guess = " It looks like a default that a program invents where none is known." if identity else ""
    return [
        Finding(
            "geometry",
            f"The field has as many voxels as the fixed volume but another geometry: {', '.join(words)}.{guess}",
            9 if turned.max() > 1 and turned.max() < 80 else 8,
            "use volume geometry",
        )
    ]


def in_use(
    used_as: Convention | None, means: Convention, raw: RawField, fixed: Grid, *, decided: bool
) -> list[Finding]:
    """Where a field was taken for something else than it is: one finding for each difference."""
    if not decided or used_as == means:
        return []
    if used_as is None:
        return _other_way(means)
    found: list[Finding] = []
    if means.content == "positions" and used_as.content != "positions":
        found.append(
            _wrong(
                "positions",
                "The numbers are absolute positions and were used as displacements; subtract each voxel's own "
                "position.",
                3,
            )
        )
    elif means.content == "velocity" and used_as.content != "velocity":
        found.append(
            _wrong("velocity", "The numbers are a velocity that has still to be integrated (7 squaring steps).", 6)
        )
    if means.units != used_as.units:
        names = {"voxel": "voxels", "full voxel": "voxels", "mm": "mm", "normalised": "parts of the volume (-1 to 1)"}
        found.append(
            _wrong(
                "units",
                f"The numbers are in {names[means.units]} and were used as {names[used_as.units]}; multiply them by "
                "the voxel size and turn them into the body's directions.",
                3,
            )
        )
    if means.direction != used_as.direction:
        found.append(
            Finding(
                "direction",
                "The field leads the other way: it goes from moving to fixed space (modeling) and was used from fixed "
                "to moving (resampling)."
                if means.direction == "modeling"
                else "The field leads the other way: it goes from fixed to moving space (resampling) and was used from "
                "moving to fixed (modeling).",
                5,
                "swap direction",
            )
        )
    found += _order(used_as, means)
    if means.placement not in (used_as.placement, "own") and raw.grid is not None:
        base = fixed
        coarser = sorted(raw.grid.shape) != sorted(base.shape)  # in whatever order the axes are
        if coarser and not raw.grid.is_same(base.with_shape(raw.grid.shape), 0.5):
            found.append(
                _wrong(
                    "resolution",
                    "The field lies at half or quarter resolution over the whole volume, but was placed voxel by "
                    "voxel.",
                    6,
                )
            )
    return found


def _other_way(means: Convention) -> list[Finding]:
    if means.direction == "resampling":
        return []
    return [
        Finding(
            "other way",
            "The field leads from the moving volume to the fixed one: either it is a modeling field (for points), or "
            "fixed and moving are swapped.",
            11,
            "swap direction",
            serious=False,
        )
    ]


def _order(used_as: Convention, means: Convention) -> list[Finding]:
    found: list[Finding] = []
    if means.axes != used_as.axes:
        found.append(
            _wrong(
                "axis order",
                f"The array's axes run along {' '.join(means.axes)} of the volume and were used as "
                f"{' '.join(used_as.axes)}: NumPy arrays of Slicer and SimpleITK are [k, j, i], those of nibabel "
                "[i, j, k].",
                1,
            )
        )
    if means.along_grid != used_as.along_grid:
        if means.along_grid:
            found.append(
                _wrong(
                    "directions",
                    f"The components count along the volume's axes ({' '.join(means.components)}) and were used as "
                    f"directions of the body ({' '.join(used_as.components)}).",
                    1,
                )
            )
        return found
    if means.components == used_as.components:
        return found
    flipped = [a != b and a == opposite(b) for a, b in zip(means.components, used_as.components, strict=True)]
    same_axes = all(a in (b, opposite(b)) for a, b in zip(means.components, used_as.components, strict=True))
    if same_axes and flipped == [True, True, False]:
        found.append(
            _wrong(
                "LPS",
                f"The vectors are {''.join(means.components)} and were used as {''.join(used_as.components)}: "
                "left-right and front-back are mirrored.",
                4,
            )
        )
    elif same_axes and all(flipped):
        found.append(Finding("direction", "Every vector points the opposite way.", 5, "swap direction"))
    else:
        found.append(
            _wrong(
                "component order",
                f"The components mean {' '.join(means.components)} and were used as {' '.join(used_as.components)}.",
                1,
            )
        )
    return found


def _wrong(code: str, message: str, row: int) -> Finding:
    return Finding(code, message, row, "apply convention")


def in_result(
    ranking: Ranking | None, fixed: Image, moving: Image, raw: RawField, found: Sequence[Statistics], *, decided: bool
) -> list[Finding]:
    """What the volumes say of the best reading."""
    if ranking is None or not ranking.ranked:
        return []
    best = ranking.ranked[0]
    gain = float(np.sqrt(max(best.similarity, 0)) - np.sqrt(max(ranking.unwarped, 0)))
    seen: list[Finding] = []
    if ranking.gained < thresholds.GAIN:
        swapped = rank(raw, found[:1], moving, fixed)
        if swapped.gained > thresholds.GAIN + 2 and swapped.ranked[0].similarity > best.similarity + 0.02:
            return [
                Finding(
                    "swapped volumes",
                    "The field aligns the fixed volume with the moving one and not the other way: fixed and moving are "
                    "swapped; exchange them.",
                    11,
                )
            ]
        if gain < 0.01:
            seen.append(
                Finding(
                    "no gain",
                    "Under no convention does the field make the volumes more alike: they are not the pair that was "
                    "registered, or the model does not suit them (contrast, skull, field of view); do not use it.",
                    18,
                )
            )
    return seen


def in_field(field: DisplacementField, *, parent: Floats | None = None) -> list[Finding]:
    """What is wrong with an understood field: folds, a linear alignment left in it, a cliff at its border.

    ``parent`` is the linear transform (4x4 RAS, fixed to moving) under which the moving volume lies already.
    """
    found: list[Finding] = []
    folded = 100 * float((field.jacobian_determinant().array <= 0).mean())
    if folded > 0:
        found.append(
            Finding(
                "folding",
                f"The field folds at {folded:.2g} % of its voxels: points and surfaces cannot be mapped back there and "
                "fly off as spikes; smooth it until nothing folds.",
                12,
                "unfold",
                serious=folded > thresholds.FOLDED_PERCENT,
            )
        )
    matrix = linear_part(field)
    points = field.grid.corners_ras()
    moved = float(np.linalg.norm(points @ matrix[:3, :3].T + matrix[:3, 3] - points, axis=1).mean())
    turn = float(np.degrees(np.arccos(np.clip((np.trace(_rotation(matrix)) - 1) / 2, -1, 1))))
    if moved > thresholds.LINEAR_MM or turn > 5:
        found.append(
            Finding(
                "linear part",
                f"The field holds a linear alignment of its own (the corners move {moved:.0f} mm, {turn:.0f} degrees): "
                "outside its grid that becomes ghosts and the inverse fails; split it into a linear transform and the "
                "rest.",
                10,
                "split affine",
            )
        )
        if parent is not None and _is_like(parent, matrix, points):
            found.append(
                Finding(
                    "applied twice",
                    "The same linear alignment is in the field and in the transform under which the moving volume "
                    "lies: it is applied twice; take one of them away.",
                    10,
                    "split affine",
                )
            )
    edge = np.concatenate([field.vectors.take([0, -1], axis).reshape(-1, 3) for axis in range(3)])
    high = float(np.percentile(field.magnitude()[::2, ::2, ::2], 99))
    border = float(np.linalg.norm(edge, axis=1).mean())
    if high > 0.5 and border > thresholds.CLIFF * high:
        found.append(
            Finding(
                "cliff",
                f"The field does not end in zeros: at its border it still moves {border:.1f} mm, which Slicer "
                "continues outside for ever and ITK drops to zero at once; taper it.",
                10,
                "taper border",
                serious=False,
            )
        )
    return found


def same_grids(fields: Sequence[DisplacementField]) -> list[Finding]:
    """For a sequence: whether all frames' fields lie on one grid."""
    wrong = [n for n, field in enumerate(fields) if not field.grid.is_same(fields[0].grid, 0.01)]
    if not wrong:
        return []
    frames = ", ".join(map(str, wrong[:8]))
    return [
        Finding(
            "frames differ",
            f"The fields of frames {frames} lie on another grid than the first one's: the fixed volume changed along "
            "the sequence, so results drift; register all frames to one fixed volume, or resample to the first grid.",
            17,
            "use volume geometry",
        )
    ]


def _rotation(matrix: Floats) -> Floats:
    left, _, right = np.linalg.svd(matrix[:3, :3])
    return np.asarray(left @ right)


def _is_like(one: Floats, other: Floats, points: Floats) -> bool:
    def move(matrix: Floats) -> Floats:
        return np.asarray(points @ matrix[:3, :3].T + matrix[:3, 3])

    apart = float(np.linalg.norm(move(one) - move(other), axis=1).mean())
    return apart < 0.25 * float(np.linalg.norm(move(other) - points, axis=1).mean())
