"""From where on a number is worth a remark.

Distances and overlaps follow the tolerances of AAPM's task group 132 (Brock et al., Medical Physics 44, e43, 2017,
table on quantitative tests): target registration error and inverse consistency within the largest voxel dimension
(about 2 to 3 mm), Dice within the uncertainty of contouring (about 0.8 to 0.9), no Jacobian determinant below 0. The
others are ours; `Docs/checking.md` says what they were tried on.
"""

from __future__ import annotations

MUCH_FOLDED_PERCENT = 1.0
"""Where so much of the volume folds, something is wrong; with less, only those places are."""

LEAST_TOLERANCE_MM = 2.0
"""Errors up to this, or up to the largest voxel dimension where that is more, are what TG-132 tolerates."""

LARGE_ERROR = 3.0
"""So many tolerances are no longer a matter of looking."""

GOOD_DICE = 0.8
SAME_DICE = 0.01
LOST_DICE = 0.05

SAME_SIMILARITY = 0.01
"""Changes of a similarity by less than this share of it count as none."""

STILL_MM = 0.01
"""A transform that moves nothing farther does nothing."""

UNUSUAL_VOLUME_PERCENT = (-50.0, 100.0)
"""Halved, or doubled: not a mistake by itself, but somebody should have expected it."""

FAR_SHARE = 0.5
"""A displacement by this share of the volume's size is more likely another unit or convention than anatomy."""
