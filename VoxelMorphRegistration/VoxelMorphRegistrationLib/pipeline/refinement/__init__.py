"""Refinement ("instance optimisation"): the network's field made better on this very pair, within seconds.

`refine` is all that the pipeline needs. Symmetric demons (`demons`) on the fixed volume's voxels (`pair`), by plain
differences where both images have one contrast and by locally fitted ones where not (`contrast`); a similarity that
knows no contrast (`similarity`) says what was gained and when to stop. Fields are arrays in voxels there (`fields`).
"""

from VoxelMorphRegistrationLib.pipeline.refinement.refining import RefinementReport, refine

__all__ = ["RefinementReport", "refine"]
