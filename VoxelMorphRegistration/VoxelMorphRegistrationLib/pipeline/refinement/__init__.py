"""Refinement ("instance optimisation"): the network's field made better on this very pair, within seconds.

`refine` is all that the pipeline needs. Symmetric demons (`demons`) on the fixed volume's voxels (`pair`), by the
intensities where both images have one contrast and by their structure where not (`contrast`, `self_similarity`); the
similarity of the one or the other says what was gained and when to stop. Fields are arrays in voxels there (`fields`).
"""

from VoxelMorphRegistrationLib.pipeline.refinement.refining import RefinementReport, refine

__all__ = ["RefinementReport", "refine"]
