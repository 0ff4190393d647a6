"""What a pair to be registered is, the two real pairs of brains, and the labels that count on brains."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
WEIGHTS = DATA / "weights" / "vxm_dense_brain_T1_3D_mse.h5"
_LABELS = DATA / "vxm_pair" / "labels.npz"


@dataclass(frozen=True)
class Pair:
    """The files of two volumes, and of what is known of them."""

    name: str
    title: str
    fixed: Path
    moving: Path
    fixed_labels: Path | None = None
    moving_labels: Path | None = None
    labels: tuple[int, ...] = ()
    """Those that count; none: the 30 structures of a brain."""
    truth: Path | None = None
    """The true displacement field on the fixed grid, LPS mm: ``moved(x) = moving(x + u(x))``."""
    plain_moving: Path | None = None
    """The moving volume before its contrast was changed: correlation is judged with it."""

    @property
    def files(self) -> list[Path]:
        """All that there are."""
        named = (self.fixed, self.moving, self.fixed_labels, self.moving_labels, self.truth, self.plain_moving)
        return [path for path in named if path is not None]


_TEST_SCAN = {
    "moving": DATA / "vxm_pair" / "test_scan_t1.nii.gz",
    "moving_labels": DATA / "vxm_pair" / "test_scan_aseg.nii.gz",
}

PAIRS = {
    pair.name: pair
    for pair in (
        Pair(
            name="main",
            title="test_scan to subject_1, both in VoxelMorph's space",
            fixed=DATA / "vxm_pair" / "subject_1_t1.nii.gz",
            fixed_labels=DATA / "vxm_pair" / "subject_1_aseg.nii.gz",
            **_TEST_SCAN,
        ),
        Pair(
            name="bert",
            title="test_scan to bert in its native head position",
            fixed=DATA / "bert" / "bert_norm.nii.gz",
            fixed_labels=DATA / "bert" / "bert_aseg.nii.gz",
            **_TEST_SCAN,
        ),
    )
}


def missing_files(pairs: Iterable[Pair]) -> list[Path]:
    """The files that the pairs and our model need and that are not on this machine."""
    needed = [WEIGHTS, _LABELS, *(path for pair in pairs for path in pair.files)]
    return [path for path in dict.fromkeys(needed) if not path.is_file()]


def labels_that_count() -> list[int]:
    """The 30 structures of VoxelMorph's own test script."""
    with np.load(_LABELS) as archive:
        return [int(label) for label in archive["labels"]]
