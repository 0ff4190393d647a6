"""Sequences: every frame of a 4-D data set registered with one of them, streamed to disk, resumable.

``register_sequence(frames, folder, options, labels=...)`` is the job; ``files.frames.open_frames`` opens what it takes,
and ``SequenceStore(folder)`` opens what it made: records, deformations, label files.
"""

from VoxelMorphRegistrationLib.pipeline.sequence.options import DIRECTIONS, KEEPS, KEY_CHOICES, MODES, SequenceOptions
from VoxelMorphRegistrationLib.pipeline.sequence.records import FrameRecord, StructureMotion
from VoxelMorphRegistrationLib.pipeline.sequence.result import Drift, SequenceResult
from VoxelMorphRegistrationLib.pipeline.sequence.run import register_sequence
from VoxelMorphRegistrationLib.pipeline.sequence.store import SequenceStore

__all__ = [
    "DIRECTIONS",
    "KEEPS",
    "KEY_CHOICES",
    "MODES",
    "Drift",
    "FrameRecord",
    "SequenceOptions",
    "SequenceResult",
    "SequenceStore",
    "StructureMotion",
    "register_sequence",
]
