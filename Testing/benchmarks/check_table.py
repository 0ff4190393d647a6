"""What `check` says of a right registration, and of the same one spoiled in known ways: the table in Docs/checking.md.

    PYTHONPATH=VoxelMorphRegistration:Testing python -m benchmarks.check_table

Two heads whose structures FreeSurfer has segmented, resampled to 2 mm, and the field of a registration. Each row is a
kind of failure that users report: the wrong direction, units, a transform of somebody else.
"""

from __future__ import annotations

import argparse

import numpy as np
from pipeline.conventions import cases
from shared_data import shared
from VoxelMorphRegistrationLib.files.volumes import read_labels
from VoxelMorphRegistrationLib.pipeline.quality.checking import check_registration
from VoxelMorphRegistrationLib.pipeline.quality.results import CheckResult
from VoxelMorphRegistrationLib.spatial import DisplacementField, Image


def spoiled(pair: cases.Case) -> dict[str, DisplacementField]:
    """The right field, and what becomes of it."""
    field, grid = pair.forward, pair.forward.grid
    random = np.random.default_rng(0)
    shifted = np.roll(field.vectors, 8, axis=0)
    return {
        "as registered": field,
        "no transform": DisplacementField.zero(grid),
        "half of it": DisplacementField(field.vectors * np.float32(0.5), grid),
        "twice (full for half resolution)": DisplacementField(field.vectors * np.float32(2), grid),
        "wrong direction": DisplacementField(-field.vectors, grid),
        "LPS taken for RAS": DisplacementField(field.vectors * np.array([-1, -1, 1], np.float32), grid),
        "16 mm beside its place": DisplacementField(shifted, grid),
        "with noise of 1 mm": DisplacementField(
            field.vectors + random.normal(0, 1, field.vectors.shape).astype(np.float32), grid
        ),
        "of another pair": cases.case("bert 2mm").forward.resampled(grid),
    }


def labels(name: str, like: Image) -> Image:
    """FreeSurfer's, of the 30 structures of VoxelMorph's test script, on the voxels of ``like``."""
    image = read_labels(shared(f"vxm_pair/{name}_aseg.nii.gz"))
    kept = np.load(shared("vxm_pair/labels.npz"))["labels"]
    array = np.where(np.isin(image.array, kept), image.array, 0).astype(np.int16)
    return DisplacementField.zero(like.grid).warp_labels(image.with_array(array))


def rows(names: list[str] | None = None) -> dict[str, CheckResult]:
    """A check of each field, with the labels and the inverse of the right one."""
    pair = cases.case("vxm 2mm")
    fixed, moving = labels("subject_1", pair.fixed), labels("test_scan", pair.moving)
    return {
        name: check_registration(
            pair.fixed, pair.moving, field, fixed_labels=fixed, moving_labels=moving, inverse=pair.backward, name=name
        )
        for name, field in spoiled(pair).items()
        if names is None or name in names
    }


def table(found: dict[str, CheckResult]) -> str:
    """Markdown."""
    lines = [
        "| transform | verdict | correlation | mutual information | local correlation | mean Dice | folded % "
        "| there and back, 95 % (mm) |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, check in found.items():
        alike, dice, back = check.similarity, check.mean_dice, check.inverse_consistency
        lines.append(
            f"| {name} | {check.level} | {alike.correlation.after:.3f} | {alike.mutual_information.after:.3f} | "
            f"{alike.local_correlation.after:.3f} | {dice.after:.3f} | {check.jacobian.folded_percent:.2g} | "
            f"{back.p95_mm:.2f} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Print the table."""
    argparse.ArgumentParser(description=__doc__.partition("\n")[0]).parse_args()
    print(table(rows()))


if __name__ == "__main__":
    main()
