"""What a user may choose for a sequence."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.pipeline.registration import RegistrationOptions

Direction = Literal["carry", "hold"]
Mode = Literal["reference", "warm", "chain", "keyframes"]
Keep = Literal["float32", "int16", "results"]
Bias = Literal["reference", "swapped", "none"]

DIRECTIONS: dict[str, str] = {
    "carry": "carry the reference's segmentation to every frame",
    "hold": "hold every frame still on the reference",
}
MODES: dict[str, str] = {
    "reference": "every frame to the reference",
    "warm": "every frame to the reference, starting from its neighbour's field where that helps",
    "chain": "frame to frame, composed",
    "keyframes": "some frames to the reference, those between interpolated",
}
KEEPS: dict[str, str] = {
    "float32": "each frame's field on the network's grid, as it is",
    "int16": "each frame's field in steps of a stated size, half as large",
    "results": "no fields, only what was asked for of each frame",
}
BIASES: dict[str, str] = {
    "reference": "take off what the network answers for the reference with itself",
    "swapped": "take off what it answers with the two exchanged; twice the time",
    "none": "leave the network's answer as it is",
}
KEY_CHOICES: dict[str, str] = {
    "regular": "every so many frames",
    "content": "as many, where the motion turns",
}


def sequence_registration() -> RegistrationOptions:
    """The settings of a pair's registration that suit the frames of one patient in one scanner: no pre-alignment.

    Half resolution, because there are many of them.
    """
    return RegistrationOptions(pre_align="none", resolution="half")


@dataclass(frozen=True)
class SequenceOptions:
    """How a sequence is registered and what is kept. Raises InputError for a choice that does not exist."""

    reference: int | None = None
    """The frame that the others are registered with, counted from 0; None for the one nearest the middle of the
    motion."""
    direction: Direction = "carry"
    """"carry": each frame is fixed and the reference moves, so its labels land on the frame. "hold": the reference is
    fixed and each frame moves, so the frames stand still on it."""
    mode: Mode = "reference"
    registration: RegistrationOptions = field(default_factory=sequence_registration)
    """How each pair is registered. With a pre-alignment other than "none", each frame gets its own."""
    key_every: int = 4
    """Mode "keyframes": one key frame in so many."""
    key_choice: Literal["regular", "content"] = "regular"
    bias: Bias = "reference"
    """What is done about the field that a network answers even for two images that are the same. In a sequence, where
    most of the anatomy rests, that field is the largest error there is (Docs/sequences.md)."""
    keep: Keep = "float32"
    """What is kept of each frame's field."""
    moved: bool = False
    """Also write the moving volume of each pair on the fixed one's grid ("hold": the frames, standing still)."""

    def __post_init__(self) -> None:
        for name, choices in (
            ("direction", DIRECTIONS),
            ("mode", MODES),
            ("bias", BIASES),
            ("keep", KEEPS),
            ("key_choice", KEY_CHOICES),
        ):
            if getattr(self, name) not in choices:
                raise InputError(
                    f"Unknown {name.replace('_', ' ')} '{getattr(self, name)}'; choose one of {', '.join(choices)}."
                )
        if self.key_every < 2:
            raise InputError(f"One key frame in {self.key_every} leaves nothing to interpolate; choose 2 or more.")
        if self.registration.inverse:  # a composed field's inverse is computed where it is wanted
            object.__setattr__(self, "registration", replace(self.registration, inverse=False))
